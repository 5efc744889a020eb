//! `network` of a platform: what its tools may connect to.

use crate::config::{Port, Protocol};
use crate::decode::{Section, boolean, open, text, text_map, texts};
use crate::diagnostic::{Code, Findings, shown};
use crate::names::is_dns_label;
use crate::yaml::{Entry, Node};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Addresses that are inner ones where operators say nothing: those that are routed inside of organisations only.
const INNER: [&str; 5] = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
/// More ranges, openings or ports than this are no setting any more.
const MOST: usize = 200;

/// What may be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Every address outside may be; default true.
    pub internet: bool,
    /// Ranges that are not outside.
    pub inner: Vec<String>,
    /// What may be besides, by a name for people.
    pub open: BTreeMap<String, Opening>,
}

/// One thing that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Where it is.
    pub to: Destination,
    /// At which ports.
    pub ports: Vec<Port>,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// At these addresses, `10.1.2.0/24`.
    Range(String),
    /// In a namespace of the cluster.
    Namespace {
        /// Its name.
        name: String,
        /// Labels of its pods; all of them where there are none.
        pods: BTreeMap<String, String>,
    },
}

/// Reads it.
pub(super) fn network(entry: &Entry, findings: &mut Findings) -> Option<Network> {
    let section = open(entry, "`network`", &["internet", "inner", "open"], findings)?;
    let internet = section.get("internet").map_or(Some(true), |entry| boolean(entry, findings));
    let inner = match section.get("inner") {
        None => INNER.map(str::to_owned).to_vec(),
        Some(entry) => texts(entry, MOST, findings).into_iter().filter_map(|(t, at)| range(t, at, findings)).collect(),
    };
    let open = section.get("open").map(|entry| openings(entry, findings)).unwrap_or_default();
    Some(Network { internet: internet?, inner, open })
}

fn openings(entry: &Entry, findings: &mut Findings) -> BTreeMap<String, Opening> {
    let Some(mapping) = entry.value.mapping() else {
        let message = format!("`open` must be a mapping of names, but is {}", entry.value.described());
        findings
            .add(Code::WrongType, entry.value.place, message)
            .with_hint("Write `name: {namespace: redis, ports: [6379]}` a line.");
        return BTreeMap::new();
    };
    if let Some(beyond) = mapping.entries.get(MOST) {
        let message = format!("`open` has {} entries; at most {MOST} are allowed", mapping.entries.len());
        findings.add(Code::TooMany, beyond.key_place, message);
    }
    let all = mapping.entries.iter().take(MOST);
    all.filter_map(|item| Some((item.key.clone(), opening(item, findings)?))).collect()
}

fn opening(entry: &Entry, findings: &mut Findings) -> Option<Opening> {
    let section = open(entry, "the opening", &["cidr", "namespace", "pods", "ports"], findings)?;
    let to = destination(&section, findings);
    let ports = section.required("ports", findings)?;
    let written = texts_or_numbers(ports);
    if written.is_empty() {
        findings.add(Code::EmptyValue, section.place(), "`ports` names none").with_hint("Write `ports: [6379]`.");
    }
    let ports = written.into_iter().filter_map(|(text, node)| port(&text, node, findings)).collect();
    Some(Opening { to: to?, ports })
}

fn destination(section: &Section<'_>, findings: &mut Findings) -> Option<Destination> {
    match (section.get("cidr"), section.get("namespace")) {
        (Some(entry), None) => {
            if let Some(pods) = section.get("pods") {
                findings
                    .add(Code::WrongKind, pods.key_place, "`pods` does not belong to a range of addresses")
                    .with_hint("Remove it, or name a `namespace` instead of `cidr`.");
            }
            text(entry, findings).and_then(|text| range(text, &entry.value, findings)).map(Destination::Range)
        }
        (None, Some(entry)) => {
            let name = namespace(entry, findings);
            let pods = section.get("pods").map(|entry| text_map(entry, MOST, findings)).unwrap_or_default();
            let labels = pods.into_iter().filter(|(item, value)| is_label(item, value, findings));
            let pods = labels.map(|(item, value)| (item.key.clone(), value.to_owned())).collect();
            Some(Destination::Namespace { name: name?, pods })
        }
        _ => {
            findings
                .add(Code::MissingKey, section.place(), "an opening needs one of `cidr` and `namespace`")
                .with_hint("Write `cidr: 10.1.2.0/24`, or `namespace: redis`.");
            None
        }
    }
}

/// What the server would refuse of a label would make every tool's policy one that it refuses.
fn is_label(item: &Entry, value: &str, findings: &mut Findings) -> bool {
    let is_word = |text: &str| {
        let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        text.len() <= 63 && ends(text.bytes().next()) && ends(text.bytes().last()) && text.bytes().all(known)
    };
    let (prefix, name) = item.key.rsplit_once('/').unwrap_or(("a", &item.key));
    let is_prefix = prefix.len() <= 253 && prefix.split('.').all(|part| is_dns_label(part, 63));
    if is_prefix && is_word(name) && (value.is_empty() || is_word(value)) {
        return true;
    }
    findings
        .add(Code::BadName, item.key_place, format!("{} is no label of a pod", shown(&item.key)))
        .with_hint("Write a label as `kubectl get pods --show-labels` shows it, such as `app: redis`.");
    false
}

/// Whoever lets a tool in says so in a file of its own.
fn namespace(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let name = text(entry, findings)?;
    if !is_dns_label(name, 63) {
        findings
            .add(Code::BadName, entry.value.place, format!("{} is no name of a namespace", shown(name)))
            .with_hint("Write a name as `kubectl get namespaces` shows it.");
        return None;
    }
    if name.starts_with("tool-") {
        findings
            .add(Code::BadName, entry.value.place, format!("{} is a tool's namespace", shown(name)))
            .with_hint("A tool lets others in by `allow_from` in its toolforge.yaml.");
        return None;
    }
    Some(name.to_owned())
}

/// A port may be written as a number.
fn texts_or_numbers(entry: &Entry) -> Vec<(String, &Node)> {
    let one = std::slice::from_ref(&entry.value);
    let items = entry.value.sequence().unwrap_or(one);
    items.iter().take(MOST).map(|item| (item.scalar().map(|s| s.text.to_string()).unwrap_or_default(), item)).collect()
}

/// `6379`, `53/udp`.
fn port(text: &str, node: &Node, findings: &mut Findings) -> Option<Port> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let number = number.parse::<u16>().ok().filter(|number| digits && *number > 0);
    if let (Some(number), Some(protocol)) = (number, protocol) {
        return Some(Port { number, protocol });
    }
    findings
        .add(Code::BadAddress, node.place, format!("{} is no port", shown(text)))
        .with_hint("Write a number from 1 to 65535, with `/udp` where it is not tcp: `6379`, `53/udp`.");
    None
}

/// A range of addresses, as Kubernetes takes it: not all of them, and no bit set behind the prefix.
fn range(text: &str, node: &Node, findings: &mut Findings) -> Option<String> {
    let hint = match parsed(text) {
        Some((network, bits)) if bits > 0 && format!("{network}/{bits}") == text => return Some(text.to_owned()),
        Some((_, 0)) => "Every address is no range; `internet: true` opens all that are outside.".to_owned(),
        Some((network, bits)) => format!("Write `{network}/{bits}`."),
        None => "Write a range such as `10.1.2.0/24`, or one address as `10.1.2.3/32`.".to_owned(),
    };
    findings.add(Code::BadAddress, node.place, format!("{} is no range of addresses", shown(text))).with_hint(hint);
    None
}

/// The first address of the range, and how many bits all have in common.
fn parsed(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) if bits <= 32 => {
            let kept = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Some((IpAddr::V4((u32::from(address) & kept).into()), bits))
        }
        IpAddr::V6(address) if bits <= 128 => {
            let kept = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Some((IpAddr::V6((u128::from(address) & kept).into()), bits))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_where_its_prefix_says() {
        let of = |text: &str| parsed(text).map(|(network, bits)| format!("{network}/{bits}"));
        assert_eq!(of("10.1.2.3/24").as_deref(), Some("10.1.2.0/24"));
        assert_eq!(of("10.1.2.3/32").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(of("10.1.2.3/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(of("2001:DB8::1/32").as_deref(), Some("2001:db8::/32"));
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "redis/8", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
