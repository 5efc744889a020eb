//! What nobody may repeat of what others said. A plan repeats the words of pods, servers and hosts, and an outcome those of
//! the API server; a tool's values are taken out of them before anything else is made of either. So status, events, logs,
//! plan files and every command have them without.
//!
//! Values come into being where something was said, and for as long as it is searched: a pass about which nobody says
//! anything opens nothing and reads nothing.

use super::{Missed, Subject};
use crate::secrets::{Mask, TooLarge, Vault, values_in_namespace};
use kube::Client;
use planner::observed::Observed;
use renderer::{Secret, Siblings, ToolName};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Stands for words that could not be searched.
const WITHHELD: &str = "what was said about it is withheld: the tool's secrets can't be read or searched for";

/// Whose values, and where they stand.
#[derive(Debug, Clone)]
pub struct Hidden {
    vault: Vault,
    tool: ToolName,
    joined: BTreeSet<ToolName>,
    /// The encrypted values of the newest revision, and of those that were Ready: what was rotated away counts.
    files: BTreeSet<Vec<u8>>,
    /// There are Secrets in the tool's namespace, or nobody knows.
    on_cluster: bool,
}

impl Hidden {
    pub(super) fn of(subject: &Subject, observed: &Observed) -> Self {
        let mut hidden = Self::of_tool(&subject.vault, &subject.tool.name, &subject.siblings, observed);
        hidden.files.extend(subject.newest.iter().filter_map(|revision| revision.files.secrets.clone()));
        hidden
    }

    /// Those of a tool, as far as they were observed.
    #[must_use]
    pub fn of_tool(vault: &Vault, tool: &ToolName, siblings: &Siblings, observed: &Observed) -> Self {
        Self {
            vault: vault.clone(),
            tool: tool.clone(),
            joined: siblings.tools.clone(),
            files: observed.stored.iter().filter_map(|stored| stored.revision.files.secrets.clone()).collect(),
            on_cluster: observed.secrets.as_ref().is_none_or(|names| !names.is_empty()),
        }
    }

    /// Takes them out of what was said. Where they can't be read for now, nothing of it is told, and it has to be tried
    /// again.
    pub async fn hide(&self, client: &Client, said: Vec<&mut String>) -> Option<Missed> {
        if said.is_empty() {
            return None;
        }
        let on_cluster = if self.on_cluster { values_in_namespace(client, &self.tool).await } else { Ok(Vec::new()) };
        let on_cluster = match on_cluster {
            Ok(values) => values,
            // Who may not read them can't be kept from repeating them.
            Err(error) if matches!(error.code(), Some(401 | 403)) => {
                tracing::info!(tool = %self.tool, code = error.code(), "the tool's secrets may not be read, nor be hidden");
                Vec::new()
            }
            Err(error) => {
                withhold(said);
                return Some(Missed::of(&error));
            }
        };
        let longest = said.iter().map(|text| text.len()).max().unwrap_or_default();
        let Ok(mask) = self.mask(longest, &on_cluster) else {
            tracing::warn!(tool = %self.tool, "the tool's secrets are too large to be hidden: what others said is withheld");
            withhold(said);
            return None;
        };
        for text in said {
            if let Cow::Owned(masked) = mask.words(text) {
                *text = masked;
            }
        }
        None
    }

    fn mask(&self, longest: usize, on_cluster: &[Secret]) -> Result<Mask, TooLarge> {
        let values = |file: &Vec<u8>| self.vault.values(&self.tool, &self.joined, Some(file));
        let encrypted: Vec<Secret> = self.files.iter().flat_map(values).collect();
        Mask::within(longest, encrypted.iter().chain(on_cluster).chain(self.vault.own()))
    }
}

/// Of what can't be searched nothing is told.
pub fn withhold(said: Vec<&mut String>) {
    said.into_iter().for_each(|text| WITHHELD.clone_into(text));
}
