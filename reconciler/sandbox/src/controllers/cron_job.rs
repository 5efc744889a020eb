//! CronJobs, where a node can run what they make: one Job for each time of the schedule that is not missed for too long.
//! Of several missed times only the last is made up for.

use super::conditions::holds;
use super::job::finished_at;
use super::{CONTROLLER_MANAGER, controlled_by};
use crate::cluster::Cluster;
use crate::resource::Resource;
use crate::store::{Entry, Key};
use crate::value::{self, Object};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

/// Annotation of a Job: the time for which it was made.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

impl Cluster {
    pub(super) fn tend_cron_job(&mut self, entry: &Arc<Entry>, now: Timestamp) {
        let object = entry.object();
        let jobs = self.controlled(entry, "Job");
        let (done, mut active): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| is_finished(&job.object()));
        active.retain(|job| !value::is_terminating(&job.object()));
        self.forget_finished(&object, &done, now);
        let mut last = time_at(&object, "status.lastScheduleTime");
        let due = Schedule::of(&object).and_then(|schedule| self.due(entry, &object, &schedule, now));
        if let Some(at) = due
            && self.may_start(&object, &active)
        {
            if value::text(&object, "spec.concurrencyPolicy") == "Replace" {
                for job in active.drain(..) {
                    self.delete_as_controller(&job, now);
                }
            }
            active.extend(self.start_job(entry, &object, at, now));
            last = Some(at);
        }
        let status = status(&object, last, &active, &done);
        self.set_status(entry, CONTROLLER_MANAGER, status, now);
    }

    /// The time for which a Job is to be made now. It is looked again at the next one.
    fn due(&mut self, entry: &Entry, object: &Object, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
        if value::at(object, "spec.suspend") == Some(&json!(true)) {
            return None;
        }
        if let Some(next) = schedule.after(now) {
            self.dirty.wake_at(next, &entry.key);
        }
        let made: Option<Timestamp> = value::meta(object, "creationTimestamp").parse().ok();
        let since = time_at(object, "status.lastScheduleTime").or(made)?;
        let at = schedule.last_until(now).filter(|at| *at > since)?;
        let patience = value::number(object, "spec.startingDeadlineSeconds").map(SignedDuration::from_secs);
        let late = patience.is_some_and(|patience| now.duration_since(at) > patience);
        (!late).then_some(at)
    }

    fn may_start(&self, object: &Object, active: &[Arc<Entry>]) -> bool {
        active.is_empty() || value::text(object, "spec.concurrencyPolicy") != "Forbid"
    }

    /// The Job of one time has one name: it is never made twice.
    fn start_job(&mut self, entry: &Arc<Entry>, object: &Object, at: Timestamp, now: Timestamp) -> Option<Arc<Entry>> {
        let name = format!("{}-{}", entry.key.name, at.as_second() / 60);
        let key = Key::new("Job", &entry.key.namespace, &name);
        if self.store.get(&key).is_none() {
            let template = |field: &str| value::at(object, "spec.jobTemplate").and_then(|one| one.get(field)).cloned();
            let mut metadata = template("metadata").unwrap_or_else(|| json!({}));
            metadata["name"] = json!(name);
            metadata["annotations"][SCHEDULED] = json!(value::time_text(at));
            metadata["ownerReferences"] = controlled_by(entry);
            let job = json!({"metadata": metadata, "spec": template("spec")});
            self.make("Job", &entry.key.namespace, job, now);
        }
        self.store.get(&key).cloned()
    }

    /// `successfulJobsHistoryLimit` and `failedJobsHistoryLimit`.
    fn forget_finished(&mut self, object: &Object, done: &[Arc<Entry>], now: Timestamp) {
        for (kind, path, default) in
            [("Complete", "spec.successfulJobsHistoryLimit", 3), ("Failed", "spec.failedJobsHistoryLimit", 1)]
        {
            let limit = value::number(object, path).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(default);
            let mut ended: Vec<_> = done.iter().filter(|job| holds(&job.object(), kind)).collect();
            ended.sort_by_key(|job| finished_at(&job.object()));
            let excess = ended.len().saturating_sub(limit);
            for job in ended.into_iter().take(excess) {
                self.delete_as_controller(job, now);
            }
        }
    }
}

/// When it runs, and by which clock; UTC where none is named.
struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// None for what can't be read: the CronJob then never runs, as on a cluster.
    fn of(object: &Object) -> Option<Self> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let zone = match value::text(object, "spec.timeZone") {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).ok()?,
        };
        Some(Self { cron: parser.parse(value::text(object, "spec.schedule")).ok()?, zone })
    }

    fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false);
        found.ok().map(|at| at.timestamp())
    }

    fn last_until(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true);
        found.ok().map(|at| at.timestamp())
    }
}

fn is_finished(job: &Object) -> bool {
    holds(job, "Complete") || holds(job, "Failed")
}

fn time_at(object: &Object, path: &str) -> Option<Timestamp> {
    value::text(object, path).parse().ok()
}

fn status(object: &Object, last: Option<Timestamp>, active: &[Arc<Entry>], done: &[Arc<Entry>]) -> Value {
    let mut status = json!({});
    if let Some(last) = last {
        status["lastScheduleTime"] = json!(value::time_text(last));
    }
    let good = done.iter().map(|job| job.object()).filter(|job| holds(job, "Complete"));
    let good = good.filter_map(|job| finished_at(&job)).max();
    if let Some(good) = good.max(time_at(object, "status.lastSuccessfulTime")) {
        status["lastSuccessfulTime"] = json!(value::time_text(good));
    }
    let refs: Vec<Value> = active.iter().map(|job| reference(job)).collect();
    if !refs.is_empty() {
        status["active"] = json!(refs);
    }
    status
}

fn reference(job: &Entry) -> Value {
    let version = Resource::by_kind(job.key.kind).map(Resource::api_version);
    json!({
        "apiVersion": version, "kind": job.key.kind, "namespace": job.key.namespace, "name": job.key.name,
        "uid": job.uid,
    })
}
