//! When something ends: a length from now, or a time.

use jiff::{Span, Timestamp, Zoned};

/// `2h`, `3 days`, or RFC 3339; as RFC 3339 in UTC. Only what lies ahead.
pub fn until(text: &str) -> Result<String, String> {
    let now = Zoned::now();
    let end = at(text, &now).ok_or_else(|| format!("{text:?} is neither a length such as 2h nor a time"))?;
    if end <= now.timestamp() {
        return Err(format!("{end} is over already"));
    }
    Ok(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn at(text: &str, now: &Zoned) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let length: Span = text.parse().ok()?;
    now.checked_add(length).ok().map(|end| end.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_times_are_understood_and_the_past_is_refused() {
        let now: Zoned = "2026-01-30T12:00:00[UTC]".parse().expect("a time");
        for (text, expect) in [
            ("2h", "2026-01-30T14:00:00Z"),
            ("3 days", "2026-02-02T12:00:00Z"),
            ("90m", "2026-01-30T13:30:00Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
        ] {
            assert_eq!(at(text, &now).map(|end| end.to_string()).as_deref(), Some(expect), "{text}");
        }
        assert_eq!(at("soon", &now), None);
        assert!(until("2001-01-01T00:00:00Z").is_err_and(|error| error.contains("over already")));
    }
}
