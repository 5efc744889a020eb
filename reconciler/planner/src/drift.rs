//! INTERIM, to be replaced whole by the drift engineer: so that plan, execute and the loop can be built against it.
//! Callers: compare.rs, autoscale.rs, explain.rs, plan.rs, and the reconciler's driver/platform.rs.
#![allow(missing_docs, reason = "replaced within the hour")]
use serde::{Deserialize, Serialize};
use serde_json::Value;
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub path: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub by: Option<By>,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct By {
    pub manager: String,
    pub time: Option<String>,
}
pub struct Drift {
    pub changes: Vec<FieldChange>,
    pub patch: Option<Value>,
    pub apply: bool,
}
impl Drift {
    pub fn is_none(&self) -> bool {
        self.changes.is_empty()
    }
}
pub struct Ownership<'a> {
    pub field_manager: &'a str,
    pub autoscaled: bool,
}
pub fn drift(d: &renderer::Object, l: &Value, o: &Ownership) -> Drift {
    let mut changes = vec![];
    walk(&d.value, l, String::new(), &mut changes);
    let (entries, _) = crate::fields::entries(l);
    let by = entries
        .iter()
        .rev()
        .find(|e| e.manager != o.field_manager)
        .map(|e| By { manager: e.manager.clone(), time: None });
    for c in &mut changes {
        c.by = by.clone();
    }
    Drift { apply: !changes.is_empty(), changes, patch: None }
}
fn walk(d: &Value, l: &Value, p: String, out: &mut Vec<FieldChange>) {
    match (d, l) {
        (Value::Object(a), Value::Object(b)) => {
            for (k, v) in a {
                walk(v, b.get(k).unwrap_or(&Value::Null), format!("{p}.{k}"), out)
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                walk(x, y, format!("{p}[{i}]"), out)
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(FieldChange { path: p, from: Some(b.to_string()), to: Some(a.to_string()), by: None }),
    }
}
pub fn owners_of(l: &Value, _p: &str) -> Vec<String> {
    crate::fields::entries(l)
        .0
        .into_iter()
        .filter(|e| e.fields.to_fields_v1().to_string().contains("f:replicas"))
        .map(|e| e.manager)
        .collect()
}
