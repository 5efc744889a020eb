//! The one path everything else hangs on.

use serde_json::json;
use tests::platform::Platform;

use crate::prebuilt;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_a_ready_deployment_and_kubectl_scale_is_reverted() -> anyhow::Result<()> {
    let platform = Platform::start("spine").await?;
    let (image, pinned) = prebuilt(&platform, "spine").await?;
    let tool = platform.tool("web")?;
    tool.commit(&format!("components:\n  web:\n    image: {image}\n    run: {{command: web}}\n"))?;
    tool.ready().await?;
    platform.kubectl(&["wait", "--for=condition=Ready", &format!("tool/{}", tool.name()), "--timeout=5s"]).await?;

    let web = tool.object("Deployment", "web").await?;
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], json!(pinned));
    tool.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    tool.until("Deployment", "web", "has one replica again", |web| web["spec"]["replicas"] == 1).await?;
    Ok(())
}
