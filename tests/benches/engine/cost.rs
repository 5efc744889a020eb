//! What processes cost, from `/proc`: CPU of everything below this program, and memory of one process.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;

/// CPU seconds by the name of a process.
pub type Cpu = BTreeMap<String, f64>;

/// Hundredths of a second, on every Linux.
const TICKS_PER_SEC: f64 = 100.0;

struct Stat {
    pid: u32,
    parent: u32,
    own: f64,
    /// Of children that have ended and were waited for.
    children: f64,
}

/// CPU so far of this program, of the short-lived programs it has waited for (git), and of all processes below it.
pub fn cpu() -> anyhow::Result<Cpu> {
    let this = std::process::id();
    let all: Vec<Stat> = fs::read_dir("/proc")?.filter_map(|entry| stat(entry.ok()?.file_name().to_str()?)).collect();
    let parents: BTreeMap<u32, u32> = all.iter().map(|stat| (stat.pid, stat.parent)).collect();
    let mut found = Cpu::new();
    for stat in &all {
        if stat.pid == this {
            found.insert("this program".to_owned(), stat.own);
            found.insert("git host's git".to_owned(), stat.children);
        } else if std::iter::successors(Some(stat.pid), |pid| parents.get(pid).copied()).any(|pid| pid == this) {
            *found.entry(name(stat.pid)).or_default() += stat.own;
        }
    }
    Ok(found)
}

/// What was used since, most first.
pub fn since(before: &Cpu) -> anyhow::Result<String> {
    let used = cpu()?.into_iter().map(|(name, secs)| (secs - before.get(&name).copied().unwrap_or_default(), name));
    let mut used: Vec<_> = used.filter(|(secs, _)| *secs >= 0.1).collect();
    used.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(used.iter().map(|(secs, name)| format!("{secs:.1} s {name}")).collect::<Vec<_>>().join(", "))
}

/// CPU seconds of one process so far.
pub fn cpu_of(pid: u32) -> anyhow::Result<f64> {
    Ok(stat(&pid.to_string()).with_context(|| format!("process {pid} has ended"))?.own)
}

/// Resident memory of a process, and the most it ever was, in MiB.
pub fn resident_mib(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mib = |key: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(key)).context("a line of it")?;
        anyhow::Ok(value.split_whitespace().next().context("a number")?.parse::<f64>()? / 1024.0)
    };
    Ok((mib("VmRSS:")?, mib("VmHWM:")?))
}

/// None where it is no process, or has just ended.
fn stat(pid: &str) -> Option<Stat> {
    let pid = pid.parse().ok()?;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have blanks and brackets of its own.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let secs = |user: usize| Some((ticks(user)? + ticks(user + 1)?) / TICKS_PER_SEC);
    Some(Stat { pid, parent: fields.get(1)?.parse().ok()?, own: secs(11)?, children: secs(13)? })
}

/// The program's, or which part of the control plane it is: that is its first argument.
fn name(pid: u32) -> String {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split('\0').map(|word| word.rsplit('/').next().unwrap_or(word));
    match words.next() {
        Some("control-plane") => words.next().unwrap_or_default().to_owned(),
        first => first.unwrap_or_default().to_owned(),
    }
}
