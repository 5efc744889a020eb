//! What a pass reads by itself before it plans: names whose absence is not confirmed, and images that nobody knows.

use crate::cluster::call::CallError;
use crate::observe;
use crate::registry::Registry;
use futures::StreamExt as _;
use kube::Client;
use planner::observed::{Gap, ImageSeen, Observed};
use renderer::{ObjectId, Platform};
use std::collections::BTreeSet;

/// Registry look-ups of one pass at once: a tool may name many images, and registries of strangers.
const IMAGES_AT_ONCE: usize = 4;

/// One read for each name: it is there, it is confirmed absent, or nothing can be said about its kind. Returned is why not.
pub(super) async fn confirm(ids: &[ObjectId], observed: &mut Observed, client: &Client) -> Vec<CallError> {
    let mut errors = Vec::new();
    for (id, seen) in observe::confirm(client, ids).await {
        match seen {
            Ok(seen) => drop(observed.objects.insert(id, seen)),
            Err(error) => {
                observed.gaps.push(Gap { group: id.group, kind: id.kind, why: error.to_string() });
                errors.push(error);
            }
        }
    }
    errors
}

/// Asks the registry about each of these references.
pub(super) async fn look_up_images(
    needed: BTreeSet<String>,
    observed: &mut Observed,
    (registry, platform): (&Registry, &Platform),
) {
    let asked: Vec<_> = needed
        .into_iter()
        .map(|reference| async move {
            let answer = registry.seen(&reference, platform).await;
            (reference, answer)
        })
        .collect();
    let answers: Vec<_> = futures::stream::iter(asked).buffer_unordered(IMAGES_AT_ONCE).collect().await;
    for (reference, answer) in answers {
        observed.images.insert(reference, seen(answer));
    }
}

/// An answer of a registry, as plans take it.
pub(crate) fn seen<E: std::fmt::Display>(answer: Result<ImageSeen, E>) -> ImageSeen {
    answer.unwrap_or_else(|why| ImageSeen::Unknown(why.to_string()))
}
