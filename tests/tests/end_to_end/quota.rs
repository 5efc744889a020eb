//! What is predicted of a quota, beside what the API server's own quota admission says of the same pods.

use anyhow::{Context as _, ensure};
use kube::api::{DynamicObject, PostParams};
use planner::plan::Why;
use planner::quota::Row;
use serde_json::{Value, json};
use tests::platform::{Platform, Tool, kind_of};

use crate::{Prebuilt, component, prebuilt};

/// A tool with this much memory, of which a component `web` has taken 1Gi.
async fn tool<'a>(platform: &'a Platform, image: &Prebuilt, memory: &str) -> anyhow::Result<Tool<'a>> {
    let tool = platform.tool_without_file("tool")?;
    let repository = tool.repository().url();
    let limits = format!("  limits: {{quota: {{limits.memory: {memory}}}}}\n");
    platform.commit_tool_file(tool.name(), &format!("  repository: {repository}\n{limits}"))?;
    tool.commit(&says(image, &[("web", "command: web, memory: 1Gi")]))?;
    tool.ready().await?;
    counted(&tool, "limits.memory", "1Gi").await?;
    Ok(tool)
}

fn says(image: &Prebuilt, components: &[(&str, &str)]) -> String {
    let all: String = components.iter().map(|(name, run)| component(name, image, run)).collect();
    format!("components:\n{all}")
}

/// Waits until the server has counted so much.
async fn counted(tool: &Tool<'_>, resource: &str, amount: &str) -> anyhow::Result<Value> {
    let is_so = |quota: &Value| quota["status"]["used"][resource] == amount;
    let quota = tool.until("ResourceQuota", tool.name(), &format!("counts {amount} {resource}"), is_so).await?;
    Ok(quota["status"]["used"].clone())
}

/// What the server says to one more pod like those of `web`, with so much memory.
async fn one_more(tool: &Tool<'_>, memory: &str, only_asked: bool) -> anyhow::Result<Result<(), String>> {
    let template = tool.object("Deployment", "web").await?["spec"]["template"].clone();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "more"}, "spec": template["spec"]});
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!(memory);
    let pods = tool.platform().api(kind_of("Pod")?, Some(&tool.namespace()));
    let how = PostParams { dry_run: only_asked, ..PostParams::default() };
    match pods.create(&how, &serde_json::from_value::<DynamicObject>(pod)?).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_for_want_of_room_the_server_refuses_with_the_same_numbers() -> anyhow::Result<()> {
    let platform = Platform::start("noroom").await?;
    let image = prebuilt(&platform, "a").await?;
    let tool = tool(&platform, &image, "2Gi").await?;
    tool.commit(&says(&image, &[("web", "command: web, memory: 1Gi"), ("bot", "command: bot, memory: 1536Mi")]))?;
    let told = tool.reason("Ready", "NoRoom").await?.message;
    let ours = "deployment/tool-noroom-tool/bot: no room: toolforge.yaml:7:33 asks for 1536Mi more limits.memory, 1Gi of 2Gi \
                are used";
    ensure!(told.starts_with(ours), "{told}");
    let refused = one_more(&tool, "1536Mi", true).await?.err().context("the server would take it")?;
    let theirs = "requested: limits.memory=1536Mi, used: limits.memory=1Gi, limited: limits.memory=2Gi";
    ensure!(refused.contains("exceeded quota") && refused.contains(theirs), "{refused}");
    ensure!(tool.find("Deployment", "bot").await?.is_none(), "something was applied");

    one_more(&tool, "512Mi", false).await?.map_err(anyhow::Error::msg)?;
    counted(&tool, "limits.memory", "1536Mi").await?;
    tool.commit(&says(&image, &[("web", "command: web, memory: 1Gi"), ("bot", "command: bot, memory: 1Gi")]))?;
    let others = async || {
        let told = tool.condition("Ready").await?;
        Ok(told.filter(|told| {
            told.reason == "NoRoom" && told.message.contains("asks for 1Gi more limits.memory, 1536Mi of 2Gi")
        }))
    };
    platform.until("what somebody else runs is counted", others).await?;
    tool.kubectl(&["delete", "pod", "more", "--wait=false"]).await?;
    tool.ready().await
}

/// Without giving up a pod it would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_could_never_surge_ends() -> anyhow::Result<()> {
    let platform = Platform::start("turns").await?;
    let image = prebuilt(&platform, "a").await?;
    let tool = tool(&platform, &image, "2Gi").await?;
    tool.commit(&says(&image, &[("web", "command: web, memory: 1Gi, replicas: 2")]))?;
    tool.ready().await?;
    counted(&tool, "limits.memory", "2Gi").await?;
    tool.commit(&says(&image, &[("web", "command: web, memory: 512Mi, replicas: 2")]))?;
    tool.ready().await?;
    let web = tool.object("Deployment", "web").await?;
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    ensure!(web["spec"]["strategy"] == rolling, "{web}");
    ensure!(web["status"]["updatedReplicas"] == 2 && web["status"]["availableReplicas"] == 2, "{web}");

    // Two that fill the quota become four that fill it: one fewer than four would leave both, and no room.
    tool.commit(&says(&image, &[("web", "command: web, memory: 1Gi, replicas: 2")]))?;
    tool.ready().await?;
    counted(&tool, "limits.memory", "2Gi").await?;
    tool.commit(&says(&image, &[("web", "command: web, memory: 512Mi, replicas: 4")]))?;
    tool.ready().await?;
    let web = tool.object("Deployment", "web").await?;
    ensure!(web["status"]["updatedReplicas"] == 4 && web["status"]["availableReplicas"] == 4, "{web}");
    platform.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_through_the_server_takes_and_counts_as_predicted() -> anyhow::Result<()> {
    let platform = Platform::start("room").await?;
    let image = prebuilt(&platform, "a").await?;
    let tool = tool(&platform, &image, "3Gi").await?;
    platform.quiet().await?;
    platform.stop().await?;
    let daily = component("daily", &image, "command: daily, schedule: \"@daily\"");
    let both = [("web", "command: web, memory: 1Gi"), ("bot", "command: bot, memory: 1Gi, port: 8000, publish: /")];
    tool.commit(&format!("{}{daily}    component_type: scheduled\n", says(&image, &both)))?;
    let planned = platform.plan_as(&platform.plane().client().await?, &tool).await?;
    let held: Vec<_> = planned.decided.plan.held.iter().filter(|held| matches!(held.why, Why::NoRoom(_))).collect();
    ensure!(held.is_empty(), "{held:?}");
    one_more(&tool, "1Gi", true).await?.map_err(anyhow::Error::msg)?;
    let rows = planned.quota.context("a prediction")?;
    platform.run().await?;
    tool.ready().await?;
    let used = counted(&tool, "limits.memory", "2Gi").await?;
    let wrong: Vec<_> = rows.iter().filter(|row| used[&row.resource] != row.after.to_string()).collect();
    ensure!(rows.len() > 5 && wrong.is_empty(), "{wrong:?} {used}");
    let peak = |name: &str| rows.iter().find(|row: &&Row| row.resource == name).map(|row| row.peak.to_string());
    ensure!(peak("limits.memory").as_deref() == Some("2560Mi"), "with a run of daily: {rows:?}");
    Ok(())
}
