//! Schedules as a CronJob takes them.
//!
//! **Macros are spread.** `@daily` of three thousand tools must not mean midnight for all of them: each macro becomes a
//! time drawn from the tool's and the component's name, and it is the time today's Toolforge drew ([`mersenne`]), so
//! that a tool that moves here keeps it. `@annually` and `@midnight`, which today refuses, are `@yearly` and `@daily`.
//!
//! **A drawn date exists every time it is due.** Today's draw takes days from 1 to 31: of all names, 9 % get a
//! `@monthly` that skips months and 2 % a `@yearly` that never runs. Where the drawn day is missing in some month
//! (`@monthly`) or in some year of the drawn month (`@yearly`), one more number is drawn from 1 to 28 and is the day.
//! Minute, hour and month stay, and every other name is where it was.
//!
//! **Text is normalised** to what Kubernetes reads: names become numbers, `7` becomes `0` (Kubernetes knows Sunday only
//! as 0), and a weekday range that ends in Sunday (`5-7`, `fri-sun`) becomes a list.

mod mersenne;

use mersenne::Mersenne;

/// A schedule that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// Not a macro we know.
    #[error("unknown macro {0:?}: expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually")]
    Macro(String),
    /// Not five fields.
    #[error("expected 5 fields (minute, hour, day, month, weekday), found {0}")]
    Fields(usize),
    /// A field that cannot be read.
    #[error("{field} {text:?}: {expected}")]
    Field {
        /// `minute`, `hour`, …
        field: &'static str,
        /// The item as written.
        text: String,
        /// What was expected, as a fragment.
        expected: String,
    },
}

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names of its values, the first one for `min`.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: &MONTHS },
    Field { name: "weekday", min: 0, max: 6, names: &WEEKDAYS },
];
const DAY: usize = 2;
const MONTH: usize = 3;

/// Macro, and the fields it draws.
const MACROS: [(&str, &[usize]); 7] = [
    ("@hourly", &[0]),
    ("@daily", &[0, 1]),
    ("@midnight", &[0, 1]),
    ("@weekly", &[0, 1, 4]),
    ("@monthly", &[0, 1, 2]),
    ("@yearly", &[0, 1, 2, 3]),
    ("@annually", &[0, 1, 2, 3]),
];

/// The five fields a CronJob takes, for a schedule as written by a component of a tool.
///
/// # Errors
/// Where the text is neither five fields that cron reads nor a macro.
pub fn kubernetes(text: &str, tool: &str, component: &str) -> Result<String, BadSchedule> {
    let text = text.trim().to_ascii_lowercase();
    if text.starts_with('@') {
        let (_, fields) =
            MACROS.iter().find(|(name, _)| *name == text).ok_or_else(|| BadSchedule::Macro(text.clone()))?;
        return Ok(drawn(fields, &format!("{tool} {component}")));
    }
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(BadSchedule::Fields(parts.len()));
    }
    let fields = FIELDS.iter().zip(parts).map(|(field, part)| field.normalised(part)).collect::<Result<Vec<_>, _>>()?;
    Ok(fields.join(" "))
}

fn drawn(fields: &[usize], seed: &str) -> String {
    let mut random = Mersenne::seeded(seed);
    let mut values = [None; FIELDS.len()];
    for &i in fields {
        values[i] = Some(random.randint(FIELDS[i].min, FIELDS[i].max));
    }
    if values[DAY].is_some_and(|day| day > days_every_year(values[MONTH])) {
        values[DAY] = Some(random.randint(1, 28));
    }
    values.map(|value| value.map_or_else(|| "*".to_owned(), |value| value.to_string())).join(" ")
}

/// Days that a month has every year; for any month, the days all of them have.
fn days_every_year(month: Option<u32>) -> u32 {
    match month {
        None | Some(2) => 28,
        Some(4 | 6 | 9 | 11) => 30,
        Some(_) => 31,
    }
}

impl Field {
    fn normalised(&self, text: &str) -> Result<String, BadSchedule> {
        let items = text.split(',').map(|item| self.item(item)).collect::<Result<Vec<_>, _>>()?;
        Ok(items.join(","))
    }

    /// `*`, `n`, `a-b`, each with an optional `/step`.
    fn item(&self, item: &str) -> Result<String, BadSchedule> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, step)?)),
            None => (item, None),
        };
        let suffix = step.map(|step| format!("/{step}")).unwrap_or_default();
        if range == "*" {
            return Ok(format!("*{suffix}"));
        }
        let Some((from, to)) = range.split_once('-') else {
            let value = self.value(item, range)?;
            // From Sunday as 7 no step leads on, but from Sunday as 0 it would.
            let suffix = if value > self.max { String::new() } else { suffix };
            return Ok(format!("{}{suffix}", self.sunday_is_0(value)));
        };
        let (from, to) = (self.value(item, from)?, self.last(item, to)?);
        if from > to {
            return Err(self.bad(item, "the end comes before the start".to_owned()));
        }
        if to <= self.max {
            return Ok(format!("{from}-{to}{suffix}"));
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1);
        let mut days: Vec<u32> = (from..=to).step_by(step).map(|day| self.sunday_is_0(day)).collect();
        days.sort_unstable();
        days.dedup();
        Ok(days.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
    }

    /// The end of a range, where Sunday comes after Saturday.
    fn last(&self, item: &str, text: &str) -> Result<u32, BadSchedule> {
        let value = self.value(item, text)?;
        Ok(if text == "sun" { 7 } else { value })
    }

    fn sunday_is_0(&self, value: u32) -> u32 {
        if value > self.max { self.min } else { value }
    }

    fn value(&self, item: &str, text: &str) -> Result<u32, BadSchedule> {
        if let Some(at) = self.names.iter().position(|name| *name == text) {
            return Ok(self.min + u32::try_from(at).unwrap_or(0));
        }
        // Sunday has two numbers.
        let max = if self.name == "weekday" { 7 } else { self.max };
        match number(text) {
            Some(value) if (self.min..=max).contains(&value) => Ok(value),
            _ => Err(self.bad(item, format!("expected {} to {max}", self.min))),
        }
    }

    fn step(&self, item: &str, text: &str) -> Result<u32, BadSchedule> {
        match number(text) {
            Some(step) if (1..=self.max).contains(&step) => Ok(step),
            _ => Err(self.bad(item, format!("expected a step from 1 to {}", self.max))),
        }
    }

    fn bad(&self, item: &str, expected: String) -> BadSchedule {
        BadSchedule::Field { field: self.name, text: item.to_owned(), expected }
    }
}

/// Digits only: `+5` parses as a number and is no cron.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> String {
        kubernetes(text, "some-tool", "some-job").expect("a schedule")
    }
}
