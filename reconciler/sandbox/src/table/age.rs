//! Ages as kubectl prints them: two units at most, the smaller one only while it says something.

use crate::value::{self, Object};
use jiff::Timestamp;
use serde_json::Value;

/// The time since the RFC 3339 text, or `<unknown>`.
#[must_use]
pub fn since(text: &str, now: Timestamp) -> String {
    between(text, now).unwrap_or_else(|| "<unknown>".to_owned())
}

/// The time from the RFC 3339 text to `end`; none where the text is no time.
#[must_use]
pub fn between(text: &str, end: Timestamp) -> Option<String> {
    let start: Timestamp = text.parse().ok()?;
    Some(spell(end.as_second().saturating_sub(start.as_second())))
}

/// The age of an object.
pub(super) fn of(object: &Object, now: Timestamp) -> Value {
    since(value::meta(object, "creationTimestamp"), now).into()
}

fn spell(secs: i64) -> String {
    let secs = secs.max(0);
    let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
    let pair = |big: i64, unit: &str, small: i64, sub: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{sub}"),
    };
    match secs {
        0..120 => format!("{secs}s"),
        120..600 => pair(minutes, "m", secs % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => pair(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::spell;

    #[test]
    fn ages_lose_the_unit_that_says_nothing() {
        let ages = [0, 119, 125, 120, 3599, 3 * 3600 + 60, 86_400, 3 * 86_400 + 3600];
        let spelt: Vec<String> = ages.into_iter().map(spell).collect();
        assert_eq!(spelt, ["0s", "119s", "2m5s", "2m", "59m", "3h1m", "24h", "3d1h"]);
    }
}
