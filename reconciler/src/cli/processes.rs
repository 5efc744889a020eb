//! A sandbox whose pods run: a node that starts them as processes of this machine, a router that brings requests to them,
//! and a registry for what is built here. It isolates nothing and is for one person's machine, so it is asked for by name
//! and refused anywhere else.

use super::state;
use crate::ui::{Failure, Ui, failed, plain};
use local::cell::{Door, Groups};
use local::node::{self, BackOff, Builds, Node};
use local::registry::Registry;
use local::router::{self, Router};
use reconciler::cluster::door::Requests;
use reconciler::cluster::{Cluster, SANDBOX_TITLE};
use renderer::Platform;
use sandbox::Sandbox;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Variables that our own program needs in a build's pod: where it may write, and how it reaches package indexes.
const PASSED_ON: [&str; 9] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];
const PASSED_PREFIXES: [&str; 4] = ["TOOLFORGE_", "PIP_", "NPM_CONFIG_", "POETRY_"];

/// Where all of it is kept.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The node's own: images, logs, pods.
    pub node: PathBuf,
    /// Buildpacks and layers.
    pub builds: PathBuf,
    /// Images that were built.
    pub registry: PathBuf,
}

impl Folders {
    /// Those of the sandbox in a folder: apart from those of other sandboxes, but for layers and images.
    pub fn of_sandbox(sandbox: &Path) -> Self {
        let builds = state::folder(None);
        let name = sandbox.display().to_string().replace('/', "_");
        Self { node: builds.join("nodes").join(name), registry: builds.join("registry"), builds }
    }

    /// All below one.
    pub fn below(folder: &Path) -> Self {
        let below = |name: &str| folder.join(name);
        Self { node: below("node"), builds: below("builds"), registry: below("registry") }
    }
}

/// A node and a router at work.
pub struct Processes {
    node: Node,
    /// Where tools are reached.
    pub router: Router,
    limits: Vec<String>,
    _registry: Option<Registry>,
}

impl Processes {
    /// Runs the pods of a sandbox; `port` is the router's.
    pub async fn start(sandbox: &Sandbox, platform: &Platform, folders: &Folders, port: u16) -> anyhow::Result<Self> {
        let client = || Cluster::of_service(SANDBOX_TITLE, sandbox.service(), &Requests::default()).client;
        let registry = registry(platform, &folders.registry).await?;
        let settings = router::Settings { client: client(), domain: platform.domain.clone(), port };
        let router = Router::start(settings).await.map_err(|error| {
            cannot(&format!("listen on port {port} of loopback"), &error).hint("Choose another one with `--port`.")
        })?;
        let (groups, door) = (Groups::delegated(), Door::ourselves().await);
        let limits = told(groups.as_ref(), &door);
        sandbox.attach_node(&node::logs(&folders.node));
        let settings = node::Settings {
            client: client(),
            name: sandbox::NODE.to_owned(),
            state: folders.node.clone(),
            door,
            builds: builds(platform, &folders.builds),
            groups: groups.ok(),
            back_off: BackOff::KUBELET,
            usage_every: node::USAGE_EVERY,
        };
        let node = Node::start(settings).map_err(|error| cannot("prepare the folders of the node", &error))?;
        Ok(Self { node, router, limits, _registry: registry })
    }

    /// What a person has to know of it.
    pub fn tell(&self, ui: &Ui) {
        ui.say("Components run as processes of this machine, isolated from nothing: for one person's machine alone.");
        for line in &self.limits {
            ui.say(line);
        }
        ui.hint(&format!("Open {} in a browser.", self.router.url("<tool>")));
    }

    /// What the kernel of this machine holds for us, a sentence each.
    pub fn limits(&self) -> &[String] {
        &self.limits
    }

    /// Ends all processes.
    pub async fn end(self) {
        self.node.end().await;
    }
}

/// What this machine's kernel holds, and what it would need to hold more.
fn told(groups: Result<&Groups, &String>, door: &Door) -> Vec<String> {
    let limits = match groups {
        Ok(groups) if groups.has_cpu() => {
            "Memory and CPU of each component are limited; the network is not.".to_owned()
        }
        Ok(_) => "Memory of each component is limited; CPU and the network are not.".to_owned(),
        Err(why) => format!(
            "Memory is limited for each process, CPU and the network are not ({why}). Where systemd runs, `systemd-run \
             --user --scope -p Delegate=yes toolforge ...` limits both for each component."
        ),
    };
    let paths = "This kernel gives us no user namespaces: images that are built here run on this machine alone.";
    std::iter::once(limits).chain((!door.in_place()).then(|| paths.to_owned())).collect()
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    failed(format!("cannot {what}: {}", plain(error)))
}

/// The platform's registry, where it is to be on this machine and nobody else serves it.
async fn registry(platform: &Platform, folder: &Path) -> anyhow::Result<Option<Registry>> {
    let host = platform.registry.host.split('/').next().unwrap_or_default();
    let here = host.strip_prefix("127.0.0.1:").or_else(|| host.strip_prefix("localhost:"));
    let Some(port) = here.and_then(|port| port.parse::<u16>().ok()) else { return Ok(None) };
    match Registry::start(folder, port).await {
        Ok(registry) => Ok(Some(registry)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(cannot(&format!("serve the registry {host}"), &error).into()),
    }
}

/// Our own program runs where the platform's builds do, and nowhere else.
fn builds(platform: &Platform, state: &Path) -> Option<Builds> {
    let builds = platform.builds.as_ref()?;
    let program = std::env::current_exe().ok()?;
    let passed = |name: &str| {
        let upper = name.to_uppercase();
        let begins = PASSED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
        PASSED_ON.contains(&name) || begins || upper.ends_with("_PROXY")
    };
    let mut env: BTreeMap<String, String> = std::env::vars().filter(|(name, _)| passed(name)).collect();
    env.insert(state::VARIABLE.to_owned(), state.display().to_string());
    Some(Builds { namespace: builds.namespace(platform), program, env })
}
