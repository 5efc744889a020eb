//! ls-refs over http(s): one asynchronous POST on the pooled client.
//!
//! Protocol v2 is assumed before it is known, which saves the discovery request that git makes each time. A server
//! that answers otherwise (older protocol, redirect, another content type) is asked once what it speaks, and the
//! answer is remembered until it stops being true.

use super::pkt::{self, Advertisement};
use super::refs::Refs;
use super::url::Address;
use super::{RepositoryUrl, SourceError};
use crate::dialer::{self, Ask, Credentials, Dialer};
use http::{Method, StatusCode, header};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use url::Url;

/// 100,000 refs fit.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// What a repository's server turned out to be: an optimisation, forgotten at will.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    /// Where the repository is, after redirects; no trailing slash.
    base: Url,
    speaks_v2: bool,
}

/// What is known of servers, by address.
#[derive(Default)]
pub(super) struct Servers(Mutex<HashMap<Address, Known>>);

/// What to ask whom.
pub(super) struct HttpRemote<'a> {
    pub dialer: &'a Dialer,
    pub url: &'a RepositoryUrl,
    pub credentials: Option<Credentials>,
    pub timeout: Duration,
}

impl Servers {
    /// Where the repository is, as far as is known.
    pub(super) fn base(&self, url: &RepositoryUrl) -> Option<Url> {
        self.get(&url.address()).map_or_else(|| base_of(url), |known| Some(known.base))
    }

    fn get(&self, key: &Address) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).cloned()
    }

    fn remember(&self, key: Address, known: Known) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, known);
    }

    fn forget(&self, key: &Address) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(key);
    }

    /// Lists HEAD and the refs under `prefixes`.
    pub(super) async fn ls_refs(&self, remote: &HttpRemote<'_>, prefixes: &[String]) -> Result<Refs, SourceError> {
        let key = remote.url.address();
        let plain = base_of(remote.url)
            .ok_or_else(|| SourceError::Corrupt { why: format!("{} is no http address", remote.url) })?;
        let known = self.get(&key);
        let assumed = known.clone().unwrap_or(Known { base: plain.clone(), speaks_v2: true });
        if assumed.speaks_v2 {
            match remote.list(&assumed.base, prefixes).await? {
                Listed::Refs(refs) => {
                    if known.is_none() {
                        self.remember(key, assumed);
                    }
                    return Ok(refs);
                }
                Listed::Refused(error) if assumed.base == plain => return Err(error),
                Listed::Refused(_) | Listed::AskFirst => self.forget(&key),
            }
        }
        let (found, base) = remote.discover(&plain).await?;
        let speaks_v2 = matches!(found, Advertisement::V2);
        self.remember(key, Known { base: base.clone(), speaks_v2 });
        match found {
            Advertisement::Refs(refs) => Ok(refs.only(prefixes)),
            Advertisement::V2 => match remote.list(&base, prefixes).await? {
                Listed::Refs(refs) => Ok(refs),
                Listed::Refused(error) => Err(error),
                Listed::AskFirst => Err(SourceError::Corrupt {
                    why: format!("{} announces protocol v2 and does not speak it", remote.url),
                }),
            },
        }
    }
}

enum Listed {
    Refs(Refs),
    /// The server's last word.
    Refused(SourceError),
    /// Not what a v2 server would say: it may be another kind of server, or elsewhere.
    AskFirst,
}

impl HttpRemote<'_> {
    async fn list(&self, base: &Url, prefixes: &[String]) -> Result<Listed, SourceError> {
        let url = below(base, "git-upload-pack");
        let ask = Ask {
            headers: vec![
                ("git-protocol", "version=2".to_owned()),
                ("content-type", "application/x-git-upload-pack-request".to_owned()),
                ("accept", "application/x-git-upload-pack-result".to_owned()),
            ],
            body: Some(pkt::ls_refs_request(prefixes)),
            ..self.ask(base)
        };
        let response = self.dialer.send(Method::POST, &url, ask).await?;
        if response.url() != &url {
            return Ok(Listed::AskFirst);
        }
        match response.status() {
            StatusCode::OK if is_a(&response, "application/x-git-upload-pack-result") => {}
            StatusCode::OK
            | StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::NOT_IMPLEMENTED => return Ok(Listed::AskFirst),
            status => return Ok(Listed::Refused(refusal(self.url, status))),
        }
        let bytes = dialer::body(response, MAX_ANSWER_BYTES).await?;
        // An older server takes the command for a malformed want.
        Ok(pkt::ls_refs_answer(&bytes).map_or(Listed::AskFirst, |refs| Listed::Refs(refs.only(prefixes))))
    }

    async fn discover(&self, base: &Url) -> Result<(Advertisement, Url), SourceError> {
        let mut url = below(base, "info/refs");
        url.set_query(Some("service=git-upload-pack"));
        let ask = Ask { headers: vec![("git-protocol", "version=2".to_owned())], ..self.ask(base) };
        let response = self.dialer.send(Method::GET, &url, ask).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(self.url, response.status()));
        }
        if !is_a(&response, "application/x-git-upload-pack-advertisement") {
            return Err(SourceError::Corrupt { why: format!("{} does not speak git's smart http protocol", self.url) });
        }
        let mut base = response.url().clone();
        base.set_query(None);
        let path = base.path().strip_suffix("/info/refs").map(str::to_owned).ok_or_else(|| SourceError::Corrupt {
            why: format!("{} redirects to something that is no repository", self.url),
        })?;
        base.set_path(&path);
        let bytes = dialer::body(response, MAX_ANSWER_BYTES).await?;
        Ok((pkt::advertisement(&bytes)?, base))
    }

    fn ask(&self, base: &Url) -> Ask<'_> {
        // A redirect remembered from an earlier cycle must not take the password elsewhere.
        let same_host = base_of(self.url).is_some_and(|url| url.origin() == base.origin());
        Ask {
            credentials: self.credentials.as_ref().filter(|_| same_host),
            timeout: Some(self.timeout),
            ..Ask::default()
        }
    }
}

/// What an error status means for a repository.
pub(super) fn refusal(url: &RepositoryUrl, status: StatusCode) -> SourceError {
    let repository = url.to_string();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SourceError::Denied { repository, tool: None },
        StatusCode::NOT_FOUND | StatusCode::GONE => SourceError::NotFound { repository },
        status => SourceError::Unreachable { why: format!("{} answered {}", url.host(), status.as_u16()) },
    }
}

fn is_a(response: &reqwest::Response, content_type: &str) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().map(str::trim) == Some(content_type))
}

fn base_of(url: &RepositoryUrl) -> Option<Url> {
    let mut base = url.http_url()?;
    let path = base.path().trim_end_matches('/').to_owned();
    base.set_path(&path);
    Some(base)
}

fn below(base: &Url, tail: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{tail}", base.path().trim_end_matches('/')));
    url
}
