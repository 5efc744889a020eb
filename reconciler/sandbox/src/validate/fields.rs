//! What can't be decoded: fields that don't exist, by the client's wish, and values of another type, always.
//!
//! The same mistake is told in three ways, depending on where it is found: in a body, in what a patch makes of an object,
//! or (by `crate::managed`) in what is applied.

use super::{indexed, place};
use crate::quantity;
use crate::route::FieldValidation;
use crate::status::{ApiError, Cause};
use crate::value;
use crate::write::Writer;
use planner::schema::check::{Mismatch, Wrong, check};
use planner::schema::{Scalar, TypeRef};
use serde_json::Value;

const QUANTITY: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Checks a body as it was sent.
///
/// # Errors
/// 400 where a value has another type (422 for a custom resource), or a field does not exist and the client is strict.
pub fn fields(writer: &mut Writer, body: &Value) -> Result<(), ApiError> {
    let findings = Findings::of(writer, body);
    let row = writer.resource;
    if row.is_custom() && !findings.mistyped.is_empty() {
        let causes = findings.mistyped.into_iter().map(|(field, why)| Cause::invalid(field, &Value::from("..."), &why));
        let name = body.pointer("/metadata/name").and_then(Value::as_str);
        return Err(ApiError::invalid(row, name.unwrap_or_default(), causes.collect()));
    }
    let Some(why) = findings.refused(writer) else { return Ok(()) };
    if row.is_custom() {
        return Err(ApiError::bad_request(why));
    }
    Err(ApiError::bad_request(format!(
        "{0} in version \"{1}\" cannot be handled as a {0}: {why}",
        row.kind, row.version
    )))
}

/// Checks what a patch makes of an object.
///
/// # Errors
/// 422 for what would be a 400 in a body.
pub fn patched(writer: &mut Writer, object: &Value) -> Result<(), ApiError> {
    if let Err(other) = writer.decode(object) {
        return Err(ApiError::bad_patch(object, &other.message));
    }
    if writer.resource.is_custom() {
        return fields(writer, object);
    }
    match Findings::of(writer, object).refused(writer) {
        Some(why) => Err(ApiError::bad_patch(object, &why)),
        None => Ok(()),
    }
}

/// What is wrong with a body.
struct Findings {
    /// Field and reason.
    mistyped: Vec<(String, String)>,
    /// Texts that are not what their type says: quantities, base64.
    malformed: Option<&'static str>,
    unknown: Vec<String>,
}

impl Findings {
    fn of(writer: &Writer, body: &Value) -> Self {
        let place = if writer.resource.group == crate::events::GROUP { TypeRef::ANY } else { place(writer.resource) };
        let found = check(body, place);
        let path = |one: &Mismatch| indexed(&one.path, body, place);
        let mistyped = found.iter().filter(|one| matches!(one.wrong, Wrong::Type(_)));
        let unknown = found.iter().filter(|one| one.wrong == Wrong::Undeclared);
        Self {
            mistyped: mistyped.map(|one| (path(one), one.wrong.to_string())).collect(),
            malformed: if writer.resource.is_custom() { None } else { malformed(body, place) },
            unknown: unknown.map(|one| format!("unknown field \"{}\"", path(one))).collect(),
        }
    }

    /// Why it is refused, if it is; unknown fields may only be worth a warning.
    fn refused(self, writer: &mut Writer) -> Option<String> {
        if !self.mistyped.is_empty() {
            let listed: Vec<String> = self.mistyped.iter().map(|(field, why)| format!("{field}: {why}")).collect();
            return Some(listed.join(", "));
        }
        if let Some(why) = self.malformed {
            return Some(why.to_owned());
        }
        match writer.validation {
            FieldValidation::Strict if !self.unknown.is_empty() => {
                return Some(format!("strict decoding error: {}", self.unknown.join(", ")));
            }
            FieldValidation::Warn => writer.warnings.extend(self.unknown),
            FieldValidation::Strict | FieldValidation::Ignore => {}
        }
        None
    }
}

/// The first text that is no quantity or no base64 where one should be.
fn malformed(value: &Value, place: TypeRef) -> Option<&'static str> {
    match (value, place.scalar()) {
        (Value::Object(map), _) => map.iter().find_map(|(field, value)| malformed(value, place.field(field))),
        (Value::Array(items), _) => items.iter().find_map(|item| malformed(item, place.items())),
        (Value::String(text), Some(Scalar::Quantity)) if quantity::canonical(text).is_none() => Some(QUANTITY),
        (Value::String(text), Some(Scalar::Bytes)) if !is_base64(text) => Some("illegal base64 data at input byte 0"),
        _ => None,
    }
}

fn is_base64(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.len().is_multiple_of(4) && text.bytes().all(good)
}

/// Drops what the type does not know, as the server does when it decodes.
pub(crate) fn drop_unknown(object: &mut value::Object, place: TypeRef) {
    object.retain(|field, value| {
        let known = place.declared(field).is_some() || place.values().is_some() || place.is_any();
        if known {
            drop_inside(value, place.field(field));
        }
        known || matches!(field.as_str(), "apiVersion" | "kind")
    });
}

fn drop_inside(value: &mut Value, place: TypeRef) {
    match value {
        Value::Object(map) if place.is_map() => drop_unknown(map, place),
        Value::Array(items) => items.iter_mut().for_each(|item| drop_inside(item, place.items())),
        _ => {}
    }
}
