//! What `toolforge` asked the API server for, by verb and resource.

use std::collections::BTreeMap;
use tests::control_plane::Request;

/// Counts, by verb and by verb and resource; a server-side apply, a dry run and the lease are verbs of their own.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    by_verb: BTreeMap<String, usize>,
    /// Empty where only the process itself counts.
    by_resource: BTreeMap<String, usize>,
}

impl Requests {
    /// Those of an audit log that were ours.
    pub fn of_log(rows: &[Request]) -> Self {
        let mut counted = Self::default();
        for row in rows.iter().filter(|row| row.user_agent.starts_with("toolforge/")) {
            let verb = verb(row);
            *counted.by_resource.entry(format!("{verb} {}", row.resource)).or_default() += 1;
            *counted.by_verb.entry(verb).or_default() += 1;
        }
        counted
    }

    /// Those that a process counted, less what it had counted before.
    pub fn of_process(now: &BTreeMap<String, usize>, before: &BTreeMap<String, usize>) -> Self {
        let since = |(verb, count): (&String, &usize)| {
            let count = count - before.get(verb).copied().unwrap_or_default();
            (count > 0).then(|| (verb.clone(), count))
        };
        Self { by_verb: now.iter().filter_map(since).collect(), by_resource: BTreeMap::new() }
    }

    pub fn total(&self) -> usize {
        self.by_verb.values().sum()
    }

    /// All but the lease, the watches and the lists.
    pub fn of_tools(&self) -> usize {
        let apart = ["lease", "watch", "list"];
        self.by_verb.iter().filter(|(verb, _)| !apart.contains(&verb.as_str())).map(|(_, count)| count).sum()
    }

    pub fn by_verb(&self) -> String {
        told(self.by_verb.iter().map(|(verb, count)| format!("{count} {verb}")))
    }

    /// Per tool or edit, most first; what is asked for once or twice by the process is left out. By verb where no more is
    /// known.
    pub fn profile(&self, of: usize) -> String {
        let all = if self.by_resource.is_empty() { &self.by_verb } else { &self.by_resource };
        let each = |(what, count): (&String, &usize)| (*count as f64 / of as f64, what.clone());
        let mut rows: Vec<_> = all.iter().map(each).filter(|(count, _)| *count >= 0.1).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        told(rows.into_iter().map(|(count, what)| format!("{count:.2} {what}")))
    }
}

fn verb(row: &Request) -> String {
    let asks = |pair: &str| row.uri.split(['?', '&']).skip(1).any(|found| found == pair);
    match row.verb.as_str() {
        _ if row.resource == "leases" => "lease",
        "patch" if asks("dryRun=All") => "dry run",
        "patch" if asks("force=true") => "apply",
        other => other,
    }
    .to_owned()
}

fn told(rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() { "none".to_owned() } else { rows.join(", ") }
}
