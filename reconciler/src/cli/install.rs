//! `install`: what operators apply once, and again with a new version.

use super::target::Declared;
use crate::ui::{Exit, Ui, wrong_use};
use planner::install::{Process, install};
use renderer::diagnostic::shown;
use renderer::platform::Backend;
use renderer::{Digest, Platform};
use serde_json::Value;

/// Print what a cluster needs before a platform runs there
///
/// Namespaces, the definition of Tool, accounts, roles, the rules that the API server holds against everyone, and the
/// platform's own Deployment, as one stream of YAML. Whoever applies it needs all rights, once; the platform then has those that its work takes, and none of them over what a tool
/// runs. Apply it again with each new version: what is as it should be stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge install URL --print --image registry.example/toolforge@sha256:... > install.yaml
  kubectl apply --server-side --force-conflicts -f install.yaml
  toolforge install ./config --print --json | jq -r '.[].kind'

Passwords of the config repository and the registry: keys of the Secret toolforge-credentials in the
platform's namespace, such as TOOLFORGE_GIT_PASSWORD. It is yours to make, and no part of this.

Exit code: 0 printed, 2 wrong use or a broken platform.yaml.")]
pub struct Args {
    /// The config repository, as the cluster is to reach it
    config: String,
    /// Which of its platforms, where it has several
    #[arg(long, value_name = "NAME")]
    platform: Option<String>,
    /// Image with this program, with its digest; by default the one that the platform's builds use
    #[arg(long, value_name = "REFERENCE")]
    image: Option<String>,
    /// Print it; nothing is applied
    #[arg(long, required = true)]
    print: bool,
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    if let Some(image) = args.image.as_deref().filter(|image| !has_digest(image)) {
        let hint = "Say which content is to run: `--image registry.example/name@sha256:` and its 64 digits.";
        return Err(wrong_use(format!("{} names no digest", shown(image))).hint(hint).into());
    }
    let declared = Declared::of_repository(&args.config, args.platform.as_deref(), ui).await?;
    let Some(image) = args.image.as_deref().or_else(|| own_image(&declared.platform)) else {
        let message = "no image with this program is known".to_owned();
        return Err(wrong_use(message).hint("Say `--image REFERENCE`, with its digest.").into());
    };
    let process = Process { image, config: &args.config, platform: args.platform.as_deref() };
    let objects = install(&declared.platform, &declared.admission, &process);
    if ui.json {
        let values: Vec<&Value> = objects.iter().map(|object| &object.value).collect();
        ui.json(&values)?;
    } else {
        ui.data(&renderer::to_yaml(&objects))?;
    }
    Ok(Exit::Done)
}

/// What a tag stands for may change, and this program has every right on the platform.
fn has_digest(image: &str) -> bool {
    image.split_once('@').is_some_and(|(name, digest)| !name.is_empty() && Digest::new(digest).is_ok())
}

fn own_image(platform: &Platform) -> Option<&str> {
    match &platform.builds.as_ref()?.backend {
        Backend::Lifecycle(lifecycle) => Some(&lifecycle.image),
        Backend::Tekton(_) | Backend::Local => None,
    }
}
