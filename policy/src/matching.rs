//! Whether a policy or a binding speaks about a request.

use crate::document::{MatchPolicy, MatchResources, ResourceRule, RuleOperation, Scope};
use crate::problem::{Findings, Refusal};
use crate::request::{Operation, Request};

impl MatchResources {
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.selects_namespace(request)
            && self.selects_object(request)
            && !self.exclude_resource_rules.iter().any(|rule| rule.matches(request))
            && (self.resource_rules.is_empty() || self.resource_rules.iter().any(|rule| rule.matches(request)))
    }

    /// What stands in no namespace is exempt from no rule by a selector of namespaces: that is how the server has it.
    fn selects_namespace(&self, request: &Request<'_>) -> bool {
        match &self.namespace_selector {
            Some(selector) if !request.namespace.is_empty() && !selector.is_empty() => {
                selector.matches(|key| request.label_of_namespace(key))
            }
            _ => true,
        }
    }

    fn selects_object(&self, request: &Request<'_>) -> bool {
        match &self.object_selector {
            Some(selector) if !selector.is_empty() => {
                [request.object, request.old_object].into_iter().flatten().any(|one| selector.matches_object(one))
            }
            _ => true,
        }
    }

    /// Refuses what only the server can match: requests of another version of the same resource, which it converts.
    pub(crate) fn check(&self, field: &str, findings: &mut Findings<'_>) {
        if self.match_policy == Some(MatchPolicy::Exact) {
            return;
        }
        for (list, rules) in
            [("resourceRules", &self.resource_rules), ("excludeResourceRules", &self.exclude_resource_rules)]
        {
            for (at, rule) in rules.iter().enumerate() {
                for version in rule.api_versions.iter().filter(|version| !["v1", "*"].contains(&version.value.as_str()))
                {
                    let message = format!(
                        "with matchPolicy Equivalent, version `{}` also means requests of other versions",
                        version.value
                    );
                    let refusal = Refusal::new(message, "Write `matchPolicy: Exact`, or the version `v1` or `*`.");
                    let place = (version.referenced.line(), version.referenced.column());
                    findings.refuse(place, format!("{field}.{list}[{at}].apiVersions"), refusal);
                }
            }
        }
    }
}

impl ResourceRule {
    fn matches(&self, request: &Request<'_>) -> bool {
        let listed = |items: &[String], value: &str| items.iter().any(|item| item == "*" || item == value);
        self.scope_matches(request)
            && self.operations.iter().any(|operation| operation.matches(request.operation))
            && listed(&self.api_groups, request.group)
            && self.api_versions.iter().any(|version| version.value == "*" || version.value == request.version)
            && self.resources.iter().any(|resource| resource_matches(resource, request))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == request.name))
    }

    fn scope_matches(&self, request: &Request<'_>) -> bool {
        let cluster = request.namespace.is_empty() || request.is_namespace();
        match self.scope {
            Scope::All => true,
            Scope::Cluster => cluster,
            Scope::Namespaced => !cluster,
        }
    }
}

fn resource_matches(rule: &str, request: &Request<'_>) -> bool {
    let (resource, subresource) = rule.split_once('/').unwrap_or((rule, ""));
    (resource == "*" || resource == request.resource) && (subresource == "*" || subresource == request.subresource)
}

impl RuleOperation {
    fn matches(self, operation: Operation) -> bool {
        match self {
            Self::All => true,
            Self::Create => operation == Operation::Create,
            Self::Update => operation == Operation::Update,
            Self::Delete => operation == Operation::Delete,
            Self::Connect => operation == Operation::Connect,
        }
    }
}
