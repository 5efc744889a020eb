//! How long ago, in words.

use jiff::{SignedDuration, Timestamp};

/// The clock, read once where a command needs it.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// `2 min ago` for an RFC 3339 time; none where it is no time.
pub fn ago(time: &str, now: Timestamp) -> Option<String> {
    Some(format!("{} ago", since(time, now)?))
}

/// `2 min` since an RFC 3339 time; none where it is no time.
pub fn since(time: &str, now: Timestamp) -> Option<String> {
    let then: Timestamp = time.parse().ok()?;
    Some(words(now.duration_since(then)))
}

fn words(length: SignedDuration) -> String {
    let secs = length.as_secs().max(0);
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_largest_unit_that_says_something() {
        let now: Timestamp = "2026-01-10T12:00:00Z".parse().expect("a time");
        for (time, expect) in [
            ("2026-01-10T11:59:58Z", "2 s ago"),
            ("2026-01-10T11:57:59Z", "2 min ago"),
            ("2026-01-10T07:00:00Z", "5 h ago"),
            ("2026-01-03T12:00:00Z", "7 d ago"),
            ("2026-01-10T12:00:30Z", "0 s ago"),
        ] {
            assert_eq!(ago(time, now).as_deref(), Some(expect));
        }
        assert_eq!(ago("yesterday", now), None);
    }
}
