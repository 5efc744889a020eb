//! What a person may have meant by a key this format does not have: a key of another level, or a word of a similar
//! system (jobs files, Compose, Kubernetes, Procfile hosts).

use super::keys::{At, KEYS, at};
use crate::decode::{Advice, Level};
use crate::diagnostic::{Code, nearest};

/// Words of similar systems, and the key they mean here.
const WORDS: &[(&str, &str)] = &[
    ("type", "component_type"),
    ("kind", "component_type"),
    ("job_type", "component_type"),
    ("process_type", "component_type"),
    ("environment", "env"),
    ("envs", "env"),
    ("env_vars", "env"),
    ("envvars", "env"),
    ("environment_variables", "env"),
    ("variables", "env"),
    ("mem", "memory"),
    ("ram", "memory"),
    ("memory_limit", "memory"),
    ("cpus", "cpu"),
    ("cpu_limit", "cpu"),
    ("cron", "schedule"),
    ("cronjob", "schedule"),
    ("crontab", "schedule"),
    ("interval", "schedule"),
    ("cmd", "command"),
    ("entrypoint", "command"),
    ("exec", "command"),
    ("script", "command"),
    ("start", "command"),
    ("instances", "replicas"),
    ("scale", "replicas"),
    ("count", "replicas"),
    ("branch", "ref"),
    ("tag", "ref"),
    ("revision", "ref"),
    ("git_ref", "ref"),
    ("commit", "ref"),
    ("repo", "repository"),
    ("url", "repository"),
    ("git", "repository"),
    ("source", "repository"),
    ("source_code", "repository"),
    ("imagename", "image"),
    ("image_name", "image"),
    ("docker_image", "image"),
    ("container", "image"),
    ("use_prebuilt", "image"),
    ("ports", "port"),
    ("expose", "port"),
    ("target_port", "port"),
    ("protocol", "port_protocol"),
    ("route", "publish"),
    ("routes", "publish"),
    ("ingress", "publish"),
    ("path", "publish"),
    ("paths", "publish"),
    ("public", "publish"),
    ("domain", "publish"),
    ("health_check", "health_check_http"),
    ("healthcheck", "health_check_http"),
    ("health_check_path", "health_check_http"),
    ("liveness_probe", "health_check_http"),
    ("retries", "retry"),
    ("restart", "retry"),
    ("backoff_limit", "retry"),
    ("max_runtime", "timeout"),
    ("deadline", "timeout"),
    ("apt", "packages"),
    ("aptfile", "packages"),
    ("apt_packages", "packages"),
    ("buildpack", "buildpacks"),
    ("latest", "use_latest_versions"),
    ("reuse", "reuse_from"),
    ("secret", "secrets"),
    ("email", "emails"),
    ("mail", "emails"),
    ("allow", "allow_from"),
    ("network_policy", "allow_from"),
    ("version", "config_version"),
    ("apiversion", "config_version"),
    ("services", "components"),
    ("jobs", "components"),
    ("apps", "components"),
];

/// Words that need a sentence of their own, and the key they mean, if any.
const SENTENCES: &[(&str, &str, Option<&str>)] = &[
    ("volumes", "The only volume is `mount: dumps`; keep data in a database.", None),
    ("volume", "The only volume is `mount: dumps`; keep data in a database.", None),
    ("mounts", "The only volume is `mount: dumps`; keep data in a database.", None),
    ("name", "A component's name is the key it stands under: `components: {web: {...}}`.", None),
    ("continuous", "Write `component_type: continuous` beside `run:`.", Some("component_type")),
    ("scheduled", "Write `component_type: scheduled` beside `run:`.", Some("component_type")),
    ("webservice", "Write `component_type: continuous`, `port: 8000` and `publish: /`.", Some("component_type")),
    ("resources", "Write `cpu:` and `memory:` under `run:`.", None),
    ("limits", "Write `cpu:` and `memory:` under `run:`.", None),
    ("requests", "Write `cpu:` and `memory:` under `run:`.", None),
    ("dockerfile", "Images are built by buildpacks from a Procfile, or name a finished one with `image:`.", None),
    ("namespace", "The platform chooses the namespace; remove the key.", None),
    ("no_filelog", "Logs go to stdout and stderr; remove the key.", None),
    ("wait", "`toolforge apply --wait` waits; remove the key.", None),
    ("args", "Write the arguments into `command:`.", None),
];

/// The level of `toolforge.yaml` with this title.
pub(super) fn level(level: At) -> Level {
    let (title, example, advise): (_, _, fn(&str) -> Option<Advice>) = match level {
        At::File => ("the file", "components: {web: {run: {command: web}}}", |key| advise(At::File, key)),
        At::Component => ("the component", "web: {run: {command: web}}", |key| advise(At::Component, key)),
        At::Build => {
            ("`build`", "build: {repository: https://gitlab.example/name, ref: main}", |key| advise(At::Build, key))
        }
        At::Run => ("`run`", "run: {command: web, port: 8000}", |key| advise(At::Run, key)),
    };
    Level { title, keys: at(level).map(|key| key.name).collect(), advise, example, lenient: false }
}

fn advise(here: At, key: &str) -> Option<Advice> {
    let folded = key.to_lowercase().replace(['-', ' '], "_");
    if here == At::Build && matches!(folded.as_str(), "env" | "environment" | "env_vars" | "variables") {
        let hint = "Write `envvars` for the build, or `env` beside `run:` for the running component.";
        return Some(Advice { code: Code::WrongLevel, hint: hint.to_owned(), meant: Some("envvars"), within: None });
    }
    if let Some((name, level)) = elsewhere(here, &folded) {
        let hint = format!("`{name}` stands {}.", place(level));
        return Some(Advice { code: Code::WrongLevel, hint, meant: Some(name), within: Some(container(level)) });
    }
    if let Some((_, sentence, meant)) = SENTENCES.iter().find(|(word, ..)| *word == folded) {
        return Some(Advice { code: Code::UnknownKey, hint: (*sentence).to_owned(), meant: *meant, within: None });
    }
    if let Some((_, word)) = WORDS.iter().find(|(word, _)| *word == folded) {
        return Some(renamed(here, word));
    }
    if nearest(key, at(here).map(|key| key.name)).is_some() {
        return None;
    }
    let near = nearest(key, KEYS.iter().map(|key| key.name))?;
    let (name, level) = elsewhere(here, near)?;
    let hint = format!("Did you mean `{name}`? It stands {}.", place(level));
    Some(Advice { code: Code::UnknownKey, hint, meant: Some(name), within: Some(container(level)) })
}

fn renamed(here: At, word: &'static str) -> Advice {
    match elsewhere(here, word) {
        None => Advice { code: Code::UnknownKey, hint: format!("Write `{word}`."), meant: Some(word), within: None },
        Some((_, level)) => {
            let hint = format!("Write `{word}`; it stands {}.", place(level));
            Advice { code: Code::UnknownKey, hint, meant: Some(word), within: Some(container(level)) }
        }
    }
}

/// The key that holds a level.
fn container(level: At) -> &'static str {
    match level {
        At::File | At::Component => "components",
        At::Build => "build",
        At::Run => "run",
    }
}

/// Where else a key of this name stands, the inner levels first; none where it may stand here.
fn elsewhere(here: At, name: &str) -> Option<(&'static str, At)> {
    if at(here).any(|key| key.name == name) {
        return None;
    }
    [At::Component, At::Run, At::Build, At::File]
        .into_iter()
        .find_map(|level| at(level).find(|key| key.name == name).map(|key| (key.name, level)))
}

fn place(level: At) -> &'static str {
    match level {
        At::File => "at the top of the file",
        At::Component => "under the component's name, beside `run:`",
        At::Build => "under `build:`",
        At::Run => "under `run:`",
    }
}

/// True where the level has this key.
pub(super) fn is_known(here: At, name: &str) -> bool {
    at(here).any(|key| key.name == name)
}
