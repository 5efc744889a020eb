//! From a folder of source to an image, by our buildpacks, as processes on this machine.
//!
//! The phases are those of a Cloud Native Buildpacks lifecycle: every buildpack is asked (*detect*), what they provide and
//! require is matched, the layers of the last build are given back (*restore*), each chosen buildpack makes its layers
//! (*build*), and what came of it is written as an image (*export*) into a folder. Nothing is uploaded here.
//!
//! A buildpack is ours, but what it runs is the tool's: a `setup.py`, an npm script. So both phases happen in a
//! [cell](crate::cell), with an end in time and in what they may print; the source is read-only while it is looked at; a
//! buildpack writes its own layers and the source, where paths are real. What they leave is read as a stranger's: no link
//! is followed, every size is bounded.

mod detect;
mod env;
mod export;
mod launcher;
mod layers;
mod packs;
mod plan;
mod process;
mod tars;
mod trouble;
mod written;

pub use detect::{Tried, Verdict};
pub use export::Exported;
pub use packs::{Member, Pack, Packs};
pub use trouble::BuildError;

use crate::cell::{Cell, Door, Limits};
use layers::Layers;
use process::{Phase, Said};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;
use trouble::at;

/// Where a process finds what a build has, in every image that buildpacks make.
const APP: &str = "/workspace";
const LAYERS: &str = "/layers";
const PLATFORM: &str = "/platform";
const PACKS: &str = "/cnb/buildpacks";
const PLANS: &str = "/cnb/plans";
/// A minute, for an earlier build that was ended to end.
const LOCK_TRIES: u32 = 300;
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Time for a buildpack to say whether it is needed: it looks at names.
pub const DETECT_SECS: u64 = 20;

/// Who hears what a build says, line by line.
pub type Log<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// What is built, and with what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The source: a folder of the caller's, which buildpacks may change.
    pub source: PathBuf,
    /// Whose layers may be used again: a name for the tool's component, such as its image's path.
    pub name: String,
    /// Buildpacks in order, by id; none lets each of ours say whether it is needed.
    pub buildpacks: Vec<String>,
    /// The build's own environment: settings of buildpacks and of the programs they run.
    pub settings: BTreeMap<String, String>,
    /// How this machine reaches package indexes: `PIP_INDEX_URL`, `https_proxy` and the like.
    pub machine: BTreeMap<String, String>,
    /// The run image that the image is made for, as the platform names it; it is put under the image by a rebase.
    pub run_image: Option<String>,
    /// Whether nothing of earlier builds is used again.
    pub fresh: bool,
    /// Seconds that one buildpack may take to say whether it is needed; see [`DETECT_SECS`].
    pub detect_secs: u64,
    /// Seconds that one buildpack may take to build.
    pub build_secs: u64,
}

/// Builds on this machine.
#[derive(Debug, Clone)]
pub struct Builder {
    door: Door,
    state: PathBuf,
    packs: Packs,
}

/// Which buildpacks take part.
#[derive(Debug)]
pub struct Detected {
    /// What each buildpack said, in order.
    pub tried: Vec<Tried>,
    /// Those that take part, in order; empty where no image can be made.
    pub group: Vec<Pack>,
    plan: plan::Plan,
}

/// A build's folders on this machine.
struct Folders {
    /// Kept from build to build.
    layers: PathBuf,
    /// Of this build alone.
    scratch: PathBuf,
    /// No other build of the same name meanwhile.
    _lock: File,
}

impl Builder {
    /// A builder whose buildpacks and layers stand in the folder `state`.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn new(door: Door, state: &Path) -> Result<Self, BuildError> {
        fs::create_dir_all(state).map_err(at(state))?;
        let state = fs::canonicalize(state).map_err(at(state))?;
        let packs = Packs::unpack(&state)?;
        Ok(Self { door, state, packs })
    }

    /// The same with other buildpacks, for who writes one.
    #[must_use]
    pub fn with_packs(self, packs: Packs) -> Self {
        Self { packs, ..self }
    }

    /// Which buildpacks a build would use, in the order in which they are tried.
    ///
    /// # Errors
    /// Where one could not say. That none says yes is no error here.
    pub async fn detect(&self, request: &Request) -> Result<Detected, BuildError> {
        let folders = self.folders(request, "detect").await?;
        let found = self.ask_all(request, &folders).await;
        drop(fs::remove_dir_all(&folders.scratch));
        found
    }

    /// Builds, and writes the image into the empty folder `into`, as an OCI layout.
    ///
    /// # Errors
    /// Where it can't be built; what was said is in the log.
    pub async fn build(&self, request: &Request, into: &Path, log: &Log<'_>) -> Result<Exported, BuildError> {
        let folders = self.folders(request, "build").await?;
        let built = self.all_phases(request, &folders, into, log).await;
        drop(fs::remove_dir_all(&folders.scratch));
        built
    }

    async fn all_phases(
        &self,
        request: &Request,
        folders: &Folders,
        into: &Path,
        log: &Log<'_>,
    ) -> Result<Exported, BuildError> {
        let detected = self.ask_all(request, folders).await?;
        for tried in &detected.tried {
            log(&format!("{} {}: {}", if tried.takes_part() { "yes" } else { "no " }, tried.id, tried.reason));
        }
        if detected.group.is_empty() {
            return Err(BuildError::NoneDetected { tried: detected.tried });
        }
        crate::cell::give(&request.source)?;
        let layers = Layers::restore(&folders.layers, &detected.group)?;
        self.build_all(request, folders, &detected, log).await?;
        let made = layers.made(&detected.group)?;
        export::export(&export::Order { request, door: &self.door, group: &detected.group, made: &made }, into)
    }

    /// The folders of builds of this name; one build at a time has them.
    async fn folders(&self, request: &Request, what: &str) -> Result<Folders, BuildError> {
        let own = self.state.join("builds").join(escaped(&request.name));
        fs::create_dir_all(&own).map_err(at(&own))?;
        let lock = locked(&own, &request.name).await?;
        let layers = own.join("layers");
        let scratch = own.join(what);
        let mut old = vec![&scratch];
        old.extend(request.fresh.then_some(&layers));
        for folder in old.into_iter().filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).map_err(at(folder))?;
        }
        for folder in [&layers, &scratch.join("plans"), &scratch.join("platform/env")] {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        for (name, value) in &request.settings {
            let path = scratch.join("platform/env").join(name);
            fs::write(&path, value).map_err(at(&path))?;
        }
        Ok(Folders { layers, scratch, _lock: lock })
    }

    async fn build_all(
        &self,
        request: &Request,
        folders: &Folders,
        detected: &Detected,
        log: &Log<'_>,
    ) -> Result<(), BuildError> {
        let mut env = env::Environment::system();
        let mut plan = detected.plan.clone();
        for (index, pack) in detected.group.iter().enumerate() {
            let own = folders.layers.join(pack.folder());
            let file = folders.scratch.join("plans").join(pack.folder());
            let entries = plan.entries_for(index).map_err(|error| at(&file)(std::io::Error::other(error)))?;
            fs::write(&file, entries).map_err(at(&file))?;
            let cell = self.cell(request, folders, pack, true);
            let seen = |path: String| cell.seen(&self.door, &path);
            let layers = seen(format!("{LAYERS}/{}", pack.folder()));
            let plan_file = seen(format!("{PLANS}/{}", pack.folder()));
            let platform = seen(PLATFORM.to_owned());
            let program = seen(format!("{PACKS}/{}/bin/build", pack.name()));
            let mut cell = cell.clone();
            for (name, value) in env.variables().chain(env::text(&request.settings)).chain(env::text(&request.machine))
            {
                cell = cell.with_env(name, value);
            }
            let cell = cell.with_env("CNB_LAYERS_DIR", &layers).with_env("CNB_BP_PLAN_PATH", &plan_file);
            let phase = Phase { pack, name: "build", limit: Duration::from_secs(request.build_secs), log: Some(log) };
            let argv = [&program, &layers, &platform, &plan_file];
            let Said { code, .. } = phase.run(&self.door, &cell, argv).await?;
            if code != 0 {
                return Err(BuildError::BuildFailed { pack: pack.id.clone(), code });
            }
            plan.met(index, &layers::unmet(&own, pack)?);
            env.modify(&layers::read(&own, pack)?, &own, &layers, env::For::Build)?;
        }
        Ok(())
    }

    /// What a buildpack runs in: its source, its layers, and those of the others to read.
    fn cell(&self, request: &Request, folders: &Folders, pack: &Pack, builds: bool) -> Cell {
        let own = format!("{LAYERS}/{}", pack.folder());
        let scratch = &folders.scratch;
        let mut cell = Cell::new(&scratch.join("cell"))
            .with_limits(Limits::default())
            .with_place(&request.source, APP, builds)
            .with_place(&scratch.join("platform"), PLATFORM, false)
            .with_place(self.packs.root(), PACKS, false)
            .with_place(&scratch.join("plans"), PLANS, !builds)
            .with_place(&folders.layers, LAYERS, false);
        if builds {
            cell = cell.with_place(&folders.layers.join(pack.folder()), &own, true);
        }
        let buildpack = cell.seen(&self.door, &format!("{PACKS}/{}", pack.name()));
        let platform = cell.seen(&self.door, PLATFORM);
        let app = cell.seen(&self.door, APP);
        let cell = cell.with_env("CNB_BUILDPACK_DIR", buildpack).with_env("CNB_PLATFORM_DIR", platform);
        let machine = export::Machine::this();
        cell.in_folder(&app)
            .with_env("CNB_TARGET_OS", machine.os)
            .with_env("CNB_TARGET_ARCH", machine.arch)
            .with_env("CNB_TARGET_DISTRO_NAME", &machine.distro_name)
            .with_env("CNB_TARGET_DISTRO_VERSION", &machine.distro_version)
    }
}

/// Waits for an earlier build of this name, which may be on its way out: nobody asks for a build a second time.
async fn locked(own: &Path, name: &str) -> Result<File, BuildError> {
    let lock = File::create(own.join("lock")).map_err(at(own))?;
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(fs::TryLockError::Error(error)) => return Err(at(own)(error)),
        }
    }
    Err(BuildError::Busy { name: name.to_owned() })
}

/// Which machines images are for that are built here.
#[must_use]
pub fn target() -> planner::image::Target {
    let machine = export::Machine::this();
    planner::image::Target::parse(&format!("{}/{}", machine.os, machine.arch))
}

/// A name as one step of a path: an image's path has slashes, and a name with a slash in it is another one.
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' if !(c == '.' && escaped.is_empty()) => escaped.push(c),
            c => escaped.push_str(&format!("_{:x}_", u32::from(c))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_name_leads_out_of_the_folder_and_no_two_names_share_one() {
        let names = ["a/b", "a_2f_b", "a b", "..", ".", "a", "A", "localhost:5000/toolforge/tool-x/web"];
        let folders: std::collections::BTreeSet<_> = names.iter().map(|name| escaped(name)).collect();
        assert_eq!(folders.len(), names.len(), "{folders:?}");
        assert!(folders.iter().all(|folder| !folder.contains('/') && !folder.starts_with('.')), "{folders:?}");
    }
}
