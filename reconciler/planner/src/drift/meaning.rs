//! When two values mean the same. The server prints what it keeps: `0.5` of a CPU comes back as `500m`.

use crate::schema::defaults::{self, Beside};
use crate::schema::{Scalar, TypeRef};
use renderer::Quantity;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Two values of one type mean the same: numbers, quantities, durations and times by what they say, ports whether written
/// as number or text, everything else as it stands. Lists by order, maps by key.
#[must_use]
pub fn same_meaning(desired: &Value, live: &Value, at: TypeRef) -> bool {
    match (desired, live) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_meaning(a, b, at.field(key))))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_meaning(a, b, at.items()))
        }
        _ => same_scalar(desired, live, at.scalar()),
    }
}

fn same_scalar(desired: &Value, live: &Value, scalar: Option<Scalar>) -> bool {
    if desired == live {
        return true;
    }
    let both = |read: fn(&Value) -> Option<i128>| read(desired).is_some_and(|a| read(live) == Some(a));
    match scalar {
        Some(Scalar::Quantity) => both(quantity_nanos),
        Some(Scalar::Duration) => both(duration_nanos),
        Some(Scalar::DateTime) => moment(desired).is_some_and(|a| moment(live) == Some(a)),
        Some(Scalar::IntOrText) => both(whole),
        // A type that nobody declared, or a plain number: `1` is `1.0`.
        _ => desired.is_number() && live.is_number() && desired.as_f64() == live.as_f64(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn quantity_nanos(value: &Value) -> Option<i128> {
    text(value)?.parse::<Quantity>().ok().map(|quantity| quantity.nanos())
}

fn whole(value: &Value) -> Option<i128> {
    text(value)?.parse().ok()
}

/// Go's and the Gateway API's durations: `90s`, `1m30s`, `1.5m`.
fn duration_nanos(value: &Value) -> Option<i128> {
    const UNITS: [(&str, i128); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let mut rest = value.as_str()?;
    let mut total = 0_i128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(decimal(number, *nanos)?)?;
        rest = next;
    }
    Some(total)
}

/// A decimal number of units, without floats: `1.5` minutes.
fn decimal(number: &str, unit_nanos: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let fraction = fraction.checked_mul(unit_nanos)? / scale;
    whole.checked_mul(unit_nanos)?.checked_add(fraction)
}

/// A moment in UTC, written in one way. Other offsets are compared as text: nobody renders them.
fn moment(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let time = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    Some(format!("{seconds}.{}", fraction.trim_end_matches('0')))
}

/// An atomic value holds everything that is desired. What it holds beside that counts as the server's while
/// `trust_extra` is set; else it must be a known default.
pub(super) fn covers(desired: &Value, live: &Value, at: TypeRef, trust_extra: bool) -> bool {
    match (desired, live) {
        (Value::Object(a), Value::Object(b)) => {
            let wanted = |(key, a): (&String, &Value)| match b.get(key) {
                Some(part) if trust_extra => covers(a, part, at.field(key), true),
                Some(part) => covers(&completed(key, a, b, at), part, at.field(key), false),
                None => is_nothing(a),
            };
            let extra =
                |(key, value): (&String, &Value)| a.contains_key(key) || trust_extra || is_default(key, value, b, at);
            a.iter().all(wanted) && b.iter().all(extra)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| covers(a, b, at.items(), trust_extra))
        }
        _ => same_scalar(desired, live, at.scalar()),
    }
}

/// A map with the keys that the server adds to it.
fn completed<'a>(field: &str, value: &'a Value, beside: &Map<String, Value>, at: TypeRef) -> Cow<'a, Value> {
    match (value, defaults::of(at, field, Beside::of(beside))) {
        (Value::Object(value), defaults::Default::Is(Value::Object(mut keys))) => {
            keys.extend(value.clone());
            Cow::Owned(keys.into())
        }
        _ => Cow::Borrowed(value),
    }
}

/// A field holds what the server fills in there; or nothing at all.
pub(super) fn is_default(field: &str, value: &Value, beside: &Map<String, Value>, at: TypeRef) -> bool {
    match defaults::of(at, field, Beside::of(beside)) {
        defaults::Default::Is(default) => covers(&default, value, at.field(field), false),
        _ => is_nothing(value),
    }
}

/// No value, or a list or map of none.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;
    use serde_json::json;

    fn at(kind: (&str, &str, &str), path: &str) -> TypeRef {
        let start = Schema::of(kind.0, kind.1, kind.2).expect("a known kind");
        path.split('.').fold(start, |at, name| if name == "[]" { at.items() } else { at.field(name) })
    }

    #[test]
    fn values_mean_the_same_whatever_their_notation() {
        let deployment = ("apps", "v1", "Deployment");
        let route = ("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let cpu = at(deployment, "spec.template.spec.containers.[].resources.limits.cpu");
        let surge = at(deployment, "spec.strategy.rollingUpdate.maxSurge");
        let image = at(deployment, "spec.template.spec.containers.[].image");
        let replicas = at(deployment, "spec.replicas");
        let timeout = at(route, "spec.rules.[].timeouts.request");
        let time = at(deployment, "metadata.creationTimestamp");
        for (desired, live, place, same) in [
            (json!("0.5"), json!("500m"), cpu, true),
            (json!(0.5), json!("500m"), cpu, true),
            (json!(2), json!("2"), cpu, true),
            (json!("1024Mi"), json!("1Gi"), cpu, true),
            (json!("1G"), json!("1Gi"), cpu, false),
            (json!("nonsense"), json!("1Gi"), cpu, false),
            (json!("nonsense"), json!("nonsense"), cpu, true),
            (json!(1), json!("1"), surge, true),
            (json!("25%"), json!(25), surge, false),
            (json!("1"), json!("1.0"), image, false),
            (json!("0.5"), json!("500m"), image, false),
            (json!(1), json!(1.0), replicas, true),
            (json!(1), json!("1"), replicas, false),
            (json!("90s"), json!("1m30s"), timeout, true),
            (json!("1.5m"), json!("90000ms"), timeout, true),
            (json!("1h"), json!("61m"), timeout, false),
            (json!("1x"), json!("1y"), timeout, false),
            (json!("2026-01-01T00:00:00Z"), json!("2026-01-01T00:00:00.000000Z"), time, true),
            (json!("2026-01-01T00:00:00Z"), json!("2026-01-01T00:00:01Z"), time, false),
            (json!(["a", "b"]), json!(["b", "a"]), TypeRef::ANY, false),
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), TypeRef::ANY, true),
            (json!({"a": 1}), json!({"a": 1, "b": null}), TypeRef::ANY, false),
            (json!(true), json!("true"), TypeRef::ANY, false),
        ] {
            assert_eq!(same_meaning(&desired, &live, place), same, "{desired} and {live}");
            assert_eq!(same_meaning(&live, &desired, place), same, "{live} and {desired}");
        }
    }

    #[test]
    fn extra_leaves_of_an_atomic_value_are_trusted_or_known_defaults() {
        let parents = at(("gateway.networking.k8s.io", "v1", "HTTPRoute"), "spec.parentRefs");
        let desired = json!([{"name": "public"}]);
        let filled = json!([{"name": "public", "kind": "Gateway", "group": "gateway.networking.k8s.io"}]);
        let other = json!([{"name": "public", "kind": "Service", "group": "gateway.networking.k8s.io"}]);
        assert!(covers(&desired, &filled, parents, false));
        assert!(!covers(&desired, &other, parents, false));
        assert!(covers(&desired, &other, parents, true));
        assert!(!covers(&desired, &json!([{"name": "private"}]), parents, true));
        assert!(!covers(&desired, &json!([{"name": "public"}, {"name": "b"}]), parents, true));
    }
}
