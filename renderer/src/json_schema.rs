//! The JSON Schema of `toolforge.yaml`, for editors: exact by component type, and made from the same table of keys the
//! reader uses. It is strict where the reader is lenient with a note (`port: "8000"`), and says nothing of what only
//! the whole file or the platform decides.

use crate::config::MAX_COMPONENTS;
use crate::config::keys::{self, At, KINDS, Key, REQUIRED};
use crate::rendered::ComponentKind::{self, Continuous, Scheduled};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

const NAME: &str = "^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$";
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut file = level(keys::at(At::File));
    file.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    file.insert("title".into(), json!("toolforge.yaml"));
    file.insert("$defs".into(), json!({"component": component(), "build": build()}));
    Value::Object(file)
}

/// An object of these keys and no others, but for `x-` notes.
fn level(keys: impl Iterator<Item = &'static Key>) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        let mut value = value(key.at, key.name);
        if key.default == REQUIRED {
            required.push(key.name);
        } else {
            value = or_null(value);
        }
        if let Value::Object(value) = &mut value {
            let text = format!("{}. Default: {}.", sentence(key.meaning), key.default).replace('`', "");
            value.insert("description".into(), text.into());
        }
        properties.insert(key.name.to_owned(), value);
    }
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    object.insert("properties".into(), properties.into());
    object.insert("patternProperties".into(), json!({"^x-": {}}));
    object.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    object
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A key that is null is absent.
fn or_null(mut value: Value) -> Value {
    if let Some(kind) = value.get("type").cloned() {
        let mut kinds = kind.as_array().cloned().unwrap_or_else(|| vec![kind]);
        kinds.push("null".into());
        value["type"] = kinds.into();
        if let Some(words) = value.get_mut("enum").and_then(Value::as_array_mut) {
            words.push(Value::Null);
        }
        return value;
    }
    json!({"anyOf": [value, {"type": "null"}]})
}

fn component() -> Value {
    let mut object = level(keys::at(At::Component));
    let is = |kind: ComponentKind| json!({"properties": {"component_type": {"const": kind.as_str()}}, "required": ["component_type"]});
    let then = |kind: ComponentKind| json!({"properties": {"run": run(kind)}});
    let inferred =
        json!({"properties": {"run": {"required": ["schedule"], "properties": {"schedule": {"type": "string"}}}}});
    object.insert("not".into(), json!({"required": ["image", "build"], "properties": {"image": {"type": "string"}, "build": {"type": "object"}}}));
    let mut types: Vec<Value> = KINDS.iter().map(|kind| json!({"if": is(*kind), "then": then(*kind)})).collect();
    types.push(json!({
        "if": {"properties": {"component_type": {"type": "null"}}},
        "then": {"if": inferred, "then": then(Scheduled), "else": then(Continuous)},
    }));
    object.insert("allOf".into(), types.into());
    Value::Object(object)
}

fn build() -> Value {
    let mut object = level(keys::at(At::Build));
    let alone = ["repository", "ref", "packages", "buildpacks", "envvars", "nonce"];
    let none: Map<String, Value> = alone.iter().map(|key| ((*key).to_owned(), json!({"type": "null"}))).collect();
    object.insert("if".into(), json!({"required": ["reuse_from"], "properties": {"reuse_from": {"type": "string"}}}));
    object.insert("then".into(), json!({"properties": none}));
    Value::Object(object)
}

fn run(kind: ComponentKind) -> Value {
    let own = keys::at(At::Run).filter(|key| key.kinds.is_empty() || key.kinds.contains(&kind));
    let mut object = level(own);
    if kind == Continuous {
        let needs = ["publish", "health_check_http", "allow_from", "port_protocol"];
        let needs: Map<String, Value> = needs.iter().map(|key| ((*key).to_owned(), json!(["port"]))).collect();
        object.insert("dependentRequired".into(), needs.into());
        object.insert("not".into(), json!({"required": ["health_check_http", "health_check_script"]}));
    }
    Value::Object(object)
}

/// What a key's value may be.
fn value(at: At, key: &str) -> Value {
    match (at, key) {
        (_, "config_version") => json!({"type": "string", "enum": ["v1beta1"]}),
        (_, "components") => json!({
            "type": "object", "minProperties": 1, "maxProperties": MAX_COMPONENTS,
            "propertyNames": {"pattern": NAME}, "additionalProperties": {"$ref": "#/$defs/component"},
        }),
        (_, "component_type") => words::<ComponentKind>(),
        (At::Component, "build") => json!({"$ref": "#/$defs/build"}),
        // Its keys follow from the component type, below.
        (At::Component, "run") => json!({"type": "object"}),
        (_, "env" | "envvars") => {
            json!({"type": "object", "propertyNames": {"pattern": VARIABLE}, "additionalProperties": {"type": ["string", "number"]}})
        }
        (_, "secrets") => json!({"type": "array", "items": {"type": "string", "pattern": VARIABLE}}),
        (_, "packages" | "buildpacks" | "allow_from") => {
            json!({"type": "array", "items": {"type": "string", "minLength": 1}})
        }
        (_, "publish") => {
            let path = json!({"type": "string", "pattern": "^/"});
            json!({"anyOf": [path, {"type": "array", "items": path}]})
        }
        (_, "defaults") => json!({"type": "object"}),
        (_, "reuse_from") => json!({"type": "string", "pattern": NAME}),
        (_, "repository") => json!({"type": "string", "pattern": "^(https?|git)://[^@]+$"}),
        (_, "use_latest_versions" | "use_deprecated_versions" | "filelog") => json!({"type": "boolean"}),
        (_, "nonce" | "run_id") => json!({"type": ["string", "number"]}),
        (_, "cpu" | "memory") => {
            json!({"type": ["string", "number"], "pattern": "^[0-9.]+([eE][0-9]+|[numkMGTPE]|[KMGTPE]i)?$"})
        }
        (_, "mount") => json!({"type": "string", "enum": ["none", "dumps", "all"]}),
        (_, "emails") => json!({"type": "string", "enum": ["none", "all", "onfinish", "onfailure"]}),
        (_, "port") => json!({"type": "integer", "minimum": 1, "maximum": 65535}),
        (_, "port_protocol") => json!({"type": "string", "enum": ["tcp", "udp"]}),
        (_, "replicas") => json!({"type": "integer", "minimum": 0, "maximum": 100}),
        (_, "health_check_http") => json!({"type": "string", "pattern": "^/"}),
        (_, "retry") => json!({"type": "integer", "minimum": 0, "maximum": 5}),
        (_, "timeout") => json!({"type": "integer", "minimum": 0}),
        _ => json!({"type": "string", "minLength": 1}),
    }
}

/// The words of an enum that serde spells.
fn words<T: schemars::JsonSchema>() -> Value {
    let schema: Schema = T::json_schema(&mut SchemaGenerator::default());
    // Documented variants come as alternatives with one word each.
    let one = |alternative: &Value| alternative.get("const").cloned();
    let alternatives = schema.get("oneOf").and_then(Value::as_array).map(|all| all.iter().filter_map(one).collect());
    let words: Option<Vec<Value>> = alternatives.or_else(|| schema.get("enum").and_then(Value::as_array).cloned());
    json!({"type": "string", "enum": words.unwrap_or_default()})
}
