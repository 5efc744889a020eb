//! A Job's containers, run one after another by what stands in the Job: command, arguments, environment, user and mounts.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{Mount, Place, Ran};

/// What a container image brings along.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Folders at their places.
    pub mounts: Vec<Mount>,
    /// Environment of its configuration.
    pub env: Vec<(String, String)>,
}

/// A Job's pod, with its volumes. They stay as the containers left them until it is dropped.
pub struct Pod {
    spec: Value,
    images: BTreeMap<String, Image>,
    volumes: TempDir,
}

/// A container that has ended.
#[derive(Debug, Clone)]
pub struct Phase {
    /// The container's name.
    pub name: String,
    /// What came of it.
    pub ran: Ran,
}

impl Pod {
    /// Of a Job; secrets are files by name of the volume's Secret.
    pub fn new(
        job: &Value,
        images: BTreeMap<String, Image>,
        secrets: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> anyhow::Result<Self> {
        let spec = job.pointer("/spec/template/spec").context("no Job")?.clone();
        let volumes = tempfile::Builder::new().prefix("pod-").tempdir()?;
        let pod = Self { spec, images, volumes };
        for volume in pod.spec["volumes"].as_array().into_iter().flatten() {
            let path = pod.volume(volume["name"].as_str().context("a name")?);
            std::fs::create_dir(&path)?;
            match volume.get("secret") {
                None => pod.give_to_group(&path)?,
                Some(secret) => {
                    let name = secret["secretName"].as_str().context("a Secret")?;
                    let values = secrets.get(name).with_context(|| format!("no Secret {name}"))?;
                    for item in secret["items"].as_array().into_iter().flatten() {
                        let key = item["key"].as_str().context("a key")?;
                        let value = values.get(key).with_context(|| format!("the Secret {name} has no {key}"))?;
                        std::fs::write(path.join(item["path"].as_str().context("a path")?), value)?;
                    }
                }
            }
        }
        Ok(pod)
    }

    /// As a kubelet makes an emptyDir for a pod with a group of its own.
    fn give_to_group(&self, path: &PathBuf) -> anyhow::Result<()> {
        // Whoever is not root owns it anyhow.
        drop(chown(path, None, Some(self.user("fsGroup")?)));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o2777))?;
        Ok(())
    }

    fn user(&self, key: &str) -> anyhow::Result<u32> {
        let id = self.spec["securityContext"][key].as_u64().with_context(|| format!("no {key}"))?;
        Ok(u32::try_from(id)?)
    }

    /// The folder of a volume.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes.path().join(name)
    }

    /// Runs the containers until one fails; the last one is told last.
    pub async fn run(&self) -> anyhow::Result<Vec<Phase>> {
        let mut phases = Vec::new();
        for list in ["initContainers", "containers"] {
            for container in self.spec[list].as_array().into_iter().flatten() {
                let phase = self.phase(container).await?;
                let failed = phase.ran.code != 0;
                phases.push(phase);
                if failed {
                    return Ok(phases);
                }
            }
        }
        Ok(phases)
    }

    async fn phase(&self, container: &Value) -> anyhow::Result<Phase> {
        let name = container["name"].as_str().context("a name")?.to_owned();
        let security = &container["securityContext"];
        ensure!(security["allowPrivilegeEscalation"] == false, "{name} could get the rights of root");
        let argv: Vec<String> = ["command", "args"]
            .iter()
            .flat_map(|key| container[*key].as_array().into_iter().flatten())
            .map(|word| word.as_str().map(str::to_owned).context("a word"))
            .collect::<anyhow::Result<_>>()?;
        Ok(Phase { name, ran: self.place(container)?.run(&argv).await? })
    }

    fn place(&self, container: &Value) -> anyhow::Result<Place> {
        let reference = container["image"].as_str().context("an image")?;
        let image = self.images.get(reference).with_context(|| format!("no image {reference}"))?;
        let mut place = Place::new((self.user("runAsUser")?, self.user("runAsGroup")?))?;
        for (name, value) in &image.env {
            place = place.env(name, value);
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let (name, value) = (variable["name"].as_str(), variable["value"].as_str());
            place = place.env(name.context("a name")?, value.context("a value")?);
        }
        for mount in image.mounts.iter().cloned() {
            place = place.mount(mount);
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let from = self.volume(mount["name"].as_str().context("a volume")?);
            let at = mount["mountPath"].as_str().context("a path")?;
            let read_only = mount["readOnly"].as_bool().unwrap_or(false);
            place = place.mount(if read_only { Mount::read_only(&from, at) } else { Mount::writable(&from, at) });
        }
        Ok(place)
    }
}
