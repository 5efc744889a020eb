//! A look by somebody who may not read the platform's keys: values that can't be seen are taken for unchanged, by the marks
//! that stand in the cluster, so that everything else of a component is planned as it would be.

use super::Subject;
use planner::observed::{Observed, Seen};
use renderer::render::{SEALED, VALUES, sealed_name};
use renderer::{ComponentName, ObjectId, RenderedComponent};
use std::collections::BTreeMap;

impl Subject {
    /// Components of the newest revision whose values whoever looks can't know, so that they are taken for unchanged.
    #[must_use]
    pub fn unseen(&self) -> Vec<ComponentName> {
        let Some(newest) = self.newest.as_ref().ok().filter(|_| self.vault.is_elsewhere()) else { return Vec::new() };
        let has_values = |component: &RenderedComponent| {
            component.objects.iter().any(|object| object.id.name == sealed_name(&component.name))
        };
        self.render(newest).components.into_iter().filter(has_values).map(|component| component.name).collect()
    }
}

/// The mark of each component's Secret, as it is there.
pub(super) fn marks(observed: &Observed) -> BTreeMap<String, String> {
    let mark = |(id, seen): (&ObjectId, &Seen)| {
        let (Some(component), Seen::Live(live)) = (id.name.strip_prefix(SEALED), seen) else { return None };
        let mark = live.pointer("/metadata/annotations")?.get(VALUES)?.as_str()?;
        (id.kind == "Secret").then(|| (component.to_owned(), mark.to_owned()))
    };
    observed.objects.iter().filter_map(mark).collect()
}
