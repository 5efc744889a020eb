//! What one object or pod counts against a ResourceQuota, as the API server's evaluators count it: a pod by what its
//! containers ask for, with the LimitRange's defaults filled in, and by the larger of what runs first and what runs; any
//! other object by its number.

use crate::kinds::Kind;
use renderer::ObjectId;
use renderer::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Kinds of the core group that are also counted under their bare name.
const BARE: [&str; 6] =
    ["configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"];
/// What a pod's limits count for.
const LIMITED: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Amounts by resource of a quota; what is not there is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage(BTreeMap<String, Quantity>);

impl Usage {
    /// As a status or a spec writes it: texts by resource.
    pub(crate) fn written(map: Option<&Value>) -> Self {
        let entries = map.and_then(Value::as_object).into_iter().flatten();
        let amount = |(name, value): (&String, &Value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some((name.clone(), text.parse().ok()?))
        };
        Self(entries.filter_map(amount).collect())
    }

    pub(crate) fn get(&self, resource: &str) -> Quantity {
        self.0.get(resource).copied().unwrap_or(Quantity::whole(0))
    }

    pub(crate) fn known(&self, resource: &str) -> Option<Quantity> {
        self.0.get(resource).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub(crate) fn add(&mut self, resource: &str, amount: Quantity) {
        let sum = self.0.get(resource).map_or(amount, |sum| sum.plus(&amount));
        self.0.insert(resource.to_owned(), sum);
    }

    pub(crate) fn plus(mut self, other: &Self) -> Self {
        other.iter().for_each(|(name, amount)| self.add(name, amount));
        self
    }

    pub(crate) fn times(&self, count: u32) -> Self {
        Self(self.0.iter().map(|(name, amount)| (name.clone(), amount.times(count))).collect())
    }

    /// The larger of both, resource by resource.
    pub(crate) fn max(mut self, other: &Self) -> Self {
        for (name, amount) in other.iter() {
            if self.get(name) < amount {
                self.0.insert(name.to_owned(), amount);
            }
        }
        self
    }

    /// A first entry for what is not there.
    fn or(mut self, defaults: &Self) -> Self {
        for (name, amount) in &defaults.0 {
            self.0.entry(name.clone()).or_insert(*amount);
        }
        self
    }
}

/// What a LimitRange gives to containers that say nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    requests: Usage,
    limits: Usage,
}

impl Defaults {
    /// Of a LimitRange, with the server's own defaults for it: the largest is the default, that is the default request,
    /// and where there is neither, the least is.
    pub(crate) fn of(range: &Value) -> Self {
        let items = range.pointer("/spec/limits").and_then(Value::as_array).into_iter().flatten();
        items.filter(|item| item["type"] == "Container").fold(Self::default(), |all, item| {
            let part = |key: &str| Usage::written(item.get(key));
            let limits = part("default").or(&part("max"));
            let requests = part("defaultRequest").or(&limits).or(&part("min"));
            Self { requests: all.requests.or(&requests), limits: all.limits.or(&limits) }
        })
    }

    /// Requests and limits of one container; what is limited and not requested is requested as limited.
    fn of_container(&self, container: &Value) -> Asked {
        let part = |key: &str| Usage::written(container.get("resources").and_then(|resources| resources.get(key)));
        let limits = part("limits");
        Asked { requests: part("requests").or(&limits).or(&self.requests), limits: limits.or(&self.limits) }
    }
}

/// Requests and limits, of a container or a pod.
#[derive(Default, Clone)]
struct Asked {
    requests: Usage,
    limits: Usage,
}

impl Asked {
    fn plus(self, other: &Self) -> Self {
        Self { requests: self.requests.plus(&other.requests), limits: self.limits.plus(&other.limits) }
    }

    fn max(self, other: &Self) -> Self {
        Self { requests: self.requests.max(&other.requests), limits: self.limits.max(&other.limits) }
    }
}

/// What one pod with this spec counts for, as long as it runs.
pub(crate) fn of_pod(spec: &Value, defaults: &Defaults) -> Usage {
    let list = |key: &str| spec.get(key).and_then(Value::as_array).into_iter().flatten();
    let running = list("containers").fold(Asked::default(), |sum, one| sum.plus(&defaults.of_container(one)));
    // What stays beside the containers is there while the next of those runs that come first.
    let (mut beside, mut first) = (Asked::default(), Asked::default());
    for container in list("initContainers") {
        let asked = defaults.of_container(container);
        let now = beside.clone().plus(&asked);
        if container["restartPolicy"] == "Always" {
            beside = now.clone();
        }
        first = first.max(&now);
    }
    let asked = running.plus(&beside).max(&first);
    let mut usage = Usage::default();
    ["pods", "count/pods"].iter().for_each(|name| usage.add(name, Quantity::whole(1)));
    for (name, amount) in asked.requests.iter() {
        usage.add(&format!("requests.{name}"), amount);
        if !name.contains('/') {
            usage.add(name, amount);
        }
    }
    for (name, amount) in asked.limits.iter().filter(|(name, _)| LIMITED.contains(name)) {
        usage.add(&format!("limits.{name}"), amount);
    }
    usage
}

/// Whether pods count for this resource, and nothing else does.
pub(crate) fn is_of_pods(resource: &str) -> bool {
    let of_claims = resource == "requests.storage" || resource.contains(".storageclass.");
    let begins = ["requests.", "limits.", "hugepages-"].iter().any(|start| resource.starts_with(start));
    !of_claims && (begins || LIMITED.contains(&resource) || ["pods", "count/pods"].contains(&resource))
}

/// What an object counts for by being there, whatever it runs.
pub(crate) fn of_object(id: &ObjectId, object: &Value) -> Usage {
    let mut usage = Usage::default();
    let Some(row) = Kind::of_id(id) else { return usage };
    let one = Quantity::whole(1);
    let dot = if row.group.is_empty() { "" } else { "." };
    usage.add(&format!("count/{}{dot}{}", row.plural, row.group), one);
    if row.group.is_empty() && BARE.contains(&row.plural) {
        usage.add(row.plural, one);
    }
    if row.group.is_empty() && row.kind == "Service" {
        of_service(object, &mut usage);
    }
    usage
}

fn of_service(service: &Value, usage: &mut Usage) {
    let spec = |key: &str| service.get("spec").and_then(|spec| spec.get(key));
    let kind = spec("type").and_then(Value::as_str).unwrap_or_default();
    let balanced = kind == "LoadBalancer";
    if balanced {
        usage.add("services.loadbalancers", Quantity::whole(1));
    }
    let without = spec("allocateLoadBalancerNodePorts").and_then(Value::as_bool) == Some(false);
    if kind == "NodePort" || (balanced && !without) {
        let ports = spec("ports").and_then(Value::as_array).map_or(0, Vec::len);
        usage.add("services.nodeports", Quantity::whole(u32::try_from(ports).unwrap_or(u32::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asks(cpu: &str, memory: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}})
    }

    fn counted(spec: &Value, range: &Value, resources: &[&str]) -> Vec<String> {
        let usage = of_pod(spec, &Defaults::of(range));
        resources.iter().map(|name| usage.get(name).to_string()).collect()
    }

    #[test]
    fn a_pod_counts_the_larger_of_what_runs_first_and_what_runs() {
        let spec = json!({
            "containers": [asks("100m", "1Gi"), asks("200m", "1Gi")],
            "initContainers": [asks("1", "1Gi"), asks("500m", "4Gi")],
        });
        let of = ["cpu", "requests.cpu", "limits.cpu", "memory", "limits.memory", "pods", "count/pods"];
        assert_eq!(counted(&spec, &json!({}), &of), ["1", "1", "1", "4Gi", "4Gi", "1", "1"]);
    }

    #[test]
    fn a_sidecar_runs_beside_everything_that_comes_after_it() {
        let mut sidecar = asks("300m", "1Gi");
        sidecar["restartPolicy"] = json!("Always");
        let spec = |inits: Value| json!({"containers": [asks("100m", "1Gi")], "initContainers": inits});
        let cpu = |inits: Value| counted(&spec(inits), &json!({}), &["cpu"]).concat();
        assert_eq!(cpu(json!([asks("1", "1Mi"), sidecar])), "1", "it comes after the large one");
        assert_eq!(cpu(json!([sidecar, asks("1", "1Mi")])), "1300m", "it runs beside the large one");
        assert_eq!(cpu(json!([sidecar, asks("50m", "1Mi")])), "400m", "and beside the containers");
    }

    #[test]
    fn what_a_container_does_not_say_a_limit_range_does() {
        let item = |item: Value| json!({"spec": {"limits": [item]}});
        let of = ["requests.cpu", "limits.cpu"];
        let silent = json!({"containers": [{"name": "a"}]});
        let limited = json!({"containers": [{"resources": {"limits": {"cpu": "2"}}}]});
        let both = item(
            json!({"type": "Container", "max": {"cpu": "3"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}),
        );
        assert_eq!(counted(&silent, &both, &of), ["100m", "1"]);
        assert_eq!(counted(&limited, &both, &of), ["2", "2"], "a limit is a request before any default is");
        let largest = item(json!({"type": "Container", "max": {"cpu": "3"}, "min": {"cpu": "50m"}}));
        assert_eq!(counted(&silent, &largest, &of), ["3", "3"]);
        assert_eq!(counted(&silent, &item(json!({"type": "Container", "min": {"cpu": "50m"}})), &of), ["50m", "0"]);
        assert_eq!(counted(&silent, &item(json!({"type": "Pod", "max": {"cpu": "3"}})), &of), ["0", "0"]);
    }

    #[test]
    fn what_is_no_cpu_and_no_memory_counts_under_the_names_that_it_has() {
        let asked = json!({"requests": {"ephemeral-storage": "1Gi", "example.org/gpu": "2", "hugepages-2Mi": "4Mi"}});
        let usage = of_pod(&json!({"containers": [{"resources": asked}]}), &Defaults::default());
        let names: Vec<_> = usage.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "count/pods",
                "ephemeral-storage",
                "hugepages-2Mi",
                "pods",
                "requests.ephemeral-storage",
                "requests.example.org/gpu",
                "requests.hugepages-2Mi",
            ]
        );
        assert!(names.iter().all(|name| is_of_pods(name)));
        assert!(!["requests.storage", "services", "count/jobs.batch"].iter().any(|name| is_of_pods(name)));
    }

    #[test]
    fn objects_are_counted_by_number_and_services_by_what_they_open() {
        let counts = |group: &str, kind: &str, object: Value| {
            let id = ObjectId { group: group.into(), kind: kind.into(), namespace: None, name: "a".into() };
            let usage = of_object(&id, &object);
            usage.iter().map(|(name, amount)| format!("{name} {amount}")).collect::<Vec<_>>()
        };
        assert_eq!(counts("apps", "Deployment", json!({})), ["count/deployments.apps 1"]);
        assert_eq!(counts("", "ConfigMap", json!({})), ["configmaps 1", "count/configmaps 1"]);
        let ports = json!([{"port": 1}, {"port": 2}]);
        let service = |kind: &str| counts("", "Service", json!({"spec": {"type": kind, "ports": ports}})).join(", ");
        assert_eq!(service("ClusterIP"), "count/services 1, services 1");
        assert_eq!(service("NodePort"), "count/services 1, services 1, services.nodeports 2");
        assert!(service("LoadBalancer").ends_with("services.loadbalancers 1, services.nodeports 2"));
    }
}
