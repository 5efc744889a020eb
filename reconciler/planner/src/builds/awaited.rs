//! Builds that components wait for, as a plan has them, and the way to ask for one once more.

use super::{BuildState, gone, is_build};
use crate::image::build_of;
use crate::observed::Observed;
use crate::plan::{Held, Plan, Step, Why};
use renderer::request::build_name;
use renderer::{ComponentName, ObjectId};

/// A build that components wait for.
#[derive(Debug, Clone, PartialEq)]
pub struct Awaited {
    /// The name of its Job or PipelineRun, also where there is none yet.
    pub name: String,
    /// Who waits, in the plan's order.
    pub components: Vec<String>,
    /// How it stands; none where it has not been asked for.
    pub state: Option<BuildState>,
    /// What takes it back, where it is over and its image is not there: then it is asked for once more.
    pub taken_back: Option<Step>,
}

/// What the plan's components wait for, `of` one component or of all. Images that are made elsewhere are no builds.
#[must_use]
pub fn awaited(plan: &Plan, observed: &Observed, of: Option<&ComponentName>) -> Vec<Awaited> {
    let mut found: Vec<Awaited> = Vec::new();
    for held in plan.held.iter().filter(|held| of.is_none_or(|component| held.id.name == component.as_str())) {
        let Some(name) = build_of_held(held, plan) else { continue };
        if let Some(known) = found.iter_mut().find(|known| known.name == name) {
            known.components.push(held.id.name.clone());
            continue;
        }
        let live = observed.objects.keys().find(|id| is_build(&id.kind) && id.name == name && is_of_builds(id, plan));
        let live = live.and_then(|id| Some((id, observed.live(id)?)));
        let state = live.map(|(_, live)| BuildState::of(live));
        let over = state.as_ref().is_some_and(BuildState::is_over);
        let taken_back = live.filter(|_| over).and_then(|(id, live)| gone(id, live));
        found.push(Awaited { name, components: vec![held.id.name.clone()], state, taken_back });
    }
    found
}

/// The plan that takes these back.
#[must_use]
pub fn again(plan: &Plan, awaited: &[Awaited]) -> Plan {
    let steps = awaited.iter().filter_map(|one| one.taken_back.clone()).collect();
    Plan { steps, ..Plan::nothing(plan.tool.clone(), &plan.cluster, plan.target.clone()) }
}

fn build_of_held(held: &Held, plan: &Plan) -> Option<String> {
    match &held.why {
        Why::BuildFailed { build, .. } => Some(build.name.clone()),
        Why::AwaitingBuild { image } => Some(build_name(&plan.tool, &build_of(image.rsplit_once(':')?.1)?)),
        _ => None,
    }
}

/// A one-off's Job may have any name, but stands in the tool's own namespace.
fn is_of_builds(id: &ObjectId, plan: &Plan) -> bool {
    id.namespace.as_ref() != Some(&plan.tool.namespace())
}
