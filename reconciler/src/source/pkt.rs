//! git's pkt-line framing, and the two answers that list refs: protocol v2 `ls-refs`, and the advertisement of the
//! older protocols. Pure: bytes in, [`Refs`] out; every length is checked against what is there.

use super::refs::{Refs, is_plain};
use renderer::CommitId;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Data(&'a [u8]),
    Flush,
    Delimiter,
    ResponseEnd,
}

/// Why bytes are not what a git server would say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Garbage(pub String);

fn garbage(why: impl Into<String>) -> Garbage {
    Garbage(why.into())
}

/// Takes the first packet off `bytes`; none at the end.
pub(super) fn packet<'a>(bytes: &mut &'a [u8]) -> Result<Option<Packet<'a>>, Garbage> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = bytes
        .get(..4)
        .and_then(|hex| std::str::from_utf8(hex).ok())
        .and_then(|hex| usize::from_str_radix(hex, 16).ok())
        .ok_or_else(|| garbage("not a git answer: a packet has no length"))?;
    let (packet, taken) = match length {
        0 => (Packet::Flush, 4),
        1 => (Packet::Delimiter, 4),
        2 => (Packet::ResponseEnd, 4),
        3 => return Err(garbage("not a git answer: a packet of length 3")),
        _ => match bytes.get(4..length) {
            Some(data) => (Packet::Data(data), length),
            None => return Err(garbage("the answer breaks off inside a packet")),
        },
    };
    *bytes = &bytes[taken..];
    Ok(Some(packet))
}

fn push(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(format!("{:04x}{line}\n", line.len() + 5).as_bytes());
}

/// The body of a v2 `ls-refs` request for HEAD and the given full ref names or prefixes.
///
/// No agent and no object format: a server that did not offer them may refuse them, and asking first what it offers
/// would be a second request.
pub(super) fn ls_refs_request(prefixes: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, "command=ls-refs");
    out.extend_from_slice(b"0001");
    push(&mut out, "peel");
    push(&mut out, "symrefs");
    push(&mut out, "ref-prefix HEAD");
    for prefix in prefixes {
        push(&mut out, &format!("ref-prefix {prefix}"));
    }
    out.extend_from_slice(b"0000");
    out
}

/// Reads the answer to [`ls_refs_request`].
pub(super) fn ls_refs_answer(mut bytes: &[u8]) -> Result<Refs, Garbage> {
    let mut refs = Refs::default();
    loop {
        let line = match packet(&mut bytes)? {
            Some(Packet::Data(data)) => text(data)?,
            Some(Packet::Flush | Packet::ResponseEnd) => return Ok(refs),
            Some(Packet::Delimiter) => continue,
            None => return Err(garbage("the answer breaks off before its end")),
        };
        let Some(line) = line else { continue };
        let mut words = line.split(' ');
        let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let attribute = |key: &str| line.split(' ').skip(2).find_map(|word| word.strip_prefix(key));
        let target = attribute("symref-target:");
        if name == "HEAD" {
            refs.head = target.and_then(branch_name);
        }
        if id == "unborn" {
            continue;
        }
        refs.insert(name, commit(attribute("peeled:").unwrap_or(id))?);
    }
}

/// What the first answer of a server turned out to be.
#[derive(Debug)]
pub(super) enum Advertisement {
    /// It speaks protocol v2: refs are still to be asked for.
    V2,
    /// An older server: all its refs.
    Refs(Refs),
}

/// Reads `info/refs?service=git-upload-pack`.
pub(super) fn advertisement(mut bytes: &[u8]) -> Result<Advertisement, Garbage> {
    let mut refs = Refs::default();
    let mut symrefs = Vec::new();
    loop {
        let line = match packet(&mut bytes)? {
            Some(Packet::Data(data)) => data,
            // The first flush ends the service announcement, the next one the refs.
            Some(Packet::Flush) if !bytes.is_empty() => continue,
            Some(_) => break,
            None => return Err(garbage("the answer breaks off before its end")),
        };
        let (line, capabilities) = match line.iter().position(|byte| *byte == 0) {
            Some(zero) => (&line[..zero], &line[zero + 1..]),
            None => (line, &[][..]),
        };
        symrefs.extend(
            String::from_utf8_lossy(capabilities)
                .split([' ', '\n'])
                .filter_map(|word| word.strip_prefix("symref=HEAD:").and_then(branch_name)),
        );
        let Some(line) = text(line)? else { continue };
        match line.as_str() {
            "version 2" => return Ok(Advertisement::V2),
            "version 1" => continue,
            line if line.starts_with('#') || line.starts_with("shallow ") => continue,
            line => {
                let (id, name) =
                    line.split_once(' ').ok_or_else(|| garbage("not a git answer: a line without a ref"))?;
                // The line of an empty repository.
                if name != "capabilities^{}" {
                    refs.insert(name.trim_end_matches("^{}"), commit(id)?);
                }
            }
        }
    }
    refs.head = symrefs.pop();
    Ok(Advertisement::Refs(refs))
}

/// None for a name that is not UTF-8: no file could name that ref.
fn text(data: &[u8]) -> Result<Option<String>, Garbage> {
    let data = data.strip_suffix(b"\n").unwrap_or(data);
    if let Some(said) = data.strip_prefix(b"ERR ") {
        let said: String = String::from_utf8_lossy(said).chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(garbage(format!("the server says: {said}")));
    }
    Ok(String::from_utf8(data.to_vec()).ok())
}

fn commit(id: &str) -> Result<CommitId, Garbage> {
    CommitId::new(id).map_err(|_| {
        garbage(match id.len() {
            64 => "the repository uses sha256 object names, which are not supported".to_owned(),
            _ => "not a git answer: a ref without an object name".to_owned(),
        })
    })
}

fn branch_name(full: &str) -> Option<String> {
    full.strip_prefix("refs/heads/").filter(|name| is_plain(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";

    fn framed(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "0000" => out.extend_from_slice(b"0000"),
                line => push(&mut out, line),
            }
        }
        out
    }

    #[test]
    fn v2_answers_give_head_branches_and_peeled_tags() {
        let bytes = framed(&[
            &format!("{A} HEAD symref-target:refs/heads/main"),
            &format!("{A} refs/heads/main"),
            &format!("{B} refs/tags/v1 peeled:{A}"),
            "0000",
        ]);
        let refs = ls_refs_answer(&bytes).expect("an answer");
        assert_eq!(refs.head.as_deref(), Some("main"));
        assert_eq!(refs.branches["main"].as_str(), A);
        assert_eq!(refs.tags["v1"].as_str(), A);
    }

    #[test]
    fn older_servers_advertise_the_same() {
        let bytes = framed(&[
            "# service=git-upload-pack",
            "0000",
            &format!("{A} HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/1"),
            &format!("{A} refs/heads/main"),
            &format!("{B} refs/tags/v1"),
            &format!("{A} refs/tags/v1^{{}}"),
            "0000",
        ]);
        let Advertisement::Refs(refs) = advertisement(&bytes).expect("an answer") else {
            unreachable!("not version 2")
        };
        assert_eq!(refs.head.as_deref(), Some("main"));
        assert_eq!(refs.tags["v1"].as_str(), A);
    }

    #[test]
    fn an_empty_repository_is_an_answer_without_refs() {
        assert_eq!(ls_refs_answer(b"0000"), Ok(Refs::default()));
        let zero = "0".repeat(40);
        let bytes = framed(&[&format!("{zero} capabilities^{{}}\0agent=git/1"), "0000"]);
        let Advertisement::Refs(refs) = advertisement(&bytes).expect("an answer") else {
            unreachable!("not version 2")
        };
        assert_eq!(refs, Refs::default());
    }

    #[test]
    fn garbage_is_an_error_and_never_an_empty_repository() {
        let sha256 = format!("{} refs/heads/main", "a".repeat(64));
        for bytes in [
            &b""[..],
            b"<html>",
            b"0003",
            b"zzzz",
            b"00ffshort",
            b"0009done",
            &framed(&["nonsense here"]),
            &framed(&[&sha256, "0000"]),
            &framed(&["ERR access denied", "0000"]),
            &framed(&[&format!("{A} refs/heads/main")]),
        ] {
            assert!(ls_refs_answer(bytes).is_err(), "{bytes:?}");
            assert!(advertisement(bytes).is_err(), "{bytes:?}");
        }
    }
}
