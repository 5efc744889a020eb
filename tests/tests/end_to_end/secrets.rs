//! Encrypted values on their way into the cluster, and into nothing else: every place where the platform speaks is
//! searched for canaries that stand in every channel of a secret.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use reconciler::secrets::{HMAC, IDENTITIES, Identities, Recipients};
use renderer::Secret;
use renderer::diagnostic::Place;
use renderer::secrets::{FILE, Record, SecretsFile, Standing};
use serde_json::Value;
use tests::platform::{Platform, Tool};

use crate::{Prebuilt, component, prebuilt};

const CANARY: &str = "canary-one+two/3 four";
const CHANGED: &str = "canary-changed+two/3 four";
/// The key of the marks, in the same Secret as the identities.
const MARKS: &str = "canary-marks-0123456789abcdef-0123456789abcdef";

/// One value, encrypted for somebody.
fn sealed(recipients: &[String], whom: &Tool<'_>, key: &str, value: &str) -> anyhow::Result<Standing> {
    let record = Record {
        platform: whom.platform().name().to_owned(),
        tools: vec![whom.name().to_owned()],
        key: key.to_owned(),
        value: Secret::new(value),
    };
    let sealed = Recipients::read(recipients.iter().map(String::as_str))?.seal(&record)?;
    Ok(Standing { place: Place { line: 1, column: 1, width: 1 }, sealed: Ok(sealed) })
}

fn file(whom: &Tool<'_>, values: impl IntoIterator<Item = (&'static str, Standing)>) -> String {
    let values = values.into_iter().map(|(key, standing)| (key.to_owned(), standing)).collect();
    let platform = whom.platform().name().to_owned();
    SecretsFile { platform, recipients: Vec::new(), values }.to_yaml()
}

/// Two components, of which only the first uses the value.
fn config(image: &Prebuilt) -> String {
    let web = component("web", image, "command: web");
    format!("components:\n{web}    secrets: [API_KEY]\n{}", component("worker", image, "command: work"))
}

/// The platform's keys, as operators make them.
pub async fn give_keys(platform: &Platform, identities: &Identities) -> anyhow::Result<()> {
    let identity = identities.one_to_text().context("an identity")?;
    let literals =
        [format!("--from-literal={IDENTITIES}={}", identity.reveal()), format!("--from-literal={HMAC}={MARKS}")];
    let namespace = platform.namespace();
    let create =
        ["create", "secret", "generic", "toolforge-keys", "--namespace", &namespace, &literals[0], &literals[1]];
    platform.kubectl(&create).await.map(drop)
}

pub fn settings(identities: &Identities) -> String {
    format!("secrets: {{recipients: [{}], keys: toolforge-keys}}", identities.public().concat())
}

async fn value_of(tool: &Tool<'_>, secret: &str, key: &str) -> anyhow::Result<String> {
    let secret = tool.object("Secret", secret).await?;
    let base64 = secret["data"][key].as_str().context("no such key")?;
    Ok(String::from_utf8(STANDARD.decode(base64)?)?)
}

fn generation(workload: &Value) -> i64 {
    workload["metadata"]["generation"].as_i64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_value_restarts_the_components_that_use_it_and_no_others() -> anyhow::Result<()> {
    let platform = Platform::start("sealed").await?;
    let (identities, image, tool) = (Identities::generate(), prebuilt(&platform, "web").await?, platform.tool("a")?);
    let public = identities.public();
    let seal = |value: &str| anyhow::Ok(file(&tool, [("API_KEY", sealed(&public, &tool, "API_KEY", value)?)]));
    tool.commit_file(FILE, &seal(CANARY)?)?;
    tool.commit(&config(&image))?;
    let held = tool.reason("Ready", "Invalid").await?;
    ensure!(held.message.contains("API_KEY"), "{held:?}");
    tool.until("Deployment", "worker", "is there", |_| true).await?;
    ensure!(tool.find("Deployment", "web").await?.is_none(), "it would start without its value");

    // Both come while it runs: settings begin anew, and keys that were missing are looked for again.
    platform.commit_setting(&settings(&identities))?;
    platform.polled_times(2).await?;
    give_keys(&platform, &identities).await?;
    tool.ready().await?;
    ensure!(value_of(&tool, "toolforge-secrets.web", "API_KEY").await? == CANARY);
    let (web, worker) = (tool.object("Deployment", "web").await?, tool.object("Deployment", "worker").await?);
    let from = &web["spec"]["template"]["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"];
    ensure!(from["name"] == "toolforge-secrets.web" && from["key"] == "API_KEY", "{from}");

    // Encrypted anew, the value is the same.
    tool.commit_file(FILE, &seal(CANARY)?)?;
    tool.ready().await?;
    platform.quiet().await?;
    ensure!(generation(&tool.object("Deployment", "web").await?) == generation(&web), "the value has not changed");
    tool.commit_file(FILE, &seal(CHANGED)?)?;
    let restarted = |now: &Value| generation(now) > generation(&web);
    tool.until("Deployment", "web", "restarts", restarted).await?;
    tool.ready().await?;
    ensure!(value_of(&tool, "toolforge-secrets.web", "API_KEY").await? == CHANGED);
    ensure!(generation(&tool.object("Deployment", "worker").await?) == generation(&worker), "it uses no value");

    // What somebody writes into it by hand is taken back, though nobody reads it.
    let patch = r#"{"stringData": {"API_KEY": "by hand", "MORE": "by hand"}}"#;
    tool.kubectl(&["patch", "secret", "toolforge-secrets.web", "--patch", patch]).await?;
    let ours =
        |secret: &Value| secret["data"]["API_KEY"] == STANDARD.encode(CHANGED) && secret["data"].get("MORE").is_none();
    tool.until("Secret", "toolforge-secrets.web", "is as it was", ours).await?;
    search(&platform, &tool, &identities).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ciphertext_of_a_stranger_is_refused_and_what_ran_goes_on() -> anyhow::Result<()> {
    let platform = Platform::start("copied").await?;
    let (identities, image) = (Identities::generate(), prebuilt(&platform, "web").await?);
    let (tool, stranger) = (platform.tool("a")?, platform.tool("b")?);
    platform.commit_setting(&settings(&identities))?;
    platform.polled_times(2).await?;
    give_keys(&platform, &identities).await?;
    let public = identities.public();
    let own = sealed(&public, &tool, "API_KEY", CANARY)?;
    tool.commit_file(FILE, &file(&tool, [("API_KEY", own.clone())]))?;
    tool.commit(&config(&image))?;
    tool.ready().await?;
    // It stands in a public repository: anybody may copy it.
    stranger.commit_file(FILE, &file(&stranger, [("API_KEY", own.clone())]))?;
    stranger.commit(&config(&image))?;
    // Without a file it was invalid before, in other words.
    let words = format!("it was encrypted for the tool `{}`", tool.name());
    let held = async || Ok(stranger.condition("Ready").await?.filter(|held| held.message.contains(&words)));
    let held = platform.until("the stranger is told", held).await?;
    ensure!(held.reason == "Invalid" && held.message.contains(FILE), "{held:?}");
    ensure!(stranger.find("Secret", "toolforge-secrets.web").await?.is_none());
    ensure!(stranger.find("Deployment", "web").await?.is_none());

    // Moved to another variable, it holds its component, and the last good revision goes on with its own.
    let moved = config(&image).replace("[API_KEY]", "[API_KEY, OTHER]");
    tool.commit_file(FILE, &file(&tool, [("API_KEY", own.clone()), ("OTHER", own.clone())]))?;
    tool.commit(&moved)?;
    let held = tool.reason("Ready", "Invalid").await?;
    ensure!(held.message.contains("`OTHER` is refused: it was encrypted as `API_KEY`"), "{held:?}");
    ensure!(value_of(&tool, "toolforge-secrets.web", "API_KEY").await? == CANARY);

    // Cut off, or made for the tool of that name on another platform, it is no better.
    let standing = sealed(&public, &tool, "OTHER", CANARY)?;
    let whole = file(&tool, [("API_KEY", own.clone()), ("OTHER", standing.clone())]);
    let last_line = whole.lines().rev().find(|line| !line.contains("-----")).context("a line of the ciphertext")?;
    let cut_off = whole.replace(&format!("{last_line}\n"), "");
    let record = Record {
        platform: "another".to_owned(),
        tools: vec![tool.name().to_owned()],
        key: "OTHER".to_owned(),
        value: Secret::new(CANARY),
    };
    let elsewhere = Recipients::read(public.iter().map(String::as_str))?.seal(&record)?;
    let elsewhere = file(&tool, [("API_KEY", own), ("OTHER", Standing { sealed: Ok(elsewhere), ..standing })]);
    for (broken, words) in [(cut_off, "cut off"), (elsewhere, "it was encrypted for the platform `another`")] {
        tool.commit_file(FILE, &broken)?;
        let told = async || Ok(tool.condition("Ready").await?.filter(|held| held.message.contains(words)));
        let held = platform.until(words, told).await?;
        ensure!(held.reason == "Invalid" && held.message.contains(FILE), "{held:?}");
        ensure!(value_of(&tool, "toolforge-secrets.web", "API_KEY").await? == CANARY);
    }

    // Without the component its Secret goes, too.
    tool.commit(&format!("components:\n{}", component("worker", &image, "command: work")))?;
    tool.until_gone("Secret", "toolforge-secrets.web").await?;
    Ok(())
}

/// Every text in which a canary must not be, by where it stands.
pub async fn outputs(platform: &Platform, tool: &Tool<'_>) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let planned = platform.plan_as(platform.client(), tool).await?;
    let plan = &planned.decided.plan;
    let all = |list: Vec<Value>| serde_json::to_string(&list);
    let mut outputs = BTreeMap::from([
        ("log", platform.log().last(usize::MAX)),
        ("Tool", serde_json::to_string(&tool.custom_resource().await?)?),
        ("events", platform.kubectl(&["get", "events", "--all-namespaces", "--output", "yaml"]).await?),
        ("settings", platform.kubectl(&["get", "configmaps", "--all-namespaces", "--output", "yaml"]).await?),
        ("stored revisions", all(platform.objects("ControllerRevision", &platform.namespace()).await?)?),
        ("plan", serde_json::to_string(plan)?),
        ("plan in words", planner::explain::explain(plan, &planner::explain::plain, &|_| None)),
        ("plan file", serde_json::to_string(&planned.contract)?),
        ("what was observed", serde_json::to_string(&planned.decided.observed)?),
        ("everything in Debug", format!("{planned:?}", planned = planned.decided)),
    ]);
    for kind in ["Deployment", "CronJob", "Service", "ConfigMap"] {
        let objects = all(platform.objects(kind, &tool.namespace()).await?)?;
        outputs.entry("objects").or_default().push_str(&objects);
    }
    Ok(outputs)
}

async fn search(platform: &Platform, tool: &Tool<'_>, identities: &Identities) -> anyhow::Result<()> {
    let identity = identities.one_to_text().context("an identity")?;
    let canaries = [CANARY, CHANGED, MARKS, identity.reveal()];
    let outputs = outputs(platform, tool).await?;
    ensure!(outputs.values().all(|text| text.len() > 20), "an output is empty: nothing was searched");
    for (place, text) in &outputs {
        for canary in canaries {
            for form in forms(canary) {
                ensure!(!text.contains(&form), "{place} gives a secret away");
            }
        }
    }
    Ok(())
}

/// As it is, in base64 at any alignment, URL-encoded, and in halves.
pub fn forms(canary: &str) -> Vec<String> {
    let mut forms = vec![canary.to_owned(), canary.replace('+', "%2B").replace('/', "%2F").replace(' ', "%20")];
    forms.extend([&canary[..canary.len() / 2], &canary[canary.len() / 2..]].map(str::to_owned));
    for shift in ["", "x", "xx"] {
        for engine in [&STANDARD, &URL_SAFE] {
            let text = engine.encode(format!("{shift}{canary}"));
            forms.push(text[4..text.len() - 4].to_owned());
        }
    }
    forms
}
