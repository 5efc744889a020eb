//! The second half of the show: nothing is played. Commits are built by our own buildpacks, images stand in a real
//! registry, components run as processes of this machine, and what is told was read over HTTP.

use super::acts::{Act, condition, image, is_ready, number};
use super::stage::Stage;
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
    ui: &'a Ui,
    served: Served,
    processes: Processes,
    watcher: Watcher,
    http: reqwest::Client,
    acts: Vec<Act>,
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
        Ok(Self { stage, ui, served, processes, watcher, http, acts: Vec::new(), _registry: registry })
    }

    /// What was seen.
    pub fn acts(&self) -> &[Act] {
        &self.acts
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
        self.title("6  A push becomes a page: built, and run as processes of this machine")?;
        self.aside("they are isolated from nothing: this is for one person's machine")?;
        self.shell("toolforge run config --run-processes")?;
        self.page("site", FIRST).await?;
        self.page("clock", "It is").await?;
        self.page("site-beta", FIRST).await?;
        self.ready("site-beta").await?;
        self.stage.git(SITE, &["checkout", "-q", "beta"])?;
        self.stage.edit(PAGE, "first version", "second version")?;
        self.stage.commit(SITE, "Second version")?;
        self.shell("sed -i s/first/second/ index.html && git commit -am 'Second version'  # on beta")?;
        self.page("site-beta", SECOND).await?;
        self.a_change_by_hand_is_taken_back().await?;
        self.beta_becomes_main().await?;
        self.line("")
    }

    async fn a_change_by_hand_is_taken_back(&mut self) -> anyhow::Result<()> {
        self.title("7  A change by hand is taken back, and the page stays")?;
        self.ready("site-beta").await?;
        let web = deployment("site-beta");
        self.shell("kubectl -n tool-site-beta scale deployment/web --replicas=0")?;
        self.watcher.patch(&format!("{web}/scale"), "kubectl-scale", &json!({"spec": {"replicas": 0}})).await?;
        let back = |web: Option<&Value>| number(web, "/spec/replicas") == Some(1);
        let (_, took) = self.watcher.until("replicas are 1 again", &web, back).await?;
        self.seen("spec.replicas: 0 → 1", took)?;
        self.page("site-beta", SECOND).await
    }

    async fn beta_becomes_main(&mut self) -> anyhow::Result<()> {
        self.title("8  Beta becomes main: the same image, by its digest")?;
        self.ready("site-beta").await?;
        self.stage.git(SITE, &["checkout", "-q", "main"])?;
        self.stage.git(SITE, &["merge", "-q", "--ff-only", "beta"])?;
        self.shell("git checkout main && git merge --ff-only beta")?;
        self.page("site", SECOND).await?;
        let digest = async |tool: &str| {
            let web = self.watcher.get(&deployment(tool)).await?;
            let image = image(web.as_ref()).unwrap_or_default();
            anyhow::Ok(image.rsplit_once('@').map(|(_, digest)| digest.to_owned()).unwrap_or_default())
        };
        let (beta, main) = (digest("site-beta").await?, digest("site").await?);
        anyhow::ensure!(!main.is_empty() && main == beta, "main runs {main}, beta runs {beta}");
        self.aside(&format!("both run {}...: nothing was built", main.get(..19).unwrap_or(&main)))
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
                self.shell(&format!("curl http://{host}/"))?;
                return self.seen(&format!("{}: {words}", status.as_u16()), begun.elapsed());
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

    fn title(&self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("\n{}", self.ui.data_in(Style::Title, text)))
    }

    fn shell(&self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("   $ {text}"))
    }

    fn aside(&self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("   {}", self.ui.data_in(Style::Faint, text)))
    }

    fn seen(&mut self, what: &str, took: Duration) -> anyhow::Result<()> {
        let millis = took.as_millis();
        self.acts.push(Act { what: what.to_owned(), millis });
        let mark = self.ui.data_in(Style::Good, "✓");
        let time = self.ui.data_in(Style::Faint, &format!("{millis} ms"));
        self.line(&format!("   {mark} {what}  {time}"))
    }

    fn line(&self, text: &str) -> anyhow::Result<()> {
        self.ui.data_unless_json(&format!("{text}\n"))
    }
}

fn deployment(tool: &str) -> String {
    format!("/apis/apps/v1/namespaces/tool-{tool}/deployments/web")
}
