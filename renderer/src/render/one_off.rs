//! A component that runs once per key and gates the rollout: a Job named after its key.
//!
//! The key is what the tool says is to be run: image digest, command, its own environment and `run_id`. What the
//! platform adds to the environment is no part of it, or a new platform variable would run every migration again. The
//! finished Job stays until it is pruned: its result has to be seen and recorded first.

use super::meta::JOB;
use super::{Frame, Refusal, scheduled};
use crate::config::Component;
use crate::length_prefixed::LengthPrefixed;
use crate::names::{ComponentName, stem};
use crate::object::Object;
use crate::rendered::KEY_PLACEHOLDER;
use serde_json::{Value, json};

pub(crate) fn objects(frame: &Frame<'_>, name: &ComponentName, component: &Component) -> Result<Vec<Object>, Refusal> {
    let spec = scheduled::job_spec(frame, name, component)?;
    let mut object = frame.object(JOB, name, component, json!({"spec": Value::Object(spec)}));
    object.id.name = format!("{}-{KEY_PLACEHOLDER}", stem(name.as_str()));
    object.value["metadata"]["name"] = object.id.name.clone().into();
    Ok(vec![object])
}

/// What the key is made of besides the digest.
pub(crate) fn key_parts(frame: &Frame<'_>, component: &Component, run_id: Option<&str>) -> String {
    let mut env = frame.config.env.clone();
    env.extend(component.env.clone());
    let mut parts = LengthPrefixed::new("one-off");
    parts.text(&component.run.command).map(&env).optional(run_id);
    parts.into_text()
}
