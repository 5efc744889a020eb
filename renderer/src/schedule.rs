//! Macros of a schedule, spread: `@daily` of three thousand tools must not mean midnight for all of them.
//!
//! Each macro becomes a time drawn from the tool's and the component's name, and it is the time today's Toolforge drew
//! ([`mersenne`]), so that a tool that moves here keeps it.
//!
//! **A drawn date exists every time it is due.** Today's draw takes days from 1 to 31: of all names, 9 % get a
//! `@monthly` that skips months and 2 % a `@yearly` that never runs. Where the drawn day is missing in some month
//! (`@monthly`) or in some year of the drawn month (`@yearly`), one more number is drawn from 1 to 28 and is the day.
//! Minute, hour and month stay, and every other name is where it was.
//!
//! Whether a schedule can be read at all is decided where the file is read; here any other text stays as it is.

mod mersenne;

use mersenne::Mersenne;

/// Smallest and largest value of each field: minute, hour, day, month, weekday.
const FIELDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
const DAY: usize = 2;
const MONTH: usize = 3;

/// Macro, and the fields it draws.
const MACROS: [(&str, &[usize]); 5] = [
    ("@hourly", &[0]),
    ("@daily", &[0, 1]),
    ("@weekly", &[0, 1, 4]),
    ("@monthly", &[0, 1, 2]),
    ("@yearly", &[0, 1, 2, 3]),
];

/// The cron line of a component's schedule: a macro becomes the component's own time.
#[must_use]
pub fn spread(schedule: &str, tool: &str, component: &str) -> String {
    match MACROS.iter().find(|(name, _)| *name == schedule) {
        Some((_, fields)) => drawn(fields, &format!("{tool} {component}")),
        None => schedule.to_owned(),
    }
}

fn drawn(fields: &[usize], seed: &str) -> String {
    let mut random = Mersenne::seeded(seed);
    let mut values = [None; FIELDS.len()];
    for &i in fields {
        let (min, max) = FIELDS[i];
        values[i] = Some(random.randint(min, max));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tool, component, macro, and where today's Toolforge puts it (Python's `random`, run over 20,000 names).
    const TODAY: [(&str, &str, &str, &str); 14] = [
        ("some-tool", "some-job", "@hourly", "56 * * * *"),
        ("some-tool", "some-job", "@daily", "56 6 * * *"),
        ("some-tool", "some-job", "@weekly", "56 6 * * 6"),
        ("some-tool", "some-job", "@monthly", "56 6 25 * *"),
        ("some-tool", "some-job", "@yearly", "56 6 25 9 *"),
        ("tf-test", "cronjobtest", "@daily", "13 13 * * *"),
        ("tf-test", "cronjobtest", "@monthly", "13 13 2 * *"),
        ("a", "b", "@weekly", "37 8 * * 3"),
        ("wordcount", "refresh", "@monthly", "42 8 28 * *"),
        // The 29th to the 31st exist every year in these months.
        ("wordcount", "job18", "@yearly", "14 7 30 7 *"),
        ("wordcount", "job86", "@yearly", "33 15 31 3 *"),
        ("wordcount", "job249", "@yearly", "19 7 30 4 *"),
        ("wordcount", "job348", "@yearly", "28 20 31 12 *"),
        ("wordcount", "job96", "@yearly", "25 0 30 6 *"),
    ];

    #[test]
    fn macros_stay_where_todays_toolforge_put_them() {
        for (tool, component, text, expected) in TODAY {
            assert_eq!(spread(text, tool, component), expected, "{tool} {component} {text}");
        }
    }

    #[test]
    fn a_date_that_does_not_come_every_time_moves_and_nothing_else_of_it_does() {
        // Today: `14 7 30 * *`, `7 23 31 * *`, `55 1 31 9 *`, `35 19 31 6 *`.
        for (component, text, expected) in [
            ("job18", "@monthly", "14 7 13 * *"),
            ("job65", "@monthly", "7 23 15 * *"),
            ("job94", "@yearly", "55 1 28 9 *"),
            ("job281", "@yearly", "35 19 27 6 *"),
        ] {
            assert_eq!(spread(text, "wordcount", component), expected, "{component} {text}");
        }
    }

    #[test]
    fn what_is_no_macro_stays_as_it_is() {
        for text in ["*/5 * * * *", "0 0 31 12 *", "0 0 * * mon-fri"] {
            assert_eq!(spread(text, "a", "b"), text);
        }
    }

    proptest! {
        #[test]
        fn every_name_gets_times_that_come(tool in "[a-z0-9-]{1,53}", component in "[a-z0-9-]{1,52}") {
            let monthly = spread("@monthly", &tool, &component);
            let day: u32 = monthly.split(' ').nth(DAY).expect("a day").parse().expect("a number");
            prop_assert!((1..=28).contains(&day));
            let yearly = spread("@yearly", &tool, &component);
            let number = |at: usize| yearly.split(' ').nth(at).expect("a field").parse::<u32>().expect("a number");
            prop_assert!(number(DAY) <= days_every_year(Some(number(MONTH))));
        }
    }
}
