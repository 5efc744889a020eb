//! The platform's own objects: its namespace, the Tool's definition, its settings as `diff` reads them, and its rules.
//! Looked at when we begin, whenever the config repository changes, and when a watch tells that somebody changed them (all
//! but the definition, which platforms of a cluster share, and which is looked at with the others); but for rules, never
//! pruned.

mod rules;

pub use rules::publish as publish_rules;

use crate::cluster::address;
use crate::cluster::call;
use crate::execute::FIELD_MANAGER;
use crate::observe;
use anyhow::Context as _;
use kube::Client;
use planner::admission::{Admission, RULES_KEY};
use planner::drift::{Ownership, drift};
use planner::kinds::Kind;
use planner::observed::Seen;
use renderer::render::PLATFORM_CONFIG_MAP;
use renderer::{Object, Platform, render_platform};

/// Applies what differs. Idempotent, and silent where nothing does.
///
/// # Errors
/// Where an object could not be read or written.
pub async fn publish(client: &Client, platform: &Platform, admission: &Admission) -> anyhow::Result<()> {
    let mut objects = render_platform(platform);
    if let Some(settings) = objects.iter_mut().find(|object| object.id.name == PLATFORM_CONFIG_MAP)
        && !admission.own().is_empty()
    {
        // For `diff` elsewhere, which may not read the rules themselves.
        settings.value["data"][RULES_KEY] = serde_json::to_string(admission.own())?.into();
    }
    put(client, objects).await
}

/// The platform's namespace alone: the lease that makes us the one writer stands in it.
///
/// # Errors
/// As [`publish`].
pub async fn namespace(client: &Client, platform: &Platform) -> anyhow::Result<()> {
    put(client, render_platform(platform).into_iter().filter(|object| object.id.kind == "Namespace").collect()).await
}

async fn put(client: &Client, objects: Vec<Object>) -> anyhow::Result<()> {
    let ids: Vec<_> = objects.iter().map(|object| object.id.clone()).collect();
    let mut seen = observe::confirm(client, &ids).await;
    for object in &objects {
        let seen = seen.remove(&object.id).context("a name that was asked about has an answer")?;
        let seen = seen.map_err(|why| anyhow::anyhow!("{}: {why}", object.id))?;
        if needs_apply(object, &seen) {
            apply(client, object).await.with_context(|| object.id.to_string())?;
        }
    }
    Ok(())
}

fn needs_apply(object: &Object, seen: &Seen) -> bool {
    match seen {
        Seen::Absent => true,
        Seen::Live(live) => !drift(object, live, &Ownership::of(FIELD_MANAGER)).is_none(),
    }
}

async fn apply(client: &Client, object: &Object) -> anyhow::Result<()> {
    let row = Kind::of_id(&object.id).context("a kind that is not in the table")?;
    call::apply(client, &address::object(row, &object.id), FIELD_MANAGER, &object.value).await?;
    Ok(())
}
