//! Logs: talk, so on stderr. `run` says what it does; other commands say it with `-v`.
//!
//! Fields hold words of servers and of repositories. As text each is made to fit on its line; as JSON, by JSON's means.

use super::{Global, LogFormat};
use crate::ui::json_fit;
use renderer::diagnostic::on_one_line;
use std::fmt;
use std::io::{self, Write};
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

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
pub fn start(global: &Global, voice: Voice, colour: bool) {
    let level = match global.verbose + u8::from(voice == Voice::Loud) {
        0 if voice == Voice::Quiet => "error,kube_client=off",
        // kube tells each failed request by itself; we tell it once, in our own words.
        0 => "warn,kube_client=off",
        1 => "warn,kube_client=off,reconciler=info,toolforge=info",
        2 => "info,reconciler=debug,toolforge=debug,sandbox=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Fails only where somebody started logging before, and then there are logs.
    let _ = match global.log_format {
        LogFormat::Text => {
            logs.fmt_fields(debug_fn(field).delimited(" ")).with_ansi(colour).with_target(false).try_init()
        }
        LogFormat::Json => logs.json().with_writer(|| JsonFit(io::stderr())).try_init(),
    };
}

fn field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = on_one_line(&format!("{value:?}"));
    match field.name() {
        "message" => write!(out, "{value}"),
        name => write!(out, "{name}={value}"),
    }
}

/// One event at a time, a line of JSON each.
struct JsonFit<W>(W);

impl<W: Write> Write for JsonFit<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(json_fit(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use renderer::diagnostic::steers;
    use std::sync::{Arc, Mutex};

    const SAID: &str = "\u{1b}]52;c;eA==\u{7}\u{9b}2J\u{202e}x\nERROR forged";

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
        }
    }

    fn say() {
        let error = io::Error::other(SAID);
        tracing::warn!(tool = SAID, %error, debug = ?error, "{SAID}");
    }

    #[test]
    fn a_line_of_text_is_one_line_whatever_a_server_said() {
        let log = Log::default();
        let writer = log.clone();
        let logs = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
        tracing::subscriber::with_default(logs.fmt_fields(debug_fn(field).delimited(" ")).finish(), say);
        let text = log.text();
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(steers), "{text:?}");
        assert!(text.contains("error=\\u{1b}]52;c;eA==\\u{7}\\u{9b}2J\\u{202e}x\\u{a}ERROR forged"), "{text}");
    }

    #[test]
    fn a_line_of_json_reads_the_same_and_steers_nothing() {
        let log = Log::default();
        let writer = log.clone();
        let logs = tracing_subscriber::fmt().json().with_writer(move || JsonFit(writer.clone()));
        tracing::subscriber::with_default(logs.finish(), say);
        let text = log.text();
        assert!(!text.trim_end().contains(steers), "{text:?}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read.pointer("/fields/message").and_then(serde_json::Value::as_str), Some(SAID));
    }
}
