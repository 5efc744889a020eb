//! What goes wrong with a registry, told apart: each error says whose fault it is and has a next step.

use super::BadReference;
use crate::dialer::{self, DialError};
use http::StatusCode;
use oci_client::errors::{OciEnvelope, OciErrorCode};
use planner::image::Malformed;
use renderer::Digest;
use std::time::Duration;

/// What a registry writes about an error is short; whoever answers need not be a registry.
const MAX_WORDS_BYTES: u64 = 64 << 10;

/// Why the registry gave no answer, or not the one that was needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The reference is not one.
    #[error(transparent)]
    BadReference(#[from] BadReference),
    /// The dialer refused, or nobody answered.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The registry wants credentials, or refuses ours.
    #[error("registry {registry} refuses access to {repository}")]
    Denied {
        /// Host and port.
        registry: String,
        /// Path in it.
        repository: String,
    },
    /// The registry takes no writes.
    #[error("registry {registry} is read-only for {repository}")]
    ReadOnly {
        /// Host and port.
        registry: String,
        /// Path in it.
        repository: String,
    },
    /// The registry deletes nothing.
    #[error("registry {registry} deletes nothing")]
    NoDeletes {
        /// Host and port.
        registry: String,
    },
    /// The registry has no room, or does not give us more.
    #[error("registry {registry} is full for {repository} ({status})")]
    Full {
        /// Host and port.
        registry: String,
        /// Path in it.
        repository: String,
        /// The status that said so.
        status: u16,
    },
    /// The registry itself says that it does not have it.
    #[error("registry {registry} has no {what}")]
    Missing {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// What came, or what was stored, is something else than its digest says.
    #[error("registry {registry}: {what} is {found}, expected {expected}")]
    WrongDigest {
        /// Host and port.
        registry: String,
        /// What was asked for, or sent.
        what: String,
        /// What it should be.
        expected: Digest,
        /// What it is, or what the registry says that it is.
        found: String,
    },
    /// Somebody has put another image under a tag that means one image.
    #[error("tag {reference} is {found}, expected {expected}")]
    TagMoved {
        /// `host/path:tag`.
        reference: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// There are images for other machines only.
    #[error("image {reference} is for {has}, expected {wanted}")]
    OtherPlatform {
        /// The image.
        reference: String,
        /// What is needed.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// It is there, and no image that we can work with.
    #[error("image {reference}: {why}")]
    NoImage {
        /// The image.
        reference: String,
        /// What is wrong with it.
        why: Malformed,
    },
    /// Another error status.
    #[error("registry {registry} answered {status}")]
    Status {
        /// Host and port.
        registry: String,
        /// The status.
        status: u16,
        /// Seconds until it wants to be asked again, where it says so.
        retry_after_secs: Option<u64>,
    },
    /// An answer that no registry would give.
    #[error("registry {registry} answered {why}")]
    Garbage {
        /// Host and port.
        registry: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl RegistryError {
    /// When the registry wants to be asked again, where it says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after_secs, .. } => retry_after_secs.map(Duration::from_secs),
            _ => None,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::BadReference(_) => "Write it as `registry.example/path/name:tag`.",
            Self::Dial(DialError::HostNotAllowed(_)) => {
                "Name it as `registry.host` in platform.yaml, or in `allowed_hosts`."
            }
            Self::Dial(_) => "Run it again when the registry answers: no image was left unfinished under a tag.",
            Self::Denied { .. } => {
                "See that `<PREFIX>_USERNAME` and `<PREFIX>_PASSWORD` are those of an account with that right; \
                 `registry.credentials` in platform.yaml names the prefix."
            }
            Self::ReadOnly { .. } => "Wait for the end of its maintenance, or name another registry in platform.yaml.",
            Self::NoDeletes { .. } => "Let its operators enable deletion (`storage.delete.enabled` for distribution).",
            Self::Full { .. } => {
                "Make room: see what `toolforge gc` would delete, and let the registry collect its garbage."
            }
            Self::Missing { .. } => "See whether it was deleted; a new commit or `build.nonce` builds it again.",
            Self::WrongDigest { .. } => {
                "Don't use this image. See what stands between us and the registry, and check its storage."
            }
            Self::TagMoved { .. } => "Somebody moved the tag by hand: delete it in the registry, and run this again.",
            Self::OtherPlatform { .. } => "Name an image for `builder.target` of platform.yaml.",
            Self::NoImage { .. } => {
                "See what else writes to this repository; a new commit or `build.nonce` builds it again."
            }
            Self::Status { .. } | Self::Garbage { .. } => "See the registry's own log, and run it again.",
        }
    }
}

/// What was being done when the registry refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Reading,
    Writing,
    Deleting,
}

/// Where it was done.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub registry: &'a str,
    pub path: &'a str,
    pub doing: Doing,
}

impl At<'_> {
    /// What a status means that is not the one hoped for. A 404 is an absence only in the registry's own words.
    pub(super) async fn refused(self, what: &str, response: reqwest::Response) -> RegistryError {
        let (status, retry_after_secs) = (response.status(), retry_after_secs(&response));
        match dialer::body(response, MAX_WORDS_BYTES).await {
            Ok(words) => self.means(what, status, &words).in_secs(retry_after_secs),
            Err(error) => error.into(),
        }
    }

    /// The same, by the status alone.
    pub(super) fn without_words(self, response: &reqwest::Response) -> RegistryError {
        self.means("image", response.status(), b"").in_secs(retry_after_secs(response))
    }

    fn means(self, what: &str, status: StatusCode, words: &[u8]) -> RegistryError {
        let (registry, repository) = (self.registry.to_owned(), self.path.to_owned());
        match status {
            _ if self.doing == Doing::Writing && says_full(status, words) => {
                RegistryError::Full { registry, repository, status: status.as_u16() }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied { registry, repository },
            StatusCode::METHOD_NOT_ALLOWED if self.doing == Doing::Writing => {
                RegistryError::ReadOnly { registry, repository }
            }
            StatusCode::METHOD_NOT_ALLOWED if self.doing == Doing::Deleting => RegistryError::NoDeletes { registry },
            // Of a manifest whose blobs it does not have, a registry says 400 or 404.
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND if says_unknown(words) => {
                RegistryError::Missing { registry, what: what.to_owned() }
            }
            StatusCode::NOT_FOUND => {
                RegistryError::Garbage { registry, why: "404, without saying that the image is unknown" }
            }
            status => RegistryError::Status { registry, status: status.as_u16(), retry_after_secs: None },
        }
    }
}

impl RegistryError {
    fn in_secs(self, retry_after_secs: Option<u64>) -> Self {
        match self {
            Self::Status { registry, status, .. } => Self::Status { registry, status, retry_after_secs },
            other => other,
        }
    }
}

fn retry_after_secs(response: &reqwest::Response) -> Option<u64> {
    response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// Whether the registry itself says that it knows no such thing.
pub(super) fn says_unknown(body: &[u8]) -> bool {
    use OciErrorCode::{BlobUnknown, ManifestBlobUnknown, ManifestUnknown, NameUnknown, NotFound};
    let said: Result<OciEnvelope, _> = serde_json::from_slice(body);
    let unknown = [BlobUnknown, ManifestBlobUnknown, ManifestUnknown, NameUnknown, NotFound];
    said.is_ok_and(|said| said.errors.iter().any(|error| unknown.contains(&error.code)))
}

/// A full disk is a 500 with the words of the operating system, a quota a 403 or 412 with those of the product.
fn says_full(status: StatusCode, body: &[u8]) -> bool {
    if matches!(status, StatusCode::INSUFFICIENT_STORAGE | StatusCode::PAYLOAD_TOO_LARGE) {
        return true;
    }
    let words = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["no space left", "disk full", "quota"].iter().any(|said| words.contains(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(doing: Doing, status: u16, words: &str) -> String {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = At { registry: "r", path: "tool-x/web", doing }.means("blob b", status, words.as_bytes());
        assert!(error.hint().ends_with('.'), "{error}");
        error.to_string()
    }

    #[test]
    fn a_status_means_what_was_being_done() {
        use Doing::{Deleting, Reading, Writing};
        let disk = r#"{"errors":[{"code":"UNKNOWN","detail":"write: no space left on device"}]}"#;
        for (doing, status, words, told) in [
            (Writing, 507, "", "registry r is full for tool-x/web (507)"),
            (Writing, 413, "<html>", "registry r is full for tool-x/web (413)"),
            (Writing, 500, disk, "registry r is full for tool-x/web (500)"),
            (Writing, 403, "project quota exceeded", "registry r is full for tool-x/web (403)"),
            (Writing, 403, "", "registry r refuses access to tool-x/web"),
            (Writing, 405, "", "registry r is read-only for tool-x/web"),
            (Deleting, 405, "", "registry r deletes nothing"),
            (Reading, 405, "", "registry r answered 405"),
            (Reading, 500, disk, "registry r answered 500"),
            (Reading, 404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#, "registry r has no blob b"),
            (Reading, 404, "<html>", "registry r answered 404, without saying that the image is unknown"),
        ] {
            assert_eq!(means(doing, status, words), told, "{status} {words}");
        }
    }
}
