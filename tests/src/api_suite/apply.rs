//! Server-side apply.

use super::{Place, deployment, fields, managers, map, owned_by, refusal, refused, version};
use anyhow::ensure;
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::json;

/// The same apply again is no write.
pub async fn apply_makes_an_object_and_a_second_one_changes_nothing(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let object = map("a", json!({"x": "1"}));
    let first = place.apply("one", &object).await?;
    // Times are kept to the second: the second apply falls into another one.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let second = place.apply("one", &object).await?;
    ensure!(version(&first) == version(&second) && !version(&first).is_empty());
    ensure!(first == second, "{first:?} {second:?}");
    ensure!(owned_by(&first, "one") == json!({"f:data": {"f:x": {}}}), "{:?}", owned_by(&first, "one"));
    Ok(())
}

/// 409, and the causes name manager and path.
pub async fn a_field_of_another_manager_is_a_conflict_that_names_both(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &map("a", json!({"x": "1", "y": "1", "z": "1"}))).await?;
    let status = refused(place.apply("two", &map("a", json!({"x": "2", "z": "1"}))).await, 409, "Conflict")?;
    ensure!(fields(&status) == [".data.x"], "{status:?}");
    ensure!(status.message == "Apply failed with 1 conflict: conflict with \"one\": .data.x", "{}", status.message);
    let status = refused(place.apply("two", &map("a", json!({"x": "2", "y": "2"}))).await, 409, "Conflict")?;
    ensure!(fields(&status) == [".data.x", ".data.y"], "{status:?}");
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    ensure!(causes.iter().all(|cause| cause.reason == "FieldManagerConflict"), "{causes:?}");
    ensure!(causes.iter().all(|cause| cause.message == "conflict with \"one\""), "{causes:?}");
    ensure!(
        status.message == "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.x\n- .data.y",
        "{}",
        status.message
    );
    Ok(())
}

/// The former owner loses it.
pub async fn force_takes_a_field_from_its_owner(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &map("a", json!({"x": "1", "y": "1"}))).await?;
    let object = map("a", json!({"x": "2"}));
    let taken = place.apply_with(&PatchParams::apply("two").force(), &object).await?;
    ensure!(taken.data["data"] == json!({"x": "2", "y": "1"}));
    ensure!(owned_by(&taken, "one") == json!({"f:data": {"f:y": {}}}), "{:?}", owned_by(&taken, "one"));
    ensure!(owned_by(&taken, "two") == json!({"f:data": {"f:x": {}}}), "{:?}", owned_by(&taken, "two"));
    Ok(())
}

/// Shared fields stay.
pub async fn a_field_that_is_no_longer_applied_is_removed_unless_somebody_else_owns_it(
    client: Client,
) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &map("a", json!({"x": "1", "y": "1"}))).await?;
    place.apply("two", &map("a", json!({"y": "1", "z": "1"}))).await?;
    let left = place.apply("one", &map("a", json!({}))).await?;
    ensure!(left.data["data"] == json!({"y": "1", "z": "1"}), "{:?}", left.data);
    Ok(())
}

/// Containers by name, ports by number and protocol.
pub async fn list_items_are_merged_by_their_keys(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let mut object = deployment("web", 1);
    object["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "protocol": "TCP"}]);
    place.apply("one", &object).await?;
    let container = json!({"name": "web", "ports": [{"containerPort": 81, "protocol": "TCP"}], "env": [{"name": "A", "value": "1"}]});
    let other = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    });
    let both = place.apply("two", &other).await?;
    let containers = &both.data["spec"]["template"]["spec"]["containers"];
    ensure!(containers.as_array().map(Vec::len) == Some(1), "{containers}");
    ensure!(containers[0]["ports"].as_array().map(Vec::len) == Some(2), "{containers}");
    let owned = owned_by(&both, "two");
    let port = "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"web\"}/f:ports/k:{\"containerPort\":81,\"protocol\":\"TCP\"}";
    ensure!(owned.pointer(port).is_some(), "{owned}");
    Ok(())
}

/// Optimistic where the client wants it.
pub async fn an_apply_with_an_old_version_or_without_a_manager_is_refused(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &map("a", json!({"x": "1"}))).await?;
    let mut stale = map("a", json!({"x": "2"}));
    stale["metadata"]["resourceVersion"] = json!("1");
    refused(place.apply("one", &stale).await, 409, "Conflict")?;
    let api = place.maps();
    let nameless = api.patch("a", &PatchParams::default(), &Patch::Apply(map("a", json!({})))).await;
    ensure!(matches!(nameless, Err(kube::Error::Api(_) | kube::Error::BuildRequest(_))), "{nameless:?}");
    let mut managed = map("a", json!({"x": "2"}));
    managed["metadata"]["managedFields"] = json!([{"manager": "me"}]);
    refused(place.apply("one", &managed).await, 400, "BadRequest")?;
    Ok(())
}

/// By any apply, strict or not: what has no type has no owner.
pub async fn an_unknown_field_is_refused_with_its_path(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let mut object = deployment("web", 1);
    object["spec"]["replica"] = json!(2);
    let status = refusal(place.apply("one", &object).await)?;
    ensure!(status.code == 500, "{status:?}");
    let wanted = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema";
    ensure!(status.message == wanted, "{}", status.message);
    ensure!(status.reason.is_empty(), "{status:?}");
    Ok(())
}

/// The question that a plan asks.
pub async fn a_strict_dry_run_refuses_unknown_fields_and_stores_nothing(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let mut params = PatchParams::apply("one").force().validation_strict();
    params.dry_run = true;
    let shown = place.apply_with(&params, &deployment("web", 1)).await?;
    ensure!(shown.data["spec"]["strategy"]["type"] == "RollingUpdate");
    ensure!(place.deployments().get_opt("web").await?.is_none());
    let mut object = deployment("web", 1);
    object["spec"]["replica"] = json!(2);
    refusal(place.apply_with(&params, &object).await)?;
    Ok(())
}

/// `managedFields: [{}]` forgets everybody.
pub async fn cleared_managers_come_back_with_the_next_apply(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let object = map("a", json!({"x": "1"}));
    place.apply("one", &object).await?;
    let clear = json!({"metadata": {"managedFields": [{}]}});
    let cleared = place.maps().patch("a", &PatchParams::default(), &Patch::Merge(&clear)).await?;
    ensure!(managers(&cleared).is_empty(), "{:?}", managers(&cleared));
    let again = place.apply("one", &object).await?;
    let names: Vec<String> = managers(&again).into_iter().map(|(manager, _, _)| manager).collect();
    ensure!(names == ["before-first-apply", "one"], "{names:?}");
    Ok(())
}

/// It is how we make things: a name that is taken is refused whole, whoever has it, and what was asked for leaves no trace.
pub async fn an_apply_to_a_version_that_no_object_has_makes_and_changes_nothing_that_is_there(
    client: Client,
) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let force = PatchParams::apply("one").force();
    let mut new = map("a", json!({"x": "1"}));
    new["metadata"]["resourceVersion"] = json!("1");
    let made = place.apply_with(&force, &new).await?;
    ensure!(version(&made) != "1" && !version(&made).is_empty());
    ensure!(owned_by(&made, "one") == json!({"f:data": {"f:x": {}}}), "{:?}", owned_by(&made, "one"));
    refused(place.apply_with(&force, &new).await, 409, "Conflict")?;
    let other: DynamicObject = serde_json::from_value(map("b", json!({"y": "2"})))?;
    let other = place.maps().create(&PostParams::default(), &other).await?;
    new["metadata"]["name"] = json!("b");
    let status = refused(place.apply_with(&force, &new).await, 409, "Conflict")?;
    ensure!(status.details.is_some_and(|about| about.name == "b" && about.kind == "configmaps"));
    ensure!(place.maps().get("b").await? == other, "it was touched");
    Ok(())
}

/// Gateway API, as if its definition were there; where it is, its defaults are filled in as well.
pub async fn a_custom_resource_is_applied_with_its_defaults(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"},
        "spec": {
            "parentRefs": [{"name": "gateway"}], "hostnames": ["web.example"],
            "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
        },
    });
    let made = place.apply("one", &route).await?;
    let wanted = json!({
        "parentRefs": [{"name": "gateway", "group": "gateway.networking.k8s.io", "kind": "Gateway"}],
        "hostnames": ["web.example"],
        "rules": [{
            "backendRefs": [{"name": "web", "port": 80, "group": "", "kind": "Service", "weight": 1}],
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        }],
    });
    ensure!(made.data["spec"] == wanted, "{}", made.data["spec"]);
    ensure!(made.metadata.generation == Some(1));
    let again = place.apply("one", &route).await?;
    ensure!(again.metadata.generation == Some(1));
    let mut wrong = route.clone();
    wrong["spec"]["rules"][0]["backendRefs"][0]["port"] = json!(70_000);
    let status = refused(place.apply("one", &wrong).await, 422, "Invalid")?;
    ensure!(fields(&status) == ["spec.rules[0].backendRefs[0].port"], "{status:?}");
    Ok(())
}
