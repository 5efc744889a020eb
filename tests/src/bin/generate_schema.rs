//! Writes `reconciler/planner/schema.json`: what the planner and the sandbox know about the shape of Kubernetes objects.
//!
//! ```text
//! cargo run -p tests --bin generate_schema            # asks a real API server, and writes
//! cargo run -p tests --bin generate_schema -- --check # asks it, and compares
//! ```
//!
//! The source is the OpenAPI v3 of the running server, the Gateway API's kinds and our own Tool included. Kept is what ownership, merging
//! and validation need: types, list and map types with their keys, patch strategies, required fields, enums, formats and
//! true defaults. Descriptions go, and so does everything that no kind in [`KINDS`] reaches. The same server gives the
//! same bytes.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tests::control_plane::{ControlPlane, Options};

/// Every kind we render, watch, read or serve from the sandbox.
const KINDS: [&str; 32] = [
    "*",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding",
    "apiextensions.k8s.io/v1/CustomResourceDefinition",
    "apps/v1/ControllerRevision",
    "apps/v1/Deployment",
    "apps/v1/ReplicaSet",
    "autoscaling/v1/Scale",
    "autoscaling/v2/HorizontalPodAutoscaler",
    "batch/v1/CronJob",
    "batch/v1/Job",
    "coordination.k8s.io/v1/Lease",
    "events.k8s.io/v1/Event",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "networking.k8s.io/v1/Ingress",
    "networking.k8s.io/v1/NetworkPolicy",
    "policy/v1/PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1/ClusterRole",
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding",
    "rbac.authorization.k8s.io/v1/Role",
    "rbac.authorization.k8s.io/v1/RoleBinding",
    "toolforge.org/v1alpha1/Tool",
    "v1/ConfigMap",
    "v1/Event",
    "v1/LimitRange",
    "v1/Namespace",
    "v1/PersistentVolumeClaim",
    "v1/Pod",
    "v1/ResourceQuota",
    "v1/Secret",
    "v1/Service",
    "v1/ServiceAccount",
];

/// Kinds whose content is not declared here: known metadata, and anything else. `*` is every kind outside the set.
const OPEN_KINDS: [&str; 1] = ["*"];

/// Any platform will do: the definition of Tool is the same for all.
const PLATFORM: &[u8] = include_bytes!("../../../examples/platform/platform.yaml");

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The Gateway API writes durations as text with this shape.
const GATEWAY_DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

#[tokio::main]
async fn main() -> Result<()> {
    let source = Source::ask(&ControlPlane::start(Options::default()).await?).await?;
    let text = print(&schema(&source)?);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reconciler/planner/schema.json");
    if std::env::args().any(|arg| arg == "--check") {
        let written = std::fs::read_to_string(&target)?;
        return if written == text { Ok(()) } else { bail!("{} is not what the server says", target.display()) };
    }
    std::fs::write(&target, &text).with_context(|| format!("{} is not writable", target.display()))
}

/// Everything the server defines.
#[derive(Default)]
struct Source {
    /// `v1.36.3`.
    version: String,
    /// OpenAPI definitions by their full name.
    definitions: BTreeMap<String, Value>,
    /// Definition of each `group/version/Kind`.
    kinds: BTreeMap<String, Value>,
}

impl Source {
    async fn ask(server: &ControlPlane) -> Result<Self> {
        let version = document(server, "/version").await?;
        let version = version["gitVersion"].as_str().context("the server has no version")?.to_owned();
        let mut source = Self { version, ..Self::default() };
        define_tool(server).await?;
        let groups: BTreeSet<String> =
            KINDS.iter().filter(|kind| !OPEN_KINDS.contains(kind)).map(|kind| group_path(kind)).collect();
        for group in groups {
            source.add(&document(server, &format!("/openapi/v3/{group}")).await?);
        }
        Ok(source)
    }

    fn add(&mut self, document: &Value) {
        for (name, definition) in document["components"]["schemas"].as_object().into_iter().flatten() {
            for of in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                let text = |key: &str| of[key].as_str().unwrap_or_default().to_owned();
                let kind = kind_name(&text("group"), &text("version"), &text("kind"));
                self.kinds.insert(kind, reference(name));
            }
            self.definitions.insert(name.clone(), definition.clone());
        }
    }
}

/// Gives the server our definition of Tool, and waits until it describes it.
async fn define_tool(server: &ControlPlane) -> Result<()> {
    let (platform, _) = renderer::platform::parse(PLATFORM, "platform.yaml");
    let objects = renderer::render_platform(&platform.context("the example's platform is readable")?);
    let definition = objects.iter().find(|object| object.id.kind == "CustomResourceDefinition");
    let file = server.dir().join("definition.json");
    std::fs::write(&file, serde_json::to_vec(&definition.context("a platform defines Tool")?.value)?)?;
    let path = file.display().to_string();
    server.kubectl(&["apply", "--server-side", "-f", &path]).await?;
    server.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", &path]).await?;
    for _ in 0..100 {
        let answer = server.kubectl(&["get", "--raw", "/openapi/v3/apis/toolforge.org/v1alpha1"]).await?;
        if answer.stdout.contains("toolforge.v1alpha1.Tool") {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bail!("the server does not describe Tool")
}

async fn document(server: &ControlPlane, path: &str) -> Result<Value> {
    let answer = server.kubectl(&["get", "--raw", path]).await?;
    serde_json::from_str(&answer.stdout).with_context(|| format!("{path} is no JSON"))
}

/// `api/v1` or `apis/apps/v1`, where the server keeps a kind's definitions.
fn group_path(kind: &str) -> String {
    match kind.rsplit_once('/') {
        Some((version, _)) if !version.contains('/') => format!("api/{version}"),
        Some((group_version, _)) => format!("apis/{group_version}"),
        None => String::new(),
    }
}

fn kind_name(group: &str, version: &str, kind: &str) -> String {
    match group {
        "" => format!("{version}/{kind}"),
        _ => format!("{group}/{version}/{kind}"),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The pruned schema: kinds and the definitions they reach.
fn schema(source: &Source) -> Result<Value> {
    let mut kinds = BTreeMap::new();
    let mut wanted = BTreeSet::from([OBJECT_META.to_owned()]);
    for kind in KINDS {
        let node = if OPEN_KINDS.contains(&kind) {
            open_kind()
        } else {
            let schema = source.kinds.get(kind);
            let schema = schema.with_context(|| format!("nothing defines {kind}"))?;
            Node { real_defaults: false }.of(schema, &mut wanted)
        };
        kinds.insert(kind, node);
    }
    let mut types = BTreeMap::new();
    while let Some(name) = wanted.pop_first() {
        if types.contains_key(short(&name)) {
            continue;
        }
        let schema = source.definitions.get(&name);
        let schema = schema.with_context(|| format!("nothing defines {name}"))?;
        // A custom resource's defaults are what the server fills in; a built-in type's are mostly Go's zero values.
        let node = Node { real_defaults: !name.starts_with("io.k8s.api") }.definition(&name, schema, &mut wanted);
        types.insert(short(&name).to_owned(), node);
        wanted.retain(|name| !types.contains_key(short(name)));
    }
    Ok(json!({"source": format!("kube-apiserver {}", source.version), "kinds": kinds, "types": types}))
}

fn open_kind() -> Value {
    let metadata = format!("#{}", short(OBJECT_META));
    json!({
        "fields": {"apiVersion": "string", "kind": "string", "metadata": metadata},
        "required": ["apiVersion", "kind"],
        "values": "any",
    })
}

fn short(name: &str) -> &str {
    const PREFIXES: [&str; 4] = [
        "io.k8s.apiextensions-apiserver.pkg.apis.",
        "io.k8s.apimachinery.pkg.apis.",
        "io.k8s.apimachinery.pkg.",
        "io.k8s.api.",
    ];
    let stripped = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
    stripped.unwrap_or(name)
}

/// Turns an OpenAPI schema into our compact one.
#[derive(Clone, Copy)]
struct Node {
    /// Zero values count as defaults too.
    real_defaults: bool,
}

impl Node {
    /// A named definition. The few without a type are known by name.
    fn definition(self, name: &str, schema: &Value, wanted: &mut BTreeSet<String>) -> Value {
        match short(name) {
            "api.resource.Quantity" => json!("quantity"),
            "util.intstr.IntOrString" => json!("int-or-string"),
            "runtime.RawExtension" => json!("untyped"),
            _ => self.of(schema, wanted),
        }
    }

    fn of(self, schema: &Value, wanted: &mut BTreeSet<String>) -> Value {
        let mut out = match referenced(schema) {
            Some(name) => {
                wanted.insert(name.to_owned());
                Map::from_iter([("is".to_owned(), json!(format!("#{}", short(name))))])
            }
            None => self.shape(schema, wanted),
        };
        self.facets(schema, &mut out);
        match out.remove("is") {
            Some(shape) if out.is_empty() => shape,
            Some(shape) => {
                out.insert("is".to_owned(), shape);
                out.into()
            }
            None => out.into(),
        }
    }

    fn shape(self, schema: &Value, wanted: &mut BTreeSet<String>) -> Map<String, Value> {
        let scalar = |name: &str| Map::from_iter([("is".to_owned(), json!(name))]);
        if schema["x-kubernetes-int-or-string"] == true {
            return scalar("int-or-string");
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema, wanted),
            Some("array") => {
                let items = self.of(&schema["items"], wanted);
                let mut out = Map::from_iter([("items".to_owned(), items)]);
                if let Some(list) = list_type(schema) {
                    out.insert("list".to_owned(), list);
                }
                out
            }
            Some("integer") => scalar(match schema["format"].as_str() {
                Some("int32") => "int32",
                _ => "int64",
            }),
            Some("number") => scalar("number"),
            Some("boolean") => scalar("boolean"),
            Some("string") => scalar(match schema["format"].as_str() {
                Some("date-time") => "date-time",
                Some("byte") => "bytes",
                Some("int-or-string") => "int-or-string",
                Some("duration") => "duration",
                _ if schema["pattern"] == GATEWAY_DURATION => "duration",
                _ => "string",
            }),
            _ => scalar("any"),
        }
    }

    fn object(self, schema: &Value, wanted: &mut BTreeSet<String>) -> Map<String, Value> {
        let mut out = Map::new();
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            let fields = out.entry("fields").or_insert_with(|| json!({}));
            fields[name] = self.of(property, wanted);
        }
        if let Some(required) = schema["required"].as_array().filter(|names| !names.is_empty()) {
            out.insert("required".to_owned(), json!(required));
        }
        let values = match &schema["additionalProperties"] {
            Value::Object(_) => Some(self.of(&schema["additionalProperties"], wanted)),
            Value::Bool(open) => open.then(|| json!("any")),
            _ => {
                let open = properties.is_none() || schema["x-kubernetes-preserve-unknown-fields"] == true;
                open.then(|| json!("any"))
            }
        };
        if let Some(values) = values {
            out.insert("values".to_owned(), values);
        }
        out
    }

    fn facets(self, schema: &Value, out: &mut Map<String, Value>) {
        if schema["x-kubernetes-map-type"] == "atomic" {
            out.insert("atomic".to_owned(), json!(true));
        }
        if let Some(default) = schema.get("default").filter(|value| self.fills_in(value)) {
            out.insert("default".to_owned(), default.clone());
        }
        for (theirs, ours) in [
            ("enum", "enum"),
            ("nullable", "nullable"),
            ("minimum", "minimum"),
            ("maximum", "maximum"),
            ("minLength", "minLength"),
            ("maxLength", "maxLength"),
            ("minItems", "minItems"),
            ("maxItems", "maxItems"),
            ("x-kubernetes-patch-strategy", "patch"),
            ("x-kubernetes-patch-merge-key", "patchKey"),
        ] {
            if let Some(value) = schema.get(theirs) {
                out.insert(ours.to_owned(), value.clone());
            }
        }
    }

    fn fills_in(self, default: &Value) -> bool {
        let zero = [json!({}), json!(""), json!(0), json!(false)].contains(default);
        self.real_defaults || !zero
    }
}

fn referenced(schema: &Value) -> Option<&str> {
    let one_of_all = || match schema["allOf"].as_array().map(Vec::as_slice) {
        Some([only]) => only["$ref"].as_str(),
        _ => None,
    };
    schema["$ref"].as_str().or_else(one_of_all)?.rsplit('/').next()
}

/// How items are told apart: not at all (atomic), by value, or by keys. Older types say it by their patch strategy.
fn list_type(schema: &Value) -> Option<Value> {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(json!("set")),
        Some("map") => Some(schema["x-kubernetes-list-map-keys"].clone()),
        Some(_) => None,
        None => match schema["x-kubernetes-patch-strategy"].as_str() {
            Some("merge" | "merge,retainKeys") => match &schema["x-kubernetes-patch-merge-key"] {
                Value::String(key) => Some(json!([key])),
                _ => Some(json!("set")),
            },
            _ => None,
        },
    }
}

/// One definition per line: compact, and still a readable diff.
fn print(schema: &Value) -> String {
    let table = |name: &str| {
        let rows = schema[name].as_object().into_iter().flatten();
        let rows: Vec<_> = rows.map(|(name, node)| format!("{}:{node}", json!(name))).collect();
        rows.join(",\n")
    };
    format!(
        "{{\"source\":{},\n\"kinds\":{{\n{}\n}},\n\"types\":{{\n{}\n}}}}\n",
        schema["source"],
        table("kinds"),
        table("types"),
    )
}
