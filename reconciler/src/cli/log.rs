//! Logs: talk, so on stderr. `run` says what it does; other commands say it with `-v`.

use super::{Global, LogFormat};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// How much a command says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// It tells a story of its own, which logs would only interrupt.
    Quiet,
    /// What is wrong.
    Normal,
    /// What it does: that is its job.
    Loud,
}

/// Starts logging. `RUST_LOG` wins over `-v`.
pub fn start(global: &Global, voice: Voice) {
    let level = match global.verbose + u8::from(voice == Voice::Loud) {
        0 if voice == Voice::Quiet => "error,kube_client=off",
        // kube tells each failed request by itself; we tell it once, in our own words.
        0 => "warn,kube_client=off",
        1 => "warn,kube_client=off,reconciler=info,toolforge=info",
        2 => "info,reconciler=debug,toolforge=debug,sandbox=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = match global.color {
        crate::ui::ColourChoice::Always => true,
        crate::ui::ColourChoice::Never => false,
        crate::ui::ColourChoice::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    // Fails only where somebody started logging before, and then there are logs.
    let _ = match global.log_format {
        LogFormat::Text => logs.with_ansi(colour).with_target(false).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
}
