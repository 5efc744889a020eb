//! Two tools on two branches of one repository.

use anyhow::ensure;
use tests::platform::Platform;

use crate::{prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn beta_and_main_live_side_by_side_on_two_branches_of_one_repository() -> anyhow::Result<()> {
    let platform = Platform::start("branches").await?;
    let config = web(&prebuilt(&platform, "web").await?);
    let main = platform.tool("quiz")?;
    let with = |greeting: &str| format!("env: {{GREETING: {greeting}}}\n{config}");
    main.commit(&with("hello"))?;
    main.repository().commit_to("beta", &[("toolforge.yaml", &with("hi"))])?;
    let beta = platform.tool_on_branch("quiz-beta", &main, "beta", "")?;
    main.ready().await?;
    beta.ready().await?;

    let greets = async |tool: &tests::platform::Tool<'_>, greeting: &str| {
        let found = tool.object("Deployment", "web").await?;
        let text = found["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
        ensure!(text.contains(&format!("\"{greeting}\"")), "{} says {text}, not {greeting}", tool.name());
        Ok(found["metadata"]["generation"].clone())
    };
    let generation = greets(&main, "hello").await?;
    greets(&beta, "hi").await?;
    beta.commit(&with("hey"))?;
    beta.ready().await?;
    greets(&beta, "hey").await?;
    ensure!(greets(&main, "hello").await? == generation, "a commit on beta touched main");
    Ok(())
}
