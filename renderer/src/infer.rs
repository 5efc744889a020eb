//! A repository with only a `Procfile` or a `service.template` works too: the file it would have is inferred, and
//! `toolforge init` writes it down.
//!
//! `web` becomes a continuous component with port 8000, published at `/`, as webservices are today; other processes
//! become continuous workers; `release` runs once before the rollout. A component's command is the process' name: the
//! image's launcher runs its line, in a shell, as the Procfile means it. A `service.template` says how `web` runs.

mod procfile;
mod template;
mod write;

pub use write::to_yaml;

use crate::config::{Build, Component, Config, ParseContext, Parsed, Port, Protocol, Run, RunKind, Source};
use crate::diagnostic::{Code, Findings, Report};
use crate::names::ComponentName;
use crate::rendered::Withheld;
use crate::revision::Files;
use std::collections::BTreeMap;

/// The port of an inferred `web`, today's for every webservice.
pub const WEB_PORT: u16 = 8000;

/// The files as a config; none where neither is there.
#[must_use]
pub fn infer(files: &Files, context: &ParseContext) -> Option<Parsed> {
    if files.procfile.is_none() && files.service_template.is_none() {
        return None;
    }
    let mut procfile = Findings::new("Procfile");
    let mut template = Findings::new("service.template");
    let mut components = BTreeMap::new();
    if let Some(bytes) = &files.procfile {
        for name in procfile::processes(bytes, &mut procfile) {
            components.insert(name.clone(), component(&name));
        }
    }
    if let Some(bytes) = &files.service_template
        && let Ok(web) = ComponentName::new("web")
    {
        let start = components.get(&web).cloned().unwrap_or_else(|| component(&web));
        let procfile_alone = files.procfile.is_some() && !components.contains_key(&web);
        let read = template::web(bytes, start, context, &mut template);
        if procfile_alone {
            template.enter(None);
            let message = "the file says how `web` runs, but the Procfile has no `web`";
            template.add(Code::IgnoredKey, None, message).with_hint("Remove the file, or add `web:` to the Procfile.");
        } else if let Some(component) = read {
            components.insert(web, component);
        }
    }
    Some(parsed(components, procfile, template))
}

fn parsed(mut components: BTreeMap<ComponentName, Component>, procfile: Findings, template: Findings) -> Parsed {
    let unusable = [&procfile, &template].iter().any(|findings| findings.blamed().contains(&None));
    let mut withheld = Vec::new();
    let why = |component: Option<&str>| {
        procfile.first_error(component).or(template.first_error(component)).unwrap_or_default().to_owned()
    };
    if unusable {
        withheld.extend(components.keys().map(|name| Withheld {
            component: name.to_string(),
            why: why(None),
            gates: true,
        }));
        components.clear();
    }
    for name in procfile.blamed().iter().chain(&template.blamed()).flatten() {
        let is_new = !withheld.iter().any(|w: &Withheld| w.component == **name);
        if is_new {
            let gates = *name == "release";
            withheld.push(Withheld { component: (*name).to_owned(), why: why(Some(name)), gates });
        }
        components.retain(|good, _| good.as_str() != *name);
    }
    let mut report = Report::default();
    report.diagnostics.extend(procfile.finish().diagnostics);
    report.diagnostics.extend(template.finish().diagnostics);
    let config = Config { components, ..Config::default() };
    Parsed { config, withheld, unusable, places: Default::default(), report }
}

/// What a process of this name becomes.
fn component(name: &ComponentName) -> Component {
    let kind = match name.as_str() {
        "release" => RunKind::OneOff { retry: 0, timeout_secs: None, run_id: None },
        process => RunKind::Continuous {
            port: (process == "web").then_some(Port { number: WEB_PORT, protocol: Protocol::Tcp }),
            publish: if process == "web" { vec!["/".to_owned()] } else { Vec::new() },
            replicas: 1,
            health_check: None,
            allow_from: Vec::new(),
        },
    };
    let run = Run { command: name.to_string(), cpu: None, memory: None, mount_dumps: false, emails: None, kind };
    Component { source: Source::Build(Build::default()), run, env: BTreeMap::new(), secrets: Vec::new() }
}
