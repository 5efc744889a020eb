//! An image reference, taken apart once, by oci-client's grammar. What is ours is the last look: nothing in it may lead
//! outside of the registry's own path, because it becomes part of a URL.

use super::tokens::{Access, Scope};
use renderer::Digest;
use std::fmt;

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image {text:?}: {why}")]
pub struct BadReference {
    /// The text as given.
    pub text: String,
    /// What was expected, as a fragment.
    pub why: String,
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
        let bad = |why: String| BadReference { text: text.to_owned(), why };
        let parsed: oci_client::Reference =
            text.parse().map_err(|error: oci_client::ParseError| bad(error.to_string()))?;
        let digest = parsed.digest().map(Digest::new).transpose().map_err(|error| bad(error.to_string()))?;
        let (host, path) = (parsed.resolve_registry(), parsed.repository());
        if !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c)) || path.split('/').any(is_step) {
            return Err(bad("expected a host and a path of names".to_owned()));
        }
        Ok(Self {
            host: host.to_owned(),
            path: path.to_owned(),
            tag: parsed.tag().unwrap_or("latest").to_owned(),
            digest,
        })
    }
}

impl Reference {
    /// What is asked for here, so that it may be allowed.
    pub(super) fn scope(&self, access: Access) -> Scope {
        Scope { registry: self.host.clone(), path: self.path.clone(), access }
    }

    /// The same repository, another tag.
    #[must_use]
    pub fn tagged(&self, tag: impl Into<String>) -> Self {
        Self { tag: tag.into(), digest: None, ..self.clone() }
    }

    /// The same repository, by digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// `host/path`.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// What the registry is asked for: the digest where there is one, else the tag.
    pub(super) fn name(&self) -> &str {
        self.digest.as_ref().map_or(&self.tag, Digest::as_str)
    }
}

/// A part of a path that a URL would walk instead of name.
fn is_step(part: &str) -> bool {
    matches!(part, "" | "." | "..")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_leave_out_is_filled_in() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("nginx", "index.docker.io/library/nginx:latest"),
            ("grafana/loki:3", "index.docker.io/grafana/loki:3"),
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
