//! The second half of the show: nothing is played. Commits are built by our own buildpacks, images stand in a real
//! registry, components run as processes of this machine, and what is told was read over HTTP.

use super::acts::{condition, image, is_ready, items, name, number};
use super::stage::Stage;
use super::teller::{Act, Teller};
use super::watcher::Watcher;
use crate::cli::processes::{Folders, Processes};
use crate::cli::run::{Served, serve_sandbox};
use crate::ui::{Style, Ui, failed};
use anyhow::Context as _;
use local::registry::Registry;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const TOOLS: &str = "/apis/toolforge.org/v1alpha1/tools";
const BUILDS: &str = "/apis/batch/v1/jobs";
const PAGE: &str = "machine/repos/site/index.html";
const SITE: &str = "machine/repos/site";
const FIRST: &str = "Hello from the first version";
const SECOND: &str = "Hello from the second version";
/// Between looks at a page.
const PAUSE: Duration = Duration::from_millis(20);
/// A page that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A platform on this machine, and what was seen of it.
pub struct Machine<'a> {
    stage: &'a Stage,
    served: Served,
    processes: Processes,
    watcher: Watcher,
    http: reqwest::Client,
    teller: Teller<'a>,
    _registry: Registry,
}

impl<'a> Machine<'a> {
    pub async fn start(stage: &'a Stage, ui: &'a Ui, stop: CancellationToken) -> anyhow::Result<Self> {
        let state = stage.path("machine/state");
        let folders = Folders::below(&state);
        // Its port has to be known before the platform is.
        let registry = Registry::start(&folders.registry, 0).await?;
        stage.add_machine(&registry.host())?;
        let platform = crate::cli::local::platform(&stage.path("machine/config/platform.yaml"), ui)?;
        let served = serve_sandbox(&stage.path("machine/config"), &state, Duration::from_secs(1), stop).await?;
        let processes = Processes::start(&served.sandbox, &platform, &folders, 0).await?;
        let watcher = Watcher::patient(&served.cluster);
        let http = reqwest::Client::builder().no_proxy().build().context("no HTTP client")?;
        Ok(Self { stage, served, processes, watcher, http, teller: Teller::new(ui), _registry: registry })
    }

    /// What was seen.
    pub fn acts(&self) -> &[Act] {
        self.teller.acts()
    }

    /// The router's port.
    pub fn port(&self) -> u16 {
        self.processes.router.port
    }

    /// What somebody can try.
    pub fn by_hand(&self, stage: &Stage, ui: &Ui) -> String {
        let (repo, kubeconfig) = (stage.path(SITE), self.served.kubeconfig.display());
        let title = ui.data_in(Style::Title, "And with what runs:");
        format!(
            "\n{title}\n  curl http://site.localhost:{port}/; curl http://clock.localhost:{port}/\n  \
             kubectl --kubeconfig {kubeconfig} get pods -A\n  \
             cd {repo} && sed -i s/second/third/ index.html && git commit -am Third\n\n\
             Ctrl-C ends it and leaves nothing behind.\n",
            port = self.port(),
            repo = repo.display(),
        )
    }

    /// Ends the processes, then the platform.
    pub async fn end(self) -> anyhow::Result<()> {
        self.processes.end().await;
        self.served.end().await
    }

    pub async fn play(&mut self) -> anyhow::Result<()> {
        self.teller.title("6  A push becomes a page: built, and run as processes of this machine")?;
        self.teller.aside("they are isolated from nothing: this is for one person's machine")?;
        self.teller.shell("toolforge run config --run-processes")?;
        self.page("site", FIRST).await?;
        self.page("clock", "It is").await?;
        self.page("site-beta", FIRST).await?;
        self.ready("site-beta").await?;
        self.stage.git(SITE, &["checkout", "-q", "beta"])?;
        self.stage.edit(PAGE, "first version", "second version")?;
        self.stage.commit(SITE, "Second version")?;
        self.teller.shell("sed -i s/first/second/ index.html && git commit -am 'Second version'  # on beta")?;
        self.page("site-beta", SECOND).await?;
        self.a_change_by_hand_is_taken_back().await?;
        self.beta_becomes_main().await?;
        self.teller.line("")
    }

    async fn a_change_by_hand_is_taken_back(&mut self) -> anyhow::Result<()> {
        self.teller.title("7  A change by hand is taken back, and the page stays")?;
        self.ready("site-beta").await?;
        let web = deployment("site-beta");
        self.teller.shell("kubectl -n tool-site-beta scale deployment/web --replicas=0")?;
        self.watcher.patch(&format!("{web}/scale"), "kubectl-scale", &json!({"spec": {"replicas": 0}})).await?;
        let back = |web: Option<&Value>| number(web, "/spec/replicas") == Some(1);
        let (_, took) = self.watcher.until("replicas are 1 again", &web, back).await?;
        self.teller.seen("spec.replicas: 0 → 1", took)?;
        self.page("site-beta", SECOND).await
    }

    async fn beta_becomes_main(&mut self) -> anyhow::Result<()> {
        let before = self.builds().await?;
        self.teller.title("8  Beta becomes main: the same image, by its digest")?;
        self.ready("site-beta").await?;
        self.stage.git(SITE, &["checkout", "-q", "main"])?;
        self.stage.git(SITE, &["merge", "-q", "--ff-only", "beta"])?;
        self.teller.shell("git checkout main && git merge --ff-only beta")?;
        let runs = |web: Option<&Value>| image(web).and_then(|image| Some(image.rsplit_once('@')?.1.to_owned()));
        let beta = runs(self.watcher.get(&deployment("site-beta")).await?.as_ref()).context("beta runs nothing")?;
        let short = beta.get(..19).unwrap_or(&beta);
        let same = |web: Option<&Value>| runs(web).as_ref() == Some(&beta);
        let (_, took) = self.watcher.until("main runs what beta runs", &deployment("site"), same).await?;
        self.teller.seen(&format!("deployment/tool-site/web has beta's {short}..."), took)?;
        self.page("site", SECOND).await?;
        let after = self.builds().await?;
        anyhow::ensure!(
            after.iter().all(|build| before.contains(build)),
            "a build was asked for: {before:?}, then {after:?}"
        );
        self.teller.aside("nothing was built")
    }

    /// Names of the builds that were ever asked for.
    async fn builds(&self) -> anyhow::Result<Vec<String>> {
        let list = self.watcher.get(BUILDS).await?;
        Ok(items(list.as_ref()).iter().map(|job| name(job).to_owned()).collect())
    }

    async fn ready(&self, tool: &str) -> anyhow::Result<()> {
        let ready = |tool: Option<&Value>| tool.is_some_and(is_ready);
        self.watcher.until(&format!("{tool} is Ready"), &format!("{TOOLS}/{tool}"), ready).await?;
        Ok(())
    }

    /// Asks for a tool's page until it says this.
    async fn page(&mut self, tool: &str, words: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        let host = format!("{tool}.localhost:{}", self.port());
        let url = format!("http://127.0.0.1:{}/", self.port());
        loop {
            let answer = self.http.get(&url).header("host", &host).send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            if status.is_success() && text.contains(words) {
                self.teller.shell(&format!("curl http://{host}/"))?;
                return self.teller.seen(&format!("{}: {words}", status.as_u16()), begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                let said = self.watcher.get(&format!("{TOOLS}/{tool}")).await?;
                let why = said.as_ref().map_or("", |tool| condition(tool, "Ready", "message"));
                let message = format!("{tool} does not say {words:?}; the router: {status}, {text:?}; the tool: {why}");
                return Err(failed(message).hint("Run it again with `-vv` to see what happens.").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn deployment(tool: &str) -> String {
    format!("/apis/apps/v1/namespaces/tool-{tool}/deployments/web")
}
