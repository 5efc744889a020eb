//! JSON as CEL sees it. Whole numbers are `int`: the crate's own conversion would make them `uint`, and
//! `replicas + 1` would fail where the server adds. Texts are borrowed.

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use serde_json::Value;
use std::collections::HashMap;

/// `json`, borrowed where it is text.
pub(crate) fn cel<'v>(json: &'v Value) -> Box<dyn Val + 'v> {
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Box::new(CelInt::from(whole)),
            // Larger than an int: the server reads it as a double, too.
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(cel).collect::<Vec<_>>())),
        Value::Object(fields) => {
            let entries = fields.iter().map(|(key, value)| (CelMapKey::from(key.as_str()), cel(value)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}
