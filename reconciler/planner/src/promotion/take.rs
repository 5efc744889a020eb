//! An image that the forerunner has is taken over, by the digest it has there, and not built again.

use super::Forerunner;
use crate::image::build_of;
use crate::kinds::Identity;
use crate::observed::{ImageSeen, Observed};
use crate::plan::{Action, Cause, Request, Step};
use crate::stored::StoredImage;
use renderer::rendered::Image;
use renderer::{ObjectId, Rendered, RenderedComponent, ToolName};
use std::collections::BTreeMap;

/// What is known of a component's image in the forerunner's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is there: the reference, and the digest that counts.
    Image(StoredImage),
    /// The registry has not said.
    Unknown(String),
    /// There is none, or nobody to take it from.
    None,
}

/// What the forerunner offers. The digest is the one that was Ready there, where one was; else what the tag says now.
pub(crate) fn offer(image: &Image, observed: &Observed) -> Offer {
    let (Some(forerunner), Some(source)) = (&observed.forerunner, source(image, observed)) else { return Offer::None };
    match observed.images.get(&source) {
        Some(ImageSeen::Found(seen)) => {
            let proven = forerunner.images().find(|image| image.source == source).map(|image| &image.digest);
            Offer::Image(StoredImage { digest: proven.unwrap_or(seen).clone(), source })
        }
        Some(ImageSeen::Missing | ImageSeen::Unfit { .. }) => Offer::None,
        Some(ImageSeen::Unknown(why)) => Offer::Unknown(why.clone()),
        None => Offer::Unknown("not asked".to_owned()),
    }
}

/// The same build in the forerunner's place: where it was Ready with it, on whichever run image, else under the same
/// component.
pub(crate) fn source(image: &Image, observed: &Observed) -> Option<String> {
    let (forerunner, Image::Built { repository, build }) = (observed.forerunner.as_ref()?, image) else { return None };
    let (own, name) = repository.rsplit_once('/')?;
    let (registry, _) = own.rsplit_once('/')?;
    let place = format!("{registry}/{}/", forerunner.name.namespace());
    let is_it = |image: &&StoredImage| {
        let rest = image.source.strip_prefix(&place).and_then(|rest| rest.split_once(':'));
        rest.is_some_and(|(name, tag)| !name.contains('/') && build_of(tag).as_ref() == Some(build))
    };
    let known = forerunner.images().find(is_it);
    Some(known.map_or_else(|| format!("{place}{name}:{build}"), |image| image.source.clone()))
}

impl Forerunner {
    fn images(&self) -> impl Iterator<Item = &StoredImage> {
        self.stored.iter().flat_map(|stored| stored.images.values())
    }
}

/// Whether the forerunner is about to have the image: then nobody builds it twice.
pub(crate) fn builds_it(image: &str, observed: &Observed) -> Option<ToolName> {
    let forerunner = observed.forerunner.as_ref()?;
    let build = build_of(image.rsplit_once(':')?.1)?;
    forerunner.building.iter().any(|digits| build.as_str().starts_with(digits)).then(|| forerunner.name.clone())
}

/// `image/tool-wordcount/web`: an image, by its place.
pub(crate) fn image_id(image: &Image) -> Option<ObjectId> {
    let Image::Built { repository, .. } = image else { return None };
    let (own, name) = repository.rsplit_once('/')?;
    Some(ObjectId {
        group: "toolforge.org".to_owned(),
        kind: "Image".to_owned(),
        namespace: Some(own.rsplit('/').next()?.to_owned()),
        name: name.to_owned(),
    })
}

/// A step for each image that is taken over, however many components share it.
pub(crate) fn steps(rendered: &Rendered, observed: &Observed) -> Vec<Step> {
    let step = |component: &RenderedComponent| {
        let Image::Built { repository, build } = &component.image else { return None };
        let to = format!("{repository}:{build}");
        let is_missing = observed.images.get(&to) == Some(&ImageSeen::Missing);
        let Offer::Image(StoredImage { source: from, digest }) = offer(&component.image, observed) else { return None };
        let id = image_id(&component.image).filter(|_| is_missing)?;
        let requests = vec![Request::Promote { from, digest, to }];
        Some((
            id.clone(),
            Step {
                id,
                action: Action::Promote,
                cause: Cause::NewRevision,
                identity: Identity::Platform,
                changes: Vec::new(),
                requests,
            },
        ))
    };
    let steps: BTreeMap<ObjectId, Step> = rendered.components.iter().filter_map(step).collect();
    steps.into_values().collect()
}
