//! What the tools live through, and what is left of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use planner::kinds::{KINDS, Scope};
use serde_json::Value;
use tests::control_plane::Mark;
use tests::platform::{Platform, Tool, steady};
use tests::registry::Image;

/// Of each tool its revisions, as lines below `components:`; IMAGE stands for a prebuilt image.
const STORIES: [(&str, &[&str]); 3] = [
    (
        // A migration runs between two revisions; a nightly run goes, and later the web component.
        "shop",
        &[
            "web: {image: IMAGE, run: {command: web, port: 8000, publish: /}}
  worker: {image: IMAGE, run: {command: work}}
  nightly: {image: IMAGE, component_type: scheduled, run: {command: refresh, schedule: \"17 4 * * *\"}}",
            "migrate: {image: IMAGE, component_type: one-off, run: {command: migrate 1}}
  web: {image: IMAGE, run: {command: web, port: 8000, publish: /, replicas: 2}}
  worker: {image: IMAGE, run: {command: work}, env: {LEVEL: \"2\"}}",
            "migrate: {image: IMAGE, component_type: one-off, run: {command: migrate 2}}
  worker: {image: IMAGE, run: {command: work}, env: {LEVEL: \"3\"}}",
        ],
    ),
    (
        // What is published moves, and is published no more.
        "site",
        &[
            "worker: {image: IMAGE, run: {command: web, port: 8000, publish: /}}",
            "worker: {image: IMAGE, run: {command: web, port: 9000, publish: /api, health_check_http: /healthz}}",
            "worker: {image: IMAGE, run: {command: web, port: 9000}}",
        ],
    ),
    (
        // One component is of another kind each time.
        "bot",
        &[
            "worker: {image: IMAGE, run: {command: work}}
  report: {image: IMAGE, component_type: scheduled, run: {command: report, schedule: \"5 4 * * *\"}}",
            "worker: {image: IMAGE, run: {command: work, replicas: 2}}
  report: {image: IMAGE, run: {command: report --always}}",
            "worker: {image: IMAGE, run: {command: work}}",
        ],
    ),
];

/// How many revisions each story has.
pub const REVISIONS: usize = 3;

/// One telling of all stories, with tools of its own.
pub struct Telling<'a> {
    platform: &'a Platform,
    tools: Vec<Tool<'a>>,
    began: Mark,
}

/// What is left of a telling, with the names of its tools taken out.
#[derive(Debug, PartialEq)]
pub struct Left {
    /// Every object by the tool's place in the stories, its kind and its name.
    pub objects: BTreeMap<(usize, String, String), Value>,
    /// What we deleted: a tool's place, and resource and name.
    pub deleted: BTreeSet<(usize, String, String)>,
    /// How often we made each Job.
    pub jobs: BTreeMap<(usize, String), usize>,
}

impl<'a> Telling<'a> {
    pub fn begin(platform: &'a Platform, name: &str) -> anyhow::Result<Self> {
        let began = platform.plane().mark()?;
        let tools = STORIES.iter().map(|(story, _)| platform.tool(&format!("{name}-{story}")));
        Ok(Self { platform, tools: tools.collect::<anyhow::Result<_>>()?, began })
    }

    /// Commits a revision of each story.
    pub fn commit(&self, revision: usize) -> anyhow::Result<()> {
        let image = format!("{}/library/{}:1", self.platform.registry_address()?, self.platform.name());
        for (tool, (_, revisions)) in self.tools.iter().zip(STORIES) {
            let lines = revisions.get(revision).context("the story is over")?.replace("IMAGE", &image);
            tool.commit(&format!("components:\n  {lines}\n"))?;
        }
        Ok(())
    }

    /// Waits until the newest revisions are Ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        try_join_all(self.tools.iter().map(Tool::ready)).await.map(drop)
    }

    /// Somebody scales each worker by hand, and this is taken back.
    pub async fn scale_by_hand(&self) -> anyhow::Result<()> {
        let scaled = self.tools.iter().map(async |tool| {
            tool.kubectl(&["scale", "deployment/worker", "--replicas=5"]).await?;
            tool.until("Deployment", "worker", "is scaled back", |worker| worker["spec"]["replicas"] != 5).await
        });
        try_join_all(scaled).await.map(drop)
    }

    /// All of it.
    pub async fn tell(&self) -> anyhow::Result<()> {
        for revision in 0..REVISIONS {
            self.commit(revision)?;
            self.ready().await?;
            self.scale_by_hand().await?;
        }
        Ok(())
    }

    /// What is there now, and what was done for it.
    pub async fn left(&self) -> anyhow::Result<Left> {
        let mut left = Left { objects: BTreeMap::new(), deleted: BTreeSet::new(), jobs: BTreeMap::new() };
        for (place, tool) in self.tools.iter().enumerate() {
            for (kind, object) in self.objects(tool).await? {
                let name = object["metadata"]["name"].as_str().context("an object without a name")?.to_owned();
                ensure!(left.objects.insert((place, kind.to_owned(), name), object).is_none(), "two of one name");
            }
        }
        for request in self.platform.writes_since(self.began)? {
            let Some(place) = self.tools.iter().position(|tool| tool.namespace() == request.namespace) else {
                continue;
            };
            match (request.verb.as_str(), request.resource.as_str(), request.status) {
                ("delete", _, 200..300) => drop(left.deleted.insert((place, request.resource, request.name))),
                (_, "jobs", 201) => *left.jobs.entry((place, request.name)).or_default() += 1,
                _ => {}
            }
        }
        Ok(left)
    }

    /// Everything in the tool's namespace of a kind that we make, also what nobody lists any more.
    async fn objects(&self, tool: &Tool<'_>) -> anyhow::Result<Vec<(&'static str, Value)>> {
        let mut all = Vec::new();
        for kind in KINDS.iter().filter(|kind| kind.scope == Scope::Tool && kind.kind != "Pod") {
            for object in self.platform.objects(kind.kind, &tool.namespace()).await? {
                all.push((kind.kind, named(&object, tool)?));
            }
        }
        Ok(all)
    }
}

/// An object as another tool would have it.
fn named(object: &Value, tool: &Tool<'_>) -> anyhow::Result<Value> {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default(); // a Job's selector has it
    let text = steady(object).to_string().replace(tool.name(), "NAME").replace(uid, "UID");
    let mut object: Value = serde_json::from_str(&text)?;
    if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
        labels.remove("applyset.kubernetes.io/part-of"); // a hash of the name
    }
    Ok(object)
}

/// Pushes the image all stories run.
pub async fn push_image(platform: &Platform) -> anyhow::Result<()> {
    let path = format!("library/{}", platform.name());
    platform.registry()?.push(&path, "1", &Image { layers: &["tool"], ..Default::default() }).await.map(drop)
}

/// Nothing is missing, left over, different, deleted by mistake, or run twice; and nobody panicked.
pub async fn ends_equal(calm: &Left, telling: &Telling<'_>) -> anyhow::Result<()> {
    let platform = telling.platform;
    let arrived = async || Ok((telling.left().await?.objects == calm.objects).then_some(()));
    let ended = platform.until("the objects are those that a calm time left", arrived).await;
    let left = telling.left().await?;
    if ended.is_err() {
        let names = |left: &Left| left.objects.keys().cloned().collect::<BTreeSet<_>>();
        let (found, expected) = (names(&left), names(calm));
        let differ = left.objects.iter().find(|(key, object)| calm.objects.get(key).is_some_and(|o| o != *object));
        let expected_as = differ.map(|(key, _)| &calm.objects[key]);
        let (missing, extra) = (expected.difference(&found), found.difference(&expected));
        ended.with_context(|| {
            format!(
                "missing {:?}, left over {:?}, differs {differ:#?} from {expected_as:#?}",
                missing.collect::<Vec<_>>(),
                extra.collect::<Vec<_>>()
            )
        })?;
    }
    let wrong: Vec<_> = left.deleted.difference(&calm.deleted).collect();
    ensure!(wrong.is_empty(), "deleted by mistake: {wrong:?}");
    ensure!(left.jobs == calm.jobs && left.jobs.values().all(|times| *times == 1), "{:?} {:?}", left.jobs, calm.jobs);
    ensure!(!platform.log().has("panicked"), "{}", platform.log().last(60));
    Ok(())
}
