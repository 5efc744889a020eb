//! One look, for commands that plan once: gets and lists in the tool's own namespace, so that a maintainer's rights are
//! enough. And the one read that confirms an absence.

use super::raw::{Raw, in_tool_namespace};
use super::reading::{self, Selection};
use super::{Scope, assemble};
use crate::cluster::address;
use crate::cluster::call::{self, CallError};
use futures::StreamExt;
use futures::stream;
use kube::Client;
use planner::Forerunner;
use planner::kinds::{self, Kind, Needs, Watched};
use planner::observed::{MARK, Observed, Seen};
use renderer::request::BUILD_OF;
use renderer::{ObjectId, Tool, ToolName};
use serde_json::Value;
use std::collections::BTreeMap;

/// Requests of a look in flight at once: all of them, for they share a connection.
const ALL: usize = 32;
/// Names that are confirmed at once: many passes may do so at the same time.
const AT_ONCE: usize = 8;

/// Everything that a pass for this tool goes by: of itself, and of the tool that it is promoted from.
pub async fn once_for(client: &Client, scope: &Scope, tool: &Tool) -> Observed {
    let Some(promotion) = &tool.promotion else { return once(client, scope, &tool.name).await };
    let looks = (once(client, scope, &tool.name), forerunner(client, scope, &promotion.from));
    let (observed, forerunner) = futures::join!(looks.0, looks.1);
    Observed { forerunner: Some(forerunner), ..observed }
}

/// The tool that another is promoted from: how it is, and what it was Ready with.
async fn forerunner(client: &Client, scope: &Scope, tool: &ToolName) -> Forerunner {
    let mut observed = Observed::default();
    for (group, kind) in [("toolforge.org", "Tool"), ("apps", "ControllerRevision")] {
        let Some(row) = Kind::of(group, kind) else { continue };
        let (objects, gap) = match look(client, scope, row, tool).await {
            Ok(Look::Listed(objects)) => (objects, None),
            Ok(Look::Absent(_)) => continue,
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let known = objects.iter().map(|raw| (raw.key.id(row), &raw.stamp, &raw.json));
        assemble::add(&mut observed, row, known, gap.as_deref());
    }
    add_builds(&mut observed, look_at_builds(client, scope, Some(tool)).await);
    assemble::finish(&mut observed, tool);
    Forerunner::of(tool, &observed, scope.builds.as_ref().map(|(namespace, _)| namespace.as_str()))
}

/// Everything that can be learned of one tool now. What could not be read is a gap.
pub async fn once(client: &Client, scope: &Scope, tool: &ToolName) -> Observed {
    let mut observed = Observed { cluster: scope.cluster.clone(), ..Observed::default() };
    let rows = scope.rows().filter(|row| row.watched != Watched::Own && row.scope != kinds::Scope::Builds);
    let looks = rows.map(|row| async move { (row, look(client, scope, row, tool).await) });
    let looks = stream::iter(looks).buffered(ALL).collect::<Vec<_>>();
    let (found, builds) = futures::join!(looks, look_at_builds(client, scope, Some(tool)));
    for (row, answer) in found {
        let (objects, gap) = match answer {
            Ok(Look::Listed(objects)) => (objects, None),
            Ok(Look::Absent(id)) => {
                observed.objects.insert(id, Seen::Absent);
                continue;
            }
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let known = objects.iter().map(|raw| (raw.key.id(row), &raw.stamp, &raw.json));
        assemble::add(&mut observed, row, known, gap.as_deref());
    }
    add_builds(&mut observed, builds);
    assemble::finish(&mut observed, tool);
    observed
}

/// The builds of one tool or of all, with what their pods say, and nothing else. [`Observed::builds_unseen`] says why not.
pub async fn builds(client: &Client, scope: &Scope, tool: Option<&ToolName>) -> Observed {
    let mut observed = Observed { cluster: scope.cluster.clone(), ..Observed::default() };
    add_builds(&mut observed, look_at_builds(client, scope, tool).await);
    observed
}

/// What is known of builds. Who may not look there sees everything else all the same.
fn add_builds(observed: &mut Observed, found: Vec<Builds>) {
    for (row, answer) in found {
        match answer {
            Ok(objects) => {
                let known = objects.iter().map(|raw| (raw.key.id(row), &raw.stamp, &raw.json));
                assemble::add(observed, row, known, None);
            }
            Err(error) => observed.builds_unseen = Some(error.to_string()),
        }
    }
}

/// Builds, or their pods.
type Builds = (&'static Kind, Result<Vec<Raw>, CallError>);

/// What is being built for this tool or for all, and the pods of it.
async fn look_at_builds(client: &Client, scope: &Scope, tool: Option<&ToolName>) -> Vec<Builds> {
    let Some((namespace, needs)) = &scope.builds else { return Vec::new() };
    let kind = if *needs == Needs::Tekton { ("tekton.dev", "PipelineRun") } else { ("batch", "Job") };
    let looks = [(kind, MARK), (("", "Pod"), BUILD_OF)].into_iter().filter_map(|((group, kind), label)| {
        let row = Kind::of(group, kind)?;
        let label = tool.map_or(label.to_owned(), |tool| format!("{label}={tool}"));
        Some((row, Selection { row, namespace: Some(namespace.clone()), label: Some(label) }))
    });
    let looks = looks.map(|(row, selection)| async move {
        (row, reading::list(client, &selection, None, |raw| raw).await.map(|listed| listed.objects))
    });
    futures::future::join_all(looks).await
}

/// What one look at a kind showed.
enum Look {
    /// What is there.
    Listed(Vec<Raw>),
    /// The one object that was asked for is confirmed not to be there.
    Absent(ObjectId),
}

async fn look(client: &Client, scope: &Scope, row: &'static Kind, tool: &ToolName) -> Result<Look, CallError> {
    let of_tool = format!("{MARK}={tool}");
    let marked = |label: String| row.is_marked().then_some(label);
    let selection = match row.scope {
        kinds::Scope::Cluster => return look_at_own(client, row, tool).await,
        _ if in_tool_namespace(row) => {
            Selection { row, namespace: Some(tool.namespace()), label: marked(MARK.to_owned()) }
        }
        _ => Selection { row, namespace: Some(scope.platform_namespace.clone()), label: marked(of_tool) },
    };
    Ok(Look::Listed(reading::list(client, &selection, None, |raw| raw).await?.objects))
}

/// The Namespace or Tool of this tool, by name.
async fn look_at_own(client: &Client, row: &'static Kind, tool: &ToolName) -> Result<Look, CallError> {
    let name = if row.kind == "Namespace" { tool.namespace() } else { tool.as_str().to_owned() };
    let id = ObjectId { group: row.group.to_owned(), kind: row.kind.to_owned(), namespace: None, name };
    match call::get(client, &address::object(row, &id), None).await {
        Ok(bytes) => {
            let text = std::str::from_utf8(&bytes).map_err(|_| CallError::Garbage("not UTF-8".to_owned()))?;
            let raw = Raw::read(row, text).map_err(|error| CallError::Garbage(call::place(&error)))?;
            Ok(Look::Listed(vec![raw]))
        }
        Err(error) if error.is_not_found(row.plural, &id.name) => Ok(Look::Absent(id)),
        Err(error) => Err(error),
    }
}

/// Reads each name once. Absent is what the server says does not exist, in a Status about that very object; everything
/// else that is not the object is a reason why nothing is known.
pub async fn confirm(client: &Client, ids: &[ObjectId]) -> BTreeMap<ObjectId, Result<Seen, CallError>> {
    // Collected: a closure over borrowed ids, kept across an await, makes the future unfit for `spawn`.
    let reads: Vec<_> = ids.iter().map(|id| async move { (id.clone(), read_one(client, id).await) }).collect();
    stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
}

async fn read_one(client: &Client, id: &ObjectId) -> Result<Seen, CallError> {
    let row = Kind::of_id(id).ok_or_else(|| CallError::Garbage(format!("{} is no kind we speak", id.kind)))?;
    let accept = (row.watched == Watched::Metadata).then_some(call::METADATA);
    match call::get(client, &address::object(row, id), accept).await {
        Ok(bytes) => {
            let mut value: Value = call::parse(&bytes)?;
            for secret in row.secret_paths {
                value.as_object_mut().map(|object| object.remove(*secret));
            }
            // Metadata alone comes as an object of another kind.
            if row.watched == Watched::Metadata
                && let Some(object) = value.as_object_mut()
            {
                object.insert("apiVersion".to_owned(), row.api_version().into());
                object.insert("kind".to_owned(), row.kind.into());
            }
            if value.pointer("/metadata/name").and_then(Value::as_str) != Some(id.name.as_str()) {
                return Err(CallError::Garbage("it is about another object".to_owned()));
            }
            Ok(Seen::Live(value.into()))
        }
        Err(error) if error.is_not_found(row.plural, &id.name) => Ok(Seen::Absent),
        Err(error) => Err(error),
    }
}
