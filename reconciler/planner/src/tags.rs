//! Tags that were moved by hand. A build's tag is written once; where it points elsewhere by now, the digest that was Ready
//! counts, and a person is told.

use crate::image::build_of;
use crate::observed::{ImageSeen, Observed};
use crate::promotion::{Offer, offer};
use crate::stored::StoredImage;
use renderer::Rendered;
use std::collections::BTreeSet;

/// What runs by a build's tag, by the last good revision: whoever asks registries looks at these now and then.
pub fn running(observed: &Observed) -> impl Iterator<Item = &StoredImage> {
    let images = observed.stored.first().into_iter().flat_map(|stored| stored.images.values());
    images.filter(|image| is_built(image))
}

/// Whether it stands under a build's tag.
pub(crate) fn is_built(image: &StoredImage) -> bool {
    image.source.rsplit_once(':').is_some_and(|(_, tag)| build_of(tag).is_some())
}

/// A line for each tag that points elsewhere than what counts: of what runs, and of what is taken over.
pub(crate) fn moved(rendered: &Rendered, observed: &Observed) -> Vec<String> {
    let taken = rendered.components.iter().filter_map(|component| match offer(&component.image, observed) {
        Offer::Image(image) => Some(image),
        Offer::Unknown(_) | Offer::None => None,
    });
    let all: BTreeSet<String> =
        running(observed).cloned().chain(taken).filter_map(|image| says(&image, observed)).collect();
    all.into_iter().collect()
}

fn says(StoredImage { source, digest }: &StoredImage, observed: &Observed) -> Option<String> {
    let (ImageSeen::Found(seen) | ImageSeen::Unfit { digest: seen, .. }) = observed.images.get(source)? else {
        return None;
    };
    (seen != digest).then(|| {
        format!(
            "tag {source} points to {seen} by now; what was Ready under it is {digest}, and that counts; delete the tag in \
             the registry, or set `build.nonce` to build anew"
        )
    })
}
