//! A layer's files, put below a folder. A layer is a stranger's: nothing in it leads out of the folder, becomes a device
//! or keeps a set-user bit, and sizes and counts have an end. Of the whole file system only what buildpacks make is kept
//! ([`KEPT`]); the rest of a base image is this machine's own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};
use tar::{Archive, Entry, EntryType};

/// Folders of an image that are used here.
pub(crate) const KEPT: [&str; 3] = ["layers", "workspace", "cnb"];
/// Hides a file of a lower layer.
const WHITEOUT: &str = ".wh.";
/// Hides all that lower layers have in a folder.
const OPAQUE: &str = ".wh..wh..opq";

/// How much one image may unpack to, all layers together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Bytes of files.
    pub(crate) bytes: u64,
    /// Files, folders and links.
    pub(crate) entries: u64,
}

impl Room {
    /// What an image of a tool may have.
    pub(crate) const IMAGE: Self = Self { bytes: 8 << 30, entries: 500_000 };

    fn take(&mut self, bytes: u64) -> io::Result<()> {
        let full = || io::Error::other("it is larger than what may be unpacked here");
        self.entries = self.entries.checked_sub(1).ok_or_else(full)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(full)?;
        Ok(())
    }
}

/// Unpacks a layer, compressed by gzip or not.
pub(crate) fn unpack(layer: &mut dyn Read, root: &Path, room: &mut Room) -> io::Result<()> {
    let mut first = [0; 2];
    let read = read_some(layer, &mut first)?;
    let whole = first[..read].chain(layer);
    if first == [0x1f, 0x8b] {
        entries(&mut flate2::read::MultiGzDecoder::new(whole), root, room)
    } else {
        entries(&mut { whole }, root, room)
    }
}

fn read_some(from: &mut dyn Read, into: &mut [u8; 2]) -> io::Result<usize> {
    let mut have = 0;
    while have < into.len() {
        match from.read(&mut into[have..])? {
            0 => break,
            more => have += more,
        }
    }
    Ok(have)
}

fn entries(tar: &mut dyn Read, root: &Path, room: &mut Room) -> io::Result<()> {
    let mut archive = Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(path) = inside(&path)? else { continue };
        room.take(entry.header().entry_size()?)?;
        place(&mut entry, root, &path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// The path below the root, where it is one of those that are kept.
fn inside(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other(format!("{} leads out of the image", path.display())));
            }
        }
    }
    let kept = clean.iter().next().and_then(|first| first.to_str()).is_some_and(|first| KEPT.contains(&first));
    Ok(Some(clean).filter(|_| kept))
}

fn place<R: Read>(entry: &mut Entry<'_, R>, root: &Path, path: &Path) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let parent = path.parent().unwrap_or(Path::new(""));
    let folder = real_folder(root, parent)?;
    if name == OPAQUE {
        return empty(&folder);
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return remove(&folder.join(hidden));
    }
    let target = root.join(path);
    let mode = entry.header().mode()?;
    match entry.header().entry_type() {
        EntryType::Directory => {
            real_folder(root, path)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755 | mode & 0o777))
        }
        EntryType::Regular | EntryType::Continuous => {
            remove(&target)?;
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o644 | mode & 0o755).open(&target)?;
            io::copy(entry, &mut file)?;
            date(&file, entry.header().mtime()?)
        }
        EntryType::Symlink => {
            let to = entry.link_name()?.ok_or_else(|| io::Error::other("a link to nothing"))?;
            remove(&target)?;
            std::os::unix::fs::symlink(to, &target)
        }
        EntryType::Link => {
            let to = entry.link_name()?.ok_or_else(|| io::Error::other("a link to nothing"))?;
            let to = inside(&to)?.ok_or_else(|| io::Error::other("a hard link to a file that is not kept"))?;
            let source =
                real_folder(root, to.parent().unwrap_or(Path::new("")))?.join(to.file_name().unwrap_or_default());
            if !fs::symlink_metadata(&source)?.is_file() {
                return Err(io::Error::other("a hard link to something that is no file"));
            }
            remove(&target)?;
            fs::hard_link(source, &target)
        }
        EntryType::XGlobalHeader => Ok(()),
        other => Err(io::Error::other(format!("an entry of type {other:?} is not unpacked here"))),
    }
}

fn date(file: &File, secs: u64) -> io::Result<()> {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(secs));
    at.map_or(Ok(()), |at| file.set_modified(at))
}

/// A folder of the image, made where it is missing; never through a link.
fn real_folder(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut folder = root.to_owned();
    for part in path {
        folder.push(part);
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                // An upper layer's folder takes the place of a lower one's file or link.
                fs::remove_file(&folder)?;
                fs::DirBuilder::new().mode(0o755).create(&folder)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().mode(0o755).create(&folder)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(folder)
}

fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        remove(&entry?.path())?;
    }
    Ok(())
}

/// Removes what is there, if anything is; a link and not what it leads to.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies a tree: files, folders and links as they are.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
            let modified = entry.metadata()?.modified()?;
            File::options().write(true).open(&target).and_then(|file| file.set_modified(modified))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    enum What<'a> {
        File(&'a str, u32),
        Link(&'a str),
        Hard(&'a str),
        Device,
    }

    fn layer(files: &[(&str, What<'_>)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, what) in files {
            let mut header = Header::new_gnu();
            // As a hostile packer writes it: the path is not cleaned.
            header.as_gnu_mut().expect("gnu").name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(0);
            header.set_mode(0o644);
            let mut body = "";
            match what {
                What::File(text, mode) => {
                    body = text;
                    header.set_size(text.len() as u64);
                    header.set_mode(*mode);
                    header.set_entry_type(EntryType::Regular);
                }
                What::Link(to) | What::Hard(to) => {
                    let is_hard = matches!(what, What::Hard(_));
                    header.set_entry_type(if is_hard { EntryType::Link } else { EntryType::Symlink });
                    header.as_gnu_mut().expect("gnu").linkname[..to.len()].copy_from_slice(to.as_bytes());
                }
                What::Device => header.set_entry_type(EntryType::Char),
            }
            header.set_cksum();
            builder.append(&header, body.as_bytes()).expect("an entry");
        }
        builder.into_inner().expect("a tar")
    }

    fn unpacked(root: &Path, files: &[(&str, What<'_>)]) -> io::Result<()> {
        unpack(&mut layer(files).as_slice(), root, &mut Room { bytes: 100, entries: 10 })
    }

    #[test]
    fn layers_lie_on_one_another_and_whiteouts_hide_what_is_below() {
        let root = tempfile::tempdir().expect("a folder");
        let below = [
            ("workspace/a", What::File("1", 0o4755)),
            ("workspace/sub/b", What::File("2", 0o600)),
            ("layers/x/c", What::File("3", 0o644)),
            ("etc/passwd", What::File("no", 0o644)),
        ];
        unpacked(root.path(), &below).expect("unpacked");
        let above = [
            ("workspace/.wh.a", What::File("", 0o644)),
            ("layers/x/.wh..wh..opq", What::File("", 0o644)),
            ("layers/x/d", What::File("4", 0o644)),
        ];
        unpacked(root.path(), &above).expect("unpacked");
        let is = |path: &str| root.path().join(path).exists();
        let found = ["workspace/a", "workspace/sub/b", "layers/x/c", "layers/x/d", "etc/passwd"].map(is);
        assert_eq!(found, [false, true, false, true, false]);
    }

    #[test]
    fn a_compressed_layer_is_the_same_and_no_set_user_bit_is_kept() {
        let root = tempfile::tempdir().expect("a folder");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &layer(&[("workspace/a", What::File("1", 0o6755))])).expect("written");
        let bytes = gzip.finish().expect("finished");
        let mut room = Room::IMAGE;
        unpack(&mut bytes.as_slice(), root.path(), &mut room).expect("unpacked");
        let mode = fs::metadata(root.path().join("workspace/a")).expect("the file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        let outside = tempfile::tempdir().expect("a folder");
        let there = outside.path().to_str().expect("a path");
        for files in [
            vec![("workspace/../../x", What::File("1", 0o644))],
            vec![("workspace/dev", What::Device)],
            vec![("workspace/l", What::Hard("../../etc/passwd"))],
            vec![("workspace/l", What::Link(there)), ("workspace/h", What::Hard("workspace/l"))],
        ] {
            let root = tempfile::tempdir().expect("a folder");
            assert!(unpacked(root.path(), &files).is_err());
        }
        let root = tempfile::tempdir().expect("a folder");
        let through = [("workspace/l", What::Link(there)), ("workspace/l/x", What::File("1", 0o644))];
        unpacked(root.path(), &through).expect("the link makes room for a folder");
        assert!(!outside.path().join("x").exists() && root.path().join("workspace/l/x").is_file());
    }

    #[test]
    fn an_image_without_end_has_one_here() {
        let root = tempfile::tempdir().expect("a folder");
        let large = "x".repeat(101);
        assert!(unpacked(root.path(), &[("workspace/a", What::File(&large, 0o644))]).is_err());
        let many: Vec<_> = (0..11).map(|n| format!("workspace/{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), What::File("", 0o644))).collect();
        assert!(unpacked(root.path(), &many).is_err());
    }
}
