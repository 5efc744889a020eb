//! `git` of a platform: which keys git hosts show over ssh. A host that shows another one, or that nobody wrote down, is
//! not spoken to: nothing is ever believed because it came first.

use crate::decode::{open, texts};
use crate::diagnostic::{Code, Findings};
use crate::yaml::Entry;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Lines of `known_hosts`; a host has three keys, usually.
const MAX_LINES: usize = 200;
/// Where ssh listens.
const PORT: u16 = 22;
/// Those that are still taken for safe; a certificate authority is none of them.
const ALGORITHMS: &[&str] =
    &["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// How git hosts are recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// Keys of hosts, as lines of OpenSSH's `known_hosts`.
    pub known_hosts: Vec<KnownHost>,
}

/// One line of `known_hosts`: hosts, and a key that they may show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KnownHost {
    hosts: Vec<(String, u16)>,
    algorithm: String,
    /// In ssh's own form, as a server sends it.
    key: Vec<u8>,
}

impl KnownHost {
    /// `gitlab.example ssh-ed25519 AAAA…`, as `ssh-keyscan` writes it; several hosts with commas, a port as
    /// `[gitlab.example]:2222`.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(line: &str) -> Result<Self, &'static str> {
        let mut fields = line.split_ascii_whitespace();
        let (Some(hosts), Some(algorithm), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
            return Err("it does not hold a host, a kind of key and a key");
        };
        let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
        if !ALGORITHMS.contains(&algorithm) {
            return Err("its kind of key is none that is taken");
        }
        let key = STANDARD.decode(key).map_err(|_| "its key is no base64")?;
        let named = key
            .split_first_chunk::<4>()
            .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
        if named != Some(algorithm.as_bytes()) {
            return Err("its key is of another kind than it says");
        }
        Ok(Self { hosts, algorithm: algorithm.to_owned(), key })
    }

    /// Whether it speaks of this host, in lower case, on this port.
    #[must_use]
    pub fn is_of(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']);
        self.hosts.iter().any(|(known, at)| known == host && *at == port)
    }

    /// Kind of its key, `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key, as a server sends it.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

/// What people compare: the hash of a key as `ssh-keygen -l` shows it.
#[must_use]
pub fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

impl fmt::Display for KnownHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |(host, port): &(String, u16)| match *port {
            PORT => host.clone(),
            port => format!("[{host}]:{port}"),
        };
        let hosts: Vec<_> = self.hosts.iter().map(host).collect();
        write!(f, "{} {} {}", hosts.join(","), self.algorithm, STANDARD.encode(&self.key))
    }
}

impl From<KnownHost> for String {
    fn from(known: KnownHost) -> Self {
        known.to_string()
    }
}

impl TryFrom<String> for KnownHost {
    type Error = &'static str;

    fn try_from(line: String) -> Result<Self, Self::Error> {
        Self::parse(&line)
    }
}

/// Written out: a hash can't be read by whoever reviews it, and a pattern says yes to hosts that nobody thought of.
fn host(text: &str) -> Result<(String, u16), &'static str> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:")) {
        Some((name, port)) => (name, port.parse().map_err(|_| "its port is no number")?),
        None => (text, PORT),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err("its host is not written out");
    }
    Ok((name.to_ascii_lowercase(), port))
}

/// Reads it.
pub(super) fn git(entry: &Entry, findings: &mut Findings) -> Option<Git> {
    let section = open(entry, "`git`", &["known_hosts"], findings)?;
    let mut known_hosts = Vec::new();
    for (line, node) in texts(section.required("known_hosts", findings)?, MAX_LINES, findings) {
        match KnownHost::parse(line) {
            Ok(known) => known_hosts.push(known),
            Err(why) => {
                findings.add(Code::BadHostKey, node.place, format!("this is no key of a host: {why}"));
            }
        }
    }
    Some(Git { known_hosts })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIFzva4nx91Kw2Nb/1/3agFJLGQBO733043QPEE1zOKUS";

    #[test]
    fn a_line_speaks_of_the_hosts_that_it_names_on_their_ports_and_is_written_as_it_was() {
        let line = format!("gitlab.example,[GitLab.example]:2222,192.0.2.1 ssh-ed25519 {KEY}");
        let known = KnownHost::parse(&format!("{line} root@gitlab")).expect("a line");
        for (host, port) in [("gitlab.example", 22), ("gitlab.example", 2222), ("192.0.2.1", 22)] {
            assert!(known.is_of(host, port), "{host} {port}");
        }
        for (host, port) in [("gitlab.example", 2223), ("a.gitlab.example", 22), ("192.0.2.1", 2222)] {
            assert!(!known.is_of(host, port), "{host} {port}");
        }
        assert_eq!(known.to_string(), line.to_lowercase().replace(&KEY.to_lowercase(), KEY));
        let told = serde_json::to_value(&known).expect("JSON");
        assert_eq!(serde_json::from_value::<KnownHost>(told).expect("a line"), known);
        assert_eq!(fingerprint(known.key()), "SHA256:02ZoN0S2JKVJ5byG5bpQsFRo12xXCCR+/YSxUEtf59w");
    }

    #[test]
    fn what_is_hashed_a_pattern_an_authority_or_of_another_kind_is_no_line() {
        for line in [
            "",
            "gitlab.example",
            "gitlab.example ssh-ed25519",
            &format!("|1|c2FsdA==|aGFzaA== ssh-ed25519 {KEY}"),
            &format!("*.example ssh-ed25519 {KEY}"),
            &format!("!gitlab.example ssh-ed25519 {KEY}"),
            &format!("@cert-authority gitlab.example ssh-ed25519 {KEY}"),
            &format!("@revoked gitlab.example ssh-ed25519 {KEY}"),
            &format!("gitlab.example ssh-rsa {KEY}"),
            &format!("gitlab.example ssh-dss {KEY}"),
            "gitlab.example ssh-ed25519 AAAA",
            "gitlab.example ssh-ed25519 /////w==",
            "gitlab.example ssh-ed25519 not-base64",
            &format!("[gitlab.example]:99999 ssh-ed25519 {KEY}"),
        ] {
            assert!(KnownHost::parse(line).is_err(), "{line}");
        }
    }
}
