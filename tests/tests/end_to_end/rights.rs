//! The least that is enough.

use anyhow::ensure;
use planner::kinds::{KINDS, Watched};
use serde_json::{Value, json};
use tests::platform::{Platform, Route};

use crate::{component, prebuilt, web};

/// What the table of kinds says we need: everything is watched, nothing protected is deleted, and of what is only
/// looked at nothing is written.
fn rights() -> Value {
    let mut rules: Vec<_> = KINDS
        .iter()
        .map(|row| {
            let looked_at = row.watched == Watched::Metadata || row.kind == "HorizontalPodAutoscaler";
            let mut verbs = vec!["get", "list", "watch"];
            verbs.extend(if looked_at { &[][..] } else { &["create", "patch"] });
            verbs.extend((!row.protected).then_some("delete"));
            json!({"apiGroups": [row.group], "resources": [row.plural], "verbs": verbs})
        })
        .collect();
    rules.extend([
        json!({"apiGroups": ["toolforge.org"], "resources": ["tools/status"], "verbs": ["patch"]}),
        json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}),
        json!({"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}),
    ]);
    json!(rules)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_the_table_of_kinds_names_are_enough() -> anyhow::Result<()> {
    let platform = Platform::prepare("rights", Route::Ingress).await?;
    platform.restrict(rights()).await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("all")?;
    let once = component("once", &image, "command: once");
    let daily = component("daily", &image, "command: daily, schedule: \"@daily\", timeout: 60");
    let worker = component("worker", &image, "command: work, replicas: 2");
    let rest = format!("{once}    component_type: one-off\n{daily}    component_type: scheduled\n{worker}");
    let mark = platform.plane().mark()?;
    platform.run().await?;
    tool.commit(&format!("{}{rest}", web(&image)))?;
    tool.ready().await?;
    tool.kubectl(&["label", "deployment/web", "hello=world"]).await?;
    let clean = |web: &Value| web["metadata"]["labels"]["hello"].is_null();
    tool.until("Deployment", "web", "has no foreign label", clean).await?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    for (kind, name) in [("Deployment", "worker"), ("PodDisruptionBudget", "worker"), ("CronJob", "daily")] {
        tool.until_gone(kind, name).await?;
    }
    platform.quiet().await?;
    platform.stop().await?;
    let mut refused = platform.requests_since(mark)?;
    refused.retain(|request| matches!(request.status, 401 | 403));
    ensure!(refused.is_empty(), "{refused:#?}");
    Ok(())
}
