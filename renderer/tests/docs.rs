//! docs/toolforge-yaml.md is complete: its tables are made from the code, its examples are good.
//! `UPDATE_GOLDEN=1 cargo test -p renderer --test docs` writes the tables anew.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "reads the documentation, and has failed where it cannot"
)]

use renderer::Files;
use renderer::config::keys::{At, KEYS};
use renderer::config::{self, ParseContext};
use renderer::diagnostic::{Code, Severity};
use std::path::{Path, PathBuf};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/toolforge-yaml.md")
}

fn keys() -> String {
    let mut out = String::new();
    for (at, title) in [
        (At::File, "At the top of the file"),
        (At::Component, "Under a component's name"),
        (At::Build, "Under `build:`"),
        (At::Run, "Under `run:`"),
    ] {
        out.push_str(&format!("### {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"));
        for key in KEYS.iter().filter(|key| key.at == at) {
            let kinds: Vec<&str> = key.kinds.iter().map(|kind| kind.as_str()).collect();
            let only = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
            out.push_str(&format!("| `{}`{only} | {} | {} | {} |\n", key.name, key.value, key.default, key.meaning));
        }
        out.push('\n');
    }
    out
}

fn codes() -> String {
    let mut out = String::new();
    for (severity, title) in [(Severity::Error, "Errors"), (Severity::Note, "Notes")] {
        out.push_str(&format!("### {title}\n\n| code | meaning | what to do |\n|---|---|---|\n"));
        for code in Code::ALL.iter().filter(|code| code.severity() == severity) {
            out.push_str(&format!("| `{}` | {} | {} |\n", code.id(), code.meaning(), code.fix()));
        }
        out.push('\n');
    }
    out
}

fn with_table(text: &str, name: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = text.find(&open).unwrap() + open.len();
    let end = text.find(&close).unwrap();
    format!("{}\n{}{}", &text[..start], table, &text[end..])
}

#[test]
fn the_tables_are_those_of_the_code() {
    let text = std::fs::read_to_string(path()).unwrap();
    let made = with_table(&with_table(&text, "keys", &keys()), "codes", &codes());
    if std::env::var_os("UPDATE_GOLDEN").is_some() && made != text {
        std::fs::write(path(), &made).unwrap();
    } else {
        assert!(made == text, "run with UPDATE_GOLDEN=1");
    }
}

#[test]
fn the_examples_are_good() {
    let text = std::fs::read_to_string(path()).unwrap();
    let examples: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .filter(|example| example.contains("components:"))
        .collect();
    assert!(examples.len() >= 2, "the document has examples");
    for example in examples {
        let files = Files { config: Some(example.as_bytes().to_vec()), ..Files::default() };
        let report = config::parse(&files, &ParseContext::default()).report;
        assert!(report.diagnostics.is_empty(), "{example}\n{report:?}");
    }
}
