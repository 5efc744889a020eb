//! The node and the router with real processes, on a real sandbox, with images from a real registry.

use anyhow::Context as _;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, LogParams, PostParams};
use kube::core::GroupVersionKind;
use local::cell::{Door, Groups};
use local::node::{self, BackOff, Builds, Node, SELF_IMAGE, Settings};
use local::registry::Registry;
use local::router::{self, Router};
use planner::image::digest_of;
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A small web server: what it was told, its own end, and one that does not listen to PORT.
const SERVER: &str = r#"
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/quit":
            os._exit(3)
        text = " ".join([os.environ.get("GREETING", "hello"), os.getcwd(), self.headers["x-forwarded-host"] or ""])
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
port = int(sys.argv[1] if len(sys.argv) > 1 else os.environ["PORT"])
print("listening as", os.geteuid() != 0, flush=True)
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

const BACK_OFF: BackOff = BackOff { first: SignedDuration::from_millis(200), longest: SignedDuration::from_secs(1) };

struct World {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    image: String,
    _registry: Registry,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir()?;
        // Where we are root the processes are not, and a temporary folder is closed to others.
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let registry = Registry::start(&folder.path().join("registry"), 0).await?;
        let image = push(&registry.host()).await?;
        let sandbox = Sandbox::in_memory();
        sandbox.attach_node(&node::logs(&folder.path().join("node")));
        Ok(Self { folder, sandbox, image, _registry: registry })
    }

    async fn node(&self) -> anyhow::Result<Node> {
        self.node_through(door().await, None)
    }

    fn node_through(&self, door: Door, groups: Option<Groups>) -> anyhow::Result<Node> {
        let builds =
            Builds { namespace: "builds".to_owned(), program: PathBuf::from("/bin/echo"), env: BTreeMap::new() };
        Ok(Node::start(Settings {
            client: self.client(),
            name: sandbox::NODE.to_owned(),
            state: self.folder.path().join("node"),
            door,
            builds: Some(builds),
            groups,
            back_off: BACK_OFF,
            usage_every: jiff::SignedDuration::from_millis(100),
        })?)
    }

    fn client(&self) -> kube::Client {
        kube::Client::new(self.sandbox.service(), "default")
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client(), namespace)
    }

    async fn make(&self, group: &str, kind: &str, mut object: Value) -> anyhow::Result<()> {
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        (object["apiVersion"], object["kind"]) = (json!(api_version), json!(kind));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client(), &namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        };
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        self.make("", "Namespace", json!({"metadata": {"name": name}})).await
    }

    async fn job(&self, namespace: &str, name: &str, pod: Value) -> anyhow::Result<()> {
        let template = json!({"metadata": {"labels": {"job": name}}, "spec": pod});
        let spec = json!({"backoffLimit": 0, "template": template});
        self.make("batch", "Job", json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec})).await
    }

    /// A Deployment with its Service and route.
    async fn web(&self, name: &str, container: Value) -> anyhow::Result<()> {
        let namespace = "tool-a";
        let meta = |name: &str| json!({"name": name, "namespace": namespace});
        let spec = json!({
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "terminationGracePeriodSeconds": 5, "containers": [container],
            }},
        });
        self.make("apps", "Deployment", json!({"metadata": meta(name), "spec": spec})).await?;
        let service = json!({"selector": {"app": name}, "ports": [{"port": 8000, "protocol": "TCP"}]});
        self.make("", "Service", json!({"metadata": meta(name), "spec": service})).await?;
        let backend = json!({"service": {"name": name, "port": {"number": 8000}}});
        let rule = json!({
            "host": format!("{name}.tools.example"),
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
        });
        self.make("networking.k8s.io", "Ingress", json!({"metadata": meta(name), "spec": {"rules": [rule]}})).await
    }

    async fn only_pod(&self, namespace: &str) -> anyhow::Result<Value> {
        let pods = self.pods(namespace).list(&ListParams::default()).await?;
        anyhow::ensure!(pods.items.len() == 1, "one pod: {}", pods.items.len());
        Ok(serde_json::to_value(&pods.items[0])?)
    }

    /// The one pod of a namespace, when it is as wished.
    async fn until(&self, namespace: &str, wish: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        for _ in 0..600 {
            if let Ok(pod) = self.only_pod(namespace).await {
                if wish(&pod) {
                    return Ok(pod);
                }
                last = pod;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("not as wished: {:#}", last["status"])
    }
}

/// Pushes an image with the server in its workspace, as a builder would make it.
async fn push(host: &str) -> anyhow::Result<String> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in
        [("workspace/serve.py", SERVER), ("layers/test_pack/settings/env.launch/GREETING.default", "good morning")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(315_532_801);
        tar.append_data(&mut header, path, text.as_bytes())?;
    }
    let layer = tar.into_inner()?;
    let metadata = json!({
        "buildpacks": [{"id": "test/pack", "version": "1"}],
        "processes": [
            {"type": "web", "command": ["python3", "/workspace/serve.py"], "direct": true},
            {"type": "elsewhere", "command": ["python3", "/workspace/serve.py", "0"], "direct": true},
            {"type": "say", "command": ["bash", "-c"], "args": ["echo nothing"], "direct": true},
        ],
    });
    let config = serde_json::to_vec(&json!({
        "architecture": "amd64", "os": "linux",
        "config": {"WorkingDir": "/workspace", "Labels": {"io.buildpacks.build.metadata": metadata.to_string()}},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(&layer).as_str()]},
    }))?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let base = format!("http://{host}/v2/tool-a/web");
    let described =
        |bytes: &[u8], kind: &str| json!({"mediaType": kind, "digest": digest_of(bytes).as_str(), "size": bytes.len()});
    for blob in [&layer, &config] {
        let begun = http.post(format!("{base}/blobs/uploads/")).send().await?.error_for_status()?;
        let place = begun.headers().get("location").context("a location")?.to_str()?.to_owned();
        let place = if place.starts_with('/') { format!("http://{host}{place}") } else { place };
        let digest = digest_of(blob);
        let mark = if place.contains('?') { '&' } else { '?' };
        http.put(format!("{place}{mark}digest={digest}")).body(blob.clone()).send().await?.error_for_status()?;
    }
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(&config, "application/vnd.oci.image.config.v1+json"),
        "layers": [described(&layer, "application/vnd.oci.image.layer.v1.tar")],
    }))?;
    let put =
        http.put(format!("{base}/manifests/1")).header("content-type", "application/vnd.oci.image.manifest.v1+json");
    put.body(manifest.clone()).send().await?.error_for_status()?;
    Ok(format!("{host}/tool-a/web@{}", digest_of(&manifest)))
}

async fn door() -> Door {
    Door::through(Path::new(env!("CARGO_BIN_EXE_cell-door"))).await
}

fn container(image: &str, words: &[&str], more: Value) -> Value {
    let command = [&["launcher"], words].concat();
    let mut container = json!({
        "name": "web", "image": image, "command": command,
        "ports": [{"containerPort": 8000, "protocol": "TCP"}],
    });
    container.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    container
}

/// Over HTTP until it has started, then by a program beside it, in its folder.
fn probes() -> Value {
    let more = json!({"periodSeconds": 1, "failureThreshold": 60});
    let with = |ask: Value| {
        let mut probe = more.clone();
        probe.as_object_mut().expect("a map").extend(ask.as_object().expect("a map").clone());
        probe
    };
    let program = ["launcher", "bash", "-c", "test -f serve.py && test \"$PORT\" != 8000"];
    json!({
        "startupProbe": with(json!({"httpGet": {"path": "/", "port": 8000}})),
        "readinessProbe": with(json!({"exec": {"command": program}, "timeoutSeconds": 20})),
    })
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn restarts(pod: &Value) -> u64 {
    pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64).unwrap_or_default()
}

async fn get(router: &Router, host: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://127.0.0.1:{}{path}", router.port);
    let response = client.get(url).header("host", format!("{host}:{}", router.port)).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

#[tokio::test]
async fn a_web_component_serves_crashes_comes_back_and_goes() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.namespace("tool-a").await?;
    let (node, router) = (world.node().await?, router_of(&world).await?);
    world.web("a", container(&world.image, &["web"], probes())).await?;
    let pod = world.until("tool-a", is_ready).await?;
    let (status, text) = eventually(&router, "a.localhost", "/").await?;
    assert_eq!((status, text.as_str()), (200, format!("good morning /workspace a.localhost:{}", router.port).as_str()));
    assert_eq!(get(&router, "b.localhost", "/").await?.0, 404);

    let name = pod["metadata"]["name"].as_str().context("a name")?.to_owned();
    let log = world.pods("tool-a").logs(&name, &LogParams::default()).await?;
    assert!(log.starts_with("listening as True"), "not as root: {log}");

    let (status, text) = get(&router, "a.localhost", "/quit").await?;
    assert!(status == 502 && text.contains("toolforge logs"), "{status} {text}");
    let again = world.until("tool-a", |pod| restarts(pod) == 1 && is_ready(pod)).await?;
    assert_eq!(again.pointer("/status/containerStatuses/0/lastState/terminated/exitCode"), Some(&json!(3)));
    let previous = LogParams { previous: true, ..LogParams::default() };
    assert!(world.pods("tool-a").logs(&name, &previous).await?.contains("GET /quit") || !log.is_empty());

    node.end().await;
    let kept = world.only_pod("tool-a").await?;
    assert_eq!(kept["metadata"]["uid"], pod["metadata"]["uid"], "the pod stays for the next node");
    assert_eq!(get(&router, "a.localhost", "/").await?.0, 502, "and its process is gone");
    let node = world.node().await?;
    world.until("tool-a", |pod| restarts(pod) == 2 && is_ready(pod)).await?;
    assert_eq!(eventually(&router, "a.localhost", "/").await?.0, 200);

    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(world.client(), "tool-a");
    deployments.delete("a", &DeleteParams::default()).await?;
    for _ in 0..200 {
        if world.pods("tool-a").list(&ListParams::default()).await?.items.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(world.pods("tool-a").list(&ListParams::default()).await?.items.is_empty());
    assert_eq!(get(&router, "a.localhost", "/").await?.0, 503);
    node.end().await;
    Ok(())
}

async fn router_of(world: &World) -> anyhow::Result<Router> {
    let settings = router::Settings { client: world.client(), domain: "tools.example".to_owned(), port: 0 };
    Ok(Router::start(settings).await?)
}

/// The router hears of a pod a moment after it is so.
async fn eventually(router: &Router, host: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let mut last = (0, String::new());
    for _ in 0..200 {
        last = get(router, host, path).await?;
        if last.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(last)
}

#[tokio::test]
async fn who_does_not_listen_on_port_is_told_so_in_the_pod_and_by_the_router() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.namespace("tool-a").await?;
    let (node, router) = (world.node().await?, router_of(&world).await?);
    world.web("a", container(&world.image, &["elsewhere"], probes())).await?;
    let says = |pod: &Value| {
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let ready = conditions.iter().find(|one| one["type"] == "Ready").cloned().unwrap_or_default();
        ready["message"].as_str().unwrap_or_default().to_owned()
    };
    let pod = world.until("tool-a", |pod| says(pod).contains("environment variable PORT")).await?;
    assert!(says(&pod).contains("it listens on port"), "{}", says(&pod));
    let (status, text) = get(&router, "a.localhost", "/").await?;
    assert!(status == 503 && text.contains("environment variable PORT"), "{status} {text}");
    node.end().await;
    Ok(())
}

#[tokio::test]
async fn a_job_gets_its_secrets_and_volumes_in_order_and_leaves_its_last_words() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.namespace("tool-a").await?;
    let node = world.node().await?;
    let meta = |name: &str| json!({"name": name, "namespace": "tool-a"});
    world.make("", "Secret", json!({"metadata": meta("s"), "stringData": {"token": "hunter2"}})).await?;
    world.make("", "ConfigMap", json!({"metadata": meta("c"), "data": {"file": "from a map"}})).await?;
    let script = |text: &str| container(&world.image, &["say", "-c", text], json!({"ports": []}));
    let mut first = script("echo first > /shared/order");
    first["name"] = json!("first");
    first["command"] = json!(["launcher", "bash", "-c", "echo first > /shared/order"]);
    let mut main = script("");
    main["command"] = json!(["launcher", "bash", "-c", "cat /shared/order /conf/file; echo $TOKEN-$POD; exit 4"]);
    main["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    main["env"] = json!([
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    ]);
    for one in [&mut first, &mut main] {
        one["volumeMounts"] =
            json!([{"name": "shared", "mountPath": "/shared"}, {"name": "conf", "mountPath": "/conf"}]);
    }
    let pod = json!({
        "restartPolicy": "Never", "initContainers": [first], "containers": [main],
        "volumes": [{"name": "shared", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "c"}}],
    });
    world.job("tool-a", "job", pod).await?;
    let ended = world.until("tool-a", |pod| pod["status"]["phase"] == "Failed").await?;
    let terminated = ended.pointer("/status/containerStatuses/0/state/terminated").context("an end")?;
    assert_eq!(
        (&terminated["exitCode"], &terminated["message"]),
        (&json!(4), &json!("first\nfrom a maphunter2-tool-a"))
    );
    node.end().await;
    Ok(())
}

#[tokio::test]
async fn our_own_program_runs_for_builds_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    for namespace in ["builds", "tool-a"] {
        world.namespace(namespace).await?;
    }
    let node = world.node().await?;
    let ours =
        json!({"restartPolicy": "Never", "containers": [{"name": "build", "image": SELF_IMAGE, "args": ["built"]}]});
    world.job("builds", "job", ours.clone()).await?;
    world.job("tool-a", "job", ours).await?;
    let built = world.until("builds", |pod| pod["status"]["phase"] == "Succeeded").await?;
    let name = built["metadata"]["name"].as_str().context("a name")?;
    assert_eq!(world.pods("builds").logs(name, &LogParams::default()).await?, "built\n");
    let reason = |pod: &Value| pod.pointer("/status/containerStatuses/0/state/waiting/reason").cloned();
    world.until("tool-a", |pod| reason(pod) == Some(json!("InvalidImageName"))).await?;
    node.end().await;
    Ok(())
}

#[tokio::test]
async fn where_paths_are_not_real_a_component_serves_too() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.namespace("tool-a").await?;
    let (node, router) = (world.node_through(door().await.without_places(), None)?, router_of(&world).await?);
    world.web("a", container(&world.image, &["web"], probes())).await?;
    let pod = world.until("tool-a", is_ready).await?;
    let (status, text) = eventually(&router, "a.localhost", "/").await?;
    assert_eq!(status, 200, "{text}");
    assert!(text.starts_with("good morning ") && text.contains(&world.folder.path().display().to_string()), "{text}");
    let name = pod["metadata"]["name"].as_str().context("a name")?.to_owned();
    let log = world.pods("tool-a").logs(&name, &LogParams::default()).await?;
    assert!(log.starts_with("listening as True"), "not as root: {log}");
    node.end().await;
    Ok(())
}

/// A pod that runs this script once, with scratch space of one megabyte at `/tmp`.
fn script(image: &str, text: &str, more: Value) -> Value {
    let mut main = container(image, &["bash", "-c", text], more);
    main["ports"] = json!([]);
    main["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/tmp"}, {"name": "conf", "mountPath": "/conf"}]);
    let volumes = json!([{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "conf", "configMap": {"name": "c", "optional": true}}]);
    json!({"restartPolicy": "Never", "containers": [main], "volumes": volumes})
}

#[tokio::test]
async fn a_pod_that_writes_more_than_its_scratch_space_is_evicted_and_another_takes_its_place() -> anyhow::Result<()> {
    let world = World::new().await?;
    for namespace in ["tool-a", "tool-b"] {
        world.namespace(namespace).await?;
    }
    let node = world.node().await?;
    let greedy = "echo $TMPDIR; head -c 3000000 /dev/zero >$TMPDIR/big; sleep 600";
    let pod = script(&world.image, greedy, json!({}));
    world.job("tool-b", "job", pod.clone()).await?;
    let evicted = world.until("tool-b", |pod| pod["status"]["phase"] == "Failed").await?;
    let words = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\".";
    assert_eq!((&evicted["status"]["reason"], &evicted["status"]["message"]), (&json!("Evicted"), &json!(words)));

    let mut pod = pod;
    pod["restartPolicy"] = json!("Always");
    let meta = json!({"name": "a", "namespace": "tool-a"});
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": pod});
    let spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template});
    world.make("apps", "Deployment", json!({"metadata": meta, "spec": spec})).await?;
    let mut seen = Value::Null;
    for _ in 0..600 {
        seen = serde_json::to_value(world.pods("tool-a").list(&ListParams::default()).await?.items)?;
        let is = |phase: &str| seen.as_array().is_some_and(|all| all.iter().any(|pod| pod["status"]["phase"] == phase));
        if is("Failed") && is("Running") {
            node.end().await;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("none was evicted while another one ran: {seen:#}")
}

#[tokio::test]
async fn last_words_are_what_a_container_writes_down_for_that_and_a_map_is_not_its_to_change() -> anyhow::Result<()> {
    let world = World::new().await?;
    if !door().await.in_place() {
        return Ok(());
    }
    world.namespace("tool-a").await?;
    let node = world.node().await?;
    let meta = json!({"name": "c", "namespace": "tool-a"});
    world.make("", "ConfigMap", json!({"metadata": meta, "data": {"file": "from a map"}})).await?;
    let words = "echo said; ! touch /conf/new 2>/dev/null && echo only to read >/dev/termination-log; \
                 ls /dev | tr '\n' ' ' >>/dev/termination-log; exit 4";
    let more = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    world.job("tool-a", "job", script(&world.image, words, more)).await?;
    let ended = world.until("tool-a", |pod| pod["status"]["phase"] == "Failed").await?;
    let message = ended.pointer("/status/containerStatuses/0/state/terminated/message").context("a message")?;
    let devices = "fd full null ptmx pts random shm stderr stdin stdout termination-log tty urandom zero ";
    assert_eq!(message, &json!(format!("only to read\n{devices}")));
    node.end().await;
    Ok(())
}

/// Where this machine gives us a part of its control groups. Elsewhere each process is limited by itself, which the tests
/// of cells hold.
#[tokio::test]
async fn what_a_container_takes_is_counted_together_where_the_kernel_does_that() -> anyhow::Result<()> {
    let groups = match Groups::delegated() {
        Ok(groups) => groups,
        Err(why) => {
            assert!(!why.is_empty());
            return Ok(());
        }
    };
    let world = World::new().await?;
    world.namespace("tool-a").await?;
    let node = world.node_through(door().await, Some(groups))?;
    // Two processes, each with less than the limit.
    let half = "/usr/bin/python3 -Ic 'import time; x = bytearray(40 << 20); time.sleep(600)'";
    let more = json!({"resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}});
    world.job("tool-a", "job", script(&world.image, &format!("{half} & {half}"), more)).await?;
    let ended = world.until("tool-a", |pod| pod["status"]["phase"] == "Failed").await?;
    let terminated = ended.pointer("/status/containerStatuses/0/state/terminated").context("an end")?;
    assert_eq!((&terminated["reason"], &terminated["exitCode"]), (&json!("OOMKilled"), &json!(137)));
    node.end().await;
    Ok(())
}
