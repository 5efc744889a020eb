//! What nobody may repeat of what others said. A plan repeats the words of pods, servers and hosts and what somebody wrote
//! into an object by hand, and an outcome the words of the API server; a tool's values are taken out of them before
//! anything else is made of either. So status, events, logs, plan files and every command have them without.
//!
//! Values come into being where something was said, and for as long as it is searched: a pass about which nobody says
//! anything opens nothing and reads nothing.

use super::{Decided, Missed, Subject};
use crate::cluster::call::CallError;
use crate::secrets::{LEAST_BYTES, Mask, TooLarge, Vault, values_in_namespace};
use kube::Client;
use planner::Moment;
use planner::observed::Observed;
use planner::plan::Plan;
use renderer::{Secret, Siblings, ToolName};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Stands for words that could not be searched.
const WITHHELD: &str = "what was said about it is withheld: the tool's secrets can't be read or searched for";

/// How it went. What could not be searched is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Nothing is left in it.
    Done,
    /// The values could not be read for now.
    PutOff(Missed),
    /// They can't be searched for, however often it is tried.
    Impossible,
}

impl Search {
    /// What has to be tried again.
    #[must_use]
    pub fn missed(self) -> Option<Missed> {
        match self {
            Self::PutOff(missed) => Some(missed),
            Self::Done | Self::Impossible => None,
        }
    }
}

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

    /// Takes them out of a plan that is made of this. Returned is what has to be tried again.
    pub(super) async fn hide_in(
        &self,
        client: &Client,
        plan: &mut Plan,
        (observed, now): (&Observed, Moment),
    ) -> Option<Missed> {
        let missed = self.hide(client, plan.said()).await.missed();
        if missed.is_some() {
            plan.put_off_verdict(observed.live(&planner::tool_id(&plan.tool)).and_then(|tool| tool.get("status")), now);
        }
        missed
    }

    /// Takes them out of what was said. Where they can't be searched for, nothing of it is told.
    pub async fn hide(&self, client: &Client, mut said: Vec<&mut String>) -> Search {
        // A count or a number holds none.
        said.retain(|text| text.len() >= LEAST_BYTES);
        if said.is_empty() {
            return Search::Done;
        }
        let search = match self.values_on_cluster(client).await {
            Ok(on_cluster) => self.mask_all(&mut said, &on_cluster),
            Err(error) if error.may_pass() && !matches!(error, CallError::Garbage(_)) => {
                Search::PutOff(Missed::of(&error))
            }
            Err(error) => {
                tracing::warn!(tool = %self.tool, %error, "the tool's secrets can't be read: what others said is withheld");
                Search::Impossible
            }
        };
        if search != Search::Done {
            withhold(said);
        }
        search
    }

    /// None where they may not be read: who may not can't be kept from repeating them.
    async fn values_on_cluster(&self, client: &Client) -> Result<Vec<Secret>, CallError> {
        if !self.on_cluster {
            return Ok(Vec::new());
        }
        match values_in_namespace(client, &self.tool).await {
            Err(error) if matches!(error.code(), Some(401 | 403)) => {
                tracing::info!(tool = %self.tool, code = error.code(), "the tool's secrets may not be read, nor be hidden");
                Ok(Vec::new())
            }
            read => read,
        }
    }

    fn mask_all(&self, said: &mut [&mut String], on_cluster: &[Secret]) -> Search {
        let longest = said.iter().map(|text| text.len()).max().unwrap_or_default();
        let Ok(mask) = self.mask(longest, on_cluster) else {
            tracing::warn!(tool = %self.tool, "the tool's secrets are too large to be hidden: what others said is withheld");
            return Search::Impossible;
        };
        for text in said {
            if let Cow::Owned(masked) = mask.words(text) {
                **text = masked;
            }
        }
        Search::Done
    }

    fn mask(&self, longest: usize, on_cluster: &[Secret]) -> Result<Mask, TooLarge> {
        let values = |file: &Vec<u8>| self.vault.values(&self.tool, &self.joined, Some(file));
        let encrypted: Vec<Secret> = self.files.iter().flat_map(values).collect();
        Mask::within(longest, encrypted.iter().chain(on_cluster).chain(self.vault.own()))
    }
}

impl Decided {
    /// Takes the tool's values out of texts of objects as they are on the cluster.
    pub async fn hide(&self, client: &Client, texts: Vec<&mut String>) -> Search {
        self.hidden.hide(client, texts).await
    }
}

/// Of what can't be searched nothing is told.
pub fn withhold(said: Vec<&mut String>) {
    said.into_iter().for_each(|text| WITHHELD.clone_into(text));
}
