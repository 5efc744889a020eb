//! The two kinds of document, with exactly the fields that we evaluate: any other field is refused by its name.
//!
//! Left out on purpose: `auditAnnotations` (their failure denies a request, and their values go where nobody here
//! reads), `paramRef.selector` (several parameters, chosen by labels that only the cluster knows) and `status`.

use serde::Deserialize;
use serde_yaml::Spanned;
use std::collections::BTreeMap;

/// A text and its place: what an error can point at.
pub(crate) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(rename = "apiVersion")]
    pub(crate) _api_version: String,
    #[serde(rename = "kind")]
    pub(crate) _kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: PolicySpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Binding {
    #[serde(rename = "apiVersion")]
    pub(crate) _api_version: String,
    #[serde(rename = "kind")]
    pub(crate) _kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: BindingSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) name: Text,
    #[serde(default, rename = "labels")]
    pub(crate) _labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PolicySpec {
    pub(crate) failure_policy: Option<FailurePolicy>,
    pub(crate) param_kind: Option<ParamKind>,
    pub(crate) match_constraints: MatchResources,
    #[serde(default)]
    pub(crate) match_conditions: Vec<Named>,
    #[serde(default)]
    pub(crate) variables: Vec<Named>,
    pub(crate) validations: Vec<Validation>,
}

/// What an expression that fails means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum FailurePolicy {
    Fail,
    Ignore,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ParamKind {
    pub(crate) api_version: Text,
    pub(crate) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) name: Text,
    pub(crate) expression: Text,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Validation {
    pub(crate) expression: Text,
    pub(crate) message: Option<String>,
    pub(crate) message_expression: Option<Text>,
    pub(crate) reason: Option<Reason>,
}

/// The reason of the server's refusal; `Invalid` where a validation names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Reason {
    Unauthorized,
    Forbidden,
    Invalid,
    RequestEntityTooLarge,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::Invalid => "Invalid",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MatchResources {
    pub(crate) namespace_selector: Option<Selector>,
    pub(crate) object_selector: Option<Selector>,
    #[serde(default)]
    pub(crate) resource_rules: Vec<ResourceRule>,
    #[serde(default)]
    pub(crate) exclude_resource_rules: Vec<ResourceRule>,
    pub(crate) match_policy: Option<MatchPolicy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum MatchPolicy {
    Exact,
    Equivalent,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResourceRule {
    pub(crate) api_groups: Vec<String>,
    pub(crate) api_versions: Vec<Text>,
    pub(crate) operations: Vec<RuleOperation>,
    pub(crate) resources: Vec<String>,
    #[serde(default)]
    pub(crate) resource_names: Vec<String>,
    #[serde(default)]
    pub(crate) scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum RuleOperation {
    #[serde(rename = "*")]
    All,
    #[serde(rename = "CREATE")]
    Create,
    #[serde(rename = "UPDATE")]
    Update,
    #[serde(rename = "DELETE")]
    Delete,
    #[serde(rename = "CONNECT")]
    Connect,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Scope {
    #[default]
    #[serde(rename = "*")]
    All,
    Cluster,
    Namespaced,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Selector {
    #[serde(default)]
    pub(crate) match_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) match_expressions: Vec<Requirement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Requirement {
    pub(crate) key: String,
    pub(crate) operator: SelectorOperator,
    #[serde(default)]
    pub(crate) values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum SelectorOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BindingSpec {
    pub(crate) policy_name: Text,
    pub(crate) param_ref: Option<ParamRef>,
    pub(crate) match_resources: Option<MatchResources>,
    pub(crate) validation_actions: Vec<Action>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ParamRef {
    pub(crate) name: String,
    /// That of the request, where none is named.
    pub(crate) namespace: Option<String>,
    pub(crate) parameter_not_found_action: NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum NotFound {
    Allow,
    Deny,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Action {
    Deny,
    Warn,
    Audit,
}
