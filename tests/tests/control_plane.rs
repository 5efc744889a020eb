//! The harness itself: what the other tests stand on is really there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{Condition, await_condition};
use serde_json::json;
use tests::control_plane::{ControlPlane, INTRUDER};
use tests::git_server::{Entry, Fault, GitServer, Service};
use tests::registry::{Image, Registry};

const SOON: Duration = Duration::from_secs(30);

async fn namespace(plane: &ControlPlane, name: &str) -> anyhow::Result<kube::Client> {
    let client = plane.client().await?;
    let metadata = ObjectMeta { name: Some(name.into()), ..Default::default() };
    let namespace = Namespace { metadata, ..Default::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(client)
}

async fn until<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> anyhow::Result<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    let waiting = await_condition(api.clone(), name, condition);
    let found = tokio::time::timeout(SOON, waiting).await.with_context(|| format!("{name} within {SOON:?}"))??;
    found.with_context(|| format!("{name} is gone"))
}

fn deployment(name: &str, args: &[&str]) -> anyhow::Result<Deployment> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"name": name}},
            "template": {
                "metadata": {"labels": {"name": name}},
                "spec": {"containers": [{"name": "web", "image": "registry.example/web:1", "args": args}]},
            },
        },
    }))?)
}

fn job(name: &str, args: &[&str]) -> anyhow::Result<Job> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "once", "image": "registry.example/once:1", "args": args}],
            }},
        },
    }))?)
}

fn job_has(condition: &'static str) -> impl Condition<Job> {
    move |job: Option<&Job>| {
        let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == condition && one.status == "True"))
    }
}

#[tokio::test]
async fn a_deployment_becomes_available() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    plane.require_controllers()?;
    let client = namespace(plane, "deployment").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "deployment");
    let apply = Patch::Apply(deployment("web", &[])?);
    let parameters = PatchParams { field_manager: Some("tests".into()), ..Default::default() };
    deployments.patch("web", &parameters, &apply).await?;
    let available = |deployment: Option<&Deployment>| {
        deployment.and_then(|deployment| deployment.status.as_ref()?.available_replicas) == Some(2)
    };
    until(&deployments, "web", available).await?;
    Ok(())
}

#[tokio::test]
async fn a_job_completes_unless_its_fate_is_another() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    plane.require_controllers()?;
    let jobs: Api<Job> = Api::namespaced(namespace(plane, "jobs").await?, "jobs");
    jobs.create(&PostParams::default(), &job("good", &[])?).await?;
    jobs.create(&PostParams::default(), &job("bad", &["fate=exit"])?).await?;
    until(&jobs, "good", job_has("Complete")).await?;
    until(&jobs, "bad", job_has("Failed")).await?;
    Ok(())
}

#[tokio::test]
async fn a_fate_keeps_pods_from_becoming_ready() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    plane.require_controllers()?;
    let client = namespace(plane, "fates").await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "fates");
    for (fate, reason) in [("crash-loop", "CrashLoopBackOff"), ("image-pull", "ImagePullBackOff")] {
        let deployment = deployment(fate, &["serve", &format!("fate={fate}")])?;
        Api::namespaced(client.clone(), "fates").create(&PostParams::default(), &deployment).await?;
        let of_fate = ListParams::default().labels(&format!("name={fate}"));
        let found = poll(async || {
            let pods = pods.list(&of_fate).await?.items;
            Ok(pods.into_iter().find(|pod| waiting_reason(pod).is_some()))
        });
        let pod = found.await?;
        ensure!(waiting_reason(&pod) == Some(reason), "{pod:?}");
    }
    Ok(())
}

fn waiting_reason(pod: &Pod) -> Option<&str> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.first()?.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

/// Asks again, with a deadline, until there is something.
async fn poll<T>(mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let asking = async {
        loop {
            if let Some(found) = ask().await? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, asking).await?
}

#[tokio::test]
async fn the_gateway_api_is_served() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    plane.require_controllers()?;
    let client = namespace(plane, "gateway").await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"));
    let routes: Api<DynamicObject> = Api::namespaced_with(client, "gateway", &kind);
    let route = DynamicObject::new("web", &kind).data(
        json!({"spec": {"hostnames": ["web.example"], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}),
    );
    routes.create(&PostParams::default(), &route).await?;
    Ok(())
}

#[tokio::test]
async fn kubectl_works_and_an_intruder_is_refused() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    let output = plane.kubectl(&["get", "namespaces", "--output=name"]).await?;
    ensure!(output.code == 0 && output.stdout.contains("namespace/kube-system"), "{output:?}");
    let refused = plane.kubectl(&["get", "namespaces", &format!("--context={INTRUDER}")]).await?;
    ensure!(refused.code == 1 && refused.stderr.contains("Forbidden"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn the_audit_log_counts_each_request_once() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    let mut config = plane.config(INTRUDER).await?;
    config.headers = vec![("user-agent".parse()?, "audit-test".parse()?)];
    let client = kube::Client::try_from(config)?;
    let mark = plane.mark()?;
    let pods: Api<Pod> = Api::namespaced(client, "default");
    for _ in 0..3 {
        ensure!(pods.get("nobody").await.is_err());
    }
    ensure!(pods.watch(&Default::default(), "0").await.is_err());
    let mine = poll(async || {
        let mut requests = plane.requests_since(mark)?;
        requests.retain(|request| request.user_agent == "audit-test");
        Ok((requests.len() >= 4).then_some(requests))
    });
    let mine: Vec<_> =
        mine.await?.into_iter().map(|request| (request.verb, request.resource, request.status)).collect();
    let get = ("get".to_owned(), "pods".to_owned(), 403);
    ensure!(mine == [get.clone(), get.clone(), get, ("watch".into(), "pods".into(), 403)], "{mine:?}");
    Ok(())
}

fn ls_remote(url: &str) -> anyhow::Result<std::process::Output> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-remote", url]).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
    Ok(git.output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn git_is_served_counted_and_broken_on_request() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    let repository = server.repository("tools/wordcount")?;
    let first = repository.commit(&[("toolforge.yaml", "components: {}\n"), ("docs/read me.md", "hello\n")])?;
    let link = ("link", Entry::Link("../../etc/passwd"));
    let second = repository.commit_entries("beta", &[link, ("docs", Entry::Gone), ("x", Entry::Executable(b"#!"))])?;
    repository.tag("light", &first)?;
    let tag = repository.annotated_tag("v1", &first)?;

    let listed = String::from_utf8(ls_remote(repository.url())?.stdout)?;
    let expect = format!(
        "{first}\tHEAD\n{second}\trefs/heads/beta\n{first}\trefs/heads/main\n{first}\trefs/tags/light\n\
         {tag}\trefs/tags/v1\n{first}\trefs/tags/v1^{{}}\n"
    );
    ensure!(listed == expect, "{listed}");
    ensure!(server.count("tools/wordcount", Service::Advertisement) == 1);
    ensure!(server.count("tools/wordcount", Service::LsRefs) == 1);

    let clone = tempfile::tempdir()?;
    let cloned = std::process::Command::new("git")
        .args(["clone", "--quiet", "--depth=1", repository.url(), "."])
        .current_dir(clone.path())
        .status()?;
    ensure!(cloned.success() && clone.path().join("docs/read me.md").exists());
    ensure!(server.count("tools/wordcount", Service::Fetch) == 1);

    for fault in [Fault::Status(500), Fault::Close, Fault::Garbage, Fault::Login("me".into(), "secret".into())] {
        server.set_fault("tools/wordcount", Some(fault.clone()));
        ensure!(!ls_remote(repository.url())?.status.success(), "{fault:?} did not break it");
    }
    let with_login = repository.url().replace("http://", "http://me:secret@");
    ensure!(ls_remote(&with_login)?.status.success());
    server.set_fault("tools/wordcount", None);
    repository.delete_branch("beta")?;
    let listed = String::from_utf8(ls_remote(repository.url())?.stdout)?;
    ensure!(!listed.contains("beta"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn an_image_is_pushed_and_found_by_digest() -> anyhow::Result<()> {
    let registry = Registry::start_with_login("builder", "secret").await?;
    let labels = BTreeMap::from([("org.example".into(), "yes".into())]);
    let image = Image { layers: &["base", "app"], labels, entrypoint: vec!["/web".into()], ..Image::default() };
    let digest = registry.push("tool-wordcount/web", "1", &image).await?;
    ensure!(digest == registry.push("tool-wordcount/web", "2", &image).await?, "the same image, another digest");
    ensure!(digest == registry.digest("tool-wordcount/web", "1").await?);

    let stranger = oci_client::secrets::RegistryAuth::Anonymous;
    let reference = registry.reference("tool-wordcount/web", "1");
    ensure!(registry.client().fetch_manifest_digest(&reference, &stranger).await.is_err());
    let requests = registry.requests()?;
    ensure!(requests.iter().any(|one| one.method == "PUT" && one.status == 201 && one.user == "builder"));
    ensure!(requests.iter().any(|one| one.status == 401 && one.user.is_empty()));
    Ok(())
}

#[tokio::test]
async fn the_control_plane_has_a_registry_of_its_own() -> anyhow::Result<()> {
    let registry = ControlPlane::shared().await?.registry()?;
    let digest = registry.push("tool-a/web", "1", &Image { layers: &["app"], ..Default::default() }).await?;
    ensure!(digest == registry.digest("tool-a/web", "1").await?);
    ensure!(registry.digest("tool-a/web", "2").await.is_err());
    Ok(())
}
