//! A pod's own words. A Deployment says only that pods are missing; why stands in the status of each pod.
//!
//! The words are made so that they stay the same while the trouble does: no counters, no times, no back-off that grows.
//! Else each restart would be news.
//!
//! A kubelet takes the end of what a container left or logged, so that a long message may begin within a word, and a
//! secret that begins before it would not be known again: such a message is told from its second line on.

use super::condition::{condition, list, text};
use serde_json::Value;

/// What keeps a pod from serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In the kubelet's or scheduler's words: `web: CrashLoopBackOff, exit code 1 (Error)`.
    pub why: String,
    /// It was tried again and again, or can't be tried at all: waiting will not help. Else it may come by itself.
    pub failed: bool,
}

/// Longest text of a container or the kubelet that is repeated, in characters.
const MAX_CHARS: usize = 200;
/// A message of a kubelet that has so many bytes has lost its beginning: it is the end of a log, at most
/// `MaxContainerTerminationMessageLogLength` (kubelet, `container/runtime.go`), or of a file of up to twice that.
const CUT_BYTES: usize = 2048;
/// All messages of a pod have no more bytes than these, in equal shares: `MaxPodTerminationMessageLogLength` there. What
/// was cut at its beginning may so be cut at its end, too.
const CUT_BYTES_OF_POD: usize = 12 * 1024;
/// Half a character at either end may be gone.
const SLACK_BYTES: usize = 6;
/// Reasons of a waiting container that no waiting ends: it was tried and is put off, or can't be tried.
const HOPELESS: [&str; 9] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
    "StartError",
];
/// Reasons of a waiting container that is merely on its way.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What keeps this pod from serving, worst first; none where it serves, is on its way, is done, or is being deleted.
#[must_use]
pub fn pod_trouble(pod: &Value) -> Option<Trouble> {
    let ready = condition(pod, "Ready").is_some_and(|ready| ready.is("True"));
    let phase = text(pod, "/status/phase");
    if ready || phase == Some("Succeeded") || crate::observed::is_terminating(pod) {
        return None;
    }
    let cut_bytes = cut_bytes(pod);
    let of_containers = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list_name| list(pod, &format!("/status/{list_name}")))
        .filter_map(|status| container_trouble(status, cut_bytes));
    let is_over = phase == Some("Failed");
    let of_containers = of_containers.map(|trouble| Trouble { failed: trouble.failed || is_over, ..trouble });
    // What the kubelet says of the whole pod comes before what it says of the containers that went with it.
    let whole = ended(pod).filter(|_| is_over);
    let mut found: Vec<_> = whole.into_iter().chain(of_containers).chain(unscheduled(pod)).collect();
    if found.is_empty() && is_over {
        found.push(Trouble { why: "Failed".to_owned(), failed: true });
    }
    let worst = found.iter().position(|trouble| trouble.failed).unwrap_or(0);
    found.into_iter().nth(worst)
}

/// From how many bytes on a message may have lost its beginning.
fn cut_bytes(pod: &Value) -> usize {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let containers: usize = lists.iter().map(|name| list(pod, &format!("/spec/{name}")).len()).sum();
    (CUT_BYTES_OF_POD / containers.max(1)).min(CUT_BYTES).saturating_sub(SLACK_BYTES)
}

/// The pod as a whole is over: evicted, past its deadline, its node gone.
fn ended(pod: &Value) -> Option<Trouble> {
    let reason = text(pod, "/status/reason")?;
    Some(Trouble { why: said(reason, text(pod, "/status/message")), failed: true })
}

/// No node takes it. One may come, or room on one.
fn unscheduled(pod: &Value) -> Option<Trouble> {
    let scheduled = condition(pod, "PodScheduled").filter(|found| found.is("False"))?;
    Some(Trouble { why: bounded(&scheduled.words()), failed: false })
}

fn container_trouble(status: &Value, cut_bytes: usize) -> Option<Trouble> {
    let name = status.get("name").and_then(Value::as_str).unwrap_or("a container");
    let named = |why: String, failed| Some(Trouble { why: format!("{name}: {why}"), failed });
    let end = |terminated: &Value| end(terminated, cut_bytes);
    let last_end = || status.pointer("/lastState/terminated").map(end);
    if let Some(reason) = text(status, "/state/waiting/reason").filter(|reason| !ON_ITS_WAY.contains(reason)) {
        let failed = HOPELESS.contains(&reason) && !is_young_crash(reason, status);
        // Of a crash the end of the last run says more than that there is a back-off.
        return match last_end().filter(|_| reason == "CrashLoopBackOff") {
            Some(end) => named(format!("{reason}, {end}"), failed),
            None => named(said(reason, text(status, "/state/waiting/message")), failed),
        };
    }
    if let Some(now) = status.pointer("/state/terminated").filter(|now| now.get("exitCode") != Some(&Value::from(0))) {
        return named(end(now), false);
    }
    // It runs again after a bad end, and is not ready yet.
    let unready = status.get("ready") == Some(&Value::Bool(false)) && status.pointer("/state/running").is_some();
    last_end().filter(|_| unready).and_then(|end| named(format!("started again after {end}"), false))
}

/// What crashes at its start may wait for something that comes with it: the first back-offs, half a minute in all, are
/// no verdict.
fn is_young_crash(reason: &str, status: &Value) -> bool {
    let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
    reason == "CrashLoopBackOff" && restarts < 3
}

/// `OOMKilled`, or `exit code 1 (Error): its last words`.
fn end(terminated: &Value, cut_bytes: usize) -> String {
    let reason = text(terminated, "/reason").unwrap_or("Error");
    let code = terminated.get("exitCode").and_then(Value::as_i64).unwrap_or(-1);
    let head = if reason == "OOMKilled" { reason.to_owned() } else { format!("exit code {code} ({reason})") };
    said(
        &head,
        text(terminated, "/message")
            .map(|message| if message.len() < cut_bytes { message } else { whole_lines(message) }),
    )
}

/// Without the line whose beginning is gone; of one long line nothing is left.
fn whole_lines(message: &str) -> &str {
    message.split_once('\n').map_or("\u{2026}", |(_, lines)| lines)
}

fn said(reason: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}: {}", bounded(message)),
        None => reason.to_owned(),
    }
}

/// One line, of bounded length: a container writes what it likes.
fn bounded(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect();
    if text.chars().count() > MAX_CHARS { format!("{line}…") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "status": status})
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"name": "web", "ready": false, "restartCount": 4, "state": state, "lastState": last})
    }

    #[track_caller]
    fn check(pod: &Value, expected: Option<(&str, bool)>) {
        let found = pod_trouble(pod);
        assert_eq!(found.as_ref().map(|trouble| (trouble.why.as_str(), trouble.failed)), expected);
    }

    fn running(statuses: Value) -> Value {
        pod(
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": statuses}),
        )
    }

    #[test]
    fn a_crash_loop_tells_how_the_last_run_ended() {
        let back_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container=web pod=web-1_a(1)"}});
        let error = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "no such\nfile", "finishedAt": "2026-01-01T00:00:00Z"}});
        check(
            &running(json!([container(back_off.clone(), error)])),
            Some(("web: CrashLoopBackOff, exit code 1 (Error): no such file", true)),
        );
        let memory = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        check(&running(json!([container(back_off, memory.clone())])), Some(("web: CrashLoopBackOff, OOMKilled", true)));
        check(
            &running(json!([container(json!({"running": {}}), memory.clone())])),
            Some(("web: started again after OOMKilled", false)),
        );
        check(&running(json!([container(memory, json!({}))])), Some(("web: OOMKilled", false)));
    }

    #[test]
    fn the_words_stay_while_the_trouble_does() {
        let with = |message: &str, restarts: u32| {
            let mut status = container(
                json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}),
                json!({"terminated": {"exitCode": 2, "reason": "Error"}}),
            );
            status["restartCount"] = json!(restarts);
            pod_trouble(&running(json!([status])))
        };
        assert_eq!(with("back-off 40s restarting", 3), with("back-off 5m0s restarting", 9));
        let young = with("back-off 10s restarting", 1).expect("trouble");
        assert!(!young.failed, "what it waits for may still come");
    }

    #[test]
    fn an_image_that_can_not_be_pulled_fails_only_after_it_was_tried() {
        let waiting = |reason: &str, message: &str| {
            pod(
                json!({"phase": "Pending", "containerStatuses": [container(json!({"waiting": {"reason": reason, "message": message}}), json!({}))]}),
            )
        };
        check(&waiting("ErrImagePull", "not found"), Some(("web: ErrImagePull: not found", false)));
        check(
            &waiting("ImagePullBackOff", "Back-off pulling image \"a:1\""),
            Some(("web: ImagePullBackOff: Back-off pulling image \"a:1\"", true)),
        );
        check(&waiting("InvalidImageName", ""), Some(("web: InvalidImageName", true)));
        check(
            &waiting("CreateContainerConfigError", "secret \"token\" not found"),
            Some(("web: CreateContainerConfigError: secret \"token\" not found", true)),
        );
        check(&waiting("ContainerCreating", ""), None);
    }

    #[test]
    fn a_pod_without_a_node_may_still_get_one() {
        let message = "0/1 nodes are available: 1 Insufficient cpu.";
        let unscheduled =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        let expected = format!("Unschedulable: {message}");
        check(&pod(json!({"phase": "Pending", "conditions": [unscheduled]})), Some((&expected, false)));
    }

    #[test]
    fn what_fails_is_told_before_what_may_come() {
        let fine = json!({"name": "a", "ready": true, "state": {"running": {}}});
        let soon = json!({"name": "b", "ready": false, "state": {"waiting": {"reason": "ErrImagePull"}}});
        let never = json!({"name": "c", "ready": false, "state": {"waiting": {"reason": "InvalidImageName"}}});
        check(&running(json!([fine, soon, never])), Some(("c: InvalidImageName", true)));
        let init = json!({"name": "init", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let waits = json!({"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}});
        let starting = pod(json!({"phase": "Pending", "initContainerStatuses": [init], "containerStatuses": [waits]}));
        check(&starting, Some(("init: CrashLoopBackOff", true)));
    }

    #[test]
    fn a_pod_that_serves_is_done_or_goes_is_in_no_trouble() {
        let crashed = container(json!({"running": {}}), json!({"terminated": {"exitCode": 1}}));
        let serves = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [crashed]});
        check(&pod(serves), None);
        check(&pod(json!({"phase": "Succeeded"})), None);
        let mut going = pod(json!({"phase": "Failed"}));
        going["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        check(&going, None);
        check(&pod(json!({"phase": "Failed", "reason": "Evicted"})), Some(("Evicted", true)));
    }

    #[test]
    fn of_a_message_that_lost_its_beginning_only_whole_lines_are_told() {
        let told = |containers: usize, message: String| {
            let mut pod =
                running(json!([container(json!({"terminated": {"exitCode": 1, "message": message}}), json!({}))]));
            pod["spec"] = json!({"initContainers": [{}], "containers": vec![json!({}); containers - 1]});
            pod_trouble(&pod).expect("trouble").why
        };
        let long = |line: &str, bytes: usize| format!("{line}\nthe reason\n{}", ".".repeat(bytes - line.len() - 12));
        let whole = "web: exit code 1 (Error): -hunter2 the reason ";
        let cut = "web: exit code 1 (Error): the reason ";
        for (containers, bytes, told_as) in [
            (2, 2000, whole),
            (2, 2048, cut),
            (2, 4096, cut),
            // Half a character was left out at the beginning.
            (2, 2045, cut),
            (6, 2041, whole),
            // A seventh of what all may say.
            (7, 1755, cut),
            (7, 1700, whole),
        ] {
            let why = told(containers, long("-hunter2", bytes));
            assert!(why.starts_with(told_as), "{bytes} bytes of one in {containers}: {why}");
        }
        assert_eq!(told(2, "-hunter2 ".repeat(300)), "web: exit code 1 (Error): \u{2026}");
    }

    #[test]
    fn a_containers_last_words_are_one_bounded_line() {
        let end = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "é\n".repeat(500)}});
        let trouble = pod_trouble(&running(json!([container(end, json!({}))]))).expect("trouble");
        assert!(trouble.why.chars().count() < 250 && !trouble.why.contains('\n'));
    }
}
