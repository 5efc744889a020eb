//! The commands that speak of images, as a person runs them: a real registry, a git host, and the sandbox as cluster.

use anyhow::{Context as _, ensure};
use planner::image::{LIFECYCLE_METADATA, rebase_tag, signature_tag};
use renderer::config::Build;
use renderer::{BuildInputs, Digest, TreeId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Stdio;
use tests::git_server::GitServer;
use tests::registry::{Image, Registry, layer_digest};

const FILE: &str = "config_version: v1beta1\ncomponents:\n  web:\n    build: {}\n    run: {command: web}\n";
const WEB: &str = "tool-x/web";

struct Stage {
    registry: Registry,
    git: GitServer,
    home: tempfile::TempDir,
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Stage {
    /// `toolforge` with these arguments, about this platform on a sandbox of its own.
    async fn run(&self, args: &[&str]) -> anyhow::Result<Ran> {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_toolforge"));
        command.args(args).args(["--config", &self.git.url("config")]).arg("--sandbox-folder").arg(self.home.path());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.home.path());
        let output = command.current_dir(self.home.path()).stdin(Stdio::null()).output().await?;
        let text = |bytes| String::from_utf8(bytes).context("UTF-8");
        Ok(Ran { code: output.status.code(), out: text(output.stdout)?, err: text(output.stderr)? })
    }

    async fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let ran = self.run(&[args, &["--json"]].concat()).await?;
        serde_json::from_str(&ran.out).with_context(|| format!("{args:?}: {}{}", ran.out, ran.err))
    }

    fn run_image(&self) -> String {
        format!("{}/run:24", self.registry.address())
    }
}

fn debian(layers: &'static [&'static str]) -> Image<'static> {
    let labels = [("io.buildpacks.base.distro.name", "debian"), ("io.buildpacks.base.distro.version", "12")];
    let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Image { layers, labels, env: vec!["CNB_PLATFORM_API=0.14".to_owned()], ..Image::default() }
}

/// A platform whose one tool is built and deployed. The tag of its image comes back, and the run image of today.
async fn stage() -> anyhow::Result<(Stage, String, Digest)> {
    let home = tempfile::Builder::new().prefix("images-").tempdir()?;
    let stage = Stage { registry: Registry::start().await?, git: GitServer::start().await?, home };
    let run = stage.registry.push("run", "24", &debian(&["new-1", "new-2"])).await?;
    let repository = stage.git.repository("x")?;
    repository.commit(&[("toolforge.yaml", FILE)])?;
    let platform = format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {{name: images}}\nspec:\n  \
         domain: tools.example\n  registry: {{host: '{}'}}\n  builder:\n    \
         image: registry.example/builder@{run}\n    run_image: '{}@{run}'\n",
        stage.registry.address(),
        stage.run_image()
    );
    let tool = format!(
        "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: x}}\nspec: {{repository: '{}'}}\n",
        repository.url()
    );
    stage.git.repository("config")?.commit(&[("platform.yaml", &platform), ("tools/x.yaml", &tool)])?;

    let (settings, report) = renderer::platform::parse(platform.as_bytes(), "platform.yaml");
    let settings = settings.with_context(|| format!("{report:?}"))?;
    let tree = TreeId::new(repository.resolve("main^{tree}")?)?;
    let build =
        BuildInputs::new(tree, &Build::default(), &settings.builder).ok().context("no buildpack is named")?.id();
    let mut app = debian(&["old-1", "sbom", "app"]);
    let below = json!({"image": stage.run_image(), "topLayer": layer_digest("old-1"), "reference": "old"});
    let metadata = json!({"runImage": below, "sbom": {"sha": layer_digest("sbom")}});
    app.labels.insert(LIFECYCLE_METADATA.to_owned(), metadata.to_string());
    stage.registry.push(WEB, build.as_str(), &app).await?;
    let applied = stage.run(&["apply", "x", "--wait"]).await?;
    ensure!(applied.code == Some(0), "{}{}", applied.out, applied.err);
    let run = Digest::new(run)?;
    Ok((stage, rebase_tag(&build, &run), run))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_shown_rebased_and_what_nothing_needs_is_deleted() -> anyhow::Result<()> {
    let (stage, tag, run) = stage().await?;
    is_shown(&stage).await?;
    is_rebased_only_when_told(&stage, &tag, &run).await?;
    is_deleted_only_when_told(&stage, &tag).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebased_image_is_deployed_when_told_and_is_then_the_one_that_runs() -> anyhow::Result<()> {
    let (stage, tag, _) = stage().await?;
    let chosen = stage.run(&["rebase", "--all", "--deploy"]).await?;
    ensure!(chosen.code == Some(0) && chosen.out.ends_with("1 deploying\n"), "{}{}", chosen.out, chosen.err);
    let digest = stage.registry.digest(WEB, &tag).await?;
    let planned = stage.run(&["diff", "x"]).await?;
    ensure!(planned.code == Some(1) && planned.out.contains("new run image"), "{}{}", planned.out, planned.err);
    let applied = stage.run(&["apply", "x", "--wait"]).await?;
    ensure!(applied.code == Some(0), "{}{}", applied.out, applied.err);
    let image = stage.json(&["image", "x"]).await?;
    ensure!(image["images"][0]["digest"] == digest, "{image:#}");
    let again = stage.run(&["rebase", "--all", "--deploy"]).await?;
    ensure!(again.code == Some(0) && again.out.ends_with("1 already\n"), "{}{}", again.out, again.err);
    Ok(())
}

async fn is_shown(stage: &Stage) -> anyhow::Result<()> {
    let deployed = stage.registry.digest(WEB, build_tag(stage).await?.as_str()).await?;
    let text = stage.run(&["image", "x"]).await?;
    ensure!(text.code == Some(0) && text.err.is_empty(), "{}{}", text.out, text.err);
    for said in [&deployed, "platform   linux/amd64", "3, 1 of them the run image's", "SBOM       yes", "signed     no"]
    {
        ensure!(text.out.contains(said), "{said}: {}", text.out);
    }
    let signature = signature_tag(&Digest::new(deployed)?);
    stage.registry.push(WEB, &signature, &Image { layers: &["signature"], ..Image::default() }).await?;
    let image = stage.json(&["image", "x"]).await?;
    ensure!(image["images"][0]["signed"] == true && image["images"][0]["component"] == "web", "{image:#}");
    Ok(())
}

async fn build_tag(stage: &Stage) -> anyhow::Result<String> {
    let planned = stage.json(&["rebase", "x"]).await?;
    let tag = planned["images"][0]["tag"].as_str().with_context(|| planned.to_string())?;
    Ok(tag.split_once("-r").context("a tag of ours")?.0.to_owned())
}

async fn is_rebased_only_when_told(stage: &Stage, tag: &str, run: &Digest) -> anyhow::Result<()> {
    let planned = stage.run(&["rebase", "x"]).await?;
    ensure!(planned.code == Some(1) && planned.out.contains("1 rebase"), "{}{}", planned.out, planned.err);
    ensure!(planned.err.contains("hint: Run `toolforge rebase x --push`"), "{}", planned.err);
    ensure!(stage.registry.digest(WEB, tag).await.is_err(), "a plan writes nothing");
    let planned = stage.json(&["rebase", "--all"]).await?;
    let pushed = stage.json(&["rebase", "--all", "--push"]).await?;
    ensure!(pushed["runImage"]["digest"] == run.as_str() && pushed["images"][0]["what"] == "pushed", "{pushed:#}");
    let digest = stage.registry.digest(WEB, tag).await?;
    ensure!(pushed["images"][0]["digest"] == digest && planned["images"][0]["digest"] == digest, "{pushed:#}");
    let again = stage.run(&["rebase", "--all", "--push"]).await?;
    ensure!(again.code == Some(0) && again.out.ends_with("1 already\n"), "{}{}", again.out, again.err);
    let nobody = stage.run(&["rebase", "nobody"]).await?;
    ensure!(nobody.code == Some(2), "{}", nobody.err);
    Ok(())
}

async fn is_deleted_only_when_told(stage: &Stage, tag: &str) -> anyhow::Result<()> {
    stage.registry.push(WEB, "left-over", &debian(&["left-over"])).await?;
    stage.registry.push("tool-gone/web", "1", &debian(&["of nobody"])).await?;
    let kept = stage.run(&["gc"]).await?;
    ensure!(kept.code == Some(0) && kept.out.contains("0 of 4 images to delete"), "{}{}", kept.out, kept.err);
    ensure!(kept.err.contains("left alone: tool-gone"), "{}", kept.err);
    let args = ["gc", "x", "--undated", "--keep", "0"];
    let shown = stage.run(&args).await?;
    ensure!(shown.code == Some(1) && shown.out.contains("2 of 4 images to delete"), "{}{}", shown.out, shown.err);
    ensure!(shown.out.contains("1 runs, 1 attached") && shown.out.contains("  left-over  "), "{}", shown.out);
    ensure!(stage.registry.digest(WEB, "left-over").await.is_ok(), "nothing is deleted before somebody says so");
    let deleted = stage.json(&[&args[..], &["--delete"]].concat()).await?;
    ensure!(deleted["deleted"] == 2 && deleted["freedBytes"].as_u64() > Some(1000), "{deleted:#}");
    ensure!(stage.registry.digest(WEB, "left-over").await.is_err() && stage.registry.digest(WEB, tag).await.is_err());
    ensure!(stage.registry.digest("tool-gone/web", "1").await.is_ok());
    let image = stage.run(&["image", "x"]).await?;
    ensure!(image.code == Some(0), "what runs is there: {}", image.err);
    Ok(())
}
