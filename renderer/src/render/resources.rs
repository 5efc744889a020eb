//! What a component's container may use, and whether the tool's quota holds one more of it.
//!
//! As today: a cpu that is written is request and limit; memory up to 512Mi is requested whole, more of it by half,
//! because few tools use what they ask for and quotas count limits. What is not written comes from the platform's
//! (or the tool's own) default limits. The user's text is kept; only a computed half is printed anew.

use super::Refusal;
use crate::config::{Component, Config, Run, RunKind};
use crate::diagnostic::Code;
use crate::platform::{Limits, LimitsPatch};
use crate::quantity::{BadQuantity, Quantity};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Up to here memory is requested whole.
const WHOLE_MEMORY: &str = "512Mi";
/// Where the platform says nothing: today's defaults.
const DEFAULT_CPU: &str = "1";
const DEFAULT_CPU_REQUEST: &str = "100m";
const DEFAULT_MEMORY: &str = "512Mi";

/// A quantity and how it is written.
#[derive(Debug, Clone)]
struct Amount {
    text: String,
    value: Quantity,
}

impl Amount {
    fn new(key: &'static str, text: &str) -> Result<Self, Refusal> {
        let bad = |error: BadQuantity| Refusal::new(Code::BadQuantity, key, error.to_string());
        let value = text.parse().map_err(bad)?;

        Ok(Self { text: text.to_owned(), value })
    }
}

/// Requests and limits of one container.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    cpu_request: Amount,
    cpu_limit: Amount,
    memory_request: Amount,
    memory_limit: Amount,
}

impl Resources {
    /// By today's rule. Whether what is written lies within the tool's limits was checked where it was read; what is
    /// computed here is kept above their minimum.
    pub(crate) fn of(run: &Run, limits: &Limits) -> Result<Self, Refusal> {
        let or = |map: &BTreeMap<String, String>, key: &str, default: &str| {
            map.get(key).map_or(default, String::as_str).to_owned()
        };
        let (cpu_request, cpu_limit) = match &run.cpu {
            Some(cpu) => (Amount::new("run.cpu", cpu)?, Amount::new("run.cpu", cpu)?),
            None => {
                let limit = Amount::new("run.cpu", &or(&limits.default, "cpu", DEFAULT_CPU))?;
                let request = Amount::new("run.cpu", &or(&limits.default_request, "cpu", DEFAULT_CPU_REQUEST))?;
                (smaller(request, &limit), limit)
            }
        };
        let written = run.memory.clone().unwrap_or_else(|| or(&limits.default, "memory", DEFAULT_MEMORY));
        let memory_limit = Amount::new("run.memory", &written)?;
        let whole = Amount::new("run.memory", WHOLE_MEMORY)?;
        let memory_request =
            if memory_limit.value <= whole.value { memory_limit.clone() } else { halved(&memory_limit) };
        Ok(Self {
            cpu_request: at_least(cpu_request, limits.min.get("cpu")),
            memory_request: at_least(memory_request, limits.min.get("memory")),
            cpu_limit,
            memory_limit,
        })
    }

    /// `resources:` of the container.
    pub(crate) fn value(&self) -> Value {
        json!({
            "requests": {"cpu": self.cpu_request.text, "memory": self.memory_request.text},
            "limits": {"cpu": self.cpu_limit.text, "memory": self.memory_limit.text},
        })
    }

    /// What one pod counts against a quota's key; none for keys that pods don't use.
    fn counted(&self, key: &str) -> Option<Quantity> {
        match key {
            "pods" | "count/pods" => Some(Quantity::whole(1)),
            "cpu" | "requests.cpu" => Some(self.cpu_request.value),
            "memory" | "requests.memory" => Some(self.memory_request.value),
            "limits.cpu" => Some(self.cpu_limit.value),
            "limits.memory" => Some(self.memory_limit.value),
            _ => None,
        }
    }
}

fn at_least(amount: Amount, min: Option<&String>) -> Amount {
    match min.and_then(|text| Amount::new("run", text).ok()) {
        Some(min) if amount.value < min.value => min,
        _ => amount,
    }
}

fn smaller(amount: Amount, bound: &Amount) -> Amount {
    if amount.value > bound.value { bound.clone() } else { amount }
}

fn halved(amount: &Amount) -> Amount {
    let value = amount.value.half();
    Amount { text: value.to_string(), value }
}

/// One key of the tool's quota, and what all its continuous components use of it. Scheduled and one-off pods come and
/// go, so they delay a rollout and don't prevent it; several components that roll at once take turns in the room there
/// is.
pub(crate) struct Used {
    key: String,
    hard: Quantity,
    running: Quantity,
}

/// All keys that pods count against.
pub(crate) fn quota_use(config: &Config, limits: &Limits) -> Vec<Used> {
    let running: Vec<(u32, Resources)> =
        config.components.values().filter_map(|component| running(component, limits)).collect();
    let used = |(key, hard): (&String, &String)| {
        let sum = running
            .iter()
            .filter_map(|(replicas, each)| Some(each.counted(key)?.times(*replicas)))
            .reduce(|sum, each| sum.plus(&each))?;
        Some(Used { key: key.clone(), hard: hard.parse().ok()?, running: sum })
    };
    limits.quota.iter().filter_map(used).collect()
}

fn running(component: &Component, limits: &Limits) -> Option<(u32, Resources)> {
    let RunKind::Continuous { replicas, .. } = component.run.kind else { return None };
    Some((replicas, Resources::of(&component.run, limits).ok()?))
}

/// The first key of the quota that does not hold one more pod of this size.
pub(crate) fn no_room_for_one_more(quota: &[Used], one_more: &Resources) -> Option<String> {
    let full = |used: &&Used| one_more.counted(&used.key).is_some_and(|more| used.running.plus(&more) > used.hard);
    quota.iter().find(full).map(|used| format!("{} {}", used.key, used.hard))
}

/// The platform's limits with a tool's overrides. A default never exceeds an overridden maximum: the API server
/// refuses such a LimitRange.
pub(crate) fn limits_of(platform: &Limits, patch: &LimitsPatch) -> Limits {
    let over = |base: &BTreeMap<String, String>, patch: &BTreeMap<String, String>| {
        let mut merged = base.clone();
        merged.extend(patch.clone());
        merged
    };
    let max = over(&platform.max, &patch.max);
    let default = at_most(over(&platform.default, &patch.default), &max);
    Limits {
        quota: over(&platform.quota, &patch.quota),
        min: over(&platform.min, &patch.min),
        default_request: at_most(over(&platform.default_request, &patch.default_request), &default),
        default,
        max,
    }
}

fn at_most(mut values: BTreeMap<String, String>, bounds: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (key, text) in &mut values {
        let Some(max) = bounds.get(key) else { continue };
        let (Ok(value), Ok(max)) = (Amount::new("run", text), Amount::new("run", max)) else { continue };
        if value.value > max.value {
            *text = max.text;
        }
    }
    values
}
