//! A build as a PipelineRun of Tekton, with the parameters of today's Toolforge pipeline: what that pipeline does with
//! them is the operators' to say.

use super::{BUILD_OF, Order, pod_security};
use crate::object::{Gvk, Object};
use crate::platform::Tekton;
use serde_json::{Value, json};

const PIPELINE_RUN: Gvk = Gvk { group: "tekton.dev", version: "v1", kind: "PipelineRun" };
/// Its workspaces, as empty folders.
const WORKSPACES: [&str; 3] = ["source-ws", "cache-ws", "aptbuildpack-ws"];

pub(super) fn pipeline_run(order: &Order<'_>, settings: &Tekton) -> Object {
    let (builder, source) = (&order.platform.builder, &order.request.source);
    let env: Vec<_> = order.environment().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let param = |name: &str, value: Value| json!({"name": name, "value": value});
    let params = [
        param("BUILDER_IMAGE", json!(builder.image)),
        param("RUN_IMAGE", json!(builder.run_image)),
        param("APP_IMAGE", json!(order.request.image())),
        param("SOURCE_URL", json!(source.repository)),
        param("SOURCE_REFERENCE", json!(source.commit)),
        param("UNRESOLVED_SOURCE_REFERENCE", json!(source.reference)),
        param("ENV_VARS", json!(env)),
    ];
    let workspaces = WORKSPACES.map(|name| json!({"name": name, "emptyDir": {}}));
    let mut spec = json!({
        "pipelineRef": {"name": settings.pipeline},
        "params": params,
        "workspaces": workspaces,
        "timeouts": {"pipeline": format!("{}s", order.builds.timeout_secs)},
        "taskRunTemplate": {"podTemplate": {"securityContext": pod_security(order.platform)}},
    });
    if let Some(account) = &settings.service_account {
        spec["taskRunTemplate"]["serviceAccountName"] = json!(account);
    }
    let mut run = order.object(PIPELINE_RUN, spec);
    // Tekton gives its pods the labels of the run.
    run.value["metadata"]["labels"][BUILD_OF] = json!(order.tool.name);
    run
}
