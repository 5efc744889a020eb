//! `credentials` of a platform: what each tool is given as environment, from Secrets in the platform's namespace that the
//! platform alone reads. One Secret a tool, named after it, so that no setting can give one tool what is another's, or any
//! of them what is the platform's own.

use crate::config::fields;
use crate::decode::{open, text};
use crate::diagnostic::{Code, Findings, shown};
use crate::names::{ToolName, is_dns_label};
use crate::request::OF_KEYS;
use crate::yaml::Entry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Stands for the tool's name, at the end of a Secret's.
pub const TOOL: &str = ".<tool>";

/// One key of one Secret of each tool, in the platform's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    /// The Secrets' name: a label, and [`TOOL`].
    pub secret: String,
    /// Key in it.
    pub key: String,
}

impl SecretKey {
    /// The name of a tool's Secret. A tool's name has no dot, so no two tools have one.
    #[must_use]
    pub fn secret_of(&self, tool: &ToolName) -> String {
        format!("{}.{tool}", self.secret.strip_suffix(TOOL).unwrap_or(&self.secret))
    }
}

/// Where variables come from, by name.
pub type Credentials = BTreeMap<String, SecretKey>;

/// Reads them.
pub(super) fn credentials(entry: &Entry, findings: &mut Findings) -> BTreeMap<String, SecretKey> {
    let mut credentials = BTreeMap::new();
    let Some(mapping) = entry.value.mapping() else {
        findings
            .add(
                Code::WrongType,
                entry.value.place,
                format!("`credentials` must be a mapping of variables, but is {}", entry.value.described()),
            )
            .with_hint("Write `NAME: {secret: name.<tool>, key: key}` a line.");
        return credentials;
    };
    for item in &mapping.entries {
        if !fields::is_variable(&item.key) {
            findings.add(
                Code::BadEnvName,
                item.key_place,
                format!("{} is no name for an environment variable", shown(&item.key)),
            );
        }
        let Some(section) = open(item, "the credential", &["secret", "key"], findings) else {
            continue;
        };
        let secret = section.required("secret", findings).and_then(|e| secret(e, findings));
        let key = section.required("key", findings).and_then(|e| text(e, findings));
        if let (Some(secret), Some(key)) = (secret, key) {
            credentials.insert(item.key.clone(), SecretKey { secret, key: key.to_owned() });
        }
    }
    credentials
}

fn secret(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let name = text(entry, findings)?;
    let why = match name.strip_suffix(TOOL).filter(|label| is_dns_label(label, 63)) {
        Some(label) if OF_KEYS.contains(&label) => "names keys for repositories, which are the platform's alone",
        Some(_) => return Some(name.to_owned()),
        None => "does not name a Secret for each tool",
    };
    findings.add(Code::BadName, entry.value.place, format!("{} {why}", shown(name))).with_hint(
        "Write a name and `.<tool>`, such as `toolsdb.<tool>`: one Secret a tool, in the platform's namespace.",
    );
    None
}

/// Without a key to make marks with, a changed credential would restart nobody.
pub(super) fn need_keys(entry: Option<&Entry>, has_keys: bool, findings: &mut Findings) {
    if let Some(entry) = entry.filter(|_| !has_keys) {
        findings.add(Code::MissingKey, entry.key_place, "`credentials` needs `secrets` with `keys`").with_hint(
            "Make the platform's keys (`toolforge secrets keygen`) and name their Secret in `secrets.keys`.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::parse;
    use crate::request::deploy_key_secret;

    fn told(lines: &str) -> (BTreeMap<String, SecretKey>, Vec<String>) {
        let text = format!(
            "apiVersion: toolforge.org/v1alpha1\nkind: Platform\nmetadata: {{name: p}}\nspec:\n  domain: d.example\n{lines}"
        );
        let (platform, report) = parse(text.as_bytes(), "platform.yaml");
        let errors = report.errors().map(|error| error.message.clone()).collect();
        (platform.map(|platform| platform.credentials).unwrap_or_default(), errors)
    }

    #[test]
    fn a_credential_comes_from_a_secret_named_after_the_tool_and_needs_a_key_for_marks() {
        let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let keys = format!("  secrets: {{recipients: [{recipient}], keys: toolforge-keys}}\n");
        let given = |secret: &str| format!("{keys}  credentials: {{DB_USER: {{secret: \"{secret}\", key: user}}}}\n");
        let (credentials, errors) = told(&given("toolsdb.<tool>"));
        let tool = |name: &str| ToolName::new(name).expect("a name");
        assert_eq!(
            (credentials["DB_USER"].secret_of(&tool("a")).as_str(), errors.len()),
            ("toolsdb.a", 0),
            "{errors:?}"
        );
        let of_deploy_keys = deploy_key_secret(&tool("a")).replace(".a", TOOL);
        for secret in [
            "git-key.<tool>",
            "toolsdb",
            "<tool>",
            ".<tool>",
            "a.b.<tool>",
            "toolforge-keys",
            "x<tool>",
            &of_deploy_keys,
        ] {
            let (credentials, errors) = told(&given(secret));
            assert!(credentials.is_empty() && errors.len() == 1, "{secret}: {errors:?}");
        }
        assert!(told(&given("git-key.<tool>")).1[0].contains("the platform's alone"));
        let (_, errors) = told(&given("toolsdb.<tool>").replace(&keys, ""));
        assert_eq!(errors, ["`credentials` needs `secrets` with `keys`"]);
    }
}
