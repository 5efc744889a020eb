//! The printed YAML, where readers disagree.

use renderer::{Object, to_yaml};
use serde_json::{Value, json};

fn object(data: Value) -> Object {
    Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}))
        .expect("an object")
}

/// What YAML 1.1 or 1.2 would take for something other than this text if it stood plain.
const QUOTED: &[&str] = &[
    "",
    " ",
    "~",
    "null",
    "Null",
    "y",
    "Y",
    "n",
    "yes",
    "No",
    "NO",
    "on",
    "Off",
    "true",
    "FALSE",
    "1",
    "-1",
    "0808",
    "0o17",
    "0x1f",
    "0b1",
    "1_000",
    "1e3",
    "1.10",
    ".5",
    ".inf",
    "-.inf",
    ".nan",
    "12:30:45",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    "=",
    "<<",
    "- a",
    "? a",
    "a: b",
    "a:",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "@daily",
    "`a",
    "a ",
    "{}",
    "a\tb",
    "a\u{85}b",
    "a\u{9b}2J",
    "a\u{202e}b\u{2066}c",
    "a\u{200b}b\u{61c}",
    "1E",
    "1.e3",
    "0x1m",
    "1:30s",
    ".x",
];

/// What stays plain, for people's eyes.
const PLAIN: &[&str] = &[
    "web",
    "apps/v1",
    "toolforge.org/tool",
    "/public/dumps",
    "registry.example:5000/a@sha256:0a",
    "RuntimeDefault",
    "a b c",
    "redis://redis.example:6379",
    "x-y_z",
    "nano",
    "e3",
    "yesterday",
    "512Mi",
    "500m",
    "1.5Gi",
    "1h",
    "./run",
    "a, b",
];

#[test]
fn a_text_is_quoted_exactly_where_a_reader_could_misread_it() {
    for text in QUOTED {
        let printed = to_yaml(&[object(json!({"key": text}))]);
        assert!(printed.contains("  key: \""), "{printed}");
    }
    for text in PLAIN {
        let printed = to_yaml(&[object(json!({"key": text}))]);
        assert!(printed.ends_with(&format!("  key: {text}\n")), "{printed}");
    }
}

#[test]
fn keys_are_quoted_by_the_same_rule() {
    let printed = to_yaml(&[object(json!({"on": "a", "1": "b", "a.b/c": "d"}))]);
    assert!(printed.ends_with("\"1\": b\n  a.b/c: d\n  \"on\": a\n"), "{printed}");
}

#[test]
fn fields_stand_in_the_order_people_expect() {
    let value = json!({
        "spec": {"b": [{"value": 1, "name": "x"}, [1, []], "s"], "a": {}, "c": null, "d": "one\ntwo\n", "e": "one\ntwo"},
        "metadata": {"namespace": "ns", "labels": {"z": "1", "a": "2"}, "name": "a"},
        "kind": "K",
        "apiVersion": "v1",
    });
    let printed = to_yaml(&[Object::new(value).expect("an object")]);
    let expected = r#"apiVersion: v1
kind: K
metadata:
  name: a
  namespace: ns
  labels:
    a: "2"
    z: "1"
spec:
  a: {}
  b:
  - name: x
    value: 1
  - - 1
    - []
  - s
  c: null
  d: |
    one
    two
  e: |-
    one
    two
"#;
    assert_eq!(printed, expected);
}

#[test]
fn texts_of_all_shapes_read_back_equal() {
    let shapes = [
        "a\n",
        "\n",
        "\na",
        "a\n\n",
        "a\n\nb",
        " a\nb",
        "a\n b\n",
        "a \nb",
        "a\r\nb",
        "a\n\u{2028}b",
        "\u{feff}a\nb",
        "a\u{7f}",
        "\"\\",
        "---",
        "--- a",
        "...",
        "a\n---\nb\n",
        "%a",
        "\u{fffe}",
        "日本語",
        "é: è",
        "😀",
        "a\u{a0}b",
        "'",
        "it's",
        "|",
        ">-",
    ];
    for text in shapes.iter().chain(QUOTED).chain(PLAIN) {
        let expected = object(json!({"key": text, "list": [text, {*text: text}]}));
        let printed = to_yaml(std::slice::from_ref(&expected));
        let read: Value = serde_yaml::from_str(&printed).unwrap_or_else(|e| unreachable!("{e}\n{printed}"));
        assert_eq!(read, expected.value, "{printed}");
    }
}

#[test]
fn what_steers_a_terminal_is_escaped_also_in_a_text_of_several_lines() {
    let text = "one\ntwo\u{2066}\u{202e}\u{1b}[2J\nthree";
    let printed = to_yaml(&[object(json!({"a": text}))]);
    assert!(!printed.contains(|c| c != '\n' && renderer::diagnostic::steers(c)), "{printed:?}");
    let read: Value = serde_yaml::from_str(&printed).expect("YAML");
    assert_eq!(read.pointer("/data/a").and_then(Value::as_str), Some(text));
}
