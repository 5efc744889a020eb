//! Reads `schema.json`. A node is a name (`"int32"`, `"#core.v1.Container"`) or an object with `is`, `fields`, `items`
//! or `values` and facets beside them.

use super::{Facets, Node, Scalar, Schema, Shape, ToldApart};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Why `schema.json` cannot be read: it was not written by the generator of this version.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("schema.json is no JSON")]
    Syntax(#[from] serde_json::Error),
    /// A part is missing or not what it should be.
    #[error("schema.json has no usable {0}")]
    Part(String),
}

type Names<'a> = BTreeMap<&'a str, usize>;

/// The whole file.
pub(super) fn schema(text: &str) -> Result<Schema, Unreadable> {
    let file: Value = serde_json::from_str(text)?;
    let table = |name: &str| match &file[name] {
        Value::Object(table) => Ok(table),
        _ => Err(Unreadable::Part(name.to_owned())),
    };
    let types = table("types")?;
    let in_order: BTreeSet<&str> = types.keys().map(String::as_str).collect();
    let names: Names<'_> = in_order.into_iter().zip(0..).collect();
    Ok(Schema {
        types: nodes(types, &names)?.into_iter().collect(),
        kinds: nodes(table("kinds")?, &names)?,
        source: file["source"].as_str().unwrap_or_default().to_owned(),
    })
}

fn nodes(table: &Map<String, Value>, names: &Names<'_>) -> Result<BTreeMap<String, Node>, Unreadable> {
    table.iter().map(|(name, json)| Ok((name.clone(), node(json, names)?))).collect()
}

fn node(json: &Value, names: &Names<'_>) -> Result<Node, Unreadable> {
    let shape = match json {
        Value::String(name) => named(name, names)?,
        Value::Object(long) => shape(long, names)?,
        other => return Err(Unreadable::Part(other.to_string())),
    };
    Ok(Node { shape, atomic: json["atomic"] == true, facets: facets(json) })
}

fn shape(json: &Map<String, Value>, names: &Names<'_>) -> Result<Shape, Unreadable> {
    if let Some(name) = json.get("is").and_then(Value::as_str) {
        return named(name, names);
    }
    if let Some(items) = json.get("items") {
        return Ok(Shape::List { items: Box::new(node(items, names)?), told_apart: told_apart(json.get("list")) });
    }
    let fields = match json.get("fields") {
        Some(Value::Object(table)) => nodes(table, names)?,
        _ => BTreeMap::new(),
    };
    let values = json.get("values").map(|values| node(values, names)).transpose()?;
    Ok(Shape::Map { fields, required: texts(json.get("required")), values: values.map(Box::new) })
}

fn told_apart(list: Option<&Value>) -> ToldApart {
    match list {
        None => ToldApart::Not,
        Some(Value::Array(_)) => ToldApart::ByKeys(texts(list)),
        Some(_) => ToldApart::ByValue,
    }
}

fn named(name: &str, names: &Names<'_>) -> Result<Shape, Unreadable> {
    let unknown = || Unreadable::Part(name.to_owned());
    if let Some(name) = name.strip_prefix('#') {
        return names.get(name).copied().map(Shape::Named).ok_or_else(unknown);
    }
    Ok(match name {
        "any" => Shape::Any,
        "untyped" => Shape::Untyped,
        "string" => Shape::Scalar(Scalar::Text),
        "boolean" => Shape::Scalar(Scalar::Boolean),
        "int32" => Shape::Scalar(Scalar::Int32),
        "int64" => Shape::Scalar(Scalar::Int64),
        "number" => Shape::Scalar(Scalar::Number),
        "quantity" => Shape::Scalar(Scalar::Quantity),
        "int-or-string" => Shape::Scalar(Scalar::IntOrText),
        "date-time" => Shape::Scalar(Scalar::DateTime),
        "duration" => Shape::Scalar(Scalar::Duration),
        "bytes" => Shape::Scalar(Scalar::Bytes),
        _ => return Err(unknown()),
    })
}

fn facets(json: &Value) -> Facets {
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    Facets {
        default: json.get("default").cloned(),
        one_of: json["enum"].as_array().cloned().into_iter().flatten().collect(),
        nullable: json["nullable"] == true,
        minimum: json["minimum"].as_f64(),
        maximum: json["maximum"].as_f64(),
        min_length: json["minLength"].as_u64(),
        max_length: json["maxLength"].as_u64(),
        min_items: json["minItems"].as_u64(),
        max_items: json["maxItems"].as_u64(),
        patch: text("patch"),
        patch_key: text("patchKey"),
    }
}

fn texts(json: Option<&Value>) -> Vec<String> {
    let texts = json.and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}
