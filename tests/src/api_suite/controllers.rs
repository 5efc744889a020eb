//! What stands behind the API: enough of it that readiness means the same on both.

use super::{Place, deployment, eventually, until};
use anyhow::ensure;
use kube::Client;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == kind)
}

fn holds(object: &DynamicObject, kind: &str) -> bool {
    condition(object, kind).is_some_and(|one| one["status"] == "True")
}

fn is_rolled_out(object: &DynamicObject, replicas: i64) -> bool {
    let status = &object.data["status"];
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    let complete = condition(object, "Progressing").is_some_and(|one| one["reason"] == "NewReplicaSetAvailable");
    complete
        && status["observedGeneration"].as_i64() == object.metadata.generation
        && counts.iter().all(|count| status[*count] == replicas)
        && status.get("unavailableReplicas").is_none()
}

/// Owners all the way down.
pub async fn a_deployment_becomes_available_through_its_replica_set(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let made = place.apply("one", &deployment("web", 2)).await?;
    let live = until(&place.deployments(), "web", |one| is_rolled_out(one, 2)).await?;
    ensure!(holds(&live, "Available") && live.metadata.generation == Some(1));
    ensure!(
        live.metadata
            .annotations
            .is_some_and(|all| all.get("deployment.kubernetes.io/revision").is_some_and(|one| one == "1"))
    );
    let sets = place.api("apps/v1", "ReplicaSet").list(&ListParams::default()).await?;
    ensure!(sets.items.len() == 1);
    let set = &sets.items[0].metadata;
    ensure!(set.owner_references.iter().flatten().any(|owner| Some(&owner.uid) == made.metadata.uid.as_ref()));
    let pods = place.api("v1", "Pod").list(&ListParams::default().labels("name=web")).await?;
    ensure!(pods.items.len() == 2);
    for pod in &pods.items {
        ensure!(pod.metadata.owner_references.iter().flatten().any(|owner| Some(&owner.uid) == set.uid.as_ref()));
        ensure!(pod.data["status"]["phase"] == "Running" && holds(pod, "Ready"));
        ensure!(pod.metadata.namespace.as_ref() == Some(&place.namespace));
    }
    Ok(())
}

/// And the old ReplicaSet is kept without pods.
pub async fn a_new_template_replaces_the_old_pods(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &deployment("web", 1)).await?;
    until(&place.deployments(), "web", |one| is_rolled_out(one, 1)).await?;
    let mut object = deployment("web", 1);
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example/web:2");
    let changed = place.apply("one", &object).await?;
    ensure!(changed.metadata.generation == Some(2));
    until(&place.deployments(), "web", |one| is_rolled_out(one, 1)).await?;
    let sets = place.api("apps/v1", "ReplicaSet").list(&ListParams::default()).await?;
    let mut replicas: Vec<i64> = sets.items.iter().filter_map(|set| set.data["spec"]["replicas"].as_i64()).collect();
    replicas.sort_unstable();
    ensure!(replicas == [0, 1], "{replicas:?}");
    eventually(|| async {
        let pods = place.api("v1", "Pod").list(&ListParams::default()).await?;
        let images: Vec<&Value> = pods.items.iter().map(|pod| &pod.data["spec"]["containers"][0]["image"]).collect();
        Ok((images == ["registry.example/web:2"]).then_some(()))
    })
    .await
}

/// With everything kstatus looks at.
pub async fn a_job_completes(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "once", "image": "registry.example/once:1"}]}},
        },
    });
    let made = place.apply("one", &job).await?;
    let uid = made.metadata.uid.clone().unwrap_or_default();
    ensure!(made.data["spec"]["selector"]["matchLabels"] == json!({"batch.kubernetes.io/controller-uid": uid}));
    let done = until(&place.api("batch/v1", "Job"), "once", |one| holds(one, "Complete")).await?;
    let status = &done.data["status"];
    ensure!(status["succeeded"] == 1 && status.get("active").is_none(), "{status}");
    ensure!(status["startTime"].is_string() && status["completionTime"].is_string(), "{status}");
    let pods = place.api("v1", "Pod").list(&ListParams::default().labels("job-name=once")).await?;
    ensure!(pods.items.len() == 1 && pods.items[0].data["status"]["phase"] == "Succeeded");
    Ok(())
}

/// One may go.
pub async fn a_budget_counts_its_pods(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"name": "web"}}},
    });
    place.apply("one", &deployment("web", 2)).await?;
    place.apply("one", &budget).await?;
    let counted = |one: &DynamicObject| {
        let status = &one.data["status"];
        ["expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"].map(|count| status[count].as_i64())
            == [Some(2), Some(2), Some(1), Some(1)]
    };
    let live = until(&place.api("policy/v1", "PodDisruptionBudget"), "web", counted).await?;
    ensure!(live.data["status"]["observedGeneration"] == 1 && holds(&live, "DisruptionAllowed"));
    Ok(())
}

/// Objects and what pods ask for.
pub async fn a_quota_counts_what_is_there(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tool"},
        "spec": {"hard": {"count/deployments.apps": "4", "pods": "10", "limits.cpu": "2", "limits.memory": "1Gi"}},
    });
    place.apply("one", &quota).await?;
    until(&place.api("v1", "ResourceQuota"), "tool", |one| one.data["status"]["used"].is_object()).await?;
    let mut object = deployment("web", 2);
    object["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"limits": {"cpu": "500m", "memory": "256Mi"}});
    place.apply("one", &object).await?;
    let wanted = json!({"count/deployments.apps": "1", "pods": "2", "limits.cpu": "1", "limits.memory": "512Mi"});
    let live = until(&place.api("v1", "ResourceQuota"), "tool", |one| one.data["status"]["used"] == wanted).await?;
    ensure!(live.data["status"]["hard"] == quota["spec"]["hard"]);
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    place.api("v1", "ResourceQuota").patch("tool", &PatchParams::default(), &label).await?;
    Ok(())
}
