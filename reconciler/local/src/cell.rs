//! A cell: the one way in which a stranger's process is started on this machine.
//!
//! It is never root, sees no environment but its own, has a home and a temporary folder, limits, and a process group, and
//! goes with the process that started it. Where the kernel lets an unprivileged user make namespaces, it also finds
//! folders of ours at the paths that an image has (`/layers`, `/workspace`), sees no homes and no processes but its own,
//! and nothing that it starts outlives it. **The network stays the machine's**, and so does every other file that its user
//! may read: this keeps order on one person's machine, and isolates nobody who means harm.
//!
//! There is no unsafe code: a process that forks may not do much before it becomes another program. So our own executable
//! is started again with a hidden first argument, alone and before it has threads, puts itself into the cell
//! ([`enter`]), and only then starts the program.

mod enter;
mod group;
mod limits;
mod root;

pub use enter::enter;
pub use group::{Group, Groups, Most};
pub use limits::Limits;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::Command;

/// Who runs strangers' processes where we are root: nobody.
const NOBODY: u32 = 65534;
/// What a system has, without what its administrator added for themselves.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where a cell's own folders are seen, where paths are real.
const HOME: &str = "/home/tool";
const TMP: &str = "/tmp";
/// Our own executable, also after its file was replaced, and for a user who can't reach the folder it lies in.
const OURSELVES: &str = "/proc/self/exe";

/// The program that leads into cells, and what this machine's kernel lets it do.
#[derive(Debug, Clone)]
pub struct Door {
    program: PathBuf,
    in_place: bool,
}

/// A folder, or a single file, that the process sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it is on this machine: an absolute path.
    pub host: PathBuf,
    /// Where the process finds it, if paths are real: an absolute path below a folder that systems do not have.
    pub inside: PathBuf,
    /// Whether the process may write there, as far as its user may.
    pub writable: bool,
}

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct Cell {
    own: PathBuf,
    places: Vec<Place>,
    limits: Limits,
    env: BTreeMap<OsString, OsString>,
    folder: Option<PathBuf>,
    group: Option<Arc<Group>>,
}

/// Why a cell can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// A folder could not be made or given to the process's user.
    #[error("{}: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// We are root, the process is nobody, and nobody may pass.
    #[error("{} is closed to other users, and a tool's process never runs as root", path.display())]
    Closed {
        /// The folder on the way.
        path: PathBuf,
    },
}

impl CellError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder { .. } => "Make room or choose another state folder.".to_owned(),
            Self::Closed { path } => {
                format!("Run it as an ordinary user, choose another state folder, or `chmod o+x {}`.", path.display())
            }
        }
    }
}

/// What the process that leads into the cell is told. The environment is not part of it: that is passed on as it is.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Whoever starts it; if that is gone, so is the reason to go on.
    parent: u32,
    /// Who the process is, in its own eyes as in ours.
    user: u32,
    in_place: bool,
    /// Its standard input is the entrance to a group.
    joins: bool,
    places: Vec<Place>,
    limits: Limits,
    folder: PathBuf,
}

impl Door {
    /// Our own executable, which calls [`enter`] before anything else.
    pub async fn ourselves() -> Self {
        Self::through(Path::new(OURSELVES)).await
    }

    /// A program that calls [`enter`] before anything else. The kernel is asked by trying.
    pub async fn through(program: &Path) -> Self {
        let mut door = Self { program: program.to_owned(), in_place: true };
        door.in_place = door.works().await;
        door
    }

    /// Whether places are at their real paths. If not, a process sees the machine's own paths, and what it made with
    /// such paths in it works on this machine alone.
    #[must_use]
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// The same door for a machine whose kernel allows no namespaces.
    #[must_use]
    pub fn without_places(&self) -> Self {
        Self { in_place: false, ..self.clone() }
    }

    async fn works(&self) -> bool {
        let nothing = Path::new("/nonexistent");
        let mut probe = Cell::new(nothing).entry(self, vec!["true".into()]);
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().await.is_ok_and(|status| status.success())
    }
}

impl Cell {
    /// A cell whose home and temporary folder are `home` and `tmp` in `own`.
    #[must_use]
    pub fn new(own: &Path) -> Self {
        let env = [("PATH", SYSTEM_PATH), ("LANG", "C.UTF-8")];
        let env = env.map(|(name, value)| (name.into(), value.into())).into_iter().collect();
        Self { own: own.to_owned(), places: Vec::new(), limits: Limits::default(), env, folder: None, group: None }
    }

    /// A folder, or a single file, that the process sees.
    #[must_use]
    pub fn with_place(mut self, host: &Path, inside: &str, writable: bool) -> Self {
        self.places.push(Place { host: host.to_owned(), inside: inside.into(), writable });
        self
    }

    /// A variable; `HOME` and `TMPDIR` are the cell's own.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Other limits than the usual ones.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Its processes are in this group.
    #[must_use]
    pub fn in_group(mut self, group: Option<Arc<Group>>) -> Self {
        self.group = group;
        self
    }

    /// The same with other folders of its own.
    #[must_use]
    pub fn at(mut self, own: &Path) -> Self {
        self.own = own.to_owned();
        self
    }

    /// Where the process starts, as the process sees it; its home where nothing is said.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Its temporary folder on this machine: a place of its own there, or else the cell's.
    fn tmp(&self) -> PathBuf {
        let place = self.places.iter().find(|place| place.inside == Path::new(TMP));
        place.map_or_else(|| self.own.join("tmp"), |place| place.host.clone())
    }

    /// The path by which the process finds `inside`: that one, or the machine's own where paths are not real.
    #[must_use]
    pub fn seen(&self, door: &Door, inside: &str) -> PathBuf {
        if door.in_place {
            return inside.into();
        }
        let below = |place: &Place| Some(join(&place.host, Path::new(inside).strip_prefix(&place.inside).ok()?));
        // The longest place wins, as a mount does.
        let mut all: Vec<_> = self.places.iter().collect();
        all.sort_by_key(|place| std::cmp::Reverse(place.inside.as_os_str().len()));
        all.into_iter().find_map(below).unwrap_or_else(|| inside.into())
    }

    /// Makes the cell's own folders, and looks whether its user can reach them and every place.
    ///
    /// # Errors
    /// Where they can't be made or reached.
    pub fn prepare(&self) -> Result<(), CellError> {
        for name in ["home", "tmp"] {
            let path = self.own.join(name);
            fs::create_dir_all(&path).map_err(|error| CellError::Folder { path: path.clone(), error })?;
            give(&path)?;
        }
        if geteuid().is_root() {
            for path in self.places.iter().map(|place| &place.host).chain([&self.own]) {
                reachable(path)?;
            }
        }
        Ok(())
    }

    /// A command for the program with these arguments, which reads nothing. Spawn it from a worker of the runtime, not from
    /// a thread for blocking work: it goes when the thread that started it goes. Signals are for its process group;
    /// [`end`] ends it.
    ///
    /// # Errors
    /// Where its group is gone.
    pub fn command(&self, door: &Door, argv: impl IntoIterator<Item = impl Into<OsString>>) -> io::Result<Command> {
        let mut command = self.entry(door, argv.into_iter().map(Into::into).collect());
        command.stdin(match &self.group {
            Some(group) => Stdio::from(group.entrance()?),
            None => Stdio::null(),
        });
        Ok(command)
    }

    fn entry(&self, door: &Door, argv: Vec<OsString>) -> Command {
        let (home, tmp) = (self.own.join("home"), self.tmp());
        let (seen_home, seen_tmp) = if door.in_place { (HOME.into(), TMP.into()) } else { (home.clone(), tmp.clone()) };
        let mut places = Vec::new();
        // The kernel is asked without folders.
        if door.in_place && home.is_dir() {
            places.push(Place { host: home, inside: HOME.into(), writable: true });
            places.push(Place { host: tmp, inside: TMP.into(), writable: true });
        }
        places.extend(self.places.iter().filter(|place| place.inside != Path::new(TMP)).cloned());
        let folder = self.folder.clone().unwrap_or_else(|| seen_home.clone());
        let entry = Entry {
            parent: std::process::id(),
            user: if geteuid().is_root() { NOBODY } else { geteuid().as_raw() },
            in_place: door.in_place,
            joins: self.group.is_some(),
            places,
            limits: self.limits,
            folder,
        };
        let mut command = Command::new(&door.program);
        command.arg(enter::WORD).arg(serde_json::json!(entry).to_string()).args(argv);
        command.env_clear().envs(&self.env).env("HOME", seen_home).env("TMPDIR", seen_tmp);
        command.current_dir("/").process_group(0).kill_on_drop(true);
        if geteuid().is_root() {
            // The standard library also drops root's groups then.
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

/// Ends a process that came from [`Cell::command`], and all that it started and that stayed in its group; where paths are
/// real, also what left the group.
pub fn end(leader: u32) {
    if let Ok(leader) = i32::try_from(leader) {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }
}

/// Gives a folder and everything in it to whoever runs strangers' processes; links are given, not followed. Does nothing
/// where that is ourselves.
///
/// # Errors
/// Where something can't be given.
pub fn give(path: &Path) -> Result<(), CellError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let failed = |error| CellError::Folder { path: path.to_owned(), error };
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if (found.uid(), found.gid()) != (NOBODY, NOBODY) {
        lchown(path, Some(NOBODY), Some(NOBODY)).map_err(failed)?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path).map_err(failed)? {
            give(&entry.map_err(failed)?.path())?;
        }
    }
    Ok(())
}

/// From now on no other process of our user reads this one's environment and memory.
///
/// # Errors
/// Where the kernel does not allow that.
pub fn keep_to_ourselves() -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// Whether we are root, and strangers' processes therefore somebody else's.
#[must_use]
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Whether nobody may pass every folder on the way to `path`.
fn reachable(path: &Path) -> Result<(), CellError> {
    for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        let Ok(found) = fs::metadata(folder) else { continue };
        let passes = found.permissions().mode() & 0o001 != 0 || found.uid() == NOBODY;
        if !passes {
            return Err(CellError::Closed { path: folder.to_owned() });
        }
    }
    Ok(())
}

/// Without a slash at the end for nothing.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_paths_are_not_real_a_path_is_the_longest_place_s() {
        let cell = Cell::new(Path::new("/state/cell")).with_place(Path::new("/state/l"), "/layers", true).with_place(
            Path::new("/state/p"),
            "/layers/a",
            true,
        );
        let real = Door { program: "x".into(), in_place: true };
        let plain = real.without_places();
        for (inside, seen) in [
            ("/layers", "/state/l"),
            ("/layers/b/c", "/state/l/b/c"),
            ("/layers/a/c", "/state/p/c"),
            ("/layersx", "/layersx"),
        ] {
            assert_eq!(cell.seen(&plain, inside), Path::new(seen));
            assert_eq!(cell.seen(&real, inside), Path::new(inside));
        }
    }
}
