//! What is somebody else's, and what is somebody else's to decide.

use anyhow::ensure;
use tests::platform::{Platform, Route};

use crate::{Prebuilt, component, prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_somebody_else_is_left_alone_and_holds_its_component_only() -> anyhow::Result<()> {
    let platform = Platform::start("foreign").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("two")?;
    let worker = component("worker", &image, "command: work");
    tool.commit(&format!("components:\n{worker}"))?;
    tool.ready().await?;
    tool.kubectl(&["create", "service", "clusterip", "web", "--tcp=80"]).await?;
    // The name of the mark is no secret: it proves nothing.
    tool.kubectl(&["label", "service/web", &format!("toolforge.org/tool={}", tool.name())]).await?;
    let foreign = tool.object("Service", "web").await?["metadata"]["resourceVersion"].clone();

    tool.commit(&format!("{}{}", web(&image), worker.replace("command: work", "command: work, replicas: 2")))?;
    let ready = tool.reason("Ready", "NotOurs").await?;
    ensure!(ready.message.contains("web"), "{ready:?}");
    tool.until("Deployment", "worker", "is rolled out", |worker| worker["spec"]["replicas"] == 2).await?;
    platform.quiet().await?;
    for kind in ["Deployment", "Ingress", "NetworkPolicy"] {
        ensure!(tool.find(kind, "web").await?.is_none(), "a part of a held component was made: {kind}");
    }
    ensure!(tool.object("Service", "web").await?["metadata"]["resourceVersion"] == foreign, "it was touched");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_first_in_a_namespace_that_we_have_just_made_keeps_the_name() -> anyhow::Result<()> {
    let platform = Platform::start("firstcome").await?;
    let tool = platform.tool("web")?;
    let image = Prebuilt {
        by_tag: format!("{}/library/firstcome:1", platform.registry()?.address()),
        by_digest: String::new(),
    };
    tool.commit(&web(&image))?;
    tool.reason("Built", "AwaitingBuild").await?;
    platform.quiet().await?;
    tool.kubectl(&["create", "service", "clusterip", "web", "--tcp=80"]).await?;
    let foreign = tool.object("Service", "web").await?;
    let mark = platform.plane().mark()?;
    prebuilt(&platform, "web").await?;
    let ready = tool.reason("Ready", "NotOurs").await?;
    ensure!(ready.message.contains("web"), "{ready:?}");
    platform.quiet().await?;
    ensure!(tool.object("Service", "web").await? == foreign, "it was touched");
    ensure!(tool.find("Ingress", "web").await?.is_none(), "a route to somebody else's Service");
    let asked = platform.requests_since(mark)?;
    ensure!(asked.iter().any(|r| r.resource == "services" && r.status == 409), "nobody took it for absent: {asked:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_somebody_else_is_neither_taken_nor_filled() -> anyhow::Result<()> {
    let platform = Platform::prepare("squatted", Route::Ingress).await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    platform.kubectl(&["create", "namespace", &tool.namespace()]).await?;
    let foreign = platform.object("Namespace", None, &tool.namespace()).await?;
    platform.run().await?;
    tool.reason("Ready", "NotOurs").await?;
    platform.quiet().await?;
    ensure!(platform.object("Namespace", None, &tool.namespace()).await? == foreign, "it was touched");
    for kind in ["Deployment", "ResourceQuota", "NetworkPolicy"] {
        ensure!(platform.objects(kind, &tool.namespace()).await?.is_empty(), "{kind} was made in it");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_decides_about_replicas_and_nobody_else_does() -> anyhow::Result<()> {
    let platform = Platform::start("autoscaled").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    tool.kubectl(&["autoscale", "deployment/web", "--min=3", "--max=5"]).await?;
    let scaled = tool.until("Deployment", "web", "has three replicas", |web| web["spec"]["replicas"] == 3).await?;
    tool.ready().await?;
    platform.quiet().await?;
    ensure!(tool.object("Deployment", "web").await?["spec"] == scaled["spec"], "we took the replicas back");
    tool.must_have("HorizontalPodAutoscaler", "web").await?;

    tool.kubectl(&["delete", "hpa/web"]).await?;
    tool.until("Deployment", "web", "has one replica again", |web| web["spec"]["replicas"] == 1).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_named_and_making_it_is_all_that_is_needed() -> anyhow::Result<()> {
    let platform = Platform::start("secrets").await?;
    let tool = platform.tool("web")?;
    tool.commit(&format!("secrets: [API_TOKEN]\n{}", web(&prebuilt(&platform, "web").await?)))?;
    let ready = tool.reason("Ready", "MissingSecret").await?;
    let name = renderer::render::secret_name("API_TOKEN");
    ensure!(ready.message.contains(&name), "{ready:?}");
    platform.quiet().await?;
    ensure!(tool.find("Deployment", "web").await?.is_none());
    tool.kubectl(&["create", "secret", "generic", &name, "--from-literal=value=open-sesame"]).await?;
    tool.ready().await?;
    ensure!(!platform.log().has("open-sesame"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tool_is_left_alone_and_healed_when_it_is_resumed() -> anyhow::Result<()> {
    let platform = Platform::start("suspended").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    let repository = format!("  repository: {}\n", tool.repository().url());
    platform.commit_tool_file(tool.name(), &format!("{repository}  suspend: true\n"))?;
    tool.reason("Ready", "Suspended").await?;
    tool.kubectl(&["scale", "deployment/web", "--replicas=3"]).await?;
    platform.polled_times(3).await?;
    ensure!(tool.object("Deployment", "web").await?["spec"]["replicas"] == 3, "it was suspended");
    platform.commit_tool_file(tool.name(), &repository)?;
    tool.until("Deployment", "web", "is healed", |web| web["spec"]["replicas"] == 1).await?;
    tool.ready().await?;

    // The same by whoever has the right to pin a Tool in the cluster.
    let pin = |suspend: bool| format!(r#"{{"spec": {{"pin": {{"suspend": {suspend}}}}}}}"#);
    let tool_id = format!("tool/{}", tool.name());
    platform
        .kubectl(&["patch", &tool_id, "--type=merge", "--field-manager=toolforge-cli", "--patch", &pin(true)])
        .await?;
    tool.reason("Ready", "Suspended").await?;
    tool.kubectl(&["delete", "service/web"]).await?;
    platform.polled_times(3).await?;
    ensure!(tool.find("Service", "web").await?.is_none(), "it was suspended");
    platform
        .kubectl(&["patch", &tool_id, "--type=merge", "--field-manager=toolforge-cli", "--patch", &pin(false)])
        .await?;
    tool.until("Service", "web", "is there again", |_| true).await.map(drop)
}
