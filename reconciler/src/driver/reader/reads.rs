//! Which repository is read next. Repositories of one host take turns, so many at once; one that failed waits longer each
//! time; and a host that has only let reads time out is asked one thing at a time. So a host that hangs costs others
//! nothing, and a repository that hangs costs its host one place.
//!
//! A value: time and randomness are arguments.

use crate::queue::{Ended, Moment, Queue};
use crate::source::{RepositoryKey, RepositoryUrl};
use renderer::ToolName;
use std::collections::{BTreeMap, BTreeSet};

/// Reads of one host at once. One less than git's own limit: the config repository's fetch finds a place.
const AT_HOST: usize = 3;
/// Reads at once.
const IN_ALL: usize = 24;
/// So many reads without an answer in between, and a host is taken for silent.
const SILENT_AFTER: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Reads {
    hosts: BTreeMap<String, Host>,
    /// Who wants to know.
    due: BTreeMap<RepositoryKey, BTreeSet<ToolName>>,
    running: usize,
}

#[derive(Debug, Default)]
struct Host {
    /// By repository.
    queue: Queue,
    keys: BTreeMap<String, RepositoryKey>,
    running: usize,
    timeouts: u32,
}

/// One repository that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub host: String,
    pub repository: RepositoryKey,
    /// For whom.
    pub tools: BTreeSet<ToolName>,
}

/// How a host behaved in a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// It spoke, whatever it said.
    Yes,
    /// It let the time run out.
    No,
}

impl Reads {
    /// A tool's repository is to be read. `anew`: earlier failures say nothing any more.
    pub(super) fn add(&mut self, tool: &ToolName, url: &RepositoryUrl, anew: bool, now: Moment) {
        let key = url.key();
        let host = self.hosts.entry(url.host().to_owned()).or_default();
        host.keys.insert(key.as_str().to_owned(), key.clone());
        if anew {
            host.queue.wake_anew(key.as_str(), now);
        } else {
            host.queue.wake(key.as_str(), now);
        }
        self.due.entry(key).or_default().insert(tool.clone());
    }

    /// Whether a tool waits for a read to begin.
    pub(super) fn is_due(&self, tool: &ToolName, repository: &RepositoryKey) -> bool {
        self.due.get(repository).is_some_and(|tools| tools.contains(tool))
    }

    /// The next read: of the host with the fewest, so that the limit in all is shared.
    pub(super) fn next(&mut self, now: Moment) -> Option<Job> {
        if self.running == IN_ALL {
            return None;
        }
        let mut hosts: Vec<_> = self.hosts.iter_mut().filter(|(_, host)| host.has_room()).collect();
        hosts.sort_by_key(|(_, host)| host.running);
        for (name, host) in hosts {
            let Some(repository) = host.queue.next(now).and_then(|key| host.keys.get(&key).cloned()) else { continue };
            host.running += 1;
            self.running += 1;
            let tools = self.due.remove(&repository).unwrap_or_default();
            return Some(Job { host: name.clone(), repository, tools });
        }
        None
    }

    /// When the next read may begin that waits for its time.
    pub(super) fn next_due(&self, now: Moment) -> Option<Moment> {
        self.hosts.values().filter_map(|host| host.queue.next_due(now)).min()
    }

    /// A read is over; those of its tools that failed are tried again. `jitter` lies in 0..1.
    pub(super) fn ended(
        &mut self,
        job: &Job,
        failed: BTreeSet<ToolName>,
        answered: Answered,
        now: Moment,
        jitter: f64,
    ) {
        self.running = self.running.saturating_sub(1);
        let Some(host) = self.hosts.get_mut(&job.host) else { return };
        host.running = host.running.saturating_sub(1);
        host.timeouts = if answered == Answered::Yes { 0 } else { host.timeouts + 1 };
        let how = if failed.is_empty() { Ended::Well } else { Ended::Failed { retry_after: None } };
        host.queue.ended(job.repository.as_str(), how, now, jitter);
        if !failed.is_empty() {
            self.due.entry(job.repository.clone()).or_default().extend(failed);
        } else if !self.due.contains_key(&job.repository) {
            host.keys.remove(job.repository.as_str());
        }
        self.hosts.retain(|_, host| host.running > 0 || host.queue.busy() > 0 || host.timeouts > 0);
    }
}

impl Host {
    fn has_room(&self) -> bool {
        self.running < if self.timeouts >= SILENT_AFTER { 1 } else { AT_HOST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Moment = Duration::ZERO;

    fn tool(name: &str) -> ToolName {
        ToolName::new(name).expect("a name")
    }

    fn reads(urls: &[&str]) -> Reads {
        let mut reads = Reads::default();
        for (n, url) in urls.iter().enumerate() {
            reads.add(&tool(&format!("t{n}")), &RepositoryUrl::parse(url).expect("a URL"), false, NOW);
        }
        reads
    }

    fn started(reads: &mut Reads, now: Moment) -> Vec<Job> {
        std::iter::from_fn(|| reads.next(now)).collect()
    }

    #[test]
    fn a_thousand_tools_of_one_repository_are_one_read() {
        let mut reads = reads(&["https://a.example/x"; 1000]);
        let jobs = started(&mut reads, NOW);
        assert_eq!(jobs.iter().map(|job| job.tools.len()).collect::<Vec<_>>(), [1000]);
    }

    #[test]
    fn a_host_gets_its_places_and_the_others_theirs() {
        let many: Vec<_> = (0..100).map(|n| format!("https://a.example/{n}")).collect();
        let mut urls: Vec<_> = many.iter().map(String::as_str).collect();
        urls.extend(["https://b.example/x", "https://c.example/x"]);
        let mut reads = reads(&urls);
        let jobs = started(&mut reads, NOW);
        let of = |host: &str| jobs.iter().filter(|job| job.host == host).count();
        assert_eq!((of("a.example"), of("b.example"), of("c.example")), (AT_HOST, 1, 1));
    }

    #[test]
    fn a_host_that_only_lets_time_run_out_gets_one_place_until_it_answers() {
        let many: Vec<_> = (0..10).map(|n| format!("https://a.example/{n}")).collect();
        let mut reads = reads(&many.iter().map(String::as_str).collect::<Vec<_>>());
        for job in started(&mut reads, NOW) {
            reads.ended(&job, job.tools.clone(), Answered::No, NOW, 0.0);
        }
        let mut jobs = started(&mut reads, NOW);
        assert_eq!(jobs.len(), 1, "silent");
        let job = jobs.remove(0);
        reads.ended(&job, BTreeSet::new(), Answered::Yes, NOW, 0.0);
        assert_eq!(started(&mut reads, NOW).len(), AT_HOST, "it speaks again");
    }

    #[test]
    fn what_failed_waits_and_news_end_the_wait() {
        let url = "https://a.example/x";
        let mut reads = reads(&[url]);
        let job = reads.next(NOW).expect("a read");
        reads.ended(&job, job.tools.clone(), Answered::Yes, NOW, 0.0);
        assert_eq!(reads.next(NOW), None);
        let due = reads.next_due(NOW).expect("it is tried again");
        assert!(due > NOW && reads.is_due(&tool("t0"), &job.repository));
        reads.add(&tool("t0"), &RepositoryUrl::parse(url).expect("a URL"), true, NOW);
        assert_eq!(reads.next(NOW), Some(job.clone()));
        reads.ended(&job, BTreeSet::new(), Answered::Yes, NOW, 0.0);
        assert!(reads.hosts.is_empty(), "nothing is kept of what is done");
    }
}
