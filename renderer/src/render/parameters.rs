//! What admission rules have to know of a platform: their parameters, as a ConfigMap holds them.
//!
//! One set for all tools of a platform, so what differs by tool is the most that any tool may have; what one tool may
//! have is its LimitRange, its ResourceQuota and the labels of its namespace.

use super::pod::SCRATCH_SIZE;
use super::resources::limits_of;
use crate::platform::{Dumps, Platform};
use crate::quantity::Quantity;
use crate::tool::Tool;
use std::collections::BTreeMap;

/// The parameters, by key; `docs/policy.md` lists them.
#[must_use]
pub fn policy_parameters(platform: &Platform, tools: &[Tool]) -> BTreeMap<String, String> {
    let user = platform.system_user;
    let mut parameters = BTreeMap::from([
        ("domain", platform.domain.clone()),
        ("registry", platform.registry.host.clone()),
        ("images", platform.allowed_images.join("\n")),
        ("uid", user.uid.to_string()),
        ("gid", user.gid.to_string()),
        ("scratch", SCRATCH_SIZE.to_owned()),
    ]);
    for (key, resource) in [("max-cpu", "cpu"), ("max-memory", "memory")] {
        parameters.extend(most(platform, tools, resource).map(|most| (key, most)));
    }
    match &platform.dumps {
        Some(Dumps::PersistentVolumeClaim { claim_name }) => drop(parameters.insert("dumps-claim", claim_name.clone())),
        Some(Dumps::Csi { driver, attributes }) => {
            let lines: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            parameters.insert("dumps-driver", driver.clone());
            parameters.insert("dumps-attributes", lines.join("\n"));
        }
        None => {}
    }
    parameters.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The most of a resource that a container of any tool may have; none where it is unbounded for one of them.
fn most(platform: &Platform, tools: &[Tool], resource: &str) -> Option<String> {
    let of_tools = tools.iter().map(|tool| limits_of(&platform.limits, &tool.limits).max.remove(resource));
    let all: Option<Vec<String>> = of_tools.chain([platform.limits.max.get(resource).cloned()]).collect();
    all?.into_iter().max_by_key(|text| text.parse::<Quantity>().map_or(i128::MAX, |quantity| quantity.nanos()))
}
