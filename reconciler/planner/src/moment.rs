//! A point in time, as an argument: nothing here asks a clock. Whole seconds, UTC, as Kubernetes writes them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z; prints, serialises and parses as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Moment(i64);

/// No RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no time such as 2026-01-31T12:00:00Z")]
pub struct NoMoment(String);

const DAY_SECS: i64 = 86_400;

impl Moment {
    /// From seconds since 1970.
    #[must_use]
    pub const fn from_unix_secs(secs: i64) -> Self {
        Self(secs)
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn unix_secs(self) -> i64 {
        self.0
    }

    /// So many seconds later.
    #[must_use]
    pub fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(secs).unwrap_or(i64::MAX)))
    }

    /// Reads RFC 3339: `2026-01-31T12:00:00Z`, with fractions (dropped) and offsets. None for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once(['T', 't', ' '])?;
        let [year, month, day] = numbers::<3>(date, '-', &[4, 2, 2])?;
        let (clock, offset_secs) = split_offset(rest)?;
        let [hour, minute, second] = numbers::<3>(clock.split('.').next()?, ':', &[2, 2, 2])?;
        let fraction = clock.split_once('.').map_or("0", |(_, digits)| digits);
        let sane = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && !fraction.is_empty()
            && fraction.bytes().all(|byte| byte.is_ascii_digit());
        let secs = days_before(year, month, day) * DAY_SECS + hour * 3600 + minute * 60 + second.min(59);
        sane.then_some(Self(secs - offset_secs))
    }
}

/// `12:00:00.5` and the seconds that `Z`, `+02:00` or `-05:30` stand for.
fn split_offset(rest: &str) -> Option<(&str, i64)> {
    if let Some(clock) = rest.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = rest.rfind(['+', '-'])?;
    let [hours, minutes] = numbers::<2>(&rest[at + 1..], ':', &[2, 2])?;
    let secs = hours * 3600 + minutes * 60;
    let sign = if rest[at..].starts_with('-') { -1 } else { 1 };
    (hours < 24 && minutes < 60).then_some((&rest[..at], sign * secs))
}

fn numbers<const N: usize>(text: &str, separator: char, widths: &[usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(separator);
    for (slot, width) in found.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == *width && part.bytes().all(|b| b.is_ascii_digit()))?;
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to this day, by the Gregorian rule.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let past = year - 1;
    let leaps = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    // 1970 has 477 leap days before it.
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    (year - 1970) * 365 + leaps - 477 + months + day - 1
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, secs) = (self.0.div_euclid(DAY_SECS), self.0.rem_euclid(DAY_SECS));
        // Never later than the year it is: some years are longer than others.
        let mut year = 1970 + days.div_euclid(if days < 0 { 365 } else { 366 });
        while days_before(year + 1, 1, 1) <= days {
            year += 1;
        }
        days -= days_before(year, 1, 1);
        let mut month = 1;
        while days >= days_in(year, month) {
            days -= days_in(year, month);
            month += 1;
        }
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = NoMoment;

    fn try_from(text: String) -> Result<Self, NoMoment> {
        Self::parse(&text).ok_or(NoMoment(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn well_known_times_are_read_with_their_offsets() {
        for (text, secs) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-22T18:00:00+02:00", 1_795_363_200),
            ("2026-11-22T16:00:00.123456Z", 1_795_363_200),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(Moment::parse(text).map(Moment::unix_secs), Some(secs), "{text}");
        }
        for text in ["", "today", "2026-11-22", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-22T16:00:00"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(secs in -62_000_000_000_i64..250_000_000_000) {
            let moment = Moment::from_unix_secs(secs);
            prop_assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
            prop_assert!(moment.to_string() < moment.plus_secs(1).to_string() || secs < 0);
        }

        #[test]
        fn garbage_never_panics(text in "\\PC{0,40}|[0-9TZ:+. -]{0,40}") {
            let _unread = Moment::parse(&text);
        }
    }
}
