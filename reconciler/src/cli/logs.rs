//! `logs`: what a tool's containers print, by the pods' own log API. Nothing is stored here.

pub mod build;

mod known;

use super::connect::{ClusterArgs, Connected};
use super::local::tool_name;
use super::target::{PlatformArgs, unread};
use crate::ui::{Exit, Failure, Style, Ui, failed, json_fit, wrong_use};
use futures::TryStreamExt as _;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use http_body_util::BodyExt as _;
use reconciler::cluster::address;
use reconciler::cluster::call::{self, CallError};
use reconciler::secrets::{Mask, masked};
use renderer::{ComponentName, ToolName};
use serde_json::{Value, json};
use std::io;
use tokio::sync::mpsc;

/// Print what a tool's containers say
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge logs wordcount                 all its components, the last lines of each pod
  toolforge logs wordcount web -f          one component, and what it says from now on
  toolforge logs wordcount --since 3600    the last hour
  toolforge logs wordcount web --previous  what it said before it was restarted
  toolforge logs wordcount --build         what its newest build said, phase by phase
  toolforge logs wordcount web --build -f  the build of one component, and what it says from now on")]
pub struct Args {
    /// The tool
    #[arg(value_parser = tool_name)]
    tool: ToolName,
    /// One component
    #[arg(value_parser = component_name)]
    component: Option<ComponentName>,
    /// Stay, and print what comes
    #[arg(short, long, conflicts_with = "previous")]
    follow: bool,
    /// Only what was said in the last seconds
    #[arg(long, value_name = "SECONDS")]
    since: Option<u64>,
    /// Of the containers before the last restart
    #[arg(long)]
    previous: bool,
    /// How many lines of each pod; by default 100, and all with `--since`; of a build all of each phase
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// What the newest build says, instead of what runs
    #[arg(long, conflicts_with = "previous")]
    build: bool,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// For clap: a component's name, or why it is none.
pub fn component_name(text: &str) -> Result<ComponentName, String> {
    ComponentName::new(text).map_err(|bad| bad.expected.to_owned())
}

/// A longer line is printed in pieces.
const MAX_LINE_BYTES: usize = 64 << 10;

/// A pod that says something.
#[derive(Debug, Clone)]
struct Pod {
    name: String,
    component: String,
    /// It runs on this machine: a node is attached to the sandbox.
    is_here: bool,
}

/// One line of one pod.
struct Line {
    pod: Pod,
    text: String,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    if args.build {
        return build::run(args, ui).await;
    }
    let connected = args.cluster.connect(None).await?;
    let is_sandbox = connected.is_sandbox().await.map_err(|error| unread("the cluster's version", error))?;
    let pods = pods(&connected, args).await?;
    if is_sandbox && !pods.is_empty() && !pods.iter().any(|pod| pod.is_here) {
        let hint = "Use `toolforge run --run-processes`, or a real cluster; `toolforge status` says how the tool is.";
        let message = format!("{} runs no containers, so there are no logs", connected.cluster.name);
        return Err(wrong_use(message).hint(hint).into());
    }
    if pods.is_empty() {
        let of = args.component.as_ref().map_or_else(String::new, |component| format!(" of {component}"));
        let hint = format!("Run `toolforge status {}` to see why.", args.tool);
        return Err(failed(format!("tool {} has no pods{of}", args.tool)).hint(hint).into());
    }
    let failures = print(&connected, args, &pods, ui).await?;
    Ok(if failures == 0 { Exit::Done } else { Exit::Failed })
}

async fn pods(connected: &Connected, args: &Args) -> anyhow::Result<Vec<Pod>> {
    let mut label = "app.kubernetes.io/managed-by=toolforge".to_owned();
    if let Some(component) = &args.component {
        label.push_str(&format!(",{}={component}", planner::observed::COMPONENT));
    }
    let path = format!("/api/v1/namespaces/{}/pods", args.tool.namespace());
    let path = address::query(&path, &[("labelSelector", &label)]);
    let bytes = call::get(&connected.cluster.client, &path, None).await.map_err(|error| unread("the pods", error))?;
    let list: Value = call::parse(&bytes)?;
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |pod: &Value, pointer: &str| pod.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut pods: Vec<Pod> = items
        .iter()
        .filter_map(|pod| {
            let component = text(pod, "/metadata/labels/app.kubernetes.io~1name").unwrap_or_default();
            let is_here = text(pod, "/status/hostIP").as_deref() == Some(local::node::status::ADDRESS);
            Some(Pod { name: text(pod, "/metadata/name")?, component, is_here })
        })
        .collect();
    pods.sort_by(|a, b| (&a.component, &a.name).cmp(&(&b.component, &b.name)));
    Ok(pods)
}

/// Prints lines as they come, and counts the pods that could not be read.
async fn print(connected: &Connected, args: &Args, pods: &[Pod], ui: &Ui) -> anyhow::Result<usize> {
    let (said, mut lines) = mpsc::channel::<Line>(256);
    let mask = known::mask(&connected.cluster.client, args.tool.as_str()).await?;
    let readers = pods.iter().map(|pod| follow(connected, args, (pod.clone(), &mask), said.clone()));
    let readers = futures::future::join_all(readers);
    drop(said);
    let printing = async {
        while let Some(line) = lines.recv().await {
            ui.data(&shown(&line, pods.len() > 1, ui)?)?;
        }
        anyhow::Ok(())
    };
    let reading = async {
        let ended: Vec<Result<(), Failure>> = readers.await;
        ended
    };
    let (ended, printed) = tokio::join!(reading, printing);
    printed?;
    let mut failures = 0;
    for failure in ended.into_iter().filter_map(Result::err) {
        failures += 1;
        ui.tell(&failure.into());
    }
    Ok(failures)
}

fn shown(line: &Line, several: bool, ui: &Ui) -> anyhow::Result<String> {
    let Line { pod, text } = line;
    if ui.json {
        let object = json!({"component": pod.component, "pod": pod.name, "line": text});
        return Ok(format!("{}\n", json_fit(&object.to_string())));
    }
    if !several {
        return Ok(format!("{text}\n"));
    }
    let from = format!("{} {}", pod.component, pod.name);
    Ok(format!("{}  {text}\n", ui.data_in(Style::Faint, &from)))
}

async fn follow(
    connected: &Connected,
    args: &Args,
    (pod, mask): (Pod, &Mask),
    said: mpsc::Sender<Line>,
) -> Result<(), Failure> {
    let cannot = |error: CallError| failed(format!("cannot read the log of pod {}", pod.name)).because(error);
    let request = http::Request::get(path(args, &pod)).body(Vec::new());
    let request = request.map_err(|error| failed("cannot ask for a log").because(error))?;
    let body = call::open(&connected.cluster.client, request).await.map_err(cannot)?;
    let bytes = Box::pin(masked(mask, body.into_data_stream().map_err(io::Error::other))).into_async_read();
    let mut bytes = futures::io::BufReader::new(bytes);
    let broke_off = |error| failed(format!("the log of pod {} broke off", pod.name)).because(error);
    while let Some(text) = next_line(&mut bytes).await.map_err(broke_off)? {
        let line = Line { pod: pod.clone(), text };
        if said.send(line).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// A line of a container is what it likes: of no text in particular, and without end.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut ended = false;
    while !ended && line.len() < MAX_LINE_BYTES {
        let piece = reader.fill_buf().await?;
        let piece = piece.get(..MAX_LINE_BYTES - line.len()).unwrap_or(piece);
        if piece.is_empty() {
            return Ok((!line.is_empty()).then(|| text(&line)));
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(piece.len(), |at| at + 1);
        line.extend_from_slice(&piece[..taken]);
        reader.consume_unpin(taken);
        ended = end.is_some();
    }
    Ok(Some(text(&line)))
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

fn path(args: &Args, pod: &Pod) -> String {
    let tail = match (args.tail, args.since) {
        (Some(lines), _) => Some(lines),
        (None, None) => Some(100),
        (None, Some(_)) => None,
    };
    let numbers = [("tailLines", tail), ("sinceSeconds", args.since)];
    let numbers = numbers.map(|(name, number)| (name, number.map(|number| number.to_string())));
    let words = [("follow", args.follow), ("previous", args.previous)];
    let words = words.map(|(name, set)| (name, set.then(|| "true".to_owned())));
    let pairs: Vec<_> =
        numbers.iter().chain(&words).filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let path = format!("/api/v1/namespaces/{}/pods/{}/log", args.tool.namespace(), pod.name);
    address::query(&path, &pairs)
}
