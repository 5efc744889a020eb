//! `toolforge diff` in a tool's working tree, by turns with `kubectl diff --server-side` on what `toolforge render` makes
//! of it; and by the tool's name, which asks git as well. Nothing differs, and the platform has ten tools. Each is a process
//! from its start to its end, and finds in its caches what one before has left there.

use crate::cost;
use crate::settings::Settings;
use crate::stage::Stage;
use crate::table::{ratios, row, talk};
use crate::workload::INNER;
use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;

const TOOLS: usize = 10;
/// Of them.
const TOOL: usize = 0;

pub async fn measure(settings: &Settings) -> anyhow::Result<()> {
    talk("toolforge diff and kubectl diff");
    let mut stage = Stage::new(settings, TOOLS, INNER).await?;
    stage.start()?;
    stage.all_ready(TOOLS).await?;
    stage.settled().await?;
    stage.stop().await?;
    let tree = working_tree(&stage).await?;
    let file = rendered(&stage, &tree).await?;
    let (mut ours, mut by_name, mut kubectl) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=settings.diffs {
        let secs = [
            of_ours(&stage, &tree, None).await?,
            of_kubectl(&stage, &file).await?,
            of_ours(&stage, stage.program().home(), Some(stage.workload.tool(TOOL))).await?,
        ];
        // The first is for the caches.
        if turn > 0 {
            ours.push(secs[0]);
            kubectl.push(secs[1]);
            by_name.push(secs[2]);
        }
    }
    profile(&stage, &tree).await?;
    let (objects, of) = (stage.workload.objects(TOOL)?.len(), format!("{} diffs", settings.diffs));
    row(&format!("toolforge diff, {objects} objects, working tree, s"), "", &ours, &of);
    row(&format!("toolforge diff, {objects} objects, by name, s"), "", &by_name, &of);
    row("kubectl diff --server-side on the same, s", "", &kubectl, &of);
    row("kubectl diff beside toolforge diff", "10", &ratios(&kubectl, &ours), &of);
    Ok(())
}

/// Where one diff goes.
async fn profile(stage: &Stage, tree: &Path) -> anyhow::Result<()> {
    let (counting, cpu) = (stage.ground.count(None).await?, cost::cpu()?);
    for _ in 0..10 {
        of_ours(stage, tree, None).await?;
    }
    talk(&format!("  requests of a diff: {}", stage.ground.counted(&counting, None).await?.profile(10)));
    talk(&format!("  CPU of ten diffs, toolforge itself counted with git: {}", cost::since(&cpu)?));
    Ok(())
}

/// A clone, as a maintainer has it: the tool's folder in it.
async fn working_tree(stage: &Stage) -> anyhow::Result<PathBuf> {
    let clone = stage.program().home().join("clone");
    let mut git = tokio::process::Command::new("git");
    git.args(["clone", "--quiet", stage.workload.repository().url()]).arg(&clone);
    ensure!(git.status().await.context("run git")?.success(), "git clone failed");
    Ok(clone.join(TOOL.to_string()))
}

/// What `toolforge render` prints of it, in a file.
async fn rendered(stage: &Stage, tree: &Path) -> anyhow::Result<PathBuf> {
    let home = stage.program().home();
    let (platform, file) = (home.join("platform.yaml"), home.join("rendered.yaml"));
    std::fs::write(&platform, stage.workload.platform_yaml())?;
    let (tool, platform) = (stage.workload.tool(TOOL), platform.to_string_lossy().into_owned());
    let mut command = tokio::process::Command::new(stage.program().binary());
    let output = command.args(["render", "--tool", &tool, "--platform", &platform]).current_dir(tree).output().await?;
    ensure!(output.status.success(), "toolforge render: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&file, output.stdout)?;
    Ok(file)
}

async fn of_ours(stage: &Stage, folder: &Path, tool: Option<String>) -> anyhow::Result<f64> {
    let namespace = stage.workload.platform_namespace();
    let args: Vec<&str> = ["diff", "--platform-namespace", &namespace].into_iter().chain(tool.as_deref()).collect();
    let begun = Instant::now();
    let ran = stage.program().run_in(folder, &args).await?;
    let secs = begun.elapsed().as_secs_f64();
    ensure!(ran.code == 0, "toolforge diff: something differs: {ran:?}");
    Ok(secs)
}

async fn of_kubectl(stage: &Stage, file: &Path) -> anyhow::Result<f64> {
    let mut command = stage.ground.kubectl(stage.program().home())?;
    command.args(["diff", "--server-side", "--force-conflicts", "--field-manager", "toolforge", "-f"]).arg(file);
    let begun = Instant::now();
    let output = command.output().await.context("run kubectl")?;
    let secs = begun.elapsed().as_secs_f64();
    // 1: something differs, such as the Tool's repository, which a clone does not know as the platform does.
    let ended = matches!(output.status.code(), Some(0 | 1));
    ensure!(ended, "kubectl diff: {}", String::from_utf8_lossy(&output.stderr));
    Ok(secs)
}
