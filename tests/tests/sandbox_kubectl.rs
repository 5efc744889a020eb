//! A stock kubectl over HTTP: the words people type, and what they read.

use sandbox::{Listening, Sandbox};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tests::control_plane::build;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {name: web}}
  template:
    metadata: {labels: {name: web}}
    spec:
      containers: [{name: web, image: 'registry.example/web:1', ports: [{containerPort: 80, protocol: TCP}]}]
";

/// A sandbox and a kubectl that speaks to it.
struct Kubectl {
    /// The one we build from Go modules: nobody has to install one.
    program: PathBuf,
    _sandbox: Sandbox,
    listening: Listening,
}

impl Kubectl {
    async fn start() -> Self {
        let program = tokio::task::spawn_blocking(build::binary).await.expect("it ends").expect("kubectl is built");
        let sandbox = Sandbox::in_memory();
        let listening = sandbox.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        Self { program, _sandbox: sandbox, listening }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("kubectl").args(words.split_whitespace()).arg("--kubeconfig").arg(&self.listening.kubeconfig);
        command.arg("--cache-dir").arg(self.listening.kubeconfig.with_file_name("cache"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("KUBECONFIG").kill_on_drop(true);
        command
    }

    /// Runs kubectl; returns whether it went well, and all it printed.
    async fn run(&self, words: &str, input: &str) -> (bool, String) {
        let child = self.command(words).spawn();
        let mut child = child.expect("kubectl can be run");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).await.expect("kubectl reads its input");
        drop(stdin);
        let out = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
        let out = out.expect("kubectl ends in time").expect("kubectl ends");
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.success(), text)
    }

    /// It goes well.
    async fn good(&self, words: &str, input: &str) -> String {
        let (good, text) = self.run(words, input).await;
        assert!(good, "kubectl {words}: {text}");
        text
    }

    /// It is refused with these words in it.
    async fn refused(&self, words: &str, input: &str, why: &str) {
        let (good, text) = self.run(words, input).await;
        assert!(!good && text.contains(why), "kubectl {words}: {text}");
    }
}

#[tokio::test]
async fn a_deployment_is_applied_rolled_out_and_described() {
    let kubectl = Kubectl::start().await;
    let text = kubectl.good("apply --server-side -f -", DEPLOYMENT).await;
    assert_eq!(text, "deployment.apps/web serverside-applied\n");
    kubectl.good("rollout status deploy/web --timeout=30s", "").await;
    let text = kubectl.good("get deploy,rs,pods -o wide", "").await;
    assert!(text.contains("READY") && text.contains("2/2") && text.contains("registry.example/web:1"), "{text}");
    assert_eq!(text.matches("Running").count(), 2, "{text}");
    let text = kubectl.good("describe deploy web", "").await;
    assert!(text.contains("2 desired | 2 updated | 2 total | 2 available"), "{text}");
    assert!(text.contains("25% max unavailable"), "{text}");
    kubectl.good("describe pods", "").await;
    kubectl.good("wait --for=condition=Available deploy/web --timeout=30s", "").await;
    kubectl.good("rollout restart deploy/web", "").await;
    kubectl.good("rollout status deploy/web --timeout=30s", "").await;
    let text = kubectl.good("rollout history deploy/web", "").await;
    assert!(text.contains('2'), "{text}");
    kubectl.good("rollout undo deploy/web", "").await;
    kubectl.refused("logs deploy/web", "", "runs no containers").await;
}

#[tokio::test]
async fn hands_change_objects_in_every_way_they_know() {
    let kubectl = Kubectl::start().await;
    kubectl.good("apply -f -", DEPLOYMENT).await;
    kubectl.good("scale deploy web --replicas=3", "").await;
    kubectl.good("annotate deploy web example.org/a=b", "").await;
    kubectl.good("label deploy web tier=front", "").await;
    kubectl.good("set image deploy/web web=registry.example/web:2", "").await;
    kubectl.good("set env deploy/web A=1", "").await;
    kubectl.good("patch deploy web --type=merge -p {\"spec\":{\"paused\":false}}", "").await;
    kubectl
        .good("patch deploy web --type=json -p [{\"op\":\"add\",\"path\":\"/metadata/labels/x\",\"value\":\"y\"}]", "")
        .await;
    let text = kubectl.good("get deploy web -o jsonpath={.spec.replicas}/{.metadata.labels}", "").await;
    assert_eq!(text, r#"3/{"tier":"front","x":"y"}"#);
    let text = kubectl.good("get deploy web -o jsonpath={.metadata.managedFields[*].manager}", "").await;
    for manager in ["kubectl-client-side-apply", "kubectl-label", "kubectl-annotate", "kubectl-set", "kubectl-patch"] {
        assert!(text.contains(manager), "{manager} in {text}");
    }
    // A second client-side apply takes back what it once said, and leaves the rest.
    kubectl.good("apply -f -", &DEPLOYMENT.replace("replicas: 2", "replicas: 1")).await;
    let text = kubectl.good("get deploy web -o jsonpath={.spec.replicas}/{.metadata.labels.tier}", "").await;
    assert_eq!(text, "1/front");
}

#[tokio::test]
async fn an_editor_changes_one_line() {
    let kubectl = Kubectl::start().await;
    kubectl.good("apply --server-side -f -", DEPLOYMENT).await;
    let mut command = kubectl.command("edit deploy web");
    let out = command.env("KUBE_EDITOR", "sed -i s/web:1/web:7/").stdin(Stdio::null()).output().await;
    let out = out.expect("kubectl edit runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = kubectl.good("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}", "").await;
    assert_eq!(text, "registry.example/web:7");
}

#[tokio::test]
async fn mistakes_are_refused_as_a_real_server_does() {
    let kubectl = Kubectl::start().await;
    let typo = DEPLOYMENT.replace("replicas", "replica");
    kubectl.refused("apply -f -", &typo, "strict decoding error: unknown field \"spec.replica\"").await;
    let label = DEPLOYMENT.replace("labels: {name: web}", "labels: {name: other}");
    kubectl.refused("apply -f -", &label, "`selector` does not match template `labels`").await;
    kubectl.refused("get nodes", "", "the server doesn't have a resource type \"nodes\"").await;
    kubectl.refused("get deploy web", "", "deployments.apps \"web\" not found").await;
    kubectl.refused("apply -n nowhere -f -", DEPLOYMENT, "namespaces \"nowhere\" not found").await;
    kubectl.good("apply --server-side -f -", DEPLOYMENT).await;
    let other = DEPLOYMENT.replace("replicas: 2", "replicas: 4");
    let why = "conflict with \"kubectl\": .spec.replicas";
    kubectl.refused("apply --server-side --field-manager=other -f -", &other, why).await;
    kubectl.refused("create -f -", DEPLOYMENT, "already exists").await;
}

#[tokio::test]
async fn everything_goes_with_its_namespace() {
    let kubectl = Kubectl::start().await;
    kubectl.good("create -f -", "apiVersion: v1\nkind: Namespace\nmetadata: {name: tool-a}").await;
    kubectl.good("apply -n tool-a -f -", DEPLOYMENT).await;
    kubectl.good("rollout status -n tool-a deploy/web --timeout=30s", "").await;
    kubectl.good("delete deploy web -n tool-a --cascade=foreground", "").await;
    let text = kubectl.good("get all -n tool-a", "").await;
    assert!(text.contains("No resources found"), "{text}");
    kubectl.good("apply -n tool-a -f -", DEPLOYMENT).await;
    kubectl.good("delete namespace tool-a --timeout=30s", "").await;
    kubectl.refused("get namespace tool-a", "", "not found").await;
}

#[tokio::test]
async fn a_watch_prints_rows_as_they_come() {
    let kubectl = Kubectl::start().await;
    let mut child = kubectl.command("get configmaps -w").spawn().expect("kubectl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for name in ["first", "second"] {
        // The first row may be part of the list or of the watch; the second can only be watched.
        let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}");
        kubectl.good("apply -f -", &map).await;
        let found = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if line.starts_with(name) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(Duration::from_secs(30), found).await.expect("a row in time");
        assert!(found, "the watch ended before {name}");
    }
}

#[tokio::test]
async fn the_server_explains_what_it_serves() {
    let kubectl = Kubectl::start().await;
    let text = kubectl.good("api-resources -o name", "").await;
    for name in ["deployments.apps", "httproutes.gateway.networking.k8s.io", "tools.toolforge.org", "namespaces"] {
        assert!(text.lines().any(|line| line == name), "{name} in {text}");
    }
    let text = kubectl.good("explain deployment.spec.strategy.rollingUpdate", "").await;
    assert!(text.contains("maxSurge"), "{text}");
    let text = kubectl.good("version -o json", "").await;
    assert!(text.contains("toolforge-sandbox"), "{text}");
    let text = kubectl.good("get --raw /readyz", "").await;
    assert_eq!(text, "ok");
}

#[tokio::test]
async fn a_pod_can_be_asked_to_fail() {
    let kubectl = Kubectl::start().await;
    let failing = DEPLOYMENT.replace(
        "labels: {name: web}}\n    spec",
        "labels: {name: web}, annotations: {sandbox.toolforge.org/fail: CrashLoopBackOff}}\n    spec",
    );
    assert_ne!(failing, DEPLOYMENT);
    kubectl.good("apply --server-side -f -", &failing).await;
    kubectl.refused("rollout status deploy/web --timeout=1s", "", "timed out").await;
    let text = kubectl.good("get pods", "").await;
    assert!(text.contains("CrashLoopBackOff") && text.contains("0/1"), "{text}");
    kubectl.good("apply --server-side -f -", DEPLOYMENT).await;
    kubectl.good("rollout status deploy/web --timeout=30s", "").await;
}
