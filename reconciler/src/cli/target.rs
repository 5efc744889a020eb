//! Whom a command is about: the platform and its tools, from a config repository or from what the cluster has
//! published, and among them the one tool that is meant.

use super::connect::{ClusterArgs, Connected};
use super::local::tool_name;
use crate::ui::{Failure, Ui, failed, wrong_use};
use kube::Client;
use planner::admission::RULES_KEY;
use planner::observed::{Observed, label};
use planner::{Admission, Circumstances};
use reconciler::cluster::address;
use reconciler::cluster::call::{self, CallError};
use reconciler::driver;
use reconciler::execute::Doors;
use reconciler::observe::{self, Scope};
use reconciler::pass::{self, Decided, Subject};
use reconciler::registry::{Reference, Registry, RegistryError};
use reconciler::secrets::{Vault, deploy_keys};
use reconciler::source::config_repo::{self, PlatformFolder};
use reconciler::source::worktree::{self, Worktree};
use reconciler::source::{Git, RepositoryUrl, SourceError};
use renderer::build::same_repository;
use renderer::render::PLATFORM_MARK;
use renderer::{Platform, Report, Revision, Siblings, Tool, ToolName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which tool, of which platform, on which cluster.
#[derive(Debug, clap::Args)]
pub struct TargetArgs {
    /// The tool; by default the one whose repository this folder is
    #[arg(value_parser = tool_name)]
    pub tool: Option<ToolName>,
    #[command(flatten)]
    pub at: AtArgs,
}

/// Which platform, on which cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct AtArgs {
    /// A config repository, as a folder or a URL, instead of what the cluster has published
    #[arg(long, value_name = "REPOSITORY")]
    pub config: Option<String>,
    #[command(flatten)]
    pub platform: PlatformArgs,
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Which platform, where there are several.
#[derive(Debug, Clone, clap::Args)]
pub struct PlatformArgs {
    /// Which platform of the config repository, where it has several
    #[arg(long, value_name = "NAME")]
    pub platform: Option<String>,
    /// Namespace of the platform's own objects on the cluster
    #[arg(long, value_name = "NAME", default_value = "toolforge", hide_default_value = true)]
    pub platform_namespace: String,
}

/// A platform, its tools, and the doors to git and registry that its rules allow.
pub struct Declared {
    /// The platform.
    pub platform: Platform,
    /// Its tools.
    pub tools: Vec<Tool>,
    /// Its rules.
    pub admission: Arc<Admission>,
    /// How many files of tools can't be used.
    pub broken: usize,
    /// Git, by the platform's rules.
    pub git: Git,
    /// The registry, by the platform's rules.
    pub registry: Registry,
}

/// Everything a pass for one tool needs.
pub struct Target {
    /// The cluster.
    pub connected: Connected,
    /// The platform and its tools.
    pub declared: Declared,
    /// The tool.
    pub tool: Tool,
    /// Tools it is joined with by promotion.
    pub siblings: Siblings,
    /// What opens its encrypted values.
    pub vault: Vault,
}

impl AtArgs {
    /// The platform and its tools, on their cluster.
    pub async fn find(&self, ui: &Ui) -> anyhow::Result<(Connected, Declared)> {
        self.find_on(None, ui).await
    }

    async fn find_on(&self, open: Option<Connected>, ui: &Ui) -> anyhow::Result<(Connected, Declared)> {
        let Self { config, platform, cluster } = self;
        let (connected, declared) = match config {
            Some(config) => {
                let declared = Declared::of_repository(config, platform.platform.as_deref(), ui).await?;
                (cluster.open(open, Some(&declared.platform)).await?, declared)
            }
            None => {
                let connected = cluster.open(open, None).await?;
                let else_named = "name one with `--config`";
                let declared = Declared::of_cluster(&connected, &platform.platform_namespace, else_named).await?;
                (connected, declared)
            }
        };
        let keys = deploy_keys::lookup(&connected.cluster.client, &declared.platform.namespace);
        declared.git.look_keys_up_with(keys);
        Ok((connected, declared))
    }
}

impl TargetArgs {
    /// Finds everything. `here` is the working tree the command was called in.
    pub async fn find(&self, here: &Worktree, ui: &Ui) -> anyhow::Result<Target> {
        let (connected, declared) = self.at.find(ui).await?;
        self.of(connected, declared, here).await
    }

    /// The same, on a cluster that may be open already, while the working tree is read: that asks git, which takes as
    /// long as a cluster.
    pub async fn find_beside(&self, open: Option<Connected>, ui: &Ui) -> anyhow::Result<(Target, Worktree)> {
        let here = tokio::task::spawn_blocking(|| worktree::read(Path::new(".")));
        let (here, found) = tokio::join!(here, self.at.find_on(open, ui));
        let here = here?.map_err(|error| failed("cannot read this folder").because(error))?;
        let (connected, declared) = found?;
        Ok((self.of(connected, declared, &here).await?, here))
    }

    async fn of(&self, connected: Connected, declared: Declared, here: &Worktree) -> anyhow::Result<Target> {
        let tool = match &self.tool {
            Some(name) => named(&declared.tools, name)?,
            None => whose(&declared.tools, here)?,
        };
        let siblings = Siblings::of(&tool, &declared.tools);
        // Who may not read them sees what is encrypted held, and everything else as it is.
        let vault = Vault::of_platform(&connected.cluster.client, &declared.platform).await;
        Ok(Target { connected, declared, tool, siblings, vault })
    }
}

impl Target {
    /// One pass for this tool at this revision, or with the reason why none could be read.
    pub fn subject(&self, newest: Result<Revision, String>) -> Subject {
        Subject {
            platform: self.declared.platform.clone(),
            tool: self.tool.clone(),
            siblings: self.siblings.clone(),
            newest,
            trouble: None,
            forgotten: false,
            circumstances: Circumstances::at(pass::now()),
            vault: self.vault.clone(),
            admission: Arc::clone(&self.declared.admission),
        }
    }

    /// What the tool's images take, where the platform bounds it, something may have to be built, and the registry says it.
    async fn space_taken(&self, subject: &Subject, observed: &Observed) -> Option<u64> {
        let platform = &subject.platform;
        platform.registry.quota.as_ref().and(platform.builds.as_ref())?;
        let draft = subject.draft(observed);
        if draft.images_needed(observed).is_empty() {
            return None;
        }
        let repositories = draft.repositories(observed);
        let repositories: Vec<_> = repositories.iter().filter_map(|at| Reference::parse(at).ok()).collect();
        let shelf = self.declared.registry.shelf(&subject.tool.name, &repositories).await;
        shelf.unread.is_empty().then(|| planner::garbage::size(&shelf.images))
    }

    /// The plan as things stand now; nothing is changed.
    pub async fn decide(&self, subject: &Subject) -> Decided {
        let cluster = &self.connected.cluster;
        let scope = Scope::of(&cluster.name, &subject.platform);
        let observed = observe::once_for(&cluster.client, &scope, &subject.tool).await;
        // Why something could not be read stands in the plan.
        self.vault.look(&cluster.client, &subject.tool.name, None).await;
        let taken = self.space_taken(subject, &observed).await;
        let mut subject = subject.clone();
        subject.circumstances.space_taken_bytes = taken;
        pass::decide(&subject, observed, &cluster.client, &self.declared.registry).await
    }

    /// Where steps are sent.
    pub fn doors(&self) -> Doors<'_> {
        Doors { client: &self.connected.cluster.client, registry: &self.declared.registry, vault: &self.vault }
    }
}

impl Declared {
    /// As the config repository says at its HEAD.
    pub async fn of_repository(config: &str, platform: Option<&str>, ui: &Ui) -> anyhow::Result<Self> {
        let url = config_url(config)?;
        let git = git(&url)?;
        let unreadable = |error: SourceError| {
            let hint = match error {
                SourceError::Empty => Some("Commit a platform.yaml, and a file in tools/ for each tool.".to_owned()),
                _ => error.hint(),
            };
            let message = format!("cannot read the config repository {url}");
            let failure = match error {
                SourceError::NotFound { .. } | SourceError::NotARepository { .. } => wrong_use(message),
                _ => failed(message),
            };
            failure.hint_if(hint).because(error)
        };
        let repository = config_repo::load(&git, &url, "HEAD").await.map_err(unreadable)?;
        let folder = repository.choose(platform).map_err(|error| wrong_use(error.to_string()).hint(error.hint()))?;
        let texts: Vec<_> = folder.texts.iter().map(|(name, text)| (name.clone(), text.as_slice())).collect();
        super::local::tell(&folder.report, &texts, ui);
        git.dialer().set_rules(folder.rules(&url));
        let hint = "Correct the errors above, and commit.";
        let platform = folder.platform.clone().ok_or_else(|| wrong_use("platform.yaml can't be used").hint(hint))?;
        let Some(own) = &folder.rules else {
            return Err(wrong_use("a rule in policies/ can't be used").hint(hint).into());
        };
        Self::new(platform, folder.tools.clone(), own, git)
            .map(|declared| Self { broken: folder.unreadable.len(), ..declared })
    }

    /// As it was published on the cluster; `else_named` is how a person names it otherwise.
    pub async fn of_cluster(connected: &Connected, namespace: &str, else_named: &str) -> anyhow::Result<Self> {
        let client = &connected.cluster.client;
        // Neither needs the other. Of two errors the same one is told each time.
        let (platform, tools) = tokio::join!(published_platform(client, namespace, else_named), tools(client));
        let ((platform, own), tools) = (platform?, tools?);
        let ours = |tool: &&Value| label(tool, PLATFORM_MARK) == Some(&platform.name);
        let tools = tools.iter().filter(ours).filter_map(Tool::from_object).collect();
        let git = git(&nowhere())?;
        let folder = PlatformFolder {
            path: String::new(),
            platform: Some(platform.clone()),
            tools,
            unreadable: Vec::new(),
            report: Report::default(),
            rules: Some(own.clone()),
            rule_files: BTreeMap::new(),
            signers: BTreeMap::new(),
            texts: BTreeMap::new(),
        };
        git.dialer().set_rules(folder.rules(&nowhere()));
        Self::new(platform, folder.tools, &own, git)
    }

    fn new(platform: Platform, tools: Vec<Tool>, own: &[Value], git: Git) -> anyhow::Result<Self> {
        let registry = driver::registry(git.dialer().clone(), &platform, &variable);
        let unreadable = |_| failed("the platform's rules can't be evaluated here").hint(SAME_VERSION);
        let admission = Admission::new(&platform, &tools, own).map_err(unreadable)?.into();
        Ok(Self { platform, tools, admission, broken: 0, git, registry })
    }
}

const SAME_VERSION: &str = "Use the version of toolforge that runs there.";

/// A config repository as a person names it: a URL, or a folder from here.
pub fn config_url(config: &str) -> anyhow::Result<RepositoryUrl> {
    let here = std::env::current_dir()?;
    let url = RepositoryUrl::parse_in(config, &here);
    Ok(url.map_err(|error| wrong_use(error.to_string()).hint("Name a folder or a URL."))?)
}

/// No config repository is known: it allows nothing.
fn nowhere() -> RepositoryUrl {
    RepositoryUrl::local(Path::new("/"))
}

/// Git by the rules of a config repository, with its cache in the user's cache folder.
pub fn git(config: &RepositoryUrl) -> anyhow::Result<Git> {
    driver::git(config, git_cache(), &variable)
}

/// Where fetched packs are kept; may be deleted at any time.
pub fn git_cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("toolforge").join("git")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The platform's settings as `run` publishes them.
async fn published_platform(
    client: &Client,
    namespace: &str,
    else_named: &str,
) -> anyhow::Result<(Platform, Vec<Value>)> {
    let name = renderer::render::PLATFORM_CONFIG_MAP;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    let nobody = format!("Run `toolforge run <config repository>` first, or {else_named}.");
    let bytes = call::get(client, &path, None).await.map_err(|error| {
        if error.is_not_found("configmaps", name) {
            return wrong_use(format!("no platform is published in namespace {namespace} of this cluster"))
                .hint(nobody);
        }
        unread("the platform's settings", error)
    })?;
    let map: Value = call::parse(&bytes)?;
    let text = map.pointer(&format!("/data/{}", renderer::render::PLATFORM_KEY)).and_then(Value::as_str);
    let platform = text.and_then(|text| serde_json::from_str(text).ok());
    let hint = SAME_VERSION;
    let rules = map.pointer(&format!("/data/{RULES_KEY}")).and_then(Value::as_str).unwrap_or("[]");
    let both = platform.zip(serde_json::from_str(rules).ok());
    Ok(both.ok_or_else(|| failed(format!("configmap/{namespace}/{name} holds no platform")).hint(hint))?)
}

/// All Tool objects of the cluster.
pub async fn tools(client: &Client) -> anyhow::Result<Vec<Value>> {
    let id = planner::tool_id(&ToolName::new("any")?);
    let row = planner::kinds::Kind::of_id(&id).ok_or_else(|| failed("no kind Tool"))?;
    let bytes = call::get(client, &address::collection(row, None), None).await.map_err(|error| match error.code() {
        Some(404) => wrong_use("this cluster knows no Tools").hint("Run `toolforge run <config repository>` first."),
        _ => unread("the Tools", error),
    })?;
    let list: Value = call::parse(&bytes)?;
    Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// What could not be read from the cluster, with what helps.
pub fn unread(what: &str, error: CallError) -> Failure {
    let hint = match error.code() {
        Some(401) => "Log in to the cluster again.",
        Some(403) => "Ask the operators for the right to get and list it.",
        _ => "See whether `kubectl get tools` gets an answer from the same cluster.",
    };
    failed(format!("cannot read {what}")).hint(hint).because(error)
}

/// What the registry did not give or take, with what helps.
pub fn unanswered(what: &str, error: RegistryError) -> Failure {
    failed(what).hint(error.hint()).because(error)
}

/// The tool of that name.
pub fn named(tools: &[Tool], name: &ToolName) -> Result<Tool, Failure> {
    let found = tools.iter().find(|tool| tool.name == *name).cloned();
    found.ok_or_else(|| nobody(name, tools.iter().map(|tool| tool.name.as_str())))
}

/// That no tool has this name, among these.
pub fn nobody<'a>(name: &ToolName, tools: impl Iterator<Item = &'a str>) -> Failure {
    let hint = match renderer::diagnostic::nearest(name.as_str(), tools) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => "Run `toolforge status` to see all tools.".to_owned(),
    };
    wrong_use(format!("there is no tool {name}")).hint(hint)
}

/// The tool whose repository, folder and branch this working tree is.
fn whose(tools: &[Tool], here: &Worktree) -> Result<Tool, Failure> {
    let mut candidates: Vec<&Tool> = tools.iter().filter(|tool| is_repository_of(tool, here)).collect();
    narrow(&mut candidates, |tool| tool.path == here.path);
    narrow(&mut candidates, |tool| Some(&tool.branch) == here.branch.as_ref());
    match candidates.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let hint = "Name the tool, or go to the folder of its repository.";
            Err(wrong_use("this folder belongs to no tool that is known").hint(hint))
        }
        several => {
            let names: Vec<_> = several.iter().map(|tool| tool.name.as_str()).collect();
            let hint = format!("Name one: `toolforge diff {}`.", names.first().unwrap_or(&""));
            Err(wrong_use(format!("this folder belongs to several tools: {}", names.join(", "))).hint(hint))
        }
    }
}

/// Whether this working tree is one of the tool's repository.
pub fn is_repository_of(tool: &Tool, here: &Worktree) -> bool {
    let root = here.root.as_deref().map(|root| root.to_string_lossy().into_owned());
    let origin = here.origin.as_ref().map(|url| url.without_userinfo().to_string());
    [root, origin].into_iter().flatten().any(|address| same_repository(&address, &tool.repository))
}

/// Keeps those that fit, if any does.
fn narrow(candidates: &mut Vec<&Tool>, fits: impl Fn(&Tool) -> bool) {
    if candidates.len() > 1 && candidates.iter().any(|tool| fits(tool)) {
        candidates.retain(|tool| fits(tool));
    }
}
