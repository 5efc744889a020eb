//! Files that a stranger's process may have left: read only where they are regular files, themselves and no link, and no
//! larger than they may be.

use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A regular file, whatever the name stood for a moment ago.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // A link is an error, and a pipe that nobody writes to must not hold us.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => return Err(io::Error::other("it is a link")),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// The bytes of a file; none where there is none.
pub(crate) fn read(path: &Path, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(io::Error::other(format!("it has more than {limit_bytes} bytes")));
    }
    Ok(Some(bytes))
}

/// A file of a buildpack as a TOML document; none where there is none.
pub(crate) fn toml<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let Some(bytes) = read(path, MAX_TOML_BYTES)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
    toml::from_str(&text).map(Some).map_err(|error| io::Error::other(error.message().to_owned()))
}

/// Far beyond what a description of layers or processes has.
const MAX_TOML_BYTES: u64 = 1 << 20;
