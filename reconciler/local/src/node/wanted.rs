//! What a pod asks of its node: its spec, read once, in the few words that the node understands.

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize as _;
use serde_json::Value;

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// However it ended.
    Always,
    /// After a bad end.
    OnFailure,
    /// Never.
    Never,
}

/// A pod's wishes, as far as time and order go.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// When containers are started again.
    pub restart: Restart,
    /// Between the wish to end and the end.
    pub grace_secs: i64,
    /// Containers, those that run first and one after another at the front.
    pub parts: Vec<Part>,
    /// How many of them run first.
    pub first: usize,
    /// Ports that the containers name.
    pub ports: Vec<u16>,
}

/// A container's wishes.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// As in the spec.
    pub spec: api::Container,
    /// Asked until it has answered once.
    pub startup: Option<Probe>,
    /// Whether requests may come.
    pub readiness: Option<Probe>,
    /// Whether it is to go on.
    pub liveness: Option<Probe>,
}

/// A question that is asked again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What is asked.
    pub ask: Ask,
    /// Before the first time.
    pub delay_secs: i64,
    /// Between two.
    pub period_secs: i64,
    /// An answer that takes longer is a bad one.
    pub timeout_secs: i64,
    /// Good answers in a row that make it good.
    pub successes: i32,
    /// Bad answers in a row that make it bad.
    pub failures: i32,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A status from 200 to 399.
    Http {
        /// Port as the pod names it.
        port: u16,
        /// Path and query.
        path: String,
        /// Headers.
        headers: Vec<(String, String)>,
    },
    /// A connection, to the port as the pod names it.
    Tcp(u16),
    /// A program that ends well.
    Exec(Vec<String>),
}

/// Why a pod can't be run here at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

impl Wanted {
    /// Reads a pod.
    ///
    /// # Errors
    /// Where it asks for what is not understood.
    pub fn of(pod: &Value) -> Result<Self, Unusable> {
        let spec = pod.get("spec").ok_or_else(|| Unusable("it has no spec".to_owned()))?;
        let spec = api::PodSpec::deserialize(spec).map_err(|error| Unusable(format!("it is no pod: {error}")))?;
        let first = spec.init_containers.unwrap_or_default();
        let count = first.len();
        let parts = first.into_iter().chain(spec.containers).map(Part::of).collect::<Result<Vec<_>, _>>()?;
        let ports = parts.iter().flat_map(|part| part.spec.ports.iter().flatten());
        let ports = ports.filter(|port| port.protocol.as_deref() != Some("UDP"));
        Ok(Self {
            restart: match spec.restart_policy.as_deref() {
                Some("Never") => Restart::Never,
                Some("OnFailure") => Restart::OnFailure,
                _ => Restart::Always,
            },
            grace_secs: spec.termination_grace_period_seconds.unwrap_or(30),
            ports: ports.filter_map(|port| u16::try_from(port.container_port).ok()).collect(),
            parts,
            first: count,
        })
    }

    /// This one runs before the others.
    #[must_use]
    pub fn runs_first(&self, index: usize) -> bool {
        index < self.first
    }
}

impl Part {
    fn of(spec: api::Container) -> Result<Self, Unusable> {
        let probe = |probe: &Option<api::Probe>| probe.as_ref().map(|probe| Probe::of(probe, &spec)).transpose();
        let (startup, readiness, liveness) =
            (probe(&spec.startup_probe)?, probe(&spec.readiness_probe)?, probe(&spec.liveness_probe)?);
        Ok(Self { spec, startup, readiness, liveness })
    }
}

impl Probe {
    fn of(probe: &api::Probe, container: &api::Container) -> Result<Self, Unusable> {
        Ok(Self {
            ask: Ask::of(probe, container)?,
            delay_secs: i64::from(probe.initial_delay_seconds.unwrap_or(0)),
            period_secs: i64::from(probe.period_seconds.unwrap_or(10).max(1)),
            timeout_secs: i64::from(probe.timeout_seconds.unwrap_or(1).max(1)),
            successes: probe.success_threshold.unwrap_or(1).max(1),
            failures: probe.failure_threshold.unwrap_or(3).max(1),
        })
    }
}

impl Ask {
    fn of(probe: &api::Probe, container: &api::Container) -> Result<Self, Unusable> {
        if let Some(http) = &probe.http_get {
            let headers = http.http_headers.iter().flatten();
            return Ok(Self::Http {
                port: port(&http.port, container)?,
                path: http.path.clone().unwrap_or_else(|| "/".to_owned()),
                headers: headers.map(|one| (one.name.clone(), one.value.clone())).collect(),
            });
        }
        if let Some(tcp) = &probe.tcp_socket {
            return Ok(Self::Tcp(port(&tcp.port, container)?));
        }
        let argv = probe.exec.as_ref().and_then(|exec| exec.command.clone());
        match argv.filter(|argv| !argv.is_empty()) {
            Some(argv) => Ok(Self::Exec(argv)),
            None => Err(Unusable(format!("a probe of {} asks in no way that is known here", container.name))),
        }
    }
}

/// A port by number or by the container's name for it.
fn port(port: &IntOrString, container: &api::Container) -> Result<u16, Unusable> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            ports.find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port)
        }
    };
    let bad = || Unusable(format!("a probe of {} names no port of it", container.name));
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn probes_have_the_defaults_of_kubernetes_and_find_ports_by_name() {
        let pod = json!({"spec": {"restartPolicy": "OnFailure", "containers": [{
            "name": "web", "ports": [{"name": "http", "containerPort": 8000}, {"containerPort": 53, "protocol": "UDP"}],
            "readinessProbe": {"httpGet": {"path": "/up", "port": "http"}},
            "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 2},
        }]}});
        let wanted = Wanted::of(&pod).expect("a pod");
        assert_eq!((wanted.restart, wanted.grace_secs, wanted.ports), (Restart::OnFailure, 30, vec![8000]));
        let part = &wanted.parts[0];
        let ask = Ask::Http { port: 8000, path: "/up".to_owned(), headers: Vec::new() };
        let defaults = Probe { ask, delay_secs: 0, period_secs: 10, timeout_secs: 1, successes: 1, failures: 3 };
        assert_eq!(part.readiness, Some(defaults));
        assert_eq!(part.liveness.as_ref().map(|probe| probe.period_secs), Some(2));
        assert_eq!(part.startup, None);
    }

    #[test]
    fn a_probe_of_no_port_is_refused_by_name() {
        let pod = json!({"spec": {"containers": [{"name": "web", "readinessProbe": {"tcpSocket": {"port": "http"}}}]}});
        let refused = Wanted::of(&pod).expect_err("no such port");
        assert_eq!(refused.to_string(), "a probe of web names no port of it");
    }
}
