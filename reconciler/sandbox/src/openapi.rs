//! `/openapi/v3`, from the same schema that validates: what `kubectl explain` prints, and how `kubectl apply` learns that
//! the server checks fields itself.

use crate::resource::{RESOURCES, Resource, group_version};
use planner::schema::{Scalar, Schema, ToldApart, TypeRef};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// `/openapi/v3`: the documents there are.
#[must_use]
pub fn index() -> Value {
    let versions: BTreeSet<(&str, &str)> = RESOURCES.iter().map(|row| (row.group, row.version)).collect();
    let paths: Map<String, Value> = versions
        .into_iter()
        .map(|(group, version)| {
            let path = path_of(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The document of a group version; none if it is not served.
#[must_use]
pub fn document(group: &str, version: &str) -> Option<Value> {
    let rows: Vec<&Resource> = RESOURCES.iter().filter(|row| row.group == group && row.version == version).collect();
    if rows.is_empty() {
        return None;
    }
    let schemas: Map<String, Value> = rows.iter().map(|row| (schema_name(row), schema_of(row))).collect();
    let paths: Map<String, Value> = rows.iter().flat_map(|row| paths_of(row)).collect();
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "toolforge sandbox", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn path_of(group: &str, version: &str) -> String {
    let root = if group.is_empty() { "api" } else { "apis" };
    format!("{root}/{}", group_version(group, version))
}

fn schema_name(row: &Resource) -> String {
    let group = if row.group.is_empty() { "core" } else { row.group };
    format!("{group}.{}.{}", row.version, row.kind)
}

fn kind_of(row: &Resource) -> Value {
    json!({"group": row.group, "version": row.version, "kind": row.kind})
}

fn schema_of(row: &Resource) -> Value {
    let place = Schema::of(row.group, row.version, row.kind).unwrap_or_else(TypeRef::object);
    let mut schema = described(place, "");
    schema["x-kubernetes-group-version-kind"] = json!([kind_of(row)]);
    schema
}

fn paths_of(row: &Resource) -> Vec<(String, Value)> {
    let root = format!("/{}", path_of(row.group, row.version));
    let base = if row.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", row.plural)
    } else {
        format!("{root}/{}", row.plural)
    };
    let reference = json!({"$ref": format!("#/components/schemas/{}", schema_name(row))});
    let operation = |action: &str, parameters: &[&str]| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind_of(row), "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        })
    };
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let patch = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let collection = json!({
        "get": operation("list", &["fieldSelector", "labelSelector", "limit", "continue", "watch"]),
        "post": operation("post", &write),
    });
    let object = json!({
        "get": operation("get", &[]), "put": operation("put", &write),
        "patch": operation("patch", &patch), "delete": operation("delete", &["dryRun", "propagationPolicy"]),
    });
    vec![(base.clone(), collection), (format!("{base}/{{name}}"), object)]
}

/// The OpenAPI of one place. `field` is its name in the parent.
fn described(place: TypeRef, field: &str) -> Value {
    let mut out = match place.scalar() {
        Some(scalar) => of_scalar(scalar),
        // A schema of schemas has no end when it is written out.
        None if field == "openAPIV3Schema" => json!({"type": "object"}),
        None if place.is_any() => json!({"x-kubernetes-preserve-unknown-fields": true}),
        None => of_parts(place),
    };
    let facets = place.facets();
    let texts = [("x-kubernetes-patch-strategy", &facets.patch), ("x-kubernetes-patch-merge-key", &facets.patch_key)];
    for (name, text) in texts {
        if let Some(text) = text {
            out[name] = json!(text);
        }
    }
    if let Some(default) = &facets.default {
        out["default"] = default.clone();
    }
    if !facets.one_of.is_empty() {
        out["enum"] = json!(facets.one_of);
    }
    out
}

fn of_parts(place: TypeRef) -> Value {
    let Some(told_apart) = place.told_apart() else {
        return of_map(place);
    };
    let mut out = json!({"type": "array", "items": described(place.items(), "")});
    out["x-kubernetes-list-type"] = match told_apart {
        ToldApart::Not => json!("atomic"),
        ToldApart::ByValue => json!("set"),
        ToldApart::ByKeys(keys) => {
            out["x-kubernetes-list-map-keys"] = json!(keys);
            json!("map")
        }
    };
    out
}

fn of_map(place: TypeRef) -> Value {
    let mut out = json!({"type": "object"});
    let fields: Map<String, Value> =
        place.fields().map(|(name, place)| (name.to_owned(), described(place, name))).collect();
    if !fields.is_empty() {
        out["properties"] = Value::Object(fields);
    }
    if !place.required().is_empty() {
        out["required"] = json!(place.required());
    }
    if let Some(values) = place.values() {
        out["additionalProperties"] = described(values, "");
    }
    if place.is_atomic() {
        out["x-kubernetes-map-type"] = json!("atomic");
    }
    out
}

fn of_scalar(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Text => json!({"type": "string"}),
        Scalar::Boolean => json!({"type": "boolean"}),
        Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
        Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
        Scalar::Number => json!({"type": "number"}),
        Scalar::Quantity => json!({"type": "string", "format": "quantity"}),
        Scalar::IntOrText => json!({"type": "string", "format": "int-or-string"}),
        Scalar::DateTime => json!({"type": "string", "format": "date-time"}),
        Scalar::Duration => json!({"type": "string", "format": "duration"}),
        Scalar::Bytes => json!({"type": "string", "format": "byte"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_of_the_index_exists_and_names_every_kind() {
        let index = index();
        let paths = index["paths"].as_object().expect("paths");
        assert_eq!(
            paths["apis/apps/v1"]["serverRelativeURL"].as_str().map(|url| &url[..26]),
            Some("/openapi/v3/apis/apps/v1?h")
        );
        for row in RESOURCES {
            assert!(paths.contains_key(&path_of(row.group, row.version)), "{}", row.kind);
            let document = document(row.group, row.version).expect("a document");
            assert!(document["components"]["schemas"].get(schema_name(row)).is_some(), "{}", row.kind);
        }
    }

    #[test]
    fn explain_finds_the_fields_of_a_container() {
        let document = document("apps", "v1").expect("served");
        let containers = "/components/schemas/apps.v1.Deployment/properties/spec/properties/template/properties/spec/properties/containers";
        let containers = document.pointer(containers).expect("containers");
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["items"]["properties"]["image"]["type"], "string");
    }
}
