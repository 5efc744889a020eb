//! Puts our buildpacks into the binary, each whole by itself: links are followed, and what nobody needs for a build
//! (samples, pages, base images) stays out.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let crate_folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("no package"))?);
    let root = crate_folder.join("../../buildpacks").canonicalize()?;
    let mut files = vec![root.join("order.toml")];
    println!("cargo::rerun-if-changed={}", root.display());
    for entry in fs::read_dir(&root)? {
        let path = entry?.path();
        if path.join("buildpack.toml").is_file() {
            collect(&path, &mut files)?;
        }
    }
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let runs = fs::metadata(file)?.permissions().mode() & 0o100 != 0;
        // Debug of a path is a Rust literal.
        writeln!(code, "    ({name:?}, {runs}, include_bytes!({file:?})),").map_err(io::Error::other)?;
    }
    code.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?);
    fs::write(out.join("buildpacks.rs"), code)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if ["samples", "README.md"].contains(&name) {
            continue;
        }
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
