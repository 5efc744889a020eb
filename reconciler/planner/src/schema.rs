//! What a Kubernetes object looks like: the types, list keys and defaults of the real API server, as data.
//!
//! `schema.json` is what a real server publishes as OpenAPI v3, asked and pruned by
//! `cargo run -p tests --bin generate_schema`; nothing in it is written by hand. Three readers share it, so that they
//! cannot disagree: [`crate::fields`] (which fields a value has, as `managedFields` counts them), [`crate::merge`]
//! (server-side apply, for the sandbox and the property tests) and [`crate::drift`]. What OpenAPI does not say stands in
//! two tables here: [`defaults`] and [`immutable`].
//!
//! A [`TypeRef`] is one place in a type, and [`TypeRef::form`] answers the one question every walker asks: is this value
//! a leaf that is owned as a whole, or does it have parts, and what tells the parts apart?
//!
//! Types are never missing: where the schema is silent (a field nobody declared, a custom resource) the type is
//! [`TypeRef::ANY`], and the form is deduced from the value exactly as the server does without a schema: objects have
//! parts, lists are atomic.

#[cfg(test)]
pub mod arbitrary;
pub mod check;
pub mod defaults;
pub mod immutable;
mod parse;

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const GENERATED: &str = include_str!("../schema.json");

/// The generated types, parsed once.
#[derive(Debug, Default)]
pub struct Schema {
    kinds: BTreeMap<String, Node>,
    types: Vec<(String, Node)>,
    source: String,
}

impl Schema {
    fn embedded() -> &'static Self {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        // An unreadable schema would make every kind unknown; `the_embedded_schema_is_whole` holds that it is read.
        SCHEMA.get_or_init(|| parse::schema(GENERATED).unwrap_or_default())
    }

    /// The type of a kind; none for a kind outside the generated set.
    #[must_use]
    pub fn of(group: &str, version: &str, kind: &str) -> Option<TypeRef> {
        let name = match group {
            "" => format!("{version}/{kind}"),
            _ => format!("{group}/{version}/{kind}"),
        };
        let node = Self::embedded().kinds.get(&name)?;
        Some(TypeRef { node, owner: None })
    }

    /// The type of an object by its own `apiVersion` and `kind`; [`TypeRef::object`] for a kind outside the set.
    #[must_use]
    pub fn of_object(object: &Value) -> TypeRef {
        let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = format!("{}/{}", text("apiVersion"), text("kind"));
        let node = Self::embedded().kinds.get(&name);
        node.map_or_else(TypeRef::object, |node| TypeRef { node, owner: None })
    }

    /// A type by its own name, `core.v1.Container`.
    #[cfg(test)]
    fn named(name: &str) -> Option<TypeRef> {
        let (_, node) = Self::embedded().types.iter().find(|(other, _)| other == name)?;
        Some(TypeRef { node, owner: None })
    }

    /// Every kind of the set as `group/version/Kind`, or `version/Kind` in the core group, in name order.
    pub fn kinds() -> impl Iterator<Item = (&'static str, TypeRef)> {
        let kinds = Self::embedded().kinds.iter();
        kinds.map(|(name, node)| (name.as_str(), TypeRef { node, owner: None }))
    }

    /// The server that was asked, with its version.
    #[must_use]
    pub fn source() -> &'static str {
        &Self::embedded().source
    }
}

/// One type as written, with what its place in the parent says about it.
#[derive(Debug, Clone)]
struct Node {
    shape: Shape,
    /// Owned and replaced as a whole, though it has parts.
    atomic: bool,
    facets: Facets,
}

#[derive(Debug, Clone)]
enum Shape {
    /// Index into [`Schema::types`].
    Named(usize),
    Scalar(Scalar),
    List {
        items: Box<Node>,
        told_apart: ToldApart,
    },
    /// A struct, a map, or a struct open to more keys.
    Map {
        fields: BTreeMap<String, Node>,
        required: Vec<String>,
        values: Option<Box<Node>>,
    },
    /// Nothing is known: objects have parts, lists are atomic.
    Any,
    /// Nothing is known, and it is owned as a whole.
    Untyped,
}

/// What is known about a value beyond its shape. Lengths are in characters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facets {
    /// What the server fills in where the field is missing. Only defaults that OpenAPI states; see [`defaults`].
    pub default: Option<Value>,
    /// The only values allowed, where not empty.
    pub one_of: Vec<Value>,
    /// `null` is a value here.
    pub nullable: bool,
    /// Smallest number.
    pub minimum: Option<f64>,
    /// Largest number.
    pub maximum: Option<f64>,
    /// Shortest text.
    pub min_length: Option<u64>,
    /// Longest text.
    pub max_length: Option<u64>,
    /// Fewest items.
    pub min_items: Option<u64>,
    /// Most items.
    pub max_items: Option<u64>,
    /// `x-kubernetes-patch-strategy`, such as `merge,retainKeys`: for strategic merge patches.
    pub patch: Option<String>,
    /// `x-kubernetes-patch-merge-key`: for strategic merge patches.
    pub patch_key: Option<String>,
}

/// A scalar, by what makes two of them equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// Any number.
    Number,
    /// A quantity, `0.5` or `500m`: text, or a number as people write it.
    Quantity,
    /// A number, or text.
    IntOrText,
    /// RFC 3339.
    DateTime,
    /// A duration in Go's or the Gateway API's syntax.
    Duration,
    /// base64.
    Bytes,
}

/// What tells the items of a list apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToldApart {
    /// Nothing: the list is atomic.
    Not,
    /// Their value: a set.
    ByValue,
    /// These fields of each item, at least one.
    ByKeys(Vec<String>),
}

/// How a value is owned and merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a whole: a scalar, an atomic list or map, or a value that does not fit its type.
    Leaf,
    /// Field by field.
    Map,
    /// Item by item, each its own key.
    Set,
    /// Item by item, told apart by these fields.
    Keyed(&'static [String]),
}

/// One place in a type. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct TypeRef {
    node: &'static Node,
    /// The type that this place is a field of: a few defaults depend on it.
    owner: Option<&'static Node>,
}

static ANY: Node = Node::plain(Shape::Any);

impl Node {
    const fn plain(shape: Shape) -> Self {
        let facets = Facets {
            default: None,
            one_of: Vec::new(),
            nullable: false,
            minimum: None,
            maximum: None,
            min_length: None,
            max_length: None,
            min_items: None,
            max_items: None,
            patch: None,
            patch_key: None,
        };
        Self { shape, atomic: false, facets }
    }
}

impl TypeRef {
    /// Nothing is known: objects have parts, lists are atomic.
    pub const ANY: Self = Self { node: &ANY, owner: None };

    /// An object of a kind outside the set: `metadata` is known, everything else is [`TypeRef::ANY`].
    #[must_use]
    pub fn object() -> Self {
        let node = Schema::embedded().kinds.get("*").unwrap_or(&ANY);
        Self { node, owner: None }
    }

    /// How `value` is owned at this place. A value that does not fit the type is a leaf; [`check`] reports it. `null`
    /// takes the form that the type has.
    #[must_use]
    pub fn form(self, value: &Value) -> Form {
        if self.is_atomic() {
            return Form::Leaf;
        }
        match (&self.resolved().shape, value) {
            (Shape::Map { .. } | Shape::Any, Value::Object(_) | Value::Null) => Form::Map,
            (Shape::List { told_apart, .. }, Value::Array(_) | Value::Null) => match told_apart {
                ToldApart::Not => Form::Leaf,
                ToldApart::ByValue => Form::Set,
                ToldApart::ByKeys(keys) => Form::Keyed(keys),
            },
            _ => Form::Leaf,
        }
    }

    /// The type of a field or of a map's key; [`TypeRef::ANY`] where nothing is declared.
    #[must_use]
    pub fn field(self, name: &str) -> Self {
        let place = self.declared(name).or_else(|| self.values());
        place.unwrap_or(Self::ANY)
    }

    /// The type of a field of a struct; none for a key of a map and for a field that does not exist.
    #[must_use]
    pub fn declared(self, name: &str) -> Option<Self> {
        match &self.resolved().shape {
            Shape::Map { fields, .. } => fields.get(name).map(|node| self.below(node)),
            _ => None,
        }
    }

    /// The declared fields of a struct, in name order.
    pub fn fields(self) -> impl Iterator<Item = (&'static str, Self)> {
        let fields = match &self.resolved().shape {
            Shape::Map { fields, .. } => Some(fields),
            _ => None,
        };
        let fields = fields.into_iter().flatten();
        fields.map(move |(name, node)| (name.as_str(), self.below(node)))
    }

    /// The type of the values of a map, or of the undeclared fields of an open struct; none for a closed struct.
    #[must_use]
    pub fn values(self) -> Option<Self> {
        match &self.resolved().shape {
            Shape::Map { values, .. } => values.as_deref().map(|node| self.below(node)),
            Shape::Any => Some(Self::ANY),
            Shape::Untyped => Some(self),
            _ => None,
        }
    }

    /// The type of a list's items; [`TypeRef::ANY`] for anything but a list.
    #[must_use]
    pub fn items(self) -> Self {
        match &self.resolved().shape {
            Shape::List { items, .. } => self.below(items),
            Shape::Untyped => self,
            _ => Self::ANY,
        }
    }

    /// What tells the items apart; none where this is no list.
    #[must_use]
    pub fn told_apart(self) -> Option<&'static ToldApart> {
        match &self.resolved().shape {
            Shape::List { told_apart, .. } => Some(told_apart),
            _ => None,
        }
    }

    /// The associative keys; empty for every other list and for everything that is no list.
    #[must_use]
    pub fn keys(self) -> &'static [String] {
        match self.told_apart() {
            Some(ToldApart::ByKeys(keys)) => keys,
            _ => &[],
        }
    }

    /// The scalar, where this is one.
    #[must_use]
    pub fn scalar(self) -> Option<Scalar> {
        match self.resolved().shape {
            Shape::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// This is a struct or a map.
    #[must_use]
    pub fn is_map(self) -> bool {
        matches!(self.resolved().shape, Shape::Map { .. })
    }

    /// Nothing is known about values here.
    #[must_use]
    pub fn is_any(self) -> bool {
        matches!(self.resolved().shape, Shape::Any | Shape::Untyped)
    }

    /// A list, map or struct that is owned as a whole. Scalars are not called atomic.
    #[must_use]
    pub fn is_atomic(self) -> bool {
        let resolved = self.resolved();
        let by_shape = match &resolved.shape {
            Shape::List { told_apart, .. } => *told_apart == ToldApart::Not,
            Shape::Untyped => true,
            _ => false,
        };
        by_shape || self.node.atomic || resolved.atomic
    }

    /// Fields that must be there.
    #[must_use]
    pub fn required(self) -> &'static [String] {
        match &self.resolved().shape {
            Shape::Map { required, .. } => required,
            _ => &[],
        }
    }

    /// What the schema says about the value at this place.
    #[must_use]
    pub fn facets(self) -> &'static Facets {
        &self.node.facets
    }

    /// The name of the type, `core.v1.Container`; none for a type that was never named.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        name_of(self.node)
    }

    /// The name of the type that this place is a field of.
    #[must_use]
    pub fn owner_name(self) -> Option<&'static str> {
        self.owner.and_then(name_of)
    }

    const fn below(self, node: &'static Node) -> Self {
        Self { node, owner: Some(self.node) }
    }

    fn resolved(self) -> &'static Node {
        let mut node = self.node;
        while let Shape::Named(index) = node.shape {
            // The generator never writes a name without its type, nor a name that only names itself.
            node = Schema::embedded().types.get(index).map_or(&ANY, |(_, node)| node);
        }
        node
    }
}

fn name_of(node: &'static Node) -> Option<&'static str> {
    match node.shape {
        Shape::Named(index) => Schema::embedded().types.get(index).map(|(name, _)| name.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(kind: (&str, &str, &str), path: &str) -> TypeRef {
        let mut place = Schema::of(kind.0, kind.1, kind.2).expect("a known kind");
        for name in path.split('.') {
            place = match name {
                "[]" => place.items(),
                _ => place.field(name),
            };
        }
        place
    }

    const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");

    #[test]
    fn the_embedded_schema_is_whole() {
        let schema = parse::schema(GENERATED).expect("schema.json is readable");
        assert!(schema.kinds.len() > 30, "{} kinds", schema.kinds.len());
        assert_eq!(Schema::source(), "kube-apiserver v1.36.3");
        assert!(GENERATED.len() < 600_000);
    }

    #[test]
    fn ports_are_told_apart_by_number_and_protocol() {
        let ports = at(DEPLOYMENT, "spec.template.spec.containers.[].ports");
        assert_eq!(ports.keys(), ["containerPort", "protocol"]);
        assert_eq!(ports.items().field("protocol").facets().default, Some(json!("TCP")));
        assert_eq!(ports.form(&json!([])), Form::Keyed(ports.keys()));
    }

    #[test]
    fn lists_and_maps_know_whether_they_are_atomic() {
        for (path, value, form) in [
            ("metadata.labels", json!({}), Form::Map),
            ("metadata.finalizers", json!([]), Form::Set),
            ("spec.selector", json!({}), Form::Leaf),
            ("spec.template.spec.nodeSelector", json!({}), Form::Leaf),
            ("spec.template.spec.tolerations", json!([]), Form::Leaf),
            ("spec.template.spec.containers.[].command", json!([]), Form::Leaf),
            ("spec.template.spec.containers.[].resources.limits", json!({}), Form::Map),
            ("spec.replicas", json!(1), Form::Leaf),
            ("spec.strategy", json!("not an object"), Form::Leaf),
        ] {
            assert_eq!(at(DEPLOYMENT, path).form(&value), form, "{path}");
        }
    }

    #[test]
    fn scalars_keep_what_makes_them_equal() {
        for (path, scalar) in [
            ("spec.replicas", Scalar::Int32),
            ("spec.template.spec.containers.[].resources.limits.cpu", Scalar::Quantity),
            ("spec.strategy.rollingUpdate.maxSurge", Scalar::IntOrText),
            ("metadata.creationTimestamp", Scalar::DateTime),
        ] {
            assert_eq!(at(DEPLOYMENT, path).scalar(), Some(scalar), "{path}");
        }
        assert_eq!(at(("", "v1", "Secret"), "data.password").scalar(), Some(Scalar::Bytes));
        let route = ("gateway.networking.k8s.io", "v1", "HTTPRoute");
        assert_eq!(at(route, "spec.rules.[].timeouts.request").scalar(), Some(Scalar::Duration));
    }

    #[test]
    fn enums_and_bounds_come_from_the_server() {
        let strategy = at(DEPLOYMENT, "spec.strategy.type").facets();
        assert_eq!(strategy.one_of, [json!("Recreate"), json!("RollingUpdate")]);
        let route = at(("gateway.networking.k8s.io", "v1", "HTTPRoute"), "spec.parentRefs.[].port").facets();
        assert_eq!((route.minimum, route.maximum), (Some(1.0), Some(65535.0)));
    }

    #[test]
    fn a_kind_outside_the_set_still_has_metadata() {
        assert!(Schema::of("example.org", "v1", "Widget").is_none());
        let widget = Schema::of_object(&json!({"apiVersion": "example.org/v1", "kind": "Widget"}));
        assert_eq!(widget.field("metadata").field("finalizers").form(&json!([])), Form::Set);
        assert_eq!(widget.field("spec").form(&json!({})), Form::Map);
        assert_eq!(widget.field("spec").field("list").form(&json!([])), Form::Leaf);
    }

    #[test]
    fn every_kind_has_metadata() {
        for (kind, place) in Schema::kinds().filter(|(kind, _)| *kind != "*") {
            assert!(place.declared("metadata").is_some(), "{kind}");
        }
    }
}
