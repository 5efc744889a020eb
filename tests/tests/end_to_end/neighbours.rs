//! Nobody's mistake is anybody else's.

use anyhow::ensure;
use tests::platform::{Platform, Route};

use crate::{prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn broken_tools_are_named_with_their_line_and_disturb_nobody() -> anyhow::Result<()> {
    let platform = Platform::prepare("neighbours", Route::Ingress).await?;
    let config = web(&prebuilt(&platform, "web").await?);
    let typo = platform.tool("a-typo")?;
    typo.commit(&config.replace("command", "comand"))?;
    let no_yaml = platform.tool("b-no-yaml")?;
    no_yaml.commit("components: [\n")?;
    let unreachable = platform.tool_without_file("c-gone")?;
    platform.commit_tool_file(unreachable.name(), &format!("  repository: {}\n", platform.git().url("nowhere")))?;
    let no_file = platform.tool_without_file("d-no-file")?;
    platform.commit_tool_file(no_file.name(), "  repositry: http://git.example/x\n")?;
    let crashing = platform.tool("e-crashing")?;
    crashing.commit(&config.replace("command: web", "command: web fate=crash-loop"))?;
    let healthy = [platform.tool("x")?, platform.tool("y")?];
    for tool in &healthy {
        tool.commit(&config)?;
    }

    platform.run().await?;
    for tool in &healthy {
        tool.ready().await?;
    }
    let said = typo.reason("Ready", "Invalid").await?;
    ensure!(said.message.contains("toolforge.yaml:") && said.message.contains("comand"), "{said:?}");
    no_yaml.reason("Ready", "Invalid").await?;
    unreachable.reason("Ready", "SourceUnavailable").await?;
    crashing.reason("Ready", "NotReady").await?;
    ensure!(platform.log().has("repositry"), "the broken tool file was not told");
    // And all of that is no reason to be busy.
    platform.quiet().await
}
