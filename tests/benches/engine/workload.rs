//! Tools to serve: a config repository, and one repository with a folder for each of them.

use anyhow::Context as _;
use planner::kinds;
use reconciler::pass::{Subject, now};
use renderer::{Digest, Files, Image, Object, PinnedImage, Platform, Revision, Siblings, Tool};
use tests::git_server::{GitServer, Repository, Service};
use tests::platform::{Route, platform_yaml};

/// Published, stopped: Deployment, Service, Ingress, NetworkPolicy.
pub const WEB: &str = "{command: web, port: 8000, publish: /, replicas: 0}";
/// Reached by other tools only: no Ingress.
pub const INNER: &str = "{command: web, port: 8000, replicas: 0}";
const DIGEST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

pub struct Workload {
    /// The platform's; the tools' begin with it.
    pub name: String,
    pub tools: usize,
    git: GitServer,
    config: Repository,
    repository: Repository,
    platform: String,
    run: &'static str,
}

impl Workload {
    /// This many tools, each with one component that runs so.
    pub async fn commit(name: &str, tools: usize, run: &'static str) -> anyhow::Result<Self> {
        let git = GitServer::start().await?;
        let (config, repository) = (git.repository("config")?, git.repository("tools")?);
        let platform = platform_yaml(name, Route::Ingress, "registry.example");
        let this = Self { name: name.to_owned(), tools, git, config, repository, platform, run };
        let everyone: Vec<usize> = (0..tools).collect();
        this.change(&everyone, &|_| run.to_owned())?;
        let mut files = vec![("platform.yaml".to_owned(), this.platform.clone())];
        files.extend(everyone.iter().map(|n| (format!("tools/{}.yaml", this.tool(*n)), this.tool_yaml(*n))));
        put(&this.config, &files)?;
        Ok(this)
    }

    /// Commits how the component of these tools runs, and returns the commit.
    pub fn change(&self, tools: &[usize], run: &dyn Fn(usize) -> String) -> anyhow::Result<String> {
        let files = tools.iter().map(|n| (format!("{n}/toolforge.yaml"), component(&run(*n)))).collect::<Vec<_>>();
        put(&self.repository, &files)
    }

    pub fn tool(&self, n: usize) -> String {
        format!("{}-t{n}", self.name)
    }

    pub fn namespace(&self, n: usize) -> String {
        format!("tool-{}", self.tool(n))
    }

    /// Where the platform's own objects are.
    pub fn platform_namespace(&self) -> String {
        format!("platform-{}", self.name)
    }

    /// The config repository, for `toolforge run`.
    pub fn config_url(&self) -> &str {
        self.config.url()
    }

    /// The repository of all tools.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// `platform.yaml`.
    pub fn platform_yaml(&self) -> &str {
        &self.platform
    }

    /// How often the config repository was asked about so far.
    pub fn polls(&self) -> usize {
        self.git.count("config", Service::LsRefs)
    }

    /// All requests to the git host so far.
    pub fn git_requests(&self) -> usize {
        self.git.requests().len()
    }

    /// The platform's own objects, as `render` makes them.
    pub fn platform_objects(&self) -> anyhow::Result<Vec<Object>> {
        Ok(renderer::render_platform(&self.settings()?))
    }

    /// The objects of a tool, as `render` makes them, in the order of their kinds.
    pub fn objects(&self, n: usize) -> anyhow::Result<Vec<Object>> {
        let yaml = component(self.run).into_bytes();
        let subject = Subject {
            platform: self.settings()?,
            tool: self.declared(n)?,
            siblings: Siblings::default(),
            newest: Err(String::new()),
            trouble: None,
            forgotten: false,
            circumstances: planner::Circumstances::at(now()),
            vault: reconciler::secrets::Vault::default(),
            admission: Default::default(),
        };
        let files = Files { config: Some(yaml), ..Files::default() };
        let rendered = subject.render(&Revision { files, ..Revision::nothing("main") });
        let mut objects = rendered.objects;
        for component in &rendered.components {
            let Image::Prebuilt { reference } = &component.image else { anyhow::bail!("not an image: {component:?}") };
            let digest = Digest::new(format!("sha256:{DIGEST}")).ok().context("a digest")?;
            objects.extend(component.at(&PinnedImage { reference: reference.clone(), digest }).0);
        }
        objects.sort_by_key(|object| kinds::order(&object.id));
        Ok(objects)
    }

    fn settings(&self) -> anyhow::Result<Platform> {
        let (settings, report) = renderer::platform::parse(self.platform.as_bytes(), "platform.yaml");
        settings.with_context(|| format!("{report:?}"))
    }

    fn declared(&self, n: usize) -> anyhow::Result<Tool> {
        let (tool, report) = renderer::tool::parse(self.tool_yaml(n).as_bytes(), &format!("{}.yaml", self.tool(n)));
        tool.with_context(|| format!("{report:?}"))
    }

    fn tool_yaml(&self, n: usize) -> String {
        let (name, url) = (self.tool(n), self.repository.url());
        format!(
            "apiVersion: toolforge.org/v1alpha1\nkind: Tool\nmetadata: {{name: {name}}}\nspec: {{repository: {url}, path: \"{n}\"}}\n"
        )
    }
}

fn component(run: &str) -> String {
    format!(
        "config_version: v1beta1\ncomponents:\n  web:\n    image: registry.example/web@sha256:{DIGEST}\n    run: {run}\n"
    )
}

fn put(repository: &Repository, files: &[(String, String)]) -> anyhow::Result<String> {
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    repository.commit(&files)
}
