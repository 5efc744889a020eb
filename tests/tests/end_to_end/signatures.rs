//! Signed commits: what nobody who may sign has signed is not taken, and what ran before runs on.

use anyhow::ensure;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use serde_json::Value;
use tests::git_server::Repository;
use tests::platform::{Platform, Route, Tool};

use crate::{Prebuilt, component, prebuilt};

fn web(image: &Prebuilt, command: &str) -> String {
    format!("components:\n{}", component("web", image, &format!("command: {command}, port: 8000")))
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// Signs the newest commit of `main`, as `git commit --amend -S` does.
fn sign(repository: &Repository, key: &PrivateKey) -> anyhow::Result<()> {
    let object = format!("{}\n", repository.git(&["cat-file", "commit", "main"])?);
    let armor = key.sign("git", HashAlg::Sha512, object.as_bytes())?.to_pem(LineEnding::LF)?;
    let header = format!("\ngpgsig {}\n\n", armor.trim_end().replace('\n', "\n "));
    let path = repository.path().join("signed");
    std::fs::write(&path, object.replacen("\n\n", &header, 1))?;
    let id = repository.git(&["hash-object", "-t", "commit", "-w", &path.display().to_string()])?;
    repository.set_branch("main", &id)
}

async fn runs(tool: &Tool<'_>, command: &str) -> anyhow::Result<Value> {
    let containers = |web: &Value| web["spec"]["template"]["spec"]["containers"][0].to_string();
    tool.until("Deployment", "web", &format!("runs {command}"), |web| containers(web).contains(command)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_commit_is_not_taken_and_a_signed_one_is() -> anyhow::Result<()> {
    let platform = Platform::prepare("signed", Route::Ingress).await?;
    let (ada, eve) = (key(1), key(2));
    let line = format!("ada@example.org {}\n", ada.public_key().to_openssh()?);
    platform.config().commit(&[("signers/operators", &line)])?;
    platform.commit_setting("commits: {signed: require, signers: operators}")?;
    platform.run().await?;
    let (image, tool) = (prebuilt(&platform, "web").await?, platform.tool("web")?);

    tool.commit(&web(&image, "first"))?;
    let held = tool.reason("Ready", "Unsigned").await?;
    ensure!(held.message.contains("it has no signature") && held.message.contains("signers/operators"), "{held:?}");
    ensure!(tool.find("Deployment", "web").await?.is_none(), "an unsigned commit runs");
    sign(tool.repository(), &ada)?;
    runs(&tool, "first").await?;
    tool.ready().await?;

    tool.commit(&web(&image, "second"))?;
    tool.reason("Ready", "Unsigned").await?;
    sign(tool.repository(), &eve)?;
    let fingerprint = eve.fingerprint(HashAlg::Sha256).to_string();
    let named = async || {
        let ready = tool.condition("Ready").await?;
        Ok(ready.filter(|ready| ready.reason == "Unsigned" && ready.message.contains(&fingerprint)))
    };
    platform.until("the key that was missing is named", named).await?;
    tool.kubectl(&["scale", "deployment/web", "--replicas=3"]).await?;
    tool.until("Deployment", "web", "is healed", |web| web["spec"]["replicas"] == 1).await?;
    runs(&tool, "first").await?;

    // The operators let her sign: nothing has to be pushed again.
    let both = format!("{line}eve@example.org {}\n", eve.public_key().to_openssh()?);
    platform.config().commit(&[("signers/operators", &both)])?;
    runs(&tool, "second").await?;
    tool.ready().await?;
    let events = platform.kubectl(&["get", "events", "--namespace", "default", "--output", "yaml"]).await?;
    ensure!(events.contains("of \"Tester\", new revision"), "no event names the commit's author:\n{events}");
    Ok(())
}
