//! Get, list and the start of a watch.

use crate::call::{Answer, Call, Watch};
use crate::cluster::Cluster;
use crate::resource::Resource;
use crate::route::{Part, Query, Target};
use crate::status::ApiError;
use crate::store::{Entry, Key};
use crate::view::Renderer;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many unfinished lists are remembered; the oldest one's token expires.
const MAX_PAGES: usize = 64;

/// The rests of long lists: a list that is read in pages shows one moment, whatever is written meanwhile.
#[derive(Debug, Default)]
pub struct Pages {
    rests: VecDeque<Rest>,
    next: u64,
}

#[derive(Debug, Clone)]
struct Rest {
    token: String,
    revision: u64,
    entries: Vec<Arc<Entry>>,
}

impl Pages {
    fn keep(&mut self, revision: u64, entries: Vec<Arc<Entry>>) -> String {
        self.next += 1;
        let token = format!("{revision}-{}", self.next);
        self.rests.push_back(Rest { token: token.clone(), revision, entries });
        if self.rests.len() > MAX_PAGES {
            self.rests.pop_front();
        }
        token
    }

    /// The rest stays, so that a client may ask again for a page it lost.
    fn find(&self, token: &str) -> Option<Rest> {
        self.rests.iter().find(|rest| rest.token == token).cloned()
    }
}

impl Cluster {
    pub(crate) fn read(&mut self, call: &Call) -> Result<Answer, ApiError> {
        let Target { resource, name, part, .. } = &call.target;
        call.query.fields.check(resource.kind)?;
        match name {
            Some(name) if !call.query.watch => self.get(call, name, *part),
            Some(_) => Err(ApiError::method_not_allowed()),
            None if call.query.watch => self.start_watch(call),
            None => self.list(call),
        }
    }

    fn get(&self, call: &Call, name: &str, part: Part) -> Result<Answer, ApiError> {
        let entry = self.find(&call.target, name)?;
        match part {
            Part::Scale => Ok(Answer::json(200, &crate::scale::of(&entry.object()))),
            Part::Log => {
                Err(ApiError::bad_request(format!("pod \"{name}\" has no logs: the sandbox runs no containers")))
            }
            _ => Ok(Answer::Json { code: 200, body: renderer(call).object(&entry), warnings: Vec::new() }),
        }
    }

    /// The object a target names.
    ///
    /// # Errors
    /// 404 if there is none.
    pub(crate) fn find(&self, target: &Target, name: &str) -> Result<Arc<Entry>, ApiError> {
        let namespace = target.namespace.as_deref().unwrap_or_default();
        let key = Key::new(target.resource.kind, namespace, name);
        let found = self.store.get(&key).cloned();
        found.ok_or_else(|| ApiError::not_found(target.resource, name))
    }

    /// The objects a collection request means.
    pub(crate) fn matching(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        query: &Query,
    ) -> Vec<Arc<Entry>> {
        let all = self.store.range(resource.kind, namespace);
        all.filter(|entry| takes(query, entry)).cloned().collect()
    }

    fn list(&mut self, call: &Call) -> Result<Answer, ApiError> {
        let Query { continue_token, limit, .. } = &call.query;
        let (revision, entries) = match continue_token {
            Some(token) => {
                let rest = self.pages.find(token);
                let rest = rest.ok_or_else(ApiError::continue_expired)?;
                (rest.revision, rest.entries)
            }
            None => self.list_now(call)?,
        };
        let mut meta = json!({"resourceVersion": revision.to_string()});
        if call.target.resource.is_custom() {
            meta["continue"] = json!("");
        }
        let (page, rest) = match *limit {
            0 => (entries.as_slice(), [].as_slice()),
            limit => entries.split_at(limit.min(entries.len())),
        };
        if !rest.is_empty() {
            meta["continue"] = json!(self.pages.keep(revision, rest.to_vec()));
            if call.query.labels.is_empty() && call.query.fields.is_empty() {
                meta["remainingItemCount"] = json!(rest.len());
            }
        }
        Ok(Answer::Json { code: 200, body: renderer(call).list(page, &meta), warnings: Vec::new() })
    }

    fn list_now(&self, call: &Call) -> Result<(u64, Vec<Arc<Entry>>), ApiError> {
        let current = self.store.revision();
        let wanted = revision_of(&call.query)?;
        if wanted > current {
            return Err(ApiError::too_large(wanted, current));
        }
        if call.query.version_match.as_deref() == Some("Exact") && wanted != current {
            return Err(ApiError::expired(wanted, current));
        }
        let Target { resource, namespace, .. } = &call.target;
        let entries = self.matching(resource, namespace.as_deref(), &call.query);
        Ok((current, entries))
    }

    fn start_watch(&self, call: &Call) -> Result<Answer, ApiError> {
        let query = &call.query;
        let initial = match query.send_initial_events {
            Some(wanted) => {
                check_streaming(query)?;
                wanted
            }
            None => matches!(query.resource_version.as_deref(), None | Some("0")),
        };
        let since = match revision_of(query)? {
            0 => self.store.revision(),
            wanted => wanted,
        };
        Ok(Answer::Watch(Box::new(Watch {
            resource: call.target.resource,
            namespace: call.target.namespace.clone(),
            query: query.clone(),
            view: call.view,
            since: if initial { self.store.revision() } else { since },
            initial,
        })))
    }
}

/// Whether an object fits the selectors.
pub(crate) fn takes(query: &Query, entry: &Entry) -> bool {
    query.labels.matches(&entry.labels) && query.fields.matches(entry)
}

fn renderer(call: &Call) -> Renderer<'_> {
    Renderer { resource: call.target.resource, view: call.view, query: &call.query, now: call.now }
}

fn revision_of(query: &Query) -> Result<u64, ApiError> {
    let Some(text) = &query.resource_version else {
        return Ok(0);
    };
    text.parse().map_err(|_| {
        ApiError::unprocessable(format!(
            "resourceVersion: Invalid value: {}: strconv.ParseUint: invalid syntax",
            Value::from(text.as_str())
        ))
    })
}

fn check_streaming(query: &Query) -> Result<(), ApiError> {
    let refused = |what: &str| Err(ApiError::unprocessable(format!("ListOptions.meta.k8s.io \"\" is invalid: {what}")));
    if query.version_match.as_deref() != Some("NotOlderThan") {
        return refused(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
    }
    Ok(())
}
