//! The one way out: every byte of git and registry traffic leaves through [`Dialer`].
//!
//! A repository and its name server are hostile until proven otherwise, so a name is resolved once, here, its
//! addresses are checked, and the connection goes to a checked address: there is no second look-up that could answer
//! differently. Redirects are checked like first requests. Loopback, private, link-local and metadata addresses are
//! refused unless operators wrote the host down ([`Rules`]). Proxies named by the environment are ignored: behind
//! one, the address would be chosen by somebody else.
//!
//! One client is shared by everyone, so that connections are kept alive between cycles; the client itself is never
//! handed out, because it would accept an unchecked literal address. It is made when somebody dials: that reads all
//! certificates of the machine, and most commands dial nobody.

mod credentials;
mod rules;

pub use credentials::{Credentials, Secret};
pub(crate) use rules::authority;
pub use rules::{HostPort, Refusal, Rules};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use url::Url;

/// What we call ourselves, to git servers and registries alike.
pub const USER_AGENT: &str = concat!("toolforge/", env!("CARGO_PKG_VERSION"));
/// A server that does not accept a connection in this time is down for this cycle.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried; whoever runs a name server can write down a thousand that never answer.
const MAX_ADDRESSES: usize = 8;
/// No byte for this long ends a request, however long the whole may take.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// git hosts rename with one redirect; more than a handful is a loop.
const MAX_REDIRECTS: usize = 5;

/// Why a request got no answer. An answer with an error status is an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The rules refuse the host or the address it resolves to.
    #[error("{0}")]
    HostNotAllowed(Refusal),
    /// No answer in time.
    #[error("{host} did not answer in {secs} s")]
    TimedOut {
        /// Host and port.
        host: String,
        /// The limit that was reached.
        secs: u64,
    },
    /// The answer is longer than its limit.
    #[error("{host} sent more than {limit_bytes} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// Name look-up, connection, TLS or HTTP failed.
    #[error("{host} is unreachable: {why}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// The innermost cause, as a fragment.
        why: String,
    },
}

/// The shared client and the rules it obeys. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    clients: Arc<Clients>,
    rules: Arc<RwLock<Rules>>,
}

/// A client, once it was needed; or why there can be none on this machine.
type Made = OnceLock<Result<reqwest::Client, DialError>>;

#[derive(Default)]
struct Clients {
    all: Made,
    /// For a trusted host on a port that nobody trusts: it resolves to public addresses alone.
    public: Made,
}

/// One request: what [`Dialer::send`] needs to know beside the method and the URL.
#[derive(Default)]
pub struct Ask<'a> {
    /// Headers as name and value.
    pub headers: Vec<(&'static str, String)>,
    /// Credentials for basic authentication; never sent on to another host.
    pub credentials: Option<&'a Credentials>,
    /// Bearer token; wins over `credentials`.
    pub bearer: Option<&'a Secret>,
    /// Request body.
    pub body: Option<Vec<u8>>,
    /// Time for the whole exchange, the body included.
    pub timeout: Option<Duration>,
}

impl Dialer {
    /// A dialer that obeys `rules`. Nothing is read or opened yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { clients: Arc::default(), rules: Arc::new(RwLock::new(rules)) }
    }

    /// Replaces the rules: the config repository changed. Connections that are open stay open.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Rules {
        read(&self.rules)
    }

    /// Sends one request and returns the response, whatever its status; the body is still to be read, with
    /// [`body`].
    ///
    /// # Errors
    /// Where the host is refused or does not answer, or the TLS set-up of this machine cannot be used.
    pub async fn send(&self, method: http::Method, url: &Url, ask: Ask<'_>) -> Result<reqwest::Response, DialError> {
        let rules = read(&self.rules);
        rules.admit_url(url).map_err(DialError::HostNotAllowed)?;
        let client = if rules.trust_another_port(url) { self.public() } else { self.all() }?;
        let mut request = client.request(method, url.clone());
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        match (ask.bearer, ask.credentials) {
            (Some(token), _) => request = request.bearer_auth(token.reveal()),
            (None, Some(basic)) => {
                request = request.basic_auth(basic.username(), Some(basic.password().reveal()));
            }
            (None, None) => {}
        }
        if let Some(body) = ask.body {
            request = request.body(body);
        }
        if let Some(timeout) = ask.timeout {
            request = request.timeout(timeout);
        }
        let limit = ask.timeout.unwrap_or(READ_TIMEOUT);
        request.send().await.map_err(|e| explain(&e, url, limit))
    }

    fn all(&self) -> Result<reqwest::Client, DialError> {
        self.clients.all.get_or_init(|| client(&self.rules, self.rules.clone())).clone()
    }

    fn public(&self) -> Result<reqwest::Client, DialError> {
        self.clients.public.get_or_init(|| client(&self.rules, Arc::default())).clone()
    }

    /// A plain TCP connection to a checked address (git://), with read and write time limits. Blocks.
    ///
    /// # Errors
    /// Where the host is refused or does not answer.
    pub fn connect(&self, host: &str, port: u16, io_timeout: Duration) -> Result<TcpStream, DialError> {
        let at = format!("{host}:{port}");
        let unreachable = |error: std::io::Error| DialError::Unreachable { host: at.clone(), why: error.to_string() };
        let (mut last, until) = (None, Instant::now() + io_timeout);
        for address in self.resolve(host, port)?.into_iter().take(MAX_ADDRESSES) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT.min(left)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(io_timeout)).map_err(unreachable)?;
                    stream.set_write_timeout(Some(io_timeout)).map_err(unreachable)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(unreachable(last.unwrap_or_else(|| std::io::Error::other("the name has no address"))))
    }

    /// The checked addresses of `host`, at least one. Blocks for the look-up.
    ///
    /// # Errors
    /// Where the name has no address, or none that the rules allow.
    pub fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        use std::net::ToSocketAddrs;
        let found: Vec<SocketAddr> = (host.trim_matches(['[', ']']), port)
            .to_socket_addrs()
            .map_err(|error| DialError::Unreachable { host: format!("{host}:{port}"), why: error.to_string() })?
            .collect();
        read(&self.rules).admit_addresses(host, Some(port), found).map_err(DialError::HostNotAllowed)
    }
}

/// The body of a response, no longer than `limit_bytes`.
///
/// # Errors
/// Where it is longer, or breaks off.
pub async fn body(mut response: reqwest::Response, limit_bytes: u64) -> Result<Vec<u8>, DialError> {
    let url = response.url().clone();
    let mut bytes = Vec::new();
    while let Some(piece) = chunk(&mut response).await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > limit_bytes {
            return Err(DialError::TooLarge { host: authority(&url), limit_bytes });
        }
    }
    Ok(bytes)
}

/// The next piece of a body, whose length is the caller's to bound; none at its end.
///
/// # Errors
/// Where it breaks off.
pub async fn chunk(response: &mut reqwest::Response) -> Result<Option<bytes::Bytes>, DialError> {
    let read = response.chunk().await;
    read.map_err(|error| explain(&error, response.url(), READ_TIMEOUT))
}

/// Says what a client error means, without the URL's userinfo. `limit` is the time limit that applied.
#[must_use]
pub fn explain(error: &reqwest::Error, url: &Url, limit: Duration) -> DialError {
    if let Some(refusal) = find::<Refusal>(error) {
        return DialError::HostNotAllowed(refusal.clone());
    }
    let host = authority(error.url().unwrap_or(url));
    if error.is_timeout() {
        let secs =
            if error.is_connect() { CONNECT_TIMEOUT.min(limit).as_secs() } else { READ_TIMEOUT.min(limit).as_secs() };
        return DialError::TimedOut { host, secs };
    }
    DialError::Unreachable { host, why: innermost(error) }
}

fn read(rules: &RwLock<Rules>) -> Rules {
    rules.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A client whose redirects obey `rules`, and whose look-ups obey `names`.
fn client(rules: &Arc<RwLock<Rules>>, names: Arc<RwLock<Rules>>) -> Result<reqwest::Client, DialError> {
    // Fails where main has installed it already, which is just as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(120))
        .retry(reqwest::retry::never())
        .redirect(redirects(rules.clone()))
        .dns_resolver(Arc::new(CheckedResolver(names)))
        .build()
        .map_err(|error| DialError::Unreachable { host: "any host".to_owned(), why: innermost(&error) })
}

fn redirects(rules: Arc<RwLock<Rules>>) -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(move |attempt| {
        let downgrade =
            attempt.previous().last().is_some_and(|from| from.scheme() == "https" && attempt.url().scheme() != "https");
        let refusal = if downgrade {
            Some(Refusal::new(attempt.url(), "it is a redirect from https to http"))
        } else if attempt.previous().len() > MAX_REDIRECTS {
            Some(Refusal::new(attempt.url(), "it redirects in a circle"))
        } else if read(&rules).trust_another_port(attempt.url()) {
            Some(Refusal::new(attempt.url(), "it is a redirect to a port that allowed_hosts does not list"))
        } else {
            let rules = read(&rules);
            let first = attempt.previous().first().unwrap_or(attempt.url());
            rules.admit_hop(first, attempt.url()).err()
        };
        match refusal {
            Some(refusal) => attempt.error(refusal),
            None => attempt.follow(),
        }
    })
}

struct CheckedResolver(Arc<RwLock<Rules>>);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            // Port 0 means: the one of the URL.
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let admitted = read(&rules).admit_addresses(&host, None, found)?;
            let addresses: Addrs = Box::new(admitted.into_iter());
            Ok(addresses)
        })
    }
}

fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The text of the cause that nothing else caused.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolved(rules: Rules) -> Result<Vec<SocketAddr>, String> {
        let resolver = CheckedResolver(Arc::new(RwLock::new(rules)));
        let name: Name = "localhost".parse().expect("a name");
        let found = resolver.resolve(name).await.map_err(|error| error.to_string())?;
        Ok(found.collect())
    }

    #[tokio::test]
    async fn a_name_is_checked_where_it_is_resolved() {
        let refused = resolved(Rules::default()).await.expect_err("refused");
        assert!(refused.contains("is loopback"), "{refused}");
        let mut rules = Rules::default();
        rules.trust(HostPort::parse("localhost"));
        let found = resolved(rules).await.expect("trusted");
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
    }

    #[tokio::test]
    async fn a_trusted_name_reaches_no_private_address_on_another_port() {
        let mut rules = Rules::default();
        rules.reach(HostPort::parse("localhost:1"));
        let dialer = Dialer::new(rules);
        let asked = async |url: &str| {
            let url = Url::parse(url).expect("a URL");
            dialer.send(http::Method::GET, &url, Ask::default()).await.expect_err("refused or closed")
        };
        assert!(matches!(asked("http://localhost:1/x").await, DialError::Unreachable { .. }));
        assert!(matches!(asked("http://localhost:2/x").await, DialError::HostNotAllowed(_)));
        let url = Url::parse("http://localhost:2/x").expect("a URL");
        // The look-up of the other client refuses by itself, too.
        let public = dialer.public().expect("TLS of this machine");
        let error = public.get(url.clone()).send().await.expect_err("refused");
        assert!(matches!(explain(&error, &url, READ_TIMEOUT), DialError::HostNotAllowed(_)));
    }

    #[tokio::test]
    async fn a_client_is_made_for_the_first_request_that_may_go_out_and_no_other() {
        let made = |dialer: &Dialer| [&dialer.clients.all, &dialer.clients.public].map(|made| made.get().is_some());
        let mut rules = Rules::default();
        rules.reach(HostPort::parse("127.0.0.1:1"));
        let dialer = Dialer::new(rules);
        let ask = async |url: &str| {
            let url = Url::parse(url).expect("a URL");
            drop(dialer.send(http::Method::GET, &url, Ask::default()).await.expect_err("refused or closed"));
        };
        ask("http://10.0.0.1/x").await;
        assert_eq!(made(&dialer), [false, false]);
        ask("http://127.0.0.1:1/x").await;
        assert_eq!(made(&dialer.clone()), [true, false]);
    }

    #[tokio::test]
    async fn an_error_names_the_host_and_the_cause_and_no_userinfo() {
        let mut rules = Rules::default();
        rules.reach(HostPort::parse("127.0.0.1"));
        let closed = TcpStream::connect("127.0.0.1:1").expect_err("nobody listens there").to_string();
        let url = Url::parse("http://user:s3cret@127.0.0.1:1/x").expect("a URL");
        let dialer = Dialer::new(rules);
        let error = dialer.send(http::Method::GET, &url, Ask::default()).await.expect_err("closed");
        assert_eq!(error, DialError::Unreachable { host: "127.0.0.1:1".to_owned(), why: closed });
    }
}
