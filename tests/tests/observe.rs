//! The shell's side of the API server, where a double could lie: what a real server streams, refuses and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use planner::kinds::{self, Identity, KINDS, Kind, Needs};
use planner::observed::{Seen, uid_of};
use planner::outcome::{FailureKind, Outcome, RowResult};
use planner::pin::Pin;
use planner::plan::{Action, Cause, Plan, Request, Step, Target};
use reconciler::cluster::call::Answer;
use reconciler::cluster::door::{Requests, Verb};
use reconciler::cluster::{Cluster, address, call};
use reconciler::dialer::{Dialer, Rules};
use reconciler::events::{Recorder, Wrote};
use reconciler::execute::{Doors, execute};
use reconciler::lease::{self, Claim};
use reconciler::observe::{self, Counters, Scope, Whose, World};
use reconciler::registry::Registry;
use reconciler::status;
use renderer::render::DEPLOYER;
use renderer::{ObjectId, ToolName};
use serde_json::{Value, json};
use tests::control_plane::{ADMIN, ControlPlane, INTRUDER, Mark, TOOLFORGE};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(20);

struct Here {
    plane: &'static ControlPlane,
    cluster: Cluster,
    requests: Requests,
    tool: ToolName,
}

/// None that may be asked.
fn no_registry() -> Registry {
    let dialer = Dialer::new(Rules::default());
    Registry::new(dialer, Default::default(), Default::default())
}

/// A tool of its own for each test, with its namespace; and the kind Tool, which all share.
async fn here(name: &str) -> anyhow::Result<Here> {
    here_as(ADMIN, name).await
}

async fn here_as(user: &str, name: &str) -> anyhow::Result<Here> {
    let plane = ControlPlane::shared().await?;
    plane.require_controllers()?;
    let requests = Requests::default();
    let cluster = Cluster::of_config("real", plane.config(user).await?, &requests)?;
    let here = Here { plane, cluster, requests, tool: ToolName::new(name)? };
    here.apply("apiextensions.k8s.io", "CustomResourceDefinition", None, tool_kind()).await?;
    here.apply(
        "",
        "Namespace",
        None,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": here.tool.namespace(), "labels": {"toolforge.org/tool": name}}}),
    )
    .await?;
    tests::rights::deployer(&plane.client().await?).await?;
    let (binding, namespace) = (deployer_binding(&here.tool), here.tool.namespace());
    here.apply("rbac.authorization.k8s.io", "RoleBinding", Some(&namespace), binding).await?;
    let tool = json!({"apiVersion": "toolforge.org/v1alpha1", "kind": "Tool", "metadata": {"name": name}, "spec": {"pin": {"by": "x"}}});
    let begun = tokio::time::Instant::now();
    while let Err(error) = here.apply("toolforge.org", "Tool", None, tool.clone()).await {
        ensure!(begun.elapsed() < SOON, "the kind Tool is not served: {error:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(here)
}

/// Gives the tool's deployer its rights, as the platform does.
fn deployer_binding(tool: &ToolName) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": DEPLOYER, "namespace": tool.namespace()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": DEPLOYER},
        "subjects": [{"kind": "ServiceAccount", "name": DEPLOYER, "namespace": tool.namespace()}],
    })
}

/// As open as the API allows: what a Tool may say is tested where it is rendered.
fn tool_kind() -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tools.toolforge.org"},
        "spec": {
            "group": "toolforge.org", "scope": "Cluster",
            "names": {"kind": "Tool", "plural": "tools", "singular": "tool", "listKind": "ToolList"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any, "status": any}}},
            }],
        },
    })
}

impl Here {
    async fn apply(&self, group: &str, kind: &str, namespace: Option<&str>, body: Value) -> anyhow::Result<()> {
        let row = Kind::of(group, kind).context("a row")?;
        let name = body.pointer("/metadata/name").and_then(Value::as_str).context("a name")?.to_owned();
        let id = ObjectId { group: group.into(), kind: kind.into(), namespace: namespace.map(Into::into), name };
        call::apply(&self.cluster.client, &address::object(row, &id), "tests", &body).await?;
        Ok(())
    }

    fn id(&self, group: &str, kind: &str, name: &str) -> ObjectId {
        ObjectId { group: group.into(), kind: kind.into(), namespace: Some(self.tool.namespace()), name: name.into() }
    }

    fn deployment(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": self.tool.namespace(),
                "labels": {"toolforge.org/tool": self.tool.as_str()},
            },
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"name": "web"}},
                "template": {
                    "metadata": {"labels": {"name": "web"}},
                    "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
                },
            },
        })
    }

    async fn execute(&self, steps: Vec<Step>, learn: &(dyn Fn(&ObjectId, &Answer) + Sync)) -> Outcome {
        let registry = no_registry();
        execute(
            Doors { client: &self.cluster.client, registry: &registry, vault: &reconciler::secrets::Vault::default() },
            &self.plan(steps),
            learn,
        )
        .await
    }

    fn plan(&self, steps: Vec<Step>) -> Plan {
        Plan {
            steps,
            ..Plan::nothing(self.tool.clone(), "real", Target { branch: "main".to_owned(), commit: None, author: None })
        }
    }

    fn scope(&self) -> Scope {
        Scope {
            cluster: "real".to_owned(),
            platform: "tools".into(),
            platform_namespace: "toolforge".to_owned(),
            route: Needs::Gateway,
            builds: None,
            pace: observe::Pace::default(),
        }
    }

    /// Requests sent by this test so far.
    fn sent(&self) -> u64 {
        use Verb::{Apply, Create, Delete, Get, List, Other, Patch, Update, Watch};
        let verbs = [Get, List, Watch, Create, Update, Apply, Patch, Delete, Other];
        verbs.into_iter().map(|verb| self.requests.of(verb)).sum()
    }

    /// What the server says the user has asked since the mark. Asks once more itself, to know that the log is whole.
    async fn asked_since(&self, mark: Mark, user: &str) -> anyhow::Result<Vec<String>> {
        let last = format!("/api/v1/namespaces/{}", self.tool.namespace());
        let begun = tokio::time::Instant::now();
        self.plane.client().await?.request_text(http::Request::get(&last).body(Vec::new())?).await?;
        loop {
            let all = self.plane.requests_since(mark)?;
            if all.iter().any(|request| request.uri == last && request.user == ADMIN) {
                let theirs = all.into_iter().filter(|request| request.user == user);
                return Ok(theirs.map(|request| format!("{} {}", request.verb, request.uri)).collect());
            }
            ensure!(begun.elapsed() < SOON, "the audit log does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn step(action: Action, id: ObjectId, request: Request) -> Step {
    let identity = planner::identity::of(&id);
    Step { id, action, cause: Cause::NewRevision, identity, changes: Vec::new(), requests: vec![request] }
}

struct Watched {
    world: World,
    woken: Arc<Mutex<Vec<String>>>,
}

async fn watch(here: &Here) -> Watched {
    watch_as(&here.cluster, here.scope(), &Counters::default()).await
}

async fn watch_as(cluster: &Cluster, scope: Scope, counters: &Counters) -> Watched {
    let woken = Arc::new(Mutex::new(Vec::new()));
    let wakes = woken.clone();
    let wake = Box::new(move |whose: Whose<'_>| wakes.lock().expect("the list").push(whose.to_string()));
    let world = World::start(&cluster.client, scope, counters, wake);
    world.synced().await;
    Watched { world, woken }
}

impl Watched {
    async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) -> anyhow::Result<()> {
        let begun = tokio::time::Instant::now();
        while !holds(&self.world) {
            ensure!(begun.elapsed() < SOON, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn woken(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.woken.lock().expect("the list")).into_iter().collect()
    }
}

fn replicas(world: &World, here: &Here) -> Option<u64> {
    world.observed(&here.tool).live(&here.id("apps", "Deployment", "web"))?.pointer("/spec/replicas")?.as_u64()
}

/// What a platform that publishes by Gateway API, and whose images come from elsewhere, looks at.
fn rows() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|row| row.is_watched() && matches!(row.needs, Needs::Always | Needs::Gateway))
}

#[tokio::test]
async fn every_kind_is_watched_and_an_idle_world_sends_nothing() -> anyhow::Result<()> {
    // Of its own, so that the audit log tells its requests from other tests'.
    here("idle")
        .await?
        .plane
        .kubectl(&["create", "clusterrolebinding", "t", "--clusterrole=cluster-admin", "--user=toolforge"])
        .await?;
    let here = here_as(TOOLFORGE, "idle").await?;
    let outcome = here
        .execute(
            vec![step(
                Action::Create,
                here.id("apps", "Deployment", "web"),
                Request::Apply { body: here.deployment() },
            )],
            &|_, _| {},
        )
        .await;
    ensure!(outcome.failures().count() == 0, "{outcome:?}");
    let watched = watch(&here).await;
    let observed = watched.world.observed(&here.tool);
    assert_eq!(observed.gaps, []);
    assert!(watched.world.tools().contains(&here.tool));
    assert_eq!(watched.world.pin(&here.tool), Some(json!({"by": "x"})));
    let ready = |world: &World| {
        let observed = world.observed(&here.tool);
        let live = observed.live(&here.id("apps", "Deployment", "web"));
        live.is_some_and(|live| live.pointer("/status/availableReplicas") == Some(&json!(2)))
    };
    watched.until("the Deployment becomes available", ready).await?;
    let lists = here.requests.of(Verb::List);
    assert_eq!(lists, 0, "lists are streamed");
    let kinds = rows().count();
    assert_eq!(here.requests.of(Verb::Watch), kinds as u64);

    let mark = here.plane.mark()?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..100 {
        assert_eq!(watched.world.observed(&here.tool).gaps, []);
    }
    assert_eq!(here.asked_since(mark, TOOLFORGE).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_manual_change_wakes_its_tool_and_no_other() -> anyhow::Result<()> {
    let (here, other) = (here("scaled").await?, here("unscaled").await?);
    for here in [&here, &other] {
        here.apply("apps", "Deployment", Some(&here.tool.namespace()), here.deployment()).await?;
    }
    let watched = watch(&here).await;
    let settled = |world: &World| {
        [&here, &other].iter().all(|here| {
            let observed = world.observed(&here.tool);
            let live = observed.live(&here.id("apps", "Deployment", "web")).cloned().unwrap_or_default();
            live.pointer("/status/availableReplicas") == Some(&json!(2))
        })
    };
    watched.until("both become available", settled).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    watched.woken();
    let namespace = here.tool.namespace();
    let scaled = here.plane.kubectl(&["scale", "-n", &namespace, "deployment/web", "--replicas=5"]).await?;
    ensure!(scaled.code == 0, "{scaled:?}");
    watched.until("the scale is seen", |world| replicas(world, &here) == Some(5)).await?;
    assert!(watched.woken().contains("scaled"));

    // Out of our selection, but not gone: the watch says nothing of it any more, and one read tells the truth.
    let labelled = here.plane.kubectl(&["label", "-n", &namespace, "deployment/web", "toolforge.org/tool-"]).await?;
    ensure!(labelled.code == 0, "{labelled:?}");
    watched.until("the label is stripped", |world| replicas(world, &here).is_none()).await?;
    let woken = watched.woken();
    assert!(woken.contains("scaled") && !woken.contains("unscaled"), "{woken:?}");
    let (web, none) = (here.id("apps", "Deployment", "web"), here.id("apps", "Deployment", "none"));
    let seen = observe::confirm(&here.cluster.client, &[web.clone(), none.clone()]).await;
    assert!(matches!(seen.get(&web), Some(Ok(Seen::Live(_)))), "{seen:?}");
    assert_eq!(seen.get(&none), Some(&Ok(Seen::Absent)));
    Ok(())
}

#[tokio::test]
async fn the_list_at_exactly_our_version_finds_nothing_missed_while_the_world_moves() -> anyhow::Result<()> {
    let here = here("compared").await?;
    let namespace = here.tool.namespace();
    let counters = Counters::default();
    let mut often = here.scope();
    often.pace.compare = Duration::from_millis(100);
    let world = World::start(&here.cluster.client, often, &counters, Box::new(|_| {}));
    world.synced().await;
    let begun = tokio::time::Instant::now();
    for turn in 0.. {
        let mut moving = here.deployment();
        moving["spec"]["replicas"] = json!(turn % 4);
        here.apply("apps", "Deployment", Some(&namespace), moving).await?;
        if begun.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    assert!(here.requests.of(Verb::List) > 50, "{}", here.requests.of(Verb::List));
    for row in rows() {
        let label = observe::ByKind { kind: row.kind };
        assert_eq!(counters.missed.get_or_create(&label).get(), 0, "{}", row.kind);
        assert_eq!(counters.opened.get_or_create(&label).get(), 1, "{}: the watch goes on", row.kind);
    }
    Ok(())
}

/// A wire between us and the server, to be cut.
struct Wire {
    address: SocketAddr,
    /// Whether it is whole: where it is not, nobody is let in, and whoever was in is out.
    whole: tokio::sync::watch::Sender<bool>,
    /// How many connections came.
    came: Arc<AtomicUsize>,
}

impl Wire {
    async fn to(server: &str) -> anyhow::Result<Self> {
        let server = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, (whole, state)) = (listener.local_addr()?, tokio::sync::watch::channel(true));
        let came = Arc::<AtomicUsize>::default();
        let counted = came.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (mut state, server) = (state.clone(), server.clone());
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = state.wait_for(|whole| !whole) => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Ok(Self { address, whole, came })
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    /// A client of this wire, as a user of its own.
    async fn cluster(&self, here: &Here, user: &str) -> anyhow::Result<Cluster> {
        Ok(Cluster::of_config("real", self.config(here, user).await?, &Requests::default())?)
    }

    async fn config(&self, here: &Here, user: &str) -> anyhow::Result<kube::Config> {
        let mut config = here.plane.config(ADMIN).await?;
        config.cluster_url = format!("https://{}", self.address).parse()?;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        Ok(config)
    }
}

/// How a user began to watch Deployments since a mark, by the audit log: with a list, or from a version.
fn beginnings(here: &Here, mark: Mark, user: &str) -> anyhow::Result<Vec<&'static str>> {
    let mut all = here.plane.requests_since(mark)?;
    all.retain(|request| request.impersonated.as_deref() == Some(user));
    ensure!(all.iter().all(|request| request.verb == "watch"), "{all:#?}");
    let begins = |uri: &str| match (uri.contains("sendInitialEvents=true"), uri.contains("resourceVersion=")) {
        (true, _) => "list",
        (false, true) => "version",
        _ => "nowhere",
    };
    Ok(all.iter().filter(|request| request.resource == "deployments").map(|request| begins(&request.uri)).collect())
}

#[tokio::test]
async fn what_changed_while_the_wire_was_cut_is_told_from_the_last_version_on() -> anyhow::Result<()> {
    let here = here("cut").await?;
    let namespace = here.tool.namespace();
    here.apply("apps", "Deployment", Some(&namespace), here.deployment()).await?;
    let wire = Wire::to(here.plane.server()).await?;
    let mark = here.plane.mark()?;
    let watched = watch_as(&wire.cluster(&here, "on-a-wire").await?, here.scope(), &Counters::default()).await;
    let ready = |world: &World| {
        let observed = world.observed(&here.tool);
        let live = observed.live(&here.id("apps", "Deployment", "web"));
        live.is_some_and(|live| live.pointer("/status/availableReplicas") == Some(&json!(2)))
    };
    watched.until("the Deployment becomes available", ready).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    watched.woken();
    let mut turns = watched.world.turns();
    turns.mark_unchanged();

    wire.whole.send(false)?;
    let scaled = here.plane.kubectl(&["scale", "-n", &namespace, "deployment/web", "--replicas=5"]).await?;
    ensure!(scaled.code == 0, "{scaled:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((replicas(&watched.world, &here), watched.woken()), (Some(2), BTreeSet::new()));
    wire.whole.send(true)?;
    watched.until("the scale is seen", |world| replicas(world, &here) == Some(5)).await?;
    assert!(watched.woken().contains("cut"));
    assert!(!turns.has_changed()?, "a hiccup is nobody's pass");
    assert_eq!(beginnings(&here, mark, "on-a-wire")?, ["list", "version"], "what was refused never reached the server");
    Ok(())
}

#[tokio::test]
async fn a_watch_that_the_server_ends_goes_on_from_its_bookmark_and_passes_nobody() -> anyhow::Result<()> {
    let here = here("expired").await?;
    let (wire, counters) = (Wire::to(here.plane.server()).await?, Counters::default());
    let mark = here.plane.mark()?;
    let mut short = here.scope();
    (short.pace.watch, short.pace.short_life) = (Duration::from_secs(3), Duration::from_secs(1));
    let watched = watch_as(&wire.cluster(&here, "often").await?, short, &counters).await;
    let mut turns = watched.world.turns();
    turns.mark_unchanged();
    let opened = || counters.opened.get_or_create(&observe::ByKind { kind: "Deployment" }).get();
    watched.until("it was opened again and again", |_| opened() >= 4).await?;
    assert_eq!(watched.world.observed(&here.tool).gaps, []);
    assert!(!turns.has_changed()?);
    let begins = beginnings(&here, mark, "often")?;
    assert!(begins.len() >= 3 && begins[0] == "list" && begins[1..].iter().all(|how| *how == "version"), "{begins:?}");
    Ok(())
}

#[tokio::test]
async fn one_look_sees_what_the_watches_see() -> anyhow::Result<()> {
    let here = here("looked-at").await?;
    let namespace = here.tool.namespace();
    here.apply("apps", "Deployment", Some(&namespace), here.deployment()).await?;
    let secret =
        here.plane.kubectl(&["create", "secret", "generic", "-n", &namespace, "s", "--from-literal=k=hunter2"]).await?;
    ensure!(secret.code == 0, "{secret:?}");
    let watched = watch(&here).await;
    let ready = |world: &World| {
        let observed = world.observed(&here.tool);
        let live = observed.live(&here.id("apps", "Deployment", "web")).cloned().unwrap_or_default();
        live.pointer("/status/availableReplicas") == Some(&json!(2)) && observed.secrets.is_some()
    };
    watched.until("the Deployment becomes available", ready).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut watched, looked) =
        (watched.world.observed(&here.tool), observe::once(&here.cluster.client, &here.scope(), &here.tool).await);
    // A maintainer may not look into the platform's namespace; there the watches see no credential of this tool's.
    assert_eq!(watched.sources.take(), Some(BTreeMap::new()));
    assert_eq!(looked, watched);
    assert_eq!(looked.secrets, Some(["s".to_owned()].into()));
    assert!(!format!("{looked:?}").contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn a_command_asks_everything_over_one_connection_and_opens_another_where_that_has_ended() -> anyhow::Result<()> {
    let here = here("one-line").await?;
    let (wire, requests) = (Wire::to(here.plane.server()).await?, Requests::default());
    let cluster = Cluster::on_one_connection("real", wire.config(&here, "one-line").await?, &requests)?;
    let gaps = async || observe::once(&cluster.client, &here.scope(), &here.tool).await.gaps;
    ensure!(gaps().await.is_empty());
    ensure!(gaps().await.is_empty());
    let asked = requests.of(Verb::List);
    ensure!(asked > 20 && wire.came() == 1, "{asked} lists over {} connections", wire.came());
    wire.whole.send_replace(false);
    ensure!(!gaps().await.is_empty(), "it is cut");
    let before = wire.came();
    wire.whole.send_replace(true);
    ensure!(gaps().await.is_empty());
    ensure!(wire.came() == before + 1, "{} connections", wire.came() - before);
    Ok(())
}

#[tokio::test]
async fn whoever_has_no_rights_gets_gaps_and_not_an_empty_world() -> anyhow::Result<()> {
    let here = here("refused").await?;
    let intruder = Cluster::of_config("real", here.plane.config(INTRUDER).await?, &Requests::default())?;
    let world = World::start(&intruder.client, here.scope(), &Counters::default(), Box::new(|_| {}));
    tokio::time::timeout(SOON, world.synced()).await?;
    let looked = observe::once(&intruder.client, &here.scope(), &here.tool).await;
    for observed in [world.observed(&here.tool), looked] {
        let refused = observed.gaps.iter().filter(|gap| gap.why.starts_with("403 ")).count();
        assert_eq!(refused, observed.gaps.len(), "{:?}", observed.gaps);
        assert_eq!(refused, rows().filter(|row| row.watched != kinds::Watched::Own).count());
        assert_eq!(observed.secrets, None);
    }
    let seen = observe::confirm(&intruder.client, &[here.id("apps", "Deployment", "web")]).await;
    assert!(seen.values().all(Result::is_err), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn an_answer_to_our_own_write_is_known_before_the_watch_tells_it() -> anyhow::Result<()> {
    let here = here("learned").await?;
    let watched = watch(&here).await;
    let learn = |id: &ObjectId, answer: &Answer| watched.world.learn(id, answer);
    let web = here.id("apps", "Deployment", "web");
    let create = step(Action::Create, web.clone(), Request::Apply { body: here.deployment() });
    let outcome = here.execute(vec![create], &learn).await;
    let observed = watched.world.observed(&here.tool);
    let live = observed.live(&web).context("known at once")?;
    let uid = uid_of(live).context("a uid")?.to_owned();
    assert_eq!(outcome.rows[0].result, RowResult::Done { uid: Some(uid.clone()) });

    let wrong =
        step(Action::Prune, web.clone(), Request::Delete { uid: "0b9f9e5e-0000-4000-8000-000000000000".to_owned() });
    let outcome = here.execute(vec![wrong], &learn).await;
    assert_eq!(outcome.failures().next().map(|(_, failure)| failure.kind), Some(FailureKind::Stale));
    let prune = step(Action::Prune, web.clone(), Request::Delete { uid });
    let outcome = here.execute(vec![prune], &learn).await;
    assert_eq!(outcome.rows[0].result, RowResult::Done { uid: None });
    assert!(watched.world.observed(&here.tool).live(&web).is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_real_server_refuses_is_told_apart_by_what_helps() -> anyhow::Result<()> {
    let here = here("failures").await?;
    let web = here.id("apps", "Deployment", "web");
    here.apply("apps", "Deployment", Some(&here.tool.namespace()), here.deployment()).await?;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "failures"},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": here.tool.namespace()}}},
            "validations": [{"expression": "object.metadata.name != 'forbidden'", "message": "not this name"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "failures"}, "spec": {"policyName": "failures", "validationActions": ["Deny"]},
    });
    for (plural, body) in [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/failures");
        call::apply(&here.cluster.client, &path, "tests", &body).await?;
    }
    let mut typo = here.deployment();
    typo["spec"]["replicsa"] = json!(3);
    let mut wrong = here.deployment();
    wrong["spec"]["template"]["spec"]["containers"][0]["image"] = json!("");
    let map = |name: &str, namespace: &str| {
        let id = ObjectId {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some(namespace.into()),
            name: name.into(),
        };
        (id, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}))
    };
    let (nowhere, nowhere_body) = map("x", "tool-nowhere");
    let (forbidden, forbidden_body) = map("forbidden", &here.tool.namespace());
    let stale = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}, {"op": "remove", "path": "/spec/replicas"}]);
    let apply = |id: &ObjectId, body: Value| step(Action::Configure, id.clone(), Request::Apply { body });
    let cases = [
        (apply(&web, typo), FailureKind::Invalid),
        (apply(&web, wrong), FailureKind::Invalid),
        // Its deployer has no right where nothing is.
        (Step { identity: Identity::Platform, ..apply(&nowhere, nowhere_body) }, FailureKind::Missing),
        (step(Action::Configure, web.clone(), Request::Patch { operations: stale }), FailureKind::Stale),
        (apply(&forbidden, forbidden_body), FailureKind::Denied),
    ];
    for (step, expected) in cases {
        let begun = tokio::time::Instant::now();
        loop {
            let outcome = here.execute(vec![step.clone()], &|_, _| {}).await;
            // A new policy takes a moment to be in force.
            if expected == FailureKind::Denied && outcome.failures().count() == 0 && begun.elapsed() < SOON {
                let path = format!("/api/v1/namespaces/{}/configmaps/forbidden", here.tool.namespace());
                call::send(&here.cluster.client, http::Method::DELETE, &path, &json!({})).await?;
                continue;
            }
            let (_, failure) = outcome.failures().next().with_context(|| format!("{} succeeded", step.id))?;
            assert_eq!(failure.kind, expected, "{failure}");
            break;
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_processes_never_hold_one_lease_and_a_freed_one_is_taken_at_once() -> anyhow::Result<()> {
    let here = here("leased").await?;
    let claim = |identity: &str| Claim {
        namespace: "default".to_owned(),
        name: lease::name("leased"),
        identity: identity.to_owned(),
        term: Duration::from_secs(3),
    };
    let client = &here.cluster.client;
    let first = lease::acquire(client, claim("first"), &|_| {}).await;
    let holder = lease::holder(client, "default", "toolforge-leased").await?.context("a holder")?;
    assert_eq!(holder.identity, "first");
    let said = Mutex::new(Vec::new());
    let say = |whom: &str| said.lock().expect("the list").push(whom.to_owned());
    let second = tokio::time::timeout(Duration::from_secs(5), lease::acquire(client, claim("second"), &say)).await;
    assert!(second.is_err(), "the first is alive and renews");
    assert_eq!(*said.lock().expect("the list"), ["first"]);
    assert!(!first.lost().is_cancelled());
    first.release().await?;
    assert_eq!(lease::holder(client, "default", "toolforge-leased").await?, None);
    let second = tokio::time::timeout(Duration::from_secs(2), lease::acquire(client, claim("second"), &say)).await?;

    // One that dies without a word is waited for as long as a term, and no longer.
    drop(second);
    let begun = tokio::time::Instant::now();
    let third = tokio::time::timeout(SOON, lease::acquire(client, claim("third"), &say)).await?;
    assert!(begun.elapsed() > Duration::from_millis(2500), "{:?}", begun.elapsed());

    // Taken away by hand: the holder must stop.
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/toolforge-leased";
    call::patch(client, path, "application/merge-patch+json", &json!({"spec": {"holderIdentity": "thief"}})).await?;
    tokio::time::timeout(Duration::from_secs(3), third.lost().cancelled()).await?;
    Ok(())
}

#[tokio::test]
async fn a_status_is_sent_only_when_it_says_something_new_and_foreign_words_do_not_stay() -> anyhow::Result<()> {
    let here = here("told").await?;
    let client = &here.cluster.client;
    let condition = json!({"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"conditions": [condition], "observedGeneration": 1});
    assert!(status::publish(client, &here.tool, &status, None).await?.is_some());
    let waited = here.plane.kubectl(&["wait", "--for=condition=Ready", "tool/told", "--timeout=5s"]).await?;
    assert_eq!(waited.code, 0, "{waited:?}");
    let live = status::read(client, &here.tool).await?.context("the Tool")?;
    assert_eq!(live.get("status"), Some(&status));
    let sent = here.sent();
    assert!(status::publish(client, &here.tool, &status, live.get("status")).await?.is_none());
    assert_eq!(here.sent(), sent);

    let foreign = json!({"status": {"foreign": true}});
    let path = "/apis/toolforge.org/v1alpha1/tools/told/status?fieldManager=intruder";
    call::patch(client, path, "application/merge-patch+json", &foreign).await?;
    let live = status::read(client, &here.tool).await?.context("the Tool")?;
    assert!(status::publish(client, &here.tool, &status, live.get("status")).await?.is_some());
    let live = status::read(client, &here.tool).await?.context("the Tool")?;
    assert_eq!(live.get("status"), Some(&status));
    assert_eq!(status::read(client, &ToolName::new("nobody")?).await?, None);
    Ok(())
}

#[tokio::test]
async fn kubectl_describe_shows_what_a_pass_did_and_the_same_words_are_sent_once() -> anyhow::Result<()> {
    let here = here("described").await?;
    let tool = status::read(&here.cluster.client, &here.tool).await?.context("the Tool")?;
    let step = step(Action::Create, here.id("apps", "Deployment", "web"), Request::Apply { body: here.deployment() });
    let plan = here.plan(vec![step.clone()]);
    let outcome = here.execute(vec![step], &|_, _| {}).await;
    let entries = planner::audit::entries(&plan, &outcome, &Pin::default());
    let wrote = Wrote { plan: &plan, entries: &entries };
    let recorder = Recorder::default();
    recorder.publish(&here.cluster.client, &tool, &wrote).await;
    let described = here.plane.kubectl(&["describe", "tool", "described"]).await?;
    let shown = described.stdout.lines().find(|line| line.contains("Create")).unwrap_or_default();
    assert!(shown.contains("Normal") && shown.contains("deployment/tool-described/web"), "{}", described.stdout);
    let sent = here.sent();
    for _ in 0..5 {
        recorder.publish(&here.cluster.client, &tool, &wrote).await;
    }
    assert_eq!(here.sent(), sent);
    // Another process says it once more, under the same name.
    Recorder::default().publish(&here.cluster.client, &tool, &wrote).await;
    let events = here.plane.kubectl(&["get", "events", "-n", "default", "-o", "name"]).await?;
    assert_eq!(events.stdout.lines().filter(|line| line.contains("/described.")).count(), 1, "{}", events.stdout);
    Ok(())
}
