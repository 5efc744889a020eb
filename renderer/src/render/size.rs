//! How much a tool's objects take, all together. What stands once in a file, in `env`, is copied into every component:
//! so a file of 1 MiB could make 25 MiB of objects, which every watch, store and plan would carry.

use super::{Frame, Refusal};
use crate::config::Places;
use crate::diagnostic::Code;
use crate::object::Object;
use crate::rendered::{ComponentKind, Rendered, Withheld};
use serde_json::Value;

/// Most bytes of all objects of a tool, as JSON: 200 components of a size that is common take a third of it.
pub(super) const MAX_RENDERED_BYTES: usize = 2 << 20;
/// What no component exceeds besides its environment: one command, three probes, ten paths.
const WITHOUT_ENV_BYTES: usize = 64 << 10;

/// Withholds the components with the largest objects until the others fit.
pub(super) fn bound(rendered: &mut Rendered, frame: &Frame<'_>, places: &Places) {
    if at_most_bytes(frame) <= MAX_RENDERED_BYTES {
        return;
    }
    let mut sizes: Vec<usize> = rendered.components.iter().map(|made| bytes_of(&made.objects)).collect();
    let mut total = bytes_of(&rendered.objects) + sizes.iter().sum::<usize>();
    let all = total;
    while total > MAX_RENDERED_BYTES {
        let Some(worst) = (0..sizes.len()).max_by_key(|at| sizes[*at]) else { break };
        let (bytes, made) = (sizes.remove(worst), rendered.components.remove(worst));
        total -= bytes;
        let message = format!(
            "the objects of all components have {all} bytes, {bytes} of them this one's; at most {MAX_RENDERED_BYTES} are allowed"
        );
        let (component, gates) = (made.name.to_string(), made.kind == ComponentKind::OneOff);
        rendered.withheld.push(Withheld { component, why: message.clone(), gates });
        let refusal = Refusal::new(Code::ObjectsTooLarge, "env", message);
        rendered.report.diagnostics.push(refusal.diagnostic(&made.name, places));
    }
}

/// Above what is rendered, told without looking at it.
fn at_most_bytes(frame: &Frame<'_>) -> usize {
    let env = |env: &std::collections::BTreeMap<String, String>| -> usize {
        env.iter().map(|(name, value)| 2 * (name.len() + value.len()) + 64).sum()
    };
    let shared = env(&frame.config.env) + env(&frame.platform.env) + frame.sealed.most_bytes() + WITHOUT_ENV_BYTES;
    let components = frame.config.components.values();
    components.map(|component| shared + env(&component.env)).sum::<usize>() + WITHOUT_ENV_BYTES
}

fn bytes_of(objects: &[Object]) -> usize {
    objects.iter().map(|object| bytes(&object.value)).sum()
}

/// As JSON without blanks, but for escapes.
fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
        Value::String(text) => text.len() + 3,
        Value::Array(items) => 2 + items.iter().map(bytes).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(key, value)| key.len() + 4 + bytes(value)).sum::<usize>(),
    }
}
