//! What operators apply once, before the platform runs, and again with a new version of it: everything that the platform
//! may not make for itself. Applied twice it changes nothing.
//!
//! It holds no secret: the Secret [`CREDENTIALS`] in the platform's namespace, where there is one, becomes the process's
//! environment.

use crate::admission::{ACTORS, Admission};
use crate::rights::{TOOLFORGE, object, roles};
use renderer::object::Gvk;
use renderer::render::platform_labels;
use renderer::{Object, Platform, render_platform};
use serde_json::{Value, json};

/// The Secret whose keys are the process's environment: passwords of the config repository and the registry.
pub const CREDENTIALS: &str = "toolforge-credentials";
/// Where health and metrics are served.
const WEB_PORT: u16 = 9090;
/// Where git packs are kept; it can be lost at any time.
const CACHE: &str = "/cache";

const NAMESPACE: Gvk = Gvk { group: "", version: "v1", kind: "Namespace" };
const ACCOUNT: Gvk = Gvk { group: "", version: "v1", kind: "ServiceAccount" };
const DEPLOYMENT: Gvk = Gvk { group: "apps", version: "v1", kind: "Deployment" };

/// How the platform's own process is run.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// Image with this program.
    pub image: &'a str,
    /// URL of the config repository.
    pub config: &'a str,
    /// `--platform`, where the repository has several.
    pub platform: Option<&'a str>,
}

/// All of it, in an order in which it can be applied. `admission` are the platform's rules: they hold before anything of a
/// tool is there.
#[must_use]
pub fn install(platform: &Platform, admission: &Admission, process: &Process<'_>) -> Vec<Object> {
    let mut objects = render_platform(platform);
    // Whatever else there is may stand in a namespace.
    objects.sort_by_key(|object| object.id.kind != NAMESPACE.kind);
    let labels = || platform_labels(&platform.name);
    let own = Some(platform.namespace.as_str());
    objects.push(object(ACCOUNT, own, TOOLFORGE.to_owned(), labels(), json!({})));
    objects.extend(roles(platform));
    objects.extend(rules(platform, admission));
    objects.push(object(
        DEPLOYMENT,
        own,
        TOOLFORGE.to_owned(),
        labels(),
        json!({"spec": deployment(platform, process)}),
    ));
    objects
}

/// As the process writes them, which then finds them as they should be: only it can act as the platform.
fn rules(platform: &Platform, admission: &Admission) -> Vec<Object> {
    let mut rules = admission.objects().to_vec();
    if let Some(parameters) = rules.first_mut() {
        let account = format!("system:serviceaccount:{}:{TOOLFORGE}", platform.namespace);
        parameters.value["data"][ACTORS] = account.into();
    }
    rules
}

fn deployment(platform: &Platform, process: &Process<'_>) -> Value {
    let mut labels = platform_labels(&platform.name);
    labels.insert("app.kubernetes.io/name".to_owned(), TOOLFORGE.to_owned());
    json!({
        "replicas": 1,
        "selector": {"matchLabels": labels},
        // The lease lets no two write, so the old process may still be ending.
        "strategy": {"type": "RollingUpdate"},
        "template": {"metadata": {"labels": labels}, "spec": {
            "serviceAccountName": TOOLFORGE,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": platform.system_user.uid,
                "runAsGroup": platform.system_user.gid,
                "fsGroup": platform.system_user.gid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            // Passes under way are finished.
            "terminationGracePeriodSeconds": 60,
            "containers": [container(process)],
            "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "4Gi"}}],
        }},
    })
}

fn container(process: &Process<'_>) -> Value {
    let web = format!("0.0.0.0:{WEB_PORT}");
    let mut args = vec!["run", process.config, "--cluster", "in-cluster", "--web", &web, "--log-format", "json"];
    args.extend(process.platform.iter().flat_map(|name| ["--platform", name]));
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": WEB_PORT}});
    json!({
        "name": TOOLFORGE,
        "image": process.image,
        "args": args,
        "env": [{"name": "XDG_CACHE_HOME", "value": CACHE}, {"name": "HOME", "value": CACHE}],
        "envFrom": [{"secretRef": {"name": CREDENTIALS, "optional": true}}],
        "ports": [{"containerPort": WEB_PORT, "protocol": "TCP"}],
        "livenessProbe": probe("/healthz"),
        "readinessProbe": probe("/readyz"),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
        "volumeMounts": [{"name": "cache", "mountPath": CACHE}, {"name": "cache", "mountPath": "/tmp", "subPath": "tmp"}],
    })
}
