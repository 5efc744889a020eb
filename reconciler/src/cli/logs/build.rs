//! What a build says: its phases one after another, as they stand in its pods.

use super::super::builds;
use super::super::connect::Connected;
use super::super::target::{AtArgs, unread};
use super::{Args, known, next_line};
use crate::ui::{Exit, Failure, Style, Ui, failed, json_fit};
use futures::TryStreamExt as _;
use http_body_util::BodyExt as _;
use planner::builds::{Build, BuildState};
use planner::kinds::Kind;
use planner::observed::uid_of;
use reconciler::cluster::address;
use reconciler::cluster::call::{self, CallError};
use reconciler::secrets::masked;
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at a phase that has not begun.
const PAUSE: Duration = Duration::from_millis(500);
/// `--follow` ends by itself with the build; this is only for one that never begins.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// A build to its end.
pub struct Follow<'a> {
    pub of: &'a Build,
    /// How long it is waited for.
    pub left: Duration,
}

/// A container of a build's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Phase {
    pod: String,
    name: String,
    state: PhaseState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PhaseState {
    Waits,
    Runs,
    Over,
    /// Its pod has ended before it could begin.
    Never,
}

/// `logs TOOL --build [COMPONENT]`: the newest build.
pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let at = AtArgs { config: None, platform: args.platform.clone(), cluster: args.cluster.clone() };
    let (connected, declared) = at.find(ui).await?;
    let all = builds::read(&connected.cluster, &declared, Some(&args.tool)).await?;
    let is_of = |build: &&Build| {
        args.component.as_ref().is_none_or(|name| build.components.iter().any(|component| component == name.as_str()))
    };
    let Some(newest) = all.iter().find(is_of) else {
        let of = args.component.as_ref().map_or_else(String::new, |component| format!(" of {component}"));
        let hint = format!("`toolforge diff {}` says whether one is due.", args.tool);
        return Err(failed(format!("tool {} has no build{of} that is kept", args.tool)).hint(hint).into());
    };
    let now = reconciler::pass::now();
    ui.say(&format!("build {} of {}: {}", newest.short(), newest.components.join(", "), newest.state.word()));
    let said = if args.follow {
        follow(&connected, &Follow { of: newest, left: FOREVER }, ui).await?
    } else {
        let mut said = 0;
        for phase in phases(&connected, newest).await?.iter().filter(|phase| phase.has_begun()) {
            print(&connected, newest, phase, args, ui).await?;
            said += 1;
        }
        said
    };
    if said == 0 && newest.state.is_over() {
        ui.say(&format!("its pods are gone; it took {}", builds::took(newest, now)));
        if let Some(why) = &newest.why {
            ui.say(&format!("it ended: {why}"));
        }
    }
    Ok(Exit::Done)
}

/// Prints what each phase says, from its beginning to its end, until the last has ended. Returned is how many spoke.
pub async fn follow(connected: &Connected, follow: &Follow<'_>, ui: &Ui) -> anyhow::Result<usize> {
    let begun = Instant::now();
    let mut said: Vec<(String, String)> = Vec::new();
    loop {
        let all = phases(connected, follow.of).await?;
        let next = all.iter().find(|phase| phase.state != PhaseState::Never && !said.contains(&phase.key()));
        match next {
            Some(phase) if phase.has_begun() => {
                stream(connected, follow.of, phase, &[("follow", "true")], ui).await?;
                said.push(phase.key());
            }
            None if is_over(connected, follow.of).await? => return Ok(said.len()),
            _ if begun.elapsed() > follow.left => return Ok(said.len()),
            _ => sleep(PAUSE).await,
        }
    }
}

/// Whether nothing more will be said: it has ended, or is gone.
async fn is_over(connected: &Connected, of: &Build) -> Result<bool, Failure> {
    let row = Kind::of_id(&of.object).ok_or_else(|| failed(format!("{} is no kind we speak", of.object.kind)))?;
    match call::get(&connected.cluster.client, &address::object(row, &of.object), None).await {
        Ok(bytes) => {
            let live: Value = call::parse(&bytes).map_err(|error| unread("the build", error))?;
            Ok(uid_of(&live) != Some(&of.uid) || BuildState::of(&live).is_over())
        }
        Err(error) if error.code() == Some(404) => Ok(true),
        Err(error) => Err(unread("the build", error)),
    }
}

async fn print(connected: &Connected, of: &Build, phase: &Phase, args: &Args, ui: &Ui) -> anyhow::Result<()> {
    let numbers = [("tailLines", args.tail), ("sinceSeconds", args.since)];
    let numbers: Vec<_> =
        numbers.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.to_string()))).collect();
    let pairs: Vec<_> = numbers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    stream(connected, of, phase, &pairs, ui).await
}

async fn stream(
    connected: &Connected,
    of: &Build,
    phase: &Phase,
    options: &[(&str, &str)],
    ui: &Ui,
) -> anyhow::Result<()> {
    let cannot = |error: CallError| failed(format!("cannot read the log of phase {}", phase.name)).because(error);
    let namespace = of.object.namespace.as_deref().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}/log", phase.pod);
    let path = address::query(&path, &[&[("container", phase.name.as_str())], options].concat());
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| failed("cannot ask for a log").because(error))?;
    let body = call::open(&connected.cluster.client, request).await.map_err(cannot)?;
    let mask = known::mask(&connected.cluster.client, &of.tool).await?;
    let bytes = masked(&mask, body.into_data_stream().map_err(io::Error::other));
    let mut bytes = futures::io::BufReader::new(Box::pin(bytes).into_async_read());
    let broke_off = |error| failed(format!("the log of phase {} broke off", phase.name)).because(error);
    while let Some(text) = next_line(&mut bytes).await.map_err(broke_off)? {
        ui.data(&shown(of, phase, &text, ui))?;
    }
    Ok(())
}

fn shown(of: &Build, phase: &Phase, text: &str, ui: &Ui) -> String {
    if ui.json {
        let object = json!({"build": of.id, "phase": phase.name, "line": text});
        return format!("{}\n", json_fit(&object.to_string()));
    }
    format!("{}  {text}\n", ui.data_in(Style::Faint, &format!("{:8}", phase.name)))
}

/// The phases of a build in the order in which they run.
async fn phases(connected: &Connected, of: &Build) -> Result<Vec<Phase>, Failure> {
    let label = if of.object.kind == "PipelineRun" { "tekton.dev/pipelineRun" } else { "batch.kubernetes.io/job-name" };
    let path = format!("/api/v1/namespaces/{}/pods", of.object.namespace.as_deref().unwrap_or_default());
    let path = address::query(&path, &[("labelSelector", &format!("{label}={}", of.object.name))]);
    let bytes = call::get(&connected.cluster.client, &path, None).await;
    let bytes = bytes.map_err(|error| unread("the pods of the build", error))?;
    let list: Value = call::parse(&bytes).map_err(|error| unread("the pods of the build", error))?;
    Ok(phases_of(list.get("items").and_then(Value::as_array).map_or(&[], Vec::as_slice)))
}

fn phases_of(pods: &[Value]) -> Vec<Phase> {
    let text =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut pods: Vec<&Value> = pods.iter().collect();
    pods.sort_by_key(|pod| (text(pod, "/metadata/creationTimestamp"), text(pod, "/metadata/name")));
    let mut phases = Vec::new();
    for pod in pods {
        let over = matches!(text(pod, "/status/phase").as_str(), "Succeeded" | "Failed");
        for (specs, statuses) in [("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")] {
            let list = |at: &str| pod.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
            let known = list(&format!("/status/{statuses}"));
            for container in list(&format!("/spec/{specs}")) {
                let name = text(&container, "/name");
                let status = known.iter().find(|status| status.get("name") == container.get("name"));
                let state = status.and_then(|status| status.get("state"));
                let is = |word: &str| state.is_some_and(|state| state.get(word).is_some());
                let state = match () {
                    () if is("terminated") => PhaseState::Over,
                    () if is("running") => PhaseState::Runs,
                    () if over => PhaseState::Never,
                    () => PhaseState::Waits,
                };
                phases.push(Phase { pod: text(pod, "/metadata/name"), name, state });
            }
        }
    }
    phases
}

impl Phase {
    fn has_begun(&self) -> bool {
        matches!(self.state, PhaseState::Runs | PhaseState::Over)
    }

    fn key(&self) -> (String, String) {
        (self.pod.clone(), self.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_come_in_the_order_in_which_they_run_and_what_never_began_is_told_apart() {
        let status = |name: &str, state: &str| json!({"name": name, "state": {(state): {}}});
        let pod = |name: &str, time: &str, phase: &str| {
            json!({
                "metadata": {"name": name, "creationTimestamp": time},
                "spec": {
                    "initContainers": [{"name": "fetch"}, {"name": "detect"}, {"name": "build"}],
                    "containers": [{"name": "export"}],
                },
                "status": {
                    "phase": phase,
                    "initContainerStatuses": [status("detect", "running"), status("fetch", "terminated")],
                    "containerStatuses": [status("export", "waiting")],
                },
            })
        };
        let told = |pods: &[Value]| -> Vec<String> {
            phases_of(pods).iter().map(|phase| format!("{} {} {:?}", phase.pod, phase.name, phase.state)).collect()
        };
        let (late, early) = (pod("b", "2026-01-01T00:00:02Z", "Pending"), pod("a", "2026-01-01T00:00:01Z", "Failed"));
        assert_eq!(
            told(&[late, early]),
            [
                "a fetch Over",
                "a detect Runs",
                "a build Never",
                "a export Never",
                "b fetch Over",
                "b detect Runs",
                "b build Waits",
                "b export Waits",
            ]
        );
        assert_eq!(told(&[]), <[String; 0]>::default());
    }
}
