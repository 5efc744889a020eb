//! What `kubectl get` prints: the server decides about columns, kubectl only aligns them.

mod age;
mod columns;

use crate::resource::Resource;
use crate::value::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use age::{between, since};

/// One column.
pub(crate) struct Column {
    name: &'static str,
    kind: &'static str,
    wide: bool,
    cell: fn(&Object, Timestamp) -> Value,
}

/// A `Table` around finished rows. The columns are left out where the client has them already.
#[must_use]
pub fn table(resource: &'static Resource, rows: Vec<Value>, metadata: Value, with_columns: bool) -> Value {
    let definitions: Vec<Value> =
        if with_columns { columns::of(resource).iter().map(definition).collect() } else { Vec::new() };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// The cells of one object.
#[must_use]
pub fn cells(resource: &'static Resource, object: &Object, now: Timestamp) -> Vec<Value> {
    let columns = columns::of(resource);
    columns.iter().map(|column| (column.cell)(object, now)).collect()
}

fn definition(column: &Column) -> Value {
    let format = if column.name == "Name" { "name" } else { "" };
    json!({
        "name": column.name, "type": column.kind, "format": format,
        "description": "", "priority": i32::from(column.wide),
    })
}
