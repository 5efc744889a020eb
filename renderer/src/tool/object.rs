//! A Tool read back from the cluster: what operators declared, as it was published.

use super::{Promotion, Tool};
use crate::names::ToolName;
use crate::platform::LimitsPatch;
use crate::signers::Commits;
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;

impl Tool {
    /// The tool that a Tool object declares. None where the object is not one we could have rendered; `spec.pin` and
    /// `status` are not read.
    #[must_use]
    pub fn from_object(object: &Value) -> Option<Self> {
        let spec = object.get("spec")?;
        let text = |key: &str| spec.get(key).and_then(Value::as_str).map(str::to_owned);
        let uid = match spec.get("uid") {
            Some(uid) => Some(u32::try_from(uid.as_u64()?).ok()?),
            None => None,
        };
        Some(Self {
            name: ToolName::new(object.pointer("/metadata/name")?.as_str()?).ok()?,
            repository: text("repository")?,
            branch: text("branch")?,
            path: text("path").unwrap_or_default(),
            uid,
            limits: limits(spec),
            promotion: match spec.get("promotion") {
                Some(promotion) => Some(read_promotion(promotion)?),
                None => None,
            },
            commits: match spec.get("commits") {
                Some(commits) => Commits::deserialize(commits).ok()?,
                None => Commits::default(),
            },
            suspend: spec.get("suspend").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

fn limits(spec: &Value) -> LimitsPatch {
    let texts = |key: &str| -> BTreeMap<String, String> {
        let map = spec.pointer(&format!("/limits/{key}")).and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs.filter_map(|(name, quantity)| Some((name.clone(), quantity.as_str()?.to_owned()))).collect()
    };
    LimitsPatch {
        quota: texts("quota"),
        max: texts("max"),
        min: texts("min"),
        default: texts("default"),
        default_request: texts("defaultRequest"),
    }
}

fn read_promotion(promotion: &Value) -> Option<Promotion> {
    let from = ToolName::new(promotion.get("from")?.as_str()?).ok()?;
    let soak = promotion.get("soak").and_then(Value::as_str).unwrap_or("0s");
    Some(Promotion { from, soak_secs: crate::decode::seconds(soak)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signers::{SignedCommits, Signers};
    use crate::{Config, Platform, Revision, render_config};

    #[test]
    fn a_tool_read_back_from_the_cluster_is_the_tool_that_was_declared() {
        let tool = Tool {
            name: ToolName::new("foo").expect("a name"),
            repository: "https://git.example/foo".to_owned(),
            branch: "main".to_owned(),
            path: "tools/foo".to_owned(),
            uid: Some(52_000),
            limits: LimitsPatch {
                quota: [("pods".to_owned(), "20".to_owned())].into(),
                default_request: [("cpu".to_owned(), "50m".to_owned())].into(),
                ..LimitsPatch::default()
            },
            promotion: Some(Promotion { from: ToolName::new("foo-beta").expect("a name"), soak_secs: 5400 }),
            commits: Commits {
                signed: SignedCommits::Require,
                signers: Signers([("foo".to_owned(), "foo@example.org ssh-ed25519 AAAA\n".to_owned())].into()),
            },
            suspend: true,
        };
        let revision = Revision::nothing(&tool.branch);
        let rendered =
            render_config(&Platform::builtin(), &tool, &revision, &Config::default(), &crate::Siblings::default());
        let object = rendered.objects.iter().find(|object| object.id.kind == "Tool").expect("the Tool");
        assert_eq!(Tool::from_object(&object.value), Some(tool));
    }
}
