//! The one path everything else hangs on.

use anyhow::ensure;
use serde_json::json;
use tests::platform::{Platform, Route};

use crate::{image_of, prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_a_ready_tool_as_kubectl_wait_sees_it_and_kubectl_scale_is_reverted() -> anyhow::Result<()> {
    let platform = Platform::start("spine").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    platform.kubectl(&["wait", "--for=condition=Ready", &format!("tool/{}", tool.name()), "--timeout=5s"]).await?;
    for (kind, name) in [("Service", "web"), ("Ingress", "web"), ("NetworkPolicy", "web")] {
        tool.must_have(kind, name).await?;
    }

    let deployment = tool.object("Deployment", "web").await?;
    assert_eq!(*image_of(&deployment), json!(image.by_digest));
    tool.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    tool.until("Deployment", "web", "has one replica again", |web| web["spec"]["replicas"] == 1).await?;

    // Who looks at the Tool is told what was done, and whose hand it was.
    let told = async || {
        let described = platform.kubectl(&["describe", &format!("tool/{}", tool.name())]).await?;
        Ok((described.contains("by platform, drift by kubectl-scale: deployment/tool-spine-web/web [spec.replicas]"))
            .then_some(()))
    };
    platform.until("kubectl describe names the drift and its hand", told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_the_gateway_api_is_ready_when_the_gateway_accepts_it() -> anyhow::Result<()> {
    let platform = Platform::prepare("gateway", Route::Gateway).await?;
    platform.run().await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    let route = tool.object("HTTPRoute", "web").await?;
    ensure!(route["spec"]["hostnames"] == json!([format!("{}.gateway.example", tool.name())]), "{route}");
    ensure!(tool.find("Ingress", "web").await?.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_commit_rolls_out_and_each_ready_revision_is_stored() -> anyhow::Result<()> {
    let platform = Platform::start("rollout").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    let second = tool.commit(&web(&image).replace("port: 8000", "replicas: 2, port: 8000"))?;
    tool.ready().await?;

    let deployment = tool.object("Deployment", "web").await?;
    ensure!(deployment["status"]["availableReplicas"] == 2, "{deployment}");
    tool.must_have("PodDisruptionBudget", "web").await?;
    let stored = platform.objects("ControllerRevision", &platform.namespace()).await?;
    let of_tool: Vec<_> =
        stored.iter().filter(|one| one["metadata"]["labels"]["toolforge.org/tool"] == tool.name()).collect();
    ensure!(of_tool.len() == 2, "{of_tool:?}");
    ensure!(of_tool.iter().any(|one| one.to_string().contains(&second)), "{of_tool:?}");

    // A commit that changes nothing that runs restarts nothing, and is where the tool is.
    let generation = deployment["metadata"]["generation"].clone();
    tool.commit_file("README.md", "hello\n")?;
    tool.ready().await?;
    ensure!(tool.object("Deployment", "web").await?["metadata"]["generation"] == generation);
    Ok(())
}
