//! The committed JSON Schema is the one the code makes, and it says what the reader says.
//! `UPDATE_GOLDEN=1 cargo test -p renderer --test json_schema` writes it anew.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "reads the committed schema, and has failed where it cannot"
)]

use renderer::config::{self, ParseContext};
use renderer::{Files, json_schema};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn the_committed_schema_is_the_one_the_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/toolforge.schema.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&sorted(&json_schema::schema())).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), made, "run with UPDATE_GOLDEN=1");
}

/// Keys in one order, whatever features another crate switches on in serde_json.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            entries
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// As much of JSON Schema as ours uses, but for patterns.
fn valid(schema: &Value, value: &Value) -> bool {
    let root = json_schema::schema();
    holds(&root, schema, value)
}

fn holds(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(rules) = schema.as_object() else { return schema != &json!(false) };
    rules.iter().all(|(rule, said)| rule_holds(root, rules, (rule, said), value))
}

fn rule_holds(
    root: &Value,
    rules: &serde_json::Map<String, Value>,
    (rule, said): (&str, &Value),
    value: &Value,
) -> bool {
    let list = || said.as_array().unwrap();
    let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
    let object = value.as_object();
    match rule {
        "$ref" => holds(root, root.pointer(&said.as_str().unwrap()[1..]).unwrap(), value),
        "type" => said.as_array().map_or_else(|| is(said, value), |kinds| kinds.iter().any(|kind| is(kind, value))),
        "enum" => list().contains(value),
        "const" => said == value,
        "allOf" => list().iter().all(|s| holds(root, s, value)),
        "anyOf" => list().iter().any(|s| holds(root, s, value)),
        "not" => !holds(root, said, value),
        "if" => {
            let branch = if holds(root, said, value) { "then" } else { "else" };
            rules.get(branch).is_none_or(|s| holds(root, s, value))
        }
        "required" => object.is_none() || list().iter().all(has),
        "dependentRequired" => said
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, needs)| value.get(key).is_none() || needs.as_array().unwrap().iter().all(has)),
        "properties" => {
            object.is_none()
                || said.as_object().unwrap().iter().all(|(key, s)| value.get(key).is_none_or(|v| holds(root, s, v)))
        }
        "additionalProperties" => object.is_none_or(|object| {
            let known =
                |key: &String| rules.get("properties").is_some_and(|p| p.get(key).is_some()) || key.starts_with("x-");
            object.iter().filter(|(key, _)| !known(key)).all(|(_, v)| holds(root, said, v))
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|v| holds(root, said, v))),
        "minimum" => value.as_f64().is_none_or(|n| n >= said.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|n| n <= said.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|s| s.len() as u64 >= said.as_u64().unwrap()),
        "minProperties" => object.is_none_or(|o| o.len() as u64 >= said.as_u64().unwrap()),
        "maxProperties" => object.is_none_or(|o| o.len() as u64 <= said.as_u64().unwrap()),
        // Patterns need a regex engine; the rest says nothing about validity by itself.
        "pattern" | "patternProperties" | "propertyNames" | "then" | "else" | "description" | "title" | "$schema"
        | "$defs" => true,
        other => unreachable!("the schema uses {other}, which this test does not know"),
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => unreachable!("{other}"),
    }
}

#[test]
fn the_schema_and_the_reader_agree() {
    let component = |body: Value| json!({"components": {"c": body}});
    let cases = [
        component(json!({"run": {"command": "a"}})),
        component(json!({"component_type": null, "run": {"command": "a", "port": null}})),
        component(
            json!({"run": {"command": "a", "port": 8000, "publish": "/", "replicas": 2, "cpu": 1, "memory": "1Gi"}}),
        ),
        component(json!({"run": {"command": "a", "port": 8000, "publish": ["/", "/api"], "allow_from": ["b"]}})),
        component(json!({"run": {"command": "a", "schedule": "@daily", "timeout": 60, "retry": 5}})),
        component(json!({"component_type": "scheduled", "run": {"command": "a", "schedule": "@daily", "timeout": 60}})),
        component(json!({"component_type": "one-off", "run": {"command": "a", "run_id": 3, "retry": 1}})),
        component(
            json!({"image": "python:3.13", "env": {"A": "b", "N": 3}, "secrets": ["KEY"], "run": {"command": "a"}}),
        ),
        component(
            json!({"build": {"repository": "https://h.example/a", "ref": "main", "packages": ["ffmpeg"]}, "run": {"command": "a"}}),
        ),
        component(json!({"x-note": 1, "run": {"command": "a"}})),
        // And what both refuse.
        component(json!({})),
        component(json!({"run": {}})),
        component(json!({"run": {"command": 5}})),
        component(json!({"run": {"command": "a", "memroy": "1Gi"}})),
        component(json!({"run": {"command": "a", "port": 70000}})),
        component(json!({"run": {"command": "a", "publish": "/"}})),
        component(json!({"run": {"command": "a", "port": 1, "health_check_http": "/", "health_check_script": "b"}})),
        component(json!({"run": {"command": "a", "schedule": "@daily", "port": 8000}})),
        component(json!({"component_type": "continuous", "run": {"command": "a", "schedule": "@daily"}})),
        component(json!({"component_type": "scheduled", "run": {"command": "a"}})),
        component(json!({"component_type": "scheduled", "run": {"command": "a", "schedule": "@daily", "run_id": "x"}})),
        component(json!({"component_type": "one-off", "run": {"command": "a", "replicas": 2}})),
        component(json!({"component_type": "web", "run": {"command": "a"}})),
        component(json!({"image": "a", "build": {}, "run": {"command": "a"}})),
        component(json!({"build": {"reuse_from": "c", "ref": "main"}, "run": {"command": "a"}})),
        json!({"components": {}}),
        json!({"config_version": "v1", "components": {"c": {"run": {"command": "a"}}}}),
        json!({"components": {"c": {"run": {"command": "a"}}}, "owner": "b"}),
        json!([]),
    ];
    for case in cases {
        // JSON is YAML.
        let files = Files { config: Some(case.to_string().into_bytes()), ..Files::default() };
        let report = config::parse(&files, &ParseContext::default()).report;
        assert_eq!(valid(&json_schema::schema(), &case), report.is_good(), "{case}\n{:?}", report.diagnostics);
    }
}
