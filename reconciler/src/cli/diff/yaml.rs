//! `diff --yaml`: the same difference as a unified diff of whole manifests, for those who read them, and for tools that
//! read patches. What is there is compared with what would be there; what a server only counts is left out.

use crate::ui::{Style, Ui};
use planner::drift::masked;
use planner::fields::FieldSet;
use planner::kinds::Kind;
use planner::merge::{self, Writer};
use planner::observed::Observed;
use planner::plan::{Plan, Request, Step};
use reconciler::execute::FIELD_MANAGER;
use renderer::{Object, ObjectId};
use sandbox::patch::json_patch;
use serde_json::{Map, Value};
use similar::TextDiff;

/// What a server writes down by itself, in `metadata`.
const COUNTED: [&str; 6] = ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];
/// Lines around a change.
const CONTEXT: usize = 3;

/// An object that a step touches, as it is and as it would be.
pub struct Changed {
    id: ObjectId,
    from: Option<Value>,
    to: Option<Value>,
}

/// Of every step of a plan, in its order.
pub fn changed(plan: &Plan, observed: &Observed) -> Vec<Changed> {
    let of_step = |step: &Step| {
        let live = observed.live(&step.id);
        Changed { id: step.id.clone(), from: live.cloned(), to: after(live, &step.requests) }
    };
    plan.steps.iter().map(of_step).collect()
}

impl Changed {
    /// What somebody may have written into it.
    pub fn texts(&mut self) -> Vec<&mut String> {
        let mut texts = Vec::new();
        self.from.iter_mut().chain(&mut self.to).for_each(|value| collect_texts(value, &mut texts));
        texts
    }

    pub fn unified(&self, ui: &Ui) -> String {
        unified(&self.id, self.from.as_ref(), self.to.as_ref(), ui)
    }
}

fn collect_texts<'a>(value: &'a mut Value, texts: &mut Vec<&'a mut String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter_mut().for_each(|item| collect_texts(item, texts)),
        Value::Object(fields) => fields.values_mut().for_each(|field| collect_texts(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What the object is when these requests are done; none where it is gone, or where only the server knows.
fn after(live: Option<&Value>, requests: &[Request]) -> Option<Value> {
    requests.iter().try_fold(live.cloned().unwrap_or(Value::Null), |object, request| match request {
        Request::Create { body } => Some(body.clone()),
        Request::Apply { body } if object.is_null() => Some(body.clone()),
        Request::Apply { body } => applied(&object, body),
        Request::Patch { operations } => json_patch::apply(&object, operations).ok(),
        Request::Delete { .. } | Request::Promote { .. } => None,
    })
}

/// What the server makes of an apply. What it would refuse is shown as it was meant.
fn applied(live: &Value, body: &Value) -> Option<Value> {
    static NOTHING: FieldSet = FieldSet::new();
    let api_version = body.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let by = Writer { manager: FIELD_MANAGER, api_version, subresource: "", time: "", resets: &NOTHING };
    Some(merge::apply(live, body, &by, true).map_or_else(|_| body.clone(), |applied| applied.object))
}

/// One object as it is and as it would be. An object of which only the unshown differs has a heading and no more.
pub fn unified(id: &ObjectId, from: Option<&Value>, to: Option<&Value>, ui: &Ui) -> String {
    let (old, new) = (manifest(id, from), manifest(id, to));
    let name = |side: Option<&Value>, when: &str| match side {
        Some(_) => format!("{id}\t{when}"),
        None => "/dev/null".to_owned(),
    };
    let (old_name, new_name) = (name(from, "now"), name(to, "then"));
    let changes = TextDiff::from_lines(&old, &new).unified_diff().context_radius(CONTEXT).to_string();
    let heading = format!("--- {old_name}\n+++ {new_name}\n");
    heading.lines().chain(changes.lines()).map(|line| format!("{}\n", painted(line, ui))).collect()
}

fn painted(line: &str, ui: &Ui) -> String {
    let style = match line.chars().next() {
        _ if line.starts_with("---") || line.starts_with("+++") => Style::Title,
        Some('+') => Style::Good,
        Some('-') => Style::Bad,
        Some('@') => Style::Faint,
        _ => return line.to_owned(),
    };
    ui.data_in(style, line)
}

/// As `toolforge render` prints it, without secrets, and without what the server counts.
fn manifest(id: &ObjectId, value: Option<&Value>) -> String {
    let Some(value) = value else { return String::new() };
    let secret = Kind::of_id(id).map_or(&[][..], |row| row.secret_paths);
    let mut value = masked(value, secret);
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        COUNTED.iter().for_each(|name| drop(metadata.remove(*name)));
        metadata.retain(|_, value| value.as_object().is_none_or(|map: &Map<_, _>| !map.is_empty()));
    }
    renderer::to_yaml(&[Object { id: id.clone(), value }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::ColourChoice;
    use serde_json::json;

    fn ui() -> Ui {
        Ui::new(ColourChoice::Never, false)
    }

    fn id(kind: &str) -> ObjectId {
        ObjectId { group: String::new(), kind: kind.into(), namespace: Some("tool-a".into()), name: "web".into() }
    }

    fn object(kind: &str, more: Value) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "web"}});
        for (key, value) in more.as_object().expect("an object") {
            object[key] = value.clone();
        }
        object
    }

    #[test]
    fn many_lined_text_is_compared_line_by_line_and_what_the_server_counts_is_left_out() {
        let old = object("ConfigMap", json!({"data": {"a.txt": "one\ntwo\nthree\n"}, "status": {"x": 1}}));
        let mut new = object("ConfigMap", json!({"data": {"a.txt": "one\n2\nthree\n"}, "status": {"x": 2}}));
        new["metadata"]["resourceVersion"] = json!("7");
        let text = unified(&id("ConfigMap"), Some(&old), Some(&new), &ui());
        let changed: Vec<_> = text.lines().filter(|line| line.starts_with(['+', '-'])).collect();
        let heading = ["--- configmap/tool-a/web\tnow", "+++ configmap/tool-a/web\tthen"];
        assert_eq!(changed, [&heading[..], &["-    two", "+    2"]].concat(), "{text}");
    }

    #[test]
    fn an_apply_over_a_live_object_keeps_what_others_own_and_a_patch_removes_it() {
        let live = object("Service", json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}}));
        let body = object("Service", json!({"spec": {"publishNotReadyAddresses": true}}));
        let then = after(Some(&live), &[Request::Apply { body: body.clone() }]).expect("it stays");
        assert_eq!(
            then["spec"],
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "publishNotReadyAddresses": true})
        );
        let operations = json!([{"op": "remove", "path": "/spec/type"}]);
        let then = after(Some(&live), &[Request::Patch { operations }]).expect("it stays");
        assert_eq!(then["spec"], json!({"clusterIP": "10.0.0.1"}));
        assert_eq!(after(None, &[Request::Apply { body: body.clone() }]), Some(body));
        assert_eq!(after(Some(&live), &[Request::Delete { uid: "1".into() }]), None);
    }

    #[test]
    fn a_secret_and_what_a_terminal_would_obey_are_never_printed() {
        let old = object("Secret", json!({"data": {"password": "aHVudGVy"}, "type": "Opaque"}));
        let new = object("Secret", json!({"data": {"password": "bmV3"}, "type": "\u{1b}[31mred"}));
        let text = unified(&id("Secret"), Some(&old), Some(&new), &ui());
        assert!(!text.contains("aHVudGVy") && !text.contains("bmV3") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("+type: \"\\u001b[31mred\""), "{text}");
    }
}
