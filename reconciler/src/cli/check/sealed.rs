//! Whether the platform that was named could open what `toolforge.secrets.yaml` holds. Who may is not told by a ciphertext;
//! so what the file says of itself is compared with what the platform says.

use crate::cli::local::Local;
use renderer::diagnostic::Code;
use renderer::secrets::{FILE, parse};
use renderer::{Diagnostic, Report, Severity};

/// Adds to the report where it could not, or will not.
pub(super) fn add(local: &Local, report: &mut Report) {
    let (platform, bytes) = (&local.platform, local.revision.files.secrets.as_deref());
    let Some(file) = bytes.and_then(|bytes| parse(bytes, FILE).0) else { return };
    let own = platform.secrets.as_ref().map(|secrets| secrets.recipients.as_slice()).unwrap_or_default();
    let (severity, message, hint) = if file.platform != platform.name {
        let message = format!("the file is for platform {}, not for {}", file.platform, platform.name);
        let hint = "Move the file away, and set its values again with `--platform FILE`: each counts for one platform.";
        (Severity::Error, message, hint.to_owned())
    } else if !own.is_empty() && !file.recipients.iter().any(|one| own.contains(one)) {
        // Not an error: it may still have the key that went before.
        let message = format!("no public key of platform {} is among its recipients", platform.name);
        let hint = format!("Run `toolforge secrets recipients add {}`, and set again what was set without it.", own[0]);
        (Severity::Note, message, hint)
    } else {
        return;
    };
    report.diagnostics.push(Diagnostic {
        file: local.place.folder.join(FILE).display().to_string(),
        place: None,
        severity,
        code: Code::BadCiphertext.id().to_owned(),
        message,
        hint: Some(hint),
        component: None,
    });
}
