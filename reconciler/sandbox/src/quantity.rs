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

/// A quantity's text as the server writes it back, and none where it is no quantity: `500m` for `0.5`, `1Gi` for `1024Mi`.
///
/// The server keeps what was written if that is canonical as far as it looks (no three zeros at the end, an exponent that
/// is a multiple of three); else it writes the number anew. What is finer than a thousandth is rounded up.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || number == "." || part.contains('.') {
        return None;
    }
    let digits = format!("{}{part}", whole.trim_start_matches('0'));
    let unit = Unit::of(suffix)?;
    let scale = unit.exponent - i32::try_from(part.len()).ok()?;
    let is_kept = match unit.kind {
        UnitKind::Binary => part.is_empty() && digits.parse::<i128>().is_ok_and(|value| value & 7 != 0),
        _ => {
            scale % 3 == 0 && scale >= -3 && !digits.ends_with("000") && !digits.is_empty() && !digits.starts_with('0')
        }
    };
    if is_kept {
        return Some(text.to_owned());
    }
    let milli = unit.milli(&digits, part.len())?;
    Some(format!("{sign}{}", spelt(milli, unit.kind)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnitKind {
    Decimal,
    Exponent,
    Binary,
}

/// What stands behind the number: a power of ten, or of two.
#[derive(Debug, Clone, Copy)]
struct Unit {
    exponent: i32,
    kind: UnitKind,
}

const DECIMAL: &[&str] = &["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: &[&str] = &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Unit {
    fn of(suffix: &str) -> Option<Self> {
        let place = |table: &[&str]| table.iter().position(|one| *one == suffix).and_then(|at| i32::try_from(at).ok());
        if let Some(at) = place(DECIMAL) {
            return Some(Self { exponent: 3 * at - 9, kind: UnitKind::Decimal });
        }
        if let Some(at) = place(BINARY) {
            return Some(Self { exponent: 10 * at, kind: UnitKind::Binary });
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        Some(Self { exponent, kind: UnitKind::Exponent })
    }

    /// The digits in thousandths, rounded up.
    fn milli(self, digits: &str, behind_point: usize) -> Option<i128> {
        let value: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let behind = u32::try_from(behind_point).ok()?;
        if self.kind == UnitKind::Binary {
            let scaled =
                value.checked_mul(1000)?.checked_mul(1_i128.checked_shl(u32::try_from(self.exponent).ok()?)?)?;
            let divisor = 10_i128.checked_pow(behind)?;
            return Some(scaled / divisor + i128::from(scaled % divisor != 0));
        }
        let shift = self.exponent - i32::try_from(behind).ok()? + 3;
        let power = 10_i128.checked_pow(shift.unsigned_abs())?;
        if shift >= 0 {
            return value.checked_mul(power);
        }
        Some(value / power + i128::from(value % power != 0))
    }
}

/// Thousandths in the largest unit that leaves a whole number.
fn spelt(milli: i128, kind: UnitKind) -> String {
    let whole = milli / 1000;
    if kind == UnitKind::Binary && milli % 1000 == 0 && whole >= 1024 {
        let (mut value, mut at) = (whole, 0);
        while value % 1024 == 0 && at + 1 < BINARY.len() {
            (value, at) = (value / 1024, at + 1);
        }
        return format!("{value}{}", BINARY[at]);
    }
    let (mut value, mut exponent) = (milli, -3);
    while value != 0 && value % 1000 == 0 && exponent < 18 {
        (value, exponent) = (value / 1000, exponent + 3);
    }
    let at = usize::try_from(exponent / 3 + 3).unwrap_or(3);
    match (value, kind, exponent) {
        (0, _, _) => "0".to_owned(),
        (_, UnitKind::Exponent, 0) => value.to_string(),
        (_, UnitKind::Exponent, _) => format!("{value}e{exponent}"),
        _ => format!("{value}{}", DECIMAL[at]),
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
    fn quantities_are_written_back_as_a_real_server_does() {
        for (written, kept) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000", "1k"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("100000", "100k"),
            ("128974848", "128974848"),
            ("2048Ki", "2Mi"),
            ("1000k", "1M"),
            ("0.1m", "1m"),
            ("1.0", "1"),
            ("01", "01"),
            ("1M", "1M"),
            ("1e-1", "100e-3"),
            ("0", "0"),
            ("0Mi", "0"),
            ("1000Gi", "1000Gi"),
            ("1024Gi", "1Ti"),
            ("+1", "+1"),
            ("0.25k", "250"),
            ("1.0005", "1001m"),
            ("1536Mi", "1536Mi"),
            ("1.1Gi", "1181116006400m"),
            ("12e6", "12e6"),
            ("1000000Ki", "1000000Ki"),
            ("5e-1", "500e-3"),
            ("1500", "1500"),
            ("100m", "100m"),
            ("0m", "0"),
            ("1024", "1024"),
            ("1048576Ki", "1Gi"),
            ("0.001", "1m"),
            ("1000u", "1m"),
            ("1n", "1m"),
        ] {
            assert_eq!(canonical(written).as_deref(), Some(kept), "{written}");
        }
        for bad in ["", "m", "1..2", "1 Gi", "1Gii", "x", "1e", "."] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
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
