//! What one object takes of a quota in time: at rest, while one of its runs is under way, and at the most.

use super::usage::{Defaults, Usage, of_object, of_pod};
use crate::readiness::{self, Readiness};
use renderer::ObjectId;
use renderer::quantity::Quantity;
use serde_json::Value;

/// Kubernetes keeps one failed Job of a CronJob, and three successful ones, where nothing else is said.
const KEPT_FAILED: u32 = 1;
const KEPT_SUCCESSFUL: u32 = 3;
/// Of a Deployment's pods, more or fewer, where it does not say.
const SHARE: &str = "25%";
/// What a CronJob's Jobs count for.
const JOBS: [&str; 1] = ["count/jobs.batch"];

/// One object's part of a quota.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// The object itself, and for a CronJob nothing of its Jobs.
    counted: Usage,
    /// One of its pods.
    pub(super) pod: Usage,
    work: Work,
}

/// How many pods there are when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Work {
    /// None, ever.
    #[default]
    Nothing,
    /// All the time; and so many more while they are replaced, or fewer. None more where all go before the first comes.
    Always { replicas: u32, surge: Option<u32>, away: u32 },
    /// So many while it runs; so many runs at once, each a Job of its own; and so many Jobs that are kept.
    Runs { pods: u32, at_once: u32, kept: u32 },
    /// So many until it is done.
    Once { pods: u32 },
}

impl Load {
    /// Of an object as it is or as it would be. `scaled` is the number of replicas where the object leaves it open.
    pub(crate) fn of(id: &ObjectId, object: &Value, scaled: Option<u32>, defaults: &Defaults) -> Self {
        let (work, pod) = work(id, object, scaled).unwrap_or((Work::Nothing, None));
        let pod = pod.map_or_else(Usage::default, |spec| of_pod(spec, defaults));
        Self { counted: of_object(id, object), pod, work }
    }

    /// The object without anything that runs.
    pub(crate) fn idle(&self) -> Self {
        Self { work: Work::Nothing, ..self.clone() }
    }

    /// Whether its pods run all the time.
    pub(super) fn replicas(&self) -> Option<u32> {
        match self.work {
            Work::Always { replicas, .. } => Some(replicas),
            _ => None,
        }
    }

    /// How many pods more than those a rollout may start; none where it is no rollout.
    pub(super) fn surge(&self) -> Option<u32> {
        match self.work {
            Work::Always { surge, .. } => surge,
            _ => None,
        }
    }

    /// How many pods fewer than those a rollout may leave.
    pub(super) fn away(&self) -> u32 {
        match self.work {
            Work::Always { away, .. } => away,
            _ => 0,
        }
    }

    /// When nothing happens.
    pub(crate) fn at_rest(&self) -> Usage {
        self.counted.clone().plus(&self.pod.times(self.replicas().unwrap_or(0)))
    }

    /// What one run of it takes besides: the least without which it never runs.
    pub(crate) fn of_a_run(&self) -> Usage {
        match self.work {
            Work::Runs { pods, .. } => self.pod.times(pods).plus(&jobs(1)),
            Work::Once { pods } => self.pod.times(pods),
            Work::Nothing | Work::Always { .. } => Usage::default(),
        }
    }

    /// At the most, once it is as it should be.
    fn at_most(&self) -> Usage {
        match self.work {
            Work::Runs { pods, at_once, kept } => {
                self.counted.clone().plus(&self.pod.times(pods.saturating_mul(at_once))).plus(&jobs(at_once + kept))
            }
            _ => self.at_rest().plus(&self.of_a_run()),
        }
    }

    /// At the most, on the way from `before` to here. While pods are replaced there are old and new ones, and most is
    /// taken at one of both ends: beside all old ones the first new, or beside all new ones the last old.
    pub(crate) fn at_peak(&self, before: Option<&Self>, rolls: bool) -> Usage {
        let most = self.at_most().max(&before.map(Self::at_most).unwrap_or_default());
        let (Some(old), true) = (before, rolls) else { return most };
        let (Some(r_old), Work::Always { replicas, surge: Some(surge), .. }) = (old.replicas(), self.work) else {
            return most;
        };
        let first = replicas.saturating_add(surge).saturating_sub(r_old);
        let both = |old_pods: u32, new_pods: u32| {
            self.counted.clone().plus(&old.pod.times(old_pods)).plus(&self.pod.times(new_pods))
        };
        most.max(&both(r_old, first)).max(&both(r_old.min(surge), replicas))
    }

    /// At the most before it goes.
    pub(crate) fn until_gone(&self) -> Usage {
        self.at_most()
    }
}

/// What a live object's pods take now; none where that can't be told, because they are being replaced. A CronJob's Jobs
/// have no mark of ours: it names those that run.
pub(crate) fn now(id: &ObjectId, live: &Value, load: &Load) -> Option<Usage> {
    let number = |path: &str| live.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let pods = match id.kind.as_str() {
        "CronJob" => {
            let runs = live.pointer("/status/active").and_then(Value::as_array).map_or(0, Vec::len);
            return Some(load.of_a_run().times(u32::try_from(runs).unwrap_or(u32::MAX)));
        }
        "Deployment" => {
            let wanted = u64::from(load.replicas().unwrap_or(0));
            let there = number("/status/replicas");
            let seen = number("/status/observedGeneration") >= number("/metadata/generation");
            let settled = seen && there == wanted && number("/status/updatedReplicas") == there;
            if !settled {
                return None;
            }
            there
        }
        "Job" => number("/status/active"),
        _ => 0,
    };
    Some(load.pod.times(u32::try_from(pods).unwrap_or(u32::MAX)))
}

fn jobs(count: u32) -> Usage {
    let mut usage = Usage::default();
    JOBS.iter().for_each(|name| usage.add(name, Quantity::whole(count)));
    usage
}

/// What runs, and the pod it runs in.
fn work<'a>(id: &ObjectId, object: &'a Value, scaled: Option<u32>) -> Option<(Work, Option<&'a Value>)> {
    let spec = object.get("spec")?;
    let found = match (id.group.as_str(), id.kind.as_str()) {
        ("apps", "Deployment") => {
            let replicas = number(spec, "replicas").or(scaled).unwrap_or(1);
            let work = Work::Always { replicas, surge: surge(spec, replicas), away: away(spec, replicas) };
            (work, spec.pointer("/template/spec"))
        }
        ("batch", "CronJob") => {
            let template = spec.pointer("/jobTemplate/spec")?;
            (scheduled(spec, template), template.pointer("/template/spec"))
        }
        ("batch", "Job") => {
            let underway = matches!(readiness::job(object), Readiness::InProgress(_));
            let over = !underway || is_true(spec, "suspend");
            let work = if over { Work::Nothing } else { Work::Once { pods: at_once(spec) } };
            (work, spec.pointer("/template/spec"))
        }
        _ => return None,
    };
    Some(found)
}

/// How many Jobs of a CronJob run at once. What may overlap has no bound that its object tells: two are counted; and what
/// is replaced takes its room until it has ended.
fn scheduled(spec: &Value, template: &Value) -> Work {
    if is_true(spec, "suspend") {
        return Work::Nothing;
    }
    let forbid = spec.get("concurrencyPolicy").and_then(Value::as_str) == Some("Forbid");
    let kept = number(spec, "successfulJobsHistoryLimit").unwrap_or(KEPT_SUCCESSFUL)
        + number(spec, "failedJobsHistoryLimit").unwrap_or(KEPT_FAILED);
    Work::Runs { pods: at_once(template), at_once: if forbid { 1 } else { 2 }, kept }
}

/// How many pods of a Job run at once.
fn at_once(job: &Value) -> u32 {
    let parallel = number(job, "parallelism").unwrap_or(1);
    number(job, "completions").map_or(parallel, |all| parallel.min(all))
}

/// How many pods more than its replicas a rollout may start, as the server rounds it: a share up. None where all old ones
/// go first.
fn surge(spec: &Value, replicas: u32) -> Option<u32> {
    let strategy = spec.get("strategy");
    if strategy.and_then(|strategy| strategy.get("type")).and_then(Value::as_str) == Some("Recreate") {
        return None;
    }
    let written = strategy.and_then(|strategy| strategy.pointer("/rollingUpdate/maxSurge"));
    Some(part(written, replicas, u64::div_ceil))
}

/// How many pods fewer than its replicas a rollout may leave, as the server rounds it: a share down.
fn away(spec: &Value, replicas: u32) -> u32 {
    part(spec.pointer("/strategy/rollingUpdate/maxUnavailable"), replicas, |all, of| all / of)
}

/// A number, or a share of the replicas.
fn part(written: Option<&Value>, replicas: u32, rounded: impl Fn(u64, u64) -> u64) -> u32 {
    let share = match written {
        Some(Value::Number(number)) => return number.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        Some(Value::String(share)) => share.as_str(),
        _ => SHARE,
    };
    let percent: u64 = share.strip_suffix('%').and_then(|percent| percent.parse().ok()).unwrap_or(0);
    u32::try_from(rounded(u64::from(replicas) * percent, 100)).unwrap_or(u32::MAX)
}

fn number(spec: &Value, key: &str) -> Option<u32> {
    spec.get(key).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

fn is_true(spec: &Value, key: &str) -> bool {
    spec.get(key).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(group: &str, kind: &str, spec: Value) -> Load {
        let id = ObjectId { group: group.into(), kind: kind.into(), namespace: None, name: "a".into() };
        Load::of(&id, &json!({ "spec": spec }), None, &Defaults::default())
    }

    fn pod(memory: &str) -> Value {
        json!({"spec": {"containers": [{"resources": {"limits": {"memory": memory}}}]}})
    }

    fn deployment(replicas: u32, memory: &str, strategy: Value) -> Load {
        load("apps", "Deployment", json!({"replicas": replicas, "strategy": strategy, "template": pod(memory)}))
    }

    fn rolling(surge: Value) -> Value {
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0}})
    }

    fn memory(usage: &Usage) -> String {
        usage.get("limits.memory").to_string()
    }

    #[test]
    fn a_share_of_replicas_surges_as_the_server_rounds_it() {
        let peak = |replicas: u32, strategy: Value| {
            let one = deployment(replicas, "1Gi", strategy);
            memory(&one.at_peak(Some(&one), true))
        };
        assert_eq!(peak(4, rolling(json!(1))), "5Gi");
        assert_eq!(peak(4, rolling(json!("25%"))), "5Gi");
        assert_eq!(peak(5, rolling(json!("25%"))), "7Gi", "up");
        assert_eq!(peak(5, Value::Null), "7Gi", "the default");
        assert_eq!(peak(5, rolling(json!(0))), "5Gi");
        assert_eq!(peak(5, json!({"type": "Recreate"})), "5Gi", "all go first");
    }

    #[test]
    fn most_is_taken_at_the_beginning_or_at_the_end_of_a_rollout() {
        let (small, large) = (deployment(3, "1Gi", rolling(json!(1))), deployment(3, "2Gi", rolling(json!(1))));
        assert_eq!(memory(&large.at_peak(Some(&small), true)), "7Gi", "the last old beside all new");
        assert_eq!(memory(&small.at_peak(Some(&large), true)), "7Gi", "the first new beside all old");
        let more = deployment(5, "1Gi", rolling(json!(1)));
        assert_eq!(memory(&more.at_peak(Some(&small), true)), "6Gi");
        assert_eq!(memory(&more.at_peak(Some(&small), false)), "5Gi", "the same pods, only more");
        assert_eq!(memory(&small.at_peak(Some(&more), false)), "5Gi", "what is there stays until it goes");
        assert_eq!(memory(&more.at_peak(None, false)), "5Gi");
    }

    #[test]
    fn runs_take_room_at_the_peak_and_none_at_rest() {
        let job = |spec: Value| load("batch", "Job", spec);
        let one_off = job(json!({"parallelism": 3, "completions": 2, "template": pod("1Gi")}));
        assert_eq!((memory(&one_off.at_rest()), memory(&one_off.of_a_run())), ("0".into(), "2Gi".into()));
        assert_eq!(one_off.at_rest().get("count/jobs.batch").to_string(), "1");
        let cron = |spec: Value| {
            let mut all = json!({"jobTemplate": {"spec": {"template": pod("1Gi")}}});
            spec.as_object().expect("keys").iter().for_each(|(key, value)| all[key] = value.clone());
            let cron = load("batch", "CronJob", all);
            let peak = cron.at_peak(None, false);
            [memory(&cron.at_rest()), memory(&cron.of_a_run()), memory(&peak), peak.get("count/jobs.batch").to_string()]
        };
        assert_eq!(cron(json!({"concurrencyPolicy": "Forbid"})), ["0", "1Gi", "1Gi", "5"]);
        assert_eq!(
            cron(json!({"concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 0})),
            ["0", "1Gi", "2Gi", "3"]
        );
        assert_eq!(cron(json!({"suspend": true})), ["0", "0", "0", "0"]);
    }

    #[test]
    fn what_is_over_or_stopped_runs_nothing() {
        let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}, "spec": {"template": pod("1Gi")}});
        let id = ObjectId { group: "batch".into(), kind: "Job".into(), namespace: None, name: "a".into() };
        let of = |job: &Value| memory(&Load::of(&id, job, None, &Defaults::default()).of_a_run());
        assert_eq!(of(&done), "0");
        assert_eq!(of(&json!({"spec": {"template": pod("1Gi")}})), "1Gi");
        assert_eq!(memory(&deployment(0, "1Gi", Value::Null).at_rest()), "0");
    }

    #[test]
    fn while_pods_are_replaced_nobody_can_tell_what_they_take() {
        let id = ObjectId { group: "apps".into(), kind: "Deployment".into(), namespace: None, name: "a".into() };
        let taken = |generation: u32, replicas: u32, updated: u32| {
            let status = json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated});
            let live = json!({"metadata": {"generation": generation}, "status": status});
            now(&id, &live, &deployment(2, "1Gi", Value::Null)).map(|usage| memory(&usage))
        };
        assert_eq!(taken(2, 2, 2).as_deref(), Some("2Gi"));
        assert_eq!((taken(3, 2, 2), taken(2, 3, 2), taken(2, 2, 1)), (None, None, None));
    }
}
