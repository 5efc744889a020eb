//! How fast known values are taken out of a stream, and what it costs to open what 3,000 tools keep encrypted.
//!
//! ```text
//! cargo bench -p tests --bench secrets
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use reconciler::secrets::{Identities, Keys, Mask, Masking, Recipients, Vault};
use renderer::diagnostic::Place;
use renderer::secrets::{Record, SecretsFile, Standing};
use renderer::{Secret, ToolName};
use std::collections::BTreeSet;
use std::time::Instant;

const TOOLS: usize = 3_000;
const VALUES: usize = 5;
const CHUNK_BYTES: usize = 16 << 10;
const STREAM_BYTES: usize = 256 << 20;

fn main() -> anyhow::Result<()> {
    println!("{:<52} {:>12}", "what", "figure");
    for (name, every) in [("no value in it", 0), ("a value in each 100th line", 100), ("a value in each line", 1)] {
        println!("{:<52} {:>7.0} MB/s", format!("masking, {VALUES} values, {name}"), masking(every));
    }
    opening()
}

/// Megabytes a second through one core.
fn masking(every: usize) -> f64 {
    let values: Vec<Secret> = (0..VALUES).map(|n| Secret::new(format!("s3cret-{n}-Zm9vYmFyYmF6cXV4"))).collect();
    let mask = Mask::new(&values).expect("small values");
    let mut text = String::new();
    for line in 0.. {
        let value = if every > 0 && line % every == 0 { values[line % VALUES].reveal() } else { "-" };
        text.push_str(&format!("2026-01-01T00:00:00Z INFO request {line} GET /wiki/Main_Page 200 {value} 12 ms\n"));
        if text.len() > 4 << 20 {
            break;
        }
    }
    let begun = Instant::now();
    let (mut masking, mut passed, mut came) = (Masking::new(&mask), 0, 0);
    while passed < STREAM_BYTES {
        for chunk in text.as_bytes().chunks(CHUNK_BYTES) {
            passed += chunk.len();
            came += masking.feed(chunk).len();
        }
    }
    came += masking.end().len();
    assert!(came <= passed + passed / 10, "what comes out is about as long as what went in");
    passed as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

fn opening() -> anyhow::Result<()> {
    let identities = Identities::generate();
    let public = identities.public();
    let recipients = Recipients::read(public.iter().map(String::as_str))?;
    let (joined, mut files) = (BTreeSet::new(), Vec::new());
    let begun = Instant::now();
    for n in 0..TOOLS {
        let tool = ToolName::new(format!("tool-{n}"))?;
        files.push((tool.clone(), file(&recipients, &tool)?));
    }
    let sealed = begun.elapsed();
    let vault = Vault::new("tools", Ok(Keys::new(identities, Secret::new("k".repeat(64)))));
    let open_all = || files.iter().for_each(|(tool, file)| drop(vault.opened(tool, &joined, Some(file))));
    let begun = Instant::now();
    open_all();
    let first = begun.elapsed();
    let begun = Instant::now();
    open_all();
    let again = begun.elapsed();
    assert_eq!(vault.decrypted(), (TOOLS * VALUES) as u64, "the second time nothing is opened");
    let row = |name: &str, figure: String| {
        println!("{:<52} {figure:>12}", format!("{TOOLS} tools x {VALUES} values, {name}"))
    };
    row("encrypted", format!("{:.2} s", sealed.as_secs_f64()));
    row("opened at a start", format!("{:.2} s", first.as_secs_f64()));
    row("asked for again", format!("{:.3} s", again.as_secs_f64()));
    row("one value", format!("{:.0} us", first.as_secs_f64() * 1e6 / (TOOLS * VALUES) as f64));
    Ok(())
}

fn file(recipients: &Recipients, tool: &ToolName) -> anyhow::Result<Vec<u8>> {
    let mut file = SecretsFile { platform: "tools".to_owned(), ..SecretsFile::default() };
    for n in 0..VALUES {
        let (platform, tools, key) = ("tools".to_owned(), vec![tool.to_string()], format!("VALUE_{n}"));
        let record = Record { platform, tools, key: key.clone(), value: Secret::new(format!("value {n} of {tool}")) };
        let sealed = Ok(recipients.seal(&record)?);
        file.values.insert(key, Standing { place: Place { line: 1, column: 1, width: 1 }, sealed });
    }
    Ok(file.to_yaml().into_bytes())
}
