//! Whom is asked next: repositories that are to be read, images that are to be looked up. What one host is asked takes
//! turns, so much at once; what failed waits longer each time; and a host that has only let time run out is asked one
//! thing at a time, until it speaks. So a host that hangs costs others nothing, and one thing that hangs costs its host one
//! place.
//!
//! A value: time and randomness are arguments.

use crate::queue::{Ended, Moment, Queue};
use renderer::ToolName;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Reads of one host at once. One less than git's own limit: the config repository's fetch finds a place.
const AT_HOST: usize = 3;
/// Reads at once.
const IN_ALL: usize = 24;
/// So many reads without an answer in between, and a host is taken for silent.
const SILENT_AFTER: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Reads {
    hosts: BTreeMap<String, Host>,
    running: usize,
}

#[derive(Debug, Default)]
struct Host {
    /// By what is read.
    queue: Queue,
    /// Who wants to know.
    due: BTreeMap<String, BTreeSet<ToolName>>,
    running: usize,
    timeouts: u32,
}

/// One thing that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub host: String,
    /// A repository's key, or an image's reference.
    pub what: String,
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
    /// It was not asked after all.
    NotAsked,
}

/// How a read ended.
#[derive(Debug)]
pub(super) struct End {
    /// Those of its tools that are not answered.
    pub failed: BTreeSet<ToolName>,
    pub answered: Answered,
    /// When the host itself wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl End {
    /// Nobody wants to know any more.
    pub(super) fn not_asked() -> Self {
        Self { failed: BTreeSet::new(), answered: Answered::NotAsked, retry_after: None }
    }
}

impl Reads {
    /// Something is to be read for a tool. `anew`: earlier failures say nothing any more.
    pub(super) fn add(&mut self, tool: &ToolName, host: &str, what: &str, anew: bool, now: Moment) {
        let host = self.hosts.entry(host.to_owned()).or_default();
        if anew {
            host.queue.wake_anew(what, now);
        } else {
            host.queue.wake(what, now);
        }
        host.due.entry(what.to_owned()).or_default().insert(tool.clone());
    }

    /// Whether a tool waits for a read to begin.
    pub(super) fn is_due(&self, tool: &ToolName, host: &str, what: &str) -> bool {
        let due = self.hosts.get(host).and_then(|host| host.due.get(what));
        due.is_some_and(|tools| tools.contains(tool))
    }

    /// The next read: of the host with the fewest, so that the limit in all is shared.
    pub(super) fn next(&mut self, now: Moment) -> Option<Job> {
        if self.running == IN_ALL {
            return None;
        }
        let mut hosts: Vec<_> = self.hosts.iter_mut().filter(|(_, host)| host.has_room()).collect();
        hosts.sort_by_key(|(_, host)| host.running);
        for (name, host) in hosts {
            let Some(what) = host.queue.next(now) else { continue };
            host.running += 1;
            self.running += 1;
            let tools = host.due.remove(&what).unwrap_or_default();
            return Some(Job { host: name.clone(), what, tools });
        }
        None
    }

    /// When the next read may begin that waits for its time.
    pub(super) fn next_due(&self, now: Moment) -> Option<Moment> {
        self.hosts.values().filter_map(|host| host.queue.next_due(now)).min()
    }

    /// A read is over; those of its tools that failed are tried again. `jitter` lies in 0..1.
    pub(super) fn ended(&mut self, job: &Job, end: End, now: Moment, jitter: f64) {
        self.running = self.running.saturating_sub(1);
        let Some(host) = self.hosts.get_mut(&job.host) else { return };
        host.running = host.running.saturating_sub(1);
        host.note(end.answered, now);
        let failed = Ended::Failed { retry_after: end.retry_after };
        host.queue.ended(&job.what, if end.failed.is_empty() { Ended::Well } else { failed }, now, jitter);
        if !end.failed.is_empty() {
            host.due.entry(job.what.clone()).or_default().extend(end.failed);
        }
        self.hosts.retain(|_, host| host.running > 0 || host.queue.busy() > 0 || host.timeouts > 0);
    }

    /// What waits at a host that has fallen silent fails with it, and is tried again later like everything else: nobody
    /// has to wait for all turns before his own to hear that. Returned is whom to tell of what.
    pub(super) fn give_up(
        &mut self,
        host: &str,
        now: Moment,
        mut jitter: impl FnMut() -> f64,
    ) -> Vec<(String, BTreeSet<ToolName>)> {
        let Some(host) = self.hosts.get_mut(host).filter(|host| host.is_silent()) else { return Vec::new() };
        let mut given_up = Vec::new();
        while let Some(what) = host.queue.next(now) {
            host.queue.ended(&what, Ended::Failed { retry_after: None }, now, jitter());
            let tools = host.due.get(&what).cloned().unwrap_or_default();
            given_up.push((what, tools));
        }
        given_up
    }
}

impl Host {
    fn has_room(&self) -> bool {
        self.running < if self.is_silent() { 1 } else { AT_HOST }
    }

    fn is_silent(&self) -> bool {
        self.timeouts >= SILENT_AFTER
    }

    /// A host that speaks again is asked everything that waits, at once.
    fn note(&mut self, answered: Answered, now: Moment) {
        match answered {
            Answered::NotAsked => {}
            Answered::No => self.timeouts = self.timeouts.saturating_add(1),
            Answered::Yes => {
                if self.is_silent() {
                    self.due.keys().for_each(|what| self.queue.wake_anew(what, now));
                }
                self.timeouts = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::RepositoryUrl;

    const NOW: Moment = Duration::ZERO;

    fn tool(name: &str) -> ToolName {
        ToolName::new(name).expect("a name")
    }

    fn add(reads: &mut Reads, name: &str, url: &str, anew: bool) {
        let url = RepositoryUrl::parse(url).expect("a URL");
        reads.add(&tool(name), url.host(), url.key().as_str(), anew, NOW);
    }

    fn end(reads: &mut Reads, job: &Job, failed: bool, answered: Answered) {
        let failed = if failed { job.tools.clone() } else { BTreeSet::new() };
        reads.ended(job, End { failed, answered, retry_after: None }, NOW, 0.0);
    }

    fn reads(urls: &[&str]) -> Reads {
        let mut reads = Reads::default();
        for (n, url) in urls.iter().enumerate() {
            add(&mut reads, &format!("t{n}"), url, false);
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
            end(&mut reads, &job, true, Answered::No);
        }
        let mut jobs = started(&mut reads, NOW);
        assert_eq!(jobs.len(), 1, "silent");
        let job = jobs.remove(0);
        end(&mut reads, &job, false, Answered::Yes);
        assert_eq!(started(&mut reads, NOW).len(), AT_HOST, "it speaks again");
    }

    #[test]
    fn what_failed_waits_and_news_end_the_wait() {
        let url = "https://a.example/x";
        let mut reads = reads(&[url]);
        let job = reads.next(NOW).expect("a read");
        end(&mut reads, &job, true, Answered::Yes);
        assert_eq!(reads.next(NOW), None);
        let due = reads.next_due(NOW).expect("it is tried again");
        assert!(due > NOW && reads.is_due(&tool("t0"), &job.host, &job.what));
        add(&mut reads, "t0", url, true);
        assert_eq!(reads.next(NOW), Some(job.clone()));
        end(&mut reads, &job, false, Answered::Yes);
        assert!(reads.hosts.is_empty(), "nothing is kept of what is done");
    }

    #[test]
    fn what_waits_at_a_silent_host_fails_with_it_and_is_asked_at_once_when_the_host_speaks() {
        let many: Vec<_> = (0..10).map(|n| format!("https://a.example/{n}")).collect();
        let mut reads = reads(&many.iter().map(String::as_str).collect::<Vec<_>>());
        for job in started(&mut reads, NOW) {
            assert!(reads.give_up("a.example", NOW, || 0.0).is_empty(), "not silent yet");
            end(&mut reads, &job, true, Answered::No);
        }
        assert_eq!(reads.give_up("a.example", NOW, || 0.0).len(), 10 - AT_HOST, "those that were not asked");
        assert!(reads.give_up("a.example", NOW, || 0.0).is_empty() && reads.next(NOW).is_none(), "told once");
        let later = reads.next_due(NOW).expect("they are tried again");
        let job = reads.next(later).expect("one of them");
        assert_eq!(reads.next(later), None, "one at a time");
        reads.ended(&job, End { failed: BTreeSet::new(), answered: Answered::Yes, retry_after: None }, later, 0.0);
        assert_eq!(started(&mut reads, later).len(), AT_HOST, "no pause is left");
    }
}
