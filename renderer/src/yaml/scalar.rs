//! What a plain scalar means: the same for everyone, or different things to different YAML versions.

/// Text as typed, and whether quotes protect it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, without quotes and after escapes.
    pub text: String,
    /// False where it stands in quotes, in a block, or under `!!str`: then it is text whatever it looks like.
    pub is_plain: bool,
}

/// What a YAML reader makes of a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plain {
    /// Text to everyone.
    Text,
    /// `~`, `null` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// `yes`, `no`, `on`, `off`: a boolean to YAML 1.1, text to YAML 1.2.
    OldBool(bool),
    /// A whole number to everyone.
    Int(i64),
    /// `1_000`: a number to YAML 1.1, text to YAML 1.2.
    OldInt(i64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// `0808`, `0o7`, `0x1f`, `12:30:00`: each reader makes something else of it.
    OddNumber,
    /// `2026-01-31`: a date to some readers.
    Date,
}

impl Plain {
    /// As messages name it.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Plain::Text => "text",
            Plain::Null => "nothing",
            Plain::Bool(_) => "a boolean",
            Plain::OldBool(_) => "a boolean to some programs and text to others",
            Plain::Int(_) | Plain::Float(_) => "a number",
            Plain::OldInt(_) | Plain::OddNumber => "a number, but not the same one to every program",
            Plain::Date => "a date to some programs and text to others",
        }
    }
}

impl Scalar {
    /// What a YAML reader makes of it.
    #[must_use]
    pub fn plain(&self) -> Plain {
        if self.is_plain { classify(&self.text) } else { Plain::Text }
    }
}

fn classify(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Plain::OldBool(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Plain::OldBool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    whole(text, digits).or_else(|| odd(digits)).or_else(|| fraction(text, digits)).unwrap_or(Plain::Text)
}

fn whole(text: &str, digits: &str) -> Option<Plain> {
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return Some(Plain::OddNumber);
        }
        // Beyond 64 bits readers round or refuse.
        return Some(text.parse().map_or(Plain::OddNumber, Plain::Int));
    }
    if digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') && !digits.starts_with('0') {
        let bare = text.replace('_', "");
        return Some(bare.parse().map_or(Plain::OddNumber, Plain::OldInt));
    }
    None
}

/// Octal, hexadecimal and binary in their several spellings, sexagesimal, dates.
fn odd(digits: &str) -> Option<Plain> {
    let radix = |prefix: &str, radix: u32| {
        digits.strip_prefix(prefix).is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(radix) || c == '_'))
    };
    if radix("0x", 16) || radix("0o", 8) || radix("0b", 2) || radix("0", 8) {
        return Some(Plain::OddNumber);
    }
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or_default();
    let mut more = parts.peekable();
    let sixty = |p: &str| (1..=2).contains(&p.len()) && p.parse::<u8>().is_ok_and(|n| n < 60);
    if more.peek().is_some() && !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()) && more.all(sixty) {
        return Some(Plain::OddNumber);
    }
    is_date(digits).then_some(Plain::Date)
}

fn is_date(text: &str) -> bool {
    let day = text.get(..10).unwrap_or(text);
    let shape = day.len() == 10
        && day.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    shape && text[10..].bytes().all(|b| b.is_ascii_digit() || b"tTzZ :.+-".contains(&b))
}

fn fraction(text: &str, digits: &str) -> Option<Plain> {
    if matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Some(Plain::OddNumber);
    }
    let shape = digits.bytes().all(|b| b.is_ascii_digit() || b"._eE+-".contains(&b));
    if !shape || digits.matches('.').count() > 1 {
        return None;
    }
    let number: f64 = text.replace('_', "").parse().ok()?;
    if digits.contains('_') || !number.is_finite() {
        return Some(Plain::OddNumber);
    }
    Some(Plain::Float(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_disagree_about_is_known() {
        for (text, plain) in [
            ("web", Plain::Text),
            ("1.2.3", Plain::Text),
            ("v1", Plain::Text),
            ("y", Plain::Text),
            ("*/2", Plain::Text),
            ("1/2", Plain::Text),
            ("0.5", Plain::Float(0.5)),
            ("1.10", Plain::Float(1.1)),
            ("1e3", Plain::Float(1000.0)),
            ("500m", Plain::Text),
            ("512Mi", Plain::Text),
            ("8000", Plain::Int(8000)),
            ("-1", Plain::Int(-1)),
            ("0", Plain::Int(0)),
            ("1_000", Plain::OldInt(1000)),
            ("0808", Plain::OddNumber),
            ("0o7", Plain::OddNumber),
            ("0x1f", Plain::OddNumber),
            ("0b1", Plain::OddNumber),
            ("12:30", Plain::OddNumber),
            ("01:02:03", Plain::OddNumber),
            ("99999999999999999999", Plain::OddNumber),
            (".inf", Plain::OddNumber),
            ("1_0.5", Plain::OddNumber),
            ("2026-01-31", Plain::Date),
            ("2026-01-31 10:00:00", Plain::Date),
            ("2026-01", Plain::Text),
            ("1-5", Plain::Text),
            ("5 6", Plain::Text),
            ("yes", Plain::OldBool(true)),
            ("Off", Plain::OldBool(false)),
            ("true", Plain::Bool(true)),
            ("", Plain::Null),
            ("~", Plain::Null),
            (".", Plain::Text),
            ("-", Plain::Text),
            ("+", Plain::Text),
            ("./run", Plain::Text),
            ("10:99", Plain::Text),
        ] {
            assert_eq!(classify(text), plain, "{text:?}");
        }
    }
}
