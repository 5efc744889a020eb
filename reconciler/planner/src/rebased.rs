//! The same application on another run image: `toolforge rebase --deploy` writes the image and chooses it for its build,
//! and from there it is a deployment like any other, with pods that become Ready or don't. One that does not goes back to
//! the image before, and is not tried again until another one is chosen. It comes to the tools in waves of its own.
//!
//! A tool that was told to stay, or was led back, runs what it ran: choosing says nothing against that.

use crate::course::Course;
use crate::decide::{Input, Newest};
use crate::deployments;
use crate::pin::Pin;
use crate::plan::Why;
use crate::stored::StoredImage;
use crate::target::{chosen, images_of, images_unknown};
use renderer::Rendered;
use std::collections::BTreeMap;

/// Whether an image was chosen that has not become Ready yet.
pub(crate) fn is_pending(input: &Input) -> bool {
    let (Some(stored), Newest::Revision(_, rendered)) = (input.observed.stored.first(), input.newest) else {
        return false;
    };
    rendered.components.iter().any(|component| {
        let ran = stored.images.get(&component.name);
        let chosen = chosen(component, input.observed);
        ran.zip(chosen).is_some_and(|(ran, chosen)| ran.digest != chosen.digest)
    })
}

/// Whether what was chosen is left out of this plan; and where it was tried and failed, what to say of that.
pub(crate) fn left_out(input: &Input, pin: &Pin, way: &Course) -> Option<Option<Why>> {
    if input.observed.chosen.is_empty() {
        return None;
    }
    if way.kept_back.is_some() || pin.hold || pin.commit.is_some() {
        return Some(None);
    }
    let Newest::Revision(revision, rendered) = input.newest else { return None };
    let commit = revision.commit.clone().filter(|_| is_pending(input))?;
    let why = failed(input, rendered, pin)?;
    Some(Some(Why::RolledBack { commit, why: format!("on another run image, {why}") }))
}

/// With which words this very try failed before.
fn failed(input: &Input, rendered: &Rendered, pin: &Pin) -> Option<String> {
    let commit = input.newest_commit();
    if images_unknown(rendered, commit, input.observed) {
        return None;
    }
    let id = deployments::id(rendered, &images_of(rendered, commit, input.observed), pin.retry.as_deref());
    deployments::failed(input.status(), &id)
}

/// The run image that the chosen images stand on, as their tags name it: what comes to all tools in waves of its own.
#[must_use]
pub fn run_image_chosen(chosen: &BTreeMap<String, StoredImage>) -> Option<&str> {
    chosen.values().filter_map(|image| Some(image.source.rsplit_once("-r")?.1)).max()
}
