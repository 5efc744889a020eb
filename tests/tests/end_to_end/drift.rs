//! What people do by hand is undone, and what was there before is there again.

use anyhow::{Context as _, ensure};
use futures::future::join_all;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tests::platform::{Platform, Tool, kind_of, steady};

use crate::{prebuilt, web};

/// What somebody does to the Deployment `web`, or around it.
#[derive(Debug, Clone, Copy)]
enum Hand {
    Kubectl(&'static [&'static str]),
    Patch(&'static str),
    DeleteNamespace,
    ClearManagedFields,
}

const DEPLOYMENT: &str = "deployment/web";

/// Each by name, on a tool of its own.
const CASES: &[(&str, Hand)] = &[
    ("scale", Hand::Kubectl(&["scale", DEPLOYMENT, "--replicas=3"])),
    (
        "set-image",
        Hand::Kubectl(&[
            "set",
            "image",
            DEPLOYMENT,
            "web=registry.example/other@sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
        ]),
    ),
    ("set-env", Hand::Kubectl(&["set", "env", DEPLOYMENT, "DEBUG=1"])),
    ("edit", Hand::Patch(r#"{"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 99}}}}"#)),
    (
        "sidecar",
        Hand::Patch(
            r#"{"spec": {"template": {"spec": {"containers": [{"name": "miner", "image": "registry.example/miner@sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}}}]}}}}"#,
        ),
    ),
    ("remove-field", Hand::Patch(r#"{"spec": {"template": {"spec": {"topologySpreadConstraints": null}}}}"#)),
    ("label", Hand::Kubectl(&["label", DEPLOYMENT, "hello=world"])),
    ("annotate", Hand::Kubectl(&["annotate", DEPLOYMENT, "hello=world"])),
    ("strip-labels", Hand::Patch(r#"{"metadata": {"labels": null}}"#)),
    ("delete", Hand::Kubectl(&["delete", DEPLOYMENT])),
    ("delete-service", Hand::Kubectl(&["delete", "service/web"])),
    ("delete-quota", Hand::Kubectl(&["delete", "resourcequota", "--all"])),
    ("namespace", Hand::DeleteNamespace),
    ("managed-fields", Hand::ClearManagedFields),
];

#[tokio::test(flavor = "multi_thread")]
async fn after_each_change_by_hand_every_object_is_as_before() -> anyhow::Result<()> {
    let platform = Platform::start("drift").await?;
    let config = web(&prebuilt(&platform, "web").await?);
    let cases = CASES.iter().map(async |(name, hand)| healed(&platform, &config, name, *hand).await.context(*name));
    let failed: Vec<_> = join_all(cases).await.into_iter().filter_map(Result::err).map(|e| format!("{e:#}")).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n\n"));
    // And nobody fights: what was healed once is left alone.
    platform.quiet().await
}

async fn healed(platform: &Platform, config: &str, name: &str, hand: Hand) -> anyhow::Result<()> {
    let tool = platform.tool(name)?;
    tool.commit(config)?;
    tool.ready().await?;
    let before = world(&tool).await?;
    let versions = versions(&tool).await?;
    change(&tool, hand).await?;
    platform
        .until(&format!("everything is as before {hand:?}"), async || {
            let healed = world(&tool).await? == before;
            // It was changed, and changed again: not merely looked at too early.
            Ok((healed && self::versions(&tool).await? != versions && is_applied(&tool).await?).then_some(()))
        })
        .await?;
    tool.ready().await
}

async fn change(tool: &Tool<'_>, hand: Hand) -> anyhow::Result<()> {
    match hand {
        Hand::Kubectl(args) => tool.kubectl(args).await.map(drop),
        Hand::Patch(patch) => tool.kubectl(&["patch", DEPLOYMENT, "--patch", patch]).await.map(drop),
        Hand::DeleteNamespace => {
            tool.kubectl(&["delete", "namespace", &tool.namespace(), "--wait=false"]).await.map(drop)
        }
        Hand::ClearManagedFields => {
            let deployments = tool.platform().api(kind_of("Deployment")?, Some(&tool.namespace()));
            let clear = Patch::Merge(json!({"metadata": {"managedFields": [{}]}}));
            deployments.patch("web", &PatchParams::default(), &clear).await?;
            Ok(())
        }
    }
}

const KINDS: [&str; 8] = [
    "Deployment",
    "Service",
    "Ingress",
    "NetworkPolicy",
    "ServiceAccount",
    "ResourceQuota",
    "LimitRange",
    "PodDisruptionBudget",
];

/// All objects of a tool that we could have made, without what may differ.
async fn world(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    let namespace = tool.platform().object("Namespace", None, &tool.namespace()).await?;
    let mut all: Vec<_> = namespace.iter().map(steady).collect();
    for kind in KINDS {
        all.extend(tool.platform().objects(kind, &tool.namespace()).await?.iter().map(steady));
    }
    Ok(all)
}

async fn versions(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for kind in KINDS {
        let objects = tool.platform().objects(kind, &tool.namespace()).await?;
        all.extend(objects.iter().map(|object| object["metadata"]["uid"].clone()));
        all.extend(objects.iter().map(|object| object["metadata"]["managedFields"].clone()));
        all.extend(objects.iter().map(|object| object["metadata"]["resourceVersion"].clone()));
    }
    Ok(all)
}

/// Our manager is named again as the one who applies the Deployment.
async fn is_applied(tool: &Tool<'_>) -> anyhow::Result<bool> {
    let Some(deployment) = tool.find("Deployment", "web").await? else { return Ok(false) };
    let entries = deployment["metadata"]["managedFields"].as_array();
    Ok(entries.is_some_and(|all| all.iter().any(|e| e["manager"] == "toolforge" && e["operation"] == "Apply")))
}
