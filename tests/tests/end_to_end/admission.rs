//! Admission that has a will of its own: real policies of the real API server.

use anyhow::{Context as _, ensure};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tests::control_plane::Request;
use tests::platform::{Platform, Tool};

use crate::{Prebuilt, prebuilt, web};

/// In this tool's namespace no Deployment has fewer than three replicas, and each bears a label.
async fn interfere(platform: &Platform, tool: &Tool<'_>) -> anyhow::Result<()> {
    let name = tool.namespace();
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}],
            },
            "mutations": [
                {"patchType": "JSONPatch", "jsonPatch": {"expression": r#"[JSONPatch{op: "add", path: "/spec/replicas", value: 3}, JSONPatch{op: "add", path: "/metadata/labels/cost-centre", value: "7"}]"#}},
            ],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    for object in [policy, binding] {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", &kind));
        let all: Api<DynamicObject> = Api::all_with(platform.client().clone(), &resource);
        all.patch(&name, &PatchParams::apply("tests"), &Patch::Apply(object)).await?;
    }
    // The server takes it up in its own time: a dry run of somebody's own shows when.
    let deployments = platform.api(tests::platform::kind_of("Deployment")?, Some(&name));
    platform
        .until("the policy is in force", async || {
            let probe = PatchParams { dry_run: true, ..PatchParams::apply("probe") };
            let labels = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"probe": "1"}}});
            let answer = deployments.patch("web", &probe, &Patch::Apply(labels)).await?;
            Ok((answer.metadata.labels.unwrap_or_default().contains_key("cost-centre")).then_some(()))
        })
        .await
}

fn writes_to_web(platform: &Platform, mark: tests::control_plane::Mark) -> anyhow::Result<Vec<Request>> {
    let mut writes = platform.writes_since(mark)?;
    writes.retain(|request| request.resource == "deployments");
    Ok(writes)
}

fn settled(tool: &Value) -> Vec<(&str, bool)> {
    let rows = tool["status"]["settled"].as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().map(|row| (row["path"].as_str().unwrap_or_default(), row.get("desired").is_some())).collect()
}

fn with_env(image: &Prebuilt, value: &str) -> String {
    format!("env: {{WISH: \"{value}\"}}\n{}", web(image))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_admission_overrides_is_noted_once_and_not_fought() -> anyhow::Result<()> {
    let platform = Platform::start("admission").await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    interfere(&platform, &tool).await?;

    let mark = platform.plane().mark()?;
    tool.commit(&with_env(&image, "one"))?;
    let noted = [("metadata.labels.cost-centre", false), ("spec.replicas", true)];
    platform
        .until("it is noted", async || {
            let resource = tool.custom_resource().await?.context("a Tool")?;
            let mut found = settled(&resource);
            found.sort_unstable();
            Ok((found == noted).then_some(()))
        })
        .await?;
    tool.ready().await?;
    platform.quiet().await?;
    // The new revision; then what it did not get, once more; and a dry run about the label that nobody asked for.
    let writes = writes_to_web(&platform, mark)?;
    ensure!(writes.len() <= 3, "{writes:#?}");
    ensure!(tool.object("Deployment", "web").await?["spec"]["replicas"] == 3);
    let plan = platform.diff(&tool).await?.plan;
    ensure!(plan.is_in_sync() && plan.remarks.len() == 1, "{plan:#?}");

    // What is noted outlives the process.
    platform.stop().await?;
    let mark = platform.plane().mark()?;
    platform.run().await?;
    platform.polled_times(3).await?;
    ensure!(platform.writes_since(mark)?.is_empty(), "{:#?}", platform.writes_since(mark)?);

    // Another wish is asked for, once.
    tool.commit(&with_env(&image, "two"))?;
    tool.ready().await?;
    platform.quiet().await?;
    let writes = writes_to_web(&platform, mark)?;
    ensure!(writes.len() <= 2, "{writes:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intruder_whose_hand_was_wiped_out_is_found_by_a_dry_run() -> anyhow::Result<()> {
    let platform = Platform::start("wiped").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    platform.quiet().await?;
    // So that there is a moment between the label and the loss of its owner's name.
    platform.stop().await?;
    tool.kubectl(&["label", "service/web", "team=x"]).await?;
    let labelled = tool.object("Service", "web").await?;
    let entries = labelled["metadata"]["managedFields"].as_array().context("owners")?;
    let theirs = entries.iter().position(|entry| entry["manager"] == "kubectl-label").context("the hand")?;
    let wipe = format!(r#"[{{"op": "remove", "path": "/metadata/managedFields/{theirs}"}}]"#);
    tool.kubectl(&["patch", "service/web", "--type=json", "--patch", &wipe]).await?;
    let wiped = tool.object("Service", "web").await?;
    ensure!(wiped["metadata"]["labels"]["team"] == "x");
    ensure!(!wiped["metadata"]["managedFields"].to_string().contains("team"), "{wiped:#}");

    let mark = platform.plane().mark()?;
    platform.run().await?;
    tool.until("Service", "web", "the label is gone", |live| live["metadata"]["labels"].get("team").is_none()).await?;
    tool.ready().await?;
    platform.quiet().await?;
    let mut writes = platform.writes_since(mark)?;
    writes.retain(|request| request.resource == "services");
    let asked = writes.iter().filter(|request| request.uri.contains("dryRun=All")).count();
    ensure!(asked == 1 && writes.len() == 2, "one question and one patch: {writes:#?}");
    Ok(())
}
