//! `allowed_hosts`: which hosts may be named, and on which port. The same for what a file says and for what is dialled.

/// Whether an entry covers a host: `*` covers every one, `*.example.org` every one below, a name itself. With a port it
/// covers that port alone; without one the `usual` one alone, which is the scheme's own.
#[must_use]
pub fn covers(allowed: &str, host: &str, port: Port) -> bool {
    let allowed = allowed.to_ascii_lowercase();
    let (pattern, listed) = with_port(&allowed);
    let (pattern, host) = (plain(pattern), host.to_ascii_lowercase());
    let host = plain(&host);
    let below = pattern
        .strip_prefix('*')
        .is_some_and(|tail| tail.is_empty() || (tail.starts_with('.') && host.ends_with(tail)));
    (below || pattern == host) && listed.map_or(port.usual, |listed| Some(listed) == port.number)
}

/// The port of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Its number, where the scheme has one.
    pub number: Option<u16>,
    /// Whether it is the scheme's own.
    pub usual: bool,
}

impl Port {
    /// As it is written in an address, if it is.
    #[must_use]
    pub fn of(scheme: &str, written: Option<u16>) -> Self {
        let own = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            "git" => Some(9418),
            _ => None,
        };
        Self { number: written.or(own), usual: written.is_none() || written == own }
    }
}

/// A host as `allowed_hosts` takes it, from an address that has it on this port, if it writes one down.
#[must_use]
pub fn entry(host: &str, written: Option<u16>) -> String {
    match written {
        Some(port) if host.contains(':') => format!("[{}]:{port}", plain(host)),
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Why a text is no entry: the rest of a message, and what to write.
pub(crate) fn wrong(entry: &str) -> Option<(&'static str, &'static str)> {
    let is_range = entry.split_once('/').is_some_and(|(address, bits)| {
        plain(address).parse::<core::net::IpAddr>().is_ok() && bits.bytes().all(|b| b.is_ascii_digit())
    });
    if is_range {
        return Some(("is a range of addresses", "List each address: `10.0.0.7`, or `10.0.0.7:8443`."));
    }
    let (host, _) = with_port(entry);
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let good = host == "*"
        || plain(name).parse::<core::net::IpAddr>().is_ok()
        || (!name.is_empty() && name.len() <= 253 && name.bytes().all(is_name));
    (!good).then_some(("is no host", "Write `git.example`, `*.git.example`, `git.example:8443` or an address."))
}

fn with_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) if port > 0 => (host, Some(port)),
            _ => (entry, None),
        },
        _ => (entry, None),
    }
}

fn plain(host: &str) -> &str {
    host.trim_matches(['[', ']']).trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_covered_on_its_scheme_s_port_or_on_the_one_that_is_listed() {
        for (allowed, host, scheme, written, covered) in [
            ("h.example", "h.example", "https", None, true),
            ("H.example", "h.example", "https", Some(443), true),
            ("h.example", "h.example", "http", None, true),
            ("h.example", "h.example", "https", Some(22), false),
            ("h.example", "h.example", "https", Some(8443), false),
            ("h.example:8443", "h.example", "https", Some(8443), true),
            ("h.example:8443", "h.example", "https", None, false),
            ("h.example:443", "h.example", "https", None, true),
            ("*.example", "h.example", "git", None, true),
            ("*.example", "example", "git", None, false),
            ("*.example:3000", "h.example", "http", Some(3000), true),
            ("*", "10.0.0.7", "http", None, true),
            ("*", "10.0.0.7", "http", Some(6443), false),
            ("[::1]:3000", "[::1]", "http", Some(3000), true),
            ("::1", "[::1]", "http", None, true),
        ] {
            assert_eq!(covers(allowed, host, Port::of(scheme, written)), covered, "{allowed} {host} {written:?}");
        }
    }

    #[test]
    fn what_would_match_nothing_is_no_entry() {
        for good in ["*", "*.example", "h.example", "h.example:8443", "10.0.0.7", "10.0.0.7:80", "::1", "[::1]:80"] {
            assert_eq!(wrong(good), None, "{good}");
        }
        for bad in ["10.0.0.0/8", "fd00::/8", "https://h.example", "h.example/x", "", "h example", "h.example:0", "a*"]
        {
            assert!(wrong(bad).is_some(), "{bad}");
        }
        assert_eq!(wrong("10.0.0.0/8").map(|(why, _)| why), Some("is a range of addresses"));
    }
}
