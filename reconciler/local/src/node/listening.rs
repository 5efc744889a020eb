//! On which ports a process and what it started listen, as `/proc` says: for the words to somebody whose program does not
//! listen where it was told to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The state of a socket that waits for connections.
const LISTEN: &str = "0A";

/// Ports that are open for connections by a process or its descendants, where that can be known.
pub(crate) fn ports_of(pid: u32) -> BTreeSet<u16> {
    let mut sockets = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        sockets.extend(listening(&fs::read_to_string(table).unwrap_or_default()));
    }
    let family = descendants(pid);
    family.iter().flat_map(|pid| inodes(*pid)).filter_map(|inode| sockets.get(&inode).copied()).collect()
}

/// Inode and port of each socket of a table that listens.
fn listening(table: &str) -> Vec<(u64, u16)> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (*state == LISTEN).then_some((inode.parse().ok()?, port))
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn descendants(pid: u32) -> BTreeSet<u32> {
    let parents = parents();
    let mut family = BTreeSet::from([pid]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(child, parent)| family.contains(parent) && !family.contains(child))
            .map(|(child, _)| *child)
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

fn parents() -> BTreeMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter_map(|pid| Some((pid, parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// The name stands in brackets and may hold anything, brackets too.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn inodes(pid: u32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else { return Vec::new() };
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_open_port_is_found_and_is_gone_when_it_is_closed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        assert!(ports_of(std::process::id()).contains(&port));
        drop(listener);
        assert!(!ports_of(std::process::id()).contains(&port));
    }

    #[test]
    fn a_name_with_brackets_hides_no_parent() {
        assert_eq!(parent("12 (a) b) S 7 12 12 0"), Some(7));
    }
}
