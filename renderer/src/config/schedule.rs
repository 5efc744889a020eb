//! `schedule`: what Kubernetes' cron runs, checked with its own rules, and written so that it takes it.
//!
//! Kubernetes counts weekdays 0 to 6 and takes five fields or a macro. `7` for Sunday is rewritten, because today's
//! files use it; macros keep their name, so that rendering can spread them.

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadSchedule {
    /// Not understood: what is wrong, and what to do.
    Unreadable(String, &'static str),
    /// Understood, and no date fits.
    Never(String),
}

/// The cron line as Kubernetes takes it: lower case, single spaces, Sunday as 0; macros by their usual name.
pub(super) fn normalised(text: &str) -> Result<String, BadSchedule> {
    let lower = text.trim().to_lowercase();
    if lower.starts_with("tz=") || lower.starts_with("cron_tz=") {
        return unreadable("a time zone is not supported", "Schedules are in UTC: convert the hours and remove `TZ=`.");
    }
    if lower.starts_with('@') {
        return named(&lower);
    }
    let fields: Vec<&str> = lower.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        let hint = match fields.len() {
            6 | 7 => "Seconds and years are not supported: write minute, hour, day, month and weekday.",
            _ => "Write minute, hour, day, month and weekday, such as `30 4 * * *`.",
        };
        return unreadable(&format!("a schedule has 5 fields, but this one has {}", fields.len()), hint);
    };
    field(minute, &MINUTE)?;
    field(hour, &HOUR)?;
    let (days, any_day) = field(day, &DAY)?;
    let (months, _) = field(month, &MONTH)?;
    let (weekdays, any_weekday) = field(weekday, &WEEKDAY)?;
    if any_weekday && !any_day && !months.iter().any(|m| days.iter().any(|d| *d <= longest(*m))) {
        return Err(BadSchedule::Never(format!("no month of `{month}` has a day `{day}`, so it never runs")));
    }
    let weekday = if weekday.contains('7') { list(&weekdays) } else { weekday.to_owned() };
    Ok(format!("{minute} {hour} {day} {month} {weekday}"))
}

fn named(name: &str) -> Result<String, BadSchedule> {
    match name {
        "@hourly" | "@daily" | "@weekly" | "@monthly" | "@yearly" => Ok(name.to_owned()),
        "@annually" => Ok("@yearly".to_owned()),
        "@midnight" => Ok("0 0 * * *".to_owned()),
        "@reboot" => unreadable(
            "`@reboot` has no meaning here: nothing boots",
            "Use `component_type: one-off` for what runs once before the rollout.",
        ),
        _ if name.starts_with("@every") => {
            unreadable("`@every` is not supported", "Write five fields: every ten minutes is `*/10 * * * *`.")
        }
        _ => {
            unreadable("an unknown macro", "The macros are @hourly, @daily, @midnight, @weekly, @monthly and @yearly.")
        }
    }
}

fn unreadable<T>(why: &str, hint: &'static str) -> Result<T, BadSchedule> {
    Err(BadSchedule::Unreadable(why.to_owned(), hint))
}

struct Field {
    title: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { title: "minute", min: 0, max: 59, names: &[] };
const HOUR: Field = Field { title: "hour", min: 0, max: 23, names: &[] };
const DAY: Field = Field { title: "day of the month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field {
    title: "month",
    min: 1,
    max: 12,
    names: &["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field =
    Field { title: "weekday", min: 0, max: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Its values in order, Sunday as 0, and whether it stands for "any" (then the other day field decides alone).
fn field(text: &str, field: &Field) -> Result<(Vec<u32>, bool), BadSchedule> {
    let mut on = [false; 60];
    let mut any = false;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = bounds(range, step.is_some(), field)?;
        let step =
            step.map_or(Some(1), |step| step.parse::<u32>().ok().filter(|_| !step.starts_with('+'))).unwrap_or(0);
        if step == 0 || step > field.max {
            return unreadable(
                &format!("the step of the {} must be from 1 to {}", field.title, field.max),
                "Correct the number after `/`.",
            );
        }
        any |= matches!(range, "*" | "?") && step == 1;
        let values = (from..=to).step_by(step as usize);
        let sunday = |value| if field.max == 7 && value == 7 { 0 } else { value };
        values.for_each(|value| on[sunday(value) as usize] = true);
    }
    let values = on.iter().zip(0..).filter_map(|(on, value)| on.then_some(value)).collect();
    Ok((values, any))
}

fn bounds(range: &str, has_step: bool, field: &Field) -> Result<(u32, u32), BadSchedule> {
    // A `*` of weekdays ends at Saturday; 7 is Sunday again.
    let last = field.max.min(if field.max == 7 { 6 } else { field.max });
    if matches!(range, "*" | "?") {
        return Ok((field.min, last));
    }
    let Some((from, to)) = range.split_once('-') else {
        let value = number(range, field)?;
        return Ok((value, if has_step { last.max(value) } else { value }));
    };
    let (from, to) = (number(from, field)?, number(to, field)?);
    if from > to {
        return unreadable(
            &format!("the {} range `{range}` begins after its end", field.title),
            "Write two ranges with a comma, such as `22-23,0-4`.",
        );
    }
    Ok((from, to))
}

fn number(text: &str, field: &Field) -> Result<u32, BadSchedule> {
    if let Some(at) = field.names.iter().position(|name| !name.is_empty() && *name == text) {
        return Ok(at as u32);
    }
    let value = text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let Some(value) = value else {
        let shown = crate::diagnostic::shown(text);
        return unreadable(
            &format!("{shown} is no {}", field.title),
            "Allowed are numbers, `*`, `a-b`, `a,b`, `*/n`, and names such as `mon` or `jan`.",
        );
    };
    if value < field.min || value > field.max {
        return unreadable(
            &format!("the {} must be from {} to {}, but is {value}", field.title, field.min, field.max),
            "Correct the number.",
        );
    }
    Ok(value)
}

fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn list(values: &[u32]) -> String {
    if values.len() == 7 {
        return "*".to_owned();
    }
    values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_runs_is_accepted_and_sunday_is_zero() {
        for (text, expected) in [
            ("*/2 * * * *", "*/2 * * * *"),
            ("0  4 * *  SUN", "0 4 * * sun"),
            ("0 0 * * mon-fri", "0 0 * * mon-fri"),
            ("0 0 1-5/2 jan *", "0 0 1-5/2 jan *"),
            ("5/15 * * * *", "5/15 * * * *"),
            ("0 0 * * 7", "0 0 * * 0"),
            ("0 0 * * 5-7", "0 0 * * 0,5,6"),
            ("0 0 * * 0-7", "0 0 * * *"),
            ("0 0 * * 1,7", "0 0 * * 0,1"),
            ("@Daily", "@daily"),
            ("@midnight", "0 0 * * *"),
            ("@annually", "@yearly"),
            ("0 0 31 2 1", "0 0 31 2 1"),
            ("0 0 29 2 *", "0 0 29 2 *"),
            ("0 0 31 2,3 *", "0 0 31 2,3 *"),
        ] {
            assert_eq!(normalised(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_kubernetes_refuses_or_never_runs_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "*/60 * * * *",
            "*/24 * * * *".replace("*/24 *", "* */24").as_str(),
            "5-1 * * * *",
            "a * * * *",
            "* * L * *",
            "* * * * 5#2",
            "@reboot",
            "@every 5m",
            "@often",
            "TZ=UTC 0 0 * * *",
            "CRON_TZ=UTC 0 0 * * *",
            "-1 * * * *",
            "1, * * * *",
            "+1 * * * *",
            "1//2 * * * *",
            "0 0 * * fri-mon",
        ] {
            assert!(matches!(normalised(text), Err(BadSchedule::Unreadable(..))), "{text}: {:?}", normalised(text));
        }
        for text in ["0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *", "0 0 31 2 ?", "0 0 30-31 2 */1"] {
            assert!(matches!(normalised(text), Err(BadSchedule::Never(_))), "{text}: {:?}", normalised(text));
        }
    }

    #[test]
    fn what_is_written_down_reads_the_same_again() {
        for text in ["0 0 * * 5-7", "@midnight", "0 0 * * 7/2"] {
            let once = normalised(text).expect("a schedule");
            assert_eq!(normalised(&once), Ok(once.clone()));
        }
    }
}
