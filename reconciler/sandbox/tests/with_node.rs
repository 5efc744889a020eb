//! What a sandbox does where a node runs the pods: it binds them, follows what the node says, gives it time to stop them,
//! makes Jobs on schedule, and shows their logs. The test is the node.

use anyhow::Context as _;
use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::time::Duration;

struct World {
    sandbox: Sandbox,
    logs: tempfile::TempDir,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let start = "2026-01-01T00:00:30Z".parse()?;
        let world = Self { sandbox: Sandbox::in_memory_at(start, 7), logs: tempfile::tempdir()? };
        world.sandbox.attach_node(world.logs.path());
        Ok(world)
    }

    fn client(&self) -> kube::Client {
        kube::Client::new(self.sandbox.service(), "default")
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client())
    }

    fn api(&self, group: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        Api::default_namespaced_with(self.client(), &resource)
    }

    async fn create(&self, group: &str, kind: &str, name: &str, spec: Value) -> anyhow::Result<()> {
        let object =
            json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": name}, "spec": spec});
        self.api(group, kind).create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        settle().await;
        Ok(())
    }

    async fn names(&self) -> anyhow::Result<Vec<String>> {
        let pods = self.pods().list(&ListParams::default()).await?;
        Ok(pods.items.into_iter().filter_map(|pod| pod.metadata.name).collect())
    }

    async fn only_pod(&self) -> anyhow::Result<String> {
        let names = self.names().await?;
        anyhow::ensure!(names.len() == 1, "one pod: {names:?}");
        names.into_iter().next().context("a pod")
    }

    async fn says(&self, pod: &str, status: Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"status": status}));
        self.pods().patch_status(pod, &PatchParams::default(), &patch).await?;
        settle().await;
        Ok(())
    }

    async fn at(&self, group: &str, kind: &str, name: &str, pointer: &str) -> anyhow::Result<Value> {
        let object = serde_json::to_value(self.api(group, kind).get(name).await?)?;
        Ok(object.pointer(pointer).cloned().unwrap_or_default())
    }
}

/// The controllers look, several times over. Time is paused: nobody waits.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

async fn secs(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}

fn template(more: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "web", "image": "x"}]});
    spec.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    json!({"metadata": {"labels": {"app": "web"}}, "spec": spec})
}

fn ready() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
}

fn failed() -> Value {
    json!({"phase": "Failed"})
}

fn deployment(strategy: &str) -> Value {
    json!({
        "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "strategy": {"type": strategy},
        "template": template(json!({"terminationGracePeriodSeconds": 15})),
    })
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_ready_when_the_node_says_so_and_not_before() -> anyhow::Result<()> {
    let world = World::new()?;
    world.create("apps", "Deployment", "web", deployment("RollingUpdate")).await?;
    let pod = world.only_pod().await?;
    let bound = world.pods().get(&pod).await?.spec.and_then(|spec| spec.node_name);
    assert_eq!(bound.as_deref(), Some(sandbox::NODE));
    assert_eq!(world.at("apps", "Deployment", "web", "/status/readyReplicas").await?, Value::Null);
    world.says(&pod, ready()).await?;
    assert_eq!(world.at("apps", "Deployment", "web", "/status/readyReplicas").await?, json!(1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_there_until_the_node_has_stopped_it() -> anyhow::Result<()> {
    let world = World::new()?;
    world.create("apps", "Deployment", "web", deployment("Recreate")).await?;
    let old = world.only_pod().await?;
    world.says(&old, ready()).await?;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "y"}]}}}});
    world.api("apps", "Deployment").patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await?;
    settle().await;
    let terminating = world.pods().get(&old).await?.metadata;
    assert_eq!(terminating.deletion_grace_period_seconds, Some(15));
    assert_eq!(world.names().await?, [old.as_str()], "Recreate waits for the last old one");
    world.says(&old, json!({"phase": "Running"})).await?;
    assert_eq!(world.names().await?, [old.as_str()], "a status is no end");
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.pods().delete(&old, &now).await?;
    settle().await;
    assert_ne!(world.only_pod().await?, old);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_failing_job_is_tried_again_with_pauses_until_its_limit() -> anyhow::Result<()> {
    let world = World::new()?;
    let spec = json!({"backoffLimit": 1, "template": template(json!({"restartPolicy": "Never"}))});
    world.create("batch", "Job", "job", spec).await?;
    let first = world.only_pod().await?;
    let ended = json!({"name": "web", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:31Z"}}});
    world.says(&first, json!({"phase": "Failed", "containerStatuses": [ended]})).await?;
    assert_eq!(world.names().await?.len(), 1, "not at once");
    secs(10).await;
    let names = world.names().await?;
    let second = names.iter().find(|name| **name != first).context("a second try")?;
    world.says(second, failed()).await?;
    assert_eq!(world.at("batch", "Job", "job", "/status/conditions/1/reason").await?, json!("BackoffLimitExceeded"));
    assert_eq!(world.at("batch", "Job", "job", "/status/failed").await?, json!(2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_job_past_its_deadline_is_stopped_and_then_failed() -> anyhow::Result<()> {
    let world = World::new()?;
    let spec = json!({"activeDeadlineSeconds": 60, "template": template(json!({"restartPolicy": "Never"}))});
    world.create("batch", "Job", "job", spec).await?;
    let pod = world.only_pod().await?;
    world.says(&pod, ready()).await?;
    secs(60).await;
    assert!(world.pods().get(&pod).await?.metadata.deletion_timestamp.is_some());
    assert_eq!(world.at("batch", "Job", "job", "/status/conditions/0/type").await?, json!("FailureTarget"));
    assert_eq!(world.at("batch", "Job", "job", "/status/conditions/1").await?, Value::Null, "its pod still runs");
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.pods().delete(&pod, &now).await?;
    settle().await;
    assert_eq!(world.at("batch", "Job", "job", "/status/conditions/1/type").await?, json!("Failed"));
    assert_eq!(world.at("batch", "Job", "job", "/status/conditions/1/reason").await?, json!("DeadlineExceeded"));
    Ok(())
}

fn cron_job(more: Value) -> Value {
    let job = json!({"spec": {"template": template(json!({"restartPolicy": "Never"}))}});
    let mut spec = json!({"schedule": "* * * * *", "jobTemplate": job});
    spec.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    spec
}

impl World {
    async fn jobs(&self) -> anyhow::Result<Vec<String>> {
        let jobs = self.api("batch", "Job").list(&ListParams::default()).await?;
        Ok(jobs.items.into_iter().filter_map(|job| job.metadata.name).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_makes_one_job_each_time_and_keeps_only_some() -> anyhow::Result<()> {
    let world = World::new()?;
    world.create("batch", "CronJob", "cron", cron_job(json!({"successfulJobsHistoryLimit": 1}))).await?;
    assert_eq!(world.jobs().await?, Vec::<String>::new());
    for minute in 0..3 {
        secs(60).await;
        let pods = world.pods().list(&ListParams::default().fields("status.phase=Pending")).await?;
        let names: Vec<_> = pods.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
        anyhow::ensure!(names.len() == 1, "minute {minute}: {names:?}");
        world.says(&names[0], json!({"phase": "Succeeded"})).await?;
    }
    let minute = "2026-01-01T00:03:00Z".parse::<jiff::Timestamp>()?.as_second() / 60;
    assert_eq!(world.jobs().await?, [format!("cron-{minute}")]);
    let last = world.at("batch", "CronJob", "cron", "/status/lastScheduleTime").await?;
    assert_eq!(last, json!("2026-01-01T00:03:00Z"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn policies_of_a_cron_job_are_kept() -> anyhow::Result<()> {
    for (more, expected) in [
        (json!({"concurrencyPolicy": "Allow"}), 2),
        (json!({"concurrencyPolicy": "Forbid"}), 1),
        (json!({"concurrencyPolicy": "Replace"}), 1),
        (json!({"suspend": true}), 0),
        // Half past four in Kathmandu is at a quarter to eleven elsewhere.
        (json!({"schedule": "46 5 * * *", "timeZone": "Asia/Kathmandu"}), 1),
        (json!({"schedule": "46 5 * * *"}), 0),
    ] {
        let world = World::new()?;
        world.create("batch", "CronJob", "cron", cron_job(more.clone())).await?;
        secs(60).await;
        let first = world.jobs().await?;
        secs(60).await;
        let jobs = world.jobs().await?;
        assert_eq!(jobs.len(), expected, "{more}: {jobs:?}");
        let is_replaced = first != jobs && jobs.len() == 1 && first.len() == 1;
        assert_eq!(is_replaced, more["concurrencyPolicy"] == "Replace", "{more}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn of_missed_times_only_the_last_is_made_up_for_if_it_is_not_too_late() -> anyhow::Result<()> {
    for (more, expected) in [(json!({}), 1), (json!({"startingDeadlineSeconds": 10}), 0)] {
        let world = World::new()?;
        let mut suspended = cron_job(more.clone());
        suspended["suspend"] = json!(true);
        world.create("batch", "CronJob", "cron", suspended).await?;
        secs(300).await;
        let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
        world.api("batch", "CronJob").patch("cron", &PatchParams::default(), &patch).await?;
        settle().await;
        assert_eq!(world.jobs().await?.len(), expected, "{more}");
    }
    Ok(())
}

#[tokio::test]
async fn logs_come_from_the_nodes_files_and_are_followed_to_the_end_of_the_container() -> anyhow::Result<()> {
    let world = World::new()?;
    let spec = json!({"backoffLimit": 0, "template": template(json!({"restartPolicy": "Never"}))});
    world.create("batch", "Job", "job", spec).await?;
    let pod = world.only_pod().await?;
    let uid = world.pods().get(&pod).await?.metadata.uid.context("a uid")?;
    let waiting = world.pods().logs(&pod, &LogParams::default()).await.expect_err("nothing runs");
    assert!(waiting.to_string().contains("waiting to start"), "{waiting}");
    let folder = world.logs.path().join(format!("default_{pod}_{uid}/web"));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("0.log"), "2026-01-01T00:00:31Z stdout F one\n")?;
    let state = |state: Value| {
        let status =
            json!({"name": "web", "image": "x", "imageID": "x", "ready": false, "restartCount": 0, "state": state});
        json!({"phase": "Running", "containerStatuses": [status]})
    };
    world.says(&pod, state(json!({"running": {}}))).await?;
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut stream = std::pin::pin!(world.pods().log_stream(&pod, &follow).await?);
    let mut begun = [0; 4];
    stream.read_exact(&mut begun).await?;
    assert_eq!(&begun, b"one\n");
    let more = "2026-01-01T00:00:31Z stdout F one\n2026-01-01T00:00:32Z stderr F two\n";
    std::fs::write(folder.join("0.log"), more)?;
    world.says(&pod, state(json!({"terminated": {"exitCode": 0}}))).await?;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    assert_eq!(rest, "two\n");
    let other = LogParams { container: Some("web".to_owned()), previous: true, ..LogParams::default() };
    let refused = world.pods().logs(&pod, &other).await.expect_err("it ran once");
    assert!(refused.to_string().contains("previous terminated container"), "{refused}");
    Ok(())
}
