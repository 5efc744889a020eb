//! Which pods a request goes to: a pure look into what the watches have brought.

use crate::node::PORTS;
use kube::api::DynamicObject;
use planner::readiness::pod_trouble;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Ingress,
    HttpRoute,
    Service,
    Pod,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Ingress, Self::HttpRoute, Self::Service, Self::Pod];

    /// Group, version and kind.
    pub(super) fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
            Self::Service => ("", "v1", "Service"),
            Self::Pod => ("", "v1", "Pod"),
        }
    }
}

/// Namespace and name.
type Name = (String, String);

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Table {
    domain: String,
    /// Kinds whose first list has come.
    heard: BTreeSet<Kind>,
    routes: BTreeMap<(Kind, Name), Vec<Rule>>,
    services: BTreeMap<Name, Service>,
    pods: BTreeMap<Name, Pod>,
}

/// One path of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    host: String,
    path: String,
    is_exact: bool,
    service: String,
    port: Value,
}

#[derive(Debug, Clone)]
struct Service {
    selector: BTreeMap<String, String>,
    /// Port or its name, and the port of the pod or its name.
    ports: Vec<(Value, Value, Value)>,
}

#[derive(Debug, Clone)]
struct Pod {
    labels: BTreeMap<String, String>,
    is_ready: bool,
    ports: BTreeMap<String, u16>,
    names: BTreeMap<String, u64>,
    words: Option<String>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// The Service, `namespace/name`.
    pub(super) service: String,
    /// Ports of loopback, of pods that are Ready; never none.
    pub(super) ports: Vec<u16>,
}

/// Why a request goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// The watches have not brought their first lists.
    NotYet,
    /// No route has this host; those that there are.
    NoHost(Vec<String>),
    /// The host has no route for this path; those that it has.
    NoPath(Vec<String>),
    /// The route names a Service, or a port of it, that is not there.
    NoService(String),
    /// None of the Service's pods is Ready; what they say.
    NotReady(String, Vec<String>),
}

impl Table {
    pub(super) fn new(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            heard: BTreeSet::new(),
            routes: BTreeMap::new(),
            services: BTreeMap::new(),
            pods: BTreeMap::new(),
        }
    }

    pub(super) fn put(&mut self, kind: Kind, object: &DynamicObject) {
        let (Some(name), whole) = (name(object), json!(object)) else { return };
        match kind {
            Kind::Ingress | Kind::HttpRoute => {
                let rules = if kind == Kind::Ingress { of_ingress(&whole) } else { of_http_route(&whole) };
                self.routes.insert((kind, name), rules);
            }
            Kind::Service => {
                self.services.insert(name, Service::of(&whole));
            }
            Kind::Pod => {
                self.pods.insert(name, Pod::of(&whole));
            }
        }
    }

    pub(super) fn remove(&mut self, kind: Kind, object: &DynamicObject) {
        let Some(name) = name(object) else { return };
        match kind {
            Kind::Ingress | Kind::HttpRoute => drop(self.routes.remove(&(kind, name))),
            Kind::Service => drop(self.services.remove(&name)),
            Kind::Pod => drop(self.pods.remove(&name)),
        }
    }

    pub(super) fn replace(&mut self, kind: Kind, objects: &[DynamicObject]) {
        match kind {
            Kind::Ingress | Kind::HttpRoute => self.routes.retain(|(one, _), _| *one != kind),
            Kind::Service => self.services.clear(),
            Kind::Pod => self.pods.clear(),
        }
        for object in objects {
            self.put(kind, object);
        }
        self.heard.insert(kind);
    }

    /// The pods for a host, without its port, and a path.
    pub(super) fn find(&self, host: &str, path: &str) -> Result<Choice, Nowhere> {
        if self.heard.len() < Kind::ALL.len() {
            return Err(Nowhere::NotYet);
        }
        let host = self.meant(host);
        let mut of_host = self.rules().filter(|(_, rule)| rule.host == host).peekable();
        if of_host.peek().is_none() {
            let hosts: BTreeSet<String> = self.rules().map(|(_, rule)| self.local(&rule.host)).collect();
            return Err(Nowhere::NoHost(hosts.into_iter().collect()));
        }
        let of_host: Vec<_> = of_host.collect();
        let best = of_host.iter().filter(|(_, rule)| rule.takes(path));
        // An exact path comes first, then the longest.
        let Some((namespace, rule)) = best.max_by_key(|(_, rule)| (rule.is_exact, rule.path.len())) else {
            return Err(Nowhere::NoPath(of_host.iter().map(|(_, rule)| rule.path.clone()).collect()));
        };
        self.pods_of(namespace, rule)
    }

    fn rules(&self) -> impl Iterator<Item = (&String, &Rule)> {
        self.routes.iter().flat_map(|((_, (namespace, _)), rules)| rules.iter().map(move |rule| (namespace, rule)))
    }

    /// `<tool>.localhost` is a tool's name on this machine.
    fn meant(&self, host: &str) -> String {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match host.strip_suffix(".localhost").filter(|_| !host.ends_with(&format!(".{}", self.domain))) {
            Some(tool) => format!("{tool}.{}", self.domain),
            None => host,
        }
    }

    fn local(&self, host: &str) -> String {
        let tool = host.strip_suffix(self.domain.as_str()).and_then(|tool| tool.strip_suffix('.'));
        tool.map_or_else(|| host.to_owned(), |tool| format!("{tool}.localhost"))
    }

    fn pods_of(&self, namespace: &str, rule: &Rule) -> Result<Choice, Nowhere> {
        let title = format!("{namespace}/{}", rule.service);
        let service = self.services.get(&(namespace.to_owned(), rule.service.clone()));
        let service = service.ok_or_else(|| Nowhere::NoService(format!("service {title} does not exist")))?;
        let port = service.ports.iter().find(|(number, name, _)| rule.port == *number || rule.port == *name);
        let target = port.map(|(_, _, target)| target);
        let target = target.ok_or_else(|| Nowhere::NoService(format!("service {title} has no port {}", rule.port)))?;
        let here = |name: &Name| name.0 == namespace;
        let pods = self.pods.iter().filter(|(name, pod)| here(name) && service.selects(pod));
        let (ready, others): (Vec<_>, Vec<_>) = pods.partition(|(_, pod)| pod.is_ready);
        let ports: Vec<u16> = ready.iter().filter_map(|(_, pod)| pod.port(target)).collect();
        if !ports.is_empty() {
            return Ok(Choice { service: title, ports });
        }
        let words = |((_, name), pod): (&Name, &Pod)| {
            let words = pod.words.clone().unwrap_or_else(|| "on its way".to_owned());
            format!("{name}: {words}")
        };
        Err(Nowhere::NotReady(title, others.into_iter().map(words).collect()))
    }
}

impl Rule {
    /// A prefix ends where a part of the path ends.
    fn takes(&self, path: &str) -> bool {
        let prefix = self.path.trim_end_matches('/');
        match path.strip_prefix(prefix) {
            _ if self.is_exact => path == self.path,
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl Service {
    fn of(object: &Value) -> Self {
        let ports = list(object, "/spec/ports").iter().map(|port| {
            let target = port.get("targetPort").filter(|target| !target.is_null()).unwrap_or(&port["port"]);
            (port["port"].clone(), port["name"].clone(), target.clone())
        });
        Self { selector: texts(object, "/spec/selector"), ports: ports.collect() }
    }

    fn selects(&self, pod: &Pod) -> bool {
        !self.selector.is_empty() && self.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    }
}

impl Pod {
    fn of(object: &Value) -> Self {
        let conditions = list(object, "/status/conditions");
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let is_going = object.pointer("/metadata/deletionTimestamp").is_some();
        let ports = object.pointer("/metadata/annotations").and_then(|all| all.get(PORTS)?.as_str());
        let named = list(object, "/spec/containers").iter().flat_map(|container| list(container, "/ports"));
        let named = named.filter_map(|port| Some((port["name"].as_str()?.to_owned(), port["containerPort"].as_u64()?)));
        let message = ready.and_then(|ready| ready["message"].as_str()).filter(|message| !message.is_empty());
        let trouble = pod_trouble(object).map(|trouble| trouble.why);
        Self {
            labels: texts(object, "/metadata/labels"),
            is_ready: !is_going && ready.is_some_and(|ready| ready["status"] == "True"),
            ports: ports.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            names: named.collect(),
            words: trouble.or_else(|| message.map(str::to_owned)),
        }
    }

    /// The port of loopback for a port of the pod, by number or name.
    fn port(&self, target: &Value) -> Option<u16> {
        let number = target.as_u64().or_else(|| self.names.get(target.as_str()?).copied())?;
        self.ports.get(&number.to_string()).copied()
    }
}

fn name(object: &DynamicObject) -> Option<Name> {
    Some((object.metadata.namespace.clone()?, object.metadata.name.clone()?))
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(object: &Value, pointer: &str) -> BTreeMap<String, String> {
    let pairs = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn of_ingress(object: &Value) -> Vec<Rule> {
    let rules = list(object, "/spec/rules").iter();
    let paths = rules.flat_map(|rule| list(rule, "/http/paths").iter().map(move |path| (rule, path)));
    paths
        .map(|(rule, path)| {
            let port = &path["backend"]["service"]["port"];
            Rule {
                host: text(&rule["host"]),
                path: text(&path["path"]),
                is_exact: path["pathType"] == "Exact",
                service: text(&path["backend"]["service"]["name"]),
                port: port.get("number").or_else(|| port.get("name")).cloned().unwrap_or_default(),
            }
        })
        .collect()
}

/// The first backend of each rule; filters and headers are not looked at.
fn of_http_route(object: &Value) -> Vec<Rule> {
    let mut rules = Vec::new();
    let any = [json!({"path": {"type": "PathPrefix", "value": "/"}})];
    for rule in list(object, "/spec/rules") {
        let Some(backend) = list(rule, "/backendRefs").first() else { continue };
        let matches = list(rule, "/matches");
        for (path, host) in if matches.is_empty() { &any } else { matches }
            .iter()
            .flat_map(|one| list(object, "/spec/hostnames").iter().map(move |host| (&one["path"], host)))
        {
            rules.push(Rule {
                host: text(host),
                path: path["value"].as_str().unwrap_or("/").to_owned(),
                is_exact: path["type"] == "Exact",
                service: text(&backend["name"]),
                port: backend["port"].clone(),
            });
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(objects: &[(Kind, Value)]) -> Table {
        let mut table = Table::new("tools.example");
        for kind in Kind::ALL {
            let of_kind = objects.iter().filter(|(one, _)| *one == kind);
            let parsed: Vec<DynamicObject> =
                of_kind.map(|(_, object)| serde_json::from_value(object.clone()).expect("an object")).collect();
            table.replace(kind, &parsed);
        }
        table
    }

    fn meta(name: &str) -> Value {
        json!({"name": name, "namespace": "tool-a"})
    }

    fn ingress(paths: &[(&str, &str, &str)]) -> (Kind, Value) {
        let paths: Vec<Value> = paths
            .iter()
            .map(|(path, kind, service)| {
                let backend = json!({"service": {"name": service, "port": {"number": 80}}});
                json!({"path": path, "pathType": kind, "backend": backend})
            })
            .collect();
        (
            Kind::Ingress,
            json!({"metadata": meta("web"), "spec": {"rules": [{"host": "a.tools.example", "http": {"paths": paths}}]}}),
        )
    }

    fn service(name: &str) -> (Kind, Value) {
        let spec = json!({"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]});
        (Kind::Service, json!({"metadata": meta(name), "spec": spec}))
    }

    fn pod(app: &str, name: &str, port: u16, status: &str) -> (Kind, Value) {
        let mut metadata = meta(name);
        metadata["labels"] = json!({"app": app});
        metadata["annotations"] = json!({(PORTS): format!("{{\"8000\": {port}}}")});
        let ready = json!([{"type": "Ready", "status": status, "message": "it listens elsewhere"}]);
        (Kind::Pod, json!({"metadata": metadata, "status": {"phase": "Running", "conditions": ready}}))
    }

    #[test]
    fn a_request_goes_to_the_ready_pods_of_the_service_that_the_route_names() {
        let table = table(&[
            ingress(&[("/", "Prefix", "web"), ("/api", "Prefix", "api"), ("/api", "Exact", "doc")]),
            service("web"),
            service("api"),
            service("doc"),
            pod("web", "web-1", 41001, "True"),
            pod("web", "web-2", 41002, "True"),
            pod("web", "web-3", 41003, "False"),
            pod("api", "api-1", 42001, "True"),
            pod("doc", "doc-1", 43001, "True"),
        ]);
        let ports = |host: &str, path: &str| table.find(host, path).map(|choice| choice.ports);
        assert_eq!(ports("a.tools.example", "/"), Ok(vec![41001, 41002]));
        assert_eq!(ports("A.localhost", "/apis"), Ok(vec![41001, 41002]), "a part of a path is whole");
        assert_eq!(ports("a.localhost", "/api/x"), Ok(vec![42001]));
        assert_eq!(ports("a.localhost", "/api"), Ok(vec![43001]));
        assert_eq!(ports("b.localhost", "/"), Err(Nowhere::NoHost(vec!["a.localhost".to_owned()])));
    }

    #[test]
    fn what_goes_nowhere_is_told_apart() {
        let find = |objects: &[(Kind, Value)]| table(objects).find("a.localhost", "/x").expect_err("nowhere");
        let route = || ingress(&[("/y", "Prefix", "web")]);
        assert_eq!(Table::new("x").find("a", "/"), Err(Nowhere::NotYet));
        assert_eq!(find(&[route()]), Nowhere::NoPath(vec!["/y".to_owned()]));
        let route = || ingress(&[("/", "Prefix", "web")]);
        assert!(matches!(find(&[route()]), Nowhere::NoService(_)));
        let unready = find(&[route(), service("web"), pod("web", "web-1", 41001, "False")]);
        assert_eq!(unready, Nowhere::NotReady("tool-a/web".to_owned(), vec!["web-1: it listens elsewhere".to_owned()]));
    }

    #[test]
    fn an_http_route_is_as_good_as_an_ingress() {
        let spec = json!({
            "hostnames": ["a.tools.example"],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": "/p"}}],
                "backendRefs": [{"name": "web", "port": 80}],
            }],
        });
        let route = (Kind::HttpRoute, json!({"metadata": meta("web"), "spec": spec}));
        let table = table(&[route, service("web"), pod("web", "web-1", 41001, "True")]);
        let choice = table.find("a.localhost", "/p/q").expect("a choice");
        assert_eq!((choice.service.as_str(), choice.ports), ("tool-a/web", vec![41001]));
        assert_eq!(table.find("a.localhost", "/"), Err(Nowhere::NoPath(vec!["/p".to_owned()])));
    }
}
