//! No drift, no write; no change, no read: by verb and object, from the audit log of the real API server.
//!
//! What the design lists besides is named here and nowhere allowed in passing: one lease, and the reads by which a start
//! learns that the platform's own objects are as they should be. What says *that* something was healed (the Tool's status,
//! an Event) is told apart from what heals.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use planner::kinds::{KINDS, Needs};
use planner::plan;
use reconciler::pass::Decided;
use serde_json::Value;
use tests::control_plane::{Mark, Request};
use tests::platform::{Platform, Tool};

const WEB: &str = "components:\n  web:\n    image: registry.example/web@sha256:\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n    run: {command: web, port: 8000, publish: /}\n";

/// Two tools that have nothing left to do.
async fn settled(platform: &Platform) -> anyhow::Result<[Tool<'_>; 2]> {
    let tools = [platform.tool("a")?, platform.tool("b")?];
    for tool in &tools {
        tool.commit(WEB)?;
        tool.ready().await?;
    }
    platform.idle().await?;
    Ok(tools)
}

/// `apply deployments a/web` and the like, each with its number; without the lease.
fn by_verb_and_object(requests: &[Request]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for request in requests.iter().filter(|request| request.resource != "leases") {
        let Request { verb, resource, namespace, name, uri, .. } = request;
        let verb = match verb.as_str() {
            "patch" if uri.contains("force=true") => "apply",
            "patch" => "json-patch",
            verb => verb,
        };
        let place =
            [namespace.as_str(), name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        *all.entry(format!("{verb} {resource} {place}").trim_end().to_owned()).or_default() += 1;
    }
    all
}

/// What the reconciler asked for since a mark, by verb and object.
fn asked(platform: &Platform, mark: Mark) -> anyhow::Result<BTreeMap<String, usize>> {
    Ok(by_verb_and_object(&platform.requests_since(mark)?))
}

async fn passes(platform: &Platform) -> anyhow::Result<u64> {
    Ok(platform.metric("toolforge_passes_total").await?.unwrap_or(0))
}

/// Waits until there were this many passes more, and none is under way or due.
async fn passed(platform: &Platform, before: u64) -> anyhow::Result<()> {
    let over = async || {
        let busy = platform.metric("toolforge_busy_tools").await?;
        Ok((passes(platform).await? > before && busy == Some(0)).then_some(()))
    };
    platform.until("a pass", over).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_pass_sends_nothing() -> anyhow::Result<()> {
    let platform = Platform::start("silent").await?;
    let [tool, _] = settled(&platform).await?;
    for collisions in 1..=3 {
        let (mark, before) = (platform.plane().mark()?, passes(&platform).await?);
        // Somebody's note in a status is a change, and it is none of ours: the tool is passed, and nothing follows.
        let note = format!("{{\"status\": {{\"collisionCount\": {collisions}}}}}");
        tool.kubectl(&["patch", "deployment/web", "--subresource=status", "--type=merge", "-p", &note]).await?;
        passed(&platform, before).await?;
        platform.polled_times(3).await?;
        assert_eq!(asked(&platform, mark)?, BTreeMap::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_nothing_to_do_sends_only_lists_and_watches() -> anyhow::Result<()> {
    let platform = Platform::start("starts").await?;
    settled(&platform).await?;
    platform.stop().await?;
    platform.delete_cache()?;
    let mark = platform.plane().mark()?;
    platform.run().await?;
    passed(&platform, 1).await?;
    platform.polled_times(5).await?;
    // A watch begins with a list in its stream: one request for each kind, however many tools there are.
    let kinds = KINDS.iter().filter(|row| row.is_watched() && matches!(row.needs, Needs::Always | Needs::Ingress));
    let mut expected: BTreeMap<_, _> = kinds.map(|row| (format!("watch {}", row.plural), 1)).collect();
    // The platform's own objects, its rules, and as whom we would write those; its namespace is also looked at before the
    // lease is asked for.
    let namespace = platform.namespace();
    expected.insert(format!("get namespaces {namespace}/{namespace}"), 2);
    expected.insert("get customresourcedefinitions tools.toolforge.org".to_owned(), 1);
    expected.insert(format!("get configmaps {namespace}/toolforge-platform"), 1);
    expected.insert(format!("get configmaps {namespace}/toolforge-policy"), 1);
    expected.insert("create selfsubjectreviews".to_owned(), 1);
    expected.insert("list validatingadmissionpolicies".to_owned(), 1);
    expected.insert("list validatingadmissionpolicybindings".to_owned(), 1);
    assert_eq!(asked(&platform, mark)?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_drift_costs_one_apply() -> anyhow::Result<()> {
    let platform = Platform::start("drifts").await?;
    let [tool, _] = settled(&platform).await?;
    let mark = platform.plane().mark()?;
    tool.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    healed(&tool, mark, &[("apply", 1)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intruder_costs_one_patch_that_names_the_version_it_was_made_for() -> anyhow::Result<()> {
    let platform = Platform::start("intrudes").await?;
    let [tool, _] = settled(&platform).await?;
    platform.stop().await?;
    tool.kubectl(&["annotate", "deployment/web", "intruder=here"]).await?;
    tool.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    planned(&tool).await?;
    let mark = platform.plane().mark()?;
    platform.run().await?;
    healed(&tool, mark, &[("apply", 1), ("json-patch", 1)]).await
}

/// The plan says what the audit log cannot: the patch begins with a test of the resourceVersion it was made for.
async fn planned(tool: &Tool<'_>) -> anyhow::Result<()> {
    let Decided { plan, observed, .. } = tool.platform().diff(tool).await?;
    let step = plan.steps.iter().find(|step| step.id.kind == "Deployment").context("a step for the Deployment")?;
    let patches: Vec<_> = step
        .requests
        .iter()
        .filter_map(|request| match request {
            plan::Request::Patch { operations } => Some(&operations[0]),
            _ => None,
        })
        .collect();
    ensure!(patches.len() == 1 && step.requests.len() == 2, "{step:#?}");
    ensure!(patches[0]["op"] == "test" && patches[0]["path"] == "/metadata/resourceVersion", "{step:#?}");
    let live = observed.live(&step.id).context("the Deployment")?;
    ensure!(patches[0]["value"] == live["metadata"]["resourceVersion"], "{step:#?}");
    Ok(())
}

/// Waits until the Deployment is as before, and ensures that this is all that was sent for it, and that nothing was sent
/// to any other object but to say so.
async fn healed(tool: &Tool<'_>, mark: Mark, writes: &[(&str, usize)]) -> anyhow::Result<()> {
    let platform = tool.platform();
    let as_before = |web: &Value| web["spec"]["replicas"] == 1 && web["metadata"]["annotations"]["intruder"].is_null();
    tool.until("Deployment", "web", "is as before", as_before).await?;
    platform.quiet().await?;
    let (namespace, tool) = (tool.namespace(), tool.name());
    let mut asked = asked(platform, mark)?;
    let reads = ["watch ", "get ", "list ", "create selfsubjectreviews"];
    asked.retain(|what, _| !reads.iter().any(|read| what.starts_with(read)));
    for (verb, count) in writes {
        assert_eq!(asked.remove(&format!("{verb} deployments {namespace}/web")), Some(*count), "{verb}: {asked:?}");
    }
    let told = |what: &String| what.ends_with(&format!(" tools/status {tool}")) || what.contains(" events ");
    ensure!(asked.keys().all(told), "{asked:#?}");
    let said: usize = asked.values().sum();
    ensure!(said <= 4, "one Event, and the status before and after: {asked:#?}");
    Ok(())
}

/// No read, and each object once: a name that was taken would have been refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_rollout_reads_nothing_and_makes_each_object_by_one_request() -> anyhow::Result<()> {
    let platform = Platform::start("rollsout").await?;
    let mark = platform.plane().mark()?;
    let tool = platform.tool("a")?;
    tool.commit(WEB)?;
    tool.ready().await?;
    platform.quiet().await?;
    let (namespace, name) = (tool.namespace(), tool.name());
    let mut asked = asked(&platform, mark)?;
    asked.retain(|what, _| what.contains(name) && !what.contains(" tools/status ") && !what.contains(" events "));
    let made = [
        format!("controllerrevisions {}/{name}-1", platform.namespace()),
        format!("deployments {namespace}/web"),
        format!("ingresses {namespace}/web"),
        format!("limitranges {namespace}/{name}"),
        format!("namespaces {namespace}/{namespace}"),
        format!("networkpolicies {namespace}/toolforge.default"),
        format!("networkpolicies {namespace}/web"),
        format!("resourcequotas {namespace}/{name}"),
        format!("rolebindings {namespace}/toolforge-deployer"),
        format!("serviceaccounts {namespace}/{name}"),
        format!("services {namespace}/web"),
        format!("tools {name}"),
    ];
    let expected: BTreeMap<_, _> = made.iter().map(|what| (format!("apply {what}"), 1)).collect();
    assert_eq!(asked, expected);
    // Its passes told nothing in between, and the last one planned none of it.
    let events = platform.kubectl(&["get", "events", "--namespace", "default", "--output", "json"]).await?;
    let events: Value = serde_json::from_str(&events)?;
    let of_tool = |event: &&Value| event["involvedObject"]["name"] == name && event["reason"] == "Create";
    let said: Vec<_> = events["items"].as_array().into_iter().flatten().filter(of_tool).collect();
    let said: Vec<_> = said.iter().filter_map(|event| event["message"].as_str()).collect();
    ensure!(said.iter().all(|message| message.starts_with("by ")), "a write without who and why: {said:#?}");
    ensure!(said.iter().flat_map(|message| message.split(", ")).count() >= expected.len(), "{said:#?}");
    Ok(())
}
