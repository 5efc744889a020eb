//! What a tool's pods may connect to, where the platform says so (`network`).
//!
//! A NetworkPolicy only ever adds, so everything stands in the default policy of the tool's namespace, which is the
//! platform's: its own pods, names (DNS), what operators open to everyone, the addresses outside, and *every* tool. For
//! each tool's namespace is closed to what comes in, but for those whom its own `allow_from` names: the side that lets in
//! decides, and no list of it stands in a second place, where it would be old.
//!
//! "Outside" is every address but the inner ones. Whether such a range covers pods differs between networks, and need not
//! be known: pods are inner addresses, and their namespaces are closed besides. Never outside is where clouds keep what a
//! machine may know of itself.

use crate::config::Port;
use crate::platform::{Destination, Network, Opening};
use serde_json::{Value, json};

/// Where a cluster's names are served, unless operators open another place.
const DNS_NAMESPACE: &str = "kube-system";
const DNS_PORT: u16 = 53;
/// Reach no further than a cable; and where Oracle's, Azure's and Amazon's clouds keep the same, at addresses of their own.
const NEVER: [&str; 5] = ["169.254.0.0/16", "192.0.0.192/32", "168.63.129.16/32", "fe80::/10", "fd00:ec2::254/128"];

/// The rules of a tool, one a thing that is open.
pub(super) fn rules(network: &Network) -> Vec<Value> {
    let any_tool = json!({"namespaceSelector": {"matchLabels": {"tenancy": "tool"}}});
    [json!({"to": [{"podSelector": {}}, any_tool]})].into_iter().chain(rules_of_builds(network)).collect()
}

/// The same for builds, which run what strangers wrote, too: they have nothing to ask of tools.
pub(super) fn rules_of_builds(network: &Network) -> Vec<Value> {
    let names = ["UDP", "TCP"].map(|protocol| json!({"port": DNS_PORT, "protocol": protocol}));
    let mut rules = vec![json!({"to": [in_namespace(DNS_NAMESPACE)], "ports": names})];
    rules.extend(network.open.values().map(opened));
    if network.internet {
        rules.push(json!({"to": [outside(network, "0.0.0.0/0"), outside(network, "::/0")]}));
    }
    rules
}

fn in_namespace(name: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}})
}

fn opened(opening: &Opening) -> Value {
    let to = match &opening.to {
        Destination::Range(range) => json!({"ipBlock": {"cidr": range}}),
        Destination::Namespace { name, pods } => {
            let mut peer = in_namespace(name);
            if !pods.is_empty() {
                peer["podSelector"] = json!({"matchLabels": pods});
            }
            peer
        }
    };
    let port = |port: &Port| json!({"port": port.number, "protocol": port.protocol.as_str()});
    json!({"to": [to], "ports": opening.ports.iter().map(port).collect::<Vec<_>>()})
}

/// All addresses of one family but the inner ones.
fn outside(network: &Network, all: &str) -> Value {
    let of_family = |range: &&str| range.contains(':') == all.contains(':');
    let written = network.inner.iter().map(String::as_str).filter(|range| !NEVER.contains(range));
    let inner: Vec<_> = NEVER.into_iter().chain(written).filter(of_family).collect();
    json!({"ipBlock": {"cidr": all, "except": inner}})
}
