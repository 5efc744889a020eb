//! Memory and CPU of all processes of a container together: a control group of version 2 for each, where whoever started
//! us has given us a part of that tree. Where not, limits are each process's own.
//!
//! A group that has processes can't hand out memory to groups below it. So we go into one of our own first, which the
//! kernel allows where nobody else is in the group we were started in: `systemd-run --user --scope -p Delegate=yes` makes
//! such a one, and an administrator's container mostly is one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Groups that we make begin so, next to whatever else is there.
const OURS: &str = "toolforge-";
/// Our own processes.
const OWN: &str = "toolforge-own";
const PROCESSES: &str = "cgroup.procs";
const HANDED_ON: &str = "cgroup.subtree_control";
/// A period of the scheduler, as everybody has it.
const PERIOD_MICROS: u64 = 100_000;
/// The kernel takes a moment to end what it was told to end.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

/// A part of the tree of control groups that is ours.
#[derive(Debug)]
pub struct Groups {
    root: PathBuf,
    has_cpu: bool,
}

/// The group of one container. It ends with all its processes when this is dropped.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

/// What the processes of a group may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Most {
    /// Memory; none is no limit.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor; none is no limit.
    pub cpu_millis: Option<u64>,
}

impl Groups {
    /// The part that we were given.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    pub fn delegated() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        let root = place(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)?;
        Self::below(&root).map_err(|error| format!("{}: {error}", root.display()))
    }

    /// Below this group, in which we are.
    fn below(root: &Path) -> io::Result<Self> {
        let offered = fs::read_to_string(root.join("cgroup.controllers"))?;
        let offers = |name: &str| offered.split_whitespace().any(|one| one == name);
        if !offers("memory") {
            return Err(io::Error::other("it has no limits of memory to hand on"));
        }
        let own = root.join(OWN);
        if !own.is_dir() {
            fs::create_dir(&own)?;
        }
        fs::write(own.join(PROCESSES), "0")?;
        let groups = Self { root: root.to_owned(), has_cpu: offers("cpu") };
        // Fails where somebody else is in the group, too; dropped, we are back there.
        fs::write(root.join(HANDED_ON), "+memory")?;
        if groups.has_cpu {
            fs::write(root.join(HANDED_ON), "+cpu")?;
        }
        groups.forget_old()?;
        Ok(groups)
    }

    /// What an earlier process of ours left, which was killed.
    fn forget_old(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(OURS) && name != OWN) && entry.path().is_dir() {
                drop(Group { folder: entry.path() });
            }
        }
        Ok(())
    }

    /// Whether CPU can be limited, too.
    #[must_use]
    pub fn has_cpu(&self) -> bool {
        self.has_cpu
    }

    /// A group for one container; `name` is one step of a path.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn make(&self, name: &str, most: Most) -> io::Result<Group> {
        let folder = self.root.join(format!("{OURS}{name}"));
        if folder.is_dir() {
            drop(Group { folder: folder.clone() });
        }
        fs::create_dir(&folder)?;
        let group = Group { folder };
        if let Some(bytes) = most.memory_bytes {
            group.set("memory.max", &bytes.to_string())?;
            // Of the container, not of one process of it, as on a cluster.
            group.set("memory.oom.group", "1")?;
            // Kernels without swap have no such file.
            if group.folder.join("memory.swap.max").exists() {
                group.set("memory.swap.max", "0")?;
            }
        }
        if let Some(millis) = most.cpu_millis.filter(|_| self.has_cpu) {
            group.set("cpu.max", &format!("{} {PERIOD_MICROS}", (millis * PERIOD_MICROS / 1000).max(1000)))?;
        }
        Ok(group)
    }
}

impl Drop for Groups {
    /// Back to where we were started.
    fn drop(&mut self) {
        for what in ["-cpu", "-memory"] {
            let _ = fs::write(self.root.join(HANDED_ON), what);
        }
        let _ = fs::write(self.root.join(PROCESSES), "0");
        let _ = fs::remove_dir(self.root.join(OWN));
    }
}

impl Group {
    fn set(&self, file: &str, text: &str) -> io::Result<()> {
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{file}: {error}"));
        fs::write(self.folder.join(file), text).map_err(failed)
    }

    /// Where a process writes `0` to be one of the group. Who opened it may let somebody in; so the process itself need
    /// have no rights.
    pub(super) fn entrance(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.folder.join(PROCESSES))
    }

    /// Whether the kernel ended its processes because they wanted more memory.
    #[must_use]
    pub fn was_out_of_memory(&self) -> bool {
        let said = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let mut kills = said.lines().filter_map(|line| line.strip_prefix("oom_kill "));
        kills.any(|count| count != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Older kernels have no such file; there the container's process group has been ended.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
        for _ in 0..REMOVE_TRIES {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(REMOVE_PAUSE),
                _ => return,
            }
        }
    }
}

/// The folder of the group that a process is in, by its `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn place(cgroup: &str, mounts: &str) -> Result<PathBuf, String> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.ok_or("this kernel has no control groups of version 2")?;
    let mount = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        (kind.split(' ').next() == Some("cgroup2")).then(|| (root.to_owned(), PathBuf::from(at)))
    };
    let (root, at) = mounts.lines().find_map(mount).ok_or("control groups of version 2 are not mounted")?;
    let below = Path::new(own).strip_prefix(&root).map_err(|_| "our control group is out of sight")?;
    Ok(if below.as_os_str().is_empty() { at } else { at.join(below) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_group_is_found_where_version_2_is_mounted() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev - cgroup2 cgroup2 rw,nsdelegate\n";
        let hybrid = "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n";
        let at = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope";
        let said = |cgroup: &str, mounts: &str| place(cgroup, mounts).map(|path| path.display().to_string());
        assert_eq!(said(user, unified).as_deref(), Ok(at));
        assert_eq!(said("4:memory:/a\n0::/\n", hybrid).as_deref(), Ok("/sys/fs/cgroup/unified"));
        let inner = "30 23 0:26 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(said("0::/docker/1/a\n", inner).as_deref(), Ok("/sys/fs/cgroup/a"));
        for (cgroup, mounts) in [("4:memory:/\n", unified), ("0::/\n", ""), ("0::/other\n", inner)] {
            said(cgroup, mounts).expect_err(cgroup);
        }
    }
}
