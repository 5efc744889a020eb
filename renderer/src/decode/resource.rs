//! Files of the config repository have the frame of a Kubernetes object: apiVersion, kind, metadata.name, spec.

use super::{Level, Section, text};
use crate::diagnostic::{Code, Findings, shown};
use crate::yaml::{Entry, Node};
use std::collections::BTreeMap;

/// Version of the config repository's files.
pub(crate) const API_VERSION: &str = "toolforge.org/v1alpha1";

/// A level whose unknown keys have no advice but their spelling.
pub(crate) fn plain_level(title: &'static str, keys: &[&'static str]) -> Level {
    Level { title, keys: keys.to_vec(), advise: |_| None, example: "", lenient: false }
}

/// Opens the mapping of a key.
pub(crate) fn open<'t>(
    entry: &'t Entry,
    title: &'static str,
    keys: &[&'static str],
    findings: &mut Findings,
) -> Option<Section<'t>> {
    Section::open(&entry.value, entry.key_place, &plain_level(title, keys), findings)
}

/// The name's entry, and `spec` opened with these keys.
pub(crate) fn frame<'t>(
    root: &'t Node,
    kind: &str,
    keys: &[&'static str],
    findings: &mut Findings,
) -> Option<(&'t Entry, Section<'t>)> {
    let top = plain_level("the file", &["apiVersion", "kind", "metadata", "spec"]);
    let file = Section::open(root, root.place, &top, findings)?;
    for (key, expected) in [("apiVersion", API_VERSION), ("kind", kind)] {
        let Some(entry) = file.required(key, findings) else {
            continue;
        };
        let written = text(entry, findings)?;
        if written != expected {
            findings.add(
                Code::WrongFile,
                entry.value.place,
                format!("`{key}` must be `{expected}` here, but is {}", shown(written)),
            );
        }
    }
    let name = file.required("metadata", findings).and_then(|entry| {
        open(entry, "`metadata`", &["name", "labels", "annotations"], findings)?.required("name", findings)
    });
    let spec = file.required("spec", findings).and_then(|entry| open(entry, "`spec`", keys, findings));
    Some((name?, spec?))
}

/// `90s`, `5m`, `1h30m`, `2d`, as seconds.
pub(crate) fn duration_secs(entry: &Entry, findings: &mut Findings) -> Option<u64> {
    let written = entry.value.scalar().map_or("", |scalar| scalar.text.as_str());
    let secs = seconds(written);
    if secs.is_none() {
        let hint = match written.parse::<u64>() {
            Ok(number) => format!("Write the unit: `{number}s`."),
            Err(_) => Code::BadDuration.fix().to_owned(),
        };
        let shown = if written.is_empty() { entry.value.described().to_owned() } else { shown(written) };
        findings
            .add(Code::BadDuration, entry.value.place, format!("`{}` must be a duration, but is {shown}", entry.key))
            .with_hint(hint);
    }
    secs
}

/// `90s`, `5m`, `1h30m`, `2d`, as seconds; none where it is none of these.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = match rest[end..].chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[end + 1..];
    }
    // More than ten years is a slip.
    (total <= 10 * 365 * 86_400).then_some(total)
}

/// A mapping of names to Kubernetes quantities; bad ones are told and left out.
pub(crate) fn quantities(entry: &Entry, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    let Some(mapping) = entry.value.mapping() else {
        let message =
            format!("`{}` must be a mapping of names to quantities, but is {}", entry.key, entry.value.described());
        findings.add(Code::WrongType, entry.value.place, message).with_hint("Write one `name: quantity` a line.");
        return map;
    };
    super::section::duplicates(mapping, findings);
    for item in &mapping.entries {
        if let Some(written) = quantity(item, findings) {
            map.insert(item.key.clone(), written);
        }
    }
    map
}

/// A Kubernetes quantity, as written.
pub(crate) fn quantity(entry: &Entry, findings: &mut Findings) -> Option<String> {
    let written = entry.value.scalar().map_or("", |scalar| scalar.text.as_str());
    if written.parse::<crate::quantity::Quantity>().is_ok_and(|q| q.nanos() >= 0) {
        return Some(written.to_owned());
    }
    findings
        .add(Code::BadQuantity, entry.value.place, format!("{} must be a quantity", shown(&entry.key)))
        .with_hint("Write a number with an optional unit: `16`, `500m`, `8Gi`.");
    None
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_have_units() {
        for (text, secs) in [("90s", Some(90)), ("1h30m", Some(5400)), ("2d", Some(172_800)), ("0s", Some(0))] {
            assert_eq!(seconds(text), secs, "{text}");
        }
        for bad in ["", "90", "1 h", "h", "-1s", "1w", "1.5h", "99999999999999999999s", "9999d"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
