use super::*;
use gix::odb::pack::data::Version;
use gix::zlib::{Compression, stream::deflate};
use std::io::Write as _;

const LIMITS: Limits =
    Limits { list_bytes: 200_000, object_bytes: 4 << 20, unpacked_bytes: 16 << 20, held_bytes: 6 << 20, depth: 50 };

/// A pack without its checksum, which the meter does not look at.
struct Pack(Vec<u8>, Vec<u64>);

impl Pack {
    fn of(objects: u32) -> Self {
        Self(data::header::encode(Version::V2, objects).to_vec(), Vec::new())
    }

    fn entry(&mut self, header: Header, declared: u64, bytes: &[u8]) {
        self.1.push(self.0.len() as u64);
        header.write_to(declared, &mut self.0).expect("memory");
        let mut deflated = deflate::Write::new(Vec::new(), Compression::BEST);
        deflated.write_all(bytes).expect("memory");
        deflated.flush().expect("memory");
        self.0.extend(deflated.into_inner());
    }

    fn blob(&mut self, bytes: usize) {
        self.entry(Header::Blob, bytes as u64, &vec![0; bytes]);
    }

    /// A delta upon the entry of this number, from so many bytes to so many.
    fn delta(&mut self, base: usize, from: u64, to: u64) {
        let base_distance = self.0.len() as u64 - self.1[base];
        let delta = [size(from), size(to), vec![0; 100]].concat();
        self.entry(Header::OfsDelta { base_distance }, delta.len() as u64, &delta);
    }
}

fn size(mut size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size > 0x7f {
        bytes.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes
}

/// What the meter says, whatever the pieces that the pack comes in.
fn measured(pack: &Pack) -> Result<u64, String> {
    let whole = fed(&pack.0, pack.0.len());
    for piece in [1, 7, 4096] {
        assert_eq!(fed(&pack.0, piece), whole, "in pieces of {piece}");
    }
    whole
}

fn fed(pack: &[u8], piece: usize) -> Result<u64, String> {
    let mut meter = Meter::new(LIMITS);
    for bytes in pack.chunks(piece) {
        meter.feed(bytes).map_err(|error| error.to_string())?;
    }
    assert!(meter.is_whole(), "the pack has ended");
    meter.feed(&[0; 20]).map_err(|error| error.to_string())?;
    Ok(meter.unpacked_bytes)
}

#[test]
fn an_honest_pack_passes_whatever_its_pieces() {
    let mut pack = Pack::of(4);
    pack.blob(0);
    pack.blob(1_000_000);
    pack.delta(1, 1_000_000, 500);
    pack.entry(Header::RefDelta { base_id: gix::ObjectId::null(gix::hash::Kind::Sha1) }, 4, &[4, 4, 1, 1]);
    let delta = 100 + 3 + 2;
    assert_eq!(measured(&pack), Ok(1_000_000 + delta + 500 + 4 + 4));
    assert_eq!(measured(&Pack::of(0)), Ok(0));
}

#[test]
fn many_small_packed_objects_end_at_the_limit_of_all() {
    let mut pack = Pack::of(100);
    (0..100).for_each(|_| pack.blob(1 << 20));
    assert!(pack.0.len() < 200_000, "a bomb is small");
    assert_eq!(measured(&pack), Err("the repository's pack, unpacked, is larger than 16777216 bytes".to_owned()));
}

#[test]
fn one_object_that_lies_about_its_size_ends_where_it_lies() {
    let mut pack = Pack::of(1);
    pack.entry(Header::Blob, 10, &vec![0; 8 << 20]);
    let lie = "the repository's pack cannot be read: an object is not as large as it says";
    assert_eq!(measured(&pack), Err(lie.to_owned()));
    let mut meter = Meter::new(LIMITS);
    assert!(meter.feed(&pack.0).is_err());
    assert!(meter.inflate.total_out() <= 32 << 10, "the rest is not unpacked");
    let mut pack = Pack::of(1);
    pack.entry(Header::Blob, 10, &[0; 9]);
    assert_eq!(measured(&pack), Err(lie.to_owned()));
}

#[test]
fn an_object_is_bounded_before_it_is_unpacked_and_so_is_what_a_delta_makes() {
    let large = Err("an object in the repository's pack is larger than 4194304 bytes".to_owned());
    let mut pack = Pack::of(1);
    pack.blob((4 << 20) + 1);
    assert_eq!(measured(&pack), large);
    let mut pack = Pack::of(2);
    pack.blob(1);
    pack.delta(0, 1, (4 << 20) + 1);
    assert_eq!(measured(&pack), large);
}

/// Each result is the base of the next and of one more, which is resolved last: all of them are held.
#[test]
fn a_chain_of_deltas_with_branches_ends_at_the_limit_of_what_is_held() {
    let chain = |branches: bool| {
        let mut pack = Pack::of(if branches { 13 } else { 7 });
        pack.blob(1 << 20);
        for n in 0..6 {
            pack.delta(n, 1 << 20, 1 << 20);
        }
        for n in 0..if branches { 6 } else { 0 } {
            pack.delta(n, 1 << 20, 1 << 20);
        }
        measured(&pack)
    };
    assert!(chain(false).is_ok(), "a chain alone is held by two");
    assert!(chain(true).is_ok(), "six are allowed");
    let mut pack = Pack::of(15);
    pack.blob(1 << 20);
    (0..7).for_each(|n| pack.delta(n, 1 << 20, 1 << 20));
    (0..7).for_each(|n| pack.delta(n, 1 << 20, 1));
    let held = "what deltas in the repository's pack build upon is larger than 6291456 bytes";
    assert_eq!(measured(&pack), Err(held.to_owned()));
}

#[test]
fn counts_and_depths_are_bounded() {
    let many = "the list of objects in the repository's pack is larger than 200000 bytes";
    assert_eq!(measured(&Pack::of(1_001)), Err(many.to_owned()));
    let mut pack = Pack::of(52);
    pack.blob(1);
    (0..51).for_each(|n| pack.delta(n, 1, 1));
    let deep = "the repository's pack cannot be read: more than 50 deltas upon one another";
    assert_eq!(measured(&pack), Err(deep.to_owned()));
}

#[test]
fn what_is_no_pack_is_corrupt() {
    for bytes in [&b"PACK\0\0\0\x09\0\0\0\x01"[..], b"HTTP/1.1 200", &[0xff; 200]] {
        assert!(fed(bytes, bytes.len()).is_err());
    }
    let mut pack = Pack::of(1);
    pack.0.extend([0x80; 100]);
    assert!(measured(&pack).is_err(), "a header without end");
    let mut pack = Pack::of(2);
    pack.entry(Header::OfsDelta { base_distance: 3 }, 2, &[1, 1]);
    assert!(measured(&pack).is_err(), "a delta upon nothing");
}
