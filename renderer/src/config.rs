//! `toolforge.yaml`, typed. Nothing here is a string that still has to be understood, and nothing is a sentinel.
//!
//! ```text
//! bytes ──yaml──▶ tree ──component──▶ drafts ──reuse, publishers──▶ Config + withheld + report
//! ```
//! A new component kind touches, here, [`RunKind`], the rows of its keys in [`keys`], and one arm in `run`.

mod advice;
mod command;
mod component;
mod context;
mod continuous;
mod ending;
mod env;
mod foreign;
pub mod hosts;
pub mod keys;
mod parse;
mod repository;
mod resources;
mod run;
mod schedule;
mod source;

/// Single values, for files that say the same under other names.
pub(crate) mod fields {
    pub(crate) use super::continuous::health_path;
    pub(crate) use super::env::{is_name as is_variable, is_reserved, platform_env as env};
    pub(crate) use super::repository::reference;
    pub(crate) use super::resources::{cpu, memory};
    pub(crate) use super::run::mount;
    pub(crate) use super::source::{image, image_reference, is_reference};
}

pub use context::ParseContext;
pub use parse::MAX_COMPONENTS;

use crate::diagnostic::{Code, Findings, Place, Report};
use crate::names::ComponentName;
use crate::rendered::Withheld;
use crate::revision::Files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where each key's value stands, by path: `components.web.run.port`.
pub type Places = BTreeMap<String, Place>;

/// What came of one revision's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The good components, and what they share.
    pub config: Config,
    /// Components that have errors, in file order.
    pub withheld: Vec<Withheld>,
    /// The files as a whole could not be understood; `config` is empty then.
    pub unusable: bool,
    /// Where things stand, for messages of later stages; empty where the file was inferred.
    pub places: Arc<Places>,
    /// Errors and notes.
    pub report: Report,
}

/// Reads what describes a tool: its `toolforge.yaml`, or else its `Procfile` and `service.template`.
#[must_use]
pub fn parse(files: &Files, context: &ParseContext) -> Parsed {
    if let Some(bytes) = &files.config {
        return parse::from_yaml(bytes, context);
    }
    crate::infer::infer(files, context).unwrap_or_else(|| {
        let mut findings = Findings::new(&context.file);
        findings.add(Code::NoConfig, None, Code::NoConfig.meaning());
        parse::unusable(findings, &[])
    })
}

/// The good part of a `toolforge.yaml`; what is bad is in the report and among the withheld.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Environment of every component.
    pub env: BTreeMap<String, String>,
    /// Secrets every component needs, by name.
    pub secrets: Vec<String>,
    /// Good components.
    pub components: BTreeMap<ComponentName, Component>,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Where its image comes from.
    pub source: Source,
    /// What runs.
    pub run: Run,
    /// Environment of this component, over the tool's.
    pub env: BTreeMap<String, String>,
    /// Secrets by name, besides the tool's.
    pub secrets: Vec<String>,
}

/// Where a component's image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// `build:` with a repository, or absent: this repository at this revision.
    Build(Build),
    /// `build: {reuse_from: web}`: the image of that component (its build is a [`Source::Build`]).
    Reuse(ComponentName),
    /// `image:`.
    Image(String),
}

/// `build:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// URL as written; none means this repository.
    pub repository: Option<String>,
    /// Branch, tag or commit as written; none means HEAD.
    pub reference: Option<String>,
    /// Debian packages.
    pub packages: Vec<String>,
    /// Buildpacks by name, in order.
    pub buildpacks: Vec<String>,
    /// Environment of the build.
    pub envvars: BTreeMap<String, String>,
    /// Force a build with the newest builder and packages.
    pub use_latest_versions: bool,
    /// Changing it forces a build.
    pub nonce: Option<String>,
}

/// `run:`, by component type, with what all types share beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Procfile entry or command line as written.
    pub command: String,
    /// CPU quantity as written (`1` became `"1"`); none means the platform's default.
    pub cpu: Option<String>,
    /// Memory quantity as written; none means the platform's default.
    pub memory: Option<String>,
    /// Read-only dumps are mounted.
    pub mount_dumps: bool,
    /// `emails`, kept as a label; none means `none`.
    pub emails: Option<String>,
    /// What differs by component type.
    pub kind: RunKind,
}

/// What differs by component type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RunKind {
    /// A Deployment.
    Continuous {
        /// Port and protocol.
        port: Option<Port>,
        /// Path prefixes this component serves, each starting with `/`; needs a tcp port.
        publish: Vec<String>,
        /// Desired pods; 0 is stopped.
        replicas: u32,
        /// Health check.
        health_check: Option<HealthCheck>,
        /// Tools that may connect to the port besides the tool itself and the route.
        allow_from: Vec<String>,
    },
    /// A CronJob.
    Scheduled {
        /// As Kubernetes takes it: lower case, Sunday as 0; macros keep their name.
        schedule: String,
        /// 0–5; becomes backoffLimit.
        retry: u32,
        /// Seconds; none or 0 means no limit.
        timeout_secs: Option<u64>,
    },
    /// A Job that gates the rollout.
    OneOff {
        /// 0–5; becomes backoffLimit.
        retry: u32,
        /// Seconds; none or 0 means no limit.
        timeout_secs: Option<u64>,
        /// Changing it runs the one-off again.
        run_id: Option<String>,
    },
}

/// `port` and `port_protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// 1–65535.
    pub number: u16,
    /// tcp or udp.
    pub protocol: Protocol,
}

/// `port_protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The default.
    Tcp,
    /// No publishing, no probes.
    Udp,
}

/// `health_check_http` or `health_check_script`, never both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthCheck {
    /// Path, starting with `/`; needs a tcp port.
    Http(String),
    /// Command line.
    Script(String),
}
