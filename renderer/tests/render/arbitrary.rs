//! Any valid config: what parsing can hand to rendering.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use renderer::ComponentName;
use renderer::config::{Build, Component, Config, HealthCheck, Port, Protocol, Run, RunKind, Source};
use std::collections::BTreeMap;

/// Any valid config of up to six components.
pub fn config() -> impl Strategy<Value = Config> {
    let components = btree_map(name(), component(), 1..6);
    (env(), secrets(), components).prop_map(|(env, secrets, components)| Config {
        env,
        secrets,
        components: mended(components),
    })
}

/// `reuse_from` names a component that is built; where there is none, everything is built.
fn mended(mut components: BTreeMap<ComponentName, Component>) -> BTreeMap<ComponentName, Component> {
    let built = components.iter().find(|(_, c)| matches!(c.source, Source::Build(_))).map(|(name, _)| name.clone());
    for component in components.values_mut() {
        if let Source::Reuse(target) = &mut component.source {
            match &built {
                Some(name) => *target = name.clone(),
                None => component.source = Source::Build(Build::default()),
            }
        }
    }
    components
}

fn name() -> impl Strategy<Value = ComponentName> {
    "[a-z]([-a-z0-9]{0,50}[a-z0-9])?".prop_map(|text| ComponentName::new(text).expect("a name"))
}

fn env() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[A-Z_][A-Z0-9_]{0,12}", "\\PC{0,20}|yes|0x1f|1e3|a: b|\n  x\n|~", 0..4)
}

fn secrets() -> impl Strategy<Value = Vec<String>> {
    vec("[A-Za-z][A-Za-z0-9_]{2,8}", 0..3)
}

fn component() -> impl Strategy<Value = Component> {
    (source(), run(), env(), secrets()).prop_map(|(source, run, env, secrets)| Component { source, run, env, secrets })
}

fn source() -> impl Strategy<Value = Source> {
    let build = (of("https://git\\.example/[a-z]{1,9}"), of("main|HEAD|v[0-9]"), vec("[a-z]{2,6}", 0..3), of("[0-9]"))
        .prop_map(|(repository, reference, packages, nonce)| Build {
            repository,
            reference,
            packages,
            nonce,
            ..Build::default()
        });
    prop_oneof![
        build.prop_map(Source::Build),
        name().prop_map(Source::Reuse),
        "example\\.org(:5000)?/[a-z]{1,9}(:[a-z0-9]{1,9})?".prop_map(Source::Image),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let word = "[a-z][a-z0-9=./-]{0,9}|'[^']{0,9}'";
    let quantities = (of("[1-9]00m|0\\.[1-9]|1|2"), of("[1-9]00Mi|[1-4]Gi|0\\.[5-9]Gi|[1-9]00M"));
    let emails = of(prop_oneof![Just("none"), Just("all"), Just("onfailure")].prop_map(str::to_owned));
    (vec(word, 1..4), quantities, any::<bool>(), emails, kind()).prop_map(
        |(words, (cpu, memory), mount_dumps, emails, kind)| Run {
            command: words.join(" "),
            cpu,
            memory,
            mount_dumps,
            emails,
            kind,
        },
    )
}

fn kind() -> impl Strategy<Value = RunKind> {
    let schedule =
        prop_oneof![Just("@hourly"), Just("@monthly"), Just("@yearly"), Just("*/5 * * * *"), Just("0 4 * * mon-fri")];
    prop_oneof![
        3 => continuous(),
        1 => (schedule, 0u32..6, of(0u64..9000)).prop_map(|(schedule, retry, timeout_secs)| RunKind::Scheduled {
            schedule: schedule.to_owned(),
            retry,
            timeout_secs,
        }),
        1 => (0u32..6, of(0u64..9000), of("[a-z0-9]{1,9}"))
            .prop_map(|(retry, timeout_secs, run_id)| RunKind::OneOff { retry, timeout_secs, run_id }),
    ]
}

fn continuous() -> impl Strategy<Value = RunKind> {
    let check = prop_oneof!["/[a-z]{0,9}".prop_map(HealthCheck::Http), "[a-z]{1,9} -x".prop_map(HealthCheck::Script)];
    let port = of((1u16.., any::<bool>()));
    (port, vec("/[a-z]{0,9}", 0..3), 0u32..5, of(check), vec("[a-z][a-z0-9]{0,9}", 0..3)).prop_map(
        |(port, publish, replicas, check, allow_from)| {
            let protocol = |tcp| if tcp { Protocol::Tcp } else { Protocol::Udp };
            let port = port.map(|(number, tcp)| Port { number, protocol: protocol(tcp) });
            let tcp = port.is_some_and(|port| port.protocol == Protocol::Tcp);
            RunKind::Continuous {
                port,
                publish: if tcp { publish } else { Vec::new() },
                replicas,
                health_check: check.filter(|check| tcp || matches!(check, HealthCheck::Script(_))),
                allow_from: if port.is_some() { allow_from } else { Vec::new() },
            }
        },
    )
}
