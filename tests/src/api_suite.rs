//! What we rely on in a Kubernetes API, one function per claim, for any client: the same claims hold for the sandbox and
//! for a real control plane, so the double cannot lie. Each claim has a namespace of its own.

pub mod apply;
pub mod controllers;
pub mod lifecycle;
pub mod patch;
pub mod read;
pub mod watch;
pub mod write;

use anyhow::{Context as _, bail, ensure};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;

/// How long anything may take that happens behind an answer. A real namespace takes ten seconds to go.
pub const SOON: Duration = Duration::from_secs(60);

/// Runs `$then!` with the list of all claims, as `module::claim`.
#[macro_export]
macro_rules! api_claims {
    ($then:ident) => {
        $then! {
            apply: apply_makes_an_object_and_a_second_one_changes_nothing;
            apply: a_field_of_another_manager_is_a_conflict_that_names_both;
            apply: force_takes_a_field_from_its_owner;
            apply: a_field_that_is_no_longer_applied_is_removed_unless_somebody_else_owns_it;
            apply: list_items_are_merged_by_their_keys;
            apply: an_apply_with_an_old_version_or_without_a_manager_is_refused;
            apply: an_apply_to_a_version_that_no_object_has_makes_and_changes_nothing_that_is_there;
            apply: an_unknown_field_is_refused_with_its_path;
            apply: a_strict_dry_run_refuses_unknown_fields_and_stores_nothing;
            apply: cleared_managers_come_back_with_the_next_apply;
            apply: a_custom_resource_is_applied_with_its_defaults;
            write: a_name_is_taken_once_and_generated_on_wish;
            write: a_namespace_must_exist_before_anything_in_it;
            write: a_stale_update_is_a_conflict;
            write: an_update_that_changes_nothing_keeps_the_version;
            write: an_update_owns_what_it_changed;
            write: a_deployment_has_the_defaults_of_the_server;
            write: a_service_gets_an_address_and_keeps_it;
            write: string_data_becomes_data;
            write: invalid_objects_are_refused_with_every_cause;
            write: immutable_fields_stay_as_they_are;
            write: generation_counts_what_is_wanted_and_nothing_else;
            write: status_is_written_by_its_subresource_only;
            write: scaling_is_recorded_with_its_subresource;
            write: a_dry_run_answers_and_stores_nothing;
            patch: a_failed_test_is_unprocessable_and_changes_nothing;
            patch: a_merge_patch_removes_by_null;
            patch: a_strategic_patch_merges_containers_by_name;
            patch: a_patch_of_a_missing_object_is_not_found;
            read: what_is_missing_is_not_found_by_name;
            read: lists_are_selected_by_labels_and_fields;
            read: a_long_list_is_one_moment_in_pages;
            read: metadata_can_be_read_without_content;
            read: tables_have_the_columns_that_kubectl_prints;
            read: discovery_names_what_is_served;
            watch: a_watch_tells_what_happened_after_a_version;
            watch: a_label_moves_an_object_into_and_out_of_a_watch;
            watch: a_streaming_list_ends_with_a_bookmark;
            lifecycle: a_finalizer_holds_an_object_until_it_is_gone;
            lifecycle: a_deletion_with_another_uid_is_a_conflict;
            lifecycle: what_an_owner_leaves_behind_is_collected;
            lifecycle: an_owner_waits_in_the_foreground_for_what_it_owns;
            lifecycle: orphans_live_on_without_their_owner;
            lifecycle: a_collection_is_deleted_by_label;
            lifecycle: a_namespace_takes_its_content_with_it;
            controllers: a_deployment_becomes_available_through_its_replica_set;
            controllers: a_new_template_replaces_the_old_pods;
            controllers: a_job_completes;
            controllers: a_budget_counts_its_pods;
            controllers: a_quota_counts_what_is_there;
        }
    };
}

/// A namespace of a claim's own, and the client.
#[derive(Clone)]
pub struct Place {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Place {
    /// Makes a namespace.
    pub async fn new(client: Client) -> anyhow::Result<Self> {
        let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &resource("v1", "Namespace"));
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "claim-"}});
        let made = namespaces.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        let namespace = made.metadata.name.context("a namespace has a name")?;
        Ok(Self { client, namespace })
    }

    /// The objects of a kind in the namespace.
    pub fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(api_version, kind))
    }

    /// The ConfigMaps in the namespace.
    pub fn maps(&self) -> Api<DynamicObject> {
        self.api("v1", "ConfigMap")
    }

    /// The Deployments in the namespace.
    pub fn deployments(&self) -> Api<DynamicObject> {
        self.api("apps/v1", "Deployment")
    }

    /// Applies an object as a manager.
    pub async fn apply(&self, manager: &str, object: &Value) -> kube::Result<DynamicObject> {
        self.apply_with(&PatchParams::apply(manager), object).await
    }

    /// Applies an object with parameters.
    pub async fn apply_with(&self, params: &PatchParams, object: &Value) -> kube::Result<DynamicObject> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let api = self.api(text("/apiVersion"), text("/kind"));
        api.patch(text("/metadata/name"), params, &Patch::Apply(object)).await
    }

    /// Creates an object.
    pub async fn create(&self, object: Value) -> anyhow::Result<DynamicObject> {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let api = self.api(&text("apiVersion"), &text("kind"));
        Ok(api.create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }
}

/// A resource by version and kind.
#[must_use]
pub fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// A ConfigMap.
#[must_use]
pub fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// A Deployment as small as it can be.
#[must_use]
pub fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"name": name}},
            "template": {
                "metadata": {"labels": {"name": name}},
                "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
            },
        },
    })
}

/// The refusal in a result that should be one.
pub fn refusal<T>(result: Result<T, kube::Error>) -> anyhow::Result<Status> {
    match result {
        Ok(_) => bail!("it was not refused"),
        Err(kube::Error::Api(status)) => Ok(*status),
        Err(other) => Err(other.into()),
    }
}

/// A refusal with this code and reason.
pub fn refused<T>(result: Result<T, kube::Error>, code: u16, reason: &str) -> anyhow::Result<Status> {
    let status = refusal(result)?;
    ensure!((status.code, status.reason.as_str()) == (code, reason), "{status:?}");
    Ok(status)
}

/// The fields that a refusal names, in its order.
#[must_use]
pub fn fields(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.map(|cause| cause.field.clone()).collect()
}

/// The version of an object.
#[must_use]
pub fn version(object: &DynamicObject) -> String {
    object.metadata.resource_version.clone().unwrap_or_default()
}

/// Waits until something holds.
pub async fn eventually<F, T>(mut check: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        if let Some(found) = check().await? {
            return Ok(found);
        }
        ensure!(tokio::time::Instant::now() < deadline, "not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until an object is as it should be.
pub async fn until(
    api: &Api<DynamicObject>,
    name: &str,
    good: impl Fn(&DynamicObject) -> bool,
) -> anyhow::Result<DynamicObject> {
    let found = eventually(|| async { Ok(api.get_opt(name).await?.filter(|object| good(object))) }).await;
    match found {
        Ok(found) => Ok(found),
        Err(error) => Err(error.context(format!("{name} is {:?}", api.get_opt(name).await?))),
    }
}

/// Waits until an object is gone.
pub async fn gone(api: &Api<DynamicObject>, name: &str) -> anyhow::Result<()> {
    eventually(|| async { Ok(api.get_opt(name).await?.is_none().then_some(())) }).await
}

/// The managers of an object as (manager, operation, subresource), sorted.
#[must_use]
pub fn managers(object: &DynamicObject) -> Vec<(String, String, String)> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut all: Vec<_> =
        entries.map(|one| (text(&one.manager), text(&one.operation), text(&one.subresource))).collect();
    all.sort();
    all
}

/// What a manager owns, as FieldsV1.
#[must_use]
pub fn owned_by(object: &DynamicObject, manager: &str) -> Value {
    let mut entries = object.metadata.managed_fields.iter().flatten();
    let entry = entries.find(|one| one.manager.as_deref() == Some(manager));
    entry.and_then(|one| one.fields_v1.as_ref()).map_or(Value::Null, |fields| fields.0.clone())
}
