//! A platform whose builds are run.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use renderer::platform::{Backend, Builds, Lifecycle};
use renderer::{BuildRequest, CommitId, Files, Platform, Revision, Siblings, Tool, ToolName, TreeId};
use serde_json::Value;
use tests::git_server::{GitServer, Repository};
use tests::lifecycle::{Builder, Image, Mount, Phase, Place, Pod, Ran, Unpacked, programs};
use tests::registry::{self, Registry};

const LOGIN: (&str, &str) = ("robot", "s3cret");
const SECRET: &str = "registry";
/// The platform's system user.
pub const USER: (u32, u32) = (50_000, 50_000);

/// A registry with a login, a git host, a builder, and a platform file that names them.
pub struct Stage {
    pub real: Registry,
    pub platform: Platform,
    git: GitServer,
    builder: Builder,
    program: PathBuf,
}

/// A build that has ended.
pub struct Build {
    pub phases: Vec<Phase>,
    /// Repository in the registry, and tag.
    pub image: (String, String),
    /// The component's container, as it is deployed.
    pub container: Value,
}

impl Stage {
    pub async fn new() -> anyhow::Result<Self> {
        let (real, git) = (Registry::start_with_login(LOGIN.0, LOGIN.1).await?, GitServer::start().await?);
        let mut platform = Platform::builtin();
        platform.registry.host = format!("{}/tools", real.address());
        let any = |name: &str| format!("registry.example/{name}@sha256:{}", "b".repeat(64));
        platform.builder.image = any("builder");
        platform.builder.buildpacks = BTreeMap::new();
        for name in ["python", "pip", "node", "static", "procfile", "deb-packages"] {
            platform.builder.buildpacks.insert(format!("toolforge/{name}"), any(&format!("{name}:0.1.0")));
        }
        let settings = Lifecycle { registry_secret: Some(SECRET.to_owned()), ..Lifecycle::of(any("toolforge")) };
        let backend = Backend::Lifecycle(settings);
        platform.builds = Some(Builds::by(backend));
        let program = Path::new(env!("CARGO_BIN_EXE_toolforge")).to_owned();
        let mut stage = Self { real, platform, git, builder: Builder::new()?, program };
        stage.platform.builder.run_image = stage.run_image(&["base"]).await?;
        Ok(stage)
    }

    /// Pushes a run image as `run:12`, for Debian 12, and says its name with its digest.
    pub async fn run_image(&self, layers: &[&str]) -> anyhow::Result<String> {
        let labels = [("io.buildpacks.base.distro.name", "debian"), ("io.buildpacks.base.distro.version", "12")];
        let image = registry::Image {
            layers,
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            ..Default::default()
        };
        let digest = self.real.push("run", "12", &image).await?;
        Ok(format!("{}/run:12@{digest}", self.real.address()))
    }

    pub fn repository(&self, name: &str) -> anyhow::Result<Repository> {
        self.git.repository(name)
    }

    /// Builds the newest commit of a repository, whose `toolforge.yaml` has one component, as that tool's.
    pub async fn build(&self, tool: &str, repository: &Repository) -> anyhow::Result<Build> {
        let tool = Tool::of(ToolName::new(tool)?, repository.url());
        let config = repository.git(&["show", "main:toolforge.yaml"])?;
        let revision = Revision {
            commit: Some(CommitId::new(repository.resolve("main")?)?),
            tree: Some(TreeId::new(repository.resolve("main^{tree}")?)?),
            files: Files { config: Some(config.into_bytes()), ..Files::default() },
            ..Revision::nothing("main")
        };
        let rendered = renderer::render_revision(&self.platform, &tool, &revision, &Siblings::default());
        let component = rendered.components.first().with_context(|| format!("{:?}", rendered.report))?;
        let workload = component.objects.first().context("an object")?;
        let container = workload.value.pointer("/spec/template/spec/containers/0").context("a container")?.clone();
        let request = rendered.builds.first().context("a build")?;
        let pod = self.pod(request, &tool)?;
        let phases = pod.run().await?;
        let (repository, tag) =
            request.image().rsplit_once(':').map(|(r, t)| (r.to_owned(), t.to_owned())).context("a tag")?;
        let repository = repository.split_once('/').context("a registry")?.1.to_owned();
        Ok(Build { phases, image: (repository, tag), container })
    }

    fn pod(&self, request: &BuildRequest, tool: &Tool) -> anyhow::Result<Pod> {
        let job = request.object(&self.platform, tool).context("a Job")?;
        let Some(Builds { backend: Backend::Lifecycle(settings), .. }) = &self.platform.builds else {
            anyhow::bail!("another backend");
        };
        let ours = Image {
            mounts: vec![Mount::read_only(self.program.parent().context("a folder")?, "/toolforge")],
            env: vec![("PATH".to_owned(), "/toolforge:/usr/local/bin:/usr/bin:/usr/sbin:/bin".to_owned())],
        };
        let images = [(settings.image.clone(), ours), (self.platform.builder.image.clone(), self.builder.image()?)];
        let secret = BTreeMap::from([(".dockerconfigjson".to_owned(), self.real.docker_config())]);
        Pod::new(&job.value, images.into(), &BTreeMap::from([(SECRET.to_owned(), secret)]))
    }

    /// A phase of the stock lifecycle by itself, with the registry's credentials; `layers` is its folder.
    pub async fn phase(&self, layers: &Path, argv: &[&str]) -> anyhow::Result<Ran> {
        let auth = tempfile::tempdir()?;
        std::fs::set_permissions(auth.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        std::fs::write(auth.path().join("config.json"), self.real.docker_config())?;
        let place = Place::new(USER)?
            .mount(Mount::read_only(&programs()?, "/cnb/lifecycle"))
            .mount(Mount::writable(layers, "/layers"))
            .mount(Mount::read_only(auth.path(), "/registry-auth"))
            .env("DOCKER_CONFIG", "/registry-auth")
            .env("CNB_PLATFORM_API", "0.14")
            .env("CNB_USER_ID", &USER.0.to_string())
            .env("CNB_GROUP_ID", &USER.1.to_string());
        let program = format!("/cnb/lifecycle/{}", argv.first().context("a phase")?);
        let words: Vec<&str> = std::iter::once(program.as_str()).chain(argv[1..].iter().copied()).collect();
        place.run(&words).await
    }

    /// The image that a build exported.
    pub async fn unpacked(&self, build: &Build) -> anyhow::Result<Unpacked> {
        Unpacked::from(&self.real, &build.image.0, &build.image.1).await
    }
}

impl Build {
    /// Of a build that had to succeed.
    pub fn good(self) -> anyhow::Result<Self> {
        let names: Vec<_> = self.phases.iter().map(|phase| phase.name.as_str()).collect();
        let good = names == ["fetch", "analyze", "detect", "restore", "build", "export"];
        ensure!(good && self.phases.iter().all(|phase| phase.ran.code == 0), "{:#?}", self.phases.last());
        Ok(self)
    }

    /// What a phase printed.
    pub fn log(&self, name: &str) -> anyhow::Result<&str> {
        let phase = self.phases.iter().find(|phase| phase.name == name);
        Ok(&phase.with_context(|| format!("no phase {name}"))?.ran.log)
    }

    /// Where the component runs, and the words that start it: as its pod says.
    fn place(&self, image: &Unpacked) -> anyhow::Result<(Place, Vec<String>)> {
        let mut place = image.place(USER)?;
        for variable in self.container["env"].as_array().into_iter().flatten() {
            let (name, value) = (variable["name"].as_str(), variable["value"].as_str());
            place = place.env(name.context("a name")?, value.context("a value")?);
        }
        let words = self.container["command"].as_array().context("a command")?.iter();
        Ok((place, words.map(|word| word.as_str().unwrap_or_default().to_owned()).collect()))
    }

    /// Runs the component to its end: what it printed.
    pub async fn runs(&self, image: &Unpacked) -> anyhow::Result<String> {
        let (place, words) = self.place(image)?;
        place.run(&words).await?.good()
    }

    /// Starts the component and asks it for `/`.
    pub async fn serves(&self, image: &Unpacked) -> anyhow::Result<String> {
        let (place, words) = self.place(image)?;
        let mut running = place.command(&words)?.spawn()?;
        let url = format!("http://127.0.0.1:{}/", self.container["ports"][0]["containerPort"]);
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = loop {
            match client.get(&url).send().await {
                Ok(answer) => break answer.error_for_status()?.text().await?,
                Err(_) if running.try_wait()?.is_none() => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => {
                    let ended = running.wait_with_output().await?;
                    anyhow::bail!("it ended ({error}): {}", String::from_utf8_lossy(&ended.stderr));
                }
            }
        };
        running.kill().await?;
        Ok(answer)
    }
}

/// A port that nobody listens on.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A `toolforge.yaml` of one component: how it runs, and how it is built besides what this machine says of its package
/// indexes, which is its own.
pub fn toolforge_yaml(run: &str, build: &str) -> String {
    let ours = |name: &str| {
        ["PIP_", "SSL_CERT", "NODE_EXTRA", "REQUESTS_CA"].iter().any(|prefix| name.starts_with(prefix))
            || name.ends_with("_PROXY")
    };
    let env: BTreeMap<_, _> = std::env::vars().filter(|(name, _)| ours(name)).collect();
    let env = serde_json::to_value(env).unwrap_or_default();
    format!("components:\n  web:\n    build: {{ref: main, envvars: {env}{build}}}\n    run: {{{run}}}\n")
}
