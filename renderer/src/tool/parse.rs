//! `tools/<name>.yaml` from bytes.

use super::{Promotion, Tool};
use crate::config::fields;
use crate::decode::{Section, boolean, duration_secs, frame, open, text};
use crate::diagnostic::{Code, Findings, Report, shown};
use crate::names::ToolName;
use crate::platform::{limits_patch, user_id};
use crate::signers::{Whose, commits};
use crate::yaml::{self, Entry};

const KEYS: &[&str] = &["repository", "branch", "path", "uid", "limits", "promotion", "commits", "suspend"];

/// Reads a tool file; `file` is its path in the config repository, whose last part names the tool. The tool is there
/// where the report holds no error.
#[must_use]
pub fn parse(bytes: &[u8], file: &str) -> (Option<Tool>, Report) {
    let mut findings = Findings::new(file);
    let tool = yaml::read(bytes, &mut findings).and_then(|root| tool(&root, file, &mut findings));
    let report = findings.finish();
    (tool.filter(|_| report.is_good()), report)
}

fn tool(root: &yaml::Node, file: &str, findings: &mut Findings) -> Option<Tool> {
    let (name, spec) = frame(root, "Tool", KEYS, findings)?;
    let name = self::name(name, file, findings);
    let repository = spec.required("repository", findings).and_then(|e| repository(e, findings));
    let branch = spec.get("branch").map_or(Some("main".to_owned()), |e| fields::reference(e, findings));
    let path = spec.get("path").map_or(Some(String::new()), |e| path(e, findings));
    let limits = spec.get("limits").and_then(|e| limits_patch(e, findings)).unwrap_or_default();
    let uid = spec.get("uid").and_then(|e| user_id(e, findings));
    let promotion = spec.get("promotion").and_then(|e| promotion(e, name.as_ref(), findings));
    let commits = spec.get("commits").and_then(|e| commits(e, Whose::Tool, findings)).unwrap_or_default();
    let suspend = suspend(&spec, findings);
    let (name, repository, branch, path) = (name?, repository?, branch?, path?);
    Some(Tool { name, repository, branch, path, uid, limits, promotion, commits, suspend })
}

fn suspend(spec: &Section<'_>, findings: &mut Findings) -> bool {
    spec.get("suspend").and_then(|e| boolean(e, findings)).unwrap_or(false)
}

fn tool_name(entry: &Entry, findings: &mut Findings) -> Option<ToolName> {
    let written = text(entry, findings)?;
    let name = ToolName::new(written).ok();
    if name.is_none() {
        findings.add(Code::BadToolName, entry.value.place, format!("{} is no name of a tool", shown(written)));
    }
    name
}

fn name(entry: &Entry, file: &str, findings: &mut Findings) -> Option<ToolName> {
    let name = tool_name(entry, findings)?;
    let last = file.rsplit('/').next().unwrap_or(file);
    let stem = last.strip_suffix(".yaml").or_else(|| last.strip_suffix(".yml")).unwrap_or(last);
    if stem != name.as_str() {
        findings
            .add(
                Code::NameMismatch,
                entry.value.place,
                format!("the tool is named `{name}`, but its file is named {}", shown(last)),
            )
            .with_hint(format!("Name the file `{name}.yaml`, or write `name: {stem}`."));
    }
    Some(name)
}

/// Operators may name more than tools may: ssh, files and paths.
fn repository(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let url = text(entry, findings)?;
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let known = match scheme {
        // A relative path is taken from the config repository's folder, by whoever knows that folder.
        "" => url.starts_with('/') || url.starts_with("./") || url.starts_with("../") || is_scp(url),
        scheme => matches!(scheme, "https" | "http" | "git" | "ssh" | "file"),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    // A password may hold a `/`: then its `@` is in what looks like the path.
    let user = rest.rsplit_once('@').map(|(user, _)| user).filter(|_| !is_local(scheme, rest));
    let secret = user.is_some_and(|user| user.contains([':', '/']) || matches!(scheme, "https" | "http" | "git"));
    let strange = url.contains(|c: char| c.is_whitespace() || c.is_control())
        || url.starts_with('-')
        || rest.is_empty()
        || authority.starts_with('-');
    if secret {
        findings.add(Code::BadRepository, entry.value.place, "`repository` holds a user name or a password").with_hint(
            "Give the reconciler credentials by its environment; change the password, it is in the git history.",
        );
        return None;
    }
    if !known || strange {
        findings
            .add(
                Code::BadRepository,
                entry.value.place,
                "`repository` must be an https, http, git, ssh or file URL, or a path",
            )
            .with_hint("Write a URL such as `https://gitlab.example/group/name`.");
        return None;
    }
    Some(url.to_owned())
}

/// A folder's name may hold any character.
fn is_local(scheme: &str, rest: &str) -> bool {
    scheme == "file" || scheme.is_empty() && rest.starts_with(['/', '.'])
}

/// `git@host:path`.
fn is_scp(url: &str) -> bool {
    url.split_once(':').is_some_and(|(head, path)| head.contains('@') && !head.contains('/') && !path.is_empty())
}

/// A folder within the repository; without slashes at its ends.
fn path(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let written = text(entry, findings)?;
    let trimmed = written.trim_end_matches('/').trim_start_matches("./");
    let strange = |c: char| c.is_control() || c == '\\';
    let escapes = written.starts_with('/')
        || trimmed.split('/').any(|part| matches!(part, ".." | ".git") || part.is_empty() && !trimmed.is_empty());
    if escapes || written.contains(strange) || written.len() > 500 {
        findings
            .add(Code::BadPath, entry.value.place, format!("{} is no folder within the repository", shown(written)))
            .with_hint("Write it from the repository's root, without `..` and without a `/` at its start.");
        return None;
    }
    Some(if trimmed == "." { String::new() } else { trimmed.to_owned() })
}

fn promotion(entry: &Entry, own: Option<&ToolName>, findings: &mut Findings) -> Option<Promotion> {
    let section = open(entry, "`promotion`", &["from", "soak"], findings)?;
    let from_entry = section.required("from", findings)?;
    let from = tool_name(from_entry, findings)?;
    if Some(&from) == own {
        findings
            .add(Code::UnknownValue, from_entry.value.place, "`promotion.from` names the tool itself")
            .with_hint("Name the tool whose images this one takes over.");
    }
    let soak_secs = section.get("soak").map_or(Some(0), |e| duration_secs(e, findings))?;
    Some(Promotion { from, soak_secs })
}
