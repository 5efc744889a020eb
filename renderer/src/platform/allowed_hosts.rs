//! `allowed_hosts`: what would match no host is no entry.

use crate::config::hosts::wrong;
use crate::decode::texts;
use crate::diagnostic::{Code, Findings, shown};
use crate::yaml::Entry;

pub(super) fn allowed_hosts(entry: &Entry, findings: &mut Findings) -> Vec<String> {
    let mut hosts = Vec::new();
    for (text, node) in texts(entry, 200, findings) {
        match wrong(text) {
            None => hosts.push(text.to_owned()),
            Some((why, hint)) => {
                let message = format!("{} of `allowed_hosts` {why}", shown(text));
                findings.add(Code::BadAddress, node.place, message).with_hint(hint);
            }
        }
    }
    hosts
}
