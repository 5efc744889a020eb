//! How a component is reached: Service, route, and who may come in.
//!
//! Inside the tool everything reaches everything (the default policy). From outside come only the route, where the
//! component is published, and the tools it names under `allow_from`, each to this port alone. Namespaces are selected
//! by `kubernetes.io/metadata.name`, which only the API server writes. An Ingress controller's namespace is not known
//! from the platform file, so there every namespace that is no tool's may connect, but for that of the builds, which run
//! what strangers wrote.

use super::meta::{HTTP_ROUTE, INGRESS, NETWORK_POLICY, SERVICE, selector};
use super::{Frame, Refusal};
use crate::config::{Component, Port, Protocol, RunKind};
use crate::diagnostic::Code;
use crate::names::{ComponentName, ToolName};
use crate::object::Object;
use crate::platform::Route;
use crate::rendered::ComponentKind;
use serde_json::{Value, json};

impl Protocol {
    /// As Kubernetes writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Service, route and policy of a continuous component: none without a port. A stopped component keeps them, so that
/// starting it again changes one number.
pub(crate) fn objects(frame: &Frame<'_>, name: &ComponentName, component: &Component) -> Result<Vec<Object>, Refusal> {
    let RunKind::Continuous { port: Some(port), publish, allow_from, .. } = &component.run.kind else {
        return Ok(Vec::new());
    };
    service_name(name)?;
    let mut objects = vec![frame.object(SERVICE, name, component, service(name, *port))];
    if !publish.is_empty() {
        objects.push(match &frame.platform.route {
            Route::Ingress { class } => {
                frame.object(INGRESS, name, component, ingress(frame, name, *port, publish, class.as_deref()))
            }
            Route::Gateway { namespace, name: gateway } => {
                let parent = json!({"namespace": namespace, "name": gateway});
                frame.object(HTTP_ROUTE, name, component, http_route(frame, name, *port, publish, parent))
            }
        });
    }
    let from = [route_peers(frame, publish), tool_peers(frame, allow_from)?].concat();
    if !from.is_empty() {
        objects.push(frame.object(NETWORK_POLICY, name, component, policy(name, *port, from)));
    }
    Ok(objects)
}

/// A Service is stricter than all other kinds: its name starts with a letter.
fn service_name(name: &ComponentName) -> Result<(), Refusal> {
    if name.as_str().starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    let message = "a component with a port needs a name that starts with a letter, as a Service does".to_owned();
    Err(Refusal::new(Code::BadName, "", message).hint("Rename the component."))
}

fn service(name: &ComponentName, port: Port) -> Value {
    json!({"spec": {
        "selector": selector(name, ComponentKind::Continuous),
        "ports": [{"port": port.number, "protocol": port.protocol.as_str()}],
    }})
}

fn host(frame: &Frame<'_>) -> String {
    format!("{}.{}", frame.tool.name, frame.platform.domain)
}

fn ingress(frame: &Frame<'_>, name: &ComponentName, port: Port, publish: &[String], class: Option<&str>) -> Value {
    let backend = json!({"service": {"name": name, "port": {"number": port.number}}});
    let paths: Vec<Value> =
        publish.iter().map(|path| json!({"path": path, "pathType": "Prefix", "backend": backend})).collect();
    let mut spec = json!({"rules": [{"host": host(frame), "http": {"paths": paths}}]});
    if let Some(class) = class {
        spec["ingressClassName"] = class.into();
    }
    json!({"spec": spec})
}

fn http_route(frame: &Frame<'_>, name: &ComponentName, port: Port, publish: &[String], parent: Value) -> Value {
    let matches: Vec<Value> =
        publish.iter().map(|path| json!({"path": {"type": "PathPrefix", "value": path}})).collect();
    json!({"spec": {
        "parentRefs": [parent],
        "hostnames": [host(frame)],
        "rules": [{"matches": matches, "backendRefs": [{"name": name, "port": port.number}]}],
    }})
}

fn policy(name: &ComponentName, port: Port, from: Vec<Value>) -> Value {
    let ports = json!([{"port": port.number, "protocol": port.protocol.as_str()}]);
    json!({"spec": {
        "podSelector": {"matchLabels": selector(name, ComponentKind::Continuous)},
        "ingress": [{"from": from, "ports": ports}],
    }})
}

fn route_peers(frame: &Frame<'_>, publish: &[String]) -> Vec<Value> {
    if publish.is_empty() {
        return Vec::new();
    }
    vec![match &frame.platform.route {
        Route::Gateway { namespace, .. } => namespace_peer(namespace),
        Route::Ingress { .. } => {
            let outside = |key: &str, value: &str| json!({"key": key, "operator": "NotIn", "values": [value]});
            let builds = frame.platform.builds.as_ref().map(|builds| builds.namespace(frame.platform));
            let builds = builds.map(|name| outside("kubernetes.io/metadata.name", &name));
            let none: Vec<_> = std::iter::once(outside("tenancy", "tool")).chain(builds).collect();
            json!({"namespaceSelector": {"matchExpressions": none}})
        }
    }]
}

fn tool_peers(frame: &Frame<'_>, allow_from: &[String]) -> Result<Vec<Value>, Refusal> {
    let mut peers = Vec::new();
    for name in allow_from {
        let tool = ToolName::new(name.as_str())
            .map_err(|error| Refusal::new(Code::BadToolName, "run.allow_from", error.to_string()))?;
        if tool != frame.tool.name {
            peers.push(namespace_peer(&tool.namespace()));
        }
    }
    Ok(peers)
}

fn namespace_peer(namespace: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}})
}
