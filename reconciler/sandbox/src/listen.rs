//! The same API on loopback, for kubectl. Whoever asks must know a random token, name this server as the host, and not
//! be a web page: a browser that was lured here can't read or change anything. It is TLS, with a certificate that only the
//! kubeconfig knows, because kubectl sends a token over nothing else.

use crate::certificate::Certificate;
use crate::sandbox::Sandbox;
use crate::service::{Body, SandboxService};
use crate::status::ApiError;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rand::RngExt;
use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tower::Service;

/// A listening sandbox. It stops listening when this is dropped.
#[derive(Debug)]
pub struct Listening {
    /// The file for `kubectl --kubeconfig`, readable by its owner only.
    pub kubeconfig: PathBuf,
    /// `https://127.0.0.1:<port>`.
    pub url: String,
    /// The bearer token.
    pub token: String,
    accepting: JoinHandle<()>,
    /// A directory made for the kubeconfig alone.
    scratch: Option<PathBuf>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
        // A kubeconfig whose server is gone would only puzzle people; if it can't be removed, it is still harmless.
        let removed = match &self.scratch {
            Some(dir) => fs::remove_dir_all(dir),
            None => fs::remove_file(&self.kubeconfig),
        };
        if let Err(error) = removed {
            tracing::debug!(%error, "the sandbox's kubeconfig stays behind");
        }
    }
}

impl Sandbox {
    /// Listens on a loopback address; port 0 takes a free one. The kubeconfig stands in the sandbox's directory, or in
    /// one of its own if there is none.
    ///
    /// # Errors
    /// Where the address is none of loopback or taken, or the kubeconfig can't be written.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listening> {
        if !address.ip().is_loopback() {
            let text = format!("{address} is no loopback address");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let token = token();
        let url = format!("https://{address}");
        let certificate =
            Certificate::for_loopback().map_err(|_unspecified| io::Error::other("no randomness for a key"))?;
        let (dir, scratch) = match &self.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let dir = scratch_dir(&token)?;
                (dir.clone(), Some(dir))
            }
        };
        let kubeconfig = dir.join("kubeconfig");
        write_private(&kubeconfig, &kubeconfig_text(&url, &certificate.pem(), &token))?;
        let door = Door {
            tls: acceptor(certificate).map_err(io::Error::other)?,
            service: self.service(),
            guard: Arc::new(Guard { address, token: format!("Bearer {token}") }),
        };
        let accepting = tokio::spawn(accept(listener, door));
        Ok(Listening { kubeconfig, url, token, accepting, scratch })
    }
}

fn acceptor(certificate: Certificate) -> Result<TlsAcceptor, tokio_rustls::rustls::Error> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.key));
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.der)], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What every connection goes through.
#[derive(Clone)]
struct Door {
    tls: TlsAcceptor,
    service: SandboxService,
    guard: Arc<Guard>,
}

async fn accept(listener: TcpListener, door: Door) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, door.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the sandbox could not accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, door: Door) {
    let Door { tls, service, guard } = door;
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a connection to the sandbox was no TLS"),
    };
    let guarded = tower::service_fn(move |request: Request<Incoming>| {
        let (guard, mut service) = (guard.clone(), service.clone());
        async move {
            match guard.check(request.headers()) {
                Ok(()) => service.call(request).await,
                Err(error) => Ok::<Response<Body>, Infallible>(crate::service::json(&error.into())),
            }
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(guarded));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the sandbox ended early");
    }
}

/// Who may ask.
#[derive(Debug)]
struct Guard {
    address: SocketAddr,
    token: String,
}

impl Guard {
    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let port = self.address.port();
        let hosts = [self.address.to_string(), format!("localhost:{port}")];
        if !text(HOST).is_some_and(|host| hosts.iter().any(|one| one == host)) {
            return Err(ApiError::foreign("the Host header names another server"));
        }
        if headers.contains_key(ORIGIN) {
            return Err(ApiError::foreign("requests of web pages are refused"));
        }
        let given = text(AUTHORIZATION).unwrap_or_default();
        if is_equal(given.as_bytes(), self.token.as_bytes()) { Ok(()) } else { Err(ApiError::unauthorized()) }
    }
}

/// Takes the same time wherever two texts of one length differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

fn token() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn scratch_dir(token: &str) -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = std::env::temp_dir().join(format!("toolforge-sandbox-{}", &token[..12]));
    fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

/// Written beside and renamed, so that nobody reads half of it and its mode is right from the first byte.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let next = path.with_extension("new");
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, path)
}

fn kubeconfig_text(url: &str, certificate: &str, token: &str) -> String {
    let certificate = crate::normal::base64(certificate.as_bytes());
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: sandbox\n\
         clusters:\n\
         - name: sandbox\n  \
           cluster:\n    \
             server: {url}\n    \
             certificate-authority-data: {certificate}\n\
         contexts:\n\
         - name: sandbox\n  \
           context:\n    \
             cluster: sandbox\n    \
             namespace: default\n    \
             user: sandbox\n\
         users:\n\
         - name: sandbox\n  \
           user:\n    \
             token: {token}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(http::HeaderName, &str)]) -> Option<u16> {
        let guard = Guard { address: SocketAddr::from(([127, 0, 0, 1], 6443)), token: "Bearer secret".to_owned() };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value.parse().expect("a header value"));
        }
        guard.check(&map).err().map(|error| error.code)
    }

    #[test]
    fn only_the_token_at_this_host_from_no_web_page_gets_in() {
        let (host, token) = ((HOST, "127.0.0.1:6443"), (AUTHORIZATION, "Bearer secret"));
        assert_eq!(check(&[host.clone(), token.clone()]), None);
        assert_eq!(check(&[(HOST, "localhost:6443"), token.clone()]), None);
        assert_eq!(check(std::slice::from_ref(&host)), Some(401));
        assert_eq!(check(&[host.clone(), (AUTHORIZATION, "Bearer secreT")]), Some(401));
        assert_eq!(check(&[host.clone(), (AUTHORIZATION, "Bearer secret2")]), Some(401));
        assert_eq!(check(&[(HOST, "evil.example:6443"), token.clone()]), Some(403));
        assert_eq!(check(std::slice::from_ref(&token)), Some(403));
        assert_eq!(check(&[host, token, (ORIGIN, "http://127.0.0.1:6443")]), Some(403));
    }
}
