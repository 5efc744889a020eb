//! The walk over desired and live at once, and over what only live has.

mod extra;

use super::meaning::{covers, is_nothing, same_meaning};
use super::order::{are_paired, disorder};
use super::owners::OwnersOf;
use super::verdict::{Judged, Verdict};
use super::{By, ChangeKind, FieldChange, Ownership, Settlement, Shown};
use crate::fields::{FieldSet, Path, PathElement, item_element};
use crate::kinds::Kind;
use crate::schema::defaults;
use crate::schema::{Form, TypeRef};
use renderer::{Object, ObjectId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Everything the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) changes: Vec<FieldChange>,
    /// What only a patch removes; whole subtrees.
    pub(super) intruders: FieldSet,
    pub(super) apply: bool,
    pub(super) needs_dry_run: Vec<Path>,
    pub(super) settled: Vec<Settlement>,
}

/// Walks both objects. Every field's verdict is written down only where somebody asks for it.
pub(super) fn walk(
    desired: &Object,
    live: &Value,
    at: TypeRef,
    owners: &OwnersOf<'_>,
    ownership: &Ownership<'_>,
    judged: Option<&mut Judged>,
) -> Found {
    let mut walk = Walk {
        id: &desired.id,
        root: at,
        owners,
        ownership,
        secret: Kind::of_id(&desired.id).map_or(&[][..], |kind| kind.secret_paths),
        ours: owners.applied_by_us(),
        shared: owners.has_others(),
        path: Path::default(),
        found: Found::default(),
        judged,
    };
    if !walk.ours {
        walk.claim();
    }
    walk.both(&desired.value, live, at);
    walk.found.changes.sort_by(|a, b| a.path.cmp(&b.path));
    walk.found
}

struct Walk<'a> {
    id: &'a ObjectId,
    root: TypeRef,
    owners: &'a OwnersOf<'a>,
    ownership: &'a Ownership<'a>,
    secret: &'a [&'a str],
    /// We have applied to the object.
    ours: bool,
    /// Others have written to it.
    shared: bool,
    path: Path,
    found: Found,
    judged: Option<&'a mut Judged>,
}

impl Walk<'_> {
    /// What is plainly equal need not be walked, unless somebody wants to hear of it, or it may be somebody else's.
    fn is_plain(&self, desired: &Value, live: &Value) -> bool {
        self.judged.is_none() && !self.shared && desired == live
    }

    fn judge(&mut self, verdict: Verdict, why: &str) {
        if let Some(judged) = &mut self.judged {
            judged.push(&self.path, verdict, why);
        }
    }

    /// The server insists on what is there. What was found out while it knew nobody's ownership counts for nothing.
    fn is_settled(&mut self, wanted: bool) -> bool {
        let said = self.ownership.said;
        let settled = self.ours && said.is_settled(&self.path, wanted) && !self.owners.read().is_theirs(&self.path);
        if settled {
            self.settle(wanted, "the server insists on it: admission, or a default that nobody knows here");
        }
        settled
    }

    fn settle(&mut self, wanted: bool, why: &str) {
        self.found.settled.push(Settlement { path: self.path.to_string(), wanted });
        self.judge(if wanted { Verdict::Controllers } else { Verdict::Defaulted }, why);
    }

    /// The server does not know that the object is ours; an apply tells it.
    fn claim(&mut self) {
        self.found.apply = true;
        self.found.changes.push(FieldChange {
            path: "metadata.managedFields".to_owned(),
            kind: ChangeKind::Added,
            from: None,
            to: Some(Shown::of(&Value::from("ours"), &[], &[])),
            by: None,
        });
    }

    fn record(&mut self, kind: ChangeKind, from: Option<&Value>, to: Option<&Value>, by: Option<By>) {
        let names: Vec<&str> = self.path.iter().map(PathElement::name).collect();
        let shown = |value: &Value| Shown::of(value, &names, self.secret);
        let (path, from, to) = (self.path.to_string(), from.map(shown), to.map(shown));
        self.found.changes.push(FieldChange { path, kind, from, to, by });
    }

    fn below<T>(&mut self, element: PathElement, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(element);
        let result = walk(self);
        self.path.pop();
        result
    }

    /// Wanted, and there.
    fn both(&mut self, desired: &Value, live: &Value, at: TypeRef) {
        match (at.form(desired), desired, live) {
            _ if is_nothing(desired) && is_nothing(live) => self.judge(Verdict::Desired, "as we want it"),
            (Form::Map, Value::Object(desired), Value::Object(live)) => self.fields(desired, live, at),
            (Form::Set | Form::Keyed(_), Value::Array(desired), Value::Array(live)) => self.items(desired, live, at),
            _ => self.leaf(desired, live, at),
        }
    }

    fn leaf(&mut self, desired: &Value, live: &Value, at: TypeRef) {
        let same = if at.is_atomic() {
            covers(desired, live, at, false)
                || (self.owners.read().is_ours(&self.path) && covers(desired, live, at, true))
        } else {
            same_meaning(desired, live, at)
        };
        if same {
            self.judge(Verdict::Desired, "as we want it");
            if self.shared && self.ours && !is_identity(&self.path) && self.owners.read().is_lost(&self.path) {
                self.change(ChangeKind::TakenBack, Some(live), Some(desired));
            }
        } else if !self.is_settled(true) {
            let theirs = self.owners.hand(&self.path).is_some();
            let verdict = if theirs { Verdict::Intruder } else { Verdict::Desired };
            self.judge(verdict, "we want another value");
            self.change(ChangeKind::Reverted, Some(live), Some(desired));
        }
    }

    /// Something that our apply sets right.
    fn change(&mut self, kind: ChangeKind, live: Option<&Value>, desired: Option<&Value>) {
        self.found.apply = true;
        let by = live.and_then(|_| self.owners.hand(&self.path));
        self.record(kind, live, desired, by);
    }

    /// Both maps are in name order, so they are read side by side; what is plainly equal is not walked.
    fn fields(&mut self, desired: &Map<String, Value>, live: &Map<String, Value>, at: TypeRef) {
        let mut extras = Vec::new();
        let mut standing = live.iter().peekable();
        for (name, value) in desired {
            extras.extend(std::iter::from_fn(|| standing.next_if(|(other, _)| *other < name)));
            match standing.next_if(|(other, _)| *other == name) {
                Some((_, live)) if self.is_plain(value, live) => {}
                Some((_, live)) => self.below(PathElement::field(name), |walk| walk.both(value, live, at.field(name))),
                None => self.below(PathElement::field(name), |walk| walk.missing(value, at.field(name))),
            }
        }
        extras.extend(standing);
        self.extras(&extras, desired, live, at);
    }

    fn items(&mut self, desired: &[Value], live: &[Value], at: TypeRef) {
        if are_paired(desired, live, at) {
            for (item, live) in desired.iter().zip(live) {
                let Some(name) = item_element(item, at).filter(|_| !self.is_plain(item, live)) else { continue };
                self.below(name, |walk| walk.both(item, live, at.items()));
            }
            return;
        }
        let wanted = named(desired, at);
        let standing = named(live, at);
        for (name, item) in &wanted {
            let standing = standing.get(name).map_or(&[][..], Vec::as_slice);
            let [item, ..] = item.as_slice() else { continue };
            self.below(name.clone(), |walk| match standing {
                [] => walk.missing(item, at.items()),
                [live] => walk.both(item, live, at.items()),
                // Twice the same name: nobody can tell which one counts.
                several => walk.leaf(item, &Value::from_iter(several.iter().map(|live| (*live).clone())), TypeRef::ANY),
            });
        }
        for (name, items) in standing.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
            let several = Value::from_iter(items.iter().map(|item| (*item).clone()));
            let (item, place) = match items.as_slice() {
                [only] => (*only, at.items()),
                _ => (&several, TypeRef::ANY),
            };
            self.below(name.clone(), |walk| walk.extra(item, place, &defaults::Default::Unknown));
        }
        if let Some((wanted, standing)) = disorder(desired, live, at)
            && !self.is_settled(true)
        {
            self.found.apply = true;
            self.record(ChangeKind::Reverted, Some(&standing.into()), Some(&wanted.into()), None);
        }
    }

    /// Wanted, and not there.
    fn missing(&mut self, desired: &Value, at: TypeRef) {
        if let (Value::Object(keys), true) = (desired, is_free_map(at)) {
            for (name, value) in keys {
                self.below(PathElement::field(name), |walk| walk.missing(value, at.field(name)));
            }
        } else if !self.is_missed(desired) {
            self.judge(Verdict::Desired, "it says nothing, and the server keeps no empty fields");
        } else if !self.is_settled(true) {
            self.judge(Verdict::Desired, "it is missing");
            self.change(ChangeKind::Added, None, Some(desired));
        }
    }

    /// A value that says nothing is not missed while we own it: the server keeps no empty fields.
    fn is_missed(&mut self, desired: &Value) -> bool {
        match desired {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) if !fields.is_empty() => {
                fields.iter().any(|(name, value)| self.below(PathElement::field(name), |walk| walk.is_missed(value)))
            }
            Value::String(text) if !text.is_empty() => true,
            Value::Bool(true) => true,
            Value::Number(number) if number.as_f64() != Some(0.0) => true,
            _ => !self.owners.read().is_ours(&self.path),
        }
    }
}

/// What names the object: the server owns it, whoever applies it.
fn is_identity(path: &Path) -> bool {
    match path.as_slice() {
        [only] => matches!(only.name(), "apiVersion" | "kind"),
        [first, second] => first.name() == "metadata" && matches!(second.name(), "name" | "namespace"),
        _ => false,
    }
}

/// Labels, annotations, data, limits: each key is a fact of its own.
fn is_free_map(at: TypeRef) -> bool {
    at.is_map() && !at.is_atomic() && at.fields().next().is_none()
}

fn named(items: &[Value], at: TypeRef) -> BTreeMap<PathElement, Vec<&Value>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for item in items {
        if let Some(name) = item_element(item, at) {
            groups.entry(name).or_default().push(item);
        }
    }
    groups
}
