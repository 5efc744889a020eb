//! Names, labels and annotations.

use crate::resource::Resource;
use crate::status::Cause;
use crate::value::{self, Object};
use renderer::names::is_dns_label;
use serde_json::{Value, json};

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

pub(super) fn check(resource: &Resource, object: &Object, causes: &mut Vec<Cause>) {
    check_name(resource, value::name(object), causes);
    check_labels("metadata.labels", value::at(object, "metadata.labels"), causes);
    check_owners(object, causes);
    check_annotations(value::at(object, "metadata.annotations"), causes);
}

fn check_name(resource: &Resource, name: &str, causes: &mut Vec<Cause>) {
    let mut refuse = |why: &str| causes.push(Cause::invalid("metadata.name", &json!(name), why));
    match resource.kind {
        // Paths are all that restricts these.
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => {
            let is_segment = !name.contains(['/', '%']) && !matches!(name, "." | "..");
            if !is_segment {
                refuse("may not contain '/' or '%'");
            }
        }
        "Namespace" | "Service" => {
            if name.len() > 63 {
                refuse("must be no more than 63 bytes");
            } else if !is_dns_label(name, 63) {
                refuse(LABEL);
            }
        }
        "CronJob" if name.len() > 52 => refuse("must be no more than 52 characters"),
        _ if name.len() > 253 => refuse("must be no more than 253 bytes"),
        _ if !name.split('.').all(|part| is_dns_label(part, 253)) => refuse(SUBDOMAIN),
        _ => {}
    }
}

/// Labels, of the object or of a template.
pub(super) fn check_labels(field: &str, labels: Option<&Value>, causes: &mut Vec<Cause>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        check_key(field, key, causes);
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(Cause::invalid(field, value, "must be no more than 63 bytes"));
        } else if !text.is_empty() && !is_qualified(text) {
            causes.push(Cause::invalid(field, value, LABEL_VALUE));
        }
    }
}

fn check_owners(object: &Object, causes: &mut Vec<Cause>) {
    for owner in value::owner_references(object) {
        for field in ["kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let field = format!("metadata.ownerReferences.{field}");
                causes.push(Cause::invalid(field, &json!(""), "must not be empty"));
            }
        }
    }
}

fn check_annotations(annotations: Option<&Value>, causes: &mut Vec<Cause>) {
    let mut bytes = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        check_key("metadata.annotations", &key.to_ascii_lowercase(), causes);
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > MAX_ANNOTATIONS_BYTES {
        let text = format!("may not be more than {MAX_ANNOTATIONS_BYTES} bytes");
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: {text}"),
            field: "metadata.annotations".to_owned(),
        });
    }
}

fn check_key(field: &str, key: &str, causes: &mut Vec<Cause>) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefixed =
        prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(|part| is_dns_label(part, 253)));
    if !prefixed || !is_qualified(name) {
        causes.push(Cause::invalid(field, &json!(key), KEY));
    } else if name.len() > 63 {
        causes.push(Cause::invalid(field, &json!(key), "name part must be no more than 63 bytes"));
    }
}

fn is_qualified(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    edge(text.bytes().next()) && edge(text.bytes().last()) && text.bytes().all(inner)
}
