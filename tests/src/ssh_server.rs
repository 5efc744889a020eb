//! Real git over real ssh on loopback, with deploy keys, which remembers, and fails on request.
//!
//! A key opens the repositories that it was given ([`SshServer::allow`]) and no others. The command that a client sends goes
//! to a shell, as it does at a real host, in a folder of its own: what a path smuggles past the quotes would run there.
//! The one program the shell finds first is a `git-upload-pack` that looks at the key's repositories, and then is git's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

const UPLOAD_PACK: &str = r#"#!/bin/sh
case "$MAY_READ" in
*"
${1#/}
"*) exec git upload-pack "$ROOT/${1#/}" ;;
esac
echo "canary-stderr: no such repository, or not yours" >&2
exit 1
"#;

/// A git host. It ends when it is dropped; the repositories are somebody else's.
#[derive(Debug)]
pub struct SshServer {
    port: u16,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// Where the shell runs.
    home: TempDir,
    bin: TempDir,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    host_key: PrivateKey,
    /// Public keys in one line, each with a repository that it may read.
    allowed: Vec<(String, String)>,
    commands: Vec<String>,
    connections: usize,
    accepted: Vec<String>,
    fault: Option<Fault>,
}

/// How the host misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It greets, and says no more.
    HangAfterBanner,
    /// It greets line by line, for ever.
    EndlessBanner,
    /// Whoever is let in is told something, again and again.
    EndlessStderr,
    /// Whatever is asked, it says this, and then zeros for ever.
    Flood(Vec<u8>),
    /// It starts the command, and says nothing.
    HangAfterExec,
    /// It ends the command at once, with this exit status and not a word more.
    End(Option<u32>),
}

impl SshServer {
    /// Serves the bare repositories below `root`, to nobody yet.
    pub async fn start(root: &Path) -> anyhow::Result<Self> {
        let (home, bin) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let program = bin.path().join("git-upload-pack");
        std::fs::write(&program, UPLOAD_PACK)?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let state = State {
            host_key: host_key(1)?,
            allowed: Vec::new(),
            commands: Vec::new(),
            connections: 0,
            accepted: Vec::new(),
            fault: None,
        };
        let shared = Arc::new(Shared { root: root.to_owned(), home, bin, state: Mutex::new(state) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, _serving: serving })
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `ssh://git@127.0.0.1:PORT/<path>`.
    pub fn url(&self, path: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{path}", self.port)
    }

    /// Lets a key read one repository, by its path below the root.
    pub fn allow(&self, public_key: &str, path: &str) {
        self.shared.state().allowed.push((plain(public_key), path.to_owned()));
    }

    /// Forgets a key.
    pub fn forbid(&self, public_key: &str) {
        self.shared.state().allowed.retain(|(key, _)| *key != plain(public_key));
    }

    /// The line of `known_hosts` that is true now.
    pub fn known_hosts(&self) -> anyhow::Result<String> {
        let key = self.shared.state().host_key.public_key().to_openssh()?;
        Ok(format!("[127.0.0.1]:{} {key}", self.port))
    }

    /// Shows another host key from now on.
    pub fn change_host_key(&self) -> anyhow::Result<()> {
        self.shared.state().host_key = host_key(2)?;
        Ok(())
    }

    /// Breaks it, or repairs it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.state().fault = fault;
    }

    /// The commands so far, as they came.
    pub fn commands(&self) -> Vec<String> {
        self.shared.state().commands.clone()
    }

    /// The keys that were let in so far, one for each log-in.
    pub fn accepted(&self) -> Vec<String> {
        self.shared.state().accepted.clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// What the shell's folder holds: nothing, unless a path was taken for a command.
    pub fn droppings(&self) -> anyhow::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.shared.home.path())?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}

/// Kind and key, without what is said about them.
fn plain(public_key: &str) -> String {
    public_key.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn host_key(seed: u8) -> anyhow::Result<PrivateKey> {
    Ok(PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "")?)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while it held the lock leaves the state as good as it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_read(&self, key: &PublicKey) -> Vec<String> {
        let key = key.to_openssh().map(|text| plain(&text)).unwrap_or_default();
        self.state().allowed.iter().filter(|(allowed, _)| *allowed == key).map(|(_, path)| path.clone()).collect()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with the server, and all connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.state().connections += 1;
        connections.spawn(serve_connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// An error is a client that left.
async fn serve_connection(mut stream: TcpStream, shared: Arc<Shared>) {
    let (fault, host_key) = {
        let state = shared.state();
        (state.fault.clone(), state.host_key.clone())
    };
    match fault {
        Some(Fault::HangAfterBanner) => {
            drop(stream.write_all(b"SSH-2.0-hangs\r\n").await);
            // Until the client leaves.
            while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {}
        }
        Some(Fault::EndlessBanner) => while stream.write_all(b"welcome to this host\r\n").await.is_ok() {},
        _ => {
            let config = server::Config {
                keys: vec![host_key],
                auth_rejection_time: Duration::ZERO,
                auth_rejection_time_initial: Some(Duration::ZERO),
                ..server::Config::default()
            };
            let client = Client { shared, may_read: Vec::new(), protocol: String::new(), channel: None };
            if let Ok(session) = server::run_stream(Arc::new(config), stream, client).await {
                drop(session.await);
            }
        }
    }
}

struct Client {
    shared: Arc<Shared>,
    may_read: Vec<String>,
    protocol: String,
    channel: Option<Channel<Msg>>,
}

impl server::Handler for Client {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.may_read = self.shared.may_read(key.public_key);
        if user != "git" || self.may_read.is_empty() {
            return Ok(Auth::reject());
        }
        let key = key.public_key.to_openssh().map(|text| plain(&text)).unwrap_or_default();
        self.shared.state().accepted.push(key);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        _channel: ChannelId,
        name: &str,
        value: &str,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name == "GIT_PROTOCOL" {
            self.protocol = value.to_owned();
        }
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(data).into_owned();
        self.shared.state().commands.push(command.clone());
        session.channel_success(id)?;
        let Some(channel) = self.channel.take() else { return Ok(()) };
        let (shared, handle) = (Arc::clone(&self.shared), session.handle());
        let may_read = format!("\n{}\n", self.may_read.join("\n"));
        let protocol = std::mem::take(&mut self.protocol);
        tokio::spawn(async move {
            let fault = shared.state().fault.clone();
            match fault {
                None => drop(run(&shared, &command, &may_read, &protocol, channel, &handle).await),
                Some(Fault::End(status)) => end(status, channel.id(), &handle).await,
                Some(fault) => drop(misbehave(&fault, channel).await),
            }
        });
        Ok(())
    }
}

/// Runs the command in a shell, as sshd does.
async fn run(
    shared: &Shared,
    command: &str,
    may_read: &str,
    protocol: &str,
    channel: Channel<Msg>,
    handle: &server::Handle,
) -> anyhow::Result<()> {
    let path = format!("{}:{}", shared.bin.path().display(), std::env::var("PATH")?);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(shared.home.path())
        .env("PATH", path)
        .env("ROOT", &shared.root)
        .env("MAY_READ", may_read)
        .env("GIT_PROTOCOL", protocol)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (mut stdin, mut stdout) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
    let mut stderr = child.stderr.take().context("stderr")?;
    let id = channel.id();
    let (mut from_client, mut to_client) = tokio::io::split(channel.into_stream());
    let feed = tokio::spawn(async move { drop(tokio::io::copy(&mut from_client, &mut stdin).await) });
    tokio::io::copy(&mut stdout, &mut to_client).await?;
    let mut words = Vec::new();
    stderr.read_to_end(&mut words).await?;
    let code = child.wait().await?.code().unwrap_or(1).unsigned_abs();
    feed.abort();
    // The client may have left.
    drop(handle.extended_data(id, 1, words).await);
    let _ = handle.exit_status_request(id, code).await;
    let _ = handle.eof(id).await;
    let _ = handle.close(id).await;
    Ok(())
}

/// The client may have left.
async fn end(status: Option<u32>, id: ChannelId, handle: &server::Handle) {
    let _ = handle.eof(id).await;
    if let Some(status) = status {
        let _ = handle.exit_status_request(id, status).await;
    }
    let _ = handle.close(id).await;
}

async fn misbehave(fault: &Fault, channel: Channel<Msg>) -> anyhow::Result<()> {
    if *fault == Fault::EndlessStderr {
        loop {
            channel.extended_data_bytes(1, vec![b'x'; 8192]).await?;
        }
    }
    let (mut from_client, mut to_client) = tokio::io::split(channel.into_stream());
    if let Fault::Flood(start) = fault {
        to_client.write_all(start).await?;
        loop {
            to_client.write_all(&[0; 8192]).await?;
        }
    }
    while matches!(from_client.read(&mut [0; 1024]).await, Ok(1..)) {}
    Ok(())
}
