//! Nothing a stranger commits may panic, hang, or make a report that points nowhere; what we write, we read.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "measures time, and fails where a value is missing"
)]

use proptest::prelude::*;
use renderer::config::{
    self, Build, Component, Config, HealthCheck, ParseContext, Port, Protocol, Run, RunKind, Source,
};
use renderer::diagnostic::{MAX_LISTED, Report, lines, print};
use renderer::{ComponentName, Files, infer, platform, tool};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn files(bytes: &[u8]) -> [Files; 3] {
    let some = || Some(bytes.to_vec());
    [
        Files { config: some(), ..Files::default() },
        Files { procfile: some(), ..Files::default() },
        Files { service_template: some(), ..Files::default() },
    ]
}

/// Everything that reads bytes, on these bytes.
fn read_all(bytes: &[u8]) {
    for files in files(bytes) {
        let parsed = config::parse(&files, &ParseContext::default());
        assert_eq!(parsed, config::parse(&files, &ParseContext::default()), "reading is deterministic");
        assert!(!parsed.unusable || parsed.config.components.is_empty());
        assert_eq!(parsed.report.is_good(), !parsed.unusable && parsed.withheld.is_empty(), "{:?}", parsed.report);
        check(&parsed.report, bytes);
    }
    check(&platform::parse(bytes, "platform.yaml").1, bytes);
    check(&tool::parse(bytes, "tools/a.yaml").1, bytes);
}

fn check(report: &Report, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(report.diagnostics.len() <= MAX_LISTED + 1);
    for d in &report.diagnostics {
        assert!(d.hint.is_some() && d.message.len() < 1_000, "{d:?}");
        if let Some(place) = d.place {
            let line = lines(&text).nth(place.line as usize - 1);
            let length = line.expect("the line is there").chars().count();
            assert!(place.column >= 1 && place.column as usize <= length + 1 && place.width >= 1, "{d:?}");
        }
    }
    let named: Vec<(&str, &[u8])> = report.diagnostics.iter().map(|d| (d.file.as_str(), bytes)).collect();
    let printed = print(report, &named, false);
    assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "a terminal could be steered");
    assert!(printed.lines().all(|line| line.chars().count() < 2_000));
}

/// Text of the words this format is made of: far likelier to get deep than random bytes.
fn yamlish() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "components",
        "web",
        "run",
        "build",
        "command",
        "schedule",
        "port",
        "publish",
        "env",
        "secrets",
        "ref",
        "repository",
        "reuse_from",
        "image",
        "component_type",
        "continuous",
        "scheduled",
        "cpu",
        "memory",
        "replicas",
        "mount",
        "metadata",
        "spec",
        "kind",
        "Tool",
        "Platform",
        "apiVersion",
        "toolforge.org/v1alpha1",
        "name",
        "limits",
        "promotion",
        "soak",
        "domain",
        "x",
        "\"@daily\"",
        "*/2",
        "1.10",
        "yes",
        "0808",
        "~",
        "<<",
        "&a",
        "*a",
        "!!str",
        "!tag",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        ": ",
        ":\n",
        "\n",
        "\n  ",
        "\n    ",
        "\n      ",
        "\t",
        "\"",
        "'",
        "|",
        ">",
        "#",
        "%",
        "@",
        "`",
        "---",
        "...",
        "\r",
        "\r\n",
        "\u{feff}",
        "\u{2028}",
        "ä",
        "💥",
        "\0",
        "https://me:pw@h/x",
        "1e999",
        "99999999999999999999",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// A good file with one part cut, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    const GOOD: &str = "config_version: v1beta1\nenv: {A: b}\ncomponents:\n  web:\n    build: {repository: https://h.example/a, ref: main}\n    run: {command: web, port: 8000, publish: [/, /api], replicas: 2}\n  cron:\n    build: {reuse_from: web}\n    run:\n      command: x\n      schedule: \"*/5 * * * *\"\n";
    (0..GOOD.len(), 0..40usize, yamlish()).prop_map(|(at, cut, put)| {
        let end = (at + cut).min(GOOD.len());
        format!("{}{}{}", &GOOD[..at], put, &GOOD[end..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
    }

    #[test]
    fn no_text_of_our_words_panics(text in yamlish()) {
        read_all(text.as_bytes());
    }

    #[test]
    fn no_mutation_of_a_good_file_panics(text in mutated()) {
        read_all(text.as_bytes());
    }

    #[test]
    fn what_is_written_down_is_read_again(config in config()) {
        let text = infer::to_yaml(&config);
        let files = Files { config: Some(text.clone().into_bytes()), ..Files::default() };
        let parsed = config::parse(&files, &ParseContext::default());
        prop_assert!(parsed.report.is_good(), "{}\n{:#?}", text, parsed.report);
        prop_assert_eq!(parsed.config, config, "{}", text);
    }

    #[test]
    fn what_is_inferred_is_read_again(names in prop::collection::btree_set("[a-z][a-z0-9-]{0,10}[a-z0-9]", 1..6), command in "[a-z$ ]{0,20}x") {
        let procfile: String = names.iter().map(|name| format!("{name}: {command}\n")).collect();
        let inferred = config::parse(&Files { procfile: Some(procfile.into_bytes()), ..Files::default() }, &ParseContext::default());
        prop_assert!(inferred.report.is_good());
        let written = Files { config: Some(infer::to_yaml(&inferred.config).into_bytes()), ..Files::default() };
        prop_assert_eq!(config::parse(&written, &ParseContext::default()).config, inferred.config);
    }
}

/// Any good config: what reading normalises is already normal.
fn config() -> impl Strategy<Value = Config> {
    let env = || {
        prop::collection::btree_map("X_[A-Z0-9_]{0,8}", any::<String>().prop_map(|value| value.replace('\0', "")), 0..3)
    };
    let secrets =
        || prop::collection::btree_set("Y_[A-Z]{1,8}", 0..3).prop_map(|names| names.into_iter().collect::<Vec<_>>());
    let component = (source(), run(), env(), secrets()).prop_map(|(source, run, env, secrets)| Component {
        source,
        run,
        env,
        secrets,
    });
    let components = prop::collection::btree_map("[a-z][a-z0-9-]{0,8}[a-z0-9]", component, 1..4);
    (env(), secrets(), components).prop_map(|(env, secrets, components)| {
        let mut config = Config { env, secrets, components: BTreeMap::new() };
        for (at, (name, mut component)) in components.into_iter().enumerate() {
            if let RunKind::Continuous { publish, .. } = &mut component.run.kind {
                // Paths are unique in a file.
                publish.iter_mut().for_each(|path| path.push_str(&format!("-{at}")));
            }
            config.components.insert(ComponentName::new(name).unwrap(), component);
        }
        config
    })
}

fn source() -> impl Strategy<Value = Source> {
    let build = (
        prop::option::of("https://[a-z]{1,8}\\.example/[a-z0-9/_]{0,10}x"),
        prop::option::of("[a-z0-9][a-z0-9/_-]{0,8}[a-z0-9]"),
        prop::collection::btree_set("[a-z0-9][a-z0-9+-]{1,10}", 0..3),
        prop::collection::btree_map("X_[A-Z]{1,8}", "[^\\x00]{0,12}", 0..2),
        any::<bool>(),
        prop::option::of("[a-zA-Z0-9 .:#-]{1,10}"),
    )
        .prop_filter_map(
            "no double slash",
            |(repository, reference, packages, envvars, use_latest_versions, nonce)| {
                let reference: Option<String> = reference;
                if reference.as_ref().is_some_and(|r| r.contains("//") || r.ends_with(".lock")) {
                    return None;
                }
                let packages = packages.into_iter().collect();
                Some(Source::Build(Build {
                    repository,
                    reference,
                    packages,
                    buildpacks: vec!["heroku/python".to_owned()],
                    envvars,
                    use_latest_versions,
                    nonce,
                }))
            },
        );
    prop_oneof![build, "[a-z]{1,8}\\.example/[a-z0-9]{1,8}(:[a-z0-9][a-z0-9.]{0,8})?".prop_map(Source::Image)]
}

fn run() -> impl Strategy<Value = Run> {
    let text = || "[a-zA-Z0-9 =:#@*&!|>%{}-]{0,20}[a-z]";
    let health = prop::option::of(prop_oneof![
        "/[a-z0-9?=&-]{0,10}".prop_map(HealthCheck::Http),
        text().prop_map(HealthCheck::Script)
    ]);
    let continuous = (
        1..=u16::MAX,
        prop::collection::btree_set("/[a-z]{1,8}", 0..3),
        0..=100u32,
        health,
        prop::collection::btree_set("[a-z]{1,8}", 0..2),
    )
        .prop_map(|(number, publish, replicas, health_check, allow_from)| RunKind::Continuous {
            port: Some(Port { number, protocol: Protocol::Tcp }),
            publish: publish.into_iter().collect(),
            replicas,
            health_check,
            allow_from: allow_from.into_iter().collect(),
        });
    let worker = (0..3u32).prop_map(|replicas| RunKind::Continuous {
        port: None,
        publish: Vec::new(),
        replicas,
        health_check: None,
        allow_from: Vec::new(),
    });
    let schedule = prop::sample::select(vec!["@daily", "*/2 * * * *", "0 0 * * mon-fri", "5 4 1-7 jan,feb ?"]);
    let scheduled =
        (schedule, 0..=5u32, prop::option::of(0..9_999_999u64)).prop_map(|(schedule, retry, timeout_secs)| {
            RunKind::Scheduled { schedule: schedule.to_owned(), retry, timeout_secs }
        });
    let one_off = (0..=5u32, prop::option::of(0..9_999_999u64), prop::option::of("[a-zA-Z0-9.:-]{1,10}"))
        .prop_map(|(retry, timeout_secs, run_id)| RunKind::OneOff { retry, timeout_secs, run_id });
    let cpu = prop::option::of(prop::sample::select(vec!["1", "0.5", "500m", "1.50"]).prop_map(str::to_owned));
    let memory = prop::option::of(prop::sample::select(vec!["512Mi", "1G", "1.5Gi", "1e9"]).prop_map(str::to_owned));
    let emails = prop::option::of(prop::sample::select(vec!["none", "all", "onfailure"]).prop_map(str::to_owned));
    (text(), cpu, memory, emails, prop_oneof![continuous, worker, scheduled, one_off])
        .prop_map(|(command, cpu, memory, emails, kind)| Run { command, cpu, memory, mount_dumps: false, emails, kind })
}

/// An alias bomb, a long line, deep nesting, many components, many duplicates: each read, and told, in time.
#[test]
fn bombs_are_told_in_time() {
    let bomb = |levels: usize| {
        let level =
            |n: usize| format!("x-{n}: &a{n} [{}]\n", vec![format!("*a{}", n.saturating_sub(1)); 10].join(", "));
        format!(
            "x-0: &a0 [a, b, c, d, e, f, g, h, i, j]\n{}components: *a{levels}\n",
            (1..=levels).map(level).collect::<String>()
        )
    };
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let mib = 1_000_000;
    for (what, text) in [
        ("alias bomb", bomb(9)),
        ("aliases of a long text", format!("x-a: &a \"{}\"\nx-b: [{}]\n", "a".repeat(900_000), "*a, ".repeat(19_900))),
        ("a long plain line", format!("components: {}", "a".repeat(mib))),
        ("a long quoted line", format!("components: \"{}\"", "a ".repeat(mib / 2))),
        ("a long key", format!("{}: 1", "a".repeat(mib))),
        ("a long command", format!("components: {{web: {{run: {{command: \"{}\"}}}}}}", "a ".repeat(mib / 2))),
        ("brackets", "[".repeat(mib)),
        ("braces", "{a: ".repeat(mib / 4)),
        ("dashes", "- ".repeat(mib / 2)),
        ("question marks", "? ".repeat(mib / 2)),
        ("tags", "!a ".repeat(mib / 3)),
        ("anchors", many(40_000, &|n| format!("x-{n}: &a{n} 1\n"))),
        ("comments", "#\n".repeat(mib / 2)),
        ("empty lines", "\n".repeat(mib)),
        (
            "10,000 components",
            format!("components:\n{}", many(10_000, &|n| format!("  c{n}: {{run: {{command: c}}}}\n"))),
        ),
        ("duplicates", format!("components:\n  web: {{run: {{command: a}}}}\n{}", "  web: 1\n".repeat(40_000))),
        ("unknown keys", many(40_000, &|n| format!("k{n}: 1\n"))),
        (
            "errors in one component",
            format!(
                "components:\n  web:\n    run:\n      command: a\n{}",
                many(40_000, &|n| format!("      memroy{n}: 1\n"))
            ),
        ),
        (
            "a long cron",
            format!("components: {{c: {{run: {{command: a, schedule: '{}0 0 * * *'}}}}}}", "1,".repeat(mib / 2)),
        ),
        (
            "a long name with many errors",
            format!(
                "components:\n  ? {}\n  : run:\n      command: a\n{}",
                "a".repeat(mib / 2),
                many(20_000, &|n| format!("      k{n}: 1\n"))
            ),
        ),
        (
            "a long key above many",
            format!(
                "components: {{c: {{run: {{command: a}}}}}}\n? x-{}\n: {{{}}}\n",
                "a".repeat(mib / 2),
                many(40_000, &|n| format!("k{n}: 1, "))
            ),
        ),
        ("a long number", format!("components: {{c: {{run: {{command: a, port: {}}}}}}}", "1".repeat(mib))),
        ("a long quantity", format!("components: {{c: {{run: {{command: a, cpu: {}}}}}}}", "1".repeat(mib))),
        (
            "a long host",
            format!(
                "components: {{c: {{build: {{repository: 'https://{}/a'}}, run: {{command: a}}}}}}",
                "a.".repeat(mib / 2)
            ),
        ),
    ] {
        let start = Instant::now();
        for files in files(text.as_bytes()) {
            let parsed = config::parse(&files, &ParseContext::default());
            check(&parsed.report, text.as_bytes());
        }
        let took = start.elapsed();
        // A guard against work that grows with the square of the input (hours here), not a measure of speed.
        assert!(took < Duration::from_secs(120), "{what} took {took:?}");
    }
}

/// Few values, but many bytes: as a scalar, as a key, and within a list.
#[test]
fn aliases_copy_no_more_bytes_than_a_file_may_have() {
    let long = "a".repeat(100_000);
    for anchored in [format!("\"{long}\""), format!("{{? {long} : 1}}"), format!("[[{long}]]")] {
        let told = |aliases: usize| {
            let text = format!(
                "x-a: &a {anchored}\nx-b: [{}]\ncomponents: {{web: {{run: {{command: a}}}}}}\n",
                "*a, ".repeat(aliases)
            );
            let files = Files { config: Some(text.into_bytes()), ..Files::default() };
            let report = config::parse(&files, &ParseContext::default()).report;
            report.errors().map(|d| d.code.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(9), "", "the anchor and nine aliases are 1,000,000 bytes");
        assert_eq!(told(10), "yaml-too-large");
    }
}

#[test]
fn a_caret_stands_before_white_space_of_any_width() {
    read_all("schedule: *a\u{2028}".as_bytes());
    read_all("a:\n  - *b\u{3000}\n".as_bytes());
}
