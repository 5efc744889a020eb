//! What was said lately: an Event that says the same as one of the last minutes is counted first, and its count told when
//! that time ends; what a tool may not say any more is counted, and the count told.
//!
//! A value: time is an argument. It is lost with the process, as it may be: then counts begin anew.

use super::{About, BUDGET, Event, QUIET, body};
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::time::Instant;

/// The reason of an Event that tells how many were not sent.
pub const NOT_SENT: &str = "NotSent";

#[derive(Debug, Default)]
pub(super) struct Lately {
    events: HashMap<String, Sent>,
    budgets: HashMap<String, Budget>,
}

#[derive(Debug)]
struct Sent {
    body: Value,
    at: Instant,
    count: u32,
    /// The count that the cluster has.
    told: u32,
}

#[derive(Debug)]
struct Budget {
    about: About,
    since: Instant,
    used: u32,
    dropped: u32,
}

impl Lately {
    /// The Event to send, or none where it was said lately or too much was. `time` is `now` by the wall.
    pub(super) fn admit(&mut self, about: &About, event: &Event, (now, time): (Instant, &str)) -> Option<Value> {
        self.forget(now);
        let name = event.name(about);
        if let Some(sent) = self.events.get_mut(&name) {
            sent.count += 1;
            sent.body["count"] = json!(sent.count);
            sent.body["lastTimestamp"] = json!(time);
            if now.duration_since(sent.at) < QUIET {
                return None;
            }
        }
        let new = || Budget { about: about.clone(), since: now, used: 0, dropped: 0 };
        let budget = self.budgets.entry(about.name.clone()).or_insert_with(new);
        if now.duration_since(budget.since) >= QUIET {
            (budget.since, budget.used) = (now, 0);
        }
        if budget.used >= BUDGET {
            // One that was said before has its count told.
            budget.dropped += u32::from(!self.events.contains_key(&name));
            return None;
        }
        budget.used += 1;
        let new = || Sent { body: body(about, &name, event, time), at: now, count: 1, told: 0 };
        let sent = self.events.entry(name.clone()).or_insert_with(new);
        (sent.at, sent.told) = (now, sent.count);
        Some(sent.body.clone())
    }

    /// What is still to be told of Events that were not sent, of which the quiet time is over.
    pub(super) fn late(&mut self, now: Instant, time: &str) -> Vec<Value> {
        let over = |since: Instant| now.duration_since(since) >= QUIET;
        let mut late = Vec::new();
        for sent in self.events.values_mut().filter(|sent| sent.told < sent.count && over(sent.at)) {
            (sent.at, sent.told) = (now, sent.count);
            late.push(sent.body.clone());
        }
        for budget in self.budgets.values_mut().filter(|budget| budget.dropped > 0 && over(budget.since)) {
            let said = format!("{} more events were not sent", std::mem::take(&mut budget.dropped));
            let event = Event { reason: NOT_SENT.to_owned(), warning: true, ..Event::of(String::new(), vec![said]) };
            late.push(body(&budget.about, &event.name(&budget.about), &event, time));
        }
        late
    }

    /// When there may next be something to tell.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let sent = self.events.values().map(|sent| sent.at);
        let ends = sent.chain(self.budgets.values().map(|budget| budget.since)).map(|since| since + QUIET);
        ends.filter(|end| *end > now).min().unwrap_or(now + QUIET)
    }

    fn forget(&mut self, now: Instant) {
        self.events.retain(|_, sent| sent.told < sent.count || now.duration_since(sent.at) < 6 * QUIET);
        self.budgets.retain(|_, budget| budget.dropped > 0 || now.duration_since(budget.since) < QUIET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn about() -> About {
        About { name: "a".to_owned(), uid: "u".to_owned(), kind: json!("Tool"), api_version: json!("x/v1") }
    }

    fn event(said: &str) -> Event {
        Event::of("by platform, drift".to_owned(), vec![said.to_owned()])
    }

    #[test]
    fn a_count_is_told_when_the_quiet_time_ends_and_not_again() {
        let (mut lately, begin) = (Lately::default(), Instant::now());
        let at = |secs: u64| begin + Duration::from_secs(secs);
        let first = lately.admit(&about(), &event("web"), (at(0), "0")).expect("said");
        assert_eq!((&first["count"], &first["lastTimestamp"]), (&json!(1), &json!("0")));
        for secs in [60, 120, 180] {
            assert_eq!(lately.admit(&about(), &event("web"), (at(secs), &secs.to_string())), None);
        }
        assert_eq!(lately.late(at(599), "599"), Vec::<Value>::new());
        assert_eq!(lately.next(at(599)), at(600));
        let late = lately.late(at(600), "600");
        assert_eq!(late.len(), 1);
        let told =
            (&late[0]["count"], &late[0]["firstTimestamp"], &late[0]["lastTimestamp"], &late[0]["metadata"]["name"]);
        assert_eq!(told, (&json!(4), &json!("0"), &json!("180"), &first["metadata"]["name"]));
        assert_eq!(lately.late(at(3000), "3000"), Vec::<Value>::new(), "all of it was told");
        let again = lately.admit(&about(), &event("web"), (at(3000), "3000")).expect("said");
        assert_eq!(again["count"], 5);
    }

    #[test]
    fn what_a_tool_may_not_say_any_more_is_counted_and_the_count_told_once() {
        let (mut lately, begin) = (Lately::default(), Instant::now());
        let said = (0..BUDGET + 7).filter_map(|n| lately.admit(&about(), &event(&n.to_string()), (begin, "0"))).count();
        assert_eq!(said, BUDGET as usize);
        let late = lately.late(begin + QUIET, "600");
        let told: Vec<_> = late.iter().map(|body| (&body["reason"], &body["message"])).collect();
        assert_eq!(told, [(&json!(NOT_SENT), &json!("7 more events were not sent"))]);
        assert_eq!(lately.late(begin + 2 * QUIET, "1200"), Vec::<Value>::new());
    }
}
