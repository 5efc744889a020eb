//! Every folder of `examples/errors/` is one case: what a person wrote, and `expected.txt`, what they read then.
//! `UPDATE_GOLDEN=1 cargo test -p renderer --test golden_errors` writes the expectations anew.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "reads its cases, and has failed where it cannot"
)]

use renderer::diagnostic::{Code, Report, print};
use renderer::licence::{Licence, Licences, Says, judged};
use renderer::{Files, Platform, Revision, Siblings, Tool, platform, render_revision, signers, tool};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/errors")
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

/// The code a folder is named after; what follows `--` tells several cases of one code apart.
fn code_of(case: &Path) -> String {
    let name = case.file_name().unwrap().to_str().unwrap();
    name.split("--").next().unwrap().to_owned()
}

/// Inputs too large to commit, by folder.
fn generated(case: &Path) -> Option<Vec<u8>> {
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let text = match case.file_name()?.to_str()? {
        "file-too-large" => "#".repeat((1 << 20) + 1),
        "too-many" => format!("components:\n{}", many(10_000, &|n| format!("  c{n}: {{run: {{command: c}}}}\n"))),
        "yaml-too-large--values" => format!("components: [{}]", "1,".repeat(100_000)),
        "more-findings" => {
            format!("components:\n{}", many(150, &|n| format!("  c{n}: {{run: {{command: c, memroy: 1Gi}}}}\n")))
        }
        "too-long" => format!("components:\n  web:\n    run:\n      command: {}\n", "a".repeat(5_000)),
        "objects-too-large" => {
            // Seven variables for all, and an eighth for one: 19 components fit, and it is the one that does not.
            let value = "a".repeat(15_000);
            let tool_wide = many(7, &|n| format!("  A{n}: {value}\n"));
            let own = |n: usize| if n == 7 { format!("\n    env: {{B: {value}}}") } else { String::new() };
            let run = "{command: c, schedule: '@daily', timeout: 60}";
            let jobs = many(20, &|n| format!("  c{n}:{}\n    component_type: scheduled\n    run: {run}\n", own(n)));
            format!("env:\n{tool_wide}components:\n{jobs}")
        }
        "too-long--env" => {
            let value = "a".repeat(16_000);
            let tool_wide = many(8, &|n| format!("  A{n}: {value}\n"));
            let web = format!("  web:\n    env: {{A0: b, B: {value}}}\n    run: {{command: c}}\n");
            format!(
                "env:\n{tool_wide}components:\n  bot: {{env: {{B: c}}, run: {{command: c}}}}\n{web}  worse:\n    env: {{B: {value}}}\n    run: {{command: c}}\n"
            )
        }
        _ => return None,
    };
    Some(text.into_bytes())
}

const TOOL: &[u8] = b"apiVersion: toolforge.org/v1alpha1
kind: Tool
metadata: {name: wordcount}
spec: {repository: 'https://gitlab.example/wordcount'}
";

/// Files by name.
type Sources = Vec<(String, Vec<u8>)>;

/// What a person reads of a case: of reading and of rendering.
fn report(case: &Path) -> (Report, Sources) {
    let read = |name: &str| std::fs::read(case.join(name)).ok();
    if let Some(bytes) = read("signers") {
        let name = "signers/operators";
        return (signers::read(name, &String::from_utf8_lossy(&bytes)).1, vec![(name.to_owned(), bytes)]);
    }
    if let Some(bytes) = read("tool.yaml") {
        let name = "tools/wordcount.yaml";
        let (tool, mut report) = tool::parse(&bytes, name);
        tell_idle(&mut report, &Platform::builtin(), tool.as_slice(), (name, &bytes));
        return (report, vec![(name.to_owned(), bytes)]);
    }
    let config = generated(case).or_else(|| read("toolforge.yaml"));
    let files = Files {
        config,
        procfile: read("Procfile"),
        service_template: read("service.template"),
        secrets: read("toolforge.secrets.yaml"),
    };
    let sources: Sources = [
        ("toolforge.yaml", &files.config),
        ("Procfile", &files.procfile),
        ("service.template", &files.service_template),
        ("toolforge.secrets.yaml", &files.secrets),
    ]
    .into_iter()
    .filter_map(|(name, bytes)| Some((name.to_owned(), bytes.clone()?)))
    .collect();
    let mut platform = Platform::builtin();
    if let Some(bytes) = read("platform.yaml") {
        let (parsed, mut report) = platform::parse(&bytes, "platform.yaml");
        if sources.is_empty() {
            parsed.iter().for_each(|platform| tell_idle(&mut report, platform, &[], ("platform.yaml", &bytes)));
            return (report, vec![("platform.yaml".to_owned(), bytes)]);
        }
        platform = parsed.unwrap_or_else(|| panic!("{}: {report:?}", case.display()));
    }
    let tool = tool::parse(TOOL, "tools/wordcount.yaml").0.unwrap();
    let revision = Revision { files, ..Revision::nothing("main") };
    let mut report = render_revision(&platform, &tool, &revision, &Siblings::default()).report;
    let text = read("LICENSE").map(|_| Licence { file: "LICENSE".to_owned(), says: Says::Unknown });
    let licences = Licences(text.into_iter().collect());
    report.diagnostics.extend(judged(platform.licence, &licences, "LICENSE").diagnostics);
    (report, sources)
}

/// As it is told of a whole config repository, which is this one file.
fn tell_idle(report: &mut Report, platform: &Platform, tools: &[Tool], (file, bytes): (&str, &[u8])) {
    if !signers::idle(platform, tools).is_empty() {
        report.diagnostics.extend(signers::told_idle(file, bytes).diagnostics);
    }
}

#[test]
fn every_case_reads_as_expected() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (report, sources) = report(&case);
        let sources: Vec<(&str, &[u8])> =
            sources.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let text = print(&report, &sources, false);
        assert!(!text.contains("canary"), "{}: a value that must not be shown is shown\n{text}", case.display());
        let code = code_of(&case);
        assert!(
            report.diagnostics.iter().any(|d| d.code == code),
            "{}: the case does not earn its code:\n{text}",
            case.display()
        );
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, &text).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "differs from expected.txt; if that is meant, run with UPDATE_GOLDEN=1\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_code_has_a_case() {
    let covered: BTreeSet<String> = cases().iter().map(|case| code_of(case)).collect();
    let known: BTreeSet<String> = Code::ALL.iter().map(|code| code.id().to_owned()).collect();
    assert_eq!(
        known.difference(&covered).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "codes without a case in examples/errors"
    );
    assert_eq!(covered.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "cases named after no code");
}

#[test]
fn every_finding_has_a_hint_and_every_place_lies_in_its_file() {
    for case in cases() {
        let (report, sources) = report(&case);
        for d in &report.diagnostics {
            assert!(d.hint.as_ref().is_some_and(|hint| hint.ends_with(['.', '?'])), "{}: {d:?}", case.display());
            assert!(!d.message.ends_with('.') && !d.message.is_empty(), "{}: {d:?}", case.display());
            let Some(place) = d.place else { continue };
            let source = sources.iter().find(|(name, _)| *name == d.file).unwrap();
            let text = String::from_utf8_lossy(&source.1);
            let line = renderer::diagnostic::lines(&text).nth(place.line as usize - 1).unwrap();
            assert!(place.column as usize <= line.chars().count() + 1, "{}: {d:?}", case.display());
        }
    }
}
