//! The file tree of a cell: the machine's own, without homes, runtime folders, devices and what is mounted for people, and
//! with the places at their paths. Made of mounts in a namespace of our own, which end with it.

use super::{HOME, Place, TMP};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Not shown: people's files, sockets of their sessions, and what a cell has of its own.
const HIDDEN: &[&str] = &["home", "root", "tmp", "run", "mnt", "media", "boot", "lost+found", "dev", OLD];
/// Where the machine's own tree stands meanwhile.
const OLD: &str = ".machine";
/// Where some systems keep what `/etc/resolv.conf` leads to.
const RESOLVER: &str = "run/systemd/resolve";
/// What programs expect below `/dev`; everything else there is the machine's.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

const NONE: Option<&str> = None;

/// Puts the process into a new tree. It has to be in a mount namespace of its own already.
pub(super) fn change(places: &[Place]) -> io::Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
    mount(Some("cell"), TMP, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=0755,size=16m"))?;
    chdir(TMP)?;
    fs::create_dir(OLD)?;
    pivot_root(".", OLD)?;
    chdir("/")?;
    let machine = Path::new("/").join(OLD);
    for entry in fs::read_dir(&machine)? {
        let entry = entry?;
        if !is_hidden(&entry.file_name(), places) {
            show(&entry.path(), &Path::new("/").join(entry.file_name()))?;
        }
    }
    for folder in [HOME, TMP, "/run", "/dev"] {
        fs::create_dir_all(folder)?;
    }
    devices(&machine.join("dev"))?;
    if machine.join(RESOLVER).is_dir() {
        bind(&machine.join(RESOLVER), &Path::new("/").join(RESOLVER))?;
    }
    for place in places {
        let host = place.host.strip_prefix("/").map_err(io::Error::other)?;
        bind(&machine.join(host), &place.inside).map_err(|error| told(&place.host, error))?;
        if !place.writable {
            read_only(&place.inside)?;
        }
    }
    umount2(&machine, MntFlags::MNT_DETACH)?;
    fs::remove_dir(&machine)?;
    read_only(Path::new("/"))
}

/// A `/dev` as containers have it.
fn devices(machine: &Path) -> io::Result<()> {
    let own = Path::new("/dev");
    for name in DEVICES {
        if machine.join(name).exists() {
            bind(&machine.join(name), &own.join(name))?;
        }
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, own.join(name))?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let (memory, terminals) = (own.join("shm"), own.join("pts"));
    fs::create_dir(&memory)?;
    mount(Some("shm"), &memory, Some("tmpfs"), flags, Some("mode=1777,size=64m"))?;
    fs::create_dir(&terminals)?;
    // Few programs want a terminal, and some kernels give none.
    let _ = mount(Some("devpts"), &terminals, Some("devpts"), MsFlags::MS_NOSUID, Some("newinstance,ptmxmode=0666"));
    Ok(())
}

fn is_hidden(name: &OsStr, places: &[Place]) -> bool {
    let top = |place: &Place| match place.inside.components().nth(1) {
        Some(Component::Normal(top)) => Some(top.to_owned()),
        _ => None,
    };
    HIDDEN.iter().any(|hidden| name == *hidden) || places.iter().any(|place| top(place).as_deref() == Some(name))
}

/// The same entry here: a link as a link, a folder with everything mounted in it; files of a root folder are not missed.
fn show(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    if found.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if found.is_dir() {
        bind(from, to)
    } else {
        Ok(())
    }
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
    } else if !to.exists() {
        fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
        fs::File::create_new(to)?;
    }
    // With what is mounted below: the kernel lets nobody uncover what a mount hides.
    Ok(mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?)
}

/// What a mount forbids already stays forbidden, or the kernel refuses the change.
fn read_only(path: &Path) -> io::Result<()> {
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let has = statvfs(path)?.flags();
    let flags = kept.iter().filter(|(flag, _)| has.contains(*flag)).map(|(_, flag)| *flag);
    let flags = flags.fold(MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, |all, flag| all | flag);
    Ok(mount(NONE, path, NONE, flags, NONE)?)
}

fn told(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", PathBuf::from(path).display()))
}
