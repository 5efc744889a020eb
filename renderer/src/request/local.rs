//! A build on one machine: the same Job, whose one container is our own program. Whoever runs its pods runs that program
//! as itself, in no other namespace and for no other image; strangers' code runs in cells that it makes.

use super::{BUILD_OF, Order, deploy_key, pod_security};
use crate::object::{Gvk, Object};
use serde_json::json;

const JOB: Gvk = Gvk { group: "batch", version: "v1", kind: "Job" };
/// Image of a container that runs our own program: no registry has it.
pub const SELF_IMAGE: &str = "toolforge.local/self";

pub(super) fn job(order: &Order<'_>) -> Object {
    let variable = |(name, value)| json!({"name": format!("BUILD_ENV_{name}"), "value": value});
    let mut env: Vec<_> = order.environment().into_iter().map(variable).collect();
    env.extend(deploy_key::environment(order));
    let mut container = json!({
        "name": "build",
        "image": SELF_IMAGE,
        "command": ["toolforge"],
        "args": arguments(order),
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    if !env.is_empty() {
        container["env"] = env.into();
    }
    let pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": pod_security(order.platform),
        "containers": [container],
    });
    let spec = json!({
        "backoffLimit": 0,
        "activeDeadlineSeconds": order.builds.timeout_secs,
        "template": {"metadata": {"labels": {BUILD_OF: order.tool.name}}, "spec": pod},
    });
    order.object(JOB, spec)
}

fn arguments(order: &Order<'_>) -> Vec<String> {
    let (request, source) = (order.request, &order.request.source);
    let mut args = vec!["build-image".to_owned(), source.repository.clone(), source.commit.to_string()];
    let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    option("--image", &request.image());
    if !source.path.is_empty() {
        option("--path", &source.path);
    }
    for (name, _) in &request.buildpacks {
        option("--buildpack", name);
    }
    if request.fresh {
        args.push("--fresh".to_owned());
    }
    let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    if let Some(run_image) = run_image(order) {
        option("--run-image", run_image);
    }
    if let Some(prefix) = &order.platform.registry.credentials {
        option("--registry-credentials", prefix);
    }
    args
}

/// The platform's run image, where it is in the platform's own registry: nothing else is asked on one machine.
fn run_image<'a>(order: &'a Order<'_>) -> Option<&'a str> {
    let host = |reference: &'a str| reference.split('/').next().unwrap_or_default();
    let run_image = order.platform.builder.run_image.as_str();
    (host(run_image) == host(&order.platform.registry.host)).then_some(run_image)
}
