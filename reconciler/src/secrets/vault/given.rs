//! What the platform gives each tool: looked at as far as it is new, remembered as tags, read for the request that needs it.

use super::{Unfilled, Vault, tool_of};
use crate::cluster::call::CallError;
use crate::secrets::sources::Source;
use kube::Client;
use planner::kinds::Kind;
use renderer::secrets::{Given, Tag};
use renderer::{ObjectId, Secret, ToolName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Vault {
    /// Looks at what the platform gives a tool, as far as its version is a new one. `seen` has the versions that stand
    /// there, where somebody watches. Returned is why something could not be read that may be readable later.
    pub async fn look(
        &self,
        client: &Client,
        tool: &ToolName,
        seen: Option<&BTreeMap<String, String>>,
    ) -> Option<CallError> {
        if self.is_elsewhere() {
            return None;
        }
        let sources = &self.0.sources;
        let (mut all, mut unread) = (Given::new(), None);
        for name in sources.names(tool) {
            let version = seen.map(|seen| seen.get(&name));
            let known = self.known().sources.get(&name).cloned();
            let given = match (version, known) {
                (Some(None), _) => Ok(None),
                (Some(Some(version)), Some((known, given))) if known == *version => Ok(Some(given)),
                (_, known) => match sources.read(client, &name).await {
                    Ok(source) => Ok(source.map(|source| self.tagged(tool, &name, source))),
                    // What was read before is not forgotten over it, and what is new is asked for again.
                    Err(error) => match known {
                        Some((_, given)) => {
                            unread = Some(error).filter(CallError::may_pass).or(unread);
                            Ok(Some(given))
                        }
                        None => Err(error),
                    },
                },
            };
            let lacking = |why: String| -> Given {
                sources.variables(tool, &name).into_iter().map(|(key, _)| (key.to_owned(), Err(why.clone()))).collect()
            };
            all.extend(match given {
                Ok(Some(given)) => given,
                Ok(None) => lacking(format!("{} is not there", sources.told(&name))),
                Err(error) => {
                    let why = error.code().map_or_else(|| "no answer".to_owned(), |code| code.to_string());
                    unread = Some(error).filter(CallError::may_pass).or(unread);
                    lacking(format!("{} can't be read: {why}", sources.told(&name)))
                }
            });
        }
        self.known().given.insert(tool.clone(), Arc::new(all));
        unread
    }

    /// What a Secret of the platform's is worth to its tool.
    fn tagged(&self, tool: &ToolName, name: &str, source: Source) -> Given {
        let keys = self.keys();
        let tag = |variable: &str, key: &str| -> Result<Tag, String> {
            let keys = keys.as_ref().map_err(|none| none.why.clone())?;
            let value = source.text(key);
            let value = value.ok_or_else(|| format!("{} has no `{key}` that is text", self.0.sources.told(name)))?;
            Ok(keys.tag(tool.as_str(), variable, &value))
        };
        let variables = self.0.sources.variables(tool, name).into_iter();
        let given: Given = variables.map(|(variable, key)| (variable.to_owned(), tag(variable, key))).collect();
        self.known().sources.insert(name.to_owned(), (source.version, given.clone()));
        given
    }

    /// What the platform gives a tool, as it was looked at last.
    #[must_use]
    pub fn given(&self, tool: &ToolName) -> Arc<Given> {
        self.known().given.get(tool).cloned().unwrap_or_default()
    }

    /// The credentials that a request sets, by variable, read for it and nothing else.
    ///
    /// # Errors
    /// Where one of them can't be read.
    pub async fn credentials(
        &self,
        client: &Client,
        id: &ObjectId,
        body: &Value,
    ) -> Result<BTreeMap<String, Secret>, Unfilled> {
        let (sources, mut values) = (&self.0.sources, BTreeMap::new());
        let is_secret = Kind::of_id(id).is_some_and(|row| !row.secret_paths.is_empty());
        let Some(tool) = tool_of(id).filter(|_| is_secret) else { return Ok(values) };
        for name in sources.names(&tool) {
            let what = || sources.told(&name);
            let mut variables = sources.variables(&tool, &name);
            variables.retain(|(variable, _)| sets(body, variable));
            if variables.is_empty() {
                continue;
            }
            let read = sources.read(client, &name).await.map_err(|error| Unfilled::Unread { what: what(), error })?;
            let source = read.ok_or_else(|| Unfilled::NoCredential(what()))?;
            for (variable, key) in variables {
                let none = || Unfilled::NoCredential(format!("`{key}` of {}", what()));
                values.insert(variable.to_owned(), source.text(key).ok_or_else(none)?);
            }
        }
        Ok(values)
    }

    /// Whether everything that a tool uses can be known here.
    #[must_use]
    pub fn knows_all(&self, tool: &ToolName) -> bool {
        !self.is_elsewhere() && self.given(tool).values().all(Result::is_ok)
    }
}

/// Whether an object or a patch of one sets this key of `data`.
fn sets(body: &Value, key: &str) -> bool {
    let has = |data: Option<&Value>| data.and_then(|data| data.get(key)).is_some();
    let sets = |operation: &Value| match operation.get("path").and_then(Value::as_str) {
        Some("/data") => has(operation.get("value")),
        Some(path) => path.strip_prefix("/data/") == Some(key) && operation.get("value").is_some(),
        None => false,
    };
    has(body.get("data")) || body.as_array().is_some_and(|all| all.iter().any(sets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_credential_is_asked_for_by_what_sets_it_alone() {
        let patch = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
        for body in [
            json!({"data": {"USER": "x", "OTHER": "y"}}),
            patch("/data/USER", json!("x")),
            patch("/data", json!({"USER": "x"})),
        ] {
            assert!(sets(&body, "USER"), "{body}");
        }
        for body in [
            json!({"data": {"OTHER": "y"}}),
            json!({"metadata": {}}),
            patch("/data/OTHER", json!("x")),
            patch("/data", json!({"OTHER": "x"})),
            json!([{"op": "remove", "path": "/data/USER"}]),
        ] {
            assert!(!sets(&body, "USER"), "{body}");
        }
    }
}
