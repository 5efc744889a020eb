//! Every key of `toolforge.yaml`, one row each. Unknown keys, wrong levels, wrong component types, the JSON Schema's
//! completeness and the table in docs/toolforge-yaml.md follow from it.

use crate::rendered::ComponentKind::{self, Continuous, OneOff, Scheduled};

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// At the top of the file.
    File,
    /// Under a component's name.
    Component,
    /// Under `build:`.
    Build,
    /// Under `run:`.
    Run,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Where it stands.
    pub at: At,
    /// Its name.
    pub name: &'static str,
    /// Component types that have it; none means all.
    pub kinds: &'static [ComponentKind],
    /// Type and range of its value.
    pub value: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(at: At, name: &'static str, kinds: &'static [ComponentKind], text: [&'static str; 3]) -> Key {
    let [value, default, meaning] = text;
    Key { at, name, kinds, value, default, meaning }
}

/// The component types.
pub const KINDS: &[ComponentKind] = &[Continuous, Scheduled, OneOff];

/// What stands for a default where there is none.
pub const REQUIRED: &str = "required";

const ALL: &[ComponentKind] = &[];
const ENDING: &[ComponentKind] = &[Scheduled, OneOff];

/// The table.
pub const KEYS: &[Key] = &[
    key(At::File, "config_version", ALL, ["`v1beta1`", "`v1beta1`", "version of this format"]),
    key(
        At::File,
        "components",
        ALL,
        [
            "mapping of names",
            REQUIRED,
            "the components, each under its name: lower-case letters, digits and `-`, at most 52 characters; at most 200 components",
        ],
    ),
    key(At::File, "env", ALL, ["mapping of texts", "none", "environment of every component"]),
    key(
        At::File,
        "secrets",
        ALL,
        ["list of names", "none", "secrets every component needs, by name; their values never stand in the file"],
    ),
    key(At::File, "source_url", ALL, ["URL", "none", "ignored with a note: the file is read from git"]),
    key(At::File, "defaults", ALL, ["mapping", "none", "ignored with a note"]),
    key(
        At::Component,
        "component_type",
        ALL,
        [
            "`continuous`, `scheduled` or `one-off`",
            "`scheduled` where `run.schedule` stands, else `continuous`",
            "runs all the time, on a schedule, or once before the rollout",
        ],
    ),
    key(At::Component, "build", ALL, ["mapping", "this repository at this revision", "where the image is built from"]),
    key(At::Component, "image", ALL, ["image reference", "none", "a prebuilt image, instead of `build`"]),
    key(At::Component, "run", ALL, ["mapping", REQUIRED, "what runs"]),
    key(At::Component, "env", ALL, ["mapping of texts", "none", "environment of this component, over the tool's"]),
    key(At::Component, "secrets", ALL, ["list of names", "none", "secrets this component needs besides the tool's"]),
    key(
        At::Build,
        "repository",
        ALL,
        ["http, https or git URL", "this repository", "public git repository to build from"],
    ),
    key(
        At::Build,
        "ref",
        ALL,
        ["branch, tag or commit", "this revision; of another repository its HEAD", "what to build"],
    ),
    key(
        At::Build,
        "reuse_from",
        ALL,
        ["component name", "none", "use the image of that component, which must have a build of its own"],
    ),
    key(At::Build, "packages", ALL, ["list of Debian packages", "none", "packages added to the image"]),
    key(
        At::Build,
        "buildpacks",
        ALL,
        ["list of names", "detected", "buildpacks to use, in order, of those the platform offers"],
    ),
    key(
        At::Build,
        "envvars",
        ALL,
        ["mapping of texts", "none", "environment of the build, not of the running component"],
    ),
    key(
        At::Build,
        "use_latest_versions",
        ALL,
        ["boolean", "`false`", "force a build with the newest builder and packages"],
    ),
    key(At::Build, "use_deprecated_versions", ALL, ["boolean", "`false`", "ignored with a note"]),
    key(At::Build, "nonce", ALL, ["text or number", "none", "changing it forces a build"]),
    key(At::Run, "command", ALL, ["text", REQUIRED, "a process of the Procfile, or a command line; no shell reads it"]),
    key(At::Run, "cpu", ALL, ["quantity, text or number", "the platform's", "CPU: `0.5`, `500m`, `1`"]),
    key(At::Run, "memory", ALL, ["quantity", "the platform's", "memory: `512Mi`, `1Gi`"]),
    key(
        At::Run,
        "mount",
        ALL,
        ["`none`, `dumps` or `all`", "`none`", "`dumps` mounts the read-only dumps; `all` does the same, with a note"],
    ),
    key(At::Run, "emails", ALL, ["`none`, `all`, `onfinish` or `onfailure`", "`none`", "kept as a label, with a note"]),
    key(At::Run, "filelog", ALL, ["boolean", "`false`", "ignored with a note: logs go to stdout and stderr"]),
    key(At::Run, "filelog_stdout", ALL, ["path", "none", "ignored with a note"]),
    key(At::Run, "filelog_stderr", ALL, ["path", "none", "ignored with a note"]),
    key(
        At::Run,
        "port",
        &[Continuous],
        ["1 to 65535", "none", "port the component listens on; also its `PORT` variable"],
    ),
    key(At::Run, "port_protocol", &[Continuous], ["`tcp` or `udp`", "`tcp`", "protocol of the port"]),
    key(
        At::Run,
        "publish",
        &[Continuous],
        ["path or list of paths", "none", "path prefixes served on the web; needs a tcp port"],
    ),
    key(At::Run, "replicas", &[Continuous], ["0 to 100", "1", "how many copies run; 0 is stopped"]),
    key(
        At::Run,
        "health_check_http",
        &[Continuous],
        ["path", "none", "path that answers 2xx or 3xx when the component is well; needs a tcp port"],
    ),
    key(
        At::Run,
        "health_check_script",
        &[Continuous],
        ["text", "none", "command that succeeds when the component is well"],
    ),
    key(
        At::Run,
        "allow_from",
        &[Continuous],
        ["list of tool names", "none", "tools that may connect to the port besides this one"],
    ),
    key(
        At::Run,
        "schedule",
        &[Scheduled],
        [
            "cron line or macro",
            REQUIRED,
            "when it runs, in UTC: five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, `@midnight`",
        ],
    ),
    key(At::Run, "retry", ENDING, ["0 to 5", "0", "how often a failed run is tried again"]),
    key(At::Run, "timeout", ENDING, ["seconds", "none", "a run that takes longer is stopped; 0 means no limit"]),
    key(At::Run, "run_id", &[OneOff], ["text or number", "none", "changing it runs the one-off again"]),
];

/// Keys of one level.
pub fn at(level: At) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.at == level)
}

/// Whether a component of this kind has this key under `run:`.
#[must_use]
pub fn run_kinds(name: &str) -> &'static [ComponentKind] {
    at(At::Run).find(|key| key.name == name).map_or(ALL, |key| key.kinds)
}
