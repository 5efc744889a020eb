//! Images that are built on one machine, without a lifecycle, in the hands of the stock one.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context as _, ensure};
use local::build::{Builder, Exported, Request};
use local::cell::Door;
use tests::lifecycle::{Mount, Unpacked, programs};

use crate::images::{at, ours};
use crate::stage::{Stage, USER};

const FILES: [(&str, &str); 4] = [
    (".python-version", "3.11\n"),
    ("main.py", "import os, sys\nprint(sys.argv[1:], os.environ['PYTHONUNBUFFERED'], os.getcwd())\n"),
    ("index.html", "<p>A site\n"),
    ("Procfile", "talk: python main.py\n"),
];

/// Builds these files on this machine, for a run image.
async fn built(folder: &Path, run_image: &str) -> anyhow::Result<Exported> {
    // Where we are root the processes are not, and a temporary folder is closed to others.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    let door = Door::through(Path::new(env!("CARGO_BIN_EXE_toolforge"))).await;
    ensure!(door.in_place(), "folders can't stand at their places here, and then no run image fits");
    let source = folder.join("source");
    std::fs::create_dir(&source)?;
    for (name, content) in FILES {
        std::fs::write(source.join(name), content)?;
    }
    let request = Request {
        source,
        name: "tool-x/web".to_owned(),
        buildpacks: Vec::new(),
        settings: BTreeMap::new(),
        machine: BTreeMap::new(),
        run_image: Some(run_image.to_owned()),
        detect_secs: local::build::DETECT_SECS,
        build_secs: 300,
        fresh: false,
    };
    let builder = Builder::new(door, &folder.join("state"))?;
    Ok(builder.build(&request, &folder.join("image"), &|_: &str| ()).await?)
}

async fn pushed(stage: &Stage, image: &Exported) -> anyhow::Result<()> {
    let (registry, to) = (ours(stage)?, at(stage, "tool-x/web", "local")?);
    for blob in &image.blobs {
        registry.push_blob(&to, std::fs::read(image.path(blob))?).await?;
    }
    let digest = registry.push_manifest(&to, image.media_type, &image.manifest).await?;
    ensure!(digest == image.digest, "{digest}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_built_on_one_machine_is_read_rebased_and_started_by_the_stock_programs() -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    let (folder, run) = (tempfile::tempdir()?, stage.platform.builder.run_image.clone());
    let image = built(folder.path(), &run).await?;
    pushed(&stage, &image).await?;
    let layers = tempfile::tempdir()?;
    std::fs::set_permissions(layers.path(), PermissionsExt::from_mode(0o777))?;
    let (named, rebased) =
        (format!("{}/tool-x/web:local", stage.real.address()), format!("{}/tool-x/web:rebased", stage.real.address()));
    let run = format!("-run-image={run}");

    stage.phase(layers.path(), &["analyzer", "-layers=/layers", &run, &named]).await?.good()?;
    let analyzed = std::fs::read_to_string(layers.path().join("analyzed.toml"))?;
    for words in [image.digest.as_str(), "toolforge/python", "toolforge/static", "launch = true"] {
        ensure!(analyzed.contains(words), "no {words}: {analyzed}");
    }
    let previous = format!("-previous-image={named}");
    stage.phase(layers.path(), &["rebaser", &run, &previous, "-report=/layers/report.toml", &rebased]).await?.good()?;

    // What they rebased starts as it is, and with their launcher in the place of ours.
    let image = Unpacked::from(&stage.real, "tool-x/web", "rebased").await?;
    let talk = ["/cnb/process/talk", "ignored"];
    let said = "[] 1 /workspace\n";
    ensure!(image.place(USER)?.run(&talk).await?.good()? == said);
    let stock = |place: tests::lifecycle::Place| -> anyhow::Result<_> {
        Ok(place.mount(Mount::read_only(&programs()?, "/cnb/lifecycle")))
    };
    ensure!(stock(image.place(USER)?)?.run(&talk).await?.good()? == said);
    let command = ["launcher", "--", "python", "main.py", "a  b"];
    for place in [image.place(USER)?, stock(image.place(USER)?)?] {
        let answer = place.run(&command).await?.good()?;
        ensure!(answer == "['a  b'] 1 /workspace\n", "{answer}");
    }
    let processes = image.label("io.buildpacks.build.metadata")?;
    let names: Vec<_> =
        processes["processes"].as_array().context("processes")?.iter().map(|one| &one["type"]).collect();
    ensure!(names.len() == 2, "{processes:#}");
    Ok(())
}
