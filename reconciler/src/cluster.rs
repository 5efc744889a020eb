//! Which cluster we speak to, and the one door to it.
//!
//! The choice is made by [`choose`], from values alone: flag, then platform file, then sandbox. The sandbox never
//! shadows a real cluster: with a kubeconfig or an in-cluster account at hand and nothing chosen, nobody may guess, so
//! that neither a demo lands in production nor a deploy in a toy.
//!
//! Every request of the process passes [`door`]: it counts, limits the time and retries nothing (one attempt per pass;
//! the loop is the retry).

pub mod address;
pub mod call;
pub mod door;
mod one_connection;
pub mod saved;

use door::{Door, Requests};
use kube::Client;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use one_connection::OneConnection;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tower::{BoxError, Layer as _};

/// `--cluster sandbox`.
pub const SANDBOX: &str = "sandbox";
/// `--cluster in-cluster`.
pub const IN_CLUSTER: &str = "in-cluster";
/// What headers call the sandbox.
pub const SANDBOX_TITLE: &str = "sandbox (in-process)";

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longer than any watch stays silent (`observe` gives up sooner): the last resort for a dead connection.
const READ_LIMIT: Duration = Duration::from_secs(300);

/// A chosen cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The in-process one.
    Sandbox,
    /// The one this process runs in, by its service account.
    InCluster,
    /// A context of the kubeconfig.
    Context(String),
}

/// What this machine offers, chosen or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtHand {
    /// There is a kubeconfig, readable or not.
    pub kubeconfig: bool,
    /// Its current context, where it could be read and names one.
    pub context: Option<String>,
    /// There is a service account of a cluster this process runs in.
    pub in_cluster: bool,
}

/// Nobody chose, and guessing could hit the wrong cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no cluster is chosen: {found} is at hand, and so is the sandbox")]
pub struct ChoiceError {
    /// What is at hand besides the sandbox, such as `the kubeconfig's context "kind-dev"`.
    pub found: String,
    /// The value of `--cluster` that would choose it.
    pub flag: String,
}

impl ChoiceError {
    /// What to do, with both commands.
    #[must_use]
    pub fn hint(&self) -> String {
        // Its context has the name that means the sandbox of this machine, which it may not be.
        if self.flag == SANDBOX {
            return format!(
                "Add `--kubeconfig FILE` for that one or `--cluster {SANDBOX}` for the sandbox on this machine."
            );
        }
        format!(
            "Add `--cluster {}` for that one or `--cluster {SANDBOX}` for the sandbox, or set `cluster` in platform.yaml.",
            self.flag
        )
    }
}

impl Choice {
    fn named(name: &str) -> Self {
        match name {
            SANDBOX => Self::Sandbox,
            IN_CLUSTER => Self::InCluster,
            context => Self::Context(context.to_owned()),
        }
    }

    /// As headers name it.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Sandbox => SANDBOX_TITLE,
            Self::InCluster => IN_CLUSTER,
            Self::Context(name) => name,
        }
    }
}

/// The cluster to speak to: the flag's, else the platform file's, else the sandbox, which never shadows a real one.
///
/// # Errors
/// Where none is named and a real one is at hand.
pub fn choose(flag: Option<&str>, platform: Option<&str>, at_hand: &AtHand) -> Result<Choice, ChoiceError> {
    if let Some(name) = flag.or(platform) {
        return Ok(Choice::named(name));
    }
    match at_hand {
        AtHand { kubeconfig: true, context: Some(context), .. } => {
            Err(ChoiceError { found: format!("the kubeconfig's context {context:?}"), flag: context.clone() })
        }
        AtHand { kubeconfig: true, context: None, .. } => {
            Err(ChoiceError { found: "a kubeconfig without a current context".to_owned(), flag: "CONTEXT".to_owned() })
        }
        AtHand { in_cluster: true, .. } => Err(ChoiceError {
            found: "the service account of the cluster this process runs in".to_owned(),
            flag: IN_CLUSTER.to_owned(),
        }),
        AtHand { .. } => Ok(Choice::Sandbox),
    }
}

impl AtHand {
    /// Looks at the environment and the files it names.
    #[must_use]
    pub fn look() -> Self {
        let named = std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
        let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
            && Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists();
        Self::of(Kubeconfig::read(), named, in_cluster)
    }

    /// A kubeconfig that cannot be read is at hand all the same, and so is one that the environment names and that is
    /// not there: somebody means a cluster. One without contexts offers none.
    fn of(read: Result<Kubeconfig, KubeconfigError>, named: bool, in_cluster: bool) -> Self {
        let (kubeconfig, context) = match read {
            Ok(read) => {
                let context = read.current_context.filter(|name| !name.is_empty());
                (context.is_some() || !read.contexts.is_empty(), context)
            }
            Err(KubeconfigError::FindPath) => (false, None),
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => (named, None),
            Err(_) => (true, None),
        };
        Self { kubeconfig, context, in_cluster }
    }
}

/// Where the sandbox lives when nobody says otherwise: `$XDG_STATE_HOME/toolforge/sandbox`.
#[must_use]
pub fn sandbox_dir() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| home().map(|home| home.join(".local/state")));
    state.unwrap_or_else(std::env::temp_dir).join("toolforge").join("sandbox")
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A cluster we can speak to. Cloning is cheap: clones share connections and counters.
#[derive(Clone)]
pub struct Cluster {
    /// As headers name it.
    pub name: String,
    /// For every request.
    pub client: Client,
}

/// Why a cluster could not be reached at all: before any request.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig is missing, broken, or has no such context.
    #[error("kubeconfig, context {context:?}")]
    Kubeconfig {
        /// The context.
        context: String,
        /// What is wrong.
        #[source]
        source: KubeconfigError,
    },
    /// No usable service account.
    #[error("in-cluster service account")]
    InCluster(#[from] kube::config::InClusterError),
    /// Keys, certificates or a proxy setting are unusable.
    #[error("client of cluster {name:?}")]
    Client {
        /// The cluster.
        name: String,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

/// The settings of a context of the kubeconfig.
///
/// # Errors
/// Where the kubeconfig cannot be used.
pub async fn config_of_context(context: &str) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    Config::from_kubeconfig(&options)
        .await
        .map_err(|source| ConnectError::Kubeconfig { context: context.to_owned(), source })
}

/// The settings of the cluster this process runs in.
///
/// # Errors
/// Where there is no usable service account.
pub fn config_of_service_account() -> Result<Config, ConnectError> {
    Ok(Config::incluster()?)
}

impl Cluster {
    /// A client of whatever `config` describes, for who stays; its retries, time limits and `User-Agent` become ours. No
    /// request is sent.
    ///
    /// # Errors
    /// Where keys or certificates cannot be used.
    pub fn of_config(name: &str, config: Config, requests: &Requests) -> Result<Self, ConnectError> {
        let builder = ClientBuilder::try_from(ours(config)).map_err(|source| ConnectError::client(name, source))?;
        Ok(Self { name: name.to_owned(), client: builder.with_layer(&Door::new(requests)).build() })
    }

    /// The same for a command, that asks and ends: over one connection, where the server can share one.
    ///
    /// # Errors
    /// Where keys or certificates cannot be used.
    pub fn on_one_connection(name: &str, config: Config, requests: &Requests) -> Result<Self, ConnectError> {
        // Only the other client knows of proxies.
        if config.proxy_url.is_some() {
            return Self::of_config(name, config, requests);
        }
        let client = one_client(ours(config), requests).map_err(|source| ConnectError::client(name, source))?;
        Ok(Self { name: name.to_owned(), client })
    }

    /// A client over a service in this process: the sandbox, or a test's double. The same door stands before it.
    pub fn of_service<S, B>(name: &str, service: S, requests: &Requests) -> Self
    where
        S: tower::Service<http::Request<Body>, Response = http::Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let client = ClientBuilder::new(service, "default").with_layer(&Door::new(requests)).build();
        Self { name: name.to_owned(), client }
    }
}

fn ours(mut config: Config) -> Config {
    install_crypto();
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.read_timeout = Some(READ_LIMIT);
    config.reset_reader_on_write = true;
    config.headers.retain(|(name, _)| name != http::header::USER_AGENT);
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    config
}

fn one_client(config: Config, requests: &Requests) -> Result<Client, kube::Error> {
    let service = config.extra_headers_layer()?.layer(OneConnection::to(&config)?);
    let service = tower::util::option_layer(config.auth_layer()?).layer(service);
    let service = config.base_uri_layer().layer(service);
    Ok(ClientBuilder::new(service, config.default_namespace).with_layer(&Door::new(requests)).build())
}

impl ConnectError {
    fn client(name: &str, source: kube::Error) -> Self {
        Self::Client { name: name.to_owned(), source: Box::new(source) }
    }
}

const USER_AGENT: &str = concat!("toolforge/", env!("CARGO_PKG_VERSION"));

/// Chooses ring for all TLS of the process. Later calls change nothing.
pub fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing a race against another call of ours leaves the same provider installed.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_hand(context: Option<&str>, in_cluster: bool) -> AtHand {
        AtHand { kubeconfig: context.is_some(), context: context.map(str::to_owned), in_cluster }
    }

    #[test]
    fn the_flag_wins_over_the_platform_file_and_both_win_over_what_is_at_hand() {
        for here in [AtHand::default(), at_hand(Some("kind-dev"), false), at_hand(None, true)] {
            let context = |name: &str| Ok(Choice::Context(name.to_owned()));
            assert_eq!(choose(Some("a"), Some("b"), &here), context("a"));
            assert_eq!(choose(None, Some("b"), &here), context("b"));
            assert_eq!(choose(Some("sandbox"), Some("b"), &here), Ok(Choice::Sandbox));
            assert_eq!(choose(None, Some("in-cluster"), &here), Ok(Choice::InCluster));
        }
    }

    #[test]
    fn the_sandbox_is_the_default_only_where_no_real_cluster_is_at_hand() {
        assert_eq!(choose(None, None, &AtHand::default()), Ok(Choice::Sandbox));
    }

    #[test]
    fn a_kubeconfig_is_at_hand_also_when_it_is_broken_and_not_when_it_is_empty() {
        let missing = || Err(KubeconfigError::ReadConfig(ErrorKind::NotFound.into(), PathBuf::from("x")));
        let refused = || Err(KubeconfigError::ReadConfig(ErrorKind::PermissionDenied.into(), PathBuf::from("x")));
        let current = Kubeconfig { current_context: Some("kind-dev".to_owned()), ..Kubeconfig::default() };
        let cases = [
            (missing(), false, false),
            (missing(), true, true),
            (refused(), false, true),
            (Err(KubeconfigError::FindPath), false, false),
            (Ok(Kubeconfig::default()), true, false),
            (Ok(current), false, true),
        ];
        for (read, named, expected) in cases {
            let shown = format!("{read:?} {named}");
            assert_eq!(AtHand::of(read, named, false).kubeconfig, expected, "{shown}");
        }
    }

    #[test]
    fn the_sandbox_never_shadows_a_real_cluster_and_the_error_names_both() {
        let unreadable = AtHand { kubeconfig: true, ..AtHand::default() };
        let cases = [
            (at_hand(Some("kind-dev"), false), "kind-dev"),
            (at_hand(Some("kind-dev"), true), "kind-dev"),
            (at_hand(None, true), "in-cluster"),
            (unreadable, "CONTEXT"),
        ];
        for (here, flag) in cases {
            let error = choose(None, None, &here).expect_err("a real cluster is at hand");
            assert_eq!(error.flag, flag, "{here:?}");
            assert!(error.to_string().contains("sandbox"), "{error}");
            assert!(error.hint().contains(&format!("`--cluster {flag}`")), "{}", error.hint());
            assert!(error.hint().contains("`--cluster sandbox`"), "{}", error.hint());
        }
        let demo = choose(None, None, &at_hand(Some(SANDBOX), false)).expect_err("a real cluster, for all we know");
        assert!(
            demo.hint().starts_with("Add `--kubeconfig FILE` for that one or `--cluster sandbox`"),
            "{}",
            demo.hint()
        );
    }
}
