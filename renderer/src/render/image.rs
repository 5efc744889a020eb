//! Which image a component runs: as written, or under the tag of its build.

use super::{Frame, Refusal, command};
use crate::build::{BuildInputs, Origin, image_repository, is_of_another_tool, origin, same_repository};
use crate::config::{Build, Component, Source};
use crate::diagnostic::{Code, shown};
use crate::names::{CommitId, ComponentName, TreeId};
use crate::rendered::Image;
use crate::request::{BuildRequest, BuildSource};
use crate::revision::{ResolvedSource, SourceRef};

/// The image of a component. A source that could not be resolved is no reason to withhold it: it is planned with
/// [`Image::Unresolved`] and held until the source answers.
pub(crate) fn image(
    frame: &Frame<'_>,
    name: &ComponentName,
    component: &Component,
) -> Result<(Image, Option<BuildRequest>), Refusal> {
    let (image, mut request) = match &component.source {
        Source::Image(reference) => (prebuilt(frame, reference)?, None),
        Source::Build(build) => built(frame, name, build)?,
        Source::Reuse(target) => match frame.config.components.get(target).map(|target| &target.source) {
            Some(Source::Build(build)) => built(frame, target, build)?,
            Some(_) => return Err(reuse(Code::ReuseFromChain, format!("component {target} is not built from source"))),
            None => return Err(reuse(Code::ReuseFromMissing, format!("this file has no good component {target}"))),
        },
    };
    if let Some(request) = &mut request {
        request.processes.extend(started(frame, component));
    }
    Ok((image, request))
}

/// A tool's images may hold what is nobody else's business, so whatever is allowed else, they run in that tool only.
fn prebuilt(frame: &Frame<'_>, reference: &str) -> Result<Image, Refusal> {
    if is_of_another_tool(&frame.platform.registry, &frame.tool.name, reference) {
        let message = format!("{} is an image of another tool", shown(reference));
        return Err(Refusal::new(Code::ImageNotAllowed, "image", message)
            .hint("Use an image of this tool, or build the component from source."));
    }
    Ok(Image::Prebuilt { reference: reference.to_owned() })
}

fn reuse(code: Code, message: String) -> Refusal {
    Refusal::new(code, "build.reuse_from", message)
}

/// What a component's image is built from; none where it is not built, or its source is not known.
pub(super) fn inputs(frame: &Frame<'_>, component: &Component) -> Option<BuildInputs> {
    let build = build_of(frame, component)?;
    BuildInputs::new(source(frame, build).ok()?.0, build, &frame.platform.builder).ok()
}

/// The `build:` that a component runs, its own or another one's.
fn build_of<'a>(frame: &Frame<'a>, component: &'a Component) -> Option<&'a Build> {
    match &component.source {
        Source::Build(build) => Some(build),
        Source::Reuse(target) => match &frame.config.components.get(target)?.source {
            Source::Build(build) => Some(build),
            Source::Reuse(_) | Source::Image(_) => None,
        },
        Source::Image(_) => None,
    }
}

fn built(frame: &Frame<'_>, name: &ComponentName, build: &Build) -> Result<(Image, Option<BuildRequest>), Refusal> {
    let (tree, source) = match source(frame, build) {
        Ok(found) => found,
        Err(why) => return Ok((Image::Unresolved { why }, None)),
    };
    let inputs = BuildInputs::new(tree, build, &frame.platform.builder).map_err(|unknown| {
        let message = format!("this platform has no buildpack {unknown}");
        Refusal::new(Code::UnknownBuildpack, "build.buildpacks", message)
    })?;
    let repository = image_repository(&frame.platform.registry, &frame.tool.name, name);
    let request = source.map(|source| BuildRequest::new(&inputs, build, frame.platform, source));
    Ok((Image::Built { repository, build: inputs.id() }, request))
}

/// The word by which a component starts an image of this very tree, where that is a process's name or a program's.
fn started(frame: &Frame<'_>, component: &Component) -> Option<String> {
    let build = build_of(frame, component)?;
    let is_own = origin(build, frame.tool, frame.siblings) == Origin::Own;
    if is_own { command::only_word(&component.run.command) } else { None }
}

/// Puts a request among the others. One build makes one image: who needs the same as a component before it runs the
/// image of that one.
pub(super) fn requested(
    builds: &mut Vec<BuildRequest>,
    image: Image,
    mut request: BuildRequest,
    component: &ComponentName,
) -> Image {
    let Image::Built { repository, build } = image else { return image };
    if let Some(before) = builds.iter_mut().find(|before| before.id == build) {
        before.components.push(component.clone());
        before.processes.extend(request.processes);
        return Image::Built { repository: before.repository.clone(), build };
    }
    request.repository.clone_from(&repository);
    request.components.push(component.clone());
    builds.push(request);
    Image::Built { repository, build }
}

/// The tree that is built, and where its commit is fetched: nowhere for a working tree, which nobody else can see.
fn source(frame: &Frame<'_>, build: &Build) -> Result<(TreeId, Option<BuildSource>), String> {
    let at = |repository: &str, reference: &str, commit: &CommitId, path: &str| BuildSource {
        repository: repository.to_owned(),
        reference: reference.to_owned(),
        commit: commit.clone(),
        path: path.to_owned(),
    };
    match origin(build, frame.tool, frame.siblings) {
        Origin::Own => {
            let (tool, revision) = (frame.tool, frame.revision);
            let tree = revision.tree.clone().ok_or_else(|| "this revision has no tree id yet".to_owned())?;
            let commit = revision.commit.as_ref();
            Ok((tree, commit.map(|commit| at(&tool.repository, &revision.branch, commit, &tool.path))))
        }
        Origin::Other(source) => {
            let (tree, commit) = resolved(&source, frame.revision.resolved.get(&source.key()))?;
            // Its own is fetched as the config repository says, with the key that is for that address.
            let own = &frame.tool.repository;
            let from = if same_repository(&source.repository, own) { own } else { &source.repository };
            Ok((tree, Some(at(from, &source.reference, &commit, ""))))
        }
    }
}

fn resolved(source: &SourceRef, found: Option<&ResolvedSource>) -> Result<(TreeId, CommitId), String> {
    let SourceRef { repository, reference } = source;
    match found {
        Some(ResolvedSource::Found { tree, commit }) => Ok((tree.clone(), commit.clone())),
        Some(ResolvedSource::NoSuchRef { nearest: Some(nearest) }) => {
            Err(format!("{repository} has no ref {reference}; the nearest is {nearest}"))
        }
        Some(ResolvedSource::NoSuchRef { nearest: None }) => Err(format!("{repository} has no ref {reference}")),
        Some(ResolvedSource::Unavailable { why }) => Err(format!("{repository} could not be asked: {why}")),
        None => Err(format!("{repository} has not been asked for {reference} yet")),
    }
}
