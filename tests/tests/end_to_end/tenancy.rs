//! Strangers on one cluster: what a person with every right in a tool's namespace is refused all the same, and that what we
//! make ourselves is not.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::{Method, Request as Http};
use planner::kinds::Identity;
use planner::{Admission, Moment, identity};
use reconciler::driver::platform as own;
use renderer::rendered::{Image, PinnedImage};
use renderer::{Digest, Object, Rendered, ToolName};
use serde_json::{Value, json};
use tests::control_plane::{ADMIN, ControlPlane};
use tests::platform::{Platform, Route, Tool, api_of, kind_of};

use crate::{prebuilt, web};

const SOON: Duration = Duration::from_secs(60);
/// They may do anything that admission lets through.
const PEOPLE: &str = "tenancy-people";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The server's words, where it refuses.
pub(crate) type Answer = Result<Value, String>;

/// Sends as somebody of [`PEOPLE`].
async fn ask(client: &kube::Client, user: &str, method: Method, uri: &str, body: &Value) -> anyhow::Result<Answer> {
    let request = Http::builder().method(method).uri(uri).header("content-type", "application/json");
    let request = request.header("impersonate-user", user).header("impersonate-group", PEOPLE);
    match client.request(request.body(serde_json::to_vec(body)?)?).await {
        Ok(object) => Ok(Ok(object)),
        Err(kube::Error::Api(status)) if status.code < 500 => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

async fn people(client: &kube::Client) -> anyhow::Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": PEOPLE},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": PEOPLE}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    let uri = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let request = Http::post(uri).header("content-type", "application/json").body(serde_json::to_vec(&binding)?)?;
    match client.request::<Value>(request).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

/// Where objects of this one's kind are.
fn collection(object: &Value) -> anyhow::Result<String> {
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, namespace) = (text(&object["apiVersion"]), text(&object["metadata"]["namespace"]));
    let root = if api_version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{api_version}") };
    let kind = text(&object["kind"]);
    let plural = match kind_of(&kind) {
        Ok(row) => row.plural.to_owned(),
        Err(_) => format!("{}s", kind.to_lowercase().trim_end_matches('s')),
    };
    Ok(format!("{root}/namespaces/{namespace}/{plural}"))
}

/// Whether it would be made.
async fn try_to_make(client: &kube::Client, user: &str, object: &Value) -> anyhow::Result<Answer> {
    ask(client, user, Method::POST, &format!("{}?dryRun=All", collection(object)?), object).await
}

fn merged(mut object: Value, patch: &Value) -> Value {
    match (&mut object, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (key, value) in patch {
                let before = fields.remove(key).unwrap_or(Value::Null);
                fields.insert(key.clone(), merged(before, value));
            }
            object
        }
        _ => patch.clone(),
    }
}

/// A tool whose platform allows images of one place, and the spec of a pod that nothing is wrong with.
pub(crate) struct Ground<'a> {
    pub(crate) tool: Tool<'a>,
    client: kube::Client,
    pod: Value,
}

const MALLORY: &str = "mallory@example";

impl<'a> Ground<'a> {
    pub(crate) async fn new(platform: &'a Platform) -> anyhow::Result<Self> {
        let image = prebuilt(platform, "web").await?;
        let registry = platform.registry()?.address().to_owned();
        platform.commit_setting(&format!("allowed_images: [\"{registry}/library/\"]"))?;
        platform.run().await?;
        let tool = platform.tool("web")?;
        tool.commit(&web(&image))?;
        tool.ready().await?;
        let client = platform.client().clone();
        people(&client).await?;
        let container = json!({
            "name": "main", "image": image.by_digest,
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        });
        let context = json!({
            "runAsNonRoot": true, "runAsUser": 50_000, "runAsGroup": 50_000, "fsGroup": 50_000,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        let pod = json!({
            "automountServiceAccountToken": false, "securityContext": context, "containers": [container],
        });
        let ground = Self { tool, client, pod };
        ground.held().await?;
        Ok(ground)
    }

    pub(crate) fn object(&self, api_version: &str, kind: &str, content: &Value) -> Value {
        let metadata = json!({"name": "probe", "namespace": self.tool.namespace()});
        merged(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}), content)
    }

    fn deployment(&self, pod: &Value) -> Value {
        let labels = json!({"app": "probe"});
        let template = json!({"metadata": {"labels": labels}, "spec": pod});
        let spec = json!({"selector": {"matchLabels": labels}, "template": template});
        self.object("apps/v1", "Deployment", &json!({"spec": spec}))
    }

    pub(crate) async fn make(&self, object: &Value) -> anyhow::Result<Answer> {
        try_to_make(&self.client, MALLORY, object).await
    }

    pub(crate) async fn post(&self, uri: &str, body: &Value) -> anyhow::Result<Answer> {
        ask(&self.client, MALLORY, Method::POST, uri, body).await
    }

    /// Puts an ephemeral container into a pod, as `kubectl debug` does.
    async fn get_into(&self, uri: &str, container: &Value) -> anyhow::Result<Answer> {
        loop {
            let mut pod =
                ask(&self.client, MALLORY, Method::GET, uri, &Value::Null).await?.map_err(anyhow::Error::msg)?;
            pod["spec"]["ephemeralContainers"] = json!([container]);
            let uri = format!("{uri}/ephemeralcontainers?dryRun=All");
            match ask(&self.client, MALLORY, Method::PUT, &uri, &pod).await? {
                // Controllers have changed it meanwhile.
                Err(said) if said.contains("has been modified") => {}
                told => return Ok(told),
            }
        }
    }

    /// Waits until the server holds the rules: it learns of them by a watch.
    async fn held(&self) -> anyhow::Result<()> {
        until_held(&self.client, &self.deployment(&merged(self.pod.clone(), &json!({"nodeName": "a"})))).await
    }

    /// Each is refused by a rule of the platform, in a template; and as a pod, by whoever comes first.
    async fn each_pod_is_refused(&self, attacks: &[(&str, Value)]) -> anyhow::Result<()> {
        for (what, patch) in attacks {
            let pod = merged(self.pod.clone(), patch);
            let told = self.make(&self.deployment(&pod)).await?;
            let by_us = |told: &Answer| told.as_ref().is_err_and(|said| said.contains("'toolforge-"));
            ensure!(by_us(&told), "{what}, in a template: {told:?}");
            let told = self.make(&self.object("v1", "Pod", &json!({"spec": pod}))).await?;
            ensure!(told.is_err(), "{what}, as a pod: {told:?}");
        }
        Ok(())
    }
}

/// Waits until the server refuses this object by one of our rules.
async fn until_held(client: &kube::Client, probe: &Value) -> anyhow::Result<()> {
    let denied = async {
        while !try_to_make(client, MALLORY, probe).await?.is_err_and(|said| said.contains("'toolforge-")) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SOON, denied).await.context("the rules are never held")?
}

fn container(patch: &Value) -> Value {
    let container = json!({
        "name": "main", "image": format!("registry.elsewhere.example/evil@{DIGEST}"),
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    merged(container, patch)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_makes_in_a_tool_s_namespace_is_held_to_the_platform_s_rules() -> anyhow::Result<()> {
    let platform = Platform::prepare("tenancy", Route::Ingress).await?;
    let ground = Ground::new(&platform).await?;
    // Nothing is wrong with what the attacks begin from.
    for object in [ground.deployment(&ground.pod), ground.object("v1", "Pod", &json!({"spec": ground.pod}))] {
        let told = ground.make(&object).await?;
        ensure!(told.is_ok(), "{told:?}");
    }
    let image = ground.pod["containers"][0]["image"].clone();
    let own = |patch: Value| json!({"containers": [container(&merged(json!({"image": image}), &patch))]});
    let volume = |source: Value| json!({"volumes": [merged(json!({"name": "a"}), &source)]});
    let token = json!({"sources": [{"serviceAccountToken": {"path": "token"}}]});
    ground
        .each_pod_is_refused(&[
            ("a folder of the node", volume(json!({"hostPath": {"path": "/"}}))),
            ("a projected token", volume(json!({"projected": token}))),
            ("a secret as a file", volume(json!({"secret": {"secretName": "toolforge-secret-key"}}))),
            ("a volume of somebody else's", volume(json!({"nfs": {"server": "nfs.example", "path": "/"}}))),
            ("scratch space without end", volume(json!({"emptyDir": {}}))),
            ("the API's token", json!({"automountServiceAccountToken": true})),
            ("the deployer's account", json!({"serviceAccountName": "toolforge-deployer", "serviceAccount": "toolforge-deployer"})),
            ("a device", own(json!({"resources": {"limits": {"devices.example/gpu": "1"}}}))),
            ("more than any tool may have", own(json!({"resources": {"limits": {"cpu": "100", "memory": "1Ti"}}}))),
            ("sysctls", json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}})),
            ("the node's network", json!({"hostNetwork": true})),
            ("a port of the node", own(json!({"ports": [{"containerPort": 80, "hostPort": 80}]}))),
            ("root", json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": false}})),
            ("another tool's user", json!({"securityContext": {"runAsUser": 50_001}})),
            ("another group", json!({"securityContext": {"supplementalGroups": [50_001]}})),
            ("a node of its choice", json!({"nodeName": "control-plane"})),
            ("a critical priority", json!({"priorityClassName": "system-node-critical"})),
            ("every taint", json!({"tolerations": [{"operator": "Exists"}]})),
            ("a privileged sidecar", json!({"initContainers": [container(&json!({"name": "side", "image": image,
                "restartPolicy": "Always", "securityContext": {"privileged": true, "allowPrivilegeEscalation": true}}))]})),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_from_where_the_platform_allows_it_and_by_digest() -> anyhow::Result<()> {
    let platform = Platform::prepare("imagery", Route::Ingress).await?;
    let ground = Ground::new(&platform).await?;
    let registry = platform.registry()?.address().to_owned();
    let of = |image: String| json!({"containers": [container(&json!({"image": image}))]});
    let own = of(format!("{registry}/tool-{}/web@{DIGEST}", ground.tool.name()));
    let told = ground.make(&ground.deployment(&merged(ground.pod.clone(), &own))).await?;
    ensure!(told.is_ok(), "{told:?}");
    ground
        .each_pod_is_refused(&[
            ("a foreign registry", of(format!("registry.elsewhere.example/web@{DIGEST}"))),
            ("a registry whose name begins alike", of(format!("{registry}.evil.example/library/web@{DIGEST}"))),
            ("a folder whose name begins alike", of(format!("{registry}/library-evil/web@{DIGEST}"))),
            ("another tool's", of(format!("{registry}/tool-another/web@{DIGEST}"))),
            ("a way around", of(format!("{registry}/library/../tool-another/web@{DIGEST}"))),
            ("by tag", of(format!("{registry}/library/web:1"))),
            ("without a tag", of(format!("{registry}/library/web"))),
            ("with userinfo", of(format!("{registry}@registry.elsewhere.example/web@{DIGEST}"))),
            ("with credentials", of(format!("user:password@{registry}/library/web@{DIGEST}"))),
            ("by half a digest", of(format!("{registry}/library/web@{}", &DIGEST[..20]))),
        ])
        .await?;
    // Into a pod that runs, nobody gets in by an ephemeral container either.
    let pod = ground.object("v1", "Pod", &json!({"spec": ground.pod}));
    let uri = collection(&pod)?;
    ask(&ground.client, MALLORY, Method::POST, &uri, &pod).await?.map_err(anyhow::Error::msg)?;
    let foreign = container(&json!({"name": "debug"}));
    let other_user = container(&json!({"name": "debug", "image": ground.pod["containers"][0]["image"],
        "securityContext": {"runAsUser": 50_001}}));
    let good = container(&json!({"name": "debug", "image": ground.pod["containers"][0]["image"]}));
    for (ephemeral, is_refused) in [(foreign, true), (other_user, true), (good, false)] {
        let told = ground.get_into(&format!("{uri}/probe"), &ephemeral).await?;
        let by_us = told.as_ref().is_err_and(|said| said.contains("'toolforge-"));
        ensure!(by_us == is_refused && told.is_err() == is_refused, "{ephemeral}: {told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_has_its_own_host_and_nobody_else_has_its_marks() -> anyhow::Result<()> {
    let platform = Platform::prepare("hosts", Route::Ingress).await?;
    let ground = Ground::new(&platform).await?;
    let name = ground.tool.name().to_owned();
    let backend = json!({"service": {"name": "web", "port": {"number": 8000}}});
    let ingress = |host: Value| {
        let http = json!({"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]});
        let rule = merged(json!({"http": http}), &json!({"host": host}));
        ground.object("networking.k8s.io/v1", "Ingress", &json!({"spec": {"rules": [rule]}}))
    };
    let route = |hosts: Value| {
        ground.object("gateway.networking.k8s.io/v1", "HTTPRoute", &json!({"spec": {"hostnames": hosts}}))
    };
    let own = format!("{name}.hosts.example");
    for object in [ingress(json!(own)), route(json!([own]))] {
        let told = ground.make(&object).await?;
        ensure!(told.is_ok(), "{told:?}");
    }
    let others = [
        "another.hosts.example".to_owned(),
        format!("a.{own}"),
        "hosts.example".to_owned(),
        "*.hosts.example".to_owned(),
        format!("*.{own}"),
        format!("{own}."),
        own.to_uppercase(),
        format!("{own}.evil.example"),
        own.replace("hosts", "h\u{f6}sts"),
        own.replace("hosts", "xn--hsts-6qa"),
        own.replace('.', "\u{ff0e}"),
        String::new(),
    ];
    for host in others {
        for object in [ingress(json!(host)), route(json!([host])), route(json!([own, host]))] {
            let told = ground.make(&object).await?;
            ensure!(told.is_err(), "{host:?}: {told:?}");
        }
    }
    let told = ground.make(&route(json!([]))).await?;
    ensure!(told.is_err(), "a route for every host: {told:?}");
    let snippet = json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/server-snippet": "return 200;"}}});
    let told = ground.make(&merged(ingress(json!(own)), &snippet)).await?;
    ensure!(told.is_err(), "a snippet: {told:?}");

    let services = [
        json!({"type": "NodePort"}),
        json!({"type": "LoadBalancer"}),
        json!({"externalIPs": ["192.0.2.1"]}),
        json!({"type": "ExternalName", "externalName": "another.example"}),
    ];
    for spec in services {
        let spec = merged(json!({"ports": [{"port": 80}]}), &spec);
        let told = ground.make(&ground.object("v1", "Service", &json!({"spec": spec}))).await?;
        ensure!(told.is_err(), "{spec}: {told:?}");
    }
    let marks = ["toolforge.org/tool", "toolforge.org/platform", "applyset.kubernetes.io/part-of"];
    for mark in marks {
        let labels = json!({"metadata": {"labels": {mark: name}}});
        for (api_version, kind) in [("v1", "ConfigMap"), ("v1", "Service"), ("apps/v1", "Deployment")] {
            let bare = match kind {
                "Service" => ground.object(api_version, kind, &json!({"spec": {"ports": [{"port": 80}]}})),
                "Deployment" => ground.deployment(&ground.pod),
                _ => ground.object(api_version, kind, &json!({})),
            };
            ensure!(ground.make(&bare).await?.is_ok(), "{kind}");
            let told = ground.make(&merged(bare, &labels)).await?;
            ensure!(told.as_ref().is_err_and(|said| said.contains(mark)), "{kind} with {mark}: {told:?}");
        }
    }
    Ok(())
}

/// Two platforms share the cluster: what the one allows its tools says nothing about the other's.
#[tokio::test(flavor = "multi_thread")]
async fn each_platform_of_a_cluster_has_its_own_rules_and_a_rule_that_is_no_more_is_gone() -> anyhow::Result<()> {
    let platform = Platform::prepare("rulers", Route::Ingress).await?;
    let ground = Ground::new(&platform).await?;
    let row = kind_of("ValidatingAdmissionPolicyBinding")?;
    let bindings = api_of(platform.client().clone(), row, None);
    let list = bindings.list(&kube::api::ListParams::default().labels("toolforge.org/platform=rulers")).await?;
    ensure!(list.items.len() == policy::SHIPPED.len(), "{:?}", list.items);
    // One that a former version had, as it left it.
    let former = json!({
        "apiVersion": row.api_version(), "kind": row.kind,
        "metadata": {"name": "toolforge-former.rulers", "labels": {"toolforge.org/platform": "rulers"}},
        "spec": {"policyName": "toolforge-former.rulers", "validationActions": ["Deny"]},
    });
    let ours = kube::api::PatchParams::apply(reconciler::execute::FIELD_MANAGER).force();
    bindings.patch("toolforge-former.rulers", &ours, &kube::api::Patch::Apply(&former)).await?;
    // And one that only says it is ours.
    let mut foreign = former.clone();
    foreign["metadata"]["name"] = "rulers-foreign".into();
    bindings.create(&kube::api::PostParams::default(), &serde_json::from_value(foreign)?).await?;
    platform.commit_setting("allowed_images: [registry.elsewhere.example/]")?;
    let gone = async || Ok(bindings.get_opt("toolforge-former.rulers").await?.is_none().then_some(()));
    platform.until("the former rule is gone", gone).await?;
    ensure!(bindings.get_opt("rulers-foreign").await?.is_some(), "somebody else's was deleted");
    let image = json!({"containers": [container(&json!({}))]});
    let allowed = ground.deployment(&merged(ground.pod.clone(), &image));
    let admitted = async || Ok(ground.make(&allowed).await?.is_ok().then_some(()));
    platform.until("the other registry is allowed", admitted).await
}

/// The objects of a revision, each with the image it could have, and as whom it is sent.
fn objects(rendered: &Rendered, registry: &str) -> anyhow::Result<Vec<(Identity, Object)>> {
    let mut objects: Vec<_> = rendered.objects.iter().map(|one| (identity::of(&one.id), one.clone())).collect();
    for component in &rendered.components {
        let reference = match &component.image {
            Image::Prebuilt { reference } => reference.clone(),
            Image::Built { repository, build } => format!("{repository}:{build}"),
            // Its place is known also where its source is not.
            Image::Unresolved { .. } => format!("{registry}/{}/{}", rendered.namespace, component.name),
        };
        let made = component.at(&PinnedImage { reference, digest: Digest::new(DIGEST)? }).0;
        objects.extend(made.into_iter().map(|one| (identity::of_component(&one), one)));
    }
    Ok(objects)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_render_of_every_example_is_admitted() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    let client = plane.client().await?;
    people(&client).await?;
    let mut examples = Vec::new();
    for case in tests::golden::cases("render")? {
        let mut subject = case.newest(Moment::from_unix_secs(0))?;
        let name = format!("x-{}", case.name());
        subject.tool.name = ToolName::new(&name)?;
        (subject.platform.name, subject.platform.namespace) = (name.clone(), format!("platform-{name}"));
        subject.platform.builds = None;
        subject.admission = Admission::shipped(&subject.platform, std::slice::from_ref(&subject.tool)).into();
        own::publish(&client, &subject.platform, &subject.admission).await?;
        own::publish_rules(&client, &subject.platform, &subject.admission).await?;
        let Ok(revision) = &subject.newest else { bail!("{name} has no revision") };
        let objects =
            objects(&subject.render(revision), &subject.platform.registry.host).with_context(|| name.clone())?;
        let namespace = objects.iter().find(|(_, object)| object.id.kind == "Namespace").context("a namespace")?;
        let api = api_of(client.clone(), kind_of("Namespace")?, None);
        api.create(&kube::api::PostParams::default(), &serde_json::from_value(namespace.1.value.clone())?).await?;
        examples.push((name, objects));
    }
    let (mut judged, mut refused) = (0, Vec::new());
    for (name, objects) in &examples {
        let metadata = json!({"name": "probe", "namespace": format!("tool-{name}")});
        let ports = json!([{"port": 80}]);
        let probe = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"type": "NodePort", "ports": ports}});
        until_held(&client, &probe).await.with_context(|| name.clone())?;
        let deployer = format!("system:serviceaccount:tool-{name}:toolforge-deployer");
        for (by, object) in objects.iter().filter(|(_, object)| object.id.namespace.is_some()) {
            judged += 1;
            let user = if *by == Identity::Platform { ADMIN } else { &deployer };
            let told = try_to_make(&client, user, &object.value).await?;
            refused.extend(told.err().map(|said| format!("{}: {said}", object.id)));
        }
    }
    ensure!(refused.is_empty(), "{} of {judged} are refused:\n{}", refused.len(), refused.join("\n"));
    Ok(())
}

const FEW: &str = include_str!("../../../policy/tests/own/few.yaml");
const FEW_CASES: &str = include_str!("../../../policy/tests/own/few.cases.yaml");

fn rule(text: &str) -> [(&'static str, String); 2] {
    [("policies/few.yaml", text.to_owned()), ("policies/few.cases.yaml", FEW_CASES.to_owned())]
}

/// Commits a rule of the operators.
fn commit_rule(platform: &Platform, text: &str) -> anyhow::Result<()> {
    let files = rule(text);
    let files: Vec<_> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
    platform.config().commit(&files).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_the_operators_holds_everyone_and_a_broken_one_leaves_the_last_good() -> anyhow::Result<()> {
    let platform = Platform::prepare("ownrules", Route::Ingress).await?;
    let image = prebuilt(&platform, "web").await?;
    commit_rule(&platform, FEW)?;
    platform.run().await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    let many = web(&image).replace("publish: /", "publish: /, replicas: 5");
    tool.commit(&many)?;
    let said = tool.reason("Ready", "Denied").await?.message;
    ensure!(said.contains("toolforge.yaml:4:") && said.contains("rule few-replicas refuses"), "{said}");
    let kubectl = async || {
        let words = ["patch", "deployment/web", "--type=merge", "-p", r#"{"spec": {"replicas": 7}}"#];
        Ok(tool.kubectl(&words).await.is_err_and(|e| e.to_string().contains("few-replicas.ownrules")).then_some(()))
    };
    platform.until("kubectl is held to it", kubectl).await?;

    // Neither what can't be read, nor what only the server can see is wrong, opens anything.
    commit_rule(&platform, &FEW.replace("object.spec", "objct.spec"))?;
    let told = async || Ok(platform.log().has("the last good ones hold").then_some(()));
    platform.until("the broken rule is told", told).await?;
    let typed = "\"(object.metadata.name == 'none' ? 1 : 'a') != 2 && object.spec.replicas <= 3\"";
    platform.stop().await?;
    platform.run().await?;
    platform.polled().await?;
    ensure!(kubectl().await?.is_some(), "a start without the rule took it away");
    commit_rule(&platform, &FEW.replace("object.spec.replicas <= 3", typed))?;
    let told = async || Ok(platform.log().has("the API server refuses").then_some(()));
    platform.until("the server's words are told", told).await?;
    ensure!(kubectl().await?.is_some(), "a rule that the server refuses took the last good one away");
    tool.reason("Ready", "Denied").await?;
    // Nor is it sent with each poll.
    platform.polled_times(3).await?;
    let mark = platform.plane().mark()?;
    platform.polled_times(12).await?;
    let asked = platform.requests_since(mark)?;
    let tries = asked.iter().filter(|one| one.verb == "patch" && one.resource == "validatingadmissionpolicies").count();
    ensure!(tries <= 6, "{tries} tries in 12 polls");

    // Who is allowed more, gets it; and what is no rule any more is gone.
    platform.config().commit_entries(
        "main",
        &[
            ("policies/few.yaml", tests::git_server::Entry::Gone),
            ("policies/few.cases.yaml", tests::git_server::Entry::Gone),
        ],
    )?;
    tool.ready().await?;
    tool.until("Deployment", "web", "has 5 replicas", |web| web["spec"]["replicas"] == 5).await?;
    let none = async || {
        let found = platform.object("ValidatingAdmissionPolicy", None, "few-replicas.ownrules").await?;
        Ok(found.is_none().then_some(()))
    };
    platform.until("the rule is gone", none).await
}
