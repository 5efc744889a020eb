//! How a process of the image starts: what a lifecycle's launcher does, as a script that is written when the image is.
//!
//! The image is done, so everything is known that a launcher would look for: which process means what, and which
//! variables the layers change. The script needs a shell and nothing else, and is the same for every machine.
//! `/cnb/process/<name>` leads to it, and so does `launcher <name or command>`.

use super::env::{For, changes};
use super::export::Order;
use super::trouble::{BuildError, at};
use super::written::Process;
use super::{APP, LAYERS};
use crate::variables::{Change, How, variables};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const HEAD: &str = "#!/bin/sh
# Starts a process of this image in the environment of its layers. Written with the image.
name=${0##*/}
";

pub(super) fn script(order: &Order<'_>, processes: &[Process]) -> Result<String, BuildError> {
    let names: Vec<_> = processes.iter().map(|process| process.kind.as_str()).collect();
    let mut script = HEAD.to_owned();
    let known = if names.is_empty() { "''".to_owned() } else { names.join(" | ") };
    let _ = write!(
        script,
        "if [ \"$name\" = launcher ]; then
  name=''
  case \"${{1-}}\" in
    --) shift ;;
    {known}) name=$1 && shift ;;
    '') echo \"no process is named; this image has: {}\" >&2 && exit 127 ;;
  esac
fi
",
        names.join(" ")
    );
    let mut own = String::new();
    for made in order.made {
        let seen = seen(order, &made.pack.folder(), &made.folder);
        for change in changes(&made.layers, &made.folder, &seen, For::Launch)? {
            script.push_str(&line(&change));
        }
        for (layer, _) in made.layers.iter().filter(|(_, layer)| layer.types.launch) {
            for process in processes {
                let folder = made.folder.join(layer).join("env.launch").join(&process.kind);
                for change in variables(&folder).map_err(at(&folder))? {
                    let _ = write!(own, "[ \"$name\" != {} ] || {}", process.kind, line(&change));
                }
            }
        }
    }
    script.push_str(&own);
    let folder = |process: &Process| process.working_dir.clone().unwrap_or_else(|| APP.to_owned());
    // Where paths are not real, whoever starts the process has put it into its folder.
    let go = |folder: &str| if order.door.in_place() { format!("cd {} && ", quoted(folder)) } else { String::new() };
    script.push_str("case $name in\n");
    for process in processes {
        let words: Vec<_> = process.command.iter().chain(&process.args).map(|word| quoted(word)).collect();
        let _ = writeln!(script, "  {}) {}exec {} \"$@\" ;;", process.kind, go(&folder(process)), words.join(" "));
    }
    let _ = write!(script, "  *) {}exec \"$@\" ;;\nesac\n", go(APP));
    Ok(script)
}

fn seen(order: &Order<'_>, folder: &str, host: &Path) -> PathBuf {
    if order.door.in_place() { Path::new(LAYERS).join(folder) } else { host.to_owned() }
}

fn line(change: &Change) -> String {
    let Change { name, how, value, delimiter } = change;
    // A name that a shell does not take is one that no shell passes on.
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(is_word) {
        return "true\n".to_owned();
    }
    let (value, delimiter) = (quoted(value), quoted(delimiter));
    let joined = match how {
        How::Override => return format!("export {name}={value}\n"),
        How::Default => format!("\"${name}\""),
        How::Prepend => format!("{value}{delimiter}\"${name}\""),
        How::Append => format!("\"${name}\"{delimiter}{value}"),
    };
    format!("if [ -n \"${{{name}:-}}\" ]; then export {name}={joined}; else export {name}={value}; fi\n")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// As one word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn check(how: How, old: Option<&str>, expected: &str) {
        let (name, delimiter) = ("V".to_owned(), "; '\"".to_owned());
        let change = Change { name, how, value: "new $HOME '\"` \\".to_owned(), delimiter };
        let script = format!("set -u\n{}printf %s \"$V\"", line(&change));
        let mut shell = Command::new("sh");
        shell.env_remove("V").args(["-c", &script]);
        if let Some(old) = old {
            shell.env("V", old);
        }
        let out = shell.output().expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{script}\n{out:?}");
    }

    #[test]
    fn a_shell_makes_of_a_change_what_the_api_says_whatever_is_in_it() {
        let new = "new $HOME '\"` \\";
        check(How::Override, Some("old"), new);
        check(How::Default, Some("old"), "old");
        check(How::Default, Some(""), new);
        check(How::Default, None, new);
        check(How::Prepend, Some("old"), &format!("{new}; '\"old"));
        check(How::Prepend, None, new);
        check(How::Append, Some("old"), &format!("old; '\"{new}"));
        check(How::Append, None, new);
    }
}
