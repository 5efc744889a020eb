//! git over ssh, on a connection of our dialer: its rules hold for ssh as for https, and no program of the machine is run.
//!
//! The host shows one of the keys that are written down for it, or is not spoken to. It is told one command, and what it
//! says on stderr is not repeated. Everything it sends counts towards the byte limit of the exchange, banners included.

use super::{Endpoint, Watch};
use crate::source::SourceError;
use crate::source::ssh_keys::SshKeys;
use bytes::{Buf as _, Bytes};
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::git;
use renderer::platform::{KnownHost, fingerprint};
use russh::client::{self, AuthResult, Handle, Msg};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Preferred, SshId, kex};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime;

const PORT: u16 = 22;
/// Whom git hosts let in.
const USER: &str = "git";
/// How keys are exchanged: on curves alone. Who answers is not known yet, and a group of 8192 bits would keep a thread busy.
const EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const CLIENT: &str = concat!("SSH-2.0-toolforge_", env!("CARGO_PKG_VERSION"));

pub(super) fn connect(endpoint: &Endpoint, watch: &Arc<Watch>) -> Result<Box<dyn Transport + Send>, SourceError> {
    let url = &endpoint.url;
    let port = url.port().unwrap_or(PORT);
    let Some(keys) = &endpoint.ssh_keys else {
        return Err(SourceError::Corrupt { why: format!("{url} is no ssh address") });
    };
    let stream = endpoint.dialer.connect(url.host(), port, watch.left())?;
    let lost = |error: io::Error| unreachable(url.host(), &error.to_string());
    let (cut, hang_up) = (stream.try_clone().map_err(lost)?, HangUp(stream.try_clone().map_err(lost)?));
    watch.on_abort(move || shut(&cut));
    let mut known = endpoint.dialer.rules().host_keys(url.host(), port);
    known.extend(endpoint.known_hosts.iter().filter(|known| known.is_of(url.host(), port)).cloned());
    let opened = endpoint.runtime.block_on(in_time(watch, open(endpoint, keys, known, stream, watch)));
    let opened = opened.unwrap_or_else(|error| Err(Fault::from(error)));
    let (session, channel) = opened.map_err(|fault| watch.verdict().unwrap_or_else(|| fault.told(endpoint)))?;
    let (incoming, outgoing) = channel.split();
    let reader = Incoming {
        endpoint: endpoint.clone(),
        watch: watch.clone(),
        channel: incoming,
        piece: Bytes::new(),
        has_spoken: false,
        has_explained: false,
        _session: session,
        _hang_up: hang_up,
    };
    let writer = Outgoing { runtime: endpoint.runtime.clone(), watch: watch.clone(), channel: outgoing };
    Ok(Box::new(git::blocking_io::Connection::new(
        reader,
        writer,
        Protocol::V2,
        url.path(),
        None::<(&str, _)>,
        git::ConnectMode::Process,
        false,
    )))
}

/// Greets, checks the host, logs in, and starts the one command.
async fn open(
    endpoint: &Endpoint,
    keys: &SshKeys,
    known: Vec<KnownHost>,
    stream: TcpStream,
    watch: &Arc<Watch>,
) -> Result<(Handle<Host>, Channel<Msg>), Fault> {
    stream.set_nonblocking(true)?;
    let stream = Metered { inner: tokio::net::TcpStream::from_std(stream)?, watch: watch.clone() };
    let config = client::Config {
        client_id: SshId::Standard(CLIENT.into()),
        preferred: Preferred { kex: EXCHANGES.into(), key: in_order(&known).into(), ..Preferred::DEFAULT },
        ..client::Config::default()
    };
    let host = Host { name: endpoint.url.host().to_owned(), known };
    let mut session = client::connect_stream(Arc::new(config), stream, host).await?;
    log_in(&mut session, endpoint, keys).await?;
    let channel = session.channel_open_session().await?;
    channel.set_env(false, "GIT_PROTOCOL", "version=2").await?;
    channel.exec(true, format!("git-upload-pack {}", quoted(endpoint.url.path()))).await?;
    Ok((session, channel))
}

/// With one key after another, the newest first.
async fn log_in(session: &mut Handle<Host>, endpoint: &Endpoint, keys: &SshKeys) -> Result<(), Fault> {
    let user = endpoint.url.user().unwrap_or(USER);
    let mut was_refused = false;
    for key in keys.iter() {
        let key = PrivateKeyWithHashAlg::new(key.clone(), Some(HashAlg::Sha512));
        match session.authenticate_publickey(user, key).await {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { .. }) => was_refused = true,
            // It hangs up on who tries too often.
            Err(_) if was_refused => break,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Fault::Told(denied(endpoint)))
}

/// Kinds of keys that are written down come first, so that a host with several shows one of those.
fn in_order(known: &[KnownHost]) -> Vec<Algorithm> {
    let is_known = |algorithm: &Algorithm| known.iter().any(|known| algorithm.as_str() == known.algorithm());
    let is_rsa = |algorithm: &Algorithm| {
        // Its key is `ssh-rsa` whatever signs with it; SHA-1 is not taken.
        matches!(algorithm, Algorithm::Rsa { .. }) && known.iter().any(|known| known.algorithm() == "ssh-rsa")
    };
    let all = Preferred::DEFAULT.key;
    let safe = all.iter().filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None })).cloned();
    let (mut first, rest): (Vec<_>, Vec<_>) = safe.partition(|algorithm| is_known(algorithm) || is_rsa(algorithm));
    first.extend(rest);
    first
}

/// The remote shell's quoting: in single quotes everything but a single quote stands for itself.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// Whom we mean to speak to.
struct Host {
    name: String,
    known: Vec<KnownHost>,
}

impl client::Handler for Host {
    type Error = Fault;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        let key = shown.public_key().to_bytes().map_err(|_| Fault::Ssh(russh::Error::UnknownKey))?;
        if shown.certificate().is_none() && self.known.iter().any(|known| known.key() == key) {
            return Ok(true);
        }
        let mut expected: Vec<_> = self.known.iter().map(|known| fingerprint(known.key())).collect();
        expected.sort();
        Err(Fault::Told(SourceError::HostKey { host: self.name.clone(), shown: fingerprint(&key), expected }))
    }
}

/// Why there is no channel.
#[derive(Debug)]
enum Fault {
    Told(SourceError),
    Ssh(russh::Error),
}

impl Fault {
    fn told(self, endpoint: &Endpoint) -> SourceError {
        let why = match self {
            Self::Told(error) => return error,
            // It repeats the host's own list.
            Self::Ssh(russh::Error::NoCommonAlgo { kind, .. }) => format!("no common algorithm ({kind:?})"),
            Self::Ssh(error) => error.to_string(),
        };
        unreachable(endpoint.url.host(), &why)
    }
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Ssh(error.into())
    }
}

fn unreachable(host: &str, why: &str) -> SourceError {
    SourceError::Unreachable { why: format!("{host} is unreachable over ssh: {why}") }
}

fn denied(endpoint: &Endpoint) -> SourceError {
    let url = &endpoint.url;
    SourceError::Denied { repository: url.to_string(), tool: url.tool().cloned() }
}

async fn in_time<T>(watch: &Watch, what: impl Future<Output = T>) -> io::Result<T> {
    // A moment at least, so that what is there already is taken.
    let left = watch.left().max(Duration::from_millis(1));
    tokio::time::timeout(left, what).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
}

/// Closing twice is no failure, and there is nobody to tell.
fn shut(stream: &TcpStream) {
    drop(stream.shutdown(Shutdown::Both));
}

/// Closes the connection where it ends: russh's own task would wait for a host that hangs.
struct HangUp(TcpStream);

impl Drop for HangUp {
    fn drop(&mut self) {
        shut(&self.0);
    }
}

/// The connection, counted before anything is made of it.
struct Metered {
    inner: tokio::net::TcpStream,
    watch: Arc<Watch>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        Poll::Ready(self.watch.received(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// What the command says, for a thread that blocks.
struct Incoming {
    endpoint: Endpoint,
    watch: Arc<Watch>,
    channel: ChannelReadHalf,
    piece: Bytes,
    /// It has said something to git.
    has_spoken: bool,
    /// It has said something else: why it gives nothing to git, if it does not.
    has_explained: bool,
    _session: Handle<Host>,
    _hang_up: HangUp,
}

impl Incoming {
    /// The next piece; empty at the end.
    fn next(&mut self) -> io::Result<Bytes> {
        loop {
            let said = self.endpoint.runtime.block_on(in_time(&self.watch, self.channel.wait()))?;
            // Cut off, or over a limit: then this is not its end.
            self.watch.received(0)?;
            match said {
                Some(ChannelMsg::Data { data }) if data.is_empty() => {}
                Some(ChannelMsg::Data { data }) => return Ok(data),
                // No such repository, or none for this key: its words are not ours to repeat.
                Some(ChannelMsg::ExtendedData { .. } | ChannelMsg::ExitStatus { .. }) => self.has_explained = true,
                Some(ChannelMsg::Eof | ChannelMsg::Close | ChannelMsg::Failure) if self.has_spoken => {
                    return Ok(Bytes::new());
                }
                Some(ChannelMsg::Failure) => return Err(self.watch.fail(denied(&self.endpoint))),
                Some(ChannelMsg::Eof | ChannelMsg::Close) if self.has_explained => {
                    return Err(self.watch.fail(denied(&self.endpoint)));
                }
                // Why may still come.
                Some(ChannelMsg::Eof) => {}
                Some(ChannelMsg::Close) => return Err(self.lost("it ended the command without a word")),
                Some(_) => {}
                None => return Err(self.lost("it closed the connection")),
            }
        }
    }

    fn lost(&self, why: &str) -> io::Error {
        self.watch.fail(unreachable(self.endpoint.url.host(), why))
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.next()?;
            self.has_spoken |= !self.piece.is_empty();
        }
        let bytes = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..bytes]);
        Ok(bytes)
    }
}

/// What the command is told, from a thread that blocks.
struct Outgoing {
    runtime: runtime::Handle,
    watch: Arc<Watch>,
    channel: ChannelWriteHalf<Msg>,
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.channel.data_bytes(Bytes::copy_from_slice(bytes));
        self.runtime.block_on(in_time(&self.watch, sent))?.map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_the_remote_shell() {
        for path in ["/srv/a b", "it's", "x'; touch /tmp/y; '", "$(id)`id`\\", "-x"] {
            let said = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(path))]).output();
            assert_eq!(String::from_utf8(said.expect("a shell").stdout).as_deref(), Ok(path));
        }
    }

    #[test]
    fn keys_that_are_written_down_are_asked_for_first_and_sha1_never() {
        let known = |line: &str| KnownHost::parse(line).expect("a line");
        let names = |known: &[KnownHost]| in_order(known).iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = names(&[]);
        assert_eq!((all[0].as_str(), all.len()), ("ssh-ed25519", 6));
        assert!(!all.contains(&"ssh-rsa".to_owned()));
        let rsa = "AAAAB3NzaC1yc2EAAAADAQABAAAAAQC7";
        assert_eq!(names(&[known(&format!("git.example ssh-rsa {rsa}"))])[..2], ["rsa-sha2-512", "rsa-sha2-256"]);
    }
}
