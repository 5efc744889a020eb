//! The roles that operators install before anything else, on the real API server; and the platform's account there.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use planner::rights::{TOOLFORGE, roles};
use renderer::render::DEPLOYER;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the server may take to know of new rights.
const DEADLINE: Duration = Duration::from_secs(30);

/// Applies an object as operators would, whatever its kind.
pub async fn put(client: &kube::Client, object: &Value) -> anyhow::Result<()> {
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let (group, version) = version.unwrap_or_default().rsplit_once('/').unwrap_or(("", version.unwrap_or_default()));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.context("a kind")?));
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object["metadata"]["name"].as_str().context("a name")?;
    api.patch(name, &PatchParams::apply("operators").force(), &Patch::Apply(object)).await?;
    Ok(())
}

/// What a tool's deployer may do, for whoever speaks with all rights and needs no roles of the platform's.
pub async fn deployer(client: &kube::Client) -> anyhow::Result<()> {
    let roles = roles(&renderer::Platform::builtin());
    let role = roles.iter().find(|role| role.id.kind == "ClusterRole" && role.id.name == DEPLOYER);
    put(client, &role.context("the deployer's role")?.value).await
}

/// Installs the roles of a platform, with its namespaces and its account.
pub async fn install(client: &kube::Client, platform: &renderer::Platform) -> anyhow::Result<()> {
    let builds = platform.builds.as_ref().map(|builds| builds.namespace(platform));
    for namespace in [Some(platform.namespace.clone()), builds].into_iter().flatten() {
        put(client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await?;
    }
    let account = json!({"name": TOOLFORGE, "namespace": platform.namespace});
    put(client, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})).await?;
    for role in roles(platform) {
        put(client, &role.value).await?;
    }
    Ok(())
}

/// A token of the platform's account, once the server knows what it may do.
pub async fn token(plane: &crate::control_plane::ControlPlane, namespace: &str) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await?, namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(7200), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made = accounts.create_token_request(TOOLFORGE, &PostParams::default(), &request).await?;
    let token = made.status.and_then(|status| status.token).context("a token")?;
    let mut config = plane.config(crate::control_plane::ADMIN).await?;
    config.auth_info = kube::config::AuthInfo { token: Some(token.clone().into()), ..Default::default() };
    let client = kube::Client::try_from(config)?;
    for (group, resource, verb, namespace) in [
        ("toolforge.org", "tools", "watch", None),
        ("coordination.k8s.io", "leases", "create", Some(namespace)),
        ("", "events", "create", Some("default")),
    ] {
        let may = || may(&client, group, resource, verb, namespace);
        let begun = tokio::time::Instant::now();
        while !may().await? {
            ensure!(begun.elapsed() < DEADLINE, "the platform may never {verb} {resource}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(token)
}

async fn may(
    client: &kube::Client,
    group: &str,
    resource: &str,
    verb: &str,
    namespace: Option<&str>,
) -> anyhow::Result<bool> {
    let attributes = ResourceAttributes {
        group: Some(group.into()),
        resource: Some(resource.into()),
        verb: Some(verb.into()),
        namespace: namespace.map(Into::into),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
