//! How a prediction reads: a hold in one sentence, and a small table.

use renderer::Quantity;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A change that the quota can't hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// Resource, as the quota names it.
    pub resource: String,
    /// How much is taken already, the component as it runs included.
    pub used: String,
    /// How much more it asks for.
    pub asked: String,
    /// How much there is.
    pub limit: String,
    /// `file:line:column` of what asks, where a file says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Where more can be granted: a key, and a file of the config repository.
    pub grant: String,
    /// How many other resources are short too.
    #[serde(default)]
    pub more: usize,
    /// It asks for more replicas.
    #[serde(skip)]
    pub(crate) scaled: bool,
}

impl Shortage {
    /// The fields of objects to look for, the likeliest first.
    pub(crate) fn fields(&self) -> Vec<String> {
        let has = |part: &str| self.resource.contains(part);
        let of_kind = [
            ("cpu", "cpu"),
            ("memory", "memory"),
            ("cronjobs", "schedule"),
            ("jobs", "schedule"),
            ("services", "port"),
            ("ingresses", "Ingress"),
            ("httproutes", "HTTPRoute"),
        ];
        let size = of_kind.iter().find(|(part, _)| has(part)).map(|(_, field)| (*field).to_owned());
        let replicas = Some("replicas".to_owned());
        let both = if self.scaled { [replicas, size] } else { [size, replicas] };
        both.into_iter().flatten().collect()
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, used, asked, limit, at, grant, more, .. } = self;
        let at = at.as_ref().map(|at| format!("{at} ")).unwrap_or_default();
        let others = if *more == 0 { String::new() } else { format!(", and {more} more resources are short") };
        write!(
            f,
            "{at}asks for {asked} more {resource}, {used} of {limit} are used{others}; ask for less, or ask the operators: \
             {grant} can grant more"
        )
    }
}

/// What becomes of one resource of a tool's quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// As the quota names it.
    pub resource: String,
    /// Used now: as the server counts, where it does.
    pub used: Quantity,
    /// Taken at rest, before.
    pub before: Quantity,
    /// Taken at rest, after the plan and all that follows from it.
    pub after: Quantity,
    /// At the most on the way, or when everything runs at once.
    pub peak: Quantity,
    /// The limit.
    pub limit: Quantity,
}

impl Row {
    /// Whether the plan changes it, at rest or on the way.
    fn changes(&self) -> bool {
        self.after != self.before
    }

    /// What to know of it where it [is tight](Self::is_tight).
    pub(crate) fn remark(&self) -> String {
        let Self { resource, peak, limit, .. } = self;
        format!("at its peak this takes {peak} of {limit} {resource}: pods wait until others have ended")
    }

    /// Whether it fits at rest and not at the peak.
    pub(crate) fn is_tight(&self) -> bool {
        self.after <= self.limit && self.peak > self.limit
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_struct("Row", 5)?;
        row.serialize_field("resource", &self.resource)?;
        for (key, amount) in [("used", self.used), ("after", self.after), ("peak", self.peak), ("limit", self.limit)] {
            row.serialize_field(key, &amount.to_string())?;
        }
        row.end()
    }
}

/// The resources that the plan changes, a line each; nothing where it changes none.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let amounts = |row: &Row| [row.used, row.after, row.peak, row.limit].map(|amount| amount.to_string());
    let changed: Vec<_> = rows.iter().filter(|row| row.changes()).collect();
    let heads = ["used", "after", "peak", "limit"].map(str::to_owned);
    if changed.is_empty() {
        return String::new();
    }
    let lines: Vec<_> = changed.iter().map(|row| (row.resource.as_str(), amounts(row))).collect();
    let lines: Vec<_> = std::iter::once(("quota", heads)).chain(lines).collect();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, amounts): &(&str, [String; 4])| {
        let cells: String = amounts.iter().map(|amount| format!(" {amount:>8}")).collect();
        format!("  {name:width$}{cells}\n")
    };
    lines.iter().map(line).collect()
}
