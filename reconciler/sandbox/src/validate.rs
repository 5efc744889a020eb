//! What is refused: values that don't fit their type, fields that don't exist, names, immutable fields, and the rules of
//! single kinds that a renderer or a hand at kubectl is likely to break. What else a real server refuses is listed in
//! `docs/sandbox.md`.

mod fields;
mod immutable;
mod kinds;
mod names;
mod template;

use crate::resource::Resource;
use crate::status::{ApiError, Cause};
use crate::value::{self, Object};
use crate::write::Writer;
use planner::fields::{Path, PathElement, item_element};
use planner::schema::check::{Wrong, check};
use planner::schema::{Schema, TypeRef};
use serde_json::{Value, json};
use std::fmt::Write as _;

pub(crate) use fields::drop_unknown;
pub use fields::{fields, patched};

/// The type of a resource in the form in which it is stored.
#[must_use]
pub(crate) fn place(resource: &Resource) -> TypeRef {
    let stored = Resource::by_kind(resource.kind).unwrap_or(resource);
    Schema::of(stored.group, stored.version, stored.kind).unwrap_or_else(TypeRef::object)
}

/// Checks an object that is complete: named, and with its defaults.
///
/// # Errors
/// 422 with every cause.
pub fn object(writer: &Writer, object: &Object, old: Option<&Object>) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    names::check(writer.resource, object, &mut causes);
    by_schema(writer.resource, object, &mut causes);
    kinds::check(writer.resource, object, &mut causes);
    if let Some(old) = old {
        immutable::check(writer.resource, old, object, &mut causes);
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(writer.resource, value::name(object), causes))
}

fn by_schema(resource: &Resource, object: &Object, causes: &mut Vec<Cause>) {
    let (typed, place) = typed(resource, object);
    for one in check(&typed, place) {
        let field = indexed(&one.path, &typed, place);
        let value = value_at(&one.path, &typed, place);
        let is_status = matches!(one.path.first(), Some(PathElement::Field(name)) if name == "status");
        match one.wrong {
            // The server's own types have zeros there.
            Wrong::Missing if is_status => {}
            Wrong::Missing => causes.push(Cause::required(field, "")),
            Wrong::NotOneOf => {
                // The one type whose refusal names the struct around the field.
                let strategy = field.strip_suffix(".type").filter(|rest| *rest == "spec.strategy");
                let value = strategy.map_or(value, |_| &typed["spec"]["strategy"]);
                let field = strategy.map_or(field.clone(), str::to_owned);
                let allowed: Vec<&str> = one_of(&one.path, place).iter().filter_map(Value::as_str).collect();
                causes.push(Cause::unsupported(field, value, &allowed));
            }
            Wrong::OutOfRange | Wrong::Length | Wrong::Type(_) => {
                causes.push(Cause::invalid(field, value, &one.wrong.to_string()));
            }
            Wrong::Duplicate if is_unique(&one.path) => causes.push(Cause::duplicate(field, value)),
            // What the type does not know was dropped before; other duplicates the real server stores, too.
            Wrong::Undeclared | Wrong::NoKey | Wrong::Duplicate => {}
        }
    }
}

/// The object as the schema of its stored form sees it.
fn typed(resource: &Resource, object: &Object) -> (Value, TypeRef) {
    let stored = Resource::by_kind(resource.kind).unwrap_or(resource);
    let mut object = object.clone();
    object.insert("apiVersion".to_owned(), json!(stored.api_version()));
    object.insert("kind".to_owned(), json!(stored.kind));
    (Value::Object(object), place(resource))
}

/// Lists whose items the server's validation tells apart, besides their merge.
fn is_unique(path: &Path) -> bool {
    let list = path.iter().rev().find_map(|element| match element {
        PathElement::Field(name) => Some(name.as_str()),
        _ => None,
    });
    matches!(list, Some("containers" | "initContainers" | "volumes"))
}

/// A path as validation prints it, with the place of an item instead of its key: `spec.containers[0].image`.
pub(crate) fn indexed(path: &Path, object: &Value, place: TypeRef) -> String {
    let mut out = String::new();
    let (mut value, mut place) = (object, place);
    for element in path.iter() {
        match element {
            PathElement::Field(name) => {
                let dot = if out.is_empty() { "" } else { "." };
                let _infallible = write!(out, "{dot}{name}");
                (value, place) = (&value[name.as_str()], place.field(name));
            }
            other => {
                let at = index_of(other, value, place);
                let _infallible = write!(out, "[{at}]");
                (value, place) = (&value[at], place.items());
            }
        }
    }
    out
}

fn index_of(element: &PathElement, list: &Value, place: TypeRef) -> usize {
    if let PathElement::Index(at) = element {
        return *at;
    }
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    // The last one: of two items with one key the second is reported.
    let found = items.iter().rposition(|item| item_element(item, place).as_ref() == Some(element));
    found.unwrap_or(0)
}

fn value_at<'a>(path: &Path, object: &'a Value, place: TypeRef) -> &'a Value {
    let (mut value, mut place) = (object, place);
    for element in path.iter() {
        (value, place) = match element {
            PathElement::Field(name) => (&value[name.as_str()], place.field(name)),
            other => (&value[index_of(other, value, place)], place.items()),
        };
    }
    value
}

fn one_of(path: &Path, place: TypeRef) -> &'static [Value] {
    let end = path.iter().fold(place, |place, element| match element {
        PathElement::Field(name) => place.field(name),
        _ => place.items(),
    });
    &end.facets().one_of
}
