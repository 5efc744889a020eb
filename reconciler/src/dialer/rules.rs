//! Which hosts and addresses may be dialled.
//!
//! Two questions, kept apart. *May a `toolforge.yaml` name this host?* Only if the config repository names it too
//! ([`Rules::names`]). *May a connection go to this address?* A public one always; any other only if operators wrote
//! the host down as private: `allowed_hosts`, the registry and the config repository's own host do that for a name,
//! while a tool's repository does it only where it spells the address itself (`127.0.0.1`, `localhost`), because the
//! address behind a volunteer's name is the volunteer's to change.

use renderer::config::hosts::{self, Port};
use renderer::platform::KnownHost;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// A host, lower-case, on one port or on all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// `host` on `port`; on every port where none is given.
    #[must_use]
    pub fn new(host: &str, port: Option<u16>) -> Self {
        Self { host: plain(host), port }
    }

    /// `gitlab.example`, `gitlab.example:8443`, `[::1]:8000`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
                Ok(port) => Self::new(host, Some(port)),
                Err(_) => Self::new(text, None),
            },
            _ => Self::new(text, None),
        }
    }

    /// The address is visible in the host itself, so whoever wrote the host down has seen it.
    #[must_use]
    pub fn spells_its_address(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok()
    }
}

/// Why a host is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("host {host} is not allowed: {why}")]
pub struct Refusal {
    /// Host and port, without userinfo.
    pub host: String,
    /// A fragment.
    pub why: String,
}

impl Refusal {
    pub(super) fn new(url: &Url, why: &str) -> Self {
        Self { host: authority(url), why: why.to_owned() }
    }
}

/// What operators allow. The default allows every public address and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// As `allowed_hosts` has them.
    named: BTreeSet<String>,
    private: BTreeSet<HostPort>,
    known_hosts: Arc<[KnownHost]>,
}

impl Rules {
    /// Operators trust this host wherever it points, and a `toolforge.yaml` may name it: `allowed_hosts`, the config
    /// repository's host.
    pub fn trust(&mut self, host: HostPort) {
        self.named.insert(hosts::entry(&host.host, host.port));
        self.reach(host);
    }

    /// Operators trust this host wherever it points, but it is no git host: a registry.
    pub fn reach(&mut self, host: HostPort) {
        self.private.insert(host);
    }

    /// A tool's repository, as the config repository names it; `written` is its port, where that is not its scheme's own.
    pub fn name(&mut self, host: HostPort, written: Option<u16>) {
        self.named.insert(hosts::entry(&host.host, written));
        if host.spells_its_address() {
            self.private.insert(host);
        }
    }

    /// Which keys hosts show over ssh.
    pub fn know(&mut self, hosts: &[KnownHost]) {
        self.known_hosts = hosts.into();
    }

    /// The keys that a host may show on this port: none where nobody wrote any down.
    #[must_use]
    pub fn host_keys(&self, host: &str, port: u16) -> Vec<KnownHost> {
        self.known_hosts.iter().filter(|known| known.is_of(host, port)).cloned().collect()
    }

    /// Whether a `toolforge.yaml` may name this host on this port.
    #[must_use]
    pub fn names(&self, host: &str, port: Port) -> bool {
        self.named.iter().any(|named| hosts::covers(named, host, port))
    }

    /// Whether `url` may be asked: http or https, and if its host is an address, an allowed one.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit_url(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::new(url, "only http and https are dialled"));
        }
        let port = url.port_or_known_default();
        let literal: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            // Resolved, and checked, where it is connected to; but `localhost` is as good as an address.
            Some(Host::Domain(host)) => return self.admit_localhost(url, host, port),
            None => return Err(Refusal::new(url, "the URL has no host")),
        };
        let host = literal.to_string();
        self.admit_addresses(&host, port, vec![SocketAddr::new(literal, 0)]).map(drop)
    }

    /// Whether operators trust the host, and not on this port: there it is a public host or none. A name is resolved
    /// without its port, so this is asked before.
    pub(super) fn trust_another_port(&self, url: &Url) -> bool {
        let host = url.host_str().map(plain).unwrap_or_default();
        self.private.iter().any(|trusted| trusted.host == host) && !self.trust_url(url)
    }

    /// Whether `url` may be asked because `from` named it: a stranger's server sends nobody to a host that only
    /// operators may open.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit_hop(&self, from: &Url, url: &Url) -> Result<(), Refusal> {
        self.admit_url(url)?;
        let stranger = from.host_str().map(plain) != url.host_str().map(plain) && !self.trust_url(from);
        if stranger && self.trust_url(url) {
            return Err(Refusal::new(url, "another host names it, and only operators may"));
        }
        Ok(())
    }

    fn trust_url(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|host| self.is_private_by_name(host, url.port_or_known_default()))
    }

    fn admit_localhost(&self, url: &Url, host: &str, port: Option<u16>) -> Result<(), Refusal> {
        if plain(host) != "localhost" || self.is_private_by_name(host, port) {
            return Ok(());
        }
        Err(Refusal::new(url, "it is loopback, and allowed_hosts of the platform does not list it"))
    }

    /// The addresses among `found` that may be connected to; at least one.
    ///
    /// # Errors
    /// Where there is none.
    pub fn admit_addresses(
        &self,
        host: &str,
        port: Option<u16>,
        found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        if self.is_private_by_name(host, port) {
            return Ok(found);
        }
        let refused = found.first().map(|address| address.ip());
        let public: Vec<_> = found.into_iter().filter(|a| is_public(a.ip())).collect();
        match refused {
            Some(address) if public.is_empty() => Err(Refusal {
                host: port.map_or_else(|| plain(host), |port| format!("{}:{port}", plain(host))),
                why: format!(
                    "its address {address} is {}, and allowed_hosts of the platform does not list it",
                    kind(address)
                ),
            }),
            _ => Ok(public),
        }
    }

    fn is_private_by_name(&self, host: &str, port: Option<u16>) -> bool {
        let host = plain(host);
        self.private.iter().any(|trusted| {
            trusted.host == host
                && match (trusted.port, port) {
                    (Some(trusted), Some(asked)) => trusted == asked,
                    // A name is resolved without its port; the port was checked before, see `trust_another_port`.
                    _ => true,
                }
        })
    }
}

/// Host and port of a URL, without userinfo.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("no host");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn plain(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

fn is_public(address: IpAddr) -> bool {
    kind(address) == Kind::Public
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Loopback,
    Private,
    LinkLocal,
    Special,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Special => "special-purpose",
        })
    }
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

/// The IANA special-purpose registry, as far as it is not globally reachable.
fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Kind::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Kind::Private,
        (169, 254, _) => Kind::LinkLocal,
        (0 | 224..=255, ..) | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Kind::Special
        }
        _ => Kind::Public,
    }
}

/// An address that carries an IPv4 address (mapped, compatible, NAT64, 6to4) is what that address is.
fn kind_v6(address: Ipv6Addr) -> Kind {
    let s = address.segments();
    let tail = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Special,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => kind_v4(tail),
        [0x2002, high, low, ..] => kind_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        [first, ..] if first & 0xfe00 == 0xfc00 => Kind::Private,
        [first, ..] if first & 0xffc0 == 0xfe80 || first & 0xffc0 == 0xfec0 => Kind::LinkLocal,
        // Global unicast is 2000::/3; of it, 2001:0::/23 (Teredo and protocol assignments) and 2001:db8::/32 are not.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => Kind::Special,
        [first, ..] if first & 0xe000 == 0x2000 => Kind::Public,
        _ => Kind::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn inner_addresses_are_recognised_in_every_disguise() {
        for inner in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(ip(inner)), "{inner}");
        }
        for public in ["1.1.1.1", "172.32.0.1", "2606:4700::1", "::ffff:1.1.1.1"] {
            assert!(is_public(ip(public)), "{public}");
        }
    }

    #[test]
    fn a_tool_repository_on_a_name_does_not_open_private_addresses_but_a_spelt_address_does() {
        let mut rules = Rules::default();
        rules.name(HostPort::parse("git.volunteer.example"), None);
        rules.name(HostPort::parse("127.0.0.1:8000"), Some(8000));
        let inner = vec!["10.0.0.1:0".parse().expect("an address")];
        let refused = rules.admit_addresses("git.volunteer.example", None, inner.clone()).expect_err("refused");
        assert!(refused.to_string().contains("10.0.0.1 is private"));
        rules.trust(HostPort::parse("Git.Volunteer.example."));
        assert_eq!(rules.admit_addresses("git.volunteer.example", None, inner.clone()).as_ref(), Ok(&inner));
        let ok = Url::parse("http://127.0.0.1:8000/a").expect("a URL");
        let other_port = Url::parse("http://127.0.0.1:6443/a").expect("a URL");
        assert_eq!(rules.admit_url(&ok), Ok(()));
        assert!(rules.admit_url(&other_port).is_err());
    }

    #[test]
    fn public_addresses_of_a_mixed_answer_are_kept_and_inner_ones_dropped() {
        let found = ["10.0.0.1:0", "1.1.1.1:0"].map(|a| a.parse().expect("an address"));
        let kept = Rules::default().admit_addresses("a.example", None, found.to_vec());
        assert_eq!(kept, Ok(vec![found[1]]));
    }

    #[test]
    fn a_refusal_never_shows_userinfo() {
        let url = Url::parse("ftp://user:pass@host.example/x").expect("a URL");
        let refusal = Rules::default().admit_url(&url).expect_err("refused");
        assert_eq!(refusal.to_string(), "host host.example is not allowed: only http and https are dialled");
    }

    #[test]
    fn a_host_listed_with_a_port_is_trusted_on_that_port_alone() {
        let mut rules = Rules::default();
        rules.trust(HostPort::parse("git.example:8443"));
        rules.reach(HostPort::parse("registry.example"));
        let url = |text: &str| Url::parse(text).expect("a URL");
        assert!(!rules.trust_another_port(&url("https://git.example:8443/x")));
        assert!(rules.trust_another_port(&url("https://git.example/x")));
        assert!(!rules.trust_another_port(&url("https://registry.example:5000/x")));
        assert!(!rules.trust_another_port(&url("https://public.example/x")));
        let inner = vec!["10.0.0.1:0".parse().expect("an address")];
        assert!(rules.admit_addresses("git.example", Some(8443), inner.clone()).is_ok());
        assert!(rules.admit_addresses("git.example", Some(22), inner).is_err());
    }

    #[test]
    fn a_stranger_s_server_sends_nobody_to_a_trusted_host() {
        let mut rules = Rules::default();
        rules.trust(HostPort::parse("git.example"));
        rules.reach(HostPort::parse("registry.example"));
        let hop = |from: &str, to: &str| {
            rules.admit_hop(&Url::parse(from).expect("a URL"), &Url::parse(to).expect("a URL")).is_ok()
        };
        assert!(!hop("https://stranger.example/x", "https://git.example/x"));
        assert!(hop("https://stranger.example/x", "https://other.example/x"));
        assert!(hop("http://git.example/x", "https://git.example/y"));
        assert!(hop("https://registry.example/v2/", "https://git.example/jwt/auth"), "operators trust both");
    }
}
