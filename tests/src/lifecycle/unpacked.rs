//! An image that was exported, as a container runtime unpacks it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::{Mount, Place};
use crate::registry::Registry;

/// Where the layers of an application are; below lies the run image, which is this machine here.
const FOLDERS: [&str; 3] = ["cnb", "layers", "workspace"];

/// The folders of an image, and its configuration.
pub struct Unpacked {
    root: TempDir,
    /// The image's configuration.
    pub config: Value,
}

impl Unpacked {
    /// Downloads and unpacks an image.
    pub async fn from(registry: &Registry, repository: &str, tag: &str) -> anyhow::Result<Self> {
        let (reference, client) = (registry.reference(repository, tag), registry.client());
        let (manifest, _, config) = client.pull_manifest_and_config(&reference, registry.auth()).await?;
        let root = tempfile::Builder::new().prefix("image-").tempdir()?;
        for layer in &manifest.layers {
            let (mut bytes, file) = (Vec::new(), root.path().join("layer"));
            client.pull_blob(&reference, layer, &mut bytes).await?;
            std::fs::write(&file, bytes)?;
            unpack(&file, root.path()).await?;
            std::fs::remove_file(file)?;
        }
        Ok(Self { root, config: serde_json::from_str(&config)? })
    }

    /// A file of the image.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// A label that holds JSON.
    pub fn label(&self, name: &str) -> anyhow::Result<Value> {
        let text = self.config["config"]["Labels"][name].as_str().with_context(|| format!("no label {name}"))?;
        Ok(serde_json::from_str(text)?)
    }

    /// Where its processes run, for a user: what it holds is only to be read.
    pub fn place(&self, user: (u32, u32)) -> anyhow::Result<Place> {
        let config = &self.config["config"];
        let mut place = Place::new(user)?.folder(config["WorkingDir"].as_str().unwrap_or("/"));
        let env = config["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for (name, value) in env.filter_map(|line| line.split_once('=')).collect::<BTreeMap<_, _>>() {
            place = place.env(name, value);
        }
        for folder in FOLDERS.iter().filter(|folder| self.path(folder).exists()) {
            place = place.mount(Mount::read_only(&self.path(folder), &format!("/{folder}")));
        }
        Ok(place)
    }
}

async fn unpack(layer: &Path, into: &Path) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--preserve-permissions", "--numeric-owner", "--warning=no-timestamp", "--file"]).arg(layer);
    let done = tar.arg("--directory").arg(into).output().await?;
    ensure!(done.status.success(), "a layer can't be unpacked: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
