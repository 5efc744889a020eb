//! Label and field selectors.

use crate::status::ApiError;
use crate::store::Entry;
use crate::value;
use serde_json::Value;
use std::collections::BTreeMap;

/// One term of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// The key has one of these values.
    In(String, Vec<String>),
    /// It has none of them, or is not there.
    NotIn(String, Vec<String>),
    /// It is there.
    Exists(String),
    /// It is not there.
    Missing(String),
}

/// A label selector; the empty one takes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Term>);

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h,!i`.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let terms = split_outside_parentheses(text);
        let terms = terms.map(str::trim).filter(|term| !term.is_empty());
        terms.map(term).collect::<Result<_, _>>().map(Self)
    }

    /// Reads the `matchLabels` and `matchExpressions` of a spec; an empty selector takes everything.
    #[must_use]
    pub fn of(selector: &Value) -> Self {
        let equal = value::text_map(selector.get("matchLabels"));
        let mut terms: Vec<Term> = equal.into_iter().map(|(key, value)| Term::In(key, vec![value])).collect();
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        terms.extend(expressions.into_iter().flatten().filter_map(expression));
        Self(terms)
    }

    /// Whether the labels fit.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| match term {
            Term::In(key, values) => labels.get(key).is_some_and(|have| values.contains(have)),
            Term::NotIn(key, values) => labels.get(key).is_none_or(|have| !values.contains(have)),
            Term::Exists(key) => labels.contains_key(key),
            Term::Missing(key) => !labels.contains_key(key),
        })
    }

    /// Takes everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it stands in a scale's `status.selector`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let term = |term: &Term| match term {
            Term::In(key, values) if values.len() == 1 => format!("{key}={}", values[0]),
            Term::In(key, values) => format!("{key} in ({})", values.join(",")),
            Term::NotIn(key, values) => format!("{key} notin ({})", values.join(",")),
            Term::Exists(key) => key.clone(),
            Term::Missing(key) => format!("!{key}"),
        };
        self.0.iter().map(term).collect::<Vec<_>>().join(",")
    }
}

fn expression(value: &Value) -> Option<Term> {
    let key = value.get("key")?.as_str()?.to_owned();
    let values = value.get("values").and_then(Value::as_array);
    let values = values.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    match value.get("operator")?.as_str()? {
        "In" => Some(Term::In(key, values)),
        "NotIn" => Some(Term::NotIn(key, values)),
        "Exists" => Some(Term::Exists(key)),
        "DoesNotExist" => Some(Term::Missing(key)),
        _ => None,
    }
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |letter: char| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
}

fn term(text: &str) -> Result<Term, ApiError> {
    let plain = |text: &str| text.trim().to_owned();
    if let Some((key, value)) = text.split_once("!=") {
        return checked(Term::NotIn(plain(key), vec![plain(value)]), text);
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return checked(Term::In(plain(key), vec![plain(value)]), text);
    }
    if let Some((head, values)) = text.split_once('(') {
        let values = values.trim_end().strip_suffix(')').unwrap_or(values);
        let values = values.split(',').map(plain).collect();
        let term = match head.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => Term::In(plain(key), values),
            Some((key, "notin")) => Term::NotIn(plain(key), values),
            _ => return Err(unparsable(text)),
        };
        return checked(term, text);
    }
    match text.strip_prefix('!') {
        Some(key) => checked(Term::Missing(plain(key)), text),
        None => checked(Term::Exists(plain(text)), text),
    }
}

fn checked(term: Term, text: &str) -> Result<Term, ApiError> {
    let (Term::In(key, _) | Term::NotIn(key, _) | Term::Exists(key) | Term::Missing(key)) = &term;
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    if key.is_empty() || !key.chars().all(good) {
        return Err(unparsable(text));
    }
    Ok(term)
}

fn unparsable(text: &str) -> ApiError {
    let found = text.split_whitespace().nth(1).unwrap_or(text);
    ApiError::bad_request(format!(
        "unable to parse requirement: found '{found}', expected: in, notin, =, ==, !=, gt, lt"
    ))
}

/// A field selector: `path=value` and `path!=value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// Reads `metadata.name=web,metadata.namespace!=a`.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let terms = text.split(',').filter(|term| !term.is_empty());
        let read = |term: &str| {
            let (path, equal, value) = if let Some((path, value)) = term.split_once("!=") {
                (path, false, value)
            } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
                (path, true, value)
            } else {
                let message = format!("invalid selector: '{term}'; can't understand '{term}'");
                return Err(ApiError::bad_request(message));
            };
            Ok((path.to_owned(), equal, value.to_owned()))
        };
        terms.map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Refuses what the kind can't be selected by.
    ///
    /// # Errors
    /// 400 with the path.
    pub fn check(&self, kind: &str) -> Result<(), ApiError> {
        for (path, _, _) in &self.0 {
            let known = match path.as_str() {
                "metadata.name" | "metadata.namespace" => true,
                "status.phase" => matches!(kind, "Pod" | "Namespace"),
                "spec.nodeName" | "spec.restartPolicy" | "spec.serviceAccountName" => kind == "Pod",
                "type" => matches!(kind, "Secret" | "Event"),
                "reason" | "source" | "reportingComponent" | "reportingController" => kind == "Event",
                "status.successful" => kind == "Job",
                path => kind == "Event" && (path.starts_with("involvedObject.") || path.starts_with("regarding.")),
            };
            if !known {
                let has_more = matches!(kind, "Pod" | "Namespace" | "Secret" | "Event" | "Job");
                let message = if has_more {
                    format!("field label not supported: {path}")
                } else {
                    format!("\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                };
                return Err(ApiError::bad_request(message));
            }
        }
        Ok(())
    }

    /// The name every match must have, so that a list need not look at others.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let named = |(path, equal, _): &&(String, bool, String)| path == "metadata.name" && *equal;
        self.0.iter().find(named).map(|(_, _, name)| name.as_str())
    }

    /// Whether a stored object fits.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let mut object = None;
        self.0.iter().all(|(path, equal, want)| {
            let fits = match path.as_str() {
                "metadata.name" => entry.key.name == *want,
                "metadata.namespace" => entry.key.namespace == *want,
                path => {
                    let object = object.get_or_insert_with(|| entry.object());
                    text_at(object, path) == *want
                }
            };
            fits == *equal
        })
    }

    /// Takes everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn text_at(object: &value::Object, path: &str) -> String {
    let stored = match path {
        "source" => "source.component".to_owned(),
        "reportingController" => "reportingComponent".to_owned(),
        // events.k8s.io calls it so; it is stored in the older form.
        path => path.replacen("regarding.", "involvedObject.", 1),
    };
    match value::at(object, &stored) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(selector: &str, labels: &[(&str, &str)]) -> bool {
        let pairs = labels.iter();
        let labels = pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LabelSelector::parse(selector).expect("a selector").matches(&labels)
    }

    #[test]
    fn selectors_take_and_leave_as_the_documentation_of_kubernetes_says() {
        let labels = [("a", "1"), ("b/c", "2")];
        for good in ["", "a", "a=1", "a==1", "a!=2", "!x", "x!=1", "a in (0, 1)", "a notin (2),b/c=2"] {
            assert!(takes(good, &labels), "{good}");
        }
        for bad in ["x", "a=2", "a!=1", "!a", "a in (2,3)", "a=1,b/c=1"] {
            assert!(!takes(bad, &labels), "{bad}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["a b", "=1", "a in 1)", "a within (1)"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
        assert!(FieldSelector::parse("metadata.name").is_err());
        let unknown = FieldSelector::parse("spec.replicas=2").expect("well-formed");
        assert!(unknown.check("Deployment").is_err());
    }
}
