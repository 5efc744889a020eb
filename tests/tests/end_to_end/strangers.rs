//! Attacks on the reconciler itself: what somebody writes in a repository, or by hand on the cluster, so that it acts for
//! them on what belongs to others.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::git_server::Entry;
use tests::platform::{Platform, Route, Tool};

use crate::{component, prebuilt, web};

/// The uid and version of everything that another tool has.
async fn as_they_are(tool: &Tool<'_>) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for kind in ["Deployment", "Service", "Ingress", "NetworkPolicy", "ResourceQuota", "RoleBinding"] {
        for object in tool.platform().objects(kind, &tool.namespace()).await? {
            let metadata = &object["metadata"];
            found.push(json!([kind, metadata["name"], metadata["uid"], metadata["generation"]]));
        }
    }
    ensure!(found.len() > 5, "{found:?}");
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_forged_by_hand_reaches_nobody_else_and_is_as_the_config_repository_says_again() -> anyhow::Result<()> {
    let platform = Platform::start("forged").await?;
    let image = prebuilt(&platform, "web").await?;
    let (mine, theirs) = (platform.tool("mine")?, platform.tool("theirs")?);
    let worker = component("worker", &image, "command: work");
    mine.commit(&format!("{}{worker}", web(&image)))?;
    theirs.commit(&web(&image))?;
    mine.ready().await?;
    theirs.ready().await?;
    let (before, repository) = (as_they_are(&theirs).await?, spec_of(&mine).await?);

    // Follow their repository; count their objects among mine; and have been removed long ago.
    let spec = json!({"spec": {"repository": "https://git.example/theirs", "branch": "evil", "uid": 0}});
    patch(&mine, &[], &spec).await?;
    let mut inventory = mine.custom_resource().await?.context("a Tool")?["status"]["inventory"].clone();
    let listed = inventory.as_array_mut().context("an inventory")?;
    for object in platform.objects("Deployment", &theirs.namespace()).await? {
        let metadata = &object["metadata"];
        listed.push(json!({
            "group": "apps", "kind": "Deployment", "uid": metadata["uid"],
            "namespace": metadata["namespace"], "name": metadata["name"],
        }));
    }
    let status = json!({"status": {"inventory": listed, "removedAt": "2020-01-01T00:00:00Z"}});
    patch(&mine, &["--subresource=status"], &status).await?;
    let again = async || Ok((spec_of(&mine).await? == repository).then_some(()));
    platform.until("the Tool is as the config repository says", again).await?;

    // What goes now is my own.
    mine.commit(&web(&image))?;
    mine.ready().await?;
    mine.until_gone("Deployment", "worker").await?;
    platform.quiet().await?;
    ensure!(as_they_are(&theirs).await? == before, "{:?} {before:?}", as_they_are(&theirs).await?);
    let status = mine.custom_resource().await?.context("a Tool")?["status"].clone();
    ensure!(!status.to_string().contains(&theirs.namespace()), "still in the inventory: {status}");
    ensure!(status["removedAt"].is_null(), "{status}");
    Ok(())
}

async fn spec_of(tool: &Tool<'_>) -> anyhow::Result<Value> {
    Ok(tool.custom_resource().await?.context("a Tool")?["spec"].clone())
}

async fn patch(tool: &Tool<'_>, how: &[&str], patch: &Value) -> anyhow::Result<()> {
    let patch = patch.to_string();
    let words = [&["patch", "tool", tool.name(), "--type=merge", "-p", &patch], how].concat();
    tool.platform().kubectl(&words).await.map(drop)
}

/// Of one name a cluster has one Tool, one namespace and one host: whoever was there first has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_two_platforms_claim_belongs_to_the_first() -> anyhow::Result<()> {
    let first = Platform::start("claimed").await?;
    let image = prebuilt(&first, "web").await?;
    let tool = first.tool("web")?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    let before = (as_they_are(&tool).await?, spec_of(&tool).await?);

    let second = Platform::prepare("claimant", Route::Ingress).await?;
    let other = second.tool("other")?;
    other.commit(&web(&image).replace("publish: /", "publish: /, replicas: 2"))?;
    second.commit_tool_file(tool.name(), &format!("  repository: {}\n", other.repository().url()))?;
    second.run().await?;
    other.ready().await?;
    let told = async || Ok(second.log().has("another platform of this cluster serves").then_some(()));
    second.until("the operators are told", told).await?;
    second.quiet().await?;
    first.quiet().await?;
    ensure!((as_they_are(&tool).await?, spec_of(&tool).await?) == before, "it was taken: {}", second.log().last(30));
    Ok(())
}

/// Also where both begin at one time: one of them has it, whole, and the other one's operators are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_two_platforms_claim_at_once_is_had_by_one_alone() -> anyhow::Result<()> {
    let (one, two) =
        (Platform::prepare("atonce", Route::Ingress).await?, Platform::prepare("rival", Route::Ingress).await?);
    let image = prebuilt(&one, "web").await?;
    let (tool, other) = (one.tool("web")?, two.tool("other")?);
    for repository in [&tool, &other] {
        repository.commit(&web(&image))?;
    }
    two.commit_tool_file(tool.name(), &format!("  repository: {}\n", other.repository().url()))?;
    let (one_runs, two_runs) = tokio::join!(one.run(), two.run());
    one_runs.and(two_runs)?;
    tool.until("Deployment", "web", "is there", |_| true).await?;
    let namespace = one.object("Namespace", None, &tool.namespace()).await?.context("its namespace")?;
    let (won, lost) = match namespace["metadata"]["labels"]["toolforge.org/platform"] == one.name() {
        true => (&one, &two),
        false => (&two, &one),
    };
    let told = async || Ok(lost.log().has("another platform of this cluster serves").then_some(()));
    lost.until("the operators are told", told).await?;
    won.quiet().await?;
    lost.quiet().await?;
    let (before, mark) = (spec_of(&tool).await?, lost.plane().mark()?);

    // Whoever has it heals it, and nobody else writes there.
    tool.kubectl(&["scale", "deployment/web", "--replicas=4"]).await?;
    tool.until("Deployment", "web", "is scaled back", |web| web["spec"]["replicas"] == 1).await?;
    lost.quiet().await?;
    let strays = lost.writes_since(mark)?;
    ensure!(strays.iter().all(|write| write.namespace != tool.namespace()), "{strays:#?}");
    ensure!(spec_of(&tool).await? == before, "it follows another repository");
    Ok(())
}

/// Whoever makes an object in their namespace can name anybody as its owner.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_names_a_neighbour_as_its_owner_is_none_of_theirs() -> anyhow::Result<()> {
    let platform = Platform::start("owned").await?;
    let image = prebuilt(&platform, "web").await?;
    let (mine, theirs) = (platform.tool("mine")?, platform.tool("theirs")?);
    for tool in [&mine, &theirs] {
        tool.commit(&web(&image))?;
        tool.ready().await?;
    }
    let before = as_they_are(&theirs).await?;
    let owner = theirs.custom_resource().await?.context("a Tool")?;
    let owners = json!([{
        "apiVersion": owner["apiVersion"], "kind": "Tool", "name": theirs.name(), "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let forged = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "forged", "namespace": mine.namespace(), "ownerReferences": owners},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}},
    });
    tests::rights::put(platform.client(), &forged).await?;
    let mut owners = owners;
    owners[0]["controller"] = false.into();
    let patch = json!({"metadata": {"ownerReferences": owners}}).to_string();
    mine.kubectl(&["patch", "deployment/web", "--type=merge", "-p", &patch]).await?;
    theirs.commit(&web(&image).replace("publish: /", "publish: /, replicas: 2"))?;
    theirs.ready().await?;
    mine.ready().await?;
    platform.quiet().await?;
    let status = theirs.custom_resource().await?.context("a Tool")?["status"].to_string();
    ensure!(!status.contains(&mine.namespace()) && !status.contains("forged"), "it is counted as theirs: {status}");
    mine.must_have("Service", "forged").await?;
    let after = as_they_are(&theirs).await?;
    ensure!(after.len() == before.len(), "{after:?}");
    Ok(())
}

/// Each is told, and none is a reason to change what runs, or to keep anybody waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_made_to_hurt_is_told_and_the_last_good_revision_serves_on() -> anyhow::Result<()> {
    let platform = Platform::start("hurtful").await?;
    let image = prebuilt(&platform, "web").await?;
    let (tool, neighbour) = (platform.tool("web")?, platform.tool("neighbour")?);
    for one in [&tool, &neighbour] {
        one.commit(&web(&image))?;
        one.ready().await?;
    }
    let before = as_they_are(&tool).await?;
    let long = format!("{}# {}\n", web(&image), "a".repeat(5 << 20));
    let aliases = format!("a: &a [x]\nb: [{}]\n", "*a, ".repeat(100_000));
    let deep = format!("components: {}{}\n", "[".repeat(1_000), "]".repeat(1_000));
    // What they are, and a word of what is said of them.
    let files: [(&str, Entry<'_>); 5] = [
        ("larger", Entry::File(long.as_bytes())),
        ("alias", Entry::File(aliases.as_bytes())),
        ("deep", Entry::File(deep.as_bytes())),
        ("link", Entry::Link("/etc/passwd")),
        ("submodule", Entry::Submodule("0123456789012345678901234567890123456789")),
    ];
    for (round, (what, entry)) in files.into_iter().enumerate() {
        tool.repository().commit_entries("main", &[("toolforge.yaml", entry)])?;
        let told = async || {
            let ready = tool.condition("Ready").await?.context("a condition")?;
            Ok((ready.status == "False" && ready.message.contains(what)).then_some(ready.message))
        };
        let message = platform.until(&format!("{what} is told"), told).await?;
        ensure!(message.contains("toolforge.yaml") && message.len() < 2_000, "{what}: {message}");
        ensure!(as_they_are(&tool).await? == before, "{what}");
        neighbour.commit(&web(&image).replace("publish: /", &format!("publish: /n{round}")))?;
        neighbour.ready().await?;
    }
    tool.commit(&web(&image))?;
    tool.ready().await
}
