//! Hiccups of a server that is well otherwise, with the real patience and under paused time: a moment's trouble is
//! nobody's business, lasting trouble is a gap, and what a watch missed is found.

use crate::fake::{
    Ask, DEPLOYMENTS, Fake, Reply, Then, Watched, bookmark, deployment, line, list, quiet, scope, status, watch,
};
use reconciler::observe::{ByKind, Pace, Scope};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Patient as in production.
fn patient() -> Scope {
    Scope { pace: Pace::default(), ..scope() }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A server that is quiet, but whose watch of Deployments ends 100 s after the beginning; the next ones are answered by
/// `trouble`, told how long the trouble lasts, until it has nothing to say. From then on `a` has 5 replicas.
fn troubled(trouble: impl Fn(Duration, &Ask) -> Option<Reply> + Send + Sync + 'static) -> Fake {
    let (begun, lists) = (Instant::now(), AtomicUsize::new(0));
    Fake::new(move |ask| match ask.path.as_str() {
        DEPLOYMENTS if ask.is_streamed_list() && lists.fetch_add(1, Ordering::SeqCst) == 0 => {
            let lines = vec![line("ADDED", deployment("a", "4", 2)), bookmark("7", true)];
            Reply::Lines(lines, Then::ClosedAfter(secs(100)))
        }
        DEPLOYMENTS => match trouble(begun.elapsed().saturating_sub(secs(100)), ask) {
            Some(reply) => reply,
            None if ask.is_streamed_list() => {
                Reply::Lines(vec![line("ADDED", deployment("a", "9", 5)), bookmark("9", true)], Then::Silent)
            }
            None => Reply::Lines(vec![line("MODIFIED", deployment("a", "9", 5))], Then::Silent),
        },
        _ => quiet(ask),
    })
}

/// What a server in trouble answers.
type Trouble = Box<dyn Fn(&Ask) -> Reply + Send + Sync>;

/// Whether anybody had a reason for a pass since the first list.
async fn starts(fake: &Fake) -> (Watched, tokio::sync::watch::Receiver<u64>) {
    let watched = watch(fake, patient());
    watched.world.synced().await;
    sleep(secs(20)).await;
    assert_eq!(watched.woken(), ["a"]);
    let mut turns = watched.world.turns();
    turns.mark_unchanged();
    (watched, turns)
}

#[tokio::test(start_paused = true)]
async fn trouble_within_the_grace_is_no_gap_and_nobodys_pass() {
    let refused = |code, reason: &'static str| move |_: &Ask| status(code, reason, "not now");
    let troubles: [(&str, Trouble); 7] = [
        ("429", Box::new(refused(429, "TooManyRequests"))),
        ("500", Box::new(refused(500, "InternalError"))),
        ("503", Box::new(refused(503, "ServiceUnavailable"))),
        ("404 of a server that has just begun", Box::new(|_| Reply::Text(404, "404 page not found"))),
        ("no answer", Box::new(|_| Reply::Never)),
        ("ends at once", Box::new(|_| Reply::Lines(Vec::new(), Then::Closed))),
        ("is cut at once", Box::new(|_| Reply::Lines(Vec::new(), Then::Cut))),
    ];
    for (what, trouble) in troubles {
        let fake = troubled(move |lasts, ask| (lasts < secs(40)).then(|| trouble(ask)));
        let (watched, turns) = starts(&fake).await;
        sleep(secs(110)).await;
        assert_eq!(watched.woken(), [""; 0], "{what}");
        assert!(!turns.has_changed().expect("the world lives"), "{what}: a turn passes every tool");
        assert_eq!(watched.gap("Deployment"), None, "{what}");
        sleep(secs(60)).await;
        assert_eq!((watched.woken(), watched.replicas("a")), (vec!["a".to_owned()], Some(5)), "{what}");
        let asked = fake.asked_for(DEPLOYMENTS);
        let resumed = asked.iter().skip(1).all(|ask| ask.is_watch() && ask.asks("resourceVersion") == "7");
        assert!(resumed && (5..15).contains(&asked.len()), "{what}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_that_stays_is_one_gap_after_a_minute_and_its_end_is_one_turn() {
    let ends_at_once = |_: &Ask| Reply::Lines(Vec::new(), Then::Closed);
    let refused = |_: &Ask| status(500, "InternalError", "etcd is away");
    let troubles: [(&str, Trouble); 2] =
        [("500 etcd is away", Box::new(refused)), ("ends again", Box::new(ends_at_once))];
    for (why, trouble) in troubles {
        let fake = troubled(move |lasts, ask| (lasts < secs(600)).then(|| trouble(ask)));
        let (watched, mut turns) = starts(&fake).await;
        sleep(secs(80 + 55)).await;
        assert!(!turns.has_changed().expect("the world lives"), "{why}: within the grace");
        sleep(secs(10)).await;
        assert!(turns.has_changed().expect("the world lives"), "{why}: after it");
        turns.mark_unchanged();
        let said = watched.gap("Deployment").expect("a gap");
        assert!(said.contains(why), "{said}");
        assert_eq!(watched.replicas("a"), Some(2), "{why}: what was known is kept");
        sleep(secs(500)).await;
        assert!(!turns.has_changed().expect("the world lives"), "{why}: it does not come and go");
        sleep(secs(120)).await; // The trouble ends after 35 s, and the next try follows within the longest delay.
        assert!(turns.has_changed().expect("the world lives"), "{why}");
        assert_eq!((watched.gap("Deployment"), watched.replicas("a")), (None, Some(5)), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_read_there_is_no_grace() {
    for (code, reason) in [(401, "Unauthorized"), (403, "Forbidden")] {
        let fake = troubled(move |_, _| Some(status(code, reason, "not for you")));
        let (watched, turns) = starts(&fake).await;
        sleep(secs(81)).await;
        assert!(turns.has_changed().expect("the world lives"));
        assert_eq!(watched.gap("Deployment"), Some(format!("{code} not for you")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_the_server_forgot_wakes_only_whom_it_concerns_also_when_the_next_list_fails_for_a_while() {
    let fake = troubled(|lasts, ask| match lasts {
        _ if !ask.is_streamed_list() => Some(status(410, "Expired", "too old resource version")),
        lasts if lasts < secs(30) => Some(status(503, "ServiceUnavailable", "later")),
        _ => None,
    });
    let (watched, turns) = starts(&fake).await;
    sleep(secs(150)).await; // Past the end of the grace, which is the time of the last try.
    assert!(!turns.has_changed().expect("the world lives"));
    assert_eq!((watched.woken(), watched.replicas("a")), (vec!["a".to_owned()], Some(5)));
    let versions: Vec<_> =
        fake.asked_for(DEPLOYMENTS).iter().map(|ask| ask.asks("resourceVersion").to_owned()).collect();
    assert_eq!(
        versions.iter().filter(|version| *version == "7").count(),
        1,
        "a forgotten version is not asked for again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_be_left_alone_is_left_alone() {
    let fake = troubled(|lasts, _| (lasts < secs(35)).then_some(Reply::Headers(429, &[("retry-after", "30")])));
    let (watched, turns) = starts(&fake).await;
    sleep(secs(80 + 29)).await;
    assert_eq!(fake.asked_for(DEPLOYMENTS).len(), 2, "the first list, and one refused");
    sleep(secs(2)).await;
    assert_eq!(fake.asked_for(DEPLOYMENTS).len(), 3);
    sleep(secs(40)).await;
    assert!(!turns.has_changed().expect("the world lives"));
    assert_eq!(watched.replicas("a"), Some(5));
}

/// A server that told the watch of versions up to 9, but forgot to tell of one change and of one end.
fn forgetful(exact: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static) -> Fake {
    let comparisons = AtomicUsize::new(0);
    Fake::new(move |ask| match ask.path.as_str() {
        DEPLOYMENTS if ask.is_watch() => {
            let known = ["same", "stale", "gone"].map(|tool| line("ADDED", deployment(tool, "2", 1)));
            Reply::Lines(known.into_iter().chain([bookmark("9", true)]).collect(), Then::Silent)
        }
        DEPLOYMENTS => {
            assert_eq!((ask.asks("resourceVersionMatch"), ask.asks("resourceVersion")), ("Exact", "9"));
            let truth = || list("9", &[deployment("same", "2", 1), deployment("stale", "7", 5)]);
            exact(comparisons.fetch_add(1, Ordering::SeqCst)).unwrap_or_else(truth)
        }
        _ => quiet(ask),
    })
}

/// Silent servers are not this test's subject: a real one sends bookmarks.
fn without_bookmarks() -> Scope {
    let mut scope = patient();
    scope.pace.silence = secs(100 * 3600);
    scope
}

fn missed(watched: &Watched) -> u64 {
    watched.counters.missed.get_or_create(&ByKind { kind: "Deployment" }).get()
}

#[tokio::test(start_paused = true)]
async fn every_six_hours_what_the_watch_missed_is_counted_repaired_and_wakes_its_tools() {
    let fake = forgetful(|_| None);
    let watched = watch(&fake, without_bookmarks());
    watched.world.synced().await;
    watched.woken();
    sleep(secs(4 * 3600)).await;
    assert_eq!((missed(&watched), watched.woken()), (0, Vec::new()));
    sleep(secs(4 * 3600)).await;
    assert_eq!(watched.woken(), ["gone", "stale"]);
    assert_eq!((missed(&watched), watched.replicas("gone"), watched.replicas("stale")), (2, None, Some(5)));
    sleep(secs(8 * 3600)).await;
    assert_eq!((missed(&watched), watched.woken()), (2, Vec::new()), "what was repaired is not found again");
    assert_eq!(watched.counters.opened.get_or_create(&ByKind { kind: "Deployment" }).get(), 1, "the watch goes on");
}

#[tokio::test(start_paused = true)]
async fn a_comparison_that_fails_is_no_gap_and_is_tried_again_soon() {
    let failed_at = Arc::new(std::sync::Mutex::new(None));
    let failed = failed_at.clone();
    let fake = forgetful(move |comparison| {
        (comparison == 0).then(|| {
            *failed.lock().expect("the time") = Some(Instant::now());
            status(503, "ServiceUnavailable", "later")
        })
    });
    let watched = watch(&fake, without_bookmarks());
    watched.world.synced().await;
    let mut turns = watched.world.turns();
    turns.mark_unchanged();
    while failed_at.lock().expect("the time").is_none() {
        sleep(secs(1)).await;
    }
    assert_eq!(missed(&watched), 0);
    sleep(secs(7 * 60)).await;
    assert_eq!(missed(&watched), 2);
    assert!(!turns.has_changed().expect("the world lives"));
}

#[tokio::test(start_paused = true)]
async fn a_list_after_a_forgotten_version_counts_what_should_have_been_told_before() {
    let fake = troubled(|_, ask| {
        if !ask.is_streamed_list() {
            return Some(status(410, "Expired", "too old resource version"));
        }
        // Version 6 lies before our position, 7: the watch should have told it.
        let lines = vec![line("ADDED", deployment("a", "6", 3)), line("ADDED", deployment("b", "8", 1))];
        Some(Reply::Lines(lines.into_iter().chain([bookmark("9", true)]).collect(), Then::Silent))
    });
    let (watched, _) = starts(&fake).await;
    sleep(secs(100)).await;
    assert_eq!((missed(&watched), watched.woken()), (1, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(watched.replicas("a"), Some(3));
}
