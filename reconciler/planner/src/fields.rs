//! Sets of fields, as `metadata.managedFields` writes them (FieldsV1), and who owns which.
//!
//! A [`Path`] names one field of an object: `spec.template.spec.containers[web].image`. A [`FieldSet`] is a set of paths,
//! kept as a tree: a node may be a member itself, have members below it, or both (`f:labels: {".": {}, "f:app": {}}`).
//! Every operation works path by path: owning a parent does not mean owning its children, and the other way round.
//!
//! Two sources fill a set: [`FieldSet::from_fields_v1`] reads what the server says, and [`FieldSet::of`] computes what
//! the server would say for a value that is applied. That they agree is the ground on which drift stands.

mod element;
mod entry;
mod of_value;

pub use element::{Key, Path, PathElement};
pub use entry::{ManagedFieldsEntry, Operation, UnreadableEntry, entries, write_entries};
pub use of_value::item_element;

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    children: BTreeMap<PathElement, Node>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

/// Text that is no FieldsV1 set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableSet {
    /// A set, or a part of it, is no JSON object.
    #[error("{0} is no set of fields")]
    NotAnObject(String),
    /// A key that does not start with `f:`, `k:`, `v:` or `i:`, or whose rest is unreadable.
    #[error("{0:?} is no path element")]
    Element(String),
}

impl FieldSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { children: BTreeMap::new() }
    }

    /// Nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Adds one path. The empty path names the whole object, which nobody can own, and is ignored.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let node = self.children.entry(first.clone()).or_default();
        match rest {
            [] => node.member = true,
            _ => node.below.insert(rest),
        }
    }

    /// This very path is a member.
    #[must_use]
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.children.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => {
                let node = self.children.get(first);
                node.is_some_and(|node| node.below.contains(rest))
            }
        }
    }

    /// This path or anything below it is a member.
    #[must_use]
    pub fn touches(&self, path: &[PathElement]) -> bool {
        match path {
            [] => !self.is_empty(),
            [first, rest @ ..] => {
                let node = self.children.get(first);
                node.is_some_and(|node| (rest.is_empty() && node.member) || node.below.touches(rest))
            }
        }
    }

    /// The part of the set below one element; empty where there is none.
    #[must_use]
    pub fn below(&self, element: &PathElement) -> &Self {
        static EMPTY: FieldSet = FieldSet::new();
        self.children.get(element).map_or(&EMPTY, |node| &node.below)
    }

    /// The element itself is a member.
    #[must_use]
    pub fn has(&self, element: &PathElement) -> bool {
        self.children.get(element).is_some_and(|node| node.member)
    }

    /// The elements at the top of the tree, members or parents of members, in order.
    pub fn elements(&self) -> impl Iterator<Item = &PathElement> {
        self.children.keys()
    }

    /// Paths in this set, in the other, or in both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.extend(other);
        out
    }

    /// Adds every path of another set.
    pub fn extend(&mut self, other: &Self) {
        for (element, theirs) in &other.children {
            let node = self.children.entry(element.clone()).or_default();
            node.member |= theirs.member;
            node.below.extend(&theirs.below);
        }
    }

    /// Paths in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |ours, theirs| Node {
            member: ours.member && theirs.is_some_and(|node| node.member),
            below: theirs.map_or_else(Self::new, |node| ours.below.intersection(&node.below)),
        })
    }

    /// Paths of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |ours, theirs| match theirs {
            None => ours.clone(),
            Some(node) => Node { member: ours.member && !node.member, below: ours.below.difference(&node.below) },
        })
    }

    /// Paths of this set that are neither in the other nor below one of its members.
    #[must_use]
    pub fn without_trees(&self, other: &Self) -> Self {
        self.combine(other, |ours, theirs| match theirs {
            None => ours.clone(),
            Some(node) if node.member => Node::default(),
            Some(node) => Node { member: ours.member, below: ours.below.without_trees(&node.below) },
        })
    }

    fn combine(&self, other: &Self, with: impl Fn(&Node, Option<&Node>) -> Node) -> Self {
        let nodes = self.children.iter().map(|(element, ours)| {
            let node = with(ours, other.children.get(element));
            (element.clone(), node)
        });
        Self { children: nodes.filter(|(_, node)| !node.is_empty()).collect() }
    }

    /// Every path, parents before children.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let mut out = Vec::new();
        self.collect(&mut Path::default(), &mut out);
        out
    }

    fn collect(&self, at: &mut Path, out: &mut Vec<Path>) {
        for (element, node) in &self.children {
            at.push(element.clone());
            if node.member {
                out.push(at.clone());
            }
            node.below.collect(at, out);
            at.pop();
        }
    }

    /// Reads FieldsV1 JSON.
    ///
    /// # Errors
    /// Where anything in it is no set; nothing is skipped.
    pub fn from_fields_v1(json: &Value) -> Result<Self, UnreadableSet> {
        let Value::Object(object) = json else {
            return Err(UnreadableSet::NotAnObject(json.to_string()));
        };
        let mut set = Self::new();
        for (key, below) in object {
            if key == "." {
                continue;
            }
            let element = PathElement::from_fields_v1(key).ok_or_else(|| UnreadableSet::Element(key.clone()))?;
            let below_set = Self::from_fields_v1(below)?;
            // An empty object says that the field itself is owned; `.` says so beside owned children.
            let member = below_set.is_empty() || below.get(".").is_some();
            let node = set.children.entry(element).or_default();
            node.member |= member;
            node.below.extend(&below_set);
        }
        Ok(set)
    }

    /// FieldsV1 JSON, as the server writes it.
    #[must_use]
    pub fn to_fields_v1(&self) -> Value {
        let mut object = Map::new();
        for (element, node) in &self.children {
            let mut below = node.below.to_fields_v1();
            if let Value::Object(below) = &mut below
                && node.member
                && !below.is_empty()
            {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            object.insert(element.to_fields_v1(), below);
        }
        Value::Object(object)
    }
}

impl FromIterator<Path> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Path>>(paths: T) -> Self {
        let mut set = Self::new();
        for path in paths {
            set.insert(&path);
        }
        set
    }
}

#[cfg(test)]
mod tests;
