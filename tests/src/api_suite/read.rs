//! Get, list, discovery.

use super::{Place, deployment, map, refused};
use anyhow::{Context as _, ensure};
use kube::api::{ListParams, PartialObjectMeta};
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client};
use serde_json::{Value, json};

/// 404 and its details.
pub async fn what_is_missing_is_not_found_by_name(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    let status = refused(place.deployments().get("web").await, 404, "NotFound")?;
    ensure!(status.message == "deployments.apps \"web\" not found", "{}", status.message);
    let details = status.details.context("details")?;
    ensure!((details.name.as_str(), details.group.as_str(), details.kind.as_str()) == ("web", "apps", "deployments"));
    let unserved = place.api("example.org/v1", "Widget").list(&ListParams::default()).await;
    ensure!(matches!(unserved, Err(kube::Error::Api(status)) if status.code == 404));
    Ok(())
}

/// Labels by set, fields by name.
pub async fn lists_are_selected_by_labels_and_fields(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    for (name, tier) in [("a", "web"), ("b", "web"), ("c", "cron")] {
        let mut object = map(name, json!({}));
        object["metadata"]["labels"] = json!({"tier": tier});
        place.apply("one", &object).await?;
    }
    for (labels, fields, wanted) in [
        ("tier=web", "", vec!["a", "b"]),
        ("tier!=web,tier", "", vec!["c"]),
        ("tier in (cron,none)", "", vec!["c"]),
        ("tier", "metadata.name=b", vec!["b"]),
        ("tier", "metadata.name!=b", vec!["a", "c"]),
    ] {
        let params = ListParams::default().labels(labels).fields(fields);
        let listed = place.maps().list(&params).await?;
        let names: Vec<&str> = listed.items.iter().filter_map(|one| one.metadata.name.as_deref()).collect();
        ensure!(names == wanted, "{labels} {fields}: {names:?}");
        ensure!(listed.metadata.resource_version.is_some());
        ensure!(listed.items.iter().all(|item| item.types.is_none()), "items of a typed list say no kind");
    }
    let nonsense = place.maps().list(&ListParams::default().labels("a b")).await;
    refused(nonsense, 400, "BadRequest")?;
    Ok(())
}

/// What is written between two pages is in none of them.
pub async fn a_long_list_is_one_moment_in_pages(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client).await?;
    for at in 0..5 {
        let mut object = map(&format!("m{at}"), json!({}));
        object["metadata"]["labels"] = json!({"paged": "yes"});
        place.apply("one", &object).await?;
    }
    let params = ListParams::default().labels("paged=yes").limit(2);
    let first = place.maps().list(&params).await?;
    ensure!(first.items.len() == 2);
    let token = first.metadata.continue_.clone().context("a continue token")?;
    place.maps().delete("m3", &kube::api::DeleteParams::default()).await?;
    let second = place.maps().list(&params.clone().continue_token(&token)).await?;
    let token = second.metadata.continue_.clone().context("another token")?;
    let third = place.maps().list(&params.continue_token(&token)).await?;
    let names: Vec<String> = [first.items, second.items, third.items.clone()]
        .into_iter()
        .flatten()
        .filter_map(|one| one.metadata.name)
        .collect();
    ensure!(names == ["m0", "m1", "m2", "m3", "m4"], "{names:?}");
    ensure!(third.metadata.continue_.unwrap_or_default().is_empty());
    Ok(())
}

/// Names of Secrets are our business, their content is not.
pub async fn metadata_can_be_read_without_content(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client.clone()).await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"mine": "yes"}},
        "stringData": {"password": "x"},
    });
    place.create(secret).await?;
    type Secrets = Api<PartialObjectMeta<k8s_openapi::api::core::v1::Secret>>;
    let secrets: Secrets = Api::namespaced(client, &place.namespace);
    let listed = secrets.list_metadata(&ListParams::default().labels("mine=yes")).await?;
    ensure!(listed.items.len() == 1);
    let text = serde_json::to_string(&listed.items)?;
    ensure!(!text.contains("data") && !text.contains("password") || !text.contains("eA=="), "{text}");
    let one = secrets.get_metadata("s").await?;
    ensure!(one.metadata.name.as_deref() == Some("s"));
    Ok(())
}

/// Server-side printing.
pub async fn tables_have_the_columns_that_kubectl_prints(client: Client) -> anyhow::Result<()> {
    let place = Place::new(client.clone()).await?;
    place.apply("one", &deployment("web", 2)).await?;
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", place.namespace);
    let request = http::Request::get(path)
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
        .body(Vec::new())?;
    let table: Value = client.request(request).await?;
    let names: Vec<&Value> =
        table["columnDefinitions"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
    let wanted = ["Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector"];
    ensure!(names == wanted, "{names:?}");
    ensure!(table["rows"][0]["cells"][0] == "web" && table["rows"][0]["object"]["metadata"]["name"] == "web");
    ensure!(table["rows"][0]["cells"][6] == "registry.example/web:1", "{}", table["rows"][0]);
    Ok(())
}

/// Kinds, scopes and subresources.
pub async fn discovery_names_what_is_served(client: Client) -> anyhow::Result<()> {
    for discovery in
        [Discovery::new(client.clone()).run().await?, Discovery::new(client.clone()).run_aggregated().await?]
    {
        for (group, kind, scope) in [
            ("", "Namespace", Scope::Cluster),
            ("", "Secret", Scope::Namespaced),
            ("apps", "Deployment", Scope::Namespaced),
            ("batch", "CronJob", Scope::Namespaced),
            ("gateway.networking.k8s.io", "HTTPRoute", Scope::Namespaced),
        ] {
            let group = discovery.get(group).with_context(|| format!("group {group:?}"))?;
            let (_, capabilities) =
                group.recommended_kind(kind).with_context(|| format!("{kind} in {:?}", group.name()))?;
            ensure!(capabilities.scope == scope, "{kind}");
            for verb in ["get", "list", "watch", "create", "patch", "delete"] {
                ensure!(capabilities.supports_operation(verb), "{kind} {verb}");
            }
        }
    }
    let version = client.apiserver_version().await?;
    ensure!(version.git_version.starts_with("v1."));
    Ok(())
}
