//! What leads to pods.

use super::Readiness::{self, Failed, InProgress, Ready};
use super::condition::{Condition, condition, condition_in, generation, list, text, unseen};
use serde_json::Value;

/// A Service is Ready when it has its addresses: an inner one unless it is headless or a mere name, and an outer one
/// where a load balancer was asked for.
pub(super) fn service(object: &Value) -> Readiness {
    let kind = text(object, "/spec/type").unwrap_or("ClusterIP");
    if kind == "ExternalName" {
        return Ready;
    }
    if text(object, "/spec/clusterIP").unwrap_or_default().is_empty() {
        return InProgress("no cluster address yet".to_owned());
    }
    let has_outer =
        !list(object, "/status/loadBalancer/ingress").is_empty() || !list(object, "/spec/externalIPs").is_empty();
    if kind == "LoadBalancer" && !has_outer {
        return InProgress("no load balancer yet".to_owned());
    }
    Ready
}

/// A route is Ready when every parent it names has accepted it and knows what it points at.
pub(super) fn route(object: &Value) -> Readiness {
    let answers = list(object, "/status/parents");
    for parent in list(object, "/spec/parentRefs") {
        let mut of_parent = answers.iter().filter(|answer| is_same_parent(parent, answer.get("parentRef")));
        let Some(answer) = of_parent.next() else {
            return InProgress(format!("no answer yet from {}", name_of(parent)));
        };
        match parent_answer(answer, generation(object)) {
            Ready => {}
            not_yet => return not_yet,
        }
    }
    Ready
}

fn parent_answer(answer: &Value, generation: i64) -> Readiness {
    let conditions = answer.get("conditions");
    let Some(accepted) = condition_in(conditions, "Accepted") else {
        return InProgress("no Gateway has answered yet".to_owned());
    };
    if accepted.is_older_than(generation) {
        return InProgress("the Gateway has not seen this generation".to_owned());
    }
    if !accepted.is("True") {
        return refusal(&accepted);
    }
    match condition_in(conditions, "ResolvedRefs") {
        // What it points at may still come; a right will not come by itself.
        Some(refs) if refs.is("False") && refs.reason == "BackendNotFound" => InProgress(refs.words()),
        Some(refs) if refs.is("False") => Failed(refs.words()),
        _ => Ready,
    }
}

/// Unknown is no answer yet; so is a Pending one.
fn refusal(accepted: &Condition<'_>) -> Readiness {
    if accepted.is("Unknown") || accepted.reason == "Pending" {
        InProgress(accepted.words())
    } else {
        Failed(accepted.words())
    }
}

fn name_of(parent: &Value) -> &str {
    parent.get("name").and_then(Value::as_str).unwrap_or("its Gateway")
}

/// A controller repeats the reference as it was written, with defaults or without.
fn is_same_parent(wanted: &Value, answered: Option<&Value>) -> bool {
    let part = |of: Option<&Value>, key: &str| of.and_then(|of| of.get(key)).cloned();
    let wanted_part = |key: &str| part(Some(wanted), key);
    ["name", "sectionName", "port"].into_iter().all(|key| wanted_part(key) == part(answered, key))
        && wanted_part("namespace").is_none_or(|namespace| Some(namespace) == part(answered, "namespace"))
}

/// A Gateway is Ready when it was accepted and programmed.
pub(super) fn gateway(object: &Value) -> Readiness {
    for name in ["Accepted", "Programmed"] {
        match condition(object, name) {
            None => return InProgress("its controller has not answered yet".to_owned()),
            Some(found) if found.is_older_than(generation(object)) => return unseen(),
            Some(found) if found.is("True") => {}
            Some(found) if name == "Accepted" => return refusal(&found),
            Some(found) if found.reason == "Invalid" => return Failed(found.words()),
            Some(found) => return InProgress(found.words()),
        }
    }
    Ready
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use serde_json::{Value, json};

    #[test]
    fn a_service_of_every_type_waits_for_the_address_it_needs() {
        let is = |spec: Value, status: Value, expected: &str| {
            check(&json!({"apiVersion": "v1", "kind": "Service", "spec": spec, "status": status}), expected);
        };
        is(json!({"type": "ClusterIP", "clusterIP": "10.0.0.1"}), json!({}), "ready");
        is(json!({"type": "ClusterIP"}), json!({}), "in progress: no cluster address yet");
        is(json!({"clusterIP": "None"}), json!({}), "ready");
        is(json!({"type": "NodePort", "clusterIP": "10.0.0.1"}), json!({}), "ready");
        is(json!({"type": "ExternalName", "externalName": "a.example"}), json!({}), "ready");
        let balanced = json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"});
        is(balanced.clone(), json!({"loadBalancer": {}}), "in progress: no load balancer yet");
        is(balanced, json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}), "ready");
        is(json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.1"]}), json!({}), "ready");
    }

    #[test]
    fn an_ingress_is_ready_when_it_is_there_because_not_every_controller_answers() {
        check(
            &json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "status": {"loadBalancer": {}}}),
            "ready",
        );
    }

    fn route(parents: Value) -> Value {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"generation": 3},
            "spec": {"parentRefs": [{"name": "public", "namespace": "gateways"}]}, "status": {"parents": parents},
        })
    }

    #[test]
    fn a_route_waits_for_its_gateway_and_fails_when_refused() {
        let answer = |conditions: Value| {
            json!([{
                "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"},
                "conditions": conditions,
            }])
        };
        let accepted = |status: &str, reason: &str, seen: i64| json!({"type": "Accepted", "status": status, "reason": reason, "observedGeneration": seen});
        let refs = |reason: &str| json!({"type": "ResolvedRefs", "status": "False", "reason": reason, "observedGeneration": 3});
        check(&route(json!([])), "in progress: no answer yet from public");
        check(&route(answer(json!([]))), "in progress: no Gateway has answered yet");
        check(
            &route(answer(json!([accepted("True", "Accepted", 2)]))),
            "in progress: the Gateway has not seen this generation",
        );
        check(&route(answer(json!([accepted("True", "Accepted", 3)]))), "ready");
        check(&route(answer(json!([accepted("False", "NotAllowedByListeners", 3)]))), "failed: NotAllowedByListeners");
        check(&route(answer(json!([accepted("Unknown", "Pending", 3)]))), "in progress: Pending");
        let both = |reason| answer(json!([accepted("True", "Accepted", 3), refs(reason)]));
        check(&route(both("BackendNotFound")), "in progress: BackendNotFound");
        check(&route(both("RefNotPermitted")), "failed: RefNotPermitted");
    }

    #[test]
    fn another_gateways_answer_is_no_answer() {
        let other = json!([{"parentRef": {"name": "private", "namespace": "gateways"}, "conditions": [{"type": "Accepted", "status": "True"}]}]);
        check(&route(other), "in progress: no answer yet from public");
    }

    #[test]
    fn every_kind_of_route_and_the_gateway_itself_are_known() {
        for kind in ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"] {
            let mut object = route(json!([]));
            object["kind"] = json!(kind);
            check(&object, "in progress: no answer yet from public");
        }
        let gateway = |conditions: Value| json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"generation": 2}, "status": {"conditions": conditions}});
        let yes = |name: &str, seen: i64| json!({"type": name, "status": "True", "observedGeneration": seen});
        check(&gateway(json!([yes("Accepted", 2)])), "in progress: its controller has not answered yet");
        check(&gateway(json!([yes("Accepted", 2), yes("Programmed", 2)])), "ready");
        check(
            &gateway(json!([yes("Accepted", 2), yes("Programmed", 1)])),
            "in progress: its controller has not seen this generation",
        );
        let pending = json!({"type": "Programmed", "status": "False", "reason": "AddressNotAssigned"});
        check(&gateway(json!([yes("Accepted", 2), pending])), "in progress: AddressNotAssigned");
    }
}
