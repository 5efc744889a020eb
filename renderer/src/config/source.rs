//! Where an image comes from: `build:` or `image:`.

use super::advice;
use super::keys::At;
use super::repository::{reference, repository};
use super::{Build, ParseContext, Source, env};
use crate::decode::{Section, boolean, text, text_or_number, texts};
use crate::diagnostic::{Code, Findings, Place, nearest, shown};
use crate::names::ComponentName;
use crate::yaml::Entry;

/// `build:` and `image:` of one component; none where it has an error that hides what was meant.
pub(super) fn source(component: &Section<'_>, context: &ParseContext, findings: &mut Findings) -> Option<Source> {
    match (component.get("image"), component.get("build")) {
        (Some(image), Some(build)) => {
            findings.add(
                Code::TwoSources,
                image.key_place,
                format!("both `image` and `build` (line {}) say where the image comes from", build.key_place.line),
            );
            self::build(build, context, findings);
            None
        }
        (Some(entry), None) => image(entry, context, findings).map(Source::Image),
        (None, Some(entry)) => build(entry, context, findings),
        (None, None) => Some(Source::Build(Build::default())),
    }
}

fn build(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<Source> {
    let section = Section::open(&entry.value, entry.key_place, &advice::level(At::Build), findings)?;
    let repository = section.get("repository").map(|e| (repository(e, context, findings), e));
    let reference = section.get("ref").map(|e| reference(e, findings));
    let mut build = Build {
        repository: None,
        reference: None,
        packages: section.get("packages").map(|e| packages(e, findings)).unwrap_or_default(),
        buildpacks: section.get("buildpacks").map(|e| buildpacks(e, &context.buildpacks, findings)).unwrap_or_default(),
        envvars: section.get("envvars").map(|e| env::env(e, context, findings)).unwrap_or_default(),
        use_latest_versions: section.get("use_latest_versions").and_then(|e| boolean(e, findings)).unwrap_or(false),
        nonce: section.get("nonce").and_then(|e| short(e, findings)),
    };
    if let Some(entry) = section.get("use_deprecated_versions")
        && boolean(entry, findings) == Some(true)
    {
        findings
            .add(Code::IgnoredKey, entry.key_place, "`use_deprecated_versions` does nothing here")
            .with_hint("Remove it; the platform's builder is used.");
    }
    if let Some(entry) = section.get("reuse_from") {
        return reuse(entry, &section, findings).map(Source::Reuse);
    }
    if let Some((repository, _)) = repository {
        build.repository = Some(repository?);
    }
    if let Some(reference) = reference {
        build.reference = Some(reference?);
    }
    Some(Source::Build(build))
}

fn reuse(entry: &Entry, section: &Section<'_>, findings: &mut Findings) -> Option<ComponentName> {
    let other = section.entries().find(|e| {
        e.key != "reuse_from"
            && e.key != "use_deprecated_versions"
            && e.key != "use_latest_versions"
            && advice::is_known(At::Build, &e.key)
    });
    if let Some(other) = other {
        let message = format!("`reuse_from` takes the image of another component, so {} has no use", shown(&other.key));
        findings.add(Code::TwoSources, other.key_place, message).with_hint("Keep `reuse_from` or the build, not both.");
    }
    let name = text(entry, findings)?;
    let good = ComponentName::new(name).ok();
    if good.is_none() {
        findings.add(Code::ReuseFromMissing, entry.value.place, format!("{} is no name of a component", shown(name)));
    }
    good
}

/// Text or number of at most 128 characters.
pub(super) fn short(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let text = text_or_number(entry, findings)?;
    if text.is_empty() {
        empty(entry, findings);
        return None;
    }
    if text.len() > 128 {
        findings.add(
            Code::TooLong,
            entry.value.place,
            format!("{} has {} bytes; at most 128 are allowed", shown(&entry.key), text.len()),
        );
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn empty(entry: &Entry, findings: &mut Findings) {
    findings.add(Code::EmptyValue, entry.value.place, format!("{} is empty", shown(&entry.key)));
}

/// `image:`, of a registry the platform runs from.
pub(crate) fn image(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    let reference = image_reference(entry, findings)?;
    let under = |prefix: &String| {
        reference
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with(['/', ':', '@']))
    };
    if !context.allowed_images.is_empty() && !context.allowed_images.iter().any(under) {
        findings
            .add(
                Code::ImageNotAllowed,
                entry.value.place,
                format!("{} is in a registry this platform does not run from", shown(&reference)),
            )
            .with_hint(format!("Allowed are images under {}.", context.allowed_images.join(", ")));
        return None;
    }
    Some(reference)
}

/// A well-formed image reference.
pub(crate) fn image_reference(entry: &Entry, findings: &mut Findings) -> Option<String> {
    if entry.value.mapping().is_some() {
        let message = "`image` must be text such as `registry.example/name:tag`, but is a mapping";
        findings
            .add(Code::WrongType, entry.value.place, message)
            .with_hint("Write `image: registry.example/name:tag`, or use `build:`.");
        return None;
    }
    let reference = text(entry, findings)?;
    if reference.is_empty() {
        empty(entry, findings);
        return None;
    }
    if !is_reference(reference) {
        findings.add(Code::BadImage, entry.value.place, format!("{} is no image reference", shown(reference)));
        return None;
    }
    Some(reference.to_owned())
}

/// `[host[:port]/]path[:tag][@sha256:digest]`.
pub(crate) fn is_reference(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let colon = name.rfind(':').filter(|at| !name[*at..].contains('/'));
    let (path, tag) = colon.map_or((name, None), |at| (&name[..at], Some(&name[at + 1..])));
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let good_tag = |tag: &str| {
        tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b"-.".contains(&b))
    };
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| edge(b) || b"-._".contains(&b))
            && part.bytes().next().is_some_and(edge)
            && part.bytes().next_back().is_some_and(edge)
    };
    let host = |part: &str| {
        let (name, port) = part.split_once(':').map_or((part, None), |(name, port)| (name, Some(port)));
        is_host(name) && port.is_none_or(|p| p.parse::<u16>().is_ok())
    };
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let good_first = part(first) || (!rest.is_empty() && host(first));
    text.len() <= 400
        && good_first
        && rest.iter().all(|p| part(p))
        && tag.is_none_or(good_tag)
        && digest.is_none_or(|d| crate::Digest::new(d).is_ok())
}

fn is_host(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        && !name.starts_with(['-', '.'])
}

/// A place for a message about a target of `reuse_from`.
pub(super) fn reuse_place(component: &Section<'_>) -> Place {
    let build = component.get("build").and_then(|entry| entry.value.mapping());
    build.and_then(|build| build.get("reuse_from")).map_or(component.place(), |entry| entry.value.place)
}

/// `build.packages`.
fn packages(entry: &Entry, findings: &mut Findings) -> Vec<String> {
    let is_package = |name: &str| {
        let mut bytes = name.bytes();
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        (2..=128).contains(&name.len())
            && bytes.next().is_some_and(edge)
            && bytes.all(|b| edge(b) || b"+-.".contains(&b))
    };
    let mut names: Vec<String> = Vec::new();
    for (name, node) in texts(entry, 100, findings) {
        if is_package(name) {
            if !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        } else {
            let hint = if name.contains('=') {
                "Versions cannot be chosen: write the name alone."
            } else {
                Code::BadPackage.fix()
            };
            findings
                .add(Code::BadPackage, node.place, format!("{} is no name of a Debian package", shown(name)))
                .with_hint(hint);
        }
    }
    names
}

/// `build.buildpacks`, of those on offer.
fn buildpacks(entry: &Entry, offered: &[String], findings: &mut Findings) -> Vec<String> {
    let mut names = Vec::new();
    for (name, node) in texts(entry, 20, findings) {
        if offered.iter().any(|o| o == name) {
            names.push(name.to_owned());
            continue;
        }
        let known = || offered.iter().map(String::as_str);
        let tail = |o: &&str| o.rsplit('/').next() == Some(name);
        let hint = match nearest(name, known()).or_else(|| known().find(tail)) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None if offered.is_empty() => {
                "This platform offers none by name: remove the key, and they are detected.".to_owned()
            }
            None => format!("On offer are {}.", offered.join(", ")),
        };
        findings
            .add(Code::UnknownBuildpack, node.place, format!("{} is no buildpack of this platform", shown(name)))
            .with_hint(hint);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_are_those_a_registry_takes() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for good in [
            "python",
            "python:3.13",
            "registry.example:5000/a/b:c",
            "localhost/a",
            digest.as_str(),
            "tool-x/y:latest",
            "Registry.Example/a",
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in ["", "A", "a b", "a:", "a@sha256:1", "/a", "a//b", "https://a/b", "a:b:c", "-a"] {
            assert!(!is_reference(bad), "{bad}");
        }
    }
}
