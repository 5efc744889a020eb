//! Where builds on this machine keep buildpacks and layers.

use std::path::{Path, PathBuf};

/// Says where, for whoever starts us.
pub const VARIABLE: &str = "TOOLFORGE_STATE";

/// The folder that is named, or `$TOOLFORGE_STATE`, or the user's own. Root's processes are strangers' where they are not
/// root's, and root's home is closed to them: its folder is the system's.
pub fn folder(named: Option<&Path>) -> PathBuf {
    let said = named.map(Path::to_owned).or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    said.unwrap_or_else(|| {
        if local::cell::is_root() {
            return "/var/lib/toolforge/local".into();
        }
        reconciler::cluster::sandbox_dir().with_file_name("local")
    })
}
