//! The same requests, word for word, to the sandbox and to a real control plane: the answers are equal, but for what no
//! two servers share (uids, versions, times, addresses).

mod twins {
    pub mod kinds;
    pub mod more;
    pub mod steps;
}

use anyhow::{Context as _, ensure};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tests::control_plane::ControlPlane;
use twins::more::DEFINITION;
use twins::steps::{Step, steps};

/// What a server answered, without what is its own.
#[derive(Debug, PartialEq)]
struct Answer {
    code: u16,
    body: Value,
}

async fn ask(client: &Client, step: &Step) -> anyhow::Result<Answer> {
    let body = step.body.as_ref().map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let request = http::Request::builder()
        .method(step.method)
        .uri(&step.path)
        .header("Accept", step.accept)
        .header("Content-Type", step.content_type)
        .header("User-Agent", "twins/1")
        .body(Body::from(body))?;
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await?;
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    Ok(Answer { code, body: scrubbed(body) })
}

fn scrubbed(mut body: Value) -> Value {
    let uid = body.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
    scrub(&mut body, uid.as_deref());
    body
}

/// Fields whose values only a server of its own can have.
const OWN: &[&str] = &[
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "time",
    "clusterIP",
    "clusterIPs",
    "deletionTimestamp",
    "lastTransitionTime",
    "lastUpdateTime",
    "selfLink",
    "deployment.kubernetes.io/revision",
];

fn scrub(value: &mut Value, uid: Option<&str>) {
    match value {
        Value::Object(map) => {
            // Controllers answer in their own time, and what they say is not the API's answer.
            let is_status = map.get("kind").is_some_and(|kind| kind == "Status");
            if !is_status {
                map.remove("status");
            }
            if let Some(Value::Array(causes)) = map.get_mut("causes") {
                // A real server may find the same thing several times.
                let mut seen = Vec::new();
                causes.retain(|cause| {
                    let is_new = !seen.contains(cause);
                    seen.push(cause.clone());
                    is_new
                });
            }
            if let Some(Value::Array(entries)) = map.get_mut("managedFields") {
                entries.retain(|entry| {
                    !["kube-controller-manager", "toolforge-sandbox"].iter().any(|one| entry["manager"] == *one)
                });
            }
            for (field, value) in map.iter_mut() {
                if OWN.contains(&field.as_str()) && !value.is_null() && value != "None" {
                    *value = json!("own");
                } else {
                    scrub(value, uid);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, uid)),
        Value::String(text) => {
            if let Some(uid) = uid {
                *text = text.replace(uid, "own");
            }
            *text = without_dumps(text);
        }
        _ => {}
    }
}

/// Messages without what is dumped into them: structs of the server's own language, and uids.
fn without_dumps(text: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    for letter in text.chars() {
        depth += usize::from(letter == '{');
        if depth == 0 {
            out.push(letter);
        }
        depth = depth.saturating_sub(usize::from(letter == '}'));
    }
    // How the server's decoder words a wrong type is its language's business.
    if let Some((head, tail)) = out.split_once(" cannot be handled as a ")
        && !tail.contains("strict decoding error")
    {
        out = format!("{head} cannot be handled");
    }
    let is_uid = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
    let words = out.split(['(', ')', ' ']).filter(is_uid).map(str::to_owned).collect::<Vec<_>>();
    words.iter().fold(out, |text, uid| text.replace(uid.as_str(), "own"))
}

/// A real server serves a new resource a moment after its definition.
async fn await_tools(client: &Client) -> anyhow::Result<()> {
    let list = twins::steps::get("tools", "/apis/toolforge.org/v1alpha1/tools");
    tests::api_suite::eventually(|| async { Ok((ask(client, &list).await?.code == 200).then_some(())) }).await
}

#[tokio::test]
async fn the_sandbox_answers_as_a_real_server_does() -> anyhow::Result<()> {
    let real = ControlPlane::shared().await?.client().await?;
    let sandbox = sandbox::Sandbox::in_memory();
    let double = Client::new(sandbox.service(), "default");
    let mut different = Vec::new();
    for step in steps() {
        let theirs = ask(&real, &step).await.with_context(|| step.name.to_owned())?;
        let ours = ask(&double, &step).await.with_context(|| step.name.to_owned())?;
        if step.name == DEFINITION {
            await_tools(&real).await?;
        }
        if ours != theirs {
            let text = |answer: &Answer| format!("{} {:#}", answer.code, answer.body);
            different.push(format!("{}\n--- real\n{}\n--- sandbox\n{}\n", step.name, text(&theirs), text(&ours)));
        }
    }
    ensure!(different.is_empty(), "{} answers differ:\n{}", different.len(), different.join("\n"));
    Ok(())
}

/// Which columns `kubectl get` prints of a collection.
async fn shown(client: &Client, list: &str) -> anyhow::Result<Value> {
    let mut step = twins::steps::get("a table", list);
    step.accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = ask(client, &step).await?.body;
    let columns = table["columnDefinitions"].as_array().into_iter().flatten();
    Ok(columns.filter(|one| one["priority"] == 0).map(|one| one["name"].clone()).collect())
}

/// By which names a resource is called.
async fn short_names(client: &Client, list: &str) -> anyhow::Result<Value> {
    let (group, plural) = list.rsplit_once('/').context("a path")?;
    let group = group.strip_suffix("NS").unwrap_or(group);
    let resources = ask(client, &twins::steps::get("resources", group)).await?.body;
    let mut rows = resources["resources"].as_array().into_iter().flatten();
    let row = rows.find(|row| row["name"] == plural).with_context(|| format!("{plural} in {resources}"))?;
    Ok(json!({
        "short": row.get("shortNames"), "kind": row["kind"], "singular": row["singularName"], "namespaced": row["namespaced"],
    }))
}

#[tokio::test]
async fn kubectl_prints_the_same_columns_and_knows_the_same_names() -> anyhow::Result<()> {
    let real = ControlPlane::shared().await?.client().await?;
    let sandbox = sandbox::Sandbox::in_memory();
    let double = Client::new(sandbox.service(), "default");
    let mut different = Vec::new();
    for row in sandbox::resource::RESOURCES.iter().filter(|row| row.group != "toolforge.org") {
        let root = if row.group.is_empty() { "/api" } else { "/apis" };
        let list = format!("{root}/{}/{}", row.api_version(), row.plural);
        let ours = (shown(&double, &list).await?, short_names(&double, &list).await?);
        let theirs = (shown(&real, &list).await?, short_names(&real, &list).await?);
        if ours != theirs {
            different.push(format!("{list}\n  real    {} {}\n  sandbox {} {}", theirs.0, theirs.1, ours.0, ours.1));
        }
    }
    ensure!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    Ok(())
}
