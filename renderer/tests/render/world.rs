//! One platform, one tool and one revision that all tests of this package render for.

use renderer::platform::{Builder, DeletionBudget, Dumps, Limits, Registry, Route, SecretKey, SystemUser};
use renderer::{CommitId, Digest, Files, PinnedImage, Platform, RenderedComponent, Revision, Tool, ToolName, TreeId};
use std::collections::BTreeMap;

pub fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub fn platform() -> Platform {
    Platform {
        name: "tools".to_owned(),
        domain: "tools.example".to_owned(),
        cluster: Some("a-context".to_owned()),
        namespace: "toolforge".to_owned(),
        registry: Registry {
            host: "registry.example/toolforge".to_owned(),
            credentials: Some("A_VARIABLE".to_owned()),
            quota: None,
        },
        builder: Builder {
            image: format!("registry.example/builder@sha256:{}", "b".repeat(64)),
            run_image: format!("registry.example/run@sha256:{}", "c".repeat(64)),
            buildpacks: texts([("python", "registry.example/buildpacks/python@sha256:d")]),
            target: "linux/amd64".to_owned(),
        },
        builds: None,
        route: Route::Ingress { class: Some("nginx".to_owned()) },
        poll_interval_secs: 60,
        limits: Limits {
            quota: texts([("limits.cpu", "4"), ("limits.memory", "8Gi"), ("pods", "10"), ("services", "16")]),
            max: texts([("cpu", "2"), ("memory", "4Gi")]),
            min: texts([("cpu", "50m"), ("memory", "100Mi")]),
            default: texts([("cpu", "500m"), ("memory", "512Mi")]),
            default_request: texts([("cpu", "100m"), ("memory", "256Mi")]),
        },
        system_user: SystemUser { uid: 50_000, gid: 50_001 },
        dumps: Some(Dumps::PersistentVolumeClaim { claim_name: "dumps".to_owned() }),
        env: texts([("TOOL_REDIS_URI", "redis://redis.example:6379")]),
        secrets: None,
        git: None,
        commits: Default::default(),
        licence: Default::default(),
        credentials: BTreeMap::new(),
        allowed_hosts: vec!["git.example".to_owned()],
        allowed_images: Vec::new(),
        deletion_budget: DeletionBudget { per_pass: 20, per_pass_percent: 25, per_hour: 200, per_hour_percent: 5 },
        network: None,
        progress_deadline_secs: None,
        removal_grace_secs: 604_800,
    }
}

/// The same, where it gives each tool a user of a database.
pub fn giving() -> Platform {
    let at = SecretKey { secret: "toolsdb.<tool>".to_owned(), key: "user".to_owned() };
    Platform { credentials: BTreeMap::from([("TOOL_TOOLSDB_USER".to_owned(), at)]), ..platform() }
}

pub fn tool() -> Tool {
    Tool::of(ToolName::new("wordcount").expect("a name"), "https://git.example/wordcount")
}

pub fn revision() -> Revision {
    Revision {
        commit: Some(CommitId::new("1".repeat(40)).expect("a commit")),
        branch: "main".to_owned(),
        tree: Some(TreeId::new("2".repeat(40)).expect("a tree")),
        files: Files::default(),
        resolved: BTreeMap::new(),
        facts: Default::default(),
    }
}

/// The image as if the registry had answered: what is built stands under its tag.
pub fn pinned(component: &RenderedComponent) -> PinnedImage {
    let reference = match &component.image {
        renderer::Image::Prebuilt { reference } => reference.clone(),
        renderer::Image::Built { repository, build } => format!("{repository}:{build}"),
        renderer::Image::Unresolved { .. } => "registry.example/unresolved:tag".to_owned(),
    };
    PinnedImage { reference, digest: Digest::new(format!("sha256:{}", "a".repeat(64))).expect("a digest") }
}
