//! Plans as contracts on the real API server: made by whoever may read, and not voided by what its controllers write.

use anyhow::ensure;
use planner::contract::Contract;
use planner::kinds::KINDS;
use planner::plan::Action;
use reconciler::cluster::Cluster;
use reconciler::cluster::door::Requests;
use serde_json::{Value, json};
use tests::control_plane::ADMIN;
use tests::platform::Platform;

use crate::{prebuilt, web};

/// A client of somebody who may get and list the kinds we speak, and nothing else.
async fn reader(platform: &Platform, name: &str) -> anyhow::Result<kube::Client> {
    let rules: Vec<Value> = KINDS
        .iter()
        .map(|row| json!({"apiGroups": [row.group], "resources": [row.plural], "verbs": ["get", "list"]}))
        .collect();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rights.json");
    std::fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]}).to_string())?;
    platform.kubectl(&["apply", "-f", &file.to_string_lossy()]).await?;
    let mut config = platform.plane().config(ADMIN).await?;
    config.auth_info.impersonate = Some(name.to_owned());
    Ok(Cluster::of_config("test", config, &Requests::default())?.client)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_read_makes_the_same_plan_and_sends_no_write() -> anyhow::Result<()> {
    let platform = Platform::start("plan-reader").await?;
    let tool = platform.tool("web")?;
    let config = web(&prebuilt(&platform, "web").await?);
    tool.commit(&config)?;
    tool.ready().await?;
    platform.stop().await?;
    tool.kubectl(&["label", "deployment/web", "hello=world"]).await?;
    tool.commit(&config.replace("publish: /", "publish: /, replicas: 2"))?;

    let name = "plan-reader-alone";
    let client = reader(&platform, name).await?;
    let mark = platform.plane().mark()?;
    let planned = platform.plan_as(&client, &tool).await?;
    let actions: Vec<_> = planned.contract.steps.iter().map(|step| step.action).collect();
    ensure!(actions == [Action::Configure, Action::Create], "{:#?}", planned.contract);
    ensure!(planned.contract.violations.is_empty());

    // Asked once more, so that the log holds everything before.
    platform.plan_as(&client, &tool).await?;
    let mut asked = platform.plane().requests_since(mark)?;
    asked.retain(|request| request.impersonated.as_deref() == Some(name));
    ensure!(asked.len() > 15, "{asked:#?}");
    for request in &asked {
        ensure!(["get", "list"].contains(&request.verb.as_str()), "{request:#?}");
        ensure!([200, 404].contains(&request.status), "{request:#?}");
    }

    // It is the plan that whoever may write makes, and is carried out by them.
    let read = Contract::read(planned.contract.to_text().as_bytes())?;
    let now = platform.plan_as(platform.client(), &tool).await?;
    ensure!(read == now.contract, "{read:#?}\n{:#?}", now.contract);
    ensure!(read.differences(&now.contract, &now.decided.observed).is_empty());
    let outcome = platform.apply(&tool).await?;
    ensure!(outcome.failures().next().is_none(), "{outcome:#?}");
    let after = platform.plan_as(&client, &tool).await?;
    let told: Vec<_> =
        read.differences(&after.contract, &after.decided.observed).iter().map(ToString::to_string).collect();
    let done = told.iter().filter(|line| line.contains(" by toolforge at ")).count();
    ensure!(done == 2, "{told:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_controllers_write_while_a_plan_awaits_approval_does_not_void_it() -> anyhow::Result<()> {
    let platform = Platform::start("plan-waits").await?;
    let tool = platform.tool("web")?;
    let config = web(&prebuilt(&platform, "web").await?);
    tool.commit(&config)?;
    tool.ready().await?;
    platform.stop().await?;
    // A rollout begins, and is under way while the plan is made.
    tool.kubectl(&["set", "env", "deployment/web", "DEBUG=1"]).await?;
    let planned = platform.plan_as(platform.client(), &tool).await?.contract;
    ensure!(planned.steps.len() == 1, "{planned:#?}");
    let before = tool.object("Deployment", "web").await?;
    let rolled_out = |web: &Value| {
        web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
            && web["status"]["observedGeneration"] == web["metadata"]["generation"]
            && web["status"]["updatedReplicas"] == 1
            && web["status"]["replicas"] == 1
            && web["status"]["availableReplicas"] == 1
    };
    let after = tool.until("Deployment", "web", "is rolled out", rolled_out).await?;
    ensure!(before["metadata"]["uid"] == after["metadata"]["uid"]);
    let now = platform.plan_as(platform.client(), &tool).await?;
    let told = planned.differences(&now.contract, &now.decided.observed);
    ensure!(told.is_empty(), "{told:#?}");

    tool.kubectl(&["annotate", "deployment/web", "hello=world"]).await?;
    let now = platform.plan_as(platform.client(), &tool).await?;
    let told: Vec<_> =
        planned.differences(&now.contract, &now.decided.observed).iter().map(ToString::to_string).collect();
    let [line] = &told[..] else { anyhow::bail!("{told:#?}") };
    ensure!(line.contains("deployment/tool-plan-waits-web/web: changed by kubectl-annotate at "), "{line}");
    Ok(())
}
