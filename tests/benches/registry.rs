//! 1,000 images on a loopback registry: rebased, rebased again, promoted, and looked at for garbage.
//!
//! Run: `cargo bench -p tests --bench registry`. The registry is the real one, a process of its own on the same cores. The
//! figures are wall time, what was asked, and the bytes of requests and answers without their headers. Prints a table.

#![expect(clippy::print_stdout, reason = "a program that prints a table and stops at the first surprise")]

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use planner::garbage::{Policy, References, Undated, freed, sort};
use planner::image::{LIFECYCLE_METADATA, Target};
use reconciler::dialer::{Dialer, HostPort, Rules};
use reconciler::registry::{Rebase, Reference, Registry, Traffic};
use renderer::ToolName;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tests::registry::{Image, Registry as Real, layer_digest};

const IMAGES: usize = 1_000;
/// As many as `toolforge rebase --all` has on their way.
const AT_ONCE: usize = 8;
/// Run images have a handful of layers; how large they are says nothing where none is transferred, and this says so.
const LAYER_BYTES: usize = 1 << 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let real = Real::start().await?;
    let mut rules = Rules::default();
    rules.reach(HostPort::parse(real.address()));
    let ours = Registry::new(Dialer::new(rules), BTreeMap::new(), BTreeSet::new());
    let address = real.address().to_owned();
    let at = |n: usize, tag: &str| Reference::parse(&format!("{address}/tool-{n}/web:{tag}"));
    push(&real).await?;
    println!("{IMAGES} images, {AT_ONCE} at once; 5 layers of 1 MiB, 3 of them the run image's\n");
    println!("| what | wall, s | images a minute | requests | sent, kB | received, kB |\n|---|---|---|---|---|---|");

    let row = Row::begin(&ours);
    let first = at(0, "build")?;
    each(async |n| Ok(ours.promote(&first, &at(n, "build")?).await.map(drop)?)).await?;
    row.end("promoted to a repository of its own", IMAGES);

    let base = ours.base(&format!("{address}/run:24"), &Target::parse("linux/amd64")).await?;
    for (what, written) in [("rebased", true), ("rebased again: nothing to do", false)] {
        let row = Row::begin(&ours);
        each(async |n| {
            let done = ours.rebase(&at(n, "build")?, &base, "build-r1").await?;
            ensure!(matches!(done, Rebase::Written { moved, .. } if moved.copied == 0) == written, "{done:?}");
            Ok(())
        })
        .await?;
        row.end(what, IMAGES);
    }

    let row = Row::begin(&ours);
    let repositories = (0..IMAGES / 2).map(|n| at(n, "any")).collect::<Result<Vec<_>, _>>()?;
    let shelf = ours.shelf(&ToolName::new("all")?, &repositories).await;
    let policy = Policy { newest: 0, undated: Undated::Oldest };
    let verdicts = sort(&shelf, Ok(&References::default()), policy);
    ensure!(verdicts.len() == IMAGES && shelf.unread.is_empty() && freed(&verdicts) > 0, "{:?}", shelf.unread);
    row.end("looked at for garbage, one repository after another", IMAGES);
    Ok(())
}

/// The run image of today, and one application on that of yesterday.
async fn push(real: &Real) -> anyhow::Result<()> {
    let layer = |name: &str| format!("{name} ").repeat(LAYER_BYTES / (name.len() + 1));
    let [old, new, sbom, app] = ["old", "new", "sbom", "app"].map(layer);
    let (old, new) = ([1, 2, 3].map(|n| format!("{n}{old}")), [1, 2, 3].map(|n| format!("{n}{new}")));
    let labels: BTreeMap<_, _> = [("io.buildpacks.base.distro.name".to_owned(), "debian".to_owned())].into();
    let image = |layers| Image {
        layers,
        labels: labels.clone(),
        env: vec!["CNB_PLATFORM_API=0.14".to_owned()],
        ..Image::default()
    };
    let run = new.each_ref().map(String::as_str);
    real.push("run", "24", &image(&run)).await?;
    let layers = [&old[0], &old[1], &old[2], &sbom, &app].map(String::as_str);
    let mut application = image(&layers);
    let name = format!("{}/run:24", real.address());
    let run = json!({"image": name, "topLayer": layer_digest(&old[2]), "reference": name});
    application.labels.insert(LIFECYCLE_METADATA.to_owned(), json!({"runImage": run}).to_string());
    real.push("tool-0/web", "build", &application).await.context("the application")?;
    Ok(())
}

async fn each(work: impl AsyncFn(usize) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let all: Vec<_> = (0..IMAGES).map(|n| work(n)).collect();
    stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await
}

struct Row<'a> {
    ours: &'a Registry,
    before: Traffic,
    begun: Instant,
}

impl<'a> Row<'a> {
    fn begin(ours: &'a Registry) -> Self {
        Self { ours, before: ours.traffic(), begun: Instant::now() }
    }

    fn end(self, what: &str, images: usize) {
        let (took, after) = (self.begun.elapsed(), self.ours.traffic());
        let kilobytes = |after: u64, before: u64| (after - before) / 1000;
        println!(
            "| {what} | {:.2} | {:.0} | {} | {} | {} |",
            took.as_secs_f64(),
            images as f64 / took.max(Duration::from_millis(1)).as_secs_f64() * 60.0,
            after.requests - self.before.requests,
            kilobytes(after.sent_bytes, self.before.sent_bytes),
            kilobytes(after.received_bytes, self.before.received_bytes),
        );
    }
}
