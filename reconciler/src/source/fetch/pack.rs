//! What a pack may cost, measured as it passes by and before gix sees its bytes.
//!
//! gix bounds each allocation, not their sum: a pack of some kilobytes unpacks to gigabytes, and while deltas are
//! resolved, every base with a second delta waiting is kept in memory. So the stream is read here, too, and unpacked
//! into nothing: how many objects, how large each and all of them, and, from the tree of bases, how much gix will hold
//! at once. A pack over a limit ends the fetch before its deltas are resolved.
//!
//! What packs of all repositories together may hold is bounded by a [`Room`]: a large one waits for its turn.

mod room;
mod shape;

pub(in crate::source) use room::{Room, Taken};

use crate::source::SourceError;
use gix::odb::pack::data;
use gix::odb::pack::data::entry::Header;
use gix::zlib::{Decompress, FlushDecompress, Status};
use shape::{Base, Shape};

/// A repository of 500,000 files is no tool; see [`shape::OBJECT_BYTES`].
const MAX_LIST_BYTES: u64 = 100 << 20;
/// One object of a stranger's pack, unpacked. Hosts refuse files this large long before.
pub(in crate::source) const MAX_OBJECT_BYTES: u64 = 128 << 20;
/// Bases that wait for deltas at one time: git makes deltas between files that resemble each other, and they are small.
const MAX_HELD_BYTES: u64 = 128 << 20;
/// git itself builds no longer chains.
const MAX_DEPTH: u32 = 4095;
/// Bytes of one entry's header: a size, and a distance or an id.
const MAX_HEADER_BYTES: usize = 64;
/// Two sizes stand before a delta, of 10 bytes at most.
const DELTA_HEAD_BYTES: usize = 20;

/// Where a pack ends, whatever it says.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Limits {
    /// The list of objects, each with its place in the tree.
    pub list_bytes: u64,
    pub object_bytes: u64,
    /// All objects, and all deltas, unpacked.
    pub unpacked_bytes: u64,
    pub held_bytes: u64,
    pub depth: u32,
}

impl Limits {
    pub(in crate::source) fn new(unpacked_bytes: u64) -> Self {
        Self {
            list_bytes: MAX_LIST_BYTES,
            object_bytes: MAX_OBJECT_BYTES,
            unpacked_bytes,
            held_bytes: MAX_HELD_BYTES,
            depth: MAX_DEPTH,
        }
    }
}

/// Reads a pack as it comes, in pieces of any size.
pub(in crate::source) struct Meter {
    limits: Limits,
    stage: Stage,
    /// A header that has not come whole.
    pending: Vec<u8>,
    /// Where in the pack the next byte stands.
    offset: u64,
    objects_left: u32,
    unpacked_bytes: u64,
    shape: Shape,
    inflate: Decompress,
    scratch: Vec<u8>,
}

enum Stage {
    Pack,
    Entry,
    Data(Open),
    /// The checksum, which gix compares.
    End,
}

/// An entry that is being unpacked.
struct Open {
    at: u64,
    header: Header,
    declared_bytes: u64,
    bytes: u64,
    head: Vec<u8>,
}

impl Meter {
    pub(in crate::source) fn new(limits: Limits) -> Self {
        Self {
            limits,
            stage: Stage::Pack,
            pending: Vec::new(),
            offset: 0,
            objects_left: 0,
            unpacked_bytes: 0,
            shape: Shape::default(),
            inflate: Decompress::default(),
            scratch: vec![0; 32 << 10],
        }
    }

    /// The next bytes of the pack; what follows the last object is not looked at.
    ///
    /// # Errors
    /// A limit that is passed, or what no pack holds.
    pub(in crate::source) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), SourceError> {
        while !bytes.is_empty() && !self.is_whole() {
            let taken = match &self.stage {
                Stage::Data(_) => self.data(bytes)?,
                _ => self.header(bytes[0])?,
            };
            self.offset += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Whether the last object has come.
    pub(in crate::source) fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::End)
    }

    /// What gix will hold at most while it resolves this pack, in bytes.
    pub(in crate::source) fn need_bytes(&self) -> u64 {
        self.shape.need_bytes()
    }

    /// One byte of the pack's or of an entry's header.
    fn header(&mut self, byte: u8) -> Result<usize, SourceError> {
        self.pending.push(byte);
        match self.stage {
            Stage::Pack => self.pack_header()?,
            _ => self.entry_header()?,
        }
        Ok(1)
    }

    fn pack_header(&mut self) -> Result<(), SourceError> {
        let Ok(header) = <&[u8; data::header::SIZE]>::try_from(self.pending.as_slice()) else {
            return Ok(());
        };
        let (_, objects) = data::header::decode(header).map_err(|error| corrupt(&error))?;
        if u64::from(objects) * shape::OBJECT_BYTES > self.limits.list_bytes {
            return Err(too_large("the list of objects in the repository's pack", self.limits.list_bytes));
        }
        self.objects_left = objects;
        self.pending.clear();
        self.next()
    }

    fn entry_header(&mut self) -> Result<(), SourceError> {
        let at = self.offset + 1 - self.pending.len() as u64;
        let hash_bytes = gix::hash::Kind::Sha1.len_in_bytes();
        let entry = match data::Entry::from_read(&mut self.pending.as_slice(), at, hash_bytes) {
            Ok(entry) => entry,
            Err(error)
                if error.kind() == std::io::ErrorKind::UnexpectedEof && self.pending.len() < MAX_HEADER_BYTES =>
            {
                return Ok(());
            }
            Err(error) => return Err(corrupt(&error)),
        };
        self.pending.clear();
        if entry.decompressed_size > self.limits.object_bytes {
            return Err(self.object_too_large());
        }
        self.inflate.reset();
        self.stage = Stage::Data(Open {
            at,
            header: entry.header,
            declared_bytes: entry.decompressed_size,
            bytes: 0,
            head: Vec::new(),
        });
        Ok(())
    }

    /// Unpacks as much as fits into the scratch; says how many bytes that took.
    fn data(&mut self, bytes: &[u8]) -> Result<usize, SourceError> {
        let Stage::Data(open) = &mut self.stage else {
            return Ok(0);
        };
        let before = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(bytes, &mut self.scratch, FlushDecompress::None);
        let status = status.map_err(|error| corrupt(&error))?;
        let taken = (self.inflate.total_in() - before.0) as usize;
        let made = (self.inflate.total_out() - before.1) as usize;
        let room = DELTA_HEAD_BYTES.saturating_sub(open.head.len());
        open.head.extend(self.scratch.iter().take(made.min(room)));
        open.bytes += made as u64;
        let ended = status == Status::StreamEnd;
        if open.bytes > open.declared_bytes || ended && open.bytes < open.declared_bytes {
            return Err(corrupt(&"an object is not as large as it says"));
        }
        if taken == 0 && made == 0 && !ended {
            return Err(corrupt(&"an object cannot be unpacked"));
        }
        self.unpacked(made as u64)?;
        if ended {
            self.close()?;
        }
        Ok(taken)
    }

    /// An entry is whole: a delta says what it makes of its base.
    fn close(&mut self) -> Result<(), SourceError> {
        let Stage::Data(open) = std::mem::replace(&mut self.stage, Stage::Entry) else {
            return Ok(());
        };
        let base = match open.header {
            Header::OfsDelta { base_distance } => Base::At(open.at.saturating_sub(base_distance)),
            Header::RefDelta { .. } => Base::Named,
            Header::Commit | Header::Tree | Header::Blob | Header::Tag => Base::None,
        };
        let mut made_bytes = open.bytes;
        if base != Base::None {
            made_bytes = result_bytes(&open.head).ok_or_else(|| corrupt(&"a delta has no sizes"))?;
            if made_bytes > self.limits.object_bytes {
                return Err(self.object_too_large());
            }
            self.unpacked(made_bytes)?;
        }
        let depth = self.shape.add(open.at, base, made_bytes, open.bytes);
        if depth.ok_or_else(|| corrupt(&"a delta has no base"))? > self.limits.depth {
            return Err(corrupt(&format!("more than {} deltas upon one another", self.limits.depth)));
        }
        self.objects_left -= 1;
        self.next()
    }

    fn next(&mut self) -> Result<(), SourceError> {
        if self.objects_left > 0 {
            self.stage = Stage::Entry;
            return Ok(());
        }
        self.stage = Stage::End;
        if self.shape.held_bytes() > self.limits.held_bytes {
            return Err(too_large("what deltas in the repository's pack build upon", self.limits.held_bytes));
        }
        Ok(())
    }

    fn unpacked(&mut self, bytes: u64) -> Result<(), SourceError> {
        self.unpacked_bytes = self.unpacked_bytes.saturating_add(bytes);
        if self.unpacked_bytes > self.limits.unpacked_bytes {
            return Err(too_large("the repository's pack, unpacked,", self.limits.unpacked_bytes));
        }
        Ok(())
    }

    fn object_too_large(&self) -> SourceError {
        too_large("an object in the repository's pack", self.limits.object_bytes)
    }
}

/// The second of the two sizes before a delta's instructions.
fn result_bytes(head: &[u8]) -> Option<u64> {
    let mut bytes = head.iter();
    let mut size = || {
        let mut size = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = bytes.next()?;
            size |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(size);
            }
        }
        None
    };
    size()?;
    size()
}

fn too_large(what: &str, limit_bytes: u64) -> SourceError {
    SourceError::TooLarge { what: what.to_owned(), limit_bytes }
}

fn corrupt(why: &dyn std::fmt::Display) -> SourceError {
    SourceError::Corrupt { why: format!("the repository's pack cannot be read: {why}") }
}

#[cfg(test)]
mod tests;
