//! Kubernetes quantities, exactly: `0.5`, `500m`, `512Mi`.

use serde_json::Value;
use std::fmt;

/// An amount in thousandths, and how it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantity {
    milli: i128,
    binary: bool,
}

const UNITS: &[(&str, i128, bool)] = &[
    ("Ki", 1 << 10, true),
    ("Mi", 1 << 20, true),
    ("Gi", 1 << 30, true),
    ("Ti", 1 << 40, true),
    ("Pi", 1 << 50, true),
    ("Ei", 1 << 60, true),
    ("k", 1_000, false),
    ("M", 1_000_000, false),
    ("G", 1_000_000_000, false),
    ("T", 1_000_000_000_000, false),
    ("P", 1_000_000_000_000_000, false),
    ("E", 1_000_000_000_000_000_000, false),
];

impl Quantity {
    /// Reads a quantity; none where it is none, or too fine for thousandths.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// By meaning: `1` is `1000m`.
    #[must_use]
    pub fn compare(self, other: Self) -> std::cmp::Ordering {
        self.milli.cmp(&other.milli)
    }

    /// Reads a quantity's text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(milli) = text.strip_suffix('m') {
            return Some(Self { milli: decimal(milli)? / 1000, binary: false });
        }
        let unit = UNITS.iter().find(|(unit, _, _)| text.ends_with(unit));
        let (number, factor, binary) = match unit {
            Some((unit, factor, binary)) => (text.strip_suffix(unit)?, *factor, *binary),
            None => (text, 1, false),
        };
        let milli = decimal(number)?.checked_mul(factor)?;
        Some(Self { milli, binary })
    }
}

/// A decimal number in thousandths.
fn decimal(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits == "." || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = format!("{part:0<3.3}").parse().ok()?;
    Some(sign * (whole.checked_mul(1000)?.checked_add(part)?))
}

/// The sum, written like its parts.
pub fn sum(all: impl Iterator<Item = Quantity>) -> Quantity {
    all.fold(Quantity::default(), |sum, one| Quantity {
        milli: sum.milli.saturating_add(one.milli),
        binary: sum.binary || one.binary,
    })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let whole = self.milli / 1000;
        let fits = |(_, factor, binary): &&(&str, i128, bool)| *binary == self.binary && whole % factor == 0;
        let unit = UNITS.iter().rev().filter(|_| whole != 0 && self.binary).find(fits);
        match unit {
            Some((unit, factor, _)) => write!(f, "{}{unit}", whole / factor),
            None => write!(f, "{whole}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(texts: &[&str]) -> String {
        sum(texts.iter().map(|text| Quantity::parse(text).expect("a quantity"))).to_string()
    }

    #[test]
    fn quantities_add_up_by_meaning() {
        assert_eq!(added(&["0.5", "500m"]), "1");
        assert_eq!(added(&["100m", "50m"]), "150m");
        assert_eq!(added(&["512Mi", "512Mi"]), "1Gi");
        assert_eq!(added(&["1Gi", "1Mi"]), "1025Mi");
        assert_eq!(added(&[]), "0");
        for bad in ["", "m", "Mi", "1..2", "x", "1 Gi"] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }
}
