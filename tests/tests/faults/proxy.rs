//! The proxy itself: each fault is what its name says.

use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::Router;
use axum::routing::get;
use tests::control_plane::install_crypto;
use tests::faults::{Fault, Faults, Odds};
use tokio::net::TcpListener;

const WHOLE: &str = "a line\nanother line\n";

/// A server that says the same to everybody, in one piece.
async fn server() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(get(async || WHOLE));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// What a client has of one request that fails for certain: the status, and the body where it came whole.
async fn asked(of: &'static [Fault], path: &str) -> anyhow::Result<(Option<u16>, Option<String>)> {
    let plain = reqwest::Client::builder().no_proxy().build()?;
    let faults = Faults::start(&server().await?, plain.clone(), Odds { seed: 1, one_in: 1, of }).await?;
    ensure!(plain.get(faults.way_to(&format!("{}{path}", faults.url()))).send().await?.text().await? == WHOLE);
    faults.begin(None);
    let answer = plain.get(format!("{}{path}", faults.url())).send().await;
    faults.end();
    ensure!(faults.counts().values().sum::<usize>() == 1);
    Ok(match answer {
        Ok(answer) => (Some(answer.status().as_u16()), answer.text().await.ok()),
        Err(_) => (None, None),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_what_its_name_says_and_what_passes_is_whole() -> anyhow::Result<()> {
    install_crypto();
    for (of, status) in [(&[Fault::Throttled][..], 429), (&[Fault::Broken][..], 500), (&[Fault::Away][..], 503)] {
        ensure!(asked(of, "/x").await?.0 == Some(status));
    }
    ensure!(asked(&[Fault::AnswerLost], "/x").await? == (None, None));
    ensure!(asked(&[Fault::HalfSent], "/x").await? == (Some(200), None));
    ensure!(asked(&[Fault::CutInALine], "/x?watch=1").await? == (Some(200), None));
    ensure!(asked(&[Fault::Stale], "/x?watch=1&sendInitialEvents=true").await?.0 == Some(400));
    for (fault, status) in [(&[Fault::Silent][..], None), (&[Fault::Slow][..], Some(200))] {
        let begun = Instant::now();
        ensure!(asked(fault, "/x").await?.0 == status);
        ensure!(begun.elapsed() >= Duration::from_secs(1), "{fault:?}");
    }
    Ok(())
}
