//! The platform's rules on its cluster: from then on the API server holds them against everyone.
//!
//! Parameters come first, then policies, then bindings, so that nothing holds before it can be judged; what is no rule any
//! more goes the other way. Who writes is entered among those who act as the platform before any rule holds: a rule that
//! nobody else may set the platform's marks would lock us out. Names that are entered stay, for another process of the
//! same platform may write under another one.

use super::{apply, needs_apply};
use crate::cluster::address;
use crate::cluster::call::{self, CallError};
use crate::execute::FIELD_MANAGER;
use crate::observe;
use anyhow::Context as _;
use http::Method;
use kube::Client;
use planner::admission::{ACTORS, Admission};
use planner::kinds::Kind;
use planner::observed::{Seen, applied_by};
use renderer::render::PLATFORM_MARK;
use renderer::{Object, ObjectId, Platform};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const GROUP: &str = "admissionregistration.k8s.io";
/// Bindings go first: a policy without one holds nobody.
const KINDS: [&str; 2] = ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"];

/// Applies what differs, and deletes what this platform has no more. Idempotent, and silent where nothing does.
///
/// # Errors
/// Where an object could not be read or written.
pub async fn publish(client: &Client, platform: &Platform, admission: &Admission) -> anyhow::Result<()> {
    let Some((parameters, rules)) = admission.objects().split_first() else { return Ok(()) };
    write_parameters(client, parameters).await?;
    let mut there = listed(client, platform).await?;
    let mut due = Vec::new();
    for rule in rules {
        let seen = there.remove(&rule.id).map_or(Seen::Absent, |live| Seen::Live(live.into()));
        due.extend(needs_apply(rule, &seen).then_some(rule));
    }
    let (own, shipped): (Vec<_>, Vec<_>) = due.into_iter().partition(|rule| admission.is_own(&rule.id));
    for rule in shipped {
        apply(client, rule).await.with_context(|| rule.id.to_string())?;
    }
    // All of them, or none: of what the server does not take nothing is changed.
    for rule in &own {
        try_out(client, rule).await.with_context(|| format!("the API server refuses {}; its rules stay", rule.id))?;
    }
    for rule in own {
        apply(client, rule).await.with_context(|| rule.id.to_string())?;
    }
    if admission.is_incomplete() {
        return Ok(());
    }
    let ours = |live: &Value| applied_by(live, FIELD_MANAGER);
    for kind in KINDS {
        for (id, live) in there.iter().filter(|(id, live)| id.kind == kind && ours(live)) {
            delete(client, id, live).await.with_context(|| id.to_string())?;
        }
    }
    Ok(())
}

/// The server checks types, which nobody else does.
async fn try_out(client: &Client, rule: &Object) -> anyhow::Result<()> {
    let row = Kind::of_id(&rule.id).context("a kind that is not in the table")?;
    let all = [("dryRun", "All"), ("fieldManager", FIELD_MANAGER), ("force", "true"), ("fieldValidation", "Strict")];
    let path = address::query(&address::object(row, &rule.id), &all);
    call::patch(client, &path, "application/apply-patch+yaml", &rule.value).await?;
    Ok(())
}

async fn write_parameters(client: &Client, parameters: &Object) -> anyhow::Result<()> {
    let id = &parameters.id;
    let seen = observe::confirm(client, std::slice::from_ref(id)).await.remove(id);
    let seen = seen.context("a name that was asked about has an answer")?;
    let seen = seen.map_err(|why| anyhow::anyhow!("{id}: {why}"))?;
    let entered = match &seen {
        Seen::Live(live) => {
            live.pointer(&format!("/data/{ACTORS}")).and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        Seen::Absent => String::new(),
    };
    let myself = who_am_i(client).await?;
    let all: BTreeSet<&str> = entered.lines().chain(myself.as_deref()).collect();
    let mut parameters = parameters.clone();
    parameters.value["data"][ACTORS] = all.into_iter().collect::<Vec<_>>().join("\n").into();
    if needs_apply(&parameters, &seen) {
        apply(client, &parameters).await.with_context(|| id.to_string())?;
    }
    Ok(())
}

/// As whom the server knows us; none where it does not say: a sandbox knows nobody, and holds no rule against anybody.
async fn who_am_i(client: &Client) -> anyhow::Result<Option<String>> {
    let question = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    match call::send(client, Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &question).await {
        Ok(bytes) => {
            let review: Value = call::parse(&bytes)?;
            Ok(review.pointer("/status/userInfo/username").and_then(Value::as_str).map(str::to_owned))
        }
        Err(error) if matches!(error.code(), Some(404 | 405)) => Ok(None),
        Err(error) => Err(error).context("who we are"),
    }
}

/// Every rule with this platform's mark.
async fn listed(client: &Client, platform: &Platform) -> anyhow::Result<BTreeMap<ObjectId, Value>> {
    let mut found = BTreeMap::new();
    for kind in KINDS {
        let row = Kind::of(GROUP, kind).context("a kind that is not in the table")?;
        let label = format!("{PLATFORM_MARK}={}", platform.name);
        let path = address::query(&address::collection(row, None), &[("labelSelector", &label)]);
        let mut list: Value = call::parse(&call::get(client, &path, None).await.with_context(|| row.plural)?)?;
        let items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
        for mut item in items.unwrap_or_default() {
            // Items of a list don't say it.
            item["apiVersion"] = row.api_version().into();
            item["kind"] = row.kind.into();
            let object = Object::new(item)?;
            found.insert(object.id, object.value);
        }
    }
    Ok(found)
}

/// The very object that was looked at.
async fn delete(client: &Client, id: &ObjectId, live: &Value) -> Result<(), CallError> {
    let Some(row) = Kind::of_id(id) else { return Ok(()) };
    let body = json!({"preconditions": {"uid": live.pointer("/metadata/uid")}});
    match call::send(client, Method::DELETE, &address::object(row, id), &body).await {
        Err(error) if error.is_not_found(row.plural, &id.name) => Ok(()),
        answer => answer.map(drop),
    }
}
