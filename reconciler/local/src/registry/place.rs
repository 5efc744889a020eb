//! What a path means. Everything that becomes part of a path on disk is checked here, once.

use super::refusal::Refusal;
use renderer::Digest;
use std::fmt;

/// The specification asks for at least this much of host and name together.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;
/// Digits of an upload's id.
const ID_DIGITS: usize = 32;

/// A repository: path components in lower case that begin and end with a letter or digit, so none is a folder of ours
/// (`_tags`) and none climbs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(String);

/// A manifest's tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Tag(String),
    Digest(Digest),
}

/// An upload's random id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadId(String);

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Base,
    Catalog,
    Tags(Name),
    Manifest(Name, Key),
    Blob(Name, Digest),
    Uploads(Name),
    Upload(Name, UploadId),
}

impl Place {
    pub(super) fn of(path: &str) -> Result<Self, Refusal> {
        let rest = path.strip_prefix("/v2").ok_or_else(Refusal::no_such_path)?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        match rest {
            "" => return Ok(Self::Base),
            "_catalog" => return Ok(Self::Catalog),
            _ => {}
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(Name::new(name)?));
        }
        // A repository may itself be called so: the last one counts.
        if let Some((name, id)) = rest.rsplit_once("/blobs/uploads/") {
            let name = Name::new(name)?;
            return if id.is_empty() { Ok(Self::Uploads(name)) } else { Ok(Self::Upload(name, UploadId::parse(id)?)) };
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            return Ok(Self::Uploads(Name::new(name)?));
        }
        if let Some((name, digest)) = rest.rsplit_once("/blobs/") {
            let digest = Digest::new(digest).map_err(|_| Refusal::unknown_blob(digest))?;
            return Ok(Self::Blob(Name::new(name)?, digest));
        }
        if let Some((name, key)) = rest.rsplit_once("/manifests/") {
            return Ok(Self::Manifest(Name::new(name)?, Key::parse(key)?));
        }
        Err(Refusal::no_such_path())
    }
}

impl Name {
    pub(super) fn new(text: &str) -> Result<Self, Refusal> {
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let component = |part: &str| {
            let bytes = part.as_bytes();
            bytes.first().is_some_and(|b| edge(*b))
                && bytes.last().is_some_and(|b| edge(*b))
                && bytes.iter().all(|b| edge(*b) || b"._-".contains(b))
        };
        if text.len() <= MAX_NAME && text.split('/').all(component) {
            return Ok(Self(text.to_owned()));
        }
        Err(Refusal::bad_name(text))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    fn parse(text: &str) -> Result<Self, Refusal> {
        if let Ok(digest) = Digest::new(text) {
            return Ok(Self::Digest(digest));
        }
        let bytes = text.as_bytes();
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let good = bytes.len() <= MAX_TAG
            && bytes.first().is_some_and(|b| word(*b))
            && bytes.iter().all(|b| word(*b) || b".-".contains(b));
        if good { Ok(Self::Tag(text.to_owned())) } else { Err(Refusal::bad_tag(text)) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl UploadId {
    /// A new one, which nobody guesses.
    pub(super) fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let good = text.len() == ID_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(Refusal::unknown_upload()) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_tag_or_id_leads_out_of_the_folder() {
        for name in ["", "a//b", "../a", "a/..", "a/_tags/b", "A", "a/", "/a", "a\0b", &"a".repeat(256)] {
            assert!(Name::new(name).is_err(), "{name:?}");
        }
        for tag in ["", ".", "..", ".a", "-a", "a/b", "a b", "sha256:abc", &"a".repeat(129)] {
            assert!(Key::parse(tag).is_err(), "{tag:?}");
        }
        for id in ["", "..", "A", &"g".repeat(32), &"a".repeat(33)] {
            assert!(UploadId::parse(id).is_err(), "{id:?}");
        }
        assert!(UploadId::parse(UploadId::random().as_str()).is_ok());
    }

    #[test]
    fn a_path_is_read_from_its_end() {
        let name = |text: &str| Name::new(text).expect("a name");
        let of = |path: &str| Place::of(path).expect("a place");
        assert_eq!(of("/v2/"), Place::Base);
        assert_eq!(of("/v2/a/b.c/tags/list"), Place::Tags(name("a/b.c")));
        assert_eq!(of("/v2/a/manifests/1.0"), Place::Manifest(name("a"), Key::Tag("1.0".to_owned())));
        assert_eq!(of("/v2/a/blobs/blobs/uploads/"), Place::Uploads(name("a/blobs")));
        let digest = format!("sha256:{}", "a".repeat(64));
        let parsed = Digest::new(digest.clone()).expect("a digest");
        assert_eq!(
            of(&format!("/v2/a/manifests/b/blobs/{digest}")),
            Place::Blob(name("a/manifests/b"), parsed.clone())
        );
        assert_eq!(of(&format!("/v2/a/manifests/{digest}")), Place::Manifest(name("a"), Key::Digest(parsed)));
        assert!(Place::of("/v1/a").is_err());
        assert!(Place::of("/v2/a").is_err());
    }
}
