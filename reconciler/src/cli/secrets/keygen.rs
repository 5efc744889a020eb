//! `secrets keygen`: a new pair of keys, as `age-keygen` writes them, or as the Secret that a platform keeps.

use crate::ui::{Exit, Ui, failed};
use rand::RngExt as _;
use reconciler::secrets::{HMAC, IDENTITIES, Identities};
use renderer::Secret;
use serde_json::json;

/// Make a new pair of keys
///
/// The secret half goes to stdout: send it into a file that only you can read. The public half is said on stderr, and
/// stands in the file as a comment. Operators make the platform's keys by `--secret`: a manifest of a Secret with an
/// identity and with the key of the marks by which changed values are told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077; toolforge secrets keygen > ~/.config/toolforge/identity)
  toolforge secrets keygen --secret toolforge-keys --namespace toolforge | kubectl create -f -")]
pub(super) struct Args {
    /// Print the manifest of a Secret of this name
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Namespace of that Secret
    #[arg(long, value_name = "NAME", default_value = "toolforge", requires = "secret")]
    namespace: String,
}

pub(super) fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let identities = Identities::generate();
    let identity = identities.one_to_text().ok_or_else(|| failed("no key was made"))?;
    let public = identities.public().concat();
    let file = Secret::new(format!("# public key: {public}\n{}\n", identity.reveal()));
    match &args.secret {
        Some(name) => {
            // Letters, so that it is text in every tool: 64 of 62 kinds are more than 256 bits.
            let hmac: String = rand::rng().sample_iter(rand::distr::Alphanumeric).take(64).map(char::from).collect();
            let hmac = Secret::new(hmac);
            let manifest = format!(
                "{:#}\n",
                json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": args.namespace},
                    "stringData": {IDENTITIES: file.reveal(), HMAC: hmac.reveal()},
                })
            );
            ui.raw(&Secret::new(manifest))?;
        }
        None if ui.json => {
            let pair = json!({"identity": identity.reveal(), "recipient": public}).to_string();
            ui.raw(&Secret::new(format!("{pair}\n")))?;
        }
        None => ui.raw(&file)?,
    }
    ui.say(&format!("public key: {public}"));
    if args.secret.is_some() {
        ui.hint("Write the public key under `secrets.recipients` in platform.yaml, and the Secret's name under `secrets.keys`.");
    }
    Ok(Exit::Done)
}
