//! What to do next with a pod: from what it asks for, what runs, what probes said, and the time. Values in, values out;
//! the shell does what is said here and tells what came of it.
//!
//! ```text
//! Waiting ──Start──▶ Starting ──Started──▶ Running ──Exited──▶ Ended ──may run again──▶ Waiting (back-off)
//!    ▲                  └──CannotStart──┐     └─ probes, Term, Kill
//!    └──────────────────────────────────┘
//! ```

mod running;

pub use running::{Asked, Ending, Running};

use super::wanted::{Part, Probe, Restart, Wanted};
use jiff::{SignedDuration, Timestamp};

/// How long a container that ended waits before it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// The first pause; the first restart of all has none.
    pub first: SignedDuration,
    /// Each is twice the one before, and none is longer.
    pub longest: SignedDuration,
}

impl BackOff {
    /// As a kubelet's: 10 s, doubling to 5 min.
    pub const KUBELET: Self = Self { first: SignedDuration::from_secs(10), longest: SignedDuration::from_secs(300) };

    /// Before the start after so many bad ones in a row.
    fn pause(&self, crashes: u32) -> SignedDuration {
        match crashes.checked_sub(2) {
            None => SignedDuration::ZERO,
            Some(doublings) => {
                let pause = self.first.checked_mul(1 << doublings.min(16));
                pause.unwrap_or(self.longest).min(self.longest)
            }
        }
    }
}

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// Exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// Its last words.
    pub words: String,
    /// It wanted more memory than it may have.
    pub out_of_memory: bool,
}

/// How a run of a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`.
    pub reason: &'static str,
    /// Its last words, or why it was ended.
    pub message: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// Where a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not running, for a reason, until a time; none waits for others.
    Waiting {
        /// `ContainerCreating`, `CrashLoopBackOff`.
        reason: &'static str,
        /// More words.
        message: String,
        /// It is tried then.
        until: Option<Timestamp>,
    },
    /// The shell is at it.
    Starting,
    /// It runs.
    Running(Box<Running>),
    /// It ended.
    Ended(End),
}

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `startupProbe`.
    Startup,
    /// `readinessProbe`.
    Readiness,
    /// `livenessProbe`.
    Liveness,
}

/// One container so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRun {
    /// Where it is.
    pub state: State,
    /// How its last run ended.
    pub last: Option<End>,
    /// How often it was started again.
    pub restarts: u32,
    /// Bad starts in a row.
    crashes: u32,
    /// It ran before, so the next start is another run.
    ran: bool,
}

/// A pod so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRun {
    /// When the node took it up.
    pub since: Timestamp,
    /// Its containers, as in [`Wanted::parts`].
    pub parts: Vec<PartRun>,
    /// Everything is to end within so many seconds.
    pub stop_secs: Option<i64>,
    /// Why the pod can't stay, if so.
    pub evicted: Option<String>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Start a container, as this run of it.
    Start(usize, u32),
    /// Ask a container.
    Ask(usize, Question),
    /// Ask a container's processes to end.
    Term(usize),
    /// End a container's processes.
    Kill(usize),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A container runs.
    Started(usize),
    /// A container could not be started.
    CannotStart(usize, &'static str, String),
    /// A container's process ended.
    Exited(usize, Exit),
    /// A probe was answered: well, or not for this reason.
    Answered(usize, Question, Result<(), String>),
    /// Everything is to end within so many seconds.
    Stop(i64),
    /// The pod takes more than it may, in these words: everything ends, for good.
    Evict(String),
}

/// What to do now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Next {
    /// In order.
    pub acts: Vec<Act>,
    /// If nothing happens before.
    pub wake: Option<Timestamp>,
}

impl Next {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

impl PodRun {
    /// A pod that the node takes up. `restarts` are those of an earlier node, for containers that ran under it.
    #[must_use]
    pub fn new(wanted: &Wanted, earlier: &[Option<u32>], now: Timestamp) -> Self {
        let part = |(index, _): (usize, &Part)| {
            let ran = earlier.get(index).copied().flatten();
            let waits_for =
                if wanted.runs_first(0) && !wanted.runs_first(index) { "PodInitializing" } else { CREATING };
            PartRun {
                state: State::Waiting { reason: waits_for, message: String::new(), until: None },
                last: None,
                restarts: ran.unwrap_or(0),
                crashes: 0,
                ran: ran.is_some(),
            }
        };
        Self { since: now, parts: wanted.parts.iter().enumerate().map(part).collect(), stop_secs: None, evicted: None }
    }

    /// Nothing of it runs or is about to.
    #[must_use]
    pub fn is_still(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part.state, State::Running(_) | State::Starting))
    }

    /// Every container ended for good; then whether all ended well.
    #[must_use]
    pub fn outcome(&self, wanted: &Wanted) -> Option<bool> {
        if self.evicted.is_some() {
            return self.is_still().then_some(false);
        }
        let end = |part: &PartRun| match &part.state {
            State::Ended(end) if !runs_again(wanted.restart, end) => Some(end.code == 0),
            _ => None,
        };
        let (first, rest) = self.parts.split_at(wanted.first);
        if first.iter().any(|part| matches!(&part.state, State::Ended(end) if is_fatal(wanted.restart, end))) {
            return Some(false);
        }
        let ends: Option<Vec<bool>> = rest.iter().map(end).collect();
        ends.map(|ends| ends.iter().all(|good| *good))
    }
}

const CREATING: &str = "ContainerCreating";
/// Before a start that could not even be tried is tried again: things it needs may come.
const CONFIG_RETRY: SignedDuration = SignedDuration::from_secs(5);

/// Takes in what happened.
pub fn take(wanted: &Wanted, run: &mut PodRun, fact: Fact, back_off: &BackOff, now: Timestamp) {
    match fact {
        Fact::Stop(secs) => run.stop_secs = Some(run.stop_secs.map_or(secs, |before| before.min(secs))),
        Fact::Evict(why) => {
            run.stop_secs = Some(0);
            run.evicted.get_or_insert(why);
        }
        Fact::Started(index) => {
            let Some((part, asked)) = run.parts.get_mut(index).zip(wanted.parts.get(index)) else { return };
            part.ran = true;
            part.state = State::Running(Box::new(Running {
                since: now,
                started: asked.startup.is_none(),
                ready: asked.startup.is_none() && asked.readiness.is_none(),
                asked: Default::default(),
                ending: None,
            }));
        }
        Fact::CannotStart(index, reason, message) => {
            let Some(part) = run.parts.get_mut(index) else { return };
            part.crashes += 1;
            let is_pull = reason == "ErrImagePull";
            let pause = if is_pull { back_off.pause(part.crashes + 1) } else { CONFIG_RETRY.min(back_off.longest) };
            let reason = if is_pull && part.crashes > 1 { "ImagePullBackOff" } else { reason };
            part.state = State::Waiting { reason, message, until: now.checked_add(pause).ok() };
        }
        Fact::Exited(index, exit) => {
            if let Some(part) = run.parts.get_mut(index) {
                part.exited(exit, back_off, now);
            }
        }
        Fact::Answered(index, question, answer) => {
            let Some((part, asked)) = run.parts.get_mut(index).zip(wanted.parts.get(index)) else { return };
            if let State::Running(running) = &mut part.state {
                running.answered(asked, question, answer, wanted.grace_secs, now);
            }
        }
    }
}

/// What to do now. What is told to be done is noted as being done.
pub fn next(wanted: &Wanted, run: &mut PodRun, back_off: &BackOff, now: Timestamp) -> Next {
    let mut next = Next::default();
    if let Some(secs) = run.stop_secs {
        for part in &mut run.parts {
            if let State::Running(running) = &mut part.state {
                running.end(String::new(), secs, now);
            }
        }
    }
    let is_over = run.stop_secs.is_some() || run.outcome(wanted).is_some();
    let begun = run.parts[..wanted.first].iter().take_while(|part| is_done(part)).count();
    for (index, part) in run.parts.iter_mut().enumerate() {
        let is_turn = if wanted.runs_first(index) { index == begun } else { begun == wanted.first };
        if is_turn && !is_over {
            let policy = if wanted.runs_first(index) { of_first(wanted.restart) } else { wanted.restart };
            part.start(index, policy, back_off, now, &mut next);
        }
        if let (State::Running(running), Some(asked)) = (&mut part.state, wanted.parts.get(index)) {
            running.go_on(index, asked, now, &mut next);
        }
    }
    next
}

/// A container that runs before the others is done when it ended well, whatever the pod does with the others.
const fn of_first(restart: Restart) -> Restart {
    match restart {
        Restart::Always | Restart::OnFailure => Restart::OnFailure,
        Restart::Never => Restart::Never,
    }
}

fn is_fatal(restart: Restart, end: &End) -> bool {
    end.code != 0 && restart == Restart::Never
}

fn is_done(part: &PartRun) -> bool {
    matches!(&part.state, State::Ended(end) if end.code == 0)
}

fn runs_again(restart: Restart, end: &End) -> bool {
    match restart {
        Restart::Always => true,
        Restart::OnFailure => end.code != 0,
        Restart::Never => false,
    }
}

pub(crate) fn probe(part: &Part, question: Question) -> Option<&Probe> {
    match question {
        Question::Startup => part.startup.as_ref(),
        Question::Readiness => part.readiness.as_ref(),
        Question::Liveness => part.liveness.as_ref(),
    }
}

impl PartRun {
    fn exited(&mut self, exit: Exit, back_off: &BackOff, now: Timestamp) {
        let Exit { code, words, out_of_memory } = exit;
        let State::Running(running) = &self.state else { return };
        let why = running.ending.as_ref().map(|ending| ending.why.clone()).unwrap_or_default();
        let ran = now.duration_since(running.since);
        // Who ran long enough has paid for earlier crashes.
        let is_fresh = back_off.longest.checked_mul(2).is_some_and(|long| ran >= long);
        self.crashes = if is_fresh { 1 } else { self.crashes + 1 };
        self.state = State::Ended(End {
            code,
            reason: match (code, out_of_memory) {
                (0, _) => "Completed",
                (_, true) => "OOMKilled",
                (_, false) => "Error",
            },
            message: if why.is_empty() { words } else { why },
            started: running.since,
            finished: now,
        });
    }

    fn start(&mut self, index: usize, policy: Restart, back_off: &BackOff, now: Timestamp, next: &mut Next) {
        if let State::Ended(end) = &self.state {
            if !runs_again(policy, end) {
                return;
            }
            let pause = back_off.pause(self.crashes);
            let until = end.finished.checked_add(pause).unwrap_or(now);
            let message = format!("back-off {}s restarting failed container", pause.as_secs());
            self.last = Some(end.clone());
            self.state = State::Waiting { reason: "CrashLoopBackOff", message, until: Some(until) };
        }
        let State::Waiting { until, .. } = &self.state else { return };
        match until {
            Some(until) if *until > now => next.wake_at(*until),
            _ => {
                self.restarts += u32::from(self.ran);
                self.ran = false;
                self.state = State::Starting;
                next.acts.push(Act::Start(index, self.restarts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A pod on a machine that does at once what it is told, at a time that the test tells.
    struct Told {
        wanted: Wanted,
        run: PodRun,
        now: Timestamp,
    }

    impl Told {
        fn new(spec: &Value) -> Self {
            let wanted = Wanted::of(&json!({"spec": spec})).expect("a pod");
            let now = Timestamp::UNIX_EPOCH;
            Self { run: PodRun::new(&wanted, &[], now), wanted, now }
        }

        fn next(&mut self) -> Next {
            next(&self.wanted, &mut self.run, &BackOff::KUBELET, self.now)
        }

        fn acts(&mut self) -> Vec<Act> {
            self.next().acts
        }

        fn take(&mut self, fact: Fact) {
            take(&self.wanted, &mut self.run, fact, &BackOff::KUBELET, self.now);
        }

        fn wait(&mut self, secs: i64) {
            self.now += SignedDuration::from_secs(secs);
        }

        fn ends(&mut self, index: usize, code: i32) {
            self.take(Fact::Exited(index, Exit { code, words: "last words".to_owned(), out_of_memory: false }));
        }

        fn runs(&mut self, index: usize) {
            self.take(Fact::Started(index));
        }

        fn is_ready(&self, index: usize) -> bool {
            matches!(&self.run.parts[index].state, State::Running(running) if running.ready)
        }
    }

    fn web(more: Value) -> Value {
        let mut container = json!({"name": "web"});
        container.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        json!({"containers": [container]})
    }

    #[test]
    fn a_crash_loop_pauses_twice_as_long_each_time_up_to_five_minutes() {
        let mut pod = Told::new(&web(json!({})));
        assert_eq!(pod.acts(), [Act::Start(0, 0)]);
        for (restart, pause) in [(1, 0), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300)] {
            pod.runs(0);
            pod.wait(1);
            pod.ends(0, 1);
            if pause > 0 {
                let waits = pod.next();
                let until = pod.now + SignedDuration::from_secs(pause);
                assert_eq!((waits.acts, waits.wake), (vec![], Some(until)), "restart {restart}");
                pod.wait(pause);
            }
            assert_eq!(pod.acts(), [Act::Start(0, restart)]);
        }
        pod.runs(0);
        pod.wait(601);
        pod.ends(0, 1);
        assert_eq!(pod.acts(), [Act::Start(0, 9)], "it ran long enough to begin anew");
    }

    #[test]
    fn what_runs_first_runs_one_after_another_and_a_failure_of_it_is_the_pods() {
        let spec = json!({
            "restartPolicy": "Never",
            "initContainers": [{"name": "a"}, {"name": "b"}],
            "containers": [{"name": "c"}, {"name": "d"}],
        });
        let mut pod = Told::new(&spec);
        assert_eq!(pod.acts(), [Act::Start(0, 0)]);
        pod.runs(0);
        assert_eq!(pod.acts(), []);
        pod.ends(0, 0);
        assert_eq!(pod.acts(), [Act::Start(1, 0)]);
        let mut failing = Told { wanted: pod.wanted.clone(), run: pod.run.clone(), now: pod.now };
        pod.runs(1);
        pod.ends(1, 0);
        assert_eq!(pod.acts(), [Act::Start(2, 0), Act::Start(3, 0)]);
        pod.runs(2);
        pod.runs(3);
        pod.ends(2, 0);
        assert_eq!(pod.run.outcome(&pod.wanted), None);
        pod.ends(3, 3);
        assert_eq!(pod.run.outcome(&pod.wanted), Some(false));
        failing.runs(1);
        failing.ends(1, 2);
        assert_eq!((failing.acts(), failing.run.outcome(&failing.wanted)), (vec![], Some(false)));
    }

    #[test]
    fn policies_decide_what_is_started_again() {
        for (policy, code, again) in [
            ("Always", 0, true),
            ("OnFailure", 0, false),
            ("OnFailure", 1, true),
            ("Never", 0, false),
            ("Never", 1, false),
        ] {
            let mut pod = Told::new(&json!({"restartPolicy": policy, "containers": [{"name": "web"}]}));
            pod.acts();
            pod.runs(0);
            pod.ends(0, code);
            let outcome = (!again).then_some(code == 0);
            assert_eq!((!pod.acts().is_empty(), pod.run.outcome(&pod.wanted)), (again, outcome), "{policy} {code}");
        }
    }

    #[test]
    fn the_startup_probe_comes_first_and_readiness_follows_its_probe() {
        let every = |secs: u32| json!({"tcpSocket": {"port": 1}, "periodSeconds": secs, "failureThreshold": 2});
        let mut pod = Told::new(&web(json!({"startupProbe": every(1), "readinessProbe": every(10)})));
        pod.acts();
        pod.runs(0);
        assert_eq!(pod.acts(), [Act::Ask(0, Question::Startup)]);
        pod.take(Fact::Answered(0, Question::Startup, Err("refused".to_owned())));
        assert_eq!(pod.next().wake, Some(pod.now + SignedDuration::from_millis(200)), "somebody waits for it");
        pod.wait(1);
        assert_eq!(pod.acts(), [Act::Ask(0, Question::Startup)]);
        assert_eq!(pod.acts(), [], "one question at a time");
        pod.take(Fact::Answered(0, Question::Startup, Ok(())));
        assert!(!pod.is_ready(0));
        assert_eq!(pod.acts(), [Act::Ask(0, Question::Readiness)]);
        pod.take(Fact::Answered(0, Question::Readiness, Ok(())));
        assert!(pod.is_ready(0));
        for (bad, ready) in [(1, true), (2, false)] {
            pod.wait(10);
            assert_eq!(pod.acts(), [Act::Ask(0, Question::Readiness)]);
            pod.take(Fact::Answered(0, Question::Readiness, Err("refused".to_owned())));
            assert_eq!(pod.is_ready(0), ready, "{bad} bad answers");
        }
    }

    #[test]
    fn a_bad_liveness_probe_ends_the_process_gently_then_not_and_it_is_started_again() {
        let probe = json!({"tcpSocket": {"port": 1}, "failureThreshold": 1});
        let mut pod = Told::new(&web(json!({"livenessProbe": probe})));
        pod.acts();
        pod.runs(0);
        assert!(pod.is_ready(0), "no readiness probe: it is ready when it runs");
        assert_eq!(pod.acts(), [Act::Ask(0, Question::Liveness)]);
        pod.take(Fact::Answered(0, Question::Liveness, Err("timed out".to_owned())));
        assert_eq!(pod.acts(), [Act::Term(0)]);
        assert!(!pod.is_ready(0));
        pod.wait(30);
        assert_eq!(pod.acts(), [Act::Kill(0)]);
        pod.ends(0, 137);
        assert_eq!(pod.acts(), [Act::Start(0, 1)]);
        let last = pod.run.parts[0].last.clone().expect("an end");
        assert_eq!(last.message, "web did not answer its liveness probe: timed out");
    }

    #[test]
    fn a_pod_that_is_to_end_starts_nothing_more_and_is_killed_after_its_grace() {
        let mut pod = Told::new(&web(json!({})));
        pod.acts();
        pod.take(Fact::Stop(15));
        assert_eq!((pod.acts(), pod.run.is_still()), (vec![], false), "it is being started");
        pod.runs(0);
        assert_eq!(pod.acts(), [Act::Term(0)]);
        assert_eq!(pod.next().wake, Some(pod.now + SignedDuration::from_secs(15)));
        pod.take(Fact::Stop(2));
        assert_eq!(pod.next().wake, Some(pod.now + SignedDuration::from_secs(2)));
        pod.wait(2);
        assert_eq!(pod.acts(), [Act::Kill(0)], "somebody was in a hurry");
        pod.ends(0, 137);
        assert_eq!((pod.acts(), pod.run.is_still()), (vec![], true));
    }

    #[test]
    fn a_pod_that_takes_too_much_ends_at_once_and_for_good() {
        let mut pod = Told::new(&web(json!({})));
        pod.acts();
        pod.runs(0);
        pod.take(Fact::Evict("too much".to_owned()));
        pod.take(Fact::Evict("more than that".to_owned()));
        assert_eq!(pod.acts(), [Act::Term(0), Act::Kill(0)]);
        assert_eq!(pod.run.outcome(&pod.wanted), None, "it runs yet");
        pod.ends(0, 137);
        assert_eq!(
            (pod.acts(), pod.run.outcome(&pod.wanted)),
            (vec![], Some(false)),
            "whatever its restartPolicy says"
        );
        assert_eq!(pod.run.evicted.as_deref(), Some("too much"));
    }

    #[test]
    fn who_wanted_too_much_memory_is_told_apart_from_who_failed() {
        for (code, out_of_memory, reason) in [(137, true, "OOMKilled"), (137, false, "Error"), (0, true, "Completed")] {
            let mut pod = Told::new(&json!({"restartPolicy": "Never", "containers": [{"name": "web"}]}));
            pod.acts();
            pod.runs(0);
            pod.take(Fact::Exited(0, Exit { code, words: String::new(), out_of_memory }));
            let State::Ended(end) = &pod.run.parts[0].state else { unreachable!() };
            assert_eq!(end.reason, reason);
        }
    }

    #[test]
    fn an_image_that_does_not_come_is_asked_for_ever_more_rarely() {
        let mut pod = Told::new(&web(json!({})));
        for (pause, reason) in [(10, "ErrImagePull"), (20, "ImagePullBackOff"), (40, "ImagePullBackOff")] {
            assert_eq!(pod.acts(), [Act::Start(0, 0)]);
            pod.take(Fact::CannotStart(0, "ErrImagePull", "gone".to_owned()));
            let State::Waiting { reason: said, .. } = &pod.run.parts[0].state else { unreachable!() };
            assert_eq!(*said, reason);
            assert_eq!(pod.acts(), []);
            pod.wait(pause);
        }
    }

    #[test]
    fn the_next_node_counts_on() {
        let wanted = Wanted::of(&json!({"spec": web(json!({}))})).expect("a pod");
        let mut run = PodRun::new(&wanted, &[Some(3)], Timestamp::UNIX_EPOCH);
        let next = next(&wanted, &mut run, &BackOff::KUBELET, Timestamp::UNIX_EPOCH);
        assert_eq!(next.acts, [Act::Start(0, 4)]);
    }
}
