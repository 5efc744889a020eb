//! What everything says, each line with who says it: components, builds, and the platform about the tool.

use crate::ui::{Style, Ui};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, LogParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use renderer::ToolName;
use renderer::request::BUILD_OF;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// Names are padded to this many letters.
const WIDTH: usize = 12;
const STYLES: [Style; 3] = [Style::Title, Style::Change, Style::Hint];

/// Listens to one tool.
pub struct Voices {
    client: Client,
    tool: ToolName,
    ui: Ui,
    /// Runs of containers that are heard already.
    heard: BTreeSet<(String, String, i64)>,
    speaking: JoinSet<()>,
}

impl Voices {
    pub fn of(client: &Client, tool: &ToolName, ui: Ui) -> Self {
        Self { client: client.clone(), tool: tool.clone(), ui, heard: BTreeSet::new(), speaking: JoinSet::new() }
    }

    /// Prints what is said, until it is dropped.
    pub async fn listen(mut self) {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("toolforge.org", "v1alpha1", "Tool"));
        let tools: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let named = watcher::Config::default().fields(&format!("metadata.name={}", self.tool));
        let mut tools = watcher(tools, named).default_backoff().applied_objects().boxed();
        // As plain values: reading typed pods would cost the program a megabyte.
        let pods: Api<DynamicObject> = Api::all_with(self.client.clone(), &ApiResource::erase::<Pod>(&()));
        let mut pods = watcher(pods, watcher::Config::default()).default_backoff().applied_objects().boxed();
        let mut said = String::new();
        loop {
            tokio::select! {
                Some(pod) = pods.next() => if let Ok(pod) = pod { self.hear(&pod) },
                Some(tool) = tools.next() => {
                    let words = tool.ok().and_then(|tool| self.words(&tool.data)).unwrap_or_default();
                    if !words.is_empty() && words != said {
                        self.ui.say(&words);
                        said = words;
                    }
                }
                Some(_) = self.speaking.join_next(), if !self.speaking.is_empty() => {}
            }
        }
    }

    /// How the tool is, in the platform's words.
    fn words(&self, tool: &Value) -> Option<String> {
        let conditions = tool.pointer("/status/conditions")?.as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        let text = |field: &str| ready[field].as_str().unwrap_or_default();
        Some(match text("status") {
            "True" => format!("{} is Ready", self.tool),
            _ => format!("{}: {} {}", self.tool, text("reason"), text("message")),
        })
    }

    fn hear(&mut self, pod: &DynamicObject) {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let of = pod.metadata.labels.as_ref().and_then(|labels| labels.get(BUILD_OF));
        let is_build = of.is_some_and(|of| *of == self.tool.as_str());
        if namespace != self.tool.namespace() && !is_build {
            return;
        }
        let (Some(name), Some(uid)) = (&pod.metadata.name, &pod.metadata.uid) else { return };
        let statuses = pod.data.pointer("/status/containerStatuses").and_then(Value::as_array);
        for status in statuses.into_iter().flatten() {
            let container = status["name"].as_str().unwrap_or_default().to_owned();
            let has_begun = ["running", "terminated"].iter().any(|state| status["state"].get(state).is_some());
            let run = (uid.clone(), container.clone(), status["restartCount"].as_i64().unwrap_or_default());
            if has_begun && self.heard.insert(run) {
                let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
                self.speaking.spawn(speak(pods, name.clone(), container, self.ui));
            }
        }
    }
}

async fn speak(pods: Api<Pod>, pod: String, container: String, ui: Ui) {
    let style = STYLES[container.bytes().map(usize::from).sum::<usize>() % STYLES.len()];
    let prefix = ui.data_in(style, &format!("{container:WIDTH$} | "));
    let wish = LogParams { container: Some(container), follow: true, ..LogParams::default() };
    let lines = match pods.log_stream(&pod, &wish).await {
        Ok(lines) => lines,
        Err(error) => return ui.say(&format!("what {pod} says can't be read: {error}")),
    };
    let mut lines = lines.lines();
    while let Ok(Some(line)) = lines.try_next().await {
        if ui.data(&format!("{prefix}{line}\n")).is_err() {
            return;
        }
    }
}
