//! Which builds are asked for, which have failed, and which nobody needs any more.
//!
//! A build is due while a component waits for its image and nothing builds it. The request is an object
//! ([`renderer::request`]), and its name is made of the build's id: so it is asked for once, by whichever process, and a
//! build that failed is not asked for again while what it is made of stays the same. Its success is no news by itself:
//! the image in the registry is. What a newer revision no longer needs is cancelled.

mod awaited;
mod state;
mod told;

pub use awaited::{Awaited, again, awaited};
pub use state::BuildState;
pub use told::{Build, told};

use crate::decide::Input;
use crate::draft::Draft;
use crate::kinds::Identity;
use crate::moment::Moment;
use crate::observed::{Observed, is_terminating, uid_of};
use crate::plan::{Action, Cause, Held, Request, Step, Why};
use crate::pods;
use crate::promotion::builds_it;
use crate::tags::is_built;
use crate::target::Targets;
use renderer::request::BuildRequest;
use renderer::{Image, ObjectId, Rendered, RenderedComponent};
use serde_json::Value;
use std::collections::BTreeSet;

/// Finished builds of one tool that are kept for whoever wants to read them, besides those that are wanted now.
const KEPT: usize = 5;
/// Whether there is room again is looked at after this.
pub const LOOK_AGAIN_SECS: u64 = 600;

/// Adds to a plan what the revision's builds need; nothing where images come from elsewhere.
pub(crate) fn plan(draft: &mut Draft<'_>, newest: &Rendered, targets: &Targets) {
    let input = draft.input.clone();
    let Some(builds) = &input.platform.builds else { return };
    let wanted: Vec<_> = newest
        .builds
        .iter()
        .filter_map(|request| Some((request, request.object(input.platform, input.tool)?)))
        .collect();
    let running = mine(&input).filter(|(_, live)| !BuildState::of(live).is_over()).count();
    let per_tool = (builds.at_once_per_tool as usize).saturating_sub(running);
    let mut places = per_tool.min(input.circumstances.builds_left as usize);
    for (request, object) in &wanted {
        if !is_awaited(request, targets) {
            continue;
        }
        if let Some(why) = &input.observed.builds_unseen {
            let remark = format!("whether {} is being built can't be seen here: {why}", object.id);
            draft.plan.remarks.push(remark);
            continue;
        }
        if let Some(gap) = input.observed.gap(&object.id) {
            replace(draft, request, &Why::NotObserved(format!("{}: {}", gap.kind, gap.why)));
            continue;
        }
        match input.observed.live(&object.id) {
            Some(live) => judge(draft, request, &object.id, live),
            None if let Some(other) = builds_it(&request.image(), input.observed) => {
                draft.plan.remarks.push(format!("{} is being built for {other}, and taken over from there", object.id));
            }
            None if let Some(why) = no_room(&input) => {
                replace(draft, request, &why);
                // Room is made elsewhere, and nobody tells.
                let later = input.circumstances.now.plus_secs(LOOK_AGAIN_SECS);
                draft.plan.due = draft.plan.due.into_iter().chain([later]).min();
            }
            None if places > 0 => {
                places -= 1;
                draft.plan.steps.push(Step {
                    id: object.id.clone(),
                    action: Action::Build,
                    cause: Cause::NewRevision,
                    identity: Identity::Platform,
                    changes: Vec::new(),
                    requests: vec![Request::Create { body: object.value.clone() }],
                });
            }
            None => draft.plan.queued += 1,
        }
    }
    if is_all_known(newest) {
        let names = wanted.iter().map(|(_, object)| &object.id).collect();
        draft.plan.steps.extend(superseded(&names, &input));
    }
}

/// Why no further image is built: those that are there take more than the tool may.
fn no_room(input: &Input) -> Option<Why> {
    let quota = input.platform.registry.quota_bytes()?;
    let taken = input.circumstances.space_taken_bytes.filter(|taken| *taken > quota)?;
    let (tool, [taken, quota]) = (&input.tool.name, [taken, quota].map(mebibytes));
    Some(Why::OverQuota(format!(
        "{tool}'s images take {taken} of {quota} in the registry; `toolforge gc {tool}` says what of it can go"
    )))
}

/// `1536Mi`, as the quota is written; a part counts as a whole.
fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(1 << 20))
}

/// Where this tool's images are, as far as its revisions say: repositories, without a tag.
#[must_use]
pub fn repositories(newest: Option<&Rendered>, observed: &Observed) -> BTreeSet<String> {
    let builds = newest.into_iter().flat_map(|rendered| &rendered.builds).map(|request| request.repository.clone());
    let stored = observed.stored.iter().flat_map(|stored| stored.images.values());
    let built =
        stored.filter(|image| is_built(image)).filter_map(|image| Some(image.source.rsplit_once(':')?.0.to_owned()));
    builds.chain(built).collect()
}

/// Whether every component says what it needs. What could not be read may need what is being built.
fn is_all_known(newest: &Rendered) -> bool {
    let unknown = |component: &RenderedComponent| matches!(component.image, Image::Unresolved { .. });
    newest.withheld.is_empty() && !newest.components.iter().any(unknown)
}

fn is_awaited(request: &BuildRequest, targets: &Targets) -> bool {
    targets.held.iter().any(|held| awaits(held, request))
}

fn awaits(held: &Held, request: &BuildRequest) -> bool {
    matches!(&held.why, Why::AwaitingBuild { image } if *image == request.image())
}

/// Whoever waits for this build waits for something else.
fn replace(draft: &mut Draft<'_>, request: &BuildRequest, why: &Why) {
    for held in draft.plan.held.iter_mut().filter(|held| awaits(held, request)) {
        held.why = why.clone();
    }
}

/// A build that is there: a failed one is told with the end of its log, or asked for again where a person said so.
fn judge(draft: &mut Draft<'_>, request: &BuildRequest, id: &ObjectId, live: &Value) {
    let why = match BuildState::of(live) {
        BuildState::Failed(why) => pods::last_words(id, draft.input.observed).unwrap_or(why),
        BuildState::TimedOut => {
            let secs = draft.input.platform.builds.as_ref().map_or(0, |builds| builds.timeout_secs);
            format!("it was ended after {secs} s")
        }
        BuildState::Cancelled { over: true } => "somebody cancelled it".to_owned(),
        _ => return,
    };
    if was_asked_again(&draft.input, live)
        && let Some(step) = gone(id, live)
    {
        draft.plan.steps.push(step);
        return;
    }
    replace(draft, request, &Why::BuildFailed { build: id.clone(), why });
}

/// `toolforge retry` after it was made.
fn was_asked_again(input: &Input, live: &Value) -> bool {
    let made = live.pointer("/metadata/creationTimestamp").and_then(Value::as_str).and_then(Moment::parse);
    let asked = input.pin().retry.as_deref().and_then(Moment::parse);
    asked.zip(made).is_some_and(|(asked, made)| made < asked)
}

/// This tool's builds, whoever needs them.
fn mine<'a>(input: &'a Input) -> impl Iterator<Item = (&'a ObjectId, &'a Value)> {
    let namespace = input.platform.builds.as_ref().map(|builds| builds.namespace(input.platform));
    let here = move |id: &&ObjectId| namespace.as_ref().is_some_and(|namespace| is_build_in(id, namespace));
    let ours = |id: &&ObjectId| input.observed.is_ours(id, input.tool.name.as_str(), input.field_manager);
    let ids = input.observed.objects.keys().filter(here).filter(ours);
    ids.filter_map(|id| Some((id, input.observed.live(id)?)))
}

/// What no component of the newest revision needs: cancelled where it runs, and where it is over kept for a while.
fn superseded(wanted: &BTreeSet<&ObjectId>, input: &Input) -> Vec<Step> {
    let seen = |id: &ObjectId| input.observed.gap(id).is_none();
    let others = mine(input).filter(|(id, live)| seen(id) && !wanted.contains(id) && !is_terminating(live));
    let mut others: Vec<_> = others.collect();
    let made = |live: &Value| live.pointer("/metadata/creationTimestamp").and_then(Value::as_str).map(str::to_owned);
    // Newest first, so that the oldest of those that are over go.
    others.sort_by_key(|(id, live)| std::cmp::Reverse((made(live), (*id).clone())));
    let (over, running): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, live)| BuildState::of(live).is_over());
    running.into_iter().chain(over.into_iter().skip(KEPT)).filter_map(|(id, live)| gone(id, live)).collect()
}

/// How many builds of this tool are under way, with those that have just begun.
#[must_use]
pub fn under_way(observed: &Observed, namespace: &str, begun: usize) -> usize {
    let here = |id: &&ObjectId| is_build_in(id, namespace);
    let live = observed.objects.keys().filter(here).filter_map(|id| observed.live(id));
    live.filter(|live| !BuildState::of(live).is_over()).count() + begun
}

/// What the names of builds that are under way end with: the first digits of their ids.
#[must_use]
pub fn ids_under_way(observed: &Observed, namespace: &str) -> BTreeSet<String> {
    let here = observed.objects.keys().filter(|id| is_build_in(id, namespace));
    let runs = |id: &&ObjectId| observed.live(id).is_some_and(|live| !BuildState::of(live).is_over());
    here.filter(runs).filter_map(|id| Some(id.name.rsplit_once('-')?.1.to_owned())).collect()
}

/// Names of this tool's builds that have made their images.
#[must_use]
pub fn succeeded(observed: &Observed, namespace: &str) -> BTreeSet<String> {
    let here = observed.objects.keys().filter(|id| is_build_in(id, namespace));
    let done = |id: &&ObjectId| observed.live(id).is_some_and(|live| BuildState::of(live) == BuildState::Succeeded);
    here.filter(done).map(|id| id.name.clone()).collect()
}

/// Whether builds are of this kind; the namespace tells them from other Jobs.
#[must_use]
pub fn is_build(kind: &str) -> bool {
    matches!(kind, "Job" | "PipelineRun")
}

fn is_build_in(id: &ObjectId, namespace: &str) -> bool {
    id.namespace.as_deref() == Some(namespace) && is_build(&id.kind)
}

fn gone(id: &ObjectId, live: &Value) -> Option<Step> {
    Some(Step {
        id: id.clone(),
        action: Action::Prune,
        cause: Cause::NewRevision,
        identity: Identity::Platform,
        changes: Vec::new(),
        requests: vec![Request::Delete { uid: uid_of(live)?.to_owned() }],
    })
}
