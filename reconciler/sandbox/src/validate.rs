//! What is refused.

use crate::status::{ApiError, Cause};
use crate::value::{self, Object};
use crate::write::Writer;
use serde_json::{Value, json};

/// Unknown fields, by the client's own wish.
///
/// # Errors
/// 400 where the client asked for strictness.
pub fn fields(_writer: &mut Writer, _body: &Value) -> Result<(), ApiError> {
    Ok(())
}

/// Everything else.
///
/// # Errors
/// 422 with every cause.
pub fn object(writer: &Writer, object: &Object, _old: Option<&Object>) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    check_name(writer, object, &mut causes);
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(writer.resource, value::name(object), causes))
}

fn check_name(writer: &Writer, object: &Object, causes: &mut Vec<Cause>) {
    let name = value::name(object);
    let label = matches!(writer.resource.kind, "Namespace" | "Service");
    let good = |part: &str| renderer::names::is_dns_label(part, 63);
    let fits = if label {
        good(name)
    } else {
        name.len() <= 253 && name.split('.').all(|part| renderer::names::is_dns_label(part, 253))
    };
    let free = matches!(writer.resource.kind, "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding");
    if !fits && !free {
        let rule = if label {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        } else {
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        };
        causes.push(Cause::invalid("metadata.name", &json!(name), rule));
    }
}
