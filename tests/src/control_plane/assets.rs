//! A bare API server from `KUBEBUILDER_ASSETS`: etcd, kube-apiserver and kubectl, and nothing behind them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::{ADMIN, ControlPlane, Facts, INTRUDER, MAINTAINER, Process, TOOLFORGE};

/// Ends both servers when stdin ends, which is when we do; `$0` is the folder of the programs, `$1` ours.
const SUPERVISE: &str = r#"
cd "$1" || exit 1
"$0/etcd" --data-dir etcd --log-level error --unsafe-no-fsync \
  --listen-client-urls "http://127.0.0.1:$2" --advertise-client-urls "http://127.0.0.1:$2" \
  --listen-peer-urls "http://127.0.0.1:$3" --initial-advertise-peer-urls "http://127.0.0.1:$3" \
  --initial-cluster "default=http://127.0.0.1:$3" >etcd.log 2>&1 &
etcd=$!
"$0/kube-apiserver" --etcd-servers "http://127.0.0.1:$2" \
  --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$4" --endpoint-reconciler-type none \
  --cert-dir certificates --token-auth-file tokens.csv --authorization-mode RBAC \
  --disable-admission-plugins ServiceAccount --service-cluster-ip-range 10.96.0.0/12 \
  --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file accounts.key --service-account-signing-key-file accounts.key \
  --audit-policy-file audit-policy.yaml --audit-log-path audit.jsonl --audit-log-mode blocking \
  >kube-apiserver.log 2>&1 &
server=$!
trap 'kill -9 $etcd $server; wait; cd /; rm -rf "$1"' EXIT
echo started
cat >/dev/null
"#;

const AUDIT_POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";

const READY_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn start(assets: &Path, dir: TempDir) -> anyhow::Result<ControlPlane> {
    let begun = Instant::now();
    for program in ["etcd", "kube-apiserver", "kubectl"] {
        ensure!(assets.join(program).exists(), "KUBEBUILDER_ASSETS ({}) has no {program}", assets.display());
    }
    let [client, peer, secure] = free_ports()?;
    let users = write_files(dir.path(), secure)?;
    let ports = [client, peer, secure].map(|port| port.to_string());
    let mut args: Vec<&OsStr> = vec!["-c".as_ref(), SUPERVISE.as_ref(), assets.as_os_str(), dir.path().as_os_str()];
    args.extend(ports.iter().map(OsStr::new));
    let (process, _) = Process::start(Path::new("sh"), &args)?;
    let mut facts = facts(dir.path(), secure, users);
    let kubectl = assets.join("kubectl");
    wait_until_ready(&kubectl, &facts, dir.path())?;
    facts.started_in_ms = begun.elapsed().as_millis().try_into()?;
    Ok(ControlPlane { _process: process, kubectl: vec![kubectl], facts, dir })
}

fn facts(dir: &Path, port: u16, users: BTreeMap<String, String>) -> Facts {
    Facts {
        kubeconfig: dir.join("kubeconfig"),
        server: format!("https://127.0.0.1:{port}"),
        ca: authority(dir),
        users,
        audit_log: dir.join("audit.jsonl"),
        registry: None,
        request_log: None,
        started_in_ms: 0,
    }
}

/// The server signs its own certificate, and writes the signer's beside it.
fn authority(dir: &Path) -> PathBuf {
    dir.join("certificates").join("apiserver.crt")
}

/// Free now; another program could still take one, which fails the start and nothing else.
fn free_ports() -> anyhow::Result<[u16; 3]> {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0")?);
    }
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Everything the two servers and their clients read. The tokens are no secret: the server listens on loopback only
/// and lives as long as one test program.
fn write_files(dir: &Path, port: u16) -> anyhow::Result<BTreeMap<String, String>> {
    fs::write(dir.join("audit-policy.yaml"), AUDIT_POLICY)?;
    let users: BTreeMap<String, String> =
        [ADMIN, TOOLFORGE, MAINTAINER, INTRUDER].map(|user| (user.into(), format!("token-of-{user}"))).into();
    let mut tokens = String::new();
    for (user, token) in &users {
        let group = if user == ADMIN { ",system:masters" } else { "" };
        tokens.push_str(&format!("{token},{user},{user}{group}\n"));
    }
    fs::write(dir.join("tokens.csv"), tokens)?;
    fs::write(dir.join("kubeconfig"), kubeconfig(dir, port, &users).to_string())?;
    // The one program at hand that writes such a key in a form the server reads.
    let key = Command::new("ssh-keygen")
        .args(["-q", "-t", "ecdsa", "-b", "256", "-m", "PEM", "-N", "", "-f"])
        .arg(dir.join("accounts.key"))
        .status()
        .context("run ssh-keygen (package openssh-client)")?;
    ensure!(key.success(), "ssh-keygen failed ({key})");
    Ok(users)
}

fn kubeconfig(dir: &Path, port: u16, users: &BTreeMap<String, String>) -> serde_json::Value {
    let cluster = serde_json::json!({
        "server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority(dir),
    });
    let contexts = users.keys().map(
        |user| serde_json::json!({"name": user, "context": {"cluster": "tests", "user": user, "namespace": "default"}}),
    );
    let tokens = users.iter().map(|(user, token)| serde_json::json!({"name": user, "user": {"token": token}}));
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": ADMIN,
        "clusters": [{"name": "tests", "cluster": cluster}],
        "contexts": contexts.collect::<Vec<_>>(), "users": tokens.collect::<Vec<_>>(),
    })
}

fn wait_until_ready(kubectl: &Path, facts: &Facts, dir: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let answer = Command::new(kubectl)
            .args(["get", "--raw", "/readyz"])
            .env("KUBECONFIG", &facts.kubeconfig)
            .env("HOME", dir)
            .output()?;
        if answer.status.success() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let log = fs::read_to_string(dir.join("kube-apiserver.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            bail!("kube-apiserver of KUBEBUILDER_ASSETS was not ready within {READY_WITHIN:?}: {last:#?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
