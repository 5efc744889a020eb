//! `build-image`: a build on this machine, from a commit to an image in the registry, as the pod of a build runs it. People
//! have `toolforge build`.

use super::fetch_source::{git, unread};
use super::state;
use crate::ui::{Exit, Ui, failed, wrong_use};
use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use local::build::{Builder, DETECT_SECS, Exported, Request};
use local::cell::Door;
use planner::image::{Image, Rebased, RunImage, rebase};
use reconciler::dialer::{Credentials, Dialer, HostPort, Rules};
use reconciler::registry::{Base, PushError, Reference, Registry, RegistryError};
use reconciler::source::RepositoryUrl;
use renderer::{CommitId, Digest};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Variables that begin so are the environment of the build.
const ENVIRONMENT: &str = "BUILD_ENV_";
/// How this machine reaches package indexes: variables that begin so, in small letters.
const MACHINE: &[&str] = &["pip_", "npm_config_", "node_extra_ca_certs", "ssl_cert_", "poetry_"];
/// Seconds that one buildpack has; the build's own deadline is the Job's.
const BUILD_SECS: u64 = 86_400;
/// Blobs sent at once.
const AT_ONCE: usize = 4;

/// Build an image of a commit on this machine and push it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge build-image https://gitlab.example/wordcount 35b594f… --image localhost:5000/toolforge/tool-w/web:1")]
pub struct Args {
    /// The repository's URL
    repository: String,
    /// The whole commit id
    commit: String,
    /// The image to make
    #[arg(long, value_name = "REFERENCE")]
    image: String,
    /// A folder below the repository's root
    #[arg(long, value_name = "PATH", default_value = "")]
    path: String,
    /// A buildpack to use, in order
    #[arg(long = "buildpack", value_name = "ID")]
    buildpacks: Vec<String>,
    /// The run image to put under it, if the registry has it
    #[arg(long, value_name = "REFERENCE")]
    run_image: Option<String>,
    /// Use nothing of earlier builds
    #[arg(long)]
    fresh: bool,
    /// Prefix of the variables with the registry's user and password
    #[arg(long, value_name = "PREFIX")]
    registry_credentials: Option<String>,
    /// Where buildpacks and layers are kept
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    // The password is in our environment, and strangers' processes may have our user.
    local::cell::keep_to_ourselves().context("cannot hide this process's environment")?;
    let to = Reference::parse(&args.image).map_err(|error| wrong_use(error.to_string()))?;
    if args.run_image.is_none() && !is_here(&to.host) {
        return Err(for_this_machine_alone(&to));
    }
    let registry = registry(args, &to)?;
    if let Some(digest) = registry.resolve(&to.repository(), &to.tag).await.map_err(|error| refused(&to, error))? {
        ui.data(&format!("{to} is there: {digest}\n"))?;
        return Ok(Exit::Done);
    }
    let base = base(args, &registry).await?;
    let state = state::folder(args.state.as_deref());
    let scratch = scratch(&state)?;
    let source = scratch.path().join("source");
    let begun = Instant::now();
    fetch(args, &state, &source, ui).await?;
    let request = request(args, &to, source, base.as_ref());
    let image = build(&state, &request, &scratch.path().join("image"), ui).await?;
    let built_secs = begun.elapsed().as_secs_f64();
    // What holds this machine's own paths runs on no base.
    let base = base.filter(|_| !image.local_only);
    let digest = push(&registry, &to, &image, base.as_ref()).await?;
    let total_secs = begun.elapsed().as_secs_f64();
    let only = if image.local_only { "; it runs on this machine alone" } else { "" };
    ui.data(&format!("{to} is built in {built_secs:.1} s and pushed in {total_secs:.1} s: {digest}{only}\n"))?;
    Ok(Exit::Done)
}

fn registry(args: &Args, to: &Reference) -> anyhow::Result<Registry> {
    let mut rules = Rules::default();
    rules.reach(HostPort::parse(&to.host));
    let found = args.registry_credentials.as_deref();
    let found = found.and_then(|prefix| Credentials::from_env(prefix, |name| std::env::var(name).ok()));
    let credentials = found.map(|credentials| (to.host.clone(), credentials)).into_iter().collect();
    Ok(Registry::new(Dialer::new(rules), credentials, Default::default()))
}

/// The run image; none where nobody names one, or the registry says that it has none.
async fn base(args: &Args, registry: &Registry) -> anyhow::Result<Option<Base>> {
    let Some(written) = &args.run_image else { return Ok(None) };
    let machine = local::build::target();
    match registry.base(written, &machine).await {
        Ok(base) => Ok(Some(base)),
        Err(RegistryError::Missing { .. }) => Ok(None),
        Err(error) => {
            let hint = error.hint();
            Err(failed(format!("cannot read the run image {written}")).because(error).hint(hint).into())
        }
    }
}

/// Others have to pass it where strangers' processes are not ours.
fn scratch(state: &Path) -> anyhow::Result<tempfile::TempDir> {
    let folder = state.join("scratch");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    remove_orphans(&folder);
    let open = std::fs::Permissions::from_mode(0o755);
    let prefix = format!("{}-", std::process::id());
    let made = tempfile::Builder::new().prefix(&prefix).permissions(open).tempdir_in(&folder);
    made.with_context(|| format!("cannot make a folder in {}", folder.display()))
}

/// What processes left that were killed. That something can't be removed is the next one's trouble.
fn remove_orphans(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
        if owner.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

async fn fetch(args: &Args, state: &Path, into: &Path, ui: &Ui) -> anyhow::Result<()> {
    let url = RepositoryUrl::parse(&args.repository).map_err(|error| wrong_use(error.to_string()))?;
    let commit = CommitId::new(&args.commit).map_err(|error| wrong_use(error.to_string()))?;
    std::fs::create_dir(into).with_context(|| format!("cannot make {}", into.display()))?;
    let git = git(&url, &state.join("git"))?;
    let written = git.checkout(&url, &commit, &args.path, into).await.map_err(|error| unread(&url, error))?;
    ui.data(&format!("{} files, {} bytes, of commit {}\n", written.files, written.bytes, commit.short()))
}

fn request(args: &Args, to: &Reference, source: PathBuf, base: Option<&Base>) -> Request {
    let settings =
        std::env::vars().filter_map(|(name, value)| Some((name.strip_prefix(ENVIRONMENT)?.to_owned(), value)));
    let usable = |name: &str| !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
    Request {
        source,
        name: to.repository(),
        buildpacks: args.buildpacks.clone(),
        settings: settings.filter(|(name, _)| usable(name)).collect(),
        machine: machine(),
        run_image: base.map(|base| base.written.clone()),
        fresh: args.fresh,
        detect_secs: DETECT_SECS,
        build_secs: BUILD_SECS,
    }
}

fn machine() -> BTreeMap<String, String> {
    let is_of_the_machine = |name: &str| {
        let small = name.to_lowercase();
        small.ends_with("_proxy") || MACHINE.iter().any(|prefix| small.starts_with(prefix))
    };
    std::env::vars().filter(|(name, _)| is_of_the_machine(name)).collect()
}

async fn build(state: &Path, request: &Request, into: &Path, ui: &Ui) -> anyhow::Result<Exported> {
    let door = Door::ourselves().await;
    let own = *ui;
    // Whoever reads the log may have gone; the build goes on.
    let log = move |line: &str| drop(own.data(&format!("{line}\n")));
    let built = async { Builder::new(door, state)?.build(request, into, &log).await }.await;
    built.map_err(|error| {
        let hint = error.hint();
        failed(format!("cannot build {}", request.name)).because(error).hint(hint).into()
    })
}

/// Blobs first, then the manifest under its tag: what is half there has no name.
async fn push(registry: &Registry, to: &Reference, image: &Exported, base: Option<&Base>) -> anyhow::Result<Digest> {
    if image.local_only && !is_here(&to.host) {
        return Err(for_this_machine_alone(to));
    }
    let pushed = match base {
        None => send(registry, to, image, &image.blobs, None).await,
        Some(base) => {
            let rebased = on_base(image, base)?;
            // Its first layer stands for the base that it did not have, and its configuration has become another one.
            send(registry, to, image, image.blobs.get(2..).unwrap_or_default(), Some((base, rebased))).await
        }
    };
    pushed.map_err(|error| {
        let hint = error.hint();
        failed(format!("cannot push {to}")).because(error).hint(hint).into()
    })
}

async fn send(
    registry: &Registry,
    to: &Reference,
    image: &Exported,
    blobs: &[planner::image::Blob],
    based: Option<(&Base, Rebased)>,
) -> Result<Digest, PushError> {
    let files: Vec<_> = blobs.iter().map(|blob| (blob, image.path(blob))).collect();
    let sent: Vec<_> = files.iter().map(|(blob, path)| registry.push_file(to, blob, path)).collect();
    stream::iter(sent).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
    let Some((base, rebased)) = based else {
        return Ok(registry.push_manifest(to, image.media_type, &image.manifest).await?);
    };
    for layer in &rebased.base {
        let blob = planner::image::Blob { digest: layer.digest.clone(), size_bytes: layer.size_bytes };
        registry.copy_blob(&base.at, to, &blob).await?;
    }
    registry.push_blob(to, rebased.config).await?;
    Ok(registry.push_manifest(to, &rebased.media_type, &rebased.manifest).await?)
}

/// The image with the run image in the place of the base that it does not have.
fn on_base(image: &Exported, base: &Base) -> anyhow::Result<Rebased> {
    let config = image.blobs.first().map(|blob| image.path(blob)).unwrap_or_default();
    let config = std::fs::read(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let app = Image::read(&image.manifest, &config).context("the image that was built can't be read")?;
    let rebased = rebase(&app, RunImage { reference: &base.written, image: &base.image });
    let rebased = rebased.map_err(|refusal| {
        let hint =
            "Leave `builder.run_image` out of this platform's registry, or build on a machine of its distribution.";
        failed(format!("cannot put the image on the run image {}", base.written)).because(refusal).hint(hint)
    })?;
    rebased.context("the image that was built stands on the run image already")
}

/// What runs nowhere else is of no use to anybody who pulls it, and would fail there in ways that nobody understands.
fn for_this_machine_alone(to: &Reference) -> anyhow::Error {
    let hint = "Give the platform a run image in its registry, and build where the kernel allows user namespaces.";
    let why = format!("{to} would run on this machine alone, and {} is another one's registry", to.host);
    failed(why).hint(hint).into()
}

/// A registry of this machine.
fn is_here(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn refused(to: &Reference, error: RegistryError) -> anyhow::Error {
    let hint = error.hint();
    failed(format!("cannot ask for {to}")).because(error).hint(hint).into()
}
