//! Kubernetes quantities, exactly: `0.5`, `500m`, `5e-1` are one value, and no float ever touches them.
//!
//! A quantity is counted in nano units, the finest step Kubernetes keeps, in an `i128`: the largest value it admits
//! (2^63-1) is 9.2e27 nano units and fits. Finer values round away from zero and larger ones are capped, as the API
//! server does. Two quantities are equal when their values are; the unit only says how one prints.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const NANOS: i128 = 1_000_000_000;
/// The largest whole number Kubernetes keeps.
const MAX: i128 = i64::MAX as i128 * NANOS;
/// More digits than any admissible value needs; beyond it a text is refused before it is computed.
const MAX_DIGITS: usize = 100;

/// A quantity with the family of units it was written in.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// How a quantity prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `m`, `k`, `M`, …, or no unit.
    DecimalSi,
    /// `e3`.
    DecimalExponent,
}

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no quantity: expected a number with an optional unit, such as 500m, 0.5, 512Mi or 2Gi")]
pub struct BadQuantity {
    /// As written.
    pub text: String,
}

/// Unit, and the power of 1000 or 1024 it stands for.
const BINARY: [(&str, u32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -3), ("u", -2), ("m", -1), ("", 0), ("k", 1), ("M", 2), ("G", 3), ("T", 4), ("P", 5), ("E", 6)];

impl Quantity {
    /// A whole number without a unit.
    #[must_use]
    pub fn whole(number: u32) -> Self {
        Self { nanos: i128::from(number) * NANOS, format: Format::DecimalSi }
    }

    /// In nano units.
    #[must_use]
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// The family of units it prints in.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// This many times the value, capped.
    #[must_use]
    pub fn times(&self, count: u32) -> Self {
        Self { nanos: capped(self.nanos.saturating_mul(i128::from(count))), ..*self }
    }

    /// The sum, capped, in the units of `self`.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { nanos: capped(self.nanos + other.nanos), ..*self }
    }

    /// What is left of it without `other`, and nothing less than zero, in the units of `self`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self { nanos: (self.nanos - other.nanos).max(0), ..*self }
    }

    /// The same value in the units of another.
    #[must_use]
    pub fn in_units_of(&self, other: &Self) -> Self {
        Self { format: other.format, ..*self }
    }

    /// Half of it, rounded up to a whole number: half of some bytes is bytes.
    #[must_use]
    pub fn half(&self) -> Self {
        let units = div_away(self.nanos, 2 * NANOS);
        Self { nanos: units * NANOS, ..*self }
    }
}

impl FromStr for Quantity {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        parse(text).ok_or_else(|| BadQuantity { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > MAX_DIGITS {
        return None;
    }
    let (scale, format) = scale(suffix)?;
    let nanos = magnitude(&format!("{whole}{fraction}"), fraction.len(), &scale);
    Some(Quantity { nanos: if negative { -nanos } else { nanos }, format })
}

/// What a suffix multiplies by.
enum Scale {
    Ten(i32),
    Two(u32),
}

fn scale(suffix: &str) -> Option<(Scale, Format)> {
    if let Some((_, power)) = BINARY.iter().find(|(unit, _)| *unit == suffix) {
        return Some((Scale::Two(power * 10), Format::BinarySi));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(unit, _)| *unit == suffix) {
        return Some((Scale::Ten(power * 3), Format::DecimalSi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((Scale::Ten(exponent.parse().ok()?), Format::DecimalExponent))
}

/// `digits` with its point `decimals` from the right, scaled, in nano units: rounded away from zero, capped.
fn magnitude(digits: &str, decimals: usize, scale: &Scale) -> i128 {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return 0;
    }
    let (ten, two) = match scale {
        Scale::Ten(power) => (*power, 0),
        Scale::Two(power) => (0, *power),
    };
    let ten = ten + 9 - i32::try_from(decimals).unwrap_or(i32::MAX / 2);
    scaled(digits, ten, two)
}

/// digits × 10^ten × 2^two. Digits are taken one by one, so that neither many digits nor a large power overflows: what
/// passes the cap is the cap, and what lies below the last step only says whether to round up.
fn scaled(digits: &str, ten: i32, two: u32) -> i128 {
    let kept = i32::try_from(digits.len()).unwrap_or(i32::MAX) + ten.min(0);
    let factor = 1i128 << two;
    if ten >= 0 || two == 0 {
        return decimal(digits, ten, kept).saturating_mul(factor).min(MAX);
    }
    // A binary unit with decimals: multiply before the decimals are cut, in base 10^9 limbs.
    let product = times_power_of_two(digits, two);
    let kept = i32::try_from(product.len()).unwrap_or(i32::MAX) + ten;
    decimal(&product, ten, kept)
}

fn decimal(digits: &str, ten: i32, kept: i32) -> i128 {
    let kept = usize::try_from(kept).unwrap_or(0).min(digits.len());
    let (above, below) = digits.split_at(kept);
    let mut value: i128 = 0;
    let zeros = usize::try_from(ten).unwrap_or(0);
    for digit in above.bytes().map(|b| i128::from(b - b'0')).chain(std::iter::repeat_n(0, zeros)) {
        value = value * 10 + digit;
        if value > MAX {
            return MAX;
        }
    }
    let rest = below.bytes().any(|b| b != b'0');
    (value + i128::from(rest)).min(MAX)
}

/// Decimal digits of `digits` × 2^`power`.
fn times_power_of_two(digits: &str, power: u32) -> String {
    let mut reversed: Vec<u8> = digits.bytes().rev().map(|b| b - b'0').collect();
    for _ in 0..power {
        let mut carry = 0;
        for digit in &mut reversed {
            let doubled = *digit * 2 + carry;
            *digit = doubled % 10;
            carry = doubled / 10;
        }
        if carry > 0 {
            reversed.push(carry);
        }
    }
    reversed.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

fn capped(nanos: i128) -> i128 {
    nanos.clamp(-MAX, MAX)
}

/// Division rounded away from zero.
fn div_away(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 { quotient } else { quotient + value.signum() }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// Canonical, as the API server prints it: the largest unit that leaves a whole number.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.nanos.abs() < 1024 * NANOS;
        if self.format == Format::BinarySi && !small && self.nanos % NANOS == 0 {
            return write_binary(f, self.nanos / NANOS);
        }
        write_decimal(f, self.nanos, self.format == Format::DecimalExponent)
    }
}

fn write_binary(f: &mut fmt::Formatter<'_>, mut units: i128) -> fmt::Result {
    let mut suffix = "";
    for (unit, _) in BINARY {
        if units % 1024 != 0 {
            break;
        }
        units /= 1024;
        suffix = unit;
    }
    write!(f, "{units}{suffix}")
}

fn write_decimal(f: &mut fmt::Formatter<'_>, mut number: i128, exponent: bool) -> fmt::Result {
    let mut power = -3;
    while power < 6 && number % 1000 == 0 && number != 0 {
        number /= 1000;
        power += 1;
    }
    if number == 0 {
        return f.write_str("0");
    }
    if exponent && power != 0 {
        return write!(f, "{number}e{}", power * 3);
    }
    let suffix = DECIMAL.iter().find(|(_, p)| *p == power).map_or("", |(unit, _)| unit);
    write!(f, "{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().expect("a quantity")
    }

    #[test]
    fn the_same_amount_in_any_unit_is_equal() {
        for (a, b) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            (".5", "5e-1"),
            ("1.", "1"),
            ("+1", "1e0"),
            ("1Ki", "1024"),
            ("0.5Gi", "512Mi"),
            ("1G", "1e9"),
            ("1E", "1000P"),
            ("1E3", "1k"),
            ("-1500m", "-1.5"),
            ("0", "-0Gi"),
            ("0.1Ki", "102.4"),
        ] {
            assert_eq!(quantity(a), quantity(b), "{a} {b}");
        }
        assert!(quantity("1G") < quantity("1Gi"));
        assert!(quantity("999m") < quantity("1"));
    }

    #[test]
    fn what_the_server_refuses_is_refused() {
        for bad in
            ["", "-", ".", "1.2.3", "lots", "1 Gi", " 1", "1GB", "1K", "1ki", "0x10", "1e", "1e3Mi", "1_000", "1n5"]
        {
            assert!(bad.parse::<Quantity>().is_err(), "{bad:?}");
        }
        assert!("9".repeat(MAX_DIGITS + 1).parse::<Quantity>().is_err());
    }

    #[test]
    fn it_prints_as_the_server_prints_it() {
        for (text, canonical) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000Mi", "1000Mi"),
            ("0.5Mi", "512Ki"),
            ("0.5Ki", "512"),
            ("1023", "1023"),
            ("1000", "1k"),
            ("1e3", "1e3"),
            ("12e1", "120"),
            ("1500M", "1500M"),
            ("0.0005", "500u"),
            ("0Gi", "0"),
            ("-2048Ki", "-2Mi"),
            ("0.1Mi", "104857600m"),
            ("0.1n", "1n"),
            ("100E", "9223372036854775807"),
            ("99999999999999999999999999", "9223372036854775807"),
            ("1e-9999", "1e-9"),
        ] {
            assert_eq!(quantity(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn half_of_some_bytes_is_whole_bytes() {
        assert_eq!(quantity("1Gi").half().to_string(), "512Mi");
        assert_eq!(quantity("1G").half().to_string(), "500M");
        assert_eq!(quantity("3").half().to_string(), "2");
    }

    #[test]
    fn what_is_left_is_never_less_than_nothing_and_prints_in_its_own_units() {
        assert_eq!(quantity("1Gi").without(&quantity("512Mi")).to_string(), "512Mi");
        assert_eq!(quantity("1").without(&quantity("1500m")).to_string(), "0");
        assert_eq!(quantity("1073741824").in_units_of(&quantity("8Mi")).to_string(), "1Gi");
    }

    proptest! {
        #[test]
        fn printing_and_reading_keeps_the_value(number in -1_000_000_000_000i64..1_000_000_000_000, unit in 0usize..17) {
            let units = ["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e-9", "e-3", "e1", "e2", "e3", "E2", "T"];
            let first = quantity(&format!("{number}{}", units[unit]));
            let again = quantity(&first.to_string());
            prop_assert_eq!(first, again);
            prop_assert_eq!(first.to_string(), again.to_string());
        }

        #[test]
        fn decimals_are_exact(whole in 0u64..1_000_000, fraction in 0u32..1_000_000_000) {
            let value = quantity(&format!("{whole}.{fraction:09}"));
            prop_assert_eq!(value.nanos(), i128::from(whole) * NANOS + i128::from(fraction));
        }

        #[test]
        fn order_is_the_order_of_values(a in -9_000_000_000i64..9_000_000_000, b in -9_000_000_000i64..9_000_000_000) {
            let (milli, nano) = (quantity(&format!("{a}m")), quantity(&format!("{b}n")));
            prop_assert_eq!(milli.cmp(&nano), (i128::from(a) * 1_000_000).cmp(&i128::from(b)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            drop(text.parse::<Quantity>());
        }

        #[test]
        fn no_number_panics(text in "[-+]?[0-9.]{0,60}([eE][-+]?[0-9]{0,5}|[a-zA-Z]{0,2})") {
            drop(text.parse::<Quantity>());
        }
    }
}
