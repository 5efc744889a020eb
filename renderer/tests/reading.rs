//! What is read, in examples: files of today, loose types, inference, the files of operators.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its case has failed")]

use renderer::config::{self, Config, HealthCheck, ParseContext, Parsed, Protocol, RunKind, Source};
use renderer::{ComponentName, Files, Platform, infer, platform, tool};

fn parse(text: &str) -> Parsed {
    parse_with(text, &ParseContext::default())
}

fn parse_with(text: &str, context: &ParseContext) -> Parsed {
    config::parse(&Files { config: Some(text.as_bytes().to_vec()), ..Files::default() }, context)
}

fn good(text: &str) -> Config {
    let parsed = parse(text);
    assert!(parsed.report.is_good() && parsed.withheld.is_empty() && !parsed.unusable, "{text}\n{:#?}", parsed.report);
    parsed.config
}

/// The codes a text earns, in file order.
fn codes(text: &str) -> Vec<String> {
    parse(text).report.diagnostics.into_iter().map(|d| d.code).collect()
}

fn name(text: &str) -> ComponentName {
    ComponentName::new(text).unwrap()
}

/// One line a row of the table of today's keys: each is valid there and must be good here.
#[test]
fn every_valid_file_of_today_is_accepted() {
    let run = |line: &str| {
        format!(
            "components:\n  c:\n    build: {{repository: https://gitlab.example/a, ref: main}}\n    run:\n      command: web\n      {line}\n"
        )
    };
    let scheduled = |line: &str| {
        format!(
            "components:\n  c:\n    component_type: scheduled\n    build: {{repository: https://gitlab.example/a, ref: main}}\n    run:\n      command: web\n      schedule: \"@daily\"\n      {line}\n"
        )
    };
    let build = |line: &str| {
        format!(
            "components:\n  c:\n    build:\n      repository: https://gitlab.example/a\n      {line}\n    run: {{command: web}}\n"
        )
    };
    let head = |line: &str| {
        format!(
            "{line}\ncomponents:\n  c:\n    build: {{repository: https://gitlab.example/a, ref: main}}\n    run: {{command: web}}\n"
        )
    };
    for text in [
        head("config_version: v1beta1"), head("config_version: null"), head("config_version: ~"), head(""), head("source_url: https://gitlab.example/a/raw/main/toolforge.yaml"), head("defaults: {alerts: {enabled: true}}"),
        build("ref: main"), build("ref: HEAD"), build("ref: refs/tags/v1.5.0"), build("ref: feature/x"), build("ref: v1.10.2"), build("ref: 4f2c1e9"),
        build("ref: main\n      use_latest_versions: true"), build("ref: main\n      use_latest_versions: false"), build("ref: main\n      use_deprecated_versions: false"), build("ref: main\n      use_deprecated_versions: true"), build("ref: main\n      envvars: {}"), build("ref: main\n      envvars: {NODE_ENV: production}"),
        "components:\n  a: {build: {repository: 'http://h.example/a', ref: main}, run: {command: a}}\n  b: {build: {reuse_from: a}, run: {command: b}}\n".to_owned(),
        "components:\n  a: {build: {repository: 'git://h.example/a', ref: main}, run: {command: a}}\n".to_owned(),
        run("cpu: \"1\""), run("cpu: '0.5'"), run("cpu: 500m"), run("memory: 512Mi"), run("memory: 1Gi"), run("memory: 1G"), run("memory: \"1.5Gi\""), run("cpu: null"),
        run("emails: none"), run("emails: all"), run("emails: onfinish"), run("emails: onfailure"), run("mount: none"), run("mount: all"),
        run("filelog: true\n      mount: all"), run("filelog: false"), run("filelog_stdout: /data/project/c/c.out"), run("filelog_stderr: c.err"),
        run("port: 8000"), run("port: 1"), run("port: 65535"), run("port: 8000\n      port_protocol: tcp"), run("port: 8000\n      port_protocol: udp"), run("port: 8000\n      publish: /"), run("port: 8000\n      publish: \"/\""),
        run("replicas: 1"), run("replicas: 3"), run("health_check_script: ./check.sh"), run("port: 8000\n      health_check_http: /healthz"), run("health_check_http: null"),
        scheduled("retry: 0"), scheduled("retry: 5"), scheduled("timeout: 0"), scheduled("timeout: 86400"), scheduled("retry: 2\n      timeout: 60"),
        "components:\n  c:\n    component_type: continuous\n    build: {repository: https://gitlab.example/a, ref: main}\n    run: {command: 'bash -c \"cd /app && ./run\"'}\n".to_owned(),
        "# Anchors and merge keys are YAML.\ncomponents:\n  a: &a\n    build: &b {repository: https://gitlab.example/a, ref: main}\n    run: &r {command: a, memory: 1Gi}\n  b:\n    <<: *a\n    run: {<<: *r, command: b}\n  c: {build: *b, run: *r}\n".to_owned(),
        "---\r\ncomponents:\r\n  c:\r\n    build: {repository: https://gitlab.example/a, ref: main}\r\n    run:\r\n      command: >-\r\n        python -m app\r\n        --verbose\r\n...\r\n".to_owned(),
        "\u{feff}components: {c: {build: {repository: https://gitlab.example/a, ref: main}, run: {command: web}}}".to_owned(),
    ] {
        good(&text);
    }
    for schedule in [
        "*/2 * * * *",
        "0 4 * * *",
        "5,10 1-5 1 */2 sun",
        "0/15 * * * *",
        "0 0 * * 7",
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "@DAILY",
    ] {
        good(&format!("components: {{c: {{run: {{command: web, schedule: \"{schedule}\", timeout: 60}}}}}}"));
    }
}

#[test]
fn the_accidents_of_today_are_errors() {
    let component = |body: &str| format!("components:\n  c:\n    {}\n", body.replace('\n', "\n    "));
    for (text, code) in [
        (component("component_type: scheduled\nrun: {command: a, timeout: 1}"), "missing-key"),
        (
            component("component_type: scheduled\nrun: {command: a, schedule: '@daily', timeout: 1, port: 8000}"),
            "wrong-kind",
        ),
        (component("component_type: continuous\nrun: {command: a, schedule: '@daily'}"), "wrong-kind"),
        (component("run: {command: a, memroy: 1Gi}"), "unknown-key"),
        (component("schedule: '@daily'\nrun: {command: a}"), "wrong-level"),
        (component("run: {command: a, schedule: */2 * * * *}"), "yaml-alias"),
        (component("run: {command: a, command: b}"), "duplicate-key"),
        (component("build: {ref: 1.10}\nrun: {command: a}"), "needs-quotes"),
        (component("run: {command: yes}"), "needs-quotes"),
        (component("build: {ref: ''}\nrun: {command: a}"), "empty-value"),
        (component("run: {command: ''}"), "empty-value"),
        (component("run: {command: a, cpu: lots}"), "bad-quantity"),
        (component("run: {command: a, port: 70000}"), "out-of-range"),
        (component("run: {command: a, health_check_http: /}"), "health-check-needs-port"),
        (component("run: {command: a, publish: /}"), "publish-needs-port"),
        (component("run: {command: a, schedule: 'sometimes', timeout: 1}"), "bad-schedule"),
        (component("run: {command: a, schedule: '0 0 31 2 *', timeout: 1}"), "schedule-never-runs"),
        ("source_url: https://gitlab.example/a".to_owned(), "missing-key"),
        ("config_version: v1\ncomponents: {c: {run: {command: a}}}".to_owned(), "config-version"),
        ("components: {My_Comp: {run: {command: a}}}".to_owned(), "bad-name"),
    ] {
        let errors: Vec<String> = parse(&text).report.errors().map(|d| d.code.clone()).collect();
        assert_eq!(errors, [code], "one mistake is one error\n{text}");
    }
}

#[test]
fn a_bad_component_is_withheld_and_its_neighbours_are_read() {
    let parsed = parse(
        "components:\n  web: {run: {command: web, port: 0}}\n  bot: {run: {command: bot}}\n  Bad: {run: {command: x}}\n  none: 5\n",
    );
    assert_eq!(parsed.config.components.keys().map(ComponentName::as_str).collect::<Vec<_>>(), ["bot"]);
    assert_eq!(parsed.withheld.iter().map(|w| w.component.as_str()).collect::<Vec<_>>(), ["web", "Bad", "none"]);
    assert!(!parsed.unusable);
    assert!(parsed.withheld.iter().all(|w| !w.why.is_empty()));
}

#[test]
fn what_may_be_a_one_off_under_a_misspelt_type_lets_nothing_past() {
    let gates = |component: &str| {
        let parsed = parse(&format!("components:\n  web: {{run: {{command: web}}}}\n  other: {component}\n"));
        assert_eq!(parsed.withheld.len(), 1, "{component}");
        parsed.withheld[0].gates
    };
    assert!(gates("{type: one-off, run: {command: migrate}}"));
    assert!(gates("{component_typ: one-off, run: {command: migrate}}"));
    assert!(gates("{run: {component_type: one-off, command: migrate}}"));
    assert!(!gates("{component_type: continuous, run: {command: bot, memroy: 1Gi}}"));
    assert!(!gates("{run: {command: bot, cron: '@daily'}}"));
}

#[test]
fn an_error_that_belongs_to_no_component_makes_the_file_unusable() {
    for text in [
        "components: {web: {run: {command: web}}}\nextra: 1",
        "config_version: v2\ncomponents: {web: {run: {command: web}}}",
        "env: {1A: x}\ncomponents: {web: {run: {command: web}}}",
        "components: [web]",
        "components: {",
        "",
        "[]",
        "text",
    ] {
        let parsed = parse(text);
        assert!(parsed.unusable && parsed.config == Config::default(), "{text}");
        assert!(parsed.report.errors().next().is_some(), "{text}");
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    let config = good(
        "env: {A: b, N: 8, F: 0.5}\nsecrets: [DB_PASSWORD]\ncomponents:\n  web:\n    build: {packages: [ffmpeg, libstdc++6], buildpacks: [heroku/python], nonce: 2, envvars: {X: y}}\n    env: {A: c}\n    run: {command: web, port: 8000, publish: [/, /api/], replicas: 0, health_check_http: /healthz, cpu: 1, memory: 512Mi, allow_from: [other]}\n  dns: {image: 'registry.example/dns:1', run: {command: dns, port: 53, port_protocol: udp}}\n  migrate: {component_type: one-off, run: {command: migrate, retry: 1, timeout: 60, run_id: 3}}\n  refresh: {build: {reuse_from: web}, run: {command: refresh, schedule: '0 0 * * 7', timeout: 60}}\n",
    );
    assert_eq!(config.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["A=b", "F=0.5", "N=8"]);
    assert_eq!(config.secrets, ["DB_PASSWORD"]);
    let web = &config.components[&name("web")];
    let Source::Build(build) = &web.source else { panic!("{web:?}") };
    assert_eq!(
        (build.packages.join(" "), build.nonce.as_deref(), build.repository.as_deref()),
        ("ffmpeg libstdc++6".to_owned(), Some("2"), None)
    );
    assert_eq!(web.run.cpu.as_deref(), Some("1"));
    let RunKind::Continuous { port, publish, replicas, health_check, allow_from } = &web.run.kind else {
        panic!("{web:?}")
    };
    assert_eq!((port.unwrap().number, publish.join(" "), *replicas), (8000, "/ /api".to_owned(), 0));
    assert_eq!(
        (health_check, allow_from.join(" ")),
        (&Some(HealthCheck::Http("/healthz".to_owned())), "other".to_owned())
    );
    let RunKind::Continuous { port: Some(port), .. } = config.components[&name("dns")].run.kind else { panic!() };
    assert_eq!(port.protocol, Protocol::Udp);
    assert_eq!(
        config.components[&name("migrate")].run.kind,
        RunKind::OneOff { retry: 1, timeout_secs: Some(60), run_id: Some("3".to_owned()) }
    );
    assert_eq!(
        config.components[&name("refresh")].run.kind,
        RunKind::Scheduled { schedule: "0 0 * * 0".to_owned(), retry: 0, timeout_secs: Some(60) }
    );
    assert_eq!(config.components[&name("refresh")].source, Source::Reuse(name("web")));
}

#[test]
fn loose_values_of_today_are_read_with_a_note() {
    let config =
        good("components: {c: {build: {use_latest_versions: yes}, run: {command: a, port: '8000', replicas: 2.0}}}");
    let RunKind::Continuous { port, replicas, .. } = config.components[&name("c")].run.kind else { panic!() };
    assert_eq!((port.unwrap().number, replicas), (8000, 2));
    assert_eq!(codes("components: {c: {run: {command: a, port: '8000'}}}"), ["loose-type"]);
    assert_eq!(codes("components: {c: {run: {command: a, schedule: '@daily', timeout: 1_000}}}"), ["loose-type"]);
}

#[test]
fn later_stages_find_the_line_of_every_key() {
    let parsed = parse("components:\n  web:\n    run:\n      command: web\n      port: 8000\n    env: {A: b}\n");
    let at = |path: &str| parsed.places.get(path).map(|place| (place.line, place.column));
    assert_eq!(at("components.web"), Some((2, 3)));
    assert_eq!(at("components.web.run"), Some((3, 5)));
    assert_eq!(at("components.web.run.port"), Some((5, 13)));
    assert_eq!(at("components.web.env.A"), Some((6, 14)));
}

#[test]
fn the_platform_decides_about_hosts_images_dumps_and_limits() {
    let text = "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {name: tools}\nspec:\n  domain: tools.example\n  allowed_hosts: ['*.git.example']\n  allowed_images: [registry.example/tools]\n  dumps: {persistent_volume_claim: {claim_name: dumps}}\n  env: {TOOL_REDIS_URI: 'redis://redis'}\n  limits: {max: {memory: 2Gi}}\n";
    let (platform, report) = platform::parse(text.as_bytes(), "platform.yaml");
    let platform = platform.unwrap_or_else(|| panic!("{report:?}"));
    let (tool, _) = tool::parse(b"apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {name: a}\nspec: {repository: 'ssh://git@own.example/a.git', limits: {max: {cpu: '8'}}}\n", "tools/a.yaml");
    let context = ParseContext::new(&platform, &tool.unwrap());
    let errors = |body: &str| {
        let parsed = parse_with(&format!("components: {{c: {body}}}"), &context);
        parsed.report.errors().map(|d| d.code.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(errors("{build: {repository: https://a.git.example/x}, run: {command: a, mount: dumps, cpu: 8}}"), "");
    assert_eq!(errors("{build: {repository: https://own.example/other}, run: {command: a}}"), "");
    assert_eq!(errors("{build: {repository: https://git.example/x}, run: {command: a}}"), "host-not-allowed");
    assert_eq!(errors("{build: {repository: https://evilgit.example/x}, run: {command: a}}"), "host-not-allowed");
    assert_eq!(errors("{image: registry.example/tools/a:1, run: {command: a}}"), "");
    assert_eq!(errors("{image: registry.example/toolsmith/a:1, run: {command: a}}"), "image-not-allowed");
    assert_eq!(errors("{env: {TOOL_REDIS_URI: x}, run: {command: a}}"), "reserved-env-name");
    assert_eq!(errors("{run: {command: a, memory: 3Gi}}"), "out-of-range");
    assert_eq!(errors("{run: {command: a, cpu: 9}}"), "out-of-range");
}

#[test]
fn a_platform_file_needs_a_domain_only() {
    let (platform, report) = platform::parse(
        b"apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {name: tools}\nspec: {domain: tools.example}\n",
        "platform.yaml",
    );
    let platform = platform.unwrap_or_else(|| panic!("{report:?}"));
    let builtin = Platform::builtin();
    assert_eq!(
        (platform.limits, platform.poll_interval_secs, platform.allowed_hosts),
        (builtin.limits, 60, Vec::new())
    );
}

#[test]
fn a_tool_file_is_read_and_its_path_stays_inside() {
    let text =
        |spec: &str| format!("apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: a}}\nspec: {spec}\n");
    let parse = |spec: &str| tool::parse(text(spec).as_bytes(), "tools/a.yaml");
    let tool = parse(
        "{repository: /srv/git/a, branch: beta, path: ./sub/dir/, uid: 52001, promotion: {from: b, soak: 1h30m}, suspend: true, limits: {quota: {pods: 20}}}",
    );
    let tool = tool.0.unwrap_or_else(|| panic!("{:?}", tool.1));
    assert_eq!(
        (tool.branch.as_str(), tool.path.as_str(), tool.uid, tool.suspend),
        ("beta", "sub/dir", Some(52001), true)
    );
    assert_eq!((tool.promotion.unwrap().soak_secs, tool.limits.quota["pods"].as_str()), (5400, "20"));
    for path in ["/etc", "..", "a/../../b", "a/..", ".git/hooks", "a//b", "a\\b"] {
        assert!(parse(&format!("{{repository: /srv/a, path: '{path}'}}")).0.is_none(), "{path}");
    }
    for good in ["https://h.example/a", "ssh://git@h.example/a", "git@h.example:a/b.git", "file:///srv/a@b", "/srv/a@b"]
    {
        assert!(parse(&format!("{{repository: '{good}'}}")).0.is_some(), "{good}");
    }
    for bad in [
        "https://me:pw@h.example/a",
        "https://token@h.example/a",
        "https://me:p/w@h.example/a",
        "https://me:12/pw@h.example/a",
        "ssh://me:12/pw@h.example/a",
        "me:12/pw@h.example:a",
        "ext::sh -c id",
        "-oProxyCommand=id",
        "ssh://-oProxyCommand=id/a",
        "a/b",
        "ftp://h/a",
    ] {
        assert!(parse(&format!("{{repository: '{bad}'}}")).0.is_none(), "{bad}");
    }
}

fn inferred(procfile: Option<&str>, template: Option<&str>) -> Parsed {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    config::parse(
        &Files { config: None, procfile: bytes(procfile), service_template: bytes(template), secrets: None },
        &ParseContext::default(),
    )
}

#[test]
fn a_procfile_is_enough() {
    let parsed = inferred(Some("# comment\nweb: gunicorn app\nworker: python worker.py\nrelease: ./migrate\n"), None);
    assert!(parsed.report.is_good(), "{:?}", parsed.report);
    assert_eq!(infer::to_yaml(&parsed.config), include_str!("inferred.yaml"));
}

#[test]
fn a_service_template_says_how_web_runs() {
    let template = "type: buildservice\nmem: 1Gi\ncpu: 500m\nreplicas: 2\nhealth-check-path: /healthz\nextra_args: [--workers, '4', it's]\n";
    for procfile in [None, Some("web: gunicorn app\n")] {
        let parsed = inferred(procfile, Some(template));
        assert!(parsed.report.is_good(), "{:?}", parsed.report);
        let run = &parsed.config.components[&name("web")].run;
        assert_eq!(
            (run.command.as_str(), run.memory.as_deref(), run.cpu.as_deref()),
            ("web --workers 4 'it'\\''s'", Some("1Gi"), Some("500m"))
        );
        let RunKind::Continuous { port: Some(port), replicas: 2, health_check: Some(_), .. } = &run.kind else {
            panic!("{run:?}")
        };
        assert_eq!(port.number, infer::WEB_PORT);
    }
}

#[test]
fn a_bad_line_of_a_procfile_leaves_the_file_unusable_and_a_bad_name_its_process_withheld() {
    assert!(inferred(Some("web: a\nnonsense\n"), None).unusable);
    let parsed = inferred(Some("web: a\nMy_Bot: b\n"), None);
    assert!(!parsed.unusable && parsed.config.components.len() == 1 && parsed.withheld.len() == 1);
    assert!(inferred(Some(""), None).unusable);
    assert!(inferred(None, Some("- a\n")).unusable);
}
