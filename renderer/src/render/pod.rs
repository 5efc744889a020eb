//! The pod of a component: one container, as the tool's system user, under the *restricted* Pod Security Standard.
//!
//! It mounts scratch space at `/tmp` and, where asked, the read-only dumps; nothing else, and no token of the API. It
//! logs to stdout and stderr. The root file system stays writable, as today: language runtimes write caches beside
//! their code, and what they write is lost with the container anyway. Service links are off: what a component finds in
//! its environment does not depend on which other components the tool happens to have.

use super::meta::{SECRET_KEY, secret_name};
use super::sealed::{self, Used, sealed_name};
use super::{Frame, Refusal, command};
use crate::config::{Component, RunKind};
use crate::diagnostic::Code;
use crate::names::ComponentName;
use crate::platform::Dumps;
use crate::rendered::IMAGE_PLACEHOLDER;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Scratch space; filling it evicts the pod instead of filling the node.
pub(super) const SCRATCH_SIZE: &str = "1Gi";
/// Where today's tools find the dumps.
const DUMPS_PATH: &str = "/public/dumps";
/// Most bytes of a component's environment, names and values: what stands once in the file is copied into the pod of
/// every component.
const MAX_ENV_BYTES: usize = 128 * 1024;
/// As today: half of Kubernetes' default, so that nodes drain quickly.
const GRACE_SECS: u32 = 15;

/// The pod template's `metadata` and `spec`; `extra` is what the owner's kind adds to the spec.
pub(crate) fn template(
    frame: &Frame<'_>,
    name: &ComponentName,
    component: &Component,
    extra: Map<String, Value>,
) -> Result<Value, Refusal> {
    let sealed = sealed::used(frame, name, component)?;
    let mut spec = json!({
        "serviceAccountName": frame.tool.name,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": frame.user.uid,
            "runAsGroup": frame.user.gid,
            "fsGroup": frame.user.gid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(frame, name, component, &sealed)?],
        "volumes": volumes(frame, component)?,
    });
    if let Value::Object(spec) = &mut spec {
        spec.extend(extra);
    }
    let mut metadata = json!({"labels": super::meta::pod_labels(&frame.tool.name, name, component)});
    let annotations = sealed.annotations();
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    Ok(json!({"metadata": metadata, "spec": spec}))
}

fn container(frame: &Frame<'_>, name: &ComponentName, component: &Component, sealed: &Used) -> Result<Value, Refusal> {
    let run = &component.run;
    let mut container = json!({
        "name": name,
        "image": IMAGE_PLACEHOLDER,
        "command": command::argv("run.command", &run.command, &component.source)?,
        "resources": super::resources::Resources::of(run, &frame.limits)?.value(),
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts(component),
    });
    let Value::Object(fields) = &mut container else { return Ok(container) };
    let env = env(frame, name, component, sealed)?;
    if !env.is_empty() {
        fields.insert("env".into(), env.into());
    }
    if let RunKind::Continuous { port, health_check, .. } = &run.kind {
        if let Some(port) = port {
            fields.insert("ports".into(), json!([{"containerPort": port.number, "protocol": port.protocol.as_str()}]));
        }
        fields.extend(super::probes::probes(*port, health_check.as_ref(), &component.source)?);
    }
    Ok(container)
}

/// In name order. What the platform gives can't be taken over by a tool: its variables win, and so does `PORT`, which
/// is the one truth about the port. The platform's credentials stand in the component's Secret, beside its encrypted values.
fn env(
    frame: &Frame<'_>,
    component_name: &ComponentName,
    component: &Component,
    sealed: &Used,
) -> Result<Vec<Value>, Refusal> {
    let own: BTreeMap<&String, &String> = frame.config.env.iter().chain(&component.env).collect();
    let bytes: usize = own.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_ENV_BYTES {
        let message =
            format!("`env` of the tool and of the component have {bytes} bytes; at most {MAX_ENV_BYTES} are allowed");
        return Err(Refusal::new(Code::TooLong, "env", message).hint("Put large data into the repository."));
    }
    let mut entries: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in own {
        entries.insert(name.clone(), json!({"value": value}));
    }
    for name in secrets(frame, component) {
        let from = if sealed.has(name) {
            json!({"name": sealed_name(component_name), "key": name})
        } else {
            json!({"name": secret_name(name), "key": SECRET_KEY})
        };
        entries.insert(name.to_owned(), json!({"valueFrom": {"secretKeyRef": from}}));
    }
    for (name, value) in &frame.platform.env {
        entries.insert(name.clone(), json!({"value": value}));
    }
    for name in frame.platform.credentials.keys().filter(|name| sealed.has(name)) {
        let from = json!({"name": sealed_name(component_name), "key": name});
        entries.insert(name.clone(), json!({"valueFrom": {"secretKeyRef": from}}));
    }
    if let RunKind::Continuous { port: Some(port), .. } = &component.run.kind {
        entries.insert("PORT".to_owned(), json!({"value": port.number.to_string()}));
    }
    let named = entries.into_iter().map(|(name, mut entry)| {
        entry["name"] = name.into();
        entry
    });
    Ok(named.collect())
}

/// The variables of the tool's and the component's declared secrets. What the component says for itself holds for it,
/// also where the tool has a secret of that name.
pub(crate) fn secrets<'a>(frame: &Frame<'a>, component: &'a Component) -> BTreeSet<&'a str> {
    let of_tool = frame.config.secrets.iter().filter(|name| !component.env.contains_key(*name));
    of_tool.chain(&component.secrets).map(String::as_str).collect()
}

fn mounts(component: &Component) -> Vec<Value> {
    let mut mounts = vec![json!({"name": "scratch", "mountPath": "/tmp"})];
    if component.run.mount_dumps {
        mounts.push(json!({"name": "dumps", "mountPath": DUMPS_PATH, "readOnly": true}));
    }
    mounts
}

fn volumes(frame: &Frame<'_>, component: &Component) -> Result<Vec<Value>, Refusal> {
    let mut volumes = vec![json!({"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_SIZE}})];
    if component.run.mount_dumps {
        volumes.push(match &frame.platform.dumps {
            Some(Dumps::PersistentVolumeClaim { claim_name }) => {
                json!({"name": "dumps", "persistentVolumeClaim": {"claimName": claim_name, "readOnly": true}})
            }
            Some(Dumps::Csi { driver, attributes }) if attributes.is_empty() => {
                json!({"name": "dumps", "csi": {"driver": driver, "readOnly": true}})
            }
            Some(Dumps::Csi { driver, attributes }) => {
                json!({"name": "dumps", "csi": {"driver": driver, "readOnly": true, "volumeAttributes": attributes}})
            }
            None => {
                let message = "this platform has no dumps to mount".to_owned();
                return Err(Refusal::new(Code::DumpsUnavailable, "run.mount", message));
            }
        });
    }
    Ok(volumes)
}
