//! Packs that unpack to far more than they are, over http and through gix.

mod git_host;

use git_host::{Fault, Host, Repository, reader, reader_with};
use gix::odb::pack::data::{self, Version, entry::Header};
use gix::zlib::{Compression, stream::deflate};
use reconciler::source::{Git, Settings, SourceError};
use renderer::CommitId;
use std::io::Write as _;
use tempfile::TempDir;

/// A pack in the making, with its checksum at the end.
struct Pack {
    bytes: Vec<u8>,
    offsets: Vec<u64>,
}

impl Pack {
    fn of(objects: u32) -> Self {
        Self { bytes: data::header::encode(Version::V2, objects).to_vec(), offsets: Vec::new() }
    }

    fn entry(&mut self, header: Header, bytes: &[u8]) -> usize {
        self.packed(header, bytes.len(), &deflated(bytes))
    }

    fn packed(&mut self, header: Header, bytes: usize, deflated: &[u8]) -> usize {
        self.offsets.push(self.bytes.len() as u64);
        header.write_to(bytes as u64, &mut self.bytes).expect("memory");
        self.bytes.extend(deflated);
        self.offsets.len() - 1
    }

    /// A delta upon an entry of so many bytes, which copies all of it.
    fn copy(&mut self, base: usize, bytes: usize) -> usize {
        let base_distance = self.bytes.len() as u64 - self.offsets[base];
        let mut delta = [size(bytes), size(bytes)].concat();
        // Copies of 64 KiB, from an offset of four bytes.
        for at in (0..bytes).step_by(1 << 16) {
            delta.push(0x8f);
            delta.extend((at as u32).to_le_bytes());
        }
        self.entry(Header::OfsDelta { base_distance }, &delta)
    }

    fn finish(mut self) -> Vec<u8> {
        let mut hash = gix::hash::hasher(gix::hash::Kind::Sha1);
        hash.update(&self.bytes);
        let id = hash.try_finalize().expect("a hash");
        self.bytes.extend_from_slice(id.as_slice());
        self.bytes
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut deflated = deflate::Write::new(Vec::new(), Compression::BEST);
    deflated.write_all(bytes).expect("memory");
    deflated.flush().expect("memory");
    deflated.into_inner()
}

/// A size before a delta: seven bits a byte, the lowest first.
fn size(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size > 0x7f {
        bytes.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes
}

/// What a server says that sends this pack for this commit.
fn answer(commit: &str, pack: &[u8]) -> Vec<u8> {
    let mut said = format!("0011shallow-info\n0035shallow {commit}\n0001000dpackfile\n").into_bytes();
    for bytes in pack.chunks(60_000) {
        said.extend(format!("{:04x}\x01", bytes.len() + 5).into_bytes());
        said.extend(bytes);
    }
    said.extend(b"0000");
    said
}

/// Fetches a commit from a server that answers with `pack`.
async fn fetched(git: impl Fn(&TempDir, &Host) -> Git, pack: Pack) -> (Result<(), SourceError>, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let tool = Repository::new(folder.path(), "tool");
    let commit = tool.commit(&[("toolforge.yaml", "x")]);
    let host = Host::start(folder.path()).await;
    let said = answer(&commit, &pack.finish());
    host.fault("tool/.git/git-upload-pack", Fault::Body("application/x-git-upload-pack-result", said));
    let commit = CommitId::new(commit).expect("a commit");
    let git = git(&folder, &host);
    let read = git.snapshot(&host.url("tool/.git"), &commit, "").await.map(drop);
    (read, folder)
}

fn small(folder: &TempDir, host: &Host) -> Git {
    let mut settings = Settings::new(folder.path().join("cache"));
    settings.max_unpacked_bytes = 64 << 20;
    reader_with(settings, &[host.port])
}

/// The most memory this process has had, where the system tells it.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

#[tokio::test]
async fn many_objects_of_a_small_pack_end_at_the_limit_of_what_it_unpacks_to() {
    let mut pack = Pack::of(4_000);
    let zeros = deflated(&vec![0; 1 << 20]);
    for _ in 0..4_000 {
        pack.packed(Header::Blob, 1 << 20, &zeros);
    }
    let (read, folder) = fetched(small, pack).await;
    let told = read.expect_err("4 GB of zeros").to_string();
    assert_eq!(told, "the repository's pack, unpacked, is larger than 67108864 bytes");
    assert_eq!(packs(&folder), 0, "nothing is left of it");
}

/// 20 results of 40 MB, each the base of two: git would hold all of them at once.
#[tokio::test]
async fn deltas_that_hold_all_their_bases_end_before_they_are_resolved() {
    const BYTES: usize = 40 << 20;
    let before = peak_bytes();
    let mut pack = Pack::of(41);
    let mut base = pack.entry(Header::Blob, &vec![0; BYTES]);
    for _ in 0..20 {
        // gix takes the last delta upon a base first: the other one waits, and the base with it.
        pack.copy(base, BYTES);
        base = pack.copy(base, BYTES);
    }
    assert!(pack.bytes.len() < 1 << 20, "a bomb is small");
    let (read, folder) = fetched(|folder, host| reader(&folder.path().join("cache"), &[host.port]), pack).await;
    let told = read.expect_err("800 MB at once").to_string();
    assert_eq!(told, "what deltas in the repository's pack build upon is larger than 134217728 bytes");
    assert_eq!(packs(&folder), 0, "nothing is left of it");
    if let (Some(before), Some(after)) = (before, peak_bytes()) {
        assert!(after - before.min(after) < 300 << 20, "{before} and then {after}");
    }
}

/// The same results in a row are held by two, and gix resolves them.
#[tokio::test]
async fn a_chain_of_deltas_within_the_limits_is_resolved() {
    const BYTES: usize = 1 << 20;
    let mut pack = Pack::of(21);
    let mut base = pack.entry(Header::Blob, &vec![0; BYTES]);
    for _ in 0..20 {
        base = pack.copy(base, BYTES);
    }
    let (read, _folder) = fetched(small, pack).await;
    let told = read.expect_err("no commit in it").to_string();
    assert!(told.contains("is missing"), "the pack was taken, and the commit is not in it: {told}");
}

fn packs(folder: &TempDir) -> usize {
    let mut open = vec![folder.path().join("cache")];
    let mut found = 0;
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            found += usize::from(path.is_file());
            open.extend(path.is_dir().then_some(path));
        }
    }
    found
}
