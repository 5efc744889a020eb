//! What stands on the command line in the wrong place is often the secret itself: it is known for one, and not repeated.

use crate::ui::{Failure, wrong_use};
use reconciler::secrets::{Identities, Recipients};
use renderer::Platform;

/// Changing it is a person's own work: whoever could see the command line has it.
const SEEN: &str = "this one stands in your shell's history, where others may find it";

/// Whether it holds the secret half of a key, and is neither the name of a file nor a public key.
fn is_identity(text: &str) -> bool {
    text.to_ascii_uppercase().contains("AGE-SECRET-KEY-")
}

/// The name of a variable. It is judged here and not by clap, which repeats what it refuses.
pub(super) fn variable(text: &str) -> Result<&str, Failure> {
    if renderer::secrets::is_key(text) {
        return Ok(text);
    }
    if let Some((name, _)) = text.split_once('=') {
        return Err(value(name));
    }
    let word = text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b"-.".contains(&b));
    let upper = text.to_ascii_uppercase().replace(['-', '.'], "_");
    let hint = match word && renderer::secrets::is_key(&upper) {
        true => format!("Write `{upper}`."),
        false => {
            "A variable's name holds letters, digits and `_`, such as `API_KEY`; the value is asked for.".to_owned()
        }
    };
    Err(wrong_use("what stands in the place of the variable's name is none").hint(hint))
}

/// That a tool may have a value under this name.
pub(super) fn unreserved(key: &str, platform: Option<&Platform>) -> Result<(), Failure> {
    if !renderer::secrets::is_reserved(key, platform) {
        return Ok(());
    }
    let hint = match key {
        "PORT" => "Write `port:` under `run:` in toolforge.yaml; the platform sets `PORT` from it.",
        _ => "Choose another name: the platform, the cluster or the image sets this one.",
    };
    Err(wrong_use(format!("`{key}` is reserved")).hint(hint))
}

/// A value stands on the command line, beside this name.
pub(super) fn value(name: &str) -> Failure {
    let name = if renderer::secrets::is_key(name) { name } else { "NAME" };
    let hint = format!(
        "Run `printf %s \"$VALUE\" | toolforge secrets set {name}`, or without a value to be asked for it; choose a new value: {SEEN}."
    );
    wrong_use("a value stands on the command line, where others of this machine can see it").hint(hint)
}

/// The name of an identity's file; `named` is how a person names one.
pub(super) fn file(text: &str, named: &str) -> Result<(), Failure> {
    if !is_identity(text) {
        return Ok(());
    }
    let hint = format!(
        "Write it into a file that only you can read, and name that: `{named}`. Better make a new one with `toolforge secrets keygen`: {SEEN}."
    );
    Err(wrong_use("this is an identity, not the file of one").hint(hint))
}

/// A public key, if it is one, for this command of `recipients`.
pub(super) fn recipient(text: &str, command: &str) -> Result<(), Failure> {
    if is_identity(text) {
        let public = Identities::read(text).ok().map(|identity| identity.public().concat());
        let public = public.unwrap_or_else(|| "age1...".to_owned());
        let hint = format!(
            "Name its public half: `toolforge secrets recipients {command} {public}`. Better make a new one with `toolforge secrets keygen`: {SEEN}."
        );
        return Err(wrong_use("this is an identity, the secret half of a key, not its public half").hint(hint));
    }
    let hint = "Name a public key, `age1` and 58 more letters and digits: `toolforge secrets keygen` says it.";
    let read = Recipients::read([text]).map(|_| ());
    read.map_err(|error| wrong_use(error.to_string()).hint(hint))
}
