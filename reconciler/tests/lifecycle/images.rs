//! What the stock lifecycle makes of images, and what we make of them, side by side.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use planner::image::{LIFECYCLE_METADATA, Target};
use reconciler::dialer::{Credentials, Dialer, HostPort, Rules, Secret};
use reconciler::registry::{Rebase, Reference, Registry};
use serde_json::{Value, json};
use tests::lifecycle::Unpacked;

use crate::stage::{Build, Stage, free_port, toolforge_yaml};

async fn site(stage: &Stage) -> anyhow::Result<(tests::git_server::Repository, Build)> {
    let repository = stage.repository("site")?;
    let run = format!("command: web, port: {}", free_port()?);
    repository.commit(&[("toolforge.yaml", &toolforge_yaml(&run, "")), ("index.html", "<p>A site\n")])?;
    let build = stage.build("site", &repository).await?.good()?;
    Ok((repository, build))
}

pub fn ours(stage: &Stage) -> anyhow::Result<Registry> {
    let mut rules = Rules::default();
    rules.reach(HostPort::parse(stage.real.address()));
    let login = Credentials::new("robot", Secret::new("s3cret"));
    let logins = BTreeMap::from([(stage.real.address().to_owned(), login)]);
    Ok(Registry::new(Dialer::new(rules), logins, BTreeSet::new()))
}

pub fn at(stage: &Stage, repository: &str, tag: &str) -> anyhow::Result<Reference> {
    Ok(Reference::parse(&format!("{}/{repository}:{tag}", stage.real.address()))?)
}

/// Manifest and configuration, with what labels say in JSON read as JSON. Without what the stock rebaser loses, and we
/// keep: the words of the history, and the family of media types.
async fn described(stage: &Stage, repository: &str, tag: &str) -> anyhow::Result<(Value, Value)> {
    let reference = stage.real.reference(repository, tag);
    let (manifest, _, config) = stage.real.client().pull_manifest_and_config(&reference, stage.real.auth()).await?;
    let mut config: Value = serde_json::from_str(&config)?;
    let label = &mut config["config"]["Labels"][LIFECYCLE_METADATA];
    *label = serde_json::from_str(label.as_str().context("the lifecycle's label")?)?;
    config["history"] = json!(config["history"].as_array().context("a history")?.len());
    let layers: Vec<_> = manifest.layers.iter().map(|layer| json!([layer.digest, layer.size])).collect();
    let manifest = json!({"layers": layers, "annotations": manifest.annotations});
    Ok((manifest, config))
}

/// `path: one | other` of each leaf that differs.
fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                differences(&format!("{path}/{key}"), &one[key], &other[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (one, other)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{index}"), one, other, found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{path}: {one} | {other}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_rebase_writes_what_the_stock_rebaser_writes() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let (_, build) = site(&stage).await?;
    let (repository, tag) = (&build.image.0, &build.image.1);
    let run = stage.run_image(&["newer", "and one more"]).await?;
    stage.platform.builder.run_image.clone_from(&run);

    let layers = tempfile::tempdir()?;
    std::fs::set_permissions(layers.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let app = format!("{}/{repository}:{tag}", stage.real.address());
    let stock = format!("{}/{repository}:stock", stage.real.address());
    let rebaser = [
        "rebaser",
        &format!("-run-image={run}"),
        &format!("-previous-image={app}"),
        "-report=/layers/report.toml",
        &stock,
    ];
    stage.phase(layers.path(), &rebaser).await?.good()?;

    let ours = ours(&stage)?;
    let base = ours.base(&run, &Target::parse("linux/amd64")).await?;
    let done = ours.rebase(&at(&stage, repository, tag)?, &base, "ours").await?;
    ensure!(matches!(done, Rebase::Written { .. }), "{done:?}");
    let (theirs, ours) = (described(&stage, repository, "stock").await?, described(&stage, repository, "ours").await?);
    let mut found = Vec::new();
    differences("manifest", &theirs.0, &ours.0, &mut found);
    differences("config", &theirs.1, &ours.1, &mut found);
    ensure!(found.is_empty(), "stock | ours\n{}", found.join("\n"));

    // And what we wrote can be rebased, read and started by them.
    let again =
        ["rebaser", &format!("-run-image={run}"), "-report=/layers/report.toml", &stock.replace(":stock", ":ours")];
    stage.phase(layers.path(), &again).await?.good()?;
    let image = Unpacked::from(&stage.real, repository, "ours").await?;
    ensure!(build.serves(&image).await?.contains("A site"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_inputs_make_the_same_digest_and_a_promoted_image_is_read_as_a_previous_one() -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let (repository, beta) = site(&stage).await?;
    let again = stage.build("site2", &repository).await?.good()?;
    let digest = stage.real.digest(&beta.image.0, &beta.image.1).await?;
    ensure!(again.image.0 != beta.image.0 && stage.real.digest(&again.image.0, &again.image.1).await? == digest);

    let (promoted, _) = ours(&stage)?
        .promote(&at(&stage, &beta.image.0, &beta.image.1)?, &at(&stage, "tools/tool-main/web", &beta.image.1)?)
        .await?;
    ensure!(promoted.as_str() == digest);
    let layers = tempfile::tempdir()?;
    std::fs::set_permissions(layers.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let image = format!("{}/tools/tool-main/web:{}", stage.real.address(), beta.image.1);
    let run = format!("-run-image={}", stage.platform.builder.run_image);
    stage.phase(layers.path(), &["analyzer", "-layers=/layers", &run, &image]).await?.good()?;
    let analyzed = std::fs::read_to_string(layers.path().join("analyzed.toml"))?;
    ensure!(analyzed.contains(&format!("tools/tool-main/web@{digest}")), "{analyzed}");
    ensure!(analyzed.contains("toolforge/static") && layers.path().join("sbom").exists(), "{analyzed}");
    Ok(())
}
