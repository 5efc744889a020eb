//! `repository` and `ref`: which public sources may be built.

use super::ParseContext;
use super::hosts::{self, Port, covers};
use super::source::empty;
use crate::decode::text;
use crate::diagnostic::{Code, Findings, nearest, shown};
use crate::yaml::Entry;

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

/// A URL we may clone from, on an allowed host.
pub(super) fn repository(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    let url = text(entry, findings)?;
    if url.is_empty() {
        empty(entry, findings);
        return None;
    }
    let (host, written) = match host(url) {
        Ok(found) => found,
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
    let port = Port::of(&url.split(':').next().unwrap_or_default().to_lowercase(), written);
    let own = context.own_repository.as_deref().and_then(own_host);
    if !own.iter().chain(&context.allowed_hosts).any(|allowed| covers(allowed, &host, port)) {
        let host = if port.usual { host } else { hosts::entry(&host, written) };
        let hint = match context.allowed_hosts.as_slice() {
            [] => "Leave `repository` out, or ask the operators to allow the host.".to_owned(),
            hosts => {
                let allowed = format!("Allowed are {}.", hosts.join(", "));
                match hosts.iter().find(|known| is_near(&host, known)) {
                    Some(near) => format!("Did you mean `{near}`? {allowed}"),
                    None => allowed,
                }
            }
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

/// Each part is this one's, or nearly: as a whole most hosts under one domain are near each other.
fn is_near(host: &str, known: &str) -> bool {
    let alike = |(typed, known): (&str, &str)| typed == known || nearest(typed, [known]).is_some();
    host.split('.').count() == known.split('.').count() && host.split('.').zip(known.split('.')).all(alike)
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

/// The lower-case host of a URL we may clone from, and the port where it writes one down.
fn host(url: &str) -> Result<(String, Option<u16>), BadUrl> {
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
    // A password may hold a `/`: then its `@` is in what looks like the path.
    if rest.contains('@') {
        return Err(BadUrl::UserInfo);
    }
    let strange = |c: char| c.is_whitespace() || c.is_control() || "\\\"'<>`{}|^#".contains(c);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let number = port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let good_port = port.is_none() || number.is_some();
    let good_host = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    let empty_path = path.trim_matches('/').is_empty();
    if empty_path || !good_host || !good_port || url.contains(strange) || url.len() > 500 {
        return Err(BadUrl::NoUrl);
    }
    Ok((host.to_lowercase(), number))
}

/// The host of the tool's own repository, as `allowed_hosts` has it. Over ssh it is another server's port.
fn own_host(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("ssh", url));
    if scheme.to_lowercase().contains("ssh") {
        return plain_form(url)?.split('/').next().map(str::to_owned);
    }
    let authority = rest.split('/').next()?;
    Some(authority.rsplit('@').next().unwrap_or(authority).to_lowercase()).filter(|host| !host.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_urls_are_cloned() {
        for (url, expected) in [
            ("https://gitlab.example/a/b", Ok(("gitlab.example".to_owned(), None))),
            ("HTTPS://GitLab.example:8443/a", Ok(("gitlab.example".to_owned(), Some(8443)))),
            ("git://host/a", Ok(("host".to_owned(), None))),
            ("http://127.0.0.1:3000/a.git", Ok(("127.0.0.1".to_owned(), Some(3000)))),
            ("git@gitlab.example:a/b.git", Err(BadUrl::Ssh)),
            ("ssh://git@gitlab.example/a", Err(BadUrl::Ssh)),
            ("https://me:secret@gitlab.example/a", Err(BadUrl::UserInfo)),
            ("https://token@gitlab.example/a", Err(BadUrl::UserInfo)),
            ("https://me:12/secret@gitlab.example/a", Err(BadUrl::UserInfo)),
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
    fn every_address_of_a_repository_has_one_plain_form() {
        for url in ["https://Host/a/b.git", "ssh://git@host/a/b", "git@host:a/b.git", "http://host:8080/a/b/"] {
            assert_eq!(plain_form(url).as_deref(), Some("host/a/b"), "{url}");
        }
    }
}
