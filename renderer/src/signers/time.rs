//! Times as allowed-signers files have them.

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with or without a `Z`, in seconds since 1970. Always UTC: what reads
/// the file here has no time zone of its own.
pub(super) fn parse(written: &str) -> Option<i64> {
    let digits = written.strip_suffix(['Z', 'z']).unwrap_or(written);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |part| part.parse::<i64>().ok());
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);
    let clock = hour < 24 && minute < 60 && second < 60;
    (in_range && clock).then(|| days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn days(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counted from the 1st of March, so that the day that is sometimes there comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_1970 = 719_468;
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - before_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_utc_and_days_that_do_not_exist_are_refused() {
        for (written, secs) in [
            ("19700101", Some(0)),
            ("20000229Z", Some(951_782_400)),
            ("20260101", Some(1_767_225_600)),
            ("202601010102Z", Some(1_767_229_320)),
            ("20260101010203", Some(1_767_229_323)),
            ("20230229", None),
            ("20261301", None),
            ("20260100", None),
            ("2026010124", None),
            ("202601012400", None),
            ("2026-01-01", None),
            ("", None),
            ("Z", None),
        ] {
            assert_eq!(parse(written), secs, "{written}");
        }
    }
}
