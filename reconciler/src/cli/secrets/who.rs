//! To whom values are encrypted, and who asks to read them.

use super::{PlatformArgs, ReaderArgs, given};
use crate::cli::local;
use crate::cli::place;
use crate::cli::target::Declared;
use crate::ui::{Ui, counted, wrong_use};
use reconciler::secrets::Identities;
use renderer::Platform;
use renderer::Secret;
use renderer::secrets::SecretsFile;
use std::path::PathBuf;

/// Names the file of a person's identity.
const VARIABLE: &str = "TOOLFORGE_IDENTITY";

impl ReaderArgs {
    /// The identity of the person.
    pub(super) fn identities(&self, command: &str) -> anyhow::Result<Identities> {
        let option = self.identity.clone().map(|path| (path, "--identity FILE".to_owned()));
        let variable = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        let variable = variable.map(|path| (PathBuf::from(path), format!("export {VARIABLE}=FILE")));
        let Some((path, named)) = option.or(variable) else {
            return Err(wrong_use(format!("`{command}` needs the identity of a recipient"))
                .hint(format!(
                    "Name its file with `--identity` or in ${VARIABLE}. The platform's own stays with the platform."
                ))
                .into());
        };
        given::file(&path.to_string_lossy(), &named)?;
        let hint = "Name the file of your identity; make one with `toolforge secrets keygen`, or with `age-keygen`.";
        let text = Secret::new(String::from_utf8(place::read(&path, hint)?).unwrap_or_default());
        Ok(Identities::read(text.reveal())
            .map_err(|error| wrong_use(format!("{} can't be used", path.display())).hint(hint).because(error))?)
    }
}

impl PlatformArgs {
    /// Whether a person said where to look.
    fn is_chosen(&self) -> bool {
        let cluster = &self.cluster;
        let cluster = cluster.sandbox || cluster.cluster.is_some() || cluster.kubeconfig.is_some();
        cluster || self.platform.is_some() || self.cluster.sandbox_folder.is_some()
    }

    /// The file with the platform's recipients of now among its own: as a person says where they are; else as the file has
    /// them; else as the cluster has published them. With it the platform, where it was asked.
    pub(super) async fn current(
        &self,
        file: Option<&SecretsFile>,
        ui: &Ui,
    ) -> anyhow::Result<(SecretsFile, Option<Platform>)> {
        let known = file.filter(|file| !file.recipients.is_empty());
        if let (Some(file), false) = (known, self.is_chosen()) {
            return Ok((file.clone(), None));
        }
        let platform = self.settings(ui).await?;
        let own = platform.secrets.as_ref().map(|secrets| secrets.recipients.clone()).unwrap_or_default();
        if own.is_empty() {
            return Err(wrong_use(format!("platform {} has published no public key", platform.name))
                .hint("Ask its operators for `secrets.recipients` in platform.yaml, or use the platform's own way to keep secrets.")
                .into());
        }
        let mut file =
            file.cloned().unwrap_or_else(|| SecretsFile { platform: platform.name.clone(), ..SecretsFile::default() });
        if file.platform != platform.name {
            let message = format!("the file is for platform {}, not for {}", file.platform, platform.name);
            return Err(wrong_use(message).hint("Name the settings of that platform.").into());
        }
        let new: Vec<String> = own.into_iter().filter(|one| !file.recipients.contains(one)).collect();
        if !new.is_empty() && !file.values.is_empty() {
            let told = counted(new.len(), "new public key");
            ui.say(&format!("platform {} has {told}: {}", platform.name, new.join(", ")));
        }
        file.recipients.extend(new);
        Ok((file, Some(platform)))
    }

    async fn settings(&self, ui: &Ui) -> anyhow::Result<Platform> {
        if let Some(file) = &self.platform {
            return local::platform(file, ui);
        }
        reconciler::cluster::install_crypto();
        let connected = self.cluster.connect(None).await?;
        Ok(Declared::of_cluster(&connected, &self.platform_namespace, "name its settings with `--platform FILE`")
            .await?
            .platform)
    }
}
