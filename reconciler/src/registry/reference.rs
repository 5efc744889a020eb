//! An image reference, taken apart once.

use renderer::Digest;
use std::fmt;

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image {text:?}: {why}")]
pub struct BadReference {
    /// The text as given.
    pub text: String,
    /// What was expected, as a fragment.
    pub why: &'static str,
}

/// `host/path:tag@digest`, with what people leave out filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host and port.
    pub host: String,
    /// Path in the registry.
    pub path: String,
    /// Tag; `latest` where none is given.
    pub tag: String,
    /// Digest, if the reference names it.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses what people write. A name without a host is on Docker Hub, as everywhere.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        let bad = |why| BadReference { text: text.to_owned(), why };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest =
                    Digest::new(digest).map_err(|_| bad("expected sha256: and 64 hexadecimal digits after @"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (host, rest) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("docker.io", name),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, tag),
            None => (rest, "latest"),
        };
        if !path.split('/').all(is_path_part) {
            return Err(bad("expected lower-case letters, digits and . _ - between slashes"));
        }
        if !is_tag(tag) {
            return Err(bad("expected a tag of letters, digits and . _ -"));
        }
        if !is_host(host) {
            return Err(bad("expected a host, with a port if need be"));
        }
        let hub = matches!(host, "docker.io" | "index.docker.io");
        Ok(Self {
            host: if hub { "registry-1.docker.io" } else { host }.to_owned(),
            path: match path {
                path if hub && !path.contains('/') => format!("library/{path}"),
                path => path.to_owned(),
            },
            tag: tag.to_owned(),
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.host, self.path, self.tag)?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn is_path_part(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    edge(part.chars().next()) && edge(part.chars().next_back()) && part.chars().all(inner)
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_leave_out_is_filled_in() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("nginx", "registry-1.docker.io/library/nginx:latest"),
            ("grafana/loki:3", "registry-1.docker.io/grafana/loki:3"),
            ("quay.io/x/y", "quay.io/x/y:latest"),
            ("localhost/x:1", "localhost/x:1"),
            ("127.0.0.1:5000/tool-x/web:ab", "127.0.0.1:5000/tool-x/web:ab"),
            ("host.example:5000/x", "host.example:5000/x:latest"),
        ] {
            assert_eq!(Reference::parse(text).expect(text).to_string(), full);
        }
        let pinned = Reference::parse(&format!("quay.io/x/y:1@{digest}")).expect("a reference");
        assert_eq!(pinned.digest.expect("a digest").as_str(), digest);
    }

    #[test]
    fn what_could_leave_the_registry_s_path_is_refused() {
        for bad in [
            "",
            "host.example/",
            "host.example/../v2/x",
            "host.example/x?y:1",
            "host.example/x:1/../../y",
            "host.example/X",
            "user@host.example/x",
            "host.example/x:",
            "host.example/x@sha256:abc",
            "ho st.example/x",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }
}
