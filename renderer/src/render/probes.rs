//! Readiness, startup and liveness, with today's figures: two minutes to start, asked each second; then each 10 s with
//! three failures (both are Kubernetes' defaults and are not spelled out). Readiness is new: without it a rollout
//! counts a pod that does not answer yet.

use super::{Refusal, command};
use crate::config::{HealthCheck, Port, Protocol, Source};
use crate::diagnostic::Code;
use serde_json::{Map, Value, json};

const TIMEOUT_SECS: u32 = 5;
const STARTUP_PERIOD_SECS: u32 = 1;
const STARTUP_FAILURES: u32 = 120;

/// The three probes, or none where there is nothing to ask: no check, and no tcp port.
pub(crate) fn probes(
    port: Option<Port>,
    check: Option<&HealthCheck>,
    source: &Source,
) -> Result<Map<String, Value>, Refusal> {
    let Some(question) = question(port, check, source)? else { return Ok(Map::new()) };
    let probe = |more: Value| {
        let mut probe = json!({"timeoutSeconds": TIMEOUT_SECS});
        for part in [&question, &more] {
            if let (Value::Object(probe), Value::Object(part)) = (&mut probe, part) {
                probe.extend(part.clone());
            }
        }
        probe
    };
    let startup = json!({"periodSeconds": STARTUP_PERIOD_SECS, "failureThreshold": STARTUP_FAILURES});
    Ok(Map::from_iter([
        ("startupProbe".to_owned(), probe(startup)),
        ("readinessProbe".to_owned(), probe(json!({}))),
        ("livenessProbe".to_owned(), probe(json!({}))),
    ]))
}

fn question(port: Option<Port>, check: Option<&HealthCheck>, source: &Source) -> Result<Option<Value>, Refusal> {
    let tcp = port.filter(|port| port.protocol == Protocol::Tcp).map(|port| port.number);
    Ok(match (check, tcp) {
        (Some(HealthCheck::Script(script)), _) => {
            let argv = command::argv("run.health_check_script", script, source)?;
            Some(json!({"exec": {"command": argv}}))
        }
        (Some(HealthCheck::Http(path)), Some(port)) => Some(json!({"httpGet": {"path": path, "port": port}})),
        (Some(HealthCheck::Http(_)), None) => {
            let message = "an http health check needs a tcp port".to_owned();
            return Err(Refusal::new(Code::HealthCheckNeedsPort, "run.health_check_http", message));
        }
        (None, Some(port)) => Some(json!({"tcpSocket": {"port": port}})),
        (None, None) => None,
    })
}
