//! One question to a container, and its answer: good, or why not.

use super::http;
use super::listening;
use super::setting::Setting;
use super::wanted::{Ask, Probe};
use crate::cell;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;

/// Whom is asked.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) pid: u32,
    /// Where the pod's ports are.
    pub(crate) ports: &'a BTreeMap<u16, u16>,
}

/// Asks once, for as long as the probe allows.
pub(crate) async fn ask(probe: &Probe, asked: &Asked<'_>) -> Result<(), String> {
    let limit = Duration::from_secs(u64::try_from(probe.timeout_secs).unwrap_or(1));
    let answer = match &probe.ask {
        Ask::Http { port, path, headers } => {
            let port = asked.port(*port);
            tokio::time::timeout(limit, http_get(port, path, headers)).await
        }
        Ask::Tcp(port) => tokio::time::timeout(limit, connect(asked.port(*port))).await,
        Ask::Exec(words) => tokio::time::timeout(limit, execute(words, asked)).await,
    };
    match answer {
        Err(_) => Err(format!("no answer in {} s", limit.as_secs())),
        Ok(Err(Bad::Closed(port))) => Err(asked.elsewhere(port)),
        Ok(Err(Bad::Words(words))) => Err(words),
        Ok(Ok(())) => Ok(()),
    }
}

/// A bad answer.
enum Bad {
    Closed(u16),
    Words(String),
}

impl Asked<'_> {
    fn port(&self, port: u16) -> u16 {
        self.ports.get(&port).copied().unwrap_or(port)
    }

    /// Nothing is behind the port; maybe something is behind another one.
    fn elsewhere(&self, port: u16) -> String {
        let others = listening::ports_of(self.pid);
        let others: Vec<String> = others.iter().filter(|other| **other != port).map(u16::to_string).collect();
        if others.is_empty() {
            return format!("nothing listens on port {port} ($PORT) yet");
        }
        format!(
            "it listens on port {}, not on {port}: make it listen on the port in the environment variable PORT",
            others.join(", ")
        )
    }
}

async fn connect(port: u16) -> Result<(), Bad> {
    match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Bad::Closed(port)),
    }
}

async fn http_get(port: u16, path: &str, headers: &[(String, String)]) -> Result<(), Bad> {
    connect(port).await?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let response = http::get(&format!("127.0.0.1:{port}"), &path, headers).await;
    let response = response.map_err(|error| Bad::Words(format!("GET {path}: {error}")))?;
    match response.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(Bad::Words(format!("GET {path} is answered with {status}"))),
    }
}

async fn execute(words: &[String], asked: &Asked<'_>) -> Result<(), Bad> {
    let mut command = asked.setting.command(words).map_err(Bad::Words)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| Bad::Words(error.to_string()))?;
    // What takes too long is dropped here, with all that it started.
    let _ends = Ends(child.id());
    let status = child.wait().await.map_err(|error| Bad::Words(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(Bad::Words(format!("{}: {status}", words.join(" ")))) }
}

struct Ends(Option<u32>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            cell::end(leader);
        }
    }
}
