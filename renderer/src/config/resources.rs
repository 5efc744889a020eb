//! `cpu` and `memory`.

use super::ParseContext;
use crate::decode::text_or_number;
use crate::diagnostic::{Code, Findings, shown};
use crate::quantity::Quantity;
use crate::yaml::Entry;
use std::collections::BTreeMap;

/// What a quantity may be.
struct Measure {
    key: &'static str,
    example: &'static str,
}

const CPU: Measure = Measure { key: "cpu", example: "`0.5`, `500m` or `1`" };
const MEMORY: Measure = Measure { key: "memory", example: "`512Mi` or `1Gi`" };

/// `cpu` of one component.
pub(crate) fn cpu(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    quantity(entry, &CPU, context, findings)
}

/// `memory` of one component.
pub(crate) fn memory(entry: &Entry, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    quantity(entry, &MEMORY, context, findings)
}

fn quantity(entry: &Entry, measure: &Measure, context: &ParseContext, findings: &mut Findings) -> Option<String> {
    // Numbers are taken as typed: `1.10` and 1.1 are the same quantity.
    let typed = entry.value.scalar().map_or("", |scalar| scalar.text.trim());
    let number = typed.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let written = if number && !typed.is_empty() { typed } else { text_or_number(entry, findings)?.trim() };
    let Ok(amount) = written.parse::<Quantity>() else {
        let message = format!("`{}` must be a quantity, but is {}", measure.key, shown(written));
        findings.add(Code::BadQuantity, entry.value.place, message).with_hint(format!(
            "Write {}.{}",
            measure.example,
            unit_hint(written)
        ));
        return None;
    };
    if let Some((why, hint)) = unlikely(written, amount.nanos(), measure) {
        findings.add(Code::BadQuantity, entry.value.place, format!("`{}` {why}", measure.key)).with_hint(hint);
        return None;
    }
    within(entry, &amount, measure.key, context, findings).then(|| written.to_owned())
}

fn unit_hint(written: &str) -> String {
    let end = written.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(written.len());
    let unit = match written[end..].trim().to_lowercase().as_str() {
        "mb" | "mib" | "mi" | "meg" => "Mi",
        "gb" | "gib" | "gi" => "Gi",
        "kb" | "kib" | "ki" => "Ki",
        "g" => "G",
        _ => return String::new(),
    };
    if end == 0 { String::new() } else { format!(" You may have meant `{}{unit}`.", &written[..end]) }
}

/// Quantities that Kubernetes reads but nobody means.
fn unlikely(written: &str, nanos: i128, measure: &Measure) -> Option<(String, String)> {
    const UNIT: i128 = 1_000_000_000;
    let digits = written.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if nanos <= 0 {
        return Some(("must be more than 0".to_owned(), format!("Write {}.", measure.example)));
    }
    if measure.key == "cpu" && (written.ends_with('i') || nanos > 1000 * UNIT) {
        return Some((
            format!("is {} cores, which no machine has", nanos / UNIT),
            format!("Write {}; a thousandth of a core is `1m`.", measure.example),
        ));
    }
    if measure.key == "memory" && nanos < (1 << 20) * UNIT {
        return Some((
            format!("is {} bytes, too little to start", nanos / UNIT),
            format!("Write the unit: `{digits}Mi`."),
        ));
    }
    None
}

fn within(entry: &Entry, amount: &Quantity, key: &str, context: &ParseContext, findings: &mut Findings) -> bool {
    let limit = |limits: &BTreeMap<String, String>| {
        limits.get(key).and_then(|q| Some((q.clone(), q.parse::<Quantity>().ok()?.nanos())))
    };
    let over = limit(&context.max).filter(|(_, max)| amount.nanos() > *max).map(|(max, _)| ("more", "at most", max));
    let under = limit(&context.min).filter(|(_, min)| amount.nanos() < *min).map(|(min, _)| ("less", "at least", min));
    let Some((word, bound, limit)) = over.or(under) else {
        return true;
    };
    findings
        .add(
            Code::OutOfRange,
            entry.value.place,
            format!("`{key}` is {word} than this tool's limit of {limit} a component"),
        )
        .with_hint(format!("Write {bound} `{limit}`, or ask the operators for other limits."));
    false
}
