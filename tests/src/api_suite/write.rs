//! Create, update, subresources, defaults and validation.

use super::{Place, deployment, fields, managers, map, owned_by, refused, resource, version};
use anyhow::ensure;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// 409 for the second, five letters for the nameless.
pub async fn a_name_is_taken_once_and_generated_on_wish(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let made = place.create(map("a", json!({}))).await?;
    ensure!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let object: DynamicObject = serde_json::from_value(map("a", json!({})))?;
    let status = refused(place.maps().create(&PostParams::default(), &object).await, 409, "AlreadyExists")?;
    ensure!(status.message == "configmaps \"a\" already exists", "{}", status.message);
    let mut nameless = map("", json!({}));
    nameless["metadata"] = json!({"generateName": "pre-"});
    let name = place.create(nameless).await?.metadata.name.unwrap_or_default();
    ensure!(name.strip_prefix("pre-").is_some_and(|rest| rest.len() == 5), "{name}");
    Ok(())
}

/// 404 names the namespace.
pub async fn a_namespace_must_exist_before_anything_in_it(client: Client) -> anyhow::Result<()> {
    let maps: Api<DynamicObject> = Api::namespaced_with(client, "no-such-place", &resource("v1", "ConfigMap"));
    let applied = maps.patch("a", &PatchParams::apply("one"), &Patch::Apply(map("a", json!({})))).await;
    let status = refused(applied, 404, "NotFound")?;
    ensure!(status.message == "namespaces \"no-such-place\" not found", "{}", status.message);
    ensure!(maps.list(&Default::default()).await?.items.is_empty());
    Ok(())
}

/// Somebody was faster.
pub async fn a_stale_update_is_a_conflict(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let mut object = place.create(map("a", json!({"x": "1"}))).await?;
    let stale = object.clone();
    object.data["data"]["x"] = json!("2");
    place.maps().replace("a", &PostParams::default(), &object).await?;
    let status = refused(place.maps().replace("a", &PostParams::default(), &stale).await, 409, "Conflict")?;
    ensure!(
        status.message
            == "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
        "{}",
        status.message
    );
    Ok(())
}

/// No write, no event.
pub async fn an_update_that_changes_nothing_keeps_the_version(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let made = place.create(map("a", json!({"x": "1"}))).await?;
    let same = place.maps().replace("a", &PostParams::default(), &made).await?;
    ensure!(version(&made) == version(&same));
    Ok(())
}

/// Whoever changes a field owns it, and the former owner does not.
pub async fn an_update_owns_what_it_changed(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &map("a", json!({"x": "1", "y": "1"}))).await?;
    let params = PatchParams { field_manager: Some("hand".into()), ..Default::default() };
    let patch = json!({"data": {"x": "2", "z": "1"}});
    let patched = place.maps().patch("a", &params, &Patch::Merge(&patch)).await?;
    ensure!(owned_by(&patched, "one") == json!({"f:data": {"f:y": {}}}), "{}", owned_by(&patched, "one"));
    ensure!(owned_by(&patched, "hand") == json!({"f:data": {"f:x": {}, "f:z": {}}}), "{}", owned_by(&patched, "hand"));
    Ok(())
}

/// Word for word.
pub async fn a_deployment_has_the_defaults_of_the_server(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let made = place.apply("one", &deployment("web", 2)).await?;
    let wanted = json!({
        "replicas": 2, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"name": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "template": {
            "metadata": {"labels": {"name": "web"}},
            "spec": {
                "containers": [{
                    "name": "web", "image": "registry.example/web:1", "imagePullPolicy": "IfNotPresent",
                    "resources": {}, "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
            },
        },
    });
    ensure!(made.data["spec"] == wanted, "{}", made.data["spec"]);
    ensure!(made.metadata.generation == Some(1));
    Ok(())
}

/// Also through an apply that does not speak of it.
pub async fn a_service_gets_an_address_and_keeps_it(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"name": "web"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8000}]},
    });
    let made = place.apply("one", &service).await?;
    let address = made.data["spec"]["clusterIP"].clone();
    ensure!(address.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()), "{address}");
    ensure!(made.data["spec"]["type"] == "ClusterIP" && made.data["spec"]["sessionAffinity"] == "None");
    service["spec"]["ports"][0]["port"] = json!(81);
    let again = place.apply("one", &service).await?;
    ensure!(again.data["spec"]["clusterIP"] == address && again.data["spec"]["ports"][0]["port"] == 81);
    let patch = json!({"spec": {"clusterIP": "10.96.200.200", "clusterIPs": ["10.96.200.200"]}});
    let params = PatchParams::default();
    refused(place.api("v1", "Service").patch("web", &params, &Patch::Merge(&patch)).await, 422, "Invalid")?;
    Ok(())
}

/// Write-only.
pub async fn string_data_becomes_data(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "correct horse"},
    });
    let made = place.create(secret).await?;
    ensure!(made.data["data"] == json!({"password": "Y29ycmVjdCBob3JzZQ=="}), "{:?}", made.data);
    ensure!(made.data.get("stringData").is_none() && made.data["type"] == "Opaque");
    Ok(())
}

/// All at once, each with its path.
pub async fn invalid_objects_are_refused_with_every_cause(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let refuse = async |object: Value, wanted: &[&str]| -> anyhow::Result<()> {
        let status = refused(place.apply("one", &object).await, 422, "Invalid")?;
        let mut found = fields(&status);
        found.sort();
        ensure!(found == wanted, "{found:?}: {}", status.message);
        Ok(())
    };
    let mut object = deployment("web", 1);
    object["spec"]["template"]["metadata"]["labels"] = json!({"name": "other"});
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("");
    refuse(object, &["spec.template.metadata.labels", "spec.template.spec.containers[0].image"]).await?;

    let mut object = deployment("Web_1", 1);
    object["metadata"]["labels"] = json!({"a": "not valid!"});
    refuse(object, &["metadata.labels", "metadata.name"]).await?;

    let container = json!({
        "name": "a", "image": "x", "imagePullPolicy": "Sometimes",
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
        "volumeMounts": [{"name": "gone", "mountPath": "/x"}],
    });
    let mut object = deployment("web", 1);
    object["spec"]["template"]["spec"]["containers"] = json!([container]);
    let at = "spec.template.spec.containers[0]";
    let wanted =
        [format!("{at}.imagePullPolicy"), format!("{at}.resources.requests"), format!("{at}.volumeMounts[0].name")];
    refuse(object, &wanted.each_ref().map(String::as_str)).await?;

    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"ports": [{"name": "a", "port": 70_000, "protocol": "TCP", "targetPort": 80}]},
    });
    refuse(service, &["spec.ports[0].port"]).await?;

    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}},
    });
    refuse(job, &["spec.template.spec.restartPolicy"]).await
}

/// A change needs a new object.
pub async fn immutable_fields_stay_as_they_are(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &deployment("web", 0)).await?;
    let mut object = deployment("web", 0);
    object["spec"]["selector"] = json!({"matchLabels": {"name": "other"}});
    object["spec"]["template"]["metadata"]["labels"] = json!({"name": "other"});
    let status = refused(place.apply("one", &object).await, 422, "Invalid")?;
    ensure!(fields(&status) == ["spec.selector"], "{status:?}");
    ensure!(status.message.ends_with("field is immutable"), "{}", status.message);

    let job = |image: &str| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": image}]}}},
        })
    };
    place.apply("one", &job("x:1")).await?;
    let status = refused(place.apply("one", &job("x:2")).await, 422, "Invalid")?;
    ensure!(fields(&status) == ["spec.template"], "{status:?}");
    Ok(())
}

/// Not metadata, not status.
pub async fn generation_counts_what_is_wanted_and_nothing_else(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &deployment("web", 0)).await?;
    let mut object = deployment("web", 0);
    object["metadata"]["labels"] = json!({"a": "b"});
    let labelled = place.apply("one", &object).await?;
    ensure!(labelled.metadata.generation == Some(1));
    object["spec"]["paused"] = json!(true);
    let paused = place.apply("one", &object).await?;
    ensure!(paused.metadata.generation == Some(2));
    let maps = place.apply("one", &map("a", json!({"x": "1"}))).await?;
    ensure!(maps.metadata.generation.is_none());
    Ok(())
}

/// And the object itself by everything else.
pub async fn status_is_written_by_its_subresource_only(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let route = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
    });
    place.apply("one", &route).await?;
    let api = place.api("networking.k8s.io/v1", "Ingress");
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let ignored = api.patch("web", &PatchParams::default(), &Patch::Merge(&status)).await?;
    ensure!(ignored.data["status"]["loadBalancer"].get("ingress").is_none(), "{:?}", ignored.data["status"]);
    let mut both = status.clone();
    both["spec"] = json!({"ingressClassName": "other"});
    let params = PatchParams { field_manager: Some("balancer".into()), ..Default::default() };
    let written = api.patch_status("web", &params, &Patch::Merge(&both)).await?;
    ensure!(written.data["status"] == status["status"], "{:?}", written.data["status"]);
    ensure!(written.data["spec"].get("ingressClassName").is_none());
    ensure!(written.metadata.generation == Some(1));
    let wanted = ("balancer".to_owned(), "Update".to_owned(), "status".to_owned());
    ensure!(managers(&written).contains(&wanted), "{:?}", managers(&written));
    Ok(())
}

/// As `kubectl scale` does.
pub async fn scaling_is_recorded_with_its_subresource(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    place.apply("one", &deployment("web", 1)).await?;
    let scale = place.deployments().get_scale("web").await?;
    ensure!(scale.spec.and_then(|spec| spec.replicas) == Some(1));
    let params = PatchParams { field_manager: Some("kubectl".into()), ..Default::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let scaled = place.deployments().patch_scale("web", &params, &patch).await?;
    ensure!(scaled.spec.and_then(|spec| spec.replicas) == Some(3));
    let live = place.deployments().get("web").await?;
    ensure!(live.data["spec"]["replicas"] == 3);
    let wanted = ("kubectl".to_owned(), "Update".to_owned(), "scale".to_owned());
    ensure!(managers(&live).contains(&wanted), "{:?}", managers(&live));
    ensure!(owned_by(&live, "one").pointer("/f:spec/f:replicas").is_none());
    Ok(())
}

/// Complete with defaults.
pub async fn a_dry_run_answers_and_stores_nothing(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let dry = PostParams { dry_run: true, ..Default::default() };
    let object: DynamicObject = serde_json::from_value(deployment("web", 1))?;
    let shown = place.deployments().create(&dry, &object).await?;
    ensure!(shown.data["spec"]["revisionHistoryLimit"] == 10 && shown.metadata.uid.is_some());
    ensure!(place.deployments().get_opt("web").await?.is_none());
    let made = place.create(map("a", json!({"x": "1"}))).await?;
    let params = PatchParams { dry_run: true, ..Default::default() };
    let patch = Patch::Merge(json!({"data": {"x": "2"}}));
    let shown = place.maps().patch("a", &params, &patch).await?;
    ensure!(shown.data["data"]["x"] == "2");
    let gone = kube::api::DeleteParams { dry_run: true, ..Default::default() };
    place.maps().delete("a", &gone).await?;
    ensure!(version(&place.maps().get("a").await?) == version(&made));
    Ok(())
}
