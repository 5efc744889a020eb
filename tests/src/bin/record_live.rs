//! Records `reconciler/planner/tests/live/*.json`: what a real API server holds after our apply, and after somebody's hand.
//!
//! ```text
//! cargo run -p tests --bin record_live
//! ```
//!
//! The desired objects are read from the `applied--*.json` that are there: to add one, write a file with only `desired` in
//! it and record. Each hand works on a fresh object. Uids, times, versions and addresses are replaced, so that a second
//! recording differs only where the server does. What drift makes of it all stands in `drift.txt`; read its diff.

use anyhow::{Context, Result, ensure};
use planner::drift::{Ownership, drift};
use planner::question::Question;
use renderer::Object;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::control_plane::{ControlPlane, Options};
use tests::stilled::stilled;

/// One thing somebody does; the namespace is added to every command.
enum Step {
    /// `kubectl` with these words.
    Kubectl(&'static [&'static str]),
    /// `kubectl` with these words, fed with the object after this change to it.
    Feed(&'static [&'static str], fn(&mut Value)),
    /// Gone, and made anew by these words and change; then we apply ours.
    Remake(&'static [&'static str], fn(&mut Value)),
}

use Step::{Feed, Kubectl, Remake};

/// The words for a JSON patch in the name of an editor.
macro_rules! edit {
    ($object:literal, $patch:literal) => {
        Kubectl(&["patch", $object, "--type=json", "--field-manager=kubectl-edit", "-p", $patch])
    };
}

macro_rules! patch {
    ($object:literal, $kind:literal, $patch:literal) => {
        Kubectl(&["patch", $object, concat!("--type=", $kind), "-p", $patch])
    };
}

macro_rules! clear {
    ($object:literal) => {
        patch!($object, "json", r#"[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]"#)
    };
}

/// Case, object, and what is done to it.
// One line a row, whatever its length: columns are read downwards.
#[rustfmt::skip]
const HANDS: &[(&str, &str, &[Step])] = &[
    ("another-applier", "deployment", &[Feed(&["apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "-f", "-"], another_applier)]),
    ("automount-removed", "deployment", &[patch!("deployment/web", "json", r#"[{"op": "remove", "path": "/spec/template/spec/automountServiceAccountToken"}]"#)]),
    ("cleared-owners", "deployment", &[clear!("deployment/web")]),
    ("cleared-owners-and-edited", "deployment", &[clear!("deployment/web"), Kubectl(&["scale", "deployment/web", "--replicas=5"]), Kubectl(&["label", "deployment/web", "team=x"])]),
    ("cleared-owners-cronjob", "cronjob", &[clear!("cronjob/refresh")]),
    ("cleared-owners-httproute", "httproute", &[clear!("httproute/web")]),
    ("cleared-owners-job", "job", &[clear!("job/migrate-0123456789ab")]),
    ("cleared-owners-limitrange", "limitrange", &[clear!("limitrange/wordcount")]),
    ("cleared-owners-networkpolicy", "networkpolicy", &[clear!("networkpolicy/web")]),
    ("cleared-owners-service", "service", &[clear!("service/web")]),
    ("configmap-edited", "configmap", &[patch!("configmap/settings", "merge", r#"{"data": {"platform.json": "x", "more": "y"}, "binaryData": {"z": "AAAA"}}"#)]),
    ("created-by-kubectl-then-adopted", "deployment", &[Remake(&["create", "-f", "-"], |object| object["spec"]["minReadySeconds"] = json!(7))]),
    ("cronjob-suspended", "cronjob", &[patch!("cronjob/refresh", "strategic", r#"{"spec": {"suspend": true}}"#)]),
    ("httproute-rule", "httproute", &[patch!("httproute/web", "json", r#"[{"op": "replace", "path": "/spec/rules/0/backendRefs/0/name", "value": "evil"}]"#)]),
    ("ingress-annotated", "ingress", &[Kubectl(&["annotate", "ingress/web", "nginx.ingress.kubernetes.io/rewrite-target=/"]), patch!("ingress/web", "json", r#"[{"op": "add", "path": "/spec/tls", "value": [{"hosts": ["a"]}]}]"#)]),
    ("httproute-of-another-version", "httproute", &[Kubectl(&["patch", "httproutes.v1beta1.gateway.networking.k8s.io/web", "--type=merge", "-p", r#"{"metadata": {"labels": {"team": "x"}}}"#])]),
    ("kubectl-annotate", "deployment", &[Kubectl(&["annotate", "deployment/web", "example.org/owner=me"])]),
    ("kubectl-annotate-cronjob", "cronjob", &[Kubectl(&["annotate", "cronjob/refresh", "example.org/owner=me", "toolforge.org/schedule=@hourly", "--overwrite"])]),
    ("kubectl-apply-client-side", "deployment", &[Feed(&["apply", "-f", "-"], client_side_apply)]),
    ("kubectl-edit", "deployment", &[edit!("deployment/web", r#"[{"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 60}, {"op": "add", "path": "/spec/template/spec/priorityClassName", "value": "system-cluster-critical"}, {"op": "replace", "path": "/spec/template/spec/containers/0/startupProbe/failureThreshold", "value": 5}, {"op": "replace", "path": "/spec/revisionHistoryLimit", "value": 1}]"#)]),
    ("kubectl-edit-default-to-itself", "deployment", &[edit!("deployment/web", r#"[{"op": "replace", "path": "/spec/template/spec/dnsPolicy", "value": "Default"}]"#), edit!("deployment/web", r#"[{"op": "replace", "path": "/spec/template/spec/dnsPolicy", "value": "ClusterFirst"}]"#)]),
    ("kubectl-edit-recreate-to-rolling", "deployment-recreate", &[edit!("deployment/solo", r#"[{"op": "replace", "path": "/spec/strategy/type", "value": "RollingUpdate"}]"#)]),
    ("kubectl-edit-strategy", "deployment", &[edit!("deployment/web", r#"[{"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}]"#)]),
    ("kubectl-label", "deployment", &[Kubectl(&["label", "deployment/web", "team=x"])]),
    ("kubectl-label-overwrite", "deployment", &[Kubectl(&["label", "deployment/web", "toolforge.org/tool=stolen", "--overwrite"])]),
    ("kubectl-label-strip", "deployment", &[Kubectl(&["label", "deployment/web", "toolforge.org/tool-", "app.kubernetes.io/managed-by-", "app.kubernetes.io/component-"])]),
    ("kubectl-patch-atomic", "deployment", &[patch!("deployment/web", "strategic", r#"{"spec": {"template": {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}], "nodeSelector": {"disk": "ssd"}}}}}"#)]),
    ("kubectl-patch-command", "deployment", &[patch!("deployment/web", "json", r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/command", "value": ["sleep", "inf"]}, {"op": "add", "path": "/spec/template/spec/containers/0/args", "value": ["x"]}]"#)]),
    ("kubectl-patch-env-order", "deployment", &[patch!("deployment/web", "json", r#"[{"op": "move", "from": "/spec/template/spec/containers/0/env/0", "path": "/spec/template/spec/containers/0/env/2"}]"#)]),
    ("kubectl-patch-sidecar", "deployment", &[patch!("deployment/web", "json", r#"[{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "miner", "image": "evil.example/miner:1", "ports": [{"containerPort": 9000}], "readinessProbe": {"httpGet": {"path": "/", "port": 9000}}}}]"#)]),
    ("kubectl-rollout-pause", "deployment", &[Kubectl(&["rollout", "pause", "deployment/web"])]),
    ("kubectl-rollout-restart", "deployment", &[Kubectl(&["rollout", "restart", "deployment/web"])]),
    ("kubectl-scale", "deployment", &[Kubectl(&["scale", "deployment/web", "--replicas=5"])]),
    ("kubectl-set-env", "deployment", &[Kubectl(&["set", "env", "deployment/web", "GREETING=bye", "EXTRA=1", "PORT-"])]),
    ("kubectl-set-image", "deployment", &[Kubectl(&["set", "image", "deployment/web", "web=evil.example/miner:1"])]),
    ("kubectl-set-resources", "deployment", &[Kubectl(&["set", "resources", "deployment/web", "--limits=cpu=2"])]),
    ("label-there-and-back", "deployment", &[Kubectl(&["label", "deployment/web", "toolforge.org/tool=stolen", "--overwrite"]), Kubectl(&["label", "deployment/web", "toolforge.org/tool=wordcount", "--overwrite"])]),
    ("limitrange-raised", "limitrange", &[patch!("limitrange/wordcount", "json", r#"[{"op": "replace", "path": "/spec/limits/0/max/cpu", "value": "64"}]"#)]),
    ("namespace-opened", "namespace", &[Kubectl(&["label", "namespace/tool-wordcount", "pod-security.kubernetes.io/enforce=privileged", "--overwrite"]), Kubectl(&["annotate", "namespace/tool-wordcount", "a=b"])]),
    ("networkpolicy-opened", "networkpolicy-default", &[patch!("networkpolicy/toolforge.default", "json", r#"[{"op": "replace", "path": "/spec/ingress", "value": [{}]}]"#)]),
    ("older-apply-of-ours", "httproute", &[Feed(OURS, older_version)]),
    ("owner-wiped-out", "configmap", &[Kubectl(&["label", "configmap/settings", "team=x"]), patch!("configmap/settings", "json", r#"[{"op": "remove", "path": "/metadata/managedFields/1"}]"#)]),
    ("pdb-changed", "poddisruptionbudget", &[patch!("pdb/web", "merge", r#"{"spec": {"maxUnavailable": null, "minAvailable": 1}}"#)]),
    ("quota-raised", "resourcequota", &[patch!("resourcequota/wordcount", "merge", r#"{"spec": {"hard": {"pods": "100", "services": "10"}}}"#)]),
    ("secret-edited", "secret", &[patch!("secret/token", "merge", r#"{"data": {"value": "c3RvbGVu", "more": "bW9yZQ=="}}"#)]),
    ("service-external-name", "service", &[patch!("service/web", "merge", r#"{"spec": {"type": "ExternalName", "externalName": "evil.example", "clusterIP": null, "clusterIPs": null, "ports": null}}"#)]),
    ("service-nodeport", "service", &[patch!("service/web", "strategic", r#"{"spec": {"type": "NodePort"}}"#)]),
    ("service-port-added", "service", &[patch!("service/web", "json", r#"[{"op": "replace", "path": "/spec/ports", "value": [{"port": 8000, "protocol": "TCP", "name": "a"}, {"port": 9000, "protocol": "TCP", "name": "b"}]}]"#)]),
    ("service-port-changed", "service", &[patch!("service/web", "json", r#"[{"op": "replace", "path": "/spec/ports/0/port", "value": 9000}]"#)]),
    ("service-selector", "service", &[patch!("service/web", "json", r#"[{"op": "replace", "path": "/spec/selector", "value": {"app": "other"}}]"#)]),
    ("serviceaccount-automount", "serviceaccount", &[patch!("serviceaccount/wordcount", "merge", r#"{"automountServiceAccountToken": true, "imagePullSecrets": [{"name": "x"}]}"#)]), 
    // Last: with this nobody could delete the object for the next case.
    ("finalizer-added", "deployment", &[patch!("deployment/web", "merge", r#"{"metadata": {"finalizers": ["example.org/stuck"]}}"#)]),
];

fn another_applier(object: &mut Value) {
    object["spec"]["template"]["spec"]["containers"][0]["lifecycle"] =
        json!({"preStop": {"exec": {"command": ["sleep", "1"]}}});
    object["spec"]["minReadySeconds"] = json!(3);
    object["spec"]["replicas"] = json!(4);
}

fn older_version(object: &mut Value) {
    object["apiVersion"] = json!("gateway.networking.k8s.io/v1beta1");
    object["metadata"]["labels"]["old"] = json!("x");
}

fn client_side_apply(object: &mut Value) {
    object["metadata"]["labels"]["team"] = json!("x");
    object["spec"]["replicas"] = json!(7);
}

const OURS: &[&str] = &["apply", "--server-side", "--force-conflicts", "--field-manager=toolforge", "-f", "-"];

#[tokio::main]
async fn main() -> Result<()> {
    let recorder = Recorder {
        server: ControlPlane::start(Options::default()).await?,
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../reconciler/planner/tests/live"),
    };
    let desired = recorder.desired()?;
    recorder.feed(&desired["namespace"], OURS).await?;
    for object in desired.values() {
        recorder.feed(object, OURS).await?;
    }
    settle(6).await;
    for (name, object) in &desired {
        recorder.record(&format!("applied--{name}"), object).await?;
    }
    for (case, name, steps) in HANDS {
        recorder.hand(case, &desired[*name], steps).await.context(*case)?;
    }
    Ok(())
}

/// Controllers answer, and an entry's second differs from the object's first.
async fn settle(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}

struct Recorder {
    server: ControlPlane,
    folder: PathBuf,
}

impl Recorder {
    fn desired(&self) -> Result<BTreeMap<String, Value>> {
        let mut desired = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if let Some(name) = stem.strip_prefix("applied--") {
                let case: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
                desired.insert(name.to_owned(), case["desired"].clone());
            }
        }
        ensure!(desired.contains_key("namespace"), "no desired objects in {}", self.folder.display());
        Ok(desired)
    }

    async fn hand(&self, case: &str, desired: &Value, steps: &[Step]) -> Result<()> {
        if desired["kind"] != "Namespace" {
            self.delete(desired).await?;
            self.feed(desired, OURS).await?;
        }
        settle(2).await;
        for step in steps {
            let changed = |change: &fn(&mut Value)| {
                let mut object = desired.clone();
                change(&mut object);
                object
            };
            match step {
                Kubectl(words) => self.kubectl(desired, words).await.map(drop)?,
                Feed(words, change) => self.feed(&changed(change), words).await?,
                Remake(words, change) => {
                    self.delete(desired).await?;
                    self.feed(&changed(change), words).await?;
                    settle(2).await;
                    self.feed(desired, OURS).await?;
                }
            }
        }
        settle(1).await;
        self.record(case, desired).await
    }

    async fn delete(&self, desired: &Value) -> Result<()> {
        self.kubectl(desired, &["delete", &reference(desired), "--ignore-not-found", "--wait"]).await.map(drop)
    }

    async fn feed(&self, object: &Value, words: &[&str]) -> Result<()> {
        let file = self.server.dir().join("fed.json");
        std::fs::write(&file, object.to_string())?;
        let file = file.to_str().context("a folder whose name is text")?;
        let words: Vec<_> = words.iter().map(|word| if *word == "-" { file } else { word }).collect();
        self.kubectl(object, &words).await.map(drop)
    }

    async fn kubectl(&self, object: &Value, words: &[&str]) -> Result<String> {
        let mut words = words.to_vec();
        if let Some(namespace) = object["metadata"]["namespace"].as_str() {
            words.extend(["--namespace", namespace]);
        }
        let output = self.server.kubectl(&words).await?;
        ensure!(output.code == 0, "kubectl {}: {}", words.join(" "), output.stderr);
        Ok(output.stdout)
    }

    /// What the server makes of our object alone, where drift has to know it.
    async fn made(&self, desired: &Value, live: &Value) -> Result<Option<Value>> {
        let desired = Object::new(desired.clone())?;
        if drift(&desired, live, &Ownership::of("toolforge")).needs_dry_run.is_empty() {
            return Ok(None);
        }
        let file = self.server.dir().join("asked.json");
        std::fs::write(&file, Question::create(&desired).body.to_string())?;
        let file = file.to_str().context("a folder whose name is text")?;
        let words = ["create", "--dry-run=server", "--field-manager=toolforge", "-o", "json", "-f", file];
        Ok(Some(stilled(serde_json::from_str(&self.kubectl(&desired.value, &words).await?)?)))
    }

    async fn record(&self, case: &str, desired: &Value) -> Result<()> {
        let live = self.kubectl(desired, &["get", &reference(desired), "-o", "json", "--show-managed-fields"]).await?;
        let live = stilled(serde_json::from_str(&live)?);
        let mut case_value = json!({"desired": desired, "live": live});
        if let Some(made) = self.made(desired, &case_value["live"]).await? {
            case_value["made"] = made;
        }
        let mut text = serde_json::to_string_pretty(&case_value)?;
        text.push('\n');
        Ok(std::fs::write(self.folder.join(format!("{case}.json")), text)?)
    }
}

fn reference(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let group = text(&object["apiVersion"]);
    let kind = match group.rsplit_once('/') {
        Some((group, version)) => format!("{}.{version}.{group}", text(&object["kind"])),
        None => text(&object["kind"]),
    };
    format!("{kind}/{}", text(&object["metadata"]["name"]))
}
