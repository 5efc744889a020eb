//! The platform of `render`, `check` and `demo` where no platform file is named.

use super::{Builder, DeletionBudget, Limits, Platform, Registry, Route, SystemUser};
use std::collections::BTreeMap;

/// What every platform file starts from.
pub(super) const POLL_INTERVAL_SECS: u64 = 60;
/// Twice what a tool of several components has; a hundred tools' worth an hour is no everyday work.
pub(super) const DELETION_BUDGET: DeletionBudget =
    DeletionBudget { per_pass: 20, per_pass_percent: 25, per_hour: 200, per_hour_percent: 5 };
/// Long enough for somebody on holiday to be told.
pub(super) const REMOVAL_GRACE_SECS: u64 = 7 * 86_400;

const BUILDPACKS: &[&str] = &[
    "deb-packages",
    "dotnet",
    "go",
    "gradle",
    "jvm",
    "maven",
    "nodejs",
    "php",
    "procfile",
    "python",
    "ruby",
    "sbt",
    "scala",
];

impl Platform {
    /// A platform like today's Toolforge on this machine: its limits, any host, any image, no dumps. Builder, run image
    /// and buildpacks are named by tag, because no digest is ours to know; a platform file names digests.
    #[must_use]
    pub fn builtin() -> Self {
        let buildpack = |name: &&str| (format!("heroku/{name}"), format!("docker.io/heroku/buildpack-{name}"));
        Self {
            name: "builtin".to_owned(),
            domain: "toolforge.localhost".to_owned(),
            cluster: None,
            namespace: "toolforge".to_owned(),
            registry: Registry { host: "localhost:5000".to_owned(), credentials: None, quota: None },
            builder: Builder {
                image: "docker.io/heroku/builder:24".to_owned(),
                run_image: "docker.io/heroku/heroku:24".to_owned(),
                buildpacks: BUILDPACKS.iter().map(buildpack).collect(),
                target: "linux/amd64".to_owned(),
            },
            builds: None,
            route: Route::Ingress { class: None },
            poll_interval_secs: POLL_INTERVAL_SECS,
            limits: limits(),
            system_user: SystemUser { uid: 50_000, gid: 50_000 },
            dumps: None,
            env: BTreeMap::new(),
            credentials: BTreeMap::new(),
            secrets: None,
            network: None,
            git: None,
            commits: Default::default(),
            licence: Default::default(),
            allowed_hosts: vec!["*".to_owned()],
            allowed_images: Vec::new(),
            deletion_budget: DELETION_BUDGET,
            progress_deadline_secs: None,
            removal_grace_secs: REMOVAL_GRACE_SECS,
        }
    }
}

/// Inferred from what tools without overrides run today, and from the quota fixtures of its public sources.
pub(super) fn limits() -> Limits {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Limits {
        quota: map(&[
            ("limits.cpu", "16"),
            ("limits.memory", "8Gi"),
            ("pods", "16"),
            ("services", "16"),
            ("services.nodeports", "0"),
            ("services.loadbalancers", "0"),
            ("persistentvolumeclaims", "3"),
            ("count/deployments.apps", "16"),
            ("count/jobs.batch", "15"),
            ("count/cronjobs.batch", "50"),
        ]),
        max: map(&[("cpu", "3"), ("memory", "6Gi")]),
        min: map(&[("cpu", "50m"), ("memory", "100Mi")]),
        default: map(&[("cpu", "500m"), ("memory", "512Mi")]),
        default_request: map(&[("cpu", "150m"), ("memory", "256Mi")]),
    }
}
