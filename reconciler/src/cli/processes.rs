//! A sandbox whose pods run: a node that starts them as processes of this machine, and a router that brings requests to
//! them. It isolates nothing and is for one person's machine, so it is asked for by name and refused anywhere else.

use crate::ui::{Ui, failed, plain};
use local::cell::Door;
use local::node::{self, BackOff, Builds, Node};
use local::router::{self, Router};
use reconciler::cluster::door::Requests;
use reconciler::cluster::{Cluster, SANDBOX_TITLE};
use renderer::Platform;
use sandbox::Sandbox;
use std::collections::BTreeMap;
use std::path::Path;

/// Variables that our own program needs in a build's pod: where it may write, and how it reaches git.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "LANG"];

/// A node and a router at work.
pub struct Processes {
    node: Node,
    /// Where tools are reached.
    pub router: Router,
}

impl Processes {
    /// Runs the pods of a sandbox. `state` is a folder of the node's own, `port` the router's.
    pub async fn start(sandbox: &Sandbox, platform: &Platform, state: &Path, port: u16) -> anyhow::Result<Self> {
        let cannot = |what: &str, error: &std::io::Error| failed(format!("cannot {what}: {}", plain(error)));
        let client = || Cluster::of_service(SANDBOX_TITLE, sandbox.service(), &Requests::default()).client;
        let settings = router::Settings { client: client(), domain: platform.domain.clone(), port };
        let router = Router::start(settings).await.map_err(|error| {
            cannot(&format!("listen on port {port} of loopback"), &error).hint("Choose another one with `--port`.")
        })?;
        sandbox.attach_node(&node::logs(state));
        let settings = node::Settings {
            client: client(),
            name: sandbox::NODE.to_owned(),
            state: state.to_owned(),
            door: Door::ourselves().await,
            builds: builds(platform),
            back_off: BackOff::KUBELET,
        };
        let node = Node::start(settings).map_err(|error| cannot("prepare the folders of the node", &error))?;
        Ok(Self { node, router })
    }

    /// What a person has to know of it.
    pub fn tell(&self, ui: &Ui) {
        ui.say("Components run as processes of this machine, isolated from nothing: for one person's machine alone.");
        ui.say("Memory is limited for each process; CPU and the network are not.");
        ui.hint(&format!("Open {} in a browser.", self.router.url("<tool>")));
    }

    /// Ends all processes.
    pub async fn end(self) {
        self.node.end().await;
    }
}

/// Our own program runs where the platform's builds do, and nowhere else.
fn builds(platform: &Platform) -> Option<Builds> {
    let builds = platform.builds.as_ref()?;
    let program = std::env::current_exe().ok()?;
    let passed = |name: &str| PASSED_ON.contains(&name) || name.starts_with("TOOLFORGE_");
    let env: BTreeMap<String, String> = std::env::vars().filter(|(name, _)| passed(name)).collect();
    Some(Builds { namespace: builds.namespace(platform), program, env })
}
