//! A person's word about one tool, `spec.pin` of its Tool object: never rendered, and drift leaves it alone.

use crate::moment::Moment;
use crate::stored::StoredImage;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What is asked of the tool while the pin is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pin {
    /// Nothing is planned.
    pub suspend: bool,
    /// New revisions wait; drift is still healed.
    pub hold: bool,
    /// Stay on this commit, or on the one that begins so.
    pub commit: Option<String>,
    /// Until when suspend, hold and commit are in force; for ever where it can't be read.
    pub until: Option<String>,
    /// Who, and why.
    pub by: Option<String>,
    /// When somebody asked to try a failed revision once more: any new word here is another try.
    pub retry: Option<String>,
    /// Id of the held deletion that somebody allowed; see [`crate::prune::Doomed`].
    pub allow_prune: Option<String>,
    /// By build id, the image to run in place of the one that the build made: the same on another run image. It is in force
    /// whatever [`Self::until`] says.
    pub images: BTreeMap<String, StoredImage>,
    /// A removed tool's workloads go at once, not after the grace period.
    pub delete: bool,
    /// Why it can't be read. Somebody asked for something, perhaps to leave the tool alone: nothing is planned.
    #[serde(skip)]
    pub unreadable: Option<String>,
}

impl Pin {
    /// The pin of a live Tool that is in force now.
    #[must_use]
    pub fn of(tool: Option<&Value>, now: Moment) -> Self {
        let written = tool.and_then(|tool| tool.pointer("/spec/pin")).filter(|pin| !pin.is_null());
        let pin = written.map(Self::deserialize).unwrap_or_else(|| Ok(Self::default()));
        let pin = pin.unwrap_or_else(|error| Self { unreadable: Some(error.to_string()), ..Self::default() });
        if pin.ends().is_some_and(|end| end <= now) {
            return Self { suspend: false, hold: false, commit: None, until: None, by: None, ..pin };
        }
        pin
    }

    /// When it ends by itself.
    #[must_use]
    pub fn ends(&self) -> Option<Moment> {
        Moment::parse(self.until.as_deref()?)
    }

    /// `until 2026-11-22T18:00:00Z, by operator: broken cache`, as far as it was said.
    #[must_use]
    pub fn terms(&self) -> String {
        let until = self.until.as_ref().map(|until| format!("until {until}"));
        let by = self.by.as_ref().map(|by| format!("by {by}"));
        until.into_iter().chain(by).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pin(value: &Value, now: &str) -> Pin {
        Pin::of(Some(&json!({"spec": {"pin": value}})), Moment::parse(now).expect("a time"))
    }

    #[test]
    fn a_pin_ends_when_it_says_and_one_without_an_end_never_does() {
        let written = json!({"hold": true, "until": "2026-11-22T18:00:00Z", "retry": "1"});
        assert!(pin(&written, "2026-11-22T17:59:59Z").hold);
        assert!(!pin(&written, "2026-11-22T18:00:00Z").hold);
        assert_eq!(pin(&written, "2026-11-22T18:00:00Z").retry.as_deref(), Some("1"), "a try that was asked for stays");
        assert!(pin(&json!({"hold": true}), "2999-01-01T00:00:00Z").hold);
        assert!(pin(&json!({"hold": true, "until": "soon"}), "2999-01-01T00:00:00Z").hold, "no guess sets it free");
    }

    #[test]
    fn a_pin_that_cannot_be_read_is_not_taken_for_none() {
        for unreadable in [json!({"suspend": "yes"}), json!("hold"), json!({"commit": ["abc"]})] {
            let pin = pin(&unreadable, "2026-11-22T18:00:00Z");
            assert!(pin.unreadable.is_some(), "{unreadable} {pin:?}");
        }
        for none in [json!(null), json!({}), json!({"of a later version": 1})] {
            assert_eq!(pin(&none, "2026-11-22T18:00:00Z"), Pin::default());
        }
    }
}
