//! What can't be decoded: fields that don't exist, by the client's wish, and values of another type, always.

use super::{indexed, place};
use crate::route::FieldValidation;
use crate::status::{ApiError, Cause};
use crate::value;
use crate::write::Writer;
use planner::schema::check::{Mismatch, Wrong, check};
use serde_json::Value;

/// Checks a body as it was sent, or as a patch makes it.
///
/// # Errors
/// 400 where a value has another type (422 for a custom resource), or a field does not exist and the client is strict.
pub fn fields(writer: &mut Writer, body: &Value) -> Result<(), ApiError> {
    let place = if writer.resource.group == crate::events::GROUP {
        planner::schema::TypeRef::ANY
    } else {
        place(writer.resource)
    };
    let found = check(body, place);
    let path = |one: &Mismatch| indexed(&one.path, body, place);
    let wrong: Vec<&Mismatch> = found.iter().filter(|one| matches!(one.wrong, Wrong::Type(_))).collect();
    if !wrong.is_empty() {
        let causes = wrong.iter().map(|one| (path(one), one.wrong.to_string()));
        return Err(mistyped(writer, body, causes.collect()));
    }
    let unknown = found.iter().filter(|one| one.wrong == Wrong::Undeclared);
    let unknown: Vec<String> = unknown.map(|one| format!("unknown field \"{}\"", path(one))).collect();
    match writer.validation {
        FieldValidation::Strict if !unknown.is_empty() => Err(strict(writer, &unknown)),
        FieldValidation::Warn => {
            writer.warnings.extend(unknown);
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
}

fn mistyped(writer: &Writer, body: &Value, wrong: Vec<(String, String)>) -> ApiError {
    let row = writer.resource;
    if row.is_custom() {
        let causes = wrong.into_iter().map(|(field, why)| Cause::invalid(field, &Value::from("..."), &why));
        let name = body.pointer("/metadata/name").and_then(Value::as_str);
        return ApiError::invalid(row, name.unwrap_or_default(), causes.collect());
    }
    let listed: Vec<String> = wrong.iter().map(|(field, why)| format!("{field}: {why}")).collect();
    ApiError::bad_request(format!(
        "{0} in version \"{1}\" cannot be handled as a {0}: {2}",
        row.kind,
        row.version,
        listed.join(", ")
    ))
}

fn strict(writer: &Writer, unknown: &[String]) -> ApiError {
    let row = writer.resource;
    let listed = unknown.join(", ");
    if row.is_custom() {
        return ApiError::bad_request(format!("strict decoding error: {listed}"));
    }
    ApiError::bad_request(format!(
        "{0} in version \"{1}\" cannot be handled as a {0}: strict decoding error: {listed}",
        row.kind, row.version
    ))
}

/// Drops what the type does not know, as the server does when it decodes.
pub(crate) fn drop_unknown(object: &mut value::Object, place: planner::schema::TypeRef) {
    object.retain(|field, value| {
        let known = place.declared(field).is_some() || place.values().is_some() || place.is_any();
        if known {
            drop_inside(value, place.field(field));
        }
        known || matches!(field.as_str(), "apiVersion" | "kind")
    });
}

fn drop_inside(value: &mut Value, place: planner::schema::TypeRef) {
    match value {
        Value::Object(map) if place.is_map() => drop_unknown(map, place),
        Value::Array(items) => items.iter_mut().for_each(|item| drop_inside(item, place.items())),
        _ => {}
    }
}
