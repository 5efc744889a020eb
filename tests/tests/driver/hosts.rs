//! A git host that hangs costs others nothing, and its own tools nothing but news.

use crate::stage::{Stage, runs, soon, web};
use anyhow::ensure;
use std::time::Instant;
use tests::git_server::{Fault, GitServer, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_on_packs_delays_nobody_and_its_tools_are_healed() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let hung = GitServer::start_at("127.0.0.2").await?;
    // More tools than there are passes at once.
    let far: Vec<_> = (0..12).map(|n| format!("hung-{n}")).collect();
    let far = far.into_iter().map(|name| anyhow::Ok((name.clone(), hung.repository(&name)?)));
    let far = far.collect::<anyhow::Result<Vec<_>>>()?;
    let near = stage.ready_with_near(&far, &web("one")).await?;

    for (name, repository) in &far {
        hung.set_fault(name, Some(Fault::HangPacks));
        repository.commit(&[("toolforge.yaml", &web("two"))])?;
    }
    let asked =
        async || Ok((hung.requests().iter().filter(|r| r.service == Service::Fetch).count() >= 14).then_some(()));
    stage.until("a fetch hangs", asked).await?;
    stage.nobody_waits(&near, &far).await?;
    // Nothing hides what is in the way: a host that does not answer, or a commit that waits for it too long.
    for (name, _) in &far {
        stage.until_ready_says(name, "SourceUnavailable", "").await?;
    }
    // A process that starts now knows even less, and heals all the same.
    stage.stop().await?;
    stage.run()?;
    stage.delete("Service", "hung-3", "web").await?;
    stage.until_object("Service", "hung-3", "web", |_| true).await?;

    for (name, _) in &far {
        hung.set_fault(name, None);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_host_delays_no_cycle_of_the_others() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let slow = GitServer::start_at("127.0.0.3").await?;
    let (far, near) = (slow.repository("far")?, stage.git.repository("near")?);
    for (name, repository) in [("far", &far), ("near", &near)] {
        repository.commit(&[("toolforge.yaml", &web("one"))])?;
        stage.tool(name, repository.url(), "")?;
    }
    stage.run()?;
    for name in ["far", "near"] {
        stage.until_ready_says(name, "Ready", "").await?;
    }
    slow.set_fault("far", Some(Fault::Hang));
    let (before, begun) = (slow.requests().len(), Instant::now());
    stage.until("it hangs", async || Ok((slow.requests().len() > before).then_some(()))).await?;
    for command in ["two", "three", "four"] {
        near.commit(&[("toolforge.yaml", &web(command))])?;
        soon(stage.until_object("Deployment", "near", "web", |web| runs(web, command))).await?;
    }
    // And one that is named only now, at a host nobody has heard of.
    let new = GitServer::start_at("127.0.0.4").await?;
    let repository = new.repository("new")?;
    repository.commit(&[("toolforge.yaml", &web("one"))])?;
    stage.tool("new", repository.url(), "")?;
    soon(stage.until_ready_says("new", "Ready", "")).await?;
    let (asked, secs) = (slow.requests().len() - before, begun.elapsed().as_secs());
    ensure!(asked as u64 <= 1 + secs / 15, "who has not answered is not asked again: {asked} times in {secs} s");

    // Also the config repository's own host may hang.
    stage.git.set_fault("config", Some(Fault::Hang));
    let before = stage.git.requests().len();
    stage.until("it hangs", async || Ok((stage.git.requests().len() > before + 1).then_some(()))).await?;
    near.commit(&[("toolforge.yaml", &web("five"))])?;
    soon(stage.until_object("Deployment", "near", "web", |web| runs(web, "five"))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_repository_is_asked_once_a_cycle_however_many_tools_name_it() -> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let shared = stage.git.repository("shared")?;
    shared.commit(&[("toolforge.yaml", &web("one"))])?;
    for n in 0..8 {
        stage.tool(&format!("t{n}"), shared.url(), "")?;
    }
    stage.run()?;
    for n in 0..8 {
        stage.until_ready_says(&format!("t{n}"), "Ready", "").await?;
    }
    let count = |name| stage.git.count(name, Service::LsRefs);
    let (config, tools) = (count("config"), count("shared"));
    let later = async || Ok((count("config") >= config + 5).then_some(()));
    stage.until("five cycles", later).await?;
    let asked = count("shared") - tools;
    ensure!((4..=6).contains(&asked), "{asked} times in five cycles");
    ensure!(stage.git.count("shared", Service::Fetch) <= 2, "one commit is fetched once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_commit_is_not_fetched_again_after_a_restart_with_an_empty_cache_and_any_other_is()
-> anyhow::Result<()> {
    let mut stage = Stage::new().await?;
    let names = ["same", "forced", "gone", "moved"];
    let repositories: Vec<_> = names.iter().map(|name| stage.git.repository(name)).collect::<Result<_, _>>()?;
    for (name, repository) in names.iter().zip(&repositories) {
        let old = repository.commit_to("old", &[("toolforge.yaml", &web("old"))])?;
        repository.set_branch("main", &old)?;
        repository.commit(&[("toolforge.yaml", &web("one")), ("below/toolforge.yaml", &web("below"))])?;
        stage.tool(name, repository.url(), "")?;
    }
    stage.run()?;
    for name in names {
        stage.until_ready_says(name, "Ready", "").await?;
    }
    let stored = async || {
        let there = stage.versions().await?.into_keys().filter(|name| name.starts_with("ControllerRevision")).count();
        Ok((there == names.len()).then_some(()))
    };
    stage.until("all are stored", stored).await?;
    stage.stop().await?;

    stage.lose_cache()?;
    let fetches = |stage: &Stage| names.map(|name| stage.git.count(name, Service::Fetch));
    let [same, forced, gone, moved] = fetches(&stage);
    repositories[1].set_branch("main", &repositories[1].resolve("old")?)?;
    repositories[2].delete_branch("main")?;
    stage.tool("moved", repositories[3].url(), "  path: below\n")?;
    // What is not stored yet is healed all the same.
    for name in names {
        stage.delete("Service", name, "web").await?;
    }
    stage.run()?;
    stage.until_object("Deployment", "forced", "web", |web| runs(web, "old")).await?;
    stage.until_object("Deployment", "moved", "web", |web| runs(web, "below")).await?;
    stage.until_ready_says("gone", "SourceUnavailable", "no branch").await?;
    for name in names {
        stage.until_object("Service", name, "web", |_| true).await?;
        stage.until_ready_says(name, if name == "gone" { "SourceUnavailable" } else { "Ready" }, "").await?;
    }
    let now = fetches(&stage);
    ensure!(now[0] == same && now[2] == gone, "what is stored is not fetched: {now:?}");
    ensure!(now[1] > forced && now[3] > moved, "another commit is, and another path: {now:?}");
    Ok(())
}
