//! The platform, and where its secrets come in.

use crate::search::Searcher;
use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler::secrets::deploy_keys::{self, Made};
use reconciler::secrets::{HMAC, IDENTITIES, Identities, Recipients};
use reconciler::source::SshKeys;
use renderer::diagnostic::Place;
use renderer::render::secret_name;
use renderer::request::deploy_key_secret;
use renderer::secrets::{FILE, Record, SecretsFile, Standing};
use renderer::{Secret, ToolName};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use tests::git_server::Fault;
use tests::platform::{CONFIG, Platform, Route, Tool, platform_yaml};
use tests::program::{Program, Running};
use tests::registry::{Image, Registry};
use tests::ssh_server::SshServer;

/// How a secret comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Encrypted in the tool's repository, under this variable.
    Sealed(&'static str),
    /// The same, in an earlier commit: by now the variable has another value.
    Rotated(&'static str),
    /// A Secret in the tool's namespace that the tool refers to.
    Referenced(&'static str),
    /// A credential that the platform gives the tool, in this variable.
    Given(&'static str),
    /// The password of the registry, for the reconciler alone.
    Registry,
    /// The password of the git host.
    Git,
    /// What the marks of values are made with.
    Hmac,
}

/// Each channel with its canary. The platform's age identity and the private half of the tool's deploy key are two more,
/// which nobody can choose.
pub const CHANNELS: &[(&str, Channel, &str)] = &[
    ("a value rotated away", Channel::Rotated("API_KEY"), "cnry-old/17 \"+x"),
    ("an encrypted value", Channel::Sealed("API_KEY"), "cnry-sealed/42 \"+x"),
    ("a referenced Secret", Channel::Referenced("ELSEWHERE"), "cnry-refer/88 \"+x"),
    ("a credential of the platform", Channel::Given("DB_PASSWORD"), "cnry-given/55 \"+x"),
    ("the registry's password", Channel::Registry, "cnry-registry/31+x"),
    ("the git host's password", Channel::Git, "cnry-git/5309+xyz"),
    ("the key of the marks", Channel::Hmac, "cnry-marks/0123456789abcdef-0123456789abcdef"),
];
/// Where each tool's credential comes from.
const DATABASE: &str = "toolsdb";
const FIRST_PASSWORD: &str = "before-any-canary";
const REGISTRY_USER: &str = "builder";
const GIT_USER: &str = "reader";
/// Prefix of the registry's credentials in the environment.
const PREFIX: &str = "CANARY_REGISTRY";
/// More memory than any node has: what asks for it never begins, and its pod says what we make it say.
pub const NEVER: &str = "900Ti";

const LIMITS: &str = "  limits: {max: {memory: 1000Ti}, quota: {limits.memory: 2000Ti, requests.memory: 2000Ti}}\n";

pub struct Stage<'a> {
    pub platform: &'a Platform,
    pub tool: Tool<'a>,
    pub program: Program,
    pub running: Running,
    pub web: std::net::SocketAddr,
    pub identities: Identities,
    /// With which the tool's repository is read.
    deploy_key: SshKeys,
    host: SshServer,
    registry: Registry,
    /// Its folder stays as long as it runs.
    _runs: Program,
}

/// The canary of a channel.
pub fn canary(channel: Channel) -> &'static str {
    CHANNELS.iter().find(|row| row.1 == channel).map_or("", |row| row.2)
}

impl<'a> Stage<'a> {
    pub async fn on(platform: &'a Platform) -> anyhow::Result<Self> {
        let registry = Registry::start_with_login(REGISTRY_USER, canary(Channel::Registry)).await?;
        let identities = Identities::generate();
        give_keys(platform, &identities).await?;
        let tool = platform.tool_without_file("a")?;
        let host = SshServer::start(tool.repository().path().parent().context("a folder")?).await?;
        let settings = settings(platform, &registry, &identities, &host)?;
        platform.config().commit(&[("platform.yaml", &settings)])?;
        platform.git().set_fault(CONFIG, Some(Fault::Login(GIT_USER.into(), canary(Channel::Git).into())));
        let binary = Path::new(env!("CARGO_BIN_EXE_toolforge"));
        let program = Program::on(platform.plane(), binary)?;
        // Free, and of an address that no other program of this machine has ports of.
        let web = TcpListener::bind("127.0.77.1:0")?.local_addr()?;
        let passwords = [
            ("TOOLFORGE_GIT_USERNAME", GIT_USER),
            ("TOOLFORGE_GIT_PASSWORD", canary(Channel::Git)),
            ("CANARY_REGISTRY_USERNAME", REGISTRY_USER),
            ("CANARY_REGISTRY_PASSWORD", canary(Channel::Registry)),
            ("RUST_LOG", "debug,reconciler=trace,toolforge=trace,planner=trace,kube_client=trace"),
        ];
        let runs = Program::on(platform.plane(), binary)?.with_env(&passwords);
        let web_address = web.to_string();
        let run = ["run", platform.config().url(), "--interval", "1", "--json", "--web", &web_address];
        let running = runs.start(&run)?;
        let deploy_key = SshKeys::generate("canary");
        Ok(Self { platform, tool, program, running, web, identities, deploy_key, host, registry, _runs: runs })
    }

    /// Who looks for all of them.
    pub fn searcher(&self) -> Searcher {
        let mut searcher = Searcher::default();
        for (name, _, value) in CHANNELS {
            searcher.plant(name, value);
        }
        if let Some(identity) = self.identities.one_to_text() {
            searcher.plant("the platform's identity", identity.reveal());
        }
        // Of its lines only the fourth is in no public half.
        let text = self.deploy_key.to_secret();
        let seed = text.reveal().lines().filter(|line| !line.starts_with('-')).nth(3);
        searcher.plant("the private half of a deploy key", seed.unwrap_or_default());
        searcher
    }

    /// The tool is deployed with the first value, and then with another.
    pub async fn deploys_and_rotates(&self) -> anyhow::Result<()> {
        let tool = &self.tool;
        self.platform.commit_tool_file(tool.name(), &format!("  repository: {}\n{LIMITS}", tool.repository().url()))?;
        let made = Made { keys: self.deploy_key.clone(), host: Some("127.0.0.1".to_owned()) };
        let (client, secret) = (self.platform.client(), deploy_key_secret(&ToolName::new(tool.name())?));
        deploy_keys::write(client, &self.platform.namespace(), &secret, &made, "canary").await?;
        self.image().await?;
        self.seal(Channel::Rotated("API_KEY"))?;
        tool.commit(&self.config("web", ""))?;
        let missing = tool.reason("Ready", "MissingCredential").await?;
        ensure!(missing.message.contains(&format!("{DATABASE}.{} is not there", tool.name())), "{missing:?}");
        self.give(FIRST_PASSWORD).await?;
        let missing = tool.reason("Ready", "MissingSecret").await?;
        ensure!(missing.message.contains("elsewhere"), "{missing:?}");
        for (_, channel, value) in CHANNELS {
            if let Channel::Referenced(variable) = channel {
                let literal = format!("--from-literal=value={value}");
                tool.kubectl(&["create", "secret", "generic", &secret_name(variable), &literal]).await?;
            }
        }
        tool.ready().await?;
        let first = self.has(FIRST_PASSWORD).await?;
        self.give(canary(Channel::Given("DB_PASSWORD"))).await?;
        let restarted = |web: &Value| web["metadata"]["generation"] != first;
        tool.until("Deployment", "web", "restarts with another credential", restarted).await?;
        tool.ready().await?;
        let last = self.has(canary(Channel::Given("DB_PASSWORD"))).await?;
        // What runs keeps what it was given, and a new version of the same is none.
        self.platform.kubectl(&["delete", "secret", &self.source(), "--namespace", &self.platform.namespace()]).await?;
        tool.reason("Ready", "MissingCredential").await?;
        ensure!(self.has(canary(Channel::Given("DB_PASSWORD"))).await? == last, "it was taken away");
        self.give(canary(Channel::Given("DB_PASSWORD"))).await?;
        tool.ready().await?;
        ensure!(self.has(canary(Channel::Given("DB_PASSWORD"))).await? == last, "it restarted for nothing");
        self.seal(Channel::Sealed("API_KEY"))?;
        tool.ready().await
    }

    /// From now on its repository is read with the deploy key.
    pub async fn becomes_private(&self) -> anyhow::Result<()> {
        let path = format!("{}.git", self.tool.name());
        self.host.allow(&self.deploy_key.public()[0], &path);
        let file = format!("  repository: {}\n{LIMITS}", self.host.url(&path));
        self.platform.commit_tool_file(self.tool.name(), &file)?;
        let asked = async || Ok((!self.host.accepted().is_empty()).then_some(()));
        self.platform.until("it is asked over ssh", asked).await.with_context(|| self.log())
    }

    /// The tool's Secret in the platform's namespace.
    fn source(&self) -> String {
        format!("{DATABASE}.{}", self.tool.name())
    }

    /// Operators give the tool this password of its database.
    async fn give(&self, password: &str) -> anyhow::Result<()> {
        let data = json!({"password": password});
        let metadata = json!({"name": self.source(), "namespace": self.platform.namespace()});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        tests::rights::put(self.platform.client(), &secret).await
    }

    /// The component was given this; returned is which generation of it that was.
    async fn has(&self, password: &str) -> anyhow::Result<Value> {
        let secret = self.tool.object("Secret", "toolforge-secrets.web").await?;
        ensure!(secret["data"]["DB_PASSWORD"] == STANDARD.encode(password), "another credential stands there");
        let web = self.tool.object("Deployment", "web").await?;
        let env = web["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
        let from =
            env.iter().find(|entry| entry["name"] == "DB_PASSWORD").map(|entry| &entry["valueFrom"]["secretKeyRef"]);
        ensure!(from == Some(&json!({"name": "toolforge-secrets.web", "key": "DB_PASSWORD"})), "{from:?}");
        Ok(web["metadata"]["generation"].clone())
    }

    /// The file of the tool: its component with this command, and more of it.
    pub fn config(&self, command: &str, more: &str) -> String {
        let secrets = "    secrets: [API_KEY, ELSEWHERE]\n";
        format!("components:\n  web:\n    image: {}\n    run: {{command: {command}}}\n{secrets}{more}", self.by_tag())
    }

    pub fn by_tag(&self) -> String {
        format!("{}/library/canary:1", self.registry.address())
    }

    async fn image(&self) -> anyhow::Result<()> {
        self.registry.push("library/canary", "1", &Image { layers: &["web"], ..Image::default() }).await.map(drop)
    }

    fn seal(&self, channel: Channel) -> anyhow::Result<()> {
        let tool = &self.tool;
        let (Channel::Sealed(key) | Channel::Rotated(key)) = channel else { return Ok(()) };
        let public = self.identities.public();
        let record = Record {
            platform: self.platform.name().to_owned(),
            tools: vec![tool.name().to_owned()],
            key: key.to_owned(),
            value: Secret::new(canary(channel)),
        };
        let sealed = Recipients::read(public.iter().map(String::as_str))?.seal(&record)?;
        let standing = Standing { place: Place { line: 1, column: 1, width: 1 }, sealed: Ok(sealed) };
        let values = [(key.to_owned(), standing)].into_iter().collect();
        let platform = self.platform.name().to_owned();
        tool.commit_file(FILE, &SecretsFile { platform, recipients: Vec::new(), values }.to_yaml()).map(drop)
    }

    /// The last that the process said, for whoever reads why a test failed.
    pub fn log(&self) -> String {
        let lines = self.running.err.all();
        let own: Vec<_> = lines
            .into_iter()
            .filter(|line| [" INFO ", " WARN ", " ERROR ", "error:"].iter().any(|word| line.contains(word)))
            .collect();
        own[own.len().saturating_sub(40)..].join("\n")
    }
}

fn settings(
    platform: &Platform,
    registry: &Registry,
    identities: &Identities,
    host: &SshServer,
) -> anyhow::Result<String> {
    let frame = platform_yaml(platform.name(), Route::Ingress, registry.address());
    let frame = frame.replace("{host:", &format!("{{credentials: {PREFIX}, host:"));
    let recipients = identities.public().concat();
    let lifecycle = format!("registry.example/toolforge@sha256:{}", "1".repeat(64));
    let known_hosts = host.known_hosts()?;
    Ok(format!(
        "{frame}  git: {{known_hosts: ['{known_hosts}']}}\n  secrets: {{recipients: [{recipients}], keys: toolforge-keys}}\n  \
         credentials: {{DB_PASSWORD: {{secret: {DATABASE}.<tool>, key: password}}}}\n  \
         builds: {{backend: lifecycle, lifecycle: {{image: \"{lifecycle}\", memory: \"{NEVER}\"}}}}\n"
    ))
}

/// The platform's keys, as operators make them.
async fn give_keys(platform: &Platform, identities: &Identities) -> anyhow::Result<()> {
    let identity = identities.one_to_text().context("an identity")?;
    let literals = [
        format!("--from-literal={IDENTITIES}={}", identity.reveal()),
        format!("--from-literal={HMAC}={}", canary(Channel::Hmac)),
    ];
    let namespace = platform.namespace();
    let create =
        ["create", "secret", "generic", "toolforge-keys", "--namespace", &namespace, &literals[0], &literals[1]];
    platform.kubectl(&create).await.map(drop)
}
