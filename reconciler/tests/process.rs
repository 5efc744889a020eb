//! The program on the real control plane, from outside: what a person sees who runs `toolforge` on a platform that it has
//! never seen. The parts are tested elsewhere; here it is one story over processes, exit codes and streams.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use planner::kinds::{KINDS, Scope};
use serde_json::Value;
use tests::control_plane::{ControlPlane, Mark, build};
use tests::git_server::{GitServer, Repository};
use tests::golden::examples;
use tests::platform::steady;
use tests::program::{Program, Ran, Running};
use tests::registry::{Image, Registry};

const DEADLINE: Duration = Duration::from_secs(90);
const ASK_EVERY: Duration = Duration::from_millis(200);
const HEALTHY: [&str; 8] =
    ["dictionary", "feedreader", "lexicards", "oldmaps", "quizzer", "quizzer-beta", "statusbot", "wordcount"];

/// The examples' platform on git hosts, a registry and a cluster that are real.
struct Stage {
    plane: &'static ControlPlane,
    client: kube::Client,
    registry: Registry,
    config: Repository,
    statusbot: Repository,
    program: Program,
    _git: GitServer,
}

impl Stage {
    async fn new() -> anyhow::Result<Self> {
        let plane = ControlPlane::shared().await?;
        let (registry, git) = (plane.registry()?, GitServer::start().await?);
        let names: Vec<String> = children(&examples().join("repos"))?.into_iter().map(|(name, _)| name).collect();
        let here = |text: String| {
            let moved =
                |text: String, name: &String| text.replace(&format!("https://git.example/{name}"), &git.url(name));
            names.iter().fold(text, moved)
        };
        let mut statusbot = None;
        for (name, branches) in children(&examples().join("repos"))? {
            let repository = git.repository(&name)?;
            for (branch, folder) in children(&branches)? {
                let files = texts(&folder)?.into_iter().map(|(file, text)| (file, here(text))).collect::<Vec<_>>();
                repository.commit_to(&branch, &borrowed(&files))?;
            }
            statusbot = statusbot.or((name == "statusbot").then_some(repository));
        }
        let platform = std::fs::read_to_string(examples().join("platform/platform.yaml"))?;
        let platform = platform.replace("registry.tools.example/toolforge", registry.address());
        let platform = platform.replace("    credentials: TOOLS_REGISTRY\n", "");
        let tools = texts(&examples().join("platform/tools"))?;
        let tools = tools.into_iter().map(|(file, text)| (format!("tools/{file}"), here(text)));
        let files: Vec<_> = tools.chain([("platform.yaml".to_owned(), platform)]).collect();
        let config = git.repository("config")?;
        config.commit(&borrowed(&files))?;
        let binary = Path::new(env!("CARGO_BIN_EXE_toolforge"));
        tests::rights::deployer(&plane.client().await?).await?;
        let (client, program) = (plane.client().await?, Program::on(plane, binary)?);
        let statusbot = statusbot.context("no example statusbot")?;
        Ok(Self { plane, client, registry, config, statusbot, program, _git: git })
    }

    fn run(&self) -> anyhow::Result<Running> {
        self.program.start(&["run", self.config.url(), "--interval", "1", "--json"])
    }

    async fn once(&self) -> anyhow::Result<Ran> {
        self.program.run(&["run", self.config.url(), "--once"]).await
    }

    /// Builds what a reconciler says it waits for: pushes an image under that reference.
    async fn build(&self, run: &Running, built: &mut BTreeSet<String>) -> anyhow::Result<()> {
        for line in run.out.all() {
            let line: Value = serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
            let held = line["held"].as_array().into_iter().flatten();
            for image in held.filter_map(|held| held.pointer("/why/awaitingBuild/image")?.as_str()) {
                if built.insert(image.to_owned()) {
                    let path = image.strip_prefix(self.registry.address()).context(image.to_owned())?;
                    let (repository, tag) = path.trim_start_matches('/').rsplit_once(':').context(image.to_owned())?;
                    self.registry.push(repository, tag, &Image { layers: &[image], ..Image::default() }).await?;
                }
            }
        }
        Ok(())
    }

    /// The tools that `status` calls Ready.
    async fn ready(&self) -> anyhow::Result<BTreeSet<String>> {
        let ran = self.program.run(&["status", "--json"]).await?;
        if ran.code != 0 {
            // In the beginning nobody has defined a Tool.
            return Ok(BTreeSet::new());
        }
        let all = ran.json()?;
        let ready = all.as_array().into_iter().flatten().filter(|tool| tool["ready"] == true);
        Ok(ready.filter_map(|tool| Some(tool["tool"].as_str()?.to_owned())).collect())
    }

    async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.plane.kubectl(args).await?;
        ensure!(output.code == 0, "kubectl {}: {}", args.join(" "), output.stderr);
        Ok(output.stdout)
    }

    /// `kubectl edit`, the person's editor being `sed`.
    async fn edit(&self, object: &str, sed: &str) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new(build::binary()?);
        command.args(["kubectl", "edit", object, "--namespace", NAMESPACE]).stdin(Stdio::null());
        command.env("KUBECONFIG", self.plane.kubeconfig()).env("HOME", self.program.home());
        let output = command.env("KUBE_EDITOR", format!("sed -i '{sed}'")).output().await?;
        ensure!(output.status.success(), "kubectl edit: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Every object of the tool, without what may differ.
    async fn world(&self) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        for row in KINDS.iter().filter(|row| row.scope == Scope::Tool) {
            let gvk = GroupVersionKind::gvk(row.group, row.version, row.kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, row.plural);
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
            for object in api.list(&ListParams::default().labels("toolforge.org/tool")).await? {
                all.push(steady(&serde_json::to_value(object)?));
            }
        }
        Ok(all)
    }

    /// What programs of ours wrote since then, but for leases. Who asks as whom the server knows it writes nothing.
    fn writes(&self, mark: Mark) -> anyhow::Result<Vec<String>> {
        let reads = ["get", "list", "watch"];
        let requests = self.plane.requests_since(mark)?.into_iter();
        let apart = ["leases", "selfsubjectreviews"];
        let ours =
            requests.filter(|one| one.user_agent.starts_with("toolforge/") && !apart.contains(&one.resource.as_str()));
        Ok(ours.filter(|one| !reads.contains(&one.verb.as_str())).map(|one| format!("{one:?}")).collect())
    }
}

fn children(folder: &Path) -> anyhow::Result<Vec<(String, std::path::PathBuf)>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries
        .map(|entry| entry.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path())).map_err(Into::into))
        .collect()
}

fn texts(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    children(folder)?.into_iter().map(|(name, path)| Ok((name, std::fs::read_to_string(path)?))).collect()
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect()
}

/// Asks until there is an answer; at the deadline `state` says how things stand.
async fn until<T>(
    what: &str,
    state: impl Fn() -> String,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let asking = async {
        loop {
            if let Some(found) = ask().await? {
                return anyhow::Ok(found);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(found) => found.with_context(|| what.to_owned()),
        Err(_) => bail!("not within {DEADLINE:?}: {what}\n{}", state()),
    }
}

const NAMESPACE: &str = "tool-wordcount";

enum Hand {
    Kubectl(&'static [&'static str]),
    Edit(&'static str),
}

const WEB: &str = "deployment/web";

/// What somebody does by hand, and what `diff` says then.
const HANDS: &[(Hand, &str)] = &[
    (Hand::Kubectl(&["scale", WEB, "--replicas=5"]), "configure deployment/web: spec.replicas 5 → 2"),
    (
        Hand::Edit("s/terminationGracePeriodSeconds: 15/terminationGracePeriodSeconds: 99/"),
        "configure deployment/web: spec.template.spec.terminationGracePeriodSeconds 99 → 15",
    ),
    (Hand::Kubectl(&["label", WEB, "hello=world"]), "configure deployment/web: metadata.labels.hello world → -"),
    (
        Hand::Kubectl(&["annotate", "service/web", "hello=world"]),
        "configure service/web: metadata.annotations.hello world → -",
    ),
    (Hand::Kubectl(&["delete", WEB, "service/web"]), "create deployment/web\ncreate service/web"),
    (
        Hand::Kubectl(&["label", WEB, "toolforge.org/tool-", "app.kubernetes.io/name-"]),
        "configure deployment/web: metadata.labels[app.kubernetes.io/name] - → web, \
         metadata.labels[toolforge.org/tool] - → wordcount",
    ),
    (
        Hand::Kubectl(&[
            "patch",
            WEB,
            "--type=json",
            "--patch",
            r#"[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]"#,
        ]),
        "configure deployment/web: metadata.managedFields - → ours",
    ),
    // Last: it takes longest. What stands in the namespace waits for it.
    (Hand::Kubectl(&["delete", "namespace", NAMESPACE, "--wait"]), "create namespace/tool-wordcount"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_program_deploys_a_platform_it_has_never_seen_and_takes_back_what_is_done_by_hand() -> anyhow::Result<()> {
    let stage = Stage::new().await?;
    deploys_every_healthy_tool_and_names_every_broken_one(&stage).await?;
    a_second_run_sends_no_write(&stage).await?;
    for (hand, said) in HANDS {
        is_shown_and_taken_back(&stage, hand, said).await.with_context(|| said.to_string())?;
    }
    killed_it_continues(&stage).await
}

async fn deploys_every_healthy_tool_and_names_every_broken_one(stage: &Stage) -> anyhow::Result<()> {
    let run = stage.run()?;
    let mut built = BTreeSet::new();
    let wanted: BTreeSet<String> = HEALTHY.map(str::to_owned).into();
    until(
        "every healthy tool is Ready",
        || run.err.all().join("\n"),
        async || {
            stage.build(&run, &mut built).await?;
            let ready = stage.ready().await?;
            Ok((ready == wanted).then_some(()))
        },
    )
    .await?;
    ensure!(built.len() >= 6, "{built:?}");
    for (tool, line) in
        [("half-broken", "toolforge.yaml:15: no month of `2` has a day `31`"), ("broken-yaml", "toolforge.yaml:5: ")]
    {
        let said = stage.program.run(&["status", tool]).await?;
        ensure!(said.code == 0 && said.out.contains(line), "{said:#?}");
        ensure!(run.out.all().iter().any(|told| told.contains(line)), "{:#?}", run.out.all());
    }
    ensure!(run.end("-TERM").await? == Some(0));
    let lease = ["get", "lease", "--namespace", "toolforge", "--output", "jsonpath={.items[*].spec.holderIdentity}"];
    ensure!(stage.kubectl(&lease).await?.is_empty(), "the lease is not freed");
    Ok(())
}

async fn a_second_run_sends_no_write(stage: &Stage) -> anyhow::Result<()> {
    let mark = stage.plane.mark()?;
    let ran = stage.once().await?;
    ensure!(ran.code == 1, "two are broken: {ran:#?}");
    let in_sync = ran.out.lines().filter(|line| line.ends_with("  in sync")).count();
    ensure!(in_sync == HEALTHY.len(), "{ran:#?}");
    let writes = stage.writes(mark)?;
    ensure!(writes.is_empty(), "{writes:#?}");
    Ok(())
}

async fn is_shown_and_taken_back(stage: &Stage, hand: &Hand, said: &str) -> anyhow::Result<()> {
    let before = stage.world().await?;
    match hand {
        Hand::Kubectl(args) => drop(stage.kubectl(&[args, &["--namespace", NAMESPACE][..]].concat()).await?),
        Hand::Edit(sed) => stage.edit(WEB, sed).await?,
    }
    let diff = stage.program.run(&["diff", "wordcount", "--json"]).await?;
    ensure!(diff.code == 1, "{diff:#?}");
    let told = told(&diff.json()?);
    ensure!(told == said, "diff says:\n{told}\n{diff:#?}");
    let text = stage.program.run(&["diff", "wordcount"]).await?;
    ensure!(text.code == 1 && text.err.contains("hint: Run `toolforge apply wordcount`"), "{text:#?}");
    let rests = |ran: &Ran| ran.out.lines().any(|line| line.starts_with("wordcount ") && line.ends_with("  in sync"));
    until("wordcount is in sync", String::new, async || Ok(rests(&stage.once().await?).then_some(()))).await?;
    ensure!(stage.world().await? == before, "it is not as before: {:#?}", stage.world().await?);
    let diff = stage.program.run(&["diff", "wordcount"]).await?;
    ensure!(diff.code == 0, "{diff:#?}");
    Ok(())
}

/// A line a step: `configure deployment/web: spec.replicas 5 → 2`. What waits for a step is not listed.
fn told(plan: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let step = |step: &Value| {
        let changes = step["changes"].as_array().into_iter().flatten();
        let changes: Vec<_> =
            changes.map(|c| format!("{} {} → {}", text(&c["path"]), text(&c["from"]), text(&c["to"]))).collect();
        let id = format!("{}/{}", text(&step["id"]["kind"]).to_ascii_lowercase(), text(&step["id"]["name"]));
        let colon = if changes.is_empty() { "" } else { ": " };
        format!("{} {id}{colon}{}", text(&step["action"]), changes.join(", "))
    };
    plan["steps"].as_array().into_iter().flatten().map(step).collect::<Vec<_>>().join("\n")
}

async fn killed_it_continues(stage: &Stage) -> anyhow::Result<()> {
    let run = stage.run()?;
    let lines = run.out.clone();
    let file = stage.statusbot.git(&["show", "main:toolforge.yaml"])?;
    let begun = lines.all().len();
    // It has the lease and works when it says something of the commit; then it is killed at once.
    stage.statusbot.commit(&[("toolforge.yaml", &file.replace("memory: 128Mi", "memory: 160Mi"))])?;
    until("it begins to roll out", || run.err.all().join("\n"), async || Ok((lines.all().len() > begun).then_some(())))
        .await?;
    ensure!(run.end("-KILL").await?.is_none());
    let next = stage.run()?;
    until(
        "the next one has rolled it out",
        || next.err.all().join("\n"),
        async || {
            let limit = "jsonpath={.spec.template.spec.containers[0].resources.limits.memory}";
            let args = ["get", "deployment/bot", "--namespace", "tool-statusbot", "--output", limit];
            Ok((stage.kubectl(&args).await? == "160Mi" && stage.ready().await?.contains("statusbot")).then_some(()))
        },
    )
    .await?;
    ensure!(next.end("-TERM").await? == Some(0));
    Ok(())
}
