//! A builder image as a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::pod::Image;
use super::{Mount, programs};

/// `/cnb` of a builder with all of our buildpacks, in our order, and the stock lifecycle.
pub struct Builder {
    cnb: TempDir,
}

impl Builder {
    /// Packs the buildpacks of this workspace, each by id and version, as `buildpacks/README.md` says.
    pub fn new() -> anyhow::Result<Self> {
        let cnb = tempfile::Builder::new().prefix("builder-").tempdir()?;
        std::fs::set_permissions(cnb.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        std::fs::create_dir(cnb.path().join("lifecycle"))?;
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../buildpacks");
        copy(&ours.join("order.toml"), &cnb.path().join("order.toml"))?;
        for entry in std::fs::read_dir(&ours)? {
            let folder = entry?.path();
            let Ok(descriptor) = std::fs::read_to_string(folder.join("buildpack.toml")) else { continue };
            let value = |key: &str| -> anyhow::Result<String> {
                let line = descriptor.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix("= "));
                Ok(line.with_context(|| format!("{} has no {key}", folder.display()))?.trim_matches('"').to_owned())
            };
            let place = cnb.path().join("buildpacks").join(value("id")?.replace('/', "_"));
            std::fs::create_dir_all(&place)?;
            copy(&folder, &place.join(value("version")?))?;
        }
        Ok(Self { cnb })
    }

    /// As a pod's containers have it.
    pub fn image(&self) -> anyhow::Result<Image> {
        let cnb = Mount::read_only(self.cnb.path(), "/cnb");
        Ok(Image { mounts: vec![cnb, Mount::read_only(&programs()?, "/cnb/lifecycle")], env: Vec::new() })
    }

    /// A file or folder of `/cnb`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.cnb.path().join(name)
    }
}

/// What is a link becomes what it leads to.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let done = Command::new("cp").arg("-RL").args([from, to]).status()?;
    ensure!(done.success(), "{} could not be copied", from.display());
    Ok(())
}
