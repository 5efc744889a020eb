//! `secrets`: values that only the platform can read, in the tool's repository. Everything works on the file alone; only
//! who has the identity of a recipient can look into it again.

mod commands;
mod given;
mod keygen;
mod recipients;
mod shelf;
mod typed;
mod who;

use super::connect::ClusterArgs;
use super::local::tool_name;
use crate::ui::{Exit, Ui};
use renderer::ToolName;
use std::ffi::OsString;
use std::path::PathBuf;

/// Keep secret values in the tool's repository, encrypted for the platform
///
/// A value is encrypted to the platform's public key and stands in `toolforge.secrets.yaml`, which is safe to commit:
/// nobody but the platform can read it, and it counts for this tool, platform and variable alone. Name the variable under
/// `secrets:` in `toolforge.yaml`; after the next commit the components that use it, and only those, get the new value.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets set API_KEY                    asks for the value, without showing it
  pass show api | toolforge secrets set API_KEY    or takes it from another program
  toolforge secrets list                           what there is, and what toolforge.yaml still misses
  toolforge secrets recipients add age1...         let a maintainer's own key read what is set from now on

`get`, `edit` and `rotate` need the identity of a recipient, for to set a value does not mean to be able to read it:
make one with `toolforge secrets keygen` (or `age-keygen`), and add its public half by `recipients add`.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Set(SetArgs),
    Get(GetArgs),
    List(ListArgs),
    Edit(EditArgs),
    Rm(RmArgs),
    Rotate(RotateArgs),
    Recipients(RecipientsArgs),
    Keygen(keygen::Args),
}

/// Which tool.
#[derive(Debug, Clone, clap::Args)]
struct Here {
    /// The tool's folder
    #[arg(short = 'C', long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Name of the tool, for which alone a value counts; by default that of the repository or folder
    #[arg(long, value_name = "NAME", value_parser = tool_name)]
    tool: Option<ToolName>,
}

/// For which platform.
#[derive(Debug, Clone, clap::Args)]
struct PlatformArgs {
    /// Settings of the platform, instead of what the file says or the cluster has published
    #[arg(long, value_name = "FILE")]
    platform: Option<PathBuf>,
    /// Namespace of the platform's own objects on the cluster
    #[arg(long, value_name = "NAME", default_value = "toolforge", hide_default_value = true)]
    platform_namespace: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Who reads.
#[derive(Debug, Clone, clap::Args)]
struct ReaderArgs {
    /// File with the identity of a recipient, as `age-keygen` writes it; else $TOOLFORGE_IDENTITY names one
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// One value, and who reads it.
#[derive(Debug, Clone, clap::Args)]
struct OneValue {
    /// The variable
    #[arg(value_name = "NAME")]
    key: String,
    #[command(flatten)]
    here: Here,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// Encrypt a value, and write it into the file
///
/// The value is read from stdin or asked for, never taken from the command line, where other people of the machine could
/// see it. The platform's public key is all it takes: a value that is there is replaced without being read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets set API_KEY
  printf %s \"$token\" | toolforge secrets set API_KEY
  toolforge secrets set API_KEY --platform platform.yaml

One line end at the end of stdin is left out. Exit code: 0 written, 2 something is wrong.")]
struct SetArgs {
    /// The variable
    #[arg(value_name = "NAME")]
    key: String,
    /// Taken so that it can be refused without being repeated
    #[arg(hide = true)]
    value: Vec<OsString>,
    #[command(flatten)]
    here: Here,
    #[command(flatten)]
    platform: PlatformArgs,
}

/// Print one value
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets get API_KEY --identity ~/.config/toolforge/identity")]
struct GetArgs {
    #[command(flatten)]
    one: OneValue,
}

/// List the variables: those in the file, and those that toolforge.yaml declares
///
/// Values are never shown. What is declared and not in the file is expected on the cluster, from another program.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets list
  toolforge secrets list --json")]
struct ListArgs {
    #[command(flatten)]
    here: Here,
}

/// Change one value in your editor
///
/// $VISUAL or $EDITOR is given a file that only you can read, in memory where the machine allows it, and the file is
/// overwritten and removed when the editor ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets edit CERTIFICATE --identity ~/.config/toolforge/identity")]
struct EditArgs {
    #[command(flatten)]
    one: OneValue,
}

/// Remove values from the file
///
/// They stay in the git history, encrypted: change them where they are valid, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets rm API_KEY")]
struct RmArgs {
    /// The variables
    #[arg(value_name = "NAME", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    here: Here,
}

/// Encrypt every value anew, to the recipients of now
///
/// After a recipient was added or removed, or the platform has a new key. The values stay the same, so nothing restarts.
/// Who was a recipient can still read what stands in the git history: change values that they must not know any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets rotate --identity ~/.config/toolforge/identity
  toolforge secrets rotate --platform platform.yaml    takes the platform's new keys from there")]
struct RotateArgs {
    #[command(flatten)]
    here: Here,
    #[command(flatten)]
    reader: ReaderArgs,
    #[command(flatten)]
    platform: PlatformArgs,
}

/// List, add or remove public keys that values are encrypted to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge secrets recipients
  toolforge secrets recipients add age1...
  toolforge secrets recipients remove age1...

What was encrypted before stays as it is: `toolforge secrets rotate` encrypts it anew.")]
struct RecipientsArgs {
    #[command(subcommand)]
    what: Option<Change>,
    #[command(flatten)]
    here: Here,
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Add public keys
    Add {
        /// Public keys, `age1...`
        #[arg(required = true, value_name = "RECIPIENT")]
        recipients: Vec<String>,
    },
    /// Remove public keys
    Remove {
        /// Public keys, `age1...`
        #[arg(required = true, value_name = "RECIPIENT")]
        recipients: Vec<String>,
        /// Also the first of the file, which is the platform's own
        #[arg(long)]
        force: bool,
    },
}

pub async fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    match &args.what {
        What::Set(args) => commands::set(args, ui).await,
        What::Get(args) => commands::get(args, ui),
        What::List(args) => commands::list(args, ui),
        What::Edit(args) => commands::edit(args, ui),
        What::Rm(args) => commands::rm(args, ui),
        What::Rotate(args) => commands::rotate(args, ui).await,
        What::Recipients(args) => recipients::run(args, ui),
        What::Keygen(args) => keygen::run(args, ui),
    }
}
