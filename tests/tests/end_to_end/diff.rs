//! The dry run says exactly what somebody did, and one pass is enough to undo it.

use anyhow::{Context as _, ensure};
use planner::drift::FieldChange;
use planner::outcome::FailureKind;
use planner::plan::{Cause, Plan};
use tests::platform::{Platform, Tool};

use crate::{prebuilt, web};

/// What somebody does by kubectl, and what the dry run says then: a line an object, with the hand and each field.
const CASES: &[(&[&str], &str)] = &[
    (
        &["scale", "deployment/web", "--replicas=3"],
        "configure deployment/web, drift by kubectl-scale: spec.replicas 3 → 1",
    ),
    (
        &[
            "set",
            "image",
            "deployment/web",
            "web=registry.example/other@sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
        ],
        "configure deployment/web, drift by kubectl-set: spec.template.spec.containers[web].image",
    ),
    (
        &["set", "env", "deployment/web", "DEBUG=1"],
        "configure deployment/web, drift by kubectl-set: spec.template.spec.containers[web].env[DEBUG]",
    ),
    (
        &[
            "patch",
            "deployment/web",
            "--patch",
            r#"{"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 99}}}}"#,
        ],
        "configure deployment/web, drift by kubectl-patch: spec.template.spec.terminationGracePeriodSeconds 99 → 15",
    ),
    (
        &[
            "patch",
            "deployment/web",
            "--type=json",
            "--patch",
            r#"[{"op": "remove", "path": "/spec/template/spec/topologySpreadConstraints"}]"#,
        ],
        "configure deployment/web, drift: spec.template.spec.topologySpreadConstraints",
    ),
    (
        &["label", "deployment/web", "hello=world"],
        "configure deployment/web, drift by kubectl-label: metadata.labels.hello",
    ),
    (
        &["annotate", "deployment/web", "hello=world"],
        "configure deployment/web, drift by kubectl-annotate: metadata.annotations.hello",
    ),
    (
        &["label", "deployment/web", "toolforge.org/tool-", "app.kubernetes.io/name-"],
        "configure deployment/web, drift: metadata.labels[app.kubernetes.io/name], metadata.labels[toolforge.org/tool]",
    ),
    (
        &[
            "patch",
            "service/web",
            "--type=json",
            "--patch",
            r#"[{"op": "replace", "path": "/spec/ports/0/port", "value": 9000}]"#,
        ],
        "configure service/web, drift by kubectl-patch: spec.ports[8000,TCP], spec.ports[9000,TCP]",
    ),
    (
        &[
            "patch",
            "ingress/web",
            "--type=json",
            "--patch",
            r#"[{"op": "replace", "path": "/spec/rules/0/http/paths/0/path", "value": "/elsewhere"}]"#,
        ],
        "configure ingress/web, drift by kubectl-patch: spec.rules",
    ),
    (
        &["patch", "networkpolicy/web", "--type=json", "--patch", r#"[{"op": "remove", "path": "/spec/ingress"}]"#],
        "configure networkpolicy/web, drift: spec.ingress",
    ),
    (&["delete", "service/web", "deployment/web"], "create deployment/web, drift\ncreate service/web, drift"),
    (&["delete", "resourcequota", "--all"], "create resourcequota/diff-web, drift"),
    (&["delete", "serviceaccount/diff-web"], "create serviceaccount/diff-web, drift"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_shows_exactly_what_was_changed_by_hand_and_one_apply_undoes_it() -> anyhow::Result<()> {
    let platform = Platform::start("diff").await?;
    let tool = platform.tool("web")?;
    tool.commit(&web(&prebuilt(&platform, "web").await?))?;
    tool.ready().await?;
    platform.stop().await?;
    is_in_sync(&platform, &tool).await?;
    for (hand, expected) in CASES {
        tool.kubectl(hand).await?;
        let said = told(&platform.diff(&tool).await?.plan, &tool);
        ensure!(said == *expected, "after {hand:?} the diff says:\n{said}\nand not:\n{expected}");
        platform.until("one apply is not stale", async || apply(&platform, &tool).await).await?;
        is_in_sync(&platform, &tool).await.with_context(|| format!("after {hand:?}"))?;
    }
    Ok(())
}

/// Nothing where a controller wrote between the plan and its execution: then the plan is stale, and made again.
async fn apply(platform: &Platform, tool: &Tool<'_>) -> anyhow::Result<Option<()>> {
    let outcome = platform.apply(tool).await?;
    let kinds: Vec<_> = outcome.failures().map(|(_, failure)| failure.kind).collect();
    ensure!(kinds.iter().all(|kind| *kind == FailureKind::Stale), "{outcome:?}");
    Ok(kinds.is_empty().then_some(()))
}

async fn is_in_sync(platform: &Platform, tool: &Tool<'_>) -> anyhow::Result<()> {
    let plan = platform.diff(tool).await?.plan;
    ensure!(plan.is_in_sync(), "{plan:#?}");
    Ok(())
}

/// A plan in few words; values only where they are short.
fn told(plan: &Plan, tool: &Tool<'_>) -> String {
    let steps = plan.steps.iter().map(|step| {
        let id = step.id.to_string().replace(&format!("{}/", tool.namespace()), "");
        let hand = match &step.cause {
            Cause::Drift { manager: Some(manager), .. } => format!("drift by {manager}"),
            Cause::Drift { manager: None, .. } => "drift".to_owned(),
            other => other.word().to_owned(),
        };
        let fields: Vec<_> = step.changes.iter().map(field).collect();
        let colon = if fields.is_empty() { "" } else { ": " };
        format!("{} {id}, {hand}{colon}{}", step.action, fields.join(", "))
    });
    let held = plan.held.iter().map(|held| format!("held {}, {}", held.id, held.why));
    steps.chain(held).collect::<Vec<_>>().join("\n")
}

fn field(change: &FieldChange) -> String {
    match (&change.from, &change.to) {
        (Some(from), Some(to)) if from.to_string().len() + to.to_string().len() < 10 => {
            format!("{} {from} → {to}", change.path)
        }
        _ => change.path.clone(),
    }
}
