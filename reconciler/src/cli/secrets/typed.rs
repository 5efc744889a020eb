//! Values on their way in: from stdin, from a terminal that does not show them, or from an editor.

use crate::ui::{Failure, Ui, failed, plain, wrong_use};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use renderer::Secret;
use renderer::secrets::limits::VALUE_BYTES;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead as _, IsTerminal as _, Read as _, Seek as _, Stdin, Write as _, stdin};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Where what is written never reaches a disk.
const IN_MEMORY: &str = "/dev/shm";

/// The value of a variable, from stdin or asked for.
pub(super) fn value(key: &str, ui: &Ui) -> anyhow::Result<Secret> {
    let input = stdin();
    let text = if input.is_terminal() {
        ui.say(&format!("value of {key} (it is not shown; Enter ends it):"));
        unseen_line(&input)?
    } else {
        whole(input.lock())?
    };
    fit(key, text)
}

/// What may be a variable's value; one line end goes.
fn fit(key: &str, mut text: Zeroizing<String>) -> anyhow::Result<Secret> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    let wrong = |what: String| Err(wrong_use(what).hint("Nothing was written.").into());
    match () {
        () if text.is_empty() => wrong(format!("no value was given for {key}")),
        () if text.len() > VALUE_BYTES => {
            wrong(format!("the value of {key} has {} bytes; at most {VALUE_BYTES} are allowed", text.len()))
        }
        () if text.contains('\0') => wrong(format!("the value of {key} holds a NUL character")),
        () => Ok(Secret::new(text.as_str())),
    }
}

fn whole(input: impl std::io::Read) -> anyhow::Result<Zeroizing<String>> {
    // One more than is allowed and a line end, so that what is too long is told and not cut.
    let most = VALUE_BYTES + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let cannot = |error: std::io::Error| failed(format!("cannot read stdin: {}", plain(&error)));
    input.take(most as u64).read_to_end(&mut bytes).map_err(cannot)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        wrong_use("the value is not UTF-8 text")
            .hint("Encode it first, for example by `base64`, and decode it in the tool.")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Puts the terminal back as it was.
struct Unseen<'a>(&'a Stdin, Termios);

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to put back.
        let _ = tcsetattr(self.0, SetArg::TCSANOW, &self.1);
    }
}

fn unseen_line(input: &Stdin) -> anyhow::Result<Zeroizing<String>> {
    let cannot = |error: nix::Error| failed(format!("the terminal can't be told to hide what is typed: {error}"));
    let before = tcgetattr(input).map_err(cannot)?;
    let mut unseen = before.clone();
    unseen.local_flags.remove(LocalFlags::ECHO);
    let shown_again = Unseen(input, before);
    tcsetattr(input, SetArg::TCSAFLUSH, &unseen).map_err(cannot)?;
    let mut line = Zeroizing::new(String::with_capacity(VALUE_BYTES + 3));
    let read = input.lock().read_line(&mut line);
    drop(shown_again);
    read.map_err(|error| failed(format!("cannot read the terminal: {}", plain(&error))))?;
    Ok(line)
}

/// A file that only we can read, in a folder that only we can enter; overwritten when it goes.
struct Private {
    folder: TempDir,
    path: PathBuf,
}

impl Private {
    fn new(key: &str, value: &Secret) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| failed(format!("cannot make a private file: {}", plain(&error)));
        let mut builder = tempfile::Builder::new();
        builder.prefix("toolforge-").permissions(Permissions::from_mode(0o700));
        let folder = builder.tempdir_in(IN_MEMORY).or_else(|_| builder.tempdir()).map_err(cannot)?;
        let path = folder.path().join(key);
        let this = Self { folder, path };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&this.path).map_err(cannot)?;
        file.write_all(value.reveal().as_bytes()).map_err(cannot)?;
        Ok(this)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Editors leave copies beside it. What can't be overwritten is removed all the same.
        for entry in std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            let _ = overwrite(&entry.path());
        }
    }
}

fn overwrite(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    file.rewind()?;
    std::io::copy(&mut std::io::repeat(0).take(length), &mut file)?;
    file.sync_all()
}

/// The value as the person's editor leaves it.
pub(super) fn edited(key: &str, value: &Secret) -> anyhow::Result<Secret> {
    let private = Private::new(key, value)?;
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // As git does: the variable may hold arguments.
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$@\""), &editor]).arg(&private.path).status();
    let status = status.map_err(|error| failed(format!("cannot start {editor}: {}", plain(&error))))?;
    if !status.success() {
        let hint = "Nothing was written. Name another editor in $EDITOR.";
        return Err(failed(format!("{editor} ended with {status}")).hint(hint).into());
    }
    let cannot = |error: std::io::Error| failed(format!("cannot read what {editor} left: {}", plain(&error)));
    let mut text = whole(File::open(&private.path).map_err(cannot)?)?;
    // Editors end the last line; a value of one line had no end, or it would have been left out before.
    if value.reveal().ends_with('\n') {
        text.push('\n');
    }
    fit(key, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(text: &str) -> Result<String, String> {
        let value = fit("K", Zeroizing::new(text.to_owned())).map(|value| value.reveal().to_owned());
        value.map_err(|error| error.to_string())
    }

    #[test]
    fn one_line_end_goes_and_what_no_variable_can_hold_is_refused() {
        for (text, value) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("a\nb\n", "a\nb")] {
            assert_eq!(fitted(text).as_deref(), Ok(value), "{text:?}");
        }
        assert_eq!(fitted("\n"), Err("no value was given for K".into()));
        assert_eq!(fitted("a\0"), Err("the value of K holds a NUL character".into()));
        assert_eq!(
            fitted(&"x".repeat(16_385)),
            Err("the value of K has 16385 bytes; at most 16384 are allowed".into())
        );
        assert_eq!(
            whole(&b"\xff"[..]).map(|_| ()).map_err(|e| e.to_string()),
            Err("the value is not UTF-8 text".into())
        );
    }

    #[test]
    fn a_private_file_is_for_us_alone_and_is_wiped_with_its_copies() {
        let private = Private::new("K", &Secret::new("canary")).expect("it is made");
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(private.folder.path()), mode(&private.path)), (0o700, 0o600));
        let (folder, copy) = (private.folder.path().to_owned(), private.folder.path().join("K~"));
        // A second name of the same bytes outlives the removal, and shows what was left of them.
        let kept = tempfile::tempdir_in(folder.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&private.path, &copy).expect("an editor's copy");
        for (path, name) in [(&private.path, "one"), (&copy, "two")] {
            std::fs::hard_link(path, kept.path().join(name)).expect("a second name");
        }
        drop(private);
        assert!(!folder.exists());
        for name in ["one", "two"] {
            assert_eq!(std::fs::read(kept.path().join(name)).expect("its bytes"), [0; 6]);
        }
    }
}
