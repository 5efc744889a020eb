//! Where an image comes from: `build:` or `image:`.

use super::advice;
use super::keys::At;
use super::{Build, ParseContext, Source, env};
use crate::decode::{Section, boolean, text, text_or_number};
use crate::diagnostic::{Code, Findings, Place, shown};
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
        packages: section.get("packages").map(|e| env::packages(e, findings)).unwrap_or_default(),
        buildpacks: section
            .get("buildpacks")
            .map(|e| env::buildpacks(e, &context.buildpacks, findings))
            .unwrap_or_default(),
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

/// A branch, tag or commit.
pub(crate) fn reference(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let name = text(entry, findings)?;
    if name.is_empty() {
        empty(entry, findings);
        return None;
    }
    let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let wrong = name.contains(bad)
        || name.contains("..")
        || name.contains("@{")
        || name.contains("//")
        || name.starts_with(['-', '/', '.'])
        || name.ends_with(['/', '.'])
        || name.ends_with(".lock")
        || name.len() > 250;
    if wrong {
        findings.add(
            Code::BadReference,
            entry.value.place,
            format!("{} is no name git allows for a branch or tag", shown(name)),
        );
        return None;
    }
    Some(name.to_owned())
}

fn repository(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    let url = text(entry, findings)?;
    if url.is_empty() {
        empty(entry, findings);
        return None;
    }
    let host = match host(url) {
        Ok(host) => host,
        Err(why) => {
            let own = context.own_repository.as_deref().and_then(plain_form);
            let hint = if own.is_some() && own == plain_form(url) {
                "Leave `repository` out: it means this repository."
            } else {
                why.hint()
            };
            findings.add(Code::BadRepository, entry.value.place, why.message(url)).with_hint(hint);
            return None;
        }
    };
    let own =
        context.own_repository.as_deref().and_then(plain_form).is_some_and(|own| own.split('/').next() == Some(&host));
    if !own && !context.allowed_hosts.iter().any(|allowed| covers(allowed, &host)) {
        let hint = match context.allowed_hosts.as_slice() {
            [] => "Leave `repository` out, or ask the operators to allow the host.".to_owned(),
            hosts => format!("Allowed are {}.", hosts.join(", ")),
        };
        findings
            .add(
                Code::HostNotAllowed,
                entry.value.place,
                format!("the host {} is not one this platform builds from", shown(&host)),
            )
            .with_hint(hint);
        return None;
    }
    Some(url.to_owned())
}

/// `*` covers every host, `*.example.org` every host below, a name itself.
fn covers(allowed: &str, host: &str) -> bool {
    let allowed = allowed.to_lowercase();
    let below = allowed
        .strip_prefix('*')
        .is_some_and(|tail| tail.is_empty() || (tail.starts_with('.') && host.ends_with(tail)));
    below || allowed == host
}

/// Why a text is no URL we clone from. Nothing here holds the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadUrl {
    Ssh,
    UserInfo,
    Scheme,
    NoUrl,
}

impl BadUrl {
    fn message(self, url: &str) -> String {
        match self {
            BadUrl::Ssh => "`repository` is an ssh address; builds use public repositories only".to_owned(),
            BadUrl::UserInfo => "`repository` holds a user name or a password".to_owned(),
            BadUrl::Scheme => format!(
                "`repository` must be an http, https or git URL, but the scheme is {}",
                shown(url.split(':').next().unwrap_or_default())
            ),
            BadUrl::NoUrl => "`repository` must be an http, https or git URL".to_owned(),
        }
    }

    fn hint(self) -> &'static str {
        match self {
            BadUrl::Ssh => "Write the https URL, such as `https://gitlab.example/group/name`.",
            BadUrl::UserInfo => {
                "Remove everything up to the `@`; if it was a password or token, change it: it is in the git history."
            }
            BadUrl::Scheme | BadUrl::NoUrl => "Write a URL such as `https://gitlab.example/group/name`.",
        }
    }
}

/// The lower-case host of a URL we may clone from.
fn host(url: &str) -> Result<String, BadUrl> {
    let Some((scheme, rest)) = url.split_once("://") else {
        // `git@host:path` is ssh's short form.
        let scp =
            url.split_once(':').is_some_and(|(head, tail)| !head.contains('/') && !head.is_empty() && !tail.is_empty());
        return Err(if scp && url.contains('@') { BadUrl::Ssh } else { BadUrl::NoUrl });
    };
    match scheme.to_lowercase().as_str() {
        "http" | "https" | "git" => {}
        "ssh" | "git+ssh" | "ssh+git" => return Err(BadUrl::Ssh),
        _ if rest.contains('@') => return Err(BadUrl::UserInfo),
        _ => return Err(BadUrl::Scheme),
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(BadUrl::UserInfo);
    }
    let strange = |c: char| c.is_whitespace() || c.is_control() || "\\\"'<>`{}|^#".contains(c);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let good_host = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    let empty_path = path.trim_matches('/').is_empty();
    if empty_path || !good_host || !good_port || url.contains(strange) || url.len() > 500 {
        return Err(BadUrl::NoUrl);
    }
    Ok(host.to_lowercase())
}

/// Lower-case host and path without `.git`, of any form of address.
fn plain_form(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = if url.contains("://") { rest.to_owned() } else { rest.replacen(':', "/", 1) };
    let (authority, path) = rest.split_once('/')?;
    let host = authority.split(':').next()?;
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!host.is_empty()).then(|| format!("{host}/{path}").to_lowercase())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_urls_are_cloned() {
        for (url, expected) in [
            ("https://gitlab.example/a/b", Ok("gitlab.example".to_owned())),
            ("HTTPS://GitLab.example:8443/a", Ok("gitlab.example".to_owned())),
            ("git://host/a", Ok("host".to_owned())),
            ("http://127.0.0.1:3000/a.git", Ok("127.0.0.1".to_owned())),
            ("git@gitlab.example:a/b.git", Err(BadUrl::Ssh)),
            ("ssh://git@gitlab.example/a", Err(BadUrl::Ssh)),
            ("https://me:secret@gitlab.example/a", Err(BadUrl::UserInfo)),
            ("https://token@gitlab.example/a", Err(BadUrl::UserInfo)),
            ("file:///etc/passwd", Err(BadUrl::Scheme)),
            ("/srv/a.git", Err(BadUrl::NoUrl)),
            ("https://", Err(BadUrl::NoUrl)),
            ("https://host", Err(BadUrl::NoUrl)),
            ("https://host/a b", Err(BadUrl::NoUrl)),
            ("https://host:0/a", Err(BadUrl::NoUrl)),
            ("https://host/a#main", Err(BadUrl::NoUrl)),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

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

    #[test]
    fn every_address_of_a_repository_has_one_plain_form() {
        for url in ["https://Host/a/b.git", "ssh://git@host/a/b", "git@host:a/b.git", "http://host:8080/a/b/"] {
            assert_eq!(plain_form(url).as_deref(), Some("host/a/b"), "{url}");
        }
    }
}
