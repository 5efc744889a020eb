//! `deploy-key`: the key with which a private repository is read over ssh. The private half goes from here into Secrets,
//! with the rights of whoever asks, and is shown to nobody.

use super::local::tool_name;
use super::pin::FIELD_MANAGER;
use super::target::{AtArgs, named};
use crate::ui::{Exit, Failure, Ui, failed, wrong_use};
use kube::Client;
use reconciler::cluster::call::CallError;
use reconciler::secrets::deploy_keys::{self, Made};
use reconciler::source::{MAX_KEYS, RepositoryUrl, Scheme, SshKeys};
use renderer::request::{deploy_key_secret, host_key_secret};
use renderer::{Platform, Tool, ToolName};
use serde_json::json;

/// Show the key that reads a tool's private repository
///
/// It is made where there is none yet. Add the public half to the repository on its git host, as a deploy key that may
/// only read; the private half stands in a Secret of the platform's namespace, and in that of the builds, and is shown to
/// nobody. It takes the rights to get and patch Secrets there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge deploy-key wordcount             the public key, made if need be
  toolforge deploy-key wordcount --rotate    a new one; the old one works until the host refuses it
  toolforge deploy-key --host git.example    one key of the platform for all repositories on a host

The tool's file names the repository as git@HOST:PATH, and platform.yaml the host's own keys under
`git.known_hosts`. With --json: repository, secret, and the keys with their fingerprints, newest first.

Exit code: 0 shown, 2 wrong use, 3 the cluster refused it.")]
pub struct Args {
    /// The tool
    #[arg(value_parser = tool_name, required_unless_present = "host")]
    tool: Option<ToolName>,
    /// A key for all repositories on this host, for tools that have none of their own
    #[arg(long, value_name = "HOST", conflicts_with = "tool")]
    host: Option<String>,
    /// Make a new key, which is tried before the older ones
    #[arg(long)]
    rotate: bool,
    #[command(flatten)]
    at: AtArgs,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let (connected, declared) = args.at.find(ui).await?;
    let platform = &declared.platform;
    let purpose = match (&args.tool, &args.host) {
        (Some(tool), _) => Purpose::of_tool(&named(&declared.tools, tool)?, platform, ui)?,
        (None, host) => Purpose::of_host(host.as_deref().unwrap_or_default(), platform)?,
    };
    let client = &connected.cluster.client;
    let known = deploy_keys::read(client, &platform.namespace, &purpose.secret).await;
    let known = known.map_err(|why| failed(format!("cannot read the key: {why}")).hint(RIGHTS))?;
    let made = purpose.made(known, args.rotate, ui);
    store(client, platform, &purpose.secret, &made).await?;
    purpose.show(&made.keys, ui)?;
    Ok(Exit::Done)
}

const RIGHTS: &str = "Ask whoever runs the cluster for the rights to get and patch Secrets in that namespace.";

/// Where the reconciler looks, and where the builds do. What is as it should be stays as it is.
async fn store(client: &Client, platform: &Platform, secret: &str, made: &Made) -> Result<(), Failure> {
    let builds = platform.builds.as_ref().map(|builds| builds.namespace(platform));
    for namespace in std::iter::once(platform.namespace.clone()).chain(builds) {
        let there = deploy_keys::read(client, &namespace, secret).await;
        if there.as_ref().is_ok_and(|there| there.as_ref() == Some(made)) {
            continue;
        }
        let written = deploy_keys::write(client, &namespace, secret, made, FIELD_MANAGER).await;
        written.map_err(|error| unwritten(&namespace, secret, error))?;
    }
    Ok(())
}

fn unwritten(namespace: &str, secret: &str, error: CallError) -> Failure {
    let hint = match error.code() {
        Some(404) => "Install the platform first (`toolforge install`), or run it once, and say it again.",
        _ => RIGHTS,
    };
    failed(format!("cannot write secret {namespace}/{secret}")).hint(hint).because(error)
}

/// What a key is for.
struct Purpose {
    secret: String,
    comment: String,
    /// The one host it is for; none where its name says so, or no host is known yet.
    host: Option<String>,
    /// What it opens, as people read it.
    opens: String,
    next: String,
}

impl Purpose {
    fn of_tool(tool: &Tool, platform: &Platform, ui: &Ui) -> Result<Self, Failure> {
        let url = RepositoryUrl::of(tool).map_err(|error| wrong_use(error.to_string()))?;
        if url.scheme() == Scheme::File {
            let hint = "Name its repository in its file as git@HOST:PATH first, and say it again.";
            let message = format!("{} is read from a folder of this machine, and needs no key", tool.name);
            return Err(wrong_use(message).hint(hint));
        }
        if url.scheme() != Scheme::Ssh {
            ui.say(&format!("{} is read as {url}, and needs no key there", tool.name));
            let file = format!("tools/{}.yaml", tool.name);
            ui.hint(&format!("Name its repository in {file} as git@HOST:PATH, and it is read with this key."));
        }
        Ok(Self {
            secret: deploy_key_secret(&tool.name),
            comment: format!("toolforge {} {}", platform.name, tool.name),
            host: (url.scheme() == Scheme::Ssh).then(|| url.host().to_owned()),
            opens: url.to_string(),
            next: format!("Add it to {url} as a deploy key that may only read."),
        })
    }

    fn of_host(host: &str, platform: &Platform) -> Result<Self, Failure> {
        let host = host.to_ascii_lowercase();
        let Some(secret) = host_key_secret(&host) else {
            let hint = "Write it as in the addresses of repositories, without a port, such as `git.example`.";
            return Err(wrong_use(format!("{host:?} is no host")).hint(hint));
        };
        let next = format!("Add it to an account on {host} that may only read what the platform serves.");
        Ok(Self { secret, comment: format!("toolforge {}", platform.name), host: None, opens: host, next })
    }

    /// What shall stand there. A key of another host is not shown to this one: it gets another.
    fn made(&self, known: Option<Made>, rotate: bool, ui: &Ui) -> Made {
        let new = || Made { keys: SshKeys::generate(&self.comment), host: self.host.clone() };
        let Some(known) = known else { return new() };
        match (&known.host, &self.host) {
            (Some(made_for), Some(host)) if made_for != host => {
                ui.say(&format!("the key that was made for {made_for} is replaced by one for {host}"));
                new()
            }
            _ if rotate => Made { keys: known.keys.rotated(&self.comment), host: self.host.clone().or(known.host) },
            _ => known,
        }
    }

    fn show(&self, keys: &SshKeys, ui: &Ui) -> anyhow::Result<()> {
        let (public, fingerprints) = (keys.public(), keys.fingerprints());
        if ui.json {
            let keys: Vec<_> = public
                .iter()
                .zip(&fingerprints)
                .map(|(public, fingerprint)| json!({"public": public, "fingerprint": fingerprint}))
                .collect();
            return ui.json(&json!({"repository": self.opens, "secret": self.secret, "keys": keys}));
        }
        ui.data(&format!("{}\n", public.first().map_or("", String::as_str)))?;
        if let Some((newest, older @ [_, ..])) = fingerprints.split_first() {
            let older = older.join(", ");
            ui.say(&format!("{newest} is tried first, and then {older}; of all, {MAX_KEYS} are kept"));
        }
        ui.hint(&self.next);
        Ok(())
    }
}
