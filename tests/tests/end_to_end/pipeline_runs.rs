//! Builds by Tekton: PipelineRuns on a real API server, which knows no fields of them but those that we use. Tekton itself
//! is played by the test, which writes the statuses that its controller would write.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::platform::{Platform, Route, Tool};
use tests::registry::Image;

use crate::image_of;

const BUILT: &str = "components:\n  web:\n    build: {ref: main, packages: [imagemagick]}\n    run: {command: web}\n";

fn object(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

fn list(properties: &Value) -> Value {
    json!({"type": "array", "items": object(properties)})
}

/// The fields of Tekton's `v1` that we use, and no other: what else we wrote would be refused.
fn definition() -> Value {
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let user = object(&json!({
        "fsGroup": number, "runAsGroup": number, "runAsUser": number, "runAsNonRoot": {"type": "boolean"},
        "seccompProfile": object(&json!({"type": text})),
    }));
    let spec = object(&json!({
        "pipelineRef": object(&json!({"name": text})),
        "params": list(&json!({"name": text, "value": {"x-kubernetes-preserve-unknown-fields": true}})),
        "workspaces": list(&json!({"name": text, "emptyDir": {"type": "object"}})),
        "timeouts": object(&json!({"pipeline": text})),
        "taskRunTemplate": object(&json!({
            "serviceAccountName": text, "podTemplate": object(&json!({"securityContext": user})),
        })),
    }));
    let condition = list(&json!({"type": text, "status": text, "reason": text, "message": text}));
    let schema = object(&json!({"spec": spec, "status": object(&json!({"conditions": condition}))}));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "pipelineruns.tekton.dev"},
        "spec": {
            "group": "tekton.dev",
            "scope": "Namespaced",
            "names": {"kind": "PipelineRun", "plural": "pipelineruns", "singular": "pipelinerun"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
            }],
        },
    })
}

/// A platform that builds with Tekton.
async fn building(name: &str) -> anyhow::Result<Platform> {
    let platform = Platform::prepare(name, Route::Ingress).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), definition().to_string())?;
    platform.kubectl(&["apply", "--server-side", "-f", &file.path().display().to_string()]).await?;
    platform.kubectl(&["wait", "--for=condition=Established", "crd/pipelineruns.tekton.dev"]).await?;
    platform.commit_setting("builds: {backend: tekton, timeout: 10m, tekton: {service_account: builder}}")?;
    platform.run().await?;
    Ok(platform)
}

/// The builds of a tool, oldest first.
async fn builds(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    let platform = tool.platform();
    let mut runs = platform.objects("PipelineRun", &format!("{}-builds", platform.namespace())).await?;
    runs.retain(|run| run["metadata"]["labels"]["toolforge.org/tool"] == tool.name());
    runs.sort_by_key(|run| run["metadata"]["creationTimestamp"].to_string());
    Ok(runs)
}

/// Waits for the build of a commit.
async fn build_of(tool: &Tool<'_>, commit: &str) -> anyhow::Result<Value> {
    let of_it = |run: &Value| run["metadata"]["annotations"]["toolforge.org/build-commit"] == commit;
    tool.platform()
        .until(&format!("a build of {commit}"), async || Ok(builds(tool).await?.into_iter().find(of_it)))
        .await
}

/// What Tekton's controller says of a run.
async fn say(platform: &Platform, run: &Value, status: &str, reason: &str, message: &str) -> anyhow::Result<()> {
    let (name, namespace) = (run["metadata"]["name"].as_str(), run["metadata"]["namespace"].as_str());
    let condition = json!({"type": "Succeeded", "status": status, "reason": reason, "message": message});
    let patch = json!({"status": {"conditions": [condition]}}).to_string();
    let target = format!("pipelinerun/{}", name.context("a name")?);
    let namespace = namespace.context("a namespace")?;
    let words = ["patch", &target, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch];
    platform.kubectl(&words).await.map(drop)
}

/// Pushes what the build would have: where its parameter says.
async fn push(platform: &Platform, run: &Value, layer: &str) -> anyhow::Result<String> {
    let params = run["spec"]["params"].as_array().context("parameters")?;
    let image = params.iter().find(|param| param["name"] == "APP_IMAGE").context("APP_IMAGE")?;
    let (name, tag) = image["value"].as_str().and_then(|image| image.rsplit_once(':')).context("a tag")?;
    let registry = platform.registry()?;
    let path = name.strip_prefix(&format!("{}/", registry.address())).context("our registry")?;
    registry.push(path, tag, &Image { layers: &[layer], ..Default::default() }).await
}

async fn built(tool: &Tool<'_>, reason: &str, words: &str) -> anyhow::Result<()> {
    let what = format!("Built says {reason}: {words}");
    let told = tool.platform().until(&what, async || {
        let condition = tool.condition("Built").await?;
        Ok(condition.filter(|one| one.reason == reason && one.message.contains(words)))
    });
    told.await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_run_is_waited_for_and_what_it_made_is_deployed() -> anyhow::Result<()> {
    let platform = building("tekton").await?;
    let tool = platform.tool("web")?;
    let run = build_of(&tool, &tool.commit(BUILT)?).await?;
    ensure!(run["spec"]["timeouts"]["pipeline"] == "600s" && run["spec"]["workspaces"][2]["emptyDir"] == json!({}));
    ensure!(run["spec"]["taskRunTemplate"]["podTemplate"]["securityContext"]["runAsNonRoot"] == true, "{run:#}");
    built(&tool, "AwaitingBuild", "").await?;
    say(&platform, &run, "Unknown", "Running", "Tasks Completed: 1, Incomplete: 2").await?;
    platform.quiet().await?;
    built(&tool, "AwaitingBuild", "").await?;
    say(&platform, &run, "True", "Completed", "Tasks Completed: 3").await?;
    ensure!(tool.find("Deployment", "web").await?.is_none(), "a build that says it is done is no image yet");
    let digest = push(&platform, &run, "first").await?;
    tool.ready().await?;
    ensure!(image_of(&tool.object("Deployment", "web").await?).to_string().contains(&digest));
    built(&tool, "ImagesFound", "").await?;
    ensure!(builds(&tool).await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_pipeline_runs_fail_time_out_or_are_cancelled_the_last_good_revision_serves() -> anyhow::Result<()> {
    let platform = building("tekton-fails").await?;
    let tool = platform.tool("web")?;
    let run = build_of(&tool, &tool.commit(BUILT)?).await?;
    let digest = push(&platform, &run, "first").await?;
    say(&platform, &run, "True", "Succeeded", "Tasks Completed: 3").await?;
    tool.ready().await?;

    let ends = [
        ("Failed", "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 1", "Failed: Tasks Completed: 2"),
        ("PipelineRunTimeout", "PipelineRun failed to finish within \"10m0s\"", "it was ended after 600 s"),
        ("Cancelled", "PipelineRun was cancelled", "somebody cancelled it"),
        ("CouldntGetPipeline", "pipelines.tekton.dev \"buildpacks\" not found", "\"buildpacks\" not found"),
    ];
    for (reason, message, words) in ends {
        let run = build_of(&tool, &tool.commit_file("app.py", &format!("print('{reason}')\n"))?).await?;
        say(&platform, &run, "Unknown", "Running", "Tasks Completed: 0").await?;
        say(&platform, &run, "False", reason, message).await?;
        built(&tool, "BuildFailed", words).await?;
    }
    tool.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    let healed = tool.until("Deployment", "web", "is healed", |web| web["spec"]["replicas"] == 1).await?;
    ensure!(image_of(&healed).to_string().contains(&digest), "{healed:#}");
    platform.quiet().await?;
    ensure!(builds(&tool).await?.len() == 5, "none is tried again by itself");

    // What a newer commit does not need is taken back while it runs.
    let needless = build_of(&tool, &tool.commit_file("app.py", "print(1)\n")?).await?;
    say(&platform, &needless, "Unknown", "Started", "").await?;
    let run = build_of(&tool, &tool.commit_file("app.py", "print(2)\n")?).await?;
    let gone = platform.until("the needless build is cancelled", async || {
        let all = builds(&tool).await?;
        Ok(all.iter().all(|run| run["metadata"]["name"] != needless["metadata"]["name"]).then_some(()))
    });
    gone.await?;
    let digest = push(&platform, &run, "second").await?;
    say(&platform, &run, "True", "Completed", "Tasks Completed: 2, Skipped: 1").await?;
    tool.until("Deployment", "web", "runs the new image", |web| image_of(web).to_string().contains(&digest)).await?;
    tool.ready().await
}
