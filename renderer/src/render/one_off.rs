//! A component that runs once per key and gates the rollout: a Job named after its key.
//!
//! The key is what the tool says is to be run: image digest, command, its own environment and `run_id`. What the
//! platform adds to the environment is no part of it, or a new platform variable would run every migration again. The
//! finished Job stays until it is pruned: its result has to be seen and recorded first.

use super::meta::JOB;
use super::{Frame, Refusal, scheduled};
use crate::config::Component;
use crate::length_prefixed::{LengthPrefixed, hex};
use crate::names::ComponentName;
use crate::object::Object;
use crate::rendered::KEY_PLACEHOLDER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A Job's name becomes a label, so it has at most 63 characters: 50, a hyphen and 12 of the key.
const STEM_MAX: usize = 50;

pub(crate) fn objects(frame: &Frame<'_>, name: &ComponentName, component: &Component) -> Result<Vec<Object>, Refusal> {
    let spec = scheduled::job_spec(frame, name, component)?;
    let mut object = frame.object(JOB, name, component, json!({"spec": Value::Object(spec)}));
    object.id.name = format!("{}-{KEY_PLACEHOLDER}", stem(name));
    object.value["metadata"]["name"] = object.id.name.clone().into();
    Ok(vec![object])
}

/// The component's name; where it is too long, as much as fits and 8 digits of its hash.
fn stem(name: &ComponentName) -> String {
    let text = name.as_str();
    if text.len() <= STEM_MAX {
        return text.to_owned();
    }
    format!("{}-{}", &text[..STEM_MAX - 9], &hex(&Sha256::digest(text.as_bytes()))[..8])
}

/// What the key is made of besides the digest.
pub(crate) fn key_parts(frame: &Frame<'_>, component: &Component, run_id: Option<&str>) -> String {
    let mut env = frame.config.env.clone();
    env.extend(component.env.clone());
    let mut parts = LengthPrefixed::new("one-off");
    parts.text(&component.run.command).map(&env).optional(run_id);
    parts.into_text()
}
