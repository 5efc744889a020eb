//! What the platform itself has on its cluster: its namespace, the definition of Tool, and its settings as published
//! for people who have no access to the config repository.

use super::egress;
use super::meta::{CONFIG_MAP, CRD, MARK, NAMESPACE, NETWORK_POLICY, TOOL, platform_labels};
use crate::object::{Gvk, Head, Object};
use crate::platform::Platform;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Name of the ConfigMap in the platform's namespace that holds its settings.
pub const PLATFORM_CONFIG_MAP: &str = "toolforge-platform";
/// The key in it: [`Platform`] as JSON.
pub const PLATFORM_KEY: &str = "platform.json";

/// The platform's own objects, in apply order.
#[must_use]
pub fn render_platform(platform: &Platform) -> Vec<Object> {
    let settings = json!({"data": {PLATFORM_KEY: published(platform)}});
    let namespace = restricted_namespace(platform, &platform.namespace);
    let mut definition = object(platform, CRD, None, "tools.toolforge.org", json!({"spec": definition()}));
    // All platforms of a cluster share it, so it names none, and is not marked as one's own: two versions of us would take
    // turns at it. It says that the kind is a parent of ApplySets (KEP-3659).
    definition.value["metadata"]["labels"] =
        json!({"app.kubernetes.io/managed-by": "toolforge", "applyset.kubernetes.io/is-parent-type": "true"});
    let mut objects = vec![definition, namespace];
    objects.extend(builds(platform).into_iter().flatten());
    objects.push(object(platform, CONFIG_MAP, Some(&platform.namespace), PLATFORM_CONFIG_MAP, settings));
    objects
}

/// Where builds run: they fetch and push, as far as the platform bounds what goes out, and nobody connects to them.
fn builds(platform: &Platform) -> Option<[Object; 2]> {
    let namespace = platform.builds.as_ref()?.namespace(platform);
    let mut closed = json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}});
    if let Some(network) = &platform.network {
        closed["spec"]["policyTypes"] = json!(["Ingress", "Egress"]);
        closed["spec"]["egress"] = egress::rules_of_builds(network).into();
    }
    let policy = object(platform, NETWORK_POLICY, Some(&namespace), "toolforge.builds", closed);
    Some([restricted_namespace(platform, &namespace), policy])
}

fn restricted_namespace(platform: &Platform, name: &str) -> Object {
    let mut namespace = object(platform, NAMESPACE, None, name, json!({}));
    namespace.value["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted".into();
    namespace
}

fn object(platform: &Platform, kind: Gvk, namespace: Option<&str>, name: &str, content: Value) -> Object {
    let mut labels = platform_labels(&platform.name);
    labels.insert(MARK.to_owned(), String::new());
    let head = Head {
        kind,
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        labels,
        annotations: BTreeMap::new(),
    };
    Object::with(head, super::fields(content))
}

/// The settings without what only the reconciler's machine knows: its kubeconfig context and the names of its
/// environment variables. Secrets are named here, and never held.
fn published(platform: &Platform) -> String {
    let mut settings = platform.clone();
    settings.cluster = None;
    settings.registry.credentials = None;
    // Every key of the settings is text, so this can't fail; an empty object would not read back and be told.
    let mut text = serde_json::to_string_pretty(&settings).unwrap_or_else(|_| "{}".to_owned());
    text.push('\n');
    text
}

fn definition() -> Value {
    json!({
        "group": TOOL.group,
        "scope": "Cluster",
        "names": {"kind": TOOL.kind, "listKind": "ToolList", "plural": "tools", "singular": "tool"},
        "versions": [{
            "name": TOOL.version,
            "served": true,
            "storage": true,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [
                column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
                column("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason"),
                column("Branch", "string", ".spec.branch"),
                column("Commit", "string", ".status.commit"),
                column("Age", "date", ".metadata.creationTimestamp"),
            ],
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "description": "A tool: whom the platform serves, and how that goes.",
                "required": ["spec"],
                "properties": {"spec": spec_schema(), "status": status_schema()},
            }},
        }],
    })
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn fields_of<const N: usize>(required: &[&str], fields: [(&str, Value); N]) -> Value {
    let properties: Map<String, Value> = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn spec_schema() -> Value {
    let quantities = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let limits = ["quota", "max", "min", "default", "defaultRequest"].map(|key| (key, quantities.clone()));
    fields_of(
        &["repository", "branch"],
        [
            ("repository", text("Git repository.")),
            ("branch", text("Followed branch.")),
            ("path", text("Folder of toolforge.yaml in the repository.")),
            ("uid", json!({"type": "integer", "format": "int64", "description": "User the tool's containers run as."})),
            ("limits", fields_of(&[], limits)),
            (
                "promotion",
                fields_of(
                    &["from"],
                    [
                        ("from", text("The tool whose images this one may take over.")),
                        ("soak", text("How long that tool must have been Ready on a commit.")),
                    ],
                ),
            ),
            ("commits", commits_schema()),
            ("suspend", json!({"type": "boolean", "description": "Nothing is planned for this tool."})),
            ("pin", pin_schema()),
        ],
    )
}

fn commits_schema() -> Value {
    let signers = json!({
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "By name of a file in signers/, the public keys that may sign.",
    });
    fields_of(&[], [("signed", text("`require` where commits have to be signed.")), ("signers", signers)])
}

/// Never rendered: it belongs to people and their command line.
fn pin_schema() -> Value {
    let mut pin = fields_of(
        &[],
        [
            ("suspend", json!({"type": "boolean", "description": "Nothing is planned for this tool."})),
            ("hold", json!({"type": "boolean", "description": "New revisions wait; drift is still healed."})),
            ("commit", text("The revision to stay on.")),
            ("until", json!({"type": "string", "format": "date-time", "description": "When the pin ends by itself."})),
            ("by", text("Who pinned, and why.")),
            ("retry", text("When somebody asked to try a failed revision once more.")),
            ("allowPrune", text("Id of the held deletion that somebody allowed.")),
            ("images", chosen_images()),
            ("delete", json!({"type": "boolean", "description": "A removed tool's objects go at once."})),
        ],
    );
    pin["description"] = "Set by people with `toolforge suspend` and its kin; the platform never writes it.".into();
    pin
}

fn chosen_images() -> Value {
    let image = fields_of(
        &["source", "digest"],
        [("source", text("`repository:tag`, of that very build.")), ("digest", text("The image's digest."))],
    );
    json!({
        "type": "object",
        "additionalProperties": image,
        "description": "By build id, the image to run in place of the one that the build made: `toolforge rebase --deploy`.",
    })
}

fn status_schema() -> Value {
    // Open: what a deployment records may grow, and an unknown field would be dropped without a word.
    let deployment = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    fields_of(
        &[],
        [
            ("observedGeneration", json!({"type": "integer", "format": "int64"})),
            ("branch", text("The branch of that commit.")),
            ("commit", text("The commit that is deployed.")),
            ("conditions", conditions_schema()),
            (
                "inventory",
                json!({"type": "array", "items": member_schema(), "description": "Every object of this tool."}),
            ),
            (
                "deployments",
                json!({"type": "array", "items": deployment, "description": "The last ones, newest first."}),
            ),
            (
                "removedAt",
                json!({"type": "string", "format": "date-time", "description": "When the tool's file was first seen to be gone."}),
            ),
            (
                "heldDeletions",
                json!({"type": "array", "items": held_deletion_schema(), "description": "What would be deleted, and why it is not."}),
            ),
            (
                "settled",
                json!({"type": "array", "items": settled_schema(), "description": "Fields on which the API server insists."}),
            ),
        ],
    )
}

fn held_deletion_schema() -> Value {
    fields_of(&["object", "why"], [("object", text("The object.")), ("why", text("Why, and what allows it."))])
}

fn settled_schema() -> Value {
    let mut settled = member_schema();
    settled["properties"]["path"] = text("The field.");
    settled["properties"]["desired"] = text("sha256 of what was applied, where another value was.");
    settled["required"] = json!(["kind", "name", "path", "uid"]);
    settled
}

fn member_schema() -> Value {
    let required = ["kind", "name", "uid"];
    fields_of(&required, ["group", "kind", "namespace", "name", "uid"].map(|key| (key, json!({"type": "string"}))))
}

fn conditions_schema() -> Value {
    let condition = fields_of(
        &["type", "status", "lastTransitionTime", "reason", "message"],
        [
            ("type", text("Ready, Reconciling, Stalled, Built or Drifted.")),
            ("status", json!({"type": "string", "enum": ["True", "False", "Unknown"]})),
            ("observedGeneration", json!({"type": "integer", "format": "int64"})),
            ("lastTransitionTime", json!({"type": "string", "format": "date-time"})),
            ("reason", text("One word of the vocabulary.")),
            ("message", text("For people.")),
        ],
    );
    json!({"type": "array", "items": condition, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
}
