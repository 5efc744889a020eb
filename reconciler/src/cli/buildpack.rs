//! `buildpack new`: the folder that a new language is, with its test; it works as it stands.

use super::place;
use crate::ui::{Exit, Failure, Ui, failed, plain, wrong_use};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Make buildpacks of your own
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge buildpack new rust                    in this folder
  toolforge buildpack new rust --into buildpacks  beside the others of a builder
  ./rust/test.sh                                  and test it")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    New(NewArgs),
}

/// Make a working buildpack to begin with, and its test
///
/// A folder with `bin/detect`, `bin/build`, a sample, a README and `test.sh`, which calls it as a lifecycle does. It reads
/// `<name>.txt` and makes a layer and a process of it; replace that by what your language needs. Beside the buildpacks of a
/// builder it shares their `lib.sh`, and enters their `order.toml`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  toolforge buildpack new rust
  toolforge buildpack new rust --into buildpacks")]
struct NewArgs {
    /// Its name: the folder's, and the end of its id, `toolforge/<name>`
    #[arg(value_parser = pack_name)]
    name: String,
    /// The folder that its folder is made in
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

/// What is in it: path, text, whether it can be run.
const FILES: [(&str, &str, bool); 5] = [
    ("buildpack.toml", include_str!("buildpack/skeleton/buildpack.toml"), false),
    ("bin/detect", include_str!("buildpack/skeleton/detect"), true),
    ("bin/build", include_str!("buildpack/skeleton/build"), true),
    ("README.md", include_str!("buildpack/skeleton/README.md"), false),
    ("test.sh", include_str!("buildpack/skeleton/test.sh"), true),
];
/// What all buildpacks share.
const LIB: &str = include_str!("../../../buildpacks/lib.sh");
/// Stands for the name in all of them.
const NAME: &str = "@NAME@";
/// The last in the order is what a person wrote down: new ones come before it.
const LAST: &str = "[[order.group]]\nid = \"toolforge/procfile\"";

fn pack_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && text.len() <= 40 && text.chars().all(fits) && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    Err("lower-case letters, digits and `-`, at most 40, beginning with a letter".to_owned())
}

pub fn run(args: &Args, ui: &Ui) -> anyhow::Result<Exit> {
    let What::New(args) = &args.what;
    let folder = args.into.join(&args.name);
    if folder.symlink_metadata().is_ok() {
        let message = format!("{} exists already", folder.display());
        return Err(wrong_use(message).hint("Choose another name, or remove it first.").into());
    }
    if !args.into.is_dir() {
        let message = format!("{} is no folder", args.into.display());
        return Err(wrong_use(message).hint("Name the folder that buildpacks are in.").into());
    }
    let mut made = Vec::new();
    for (path, text, runs) in FILES {
        write(&folder.join(path), &text.replace(NAME, &args.name), runs)?;
        made.push(path.to_owned());
    }
    let sample = format!("samples/hello/{}.txt", args.name);
    write(&folder.join(&sample), "hello, world\n", false)?;
    lib(&folder, &args.into)?;
    made.extend([sample, "lib.sh".to_owned()]);
    let ordered = enter(&args.into.join("order.toml"), &args.name)?;
    if ui.json {
        ui.json(&json!({"buildpack": format!("toolforge/{}", args.name), "folder": folder, "files": made, "ordered": ordered}))?;
        return Ok(Exit::Done);
    }
    let list: String = made.iter().map(|file| format!("  {file}\n")).collect();
    ui.data(&format!("made {}\n{list}", folder.display()))?;
    if ordered {
        ui.data(&format!("and entered it in {}\n", args.into.join("order.toml").display()))?;
    }
    ui.hint(&format!(
        "Run `{}`, then change bin/detect and bin/build, and the test first.",
        shown(&folder.join("test.sh"))
    ));
    Ok(Exit::Done)
}

/// A program in this folder needs its `./`.
fn shown(program: &Path) -> String {
    let text = program.display().to_string();
    if text.contains('/') { text } else { format!("./{text}") }
}

fn write(path: &Path, text: &str, runs: bool) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
    }
    place::write(path, text.as_bytes())?;
    if runs {
        let rights = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, rights).map_err(|error| cannot(path, &error))?;
    }
    Ok(())
}

/// The one that the buildpacks around it share, as a link; else its own.
fn lib(folder: &Path, around: &Path) -> anyhow::Result<()> {
    let own = folder.join("lib.sh");
    if around.join("lib.sh").is_file() {
        return Ok(symlink("../lib.sh", &own).map_err(|error| cannot(&own, &error))?);
    }
    write(&own, LIB, false)
}

/// Enters it in the order of the buildpacks around it, where there is one. Whether it was.
fn enter(order: &Path, name: &str) -> anyhow::Result<bool> {
    let Some(text) = place::read_if_there(order)? else { return Ok(false) };
    let text = String::from_utf8(text)
        .map_err(|_| wrong_use(format!("{} is not UTF-8", order.display())).hint("Save it as UTF-8."))?;
    let entry = format!("[[order.group]]\nid = \"toolforge/{name}\"\nversion = \"0.1.0\"\noptional = true\n\n");
    let at = text.find(LAST).unwrap_or(text.len());
    let (before, after) = text.split_at(at);
    let gap = if before.is_empty() || before.ends_with("\n\n") { "" } else { "\n" };
    let text = format!("{}\n", format!("{before}{gap}{entry}{after}").trim_end());
    place::write(order, text.as_bytes())?;
    Ok(true)
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    failed(format!("cannot write {}: {}", path.display(), plain(error))).hint("See whether you may write there.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_folder_and_the_end_of_an_id() {
        for good in ["r", "rust", "deb-packages", "php8"] {
            assert_eq!(pack_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "Rust", "8php", "a/b", "..", "a b", "rust-", &"x".repeat(41)] {
            assert!(pack_name(bad).is_err(), "{bad:?}");
        }
    }
}
