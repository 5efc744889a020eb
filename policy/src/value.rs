//! JSON as CEL sees it. Whole numbers are `int`: the crate's own conversion would make them `uint`, and
//! `replicas + 1` would fail where the server adds. Texts are borrowed, and so are maps: a rule that asks for one field of
//! a pod copies nothing of the others.

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, Type};
use cel::common::value::{Builtin, BuiltinRef, CowVal, Val};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::OnceLock;

/// `json`, borrowed where it is text or a map.
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
        Value::Object(fields) => Box::new(Fields::of(fields)),
    }
}

/// A map with texts as keys. Looking a field up reads the JSON; for anything else it becomes the crate's own map, once,
/// and is that to whoever looks at it: no difference can be seen but the time it takes.
#[derive(Debug)]
struct Fields<'v> {
    json: &'v Map<String, Value>,
    whole: OnceLock<CelMap<'v>>,
}

impl<'v> Fields<'v> {
    fn of(json: &'v Map<String, Value>) -> Self {
        Self { json, whole: OnceLock::new() }
    }

    fn whole(&self) -> &CelMap<'v> {
        self.whole.get_or_init(|| {
            let entries = self.json.iter().map(|(key, value)| (CelMapKey::from(key.as_str()), cel(value)));
            CelMap::from(entries.collect::<HashMap<_, _>>())
        })
    }
}

impl Val for Fields<'_> {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        CelMap::cel_type()
    }

    fn as_container(&self) -> Option<&dyn Container> {
        self.whole().as_container()
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn into_indexer<'w>(self: Box<Self>) -> Option<Box<dyn Indexer + 'w>>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        self.whole().as_iterable()
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.whole().as_sizer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.whole().as_zeroer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        self.whole().equals(other)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(Self::of(self.json))
    }

    fn as_builtin<'b, 'w>(&'b self) -> BuiltinRef<'b, 'w>
    where
        Self: 'w,
    {
        BuiltinRef::Map(self.whole())
    }

    fn into_builtin<'w>(self: Box<Self>) -> Option<Builtin<'w>>
    where
        Self: 'w,
    {
        self.whole();
        self.whole.into_inner().map(Builtin::Map)
    }
}

impl Indexer for Fields<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let Some(name) = key.downcast_ref::<CelString>() else { return self.whole().get(key) };
        match self.json.get(name.inner()) {
            Some(found) => Ok(CowVal::Owned(cel(found))),
            None => Err(ExecutionError::no_such_key(name.inner())),
        }
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}
