//! From beta to main: the image that beta runs, with its digest, without a build, and not before it has proved itself.

use anyhow::ensure;
use tests::platform::{Platform, Tool};

use crate::builds::{BUILT, building, builds, is_complete, push, until_built};
use crate::image_of;

/// Two tools on two branches of one repository; `main` is promoted from `beta` on these terms.
fn pair<'a>(platform: &'a Platform, soak: &str) -> anyhow::Result<(Tool<'a>, Tool<'a>)> {
    let seed = platform.tool_without_file("quiz")?;
    let beta = platform.tool_on_branch("quiz-beta", &seed, "beta", "")?;
    let terms = format!("  promotion: {{from: {}{soak}}}\n", beta.name());
    let main = platform.tool_on_branch("quiz", &seed, "main", &terms)?;
    Ok((beta, main))
}

/// The only image of a tool's `web`, by digest.
async fn digest_of(tool: &Tool<'_>) -> anyhow::Result<String> {
    let web = tool.object("Deployment", "web").await?;
    let image = image_of(&web).as_str().unwrap_or_default().to_owned();
    Ok(image.rsplit_once('@').map(|(_, digest)| digest.to_owned()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_merged_from_beta_runs_on_main_with_beta_s_digest_and_nothing_is_built() -> anyhow::Result<()> {
    let platform = building("promote", "1Gi").await?;
    let (beta, main) = pair(&platform, "")?;
    let commit = beta.commit(BUILT)?;
    let build = until_built(&beta, "beta's build", is_complete).await?;
    let digest = push(&platform, &build, "quiz").await?;
    beta.ready().await?;
    let asked = platform.registry()?.requests()?.len();
    main.repository().set_branch("main", &commit)?;
    main.ready().await?;
    ensure!(digest_of(&main).await? == digest, "{} is not {digest}", digest_of(&main).await?);
    ensure!(builds(&main).await?.is_empty(), "something was built");
    let own = format!("/v2/{}/", main.namespace());
    let requests = platform.registry()?.requests()?;
    let uploads = requests[asked..].iter().filter(|request| request.path.starts_with(&own));
    let sent: Vec<_> = uploads.filter(|request| ["PATCH", "PUT"].contains(&request.method.as_str())).collect();
    ensure!(sent.iter().all(|request| request.path.contains("/manifests/")), "a layer was sent: {sent:#?}");
    platform.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn main_soaks_until_beta_was_ready_with_it_and_goes_on_by_itself() -> anyhow::Result<()> {
    let platform = building("soak", "1Gi").await?;
    let (beta, main) = pair(&platform, ", soak: 2s")?;
    let commit = beta.commit(BUILT)?;
    main.repository().set_branch("main", &commit)?;
    let build = until_built(&beta, "beta's build", is_complete).await?;
    let soaking = main.reason("Ready", "Soaking").await?;
    ensure!(soaking.message.contains(&format!("{} has to be Ready with it first", beta.name())), "{soaking:?}");
    ensure!(main.find("Deployment", "web").await?.is_none());
    push(&platform, &build, "quiz").await?;
    beta.ready().await?;
    main.ready().await?;
    ensure!(digest_of(&main).await? == digest_of(&beta).await?);
    ensure!(builds(&main).await?.is_empty(), "something was built");
    // A commit that beta never had stays away, and what runs is healed.
    main.commit_file("app.py", "print(2)\n")?;
    let ready = async || Ok(main.condition("Ready").await?.filter(|ready| ready.message.contains("; soaking ")));
    platform.until("main says that it soaks", ready).await?;
    main.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    main.until("Deployment", "web", "is healed", |web| web["spec"]["replicas"] == 1).await?;
    Ok(())
}
