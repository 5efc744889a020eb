//! An object's JSON as it is kept: deflated, with another object of its kind as the dictionary.
//!
//! Objects of a kind are alike to the word: what a server writes into a Deployment of one tool (above all
//! `managedFields`, which drift needs and nobody may drop) stands in every other one too. Against a dictionary of one
//! such object 6,000 bytes become about 200, against none 1,700 (docs/adr/0012). Objects are unpacked in the pass of
//! their tool, and where an event says that one has changed: both happen only when something did.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

/// Of a dictionary more is not read: the window of deflate.
const WINDOW_BYTES: usize = 32 << 10;
/// Window bits of [`WINDOW_BYTES`].
const WINDOW_BITS: u8 = 15;
const LEVEL: i32 = 6;

/// The bytes of a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// As they came.
    Plain(Box<[u8]>),
    /// Deflated.
    Packed {
        bytes: Box<[u8]>,
        /// Length before.
        length: u32,
        dictionary: Arc<[u8]>,
    },
}

impl Default for Text {
    fn default() -> Self {
        Self::Plain(Box::default())
    }
}

impl Text {
    /// The bytes as they came. Of bytes that can't be unpacked, which would be a defect of ours, none: they are then no
    /// JSON to anybody, and nobody takes them for an object.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Plain(bytes) => Cow::Borrowed(bytes),
            Self::Packed { bytes, length, dictionary } => {
                Cow::Owned(unpack(bytes, *length as usize, dictionary).unwrap_or_default())
            }
        }
    }

    /// Bytes kept, without the dictionary that many share.
    pub(super) fn kept_bytes(&self) -> usize {
        match self {
            Self::Plain(bytes) | Self::Packed { bytes, .. } => bytes.len(),
        }
    }
}

/// Packs the texts of one kind.
#[derive(Debug, Default)]
pub(super) struct Packer {
    /// The last text that was much longer than any before: the first object of a kind may be half empty.
    dictionary: Arc<[u8]>,
}

impl Packer {
    /// The same text, packed where that saves anything.
    pub(super) fn pack(&mut self, text: Text) -> Text {
        let Text::Plain(plain) = &text else { return text };
        let packed = pack(plain, &self.dictionary).zip(u32::try_from(plain.len()).ok());
        let dictionary = self.dictionary.clone();
        if plain.len() > 2 * self.dictionary.len() && self.dictionary.len() < WINDOW_BYTES {
            self.dictionary = plain.get(plain.len().saturating_sub(WINDOW_BYTES)..).unwrap_or_default().into();
        }
        match packed {
            Some((bytes, length)) => Text::Packed { bytes, length, dictionary },
            None => text,
        }
    }
}

thread_local! {
    /// Scratch space of 300 KiB, worth keeping; nothing in it outlives a call.
    static SCRATCH: RefCell<(Deflate, Inflate)> =
        RefCell::new((Deflate::new(LEVEL, false, WINDOW_BITS), Inflate::new(false, WINDOW_BITS)));
}

/// None where it would not become shorter.
fn pack(plain: &[u8], dictionary: &[u8]) -> Option<Box<[u8]>> {
    SCRATCH.with_borrow_mut(|(deflate, _)| {
        deflate.reset();
        if !dictionary.is_empty() {
            deflate.set_dictionary(dictionary).ok()?;
        }
        let mut packed = vec![0; plain.len()];
        let ended = deflate.compress(plain, &mut packed, DeflateFlush::Finish).ok()?;
        let length = usize::try_from(deflate.total_out()).ok()?;
        (ended == Status::StreamEnd).then(|| packed.get(..length).map(Box::from))?
    })
}

fn unpack(packed: &[u8], length: usize, dictionary: &[u8]) -> Option<Vec<u8>> {
    SCRATCH.with_borrow_mut(|(_, inflate)| {
        inflate.reset(false);
        if !dictionary.is_empty() {
            inflate.set_dictionary(dictionary).ok()?;
        }
        let mut plain = vec![0; length];
        let ended = inflate.decompress(packed, &mut plain, InflateFlush::Finish).ok()?;
        (ended == Status::StreamEnd).then_some(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(tool: usize, words: usize) -> Vec<u8> {
        let fields: Vec<_> = (0..words).map(|n| json!({format!("f:field{n}"): {"manager": "toolforge"}})).collect();
        let metadata =
            json!({"name": "web", "namespace": format!("tool-{tool}"), "uid": tool * 7919, "managedFields": fields});
        json!({ "metadata": metadata }).to_string().into_bytes()
    }

    fn plain(bytes: &[u8]) -> Text {
        Text::Plain(bytes.into())
    }

    #[test]
    fn what_is_packed_comes_back_byte_for_byte_whichever_dictionary_it_was_packed_with() {
        let mut packer = Packer::default();
        let long = object(3, 5_000);
        let texts = [
            object(0, 1),
            object(1, 40),
            object(2, 40),
            long,
            object(4, 40),
            Vec::new(),
            b"{}".to_vec(),
            vec![b'x'; 1 << 20],
        ];
        let packed: Vec<_> = texts.iter().map(|text| packer.pack(plain(text))).collect();
        for (text, packed) in texts.iter().zip(&packed) {
            assert_eq!(*packed.bytes(), **text);
            assert!(packed.kept_bytes() <= text.len());
            let again = packer.pack(packed.clone());
            assert_eq!(again, *packed, "packed once");
        }
    }

    #[test]
    fn objects_of_a_kind_share_what_is_alike_also_when_the_first_was_half_empty() {
        let mut packer = Packer::default();
        packer.pack(plain(&object(0, 1)));
        packer.pack(plain(&object(1, 60)));
        let text = object(2, 60);
        let kept = packer.pack(plain(&text)).kept_bytes();
        assert!(kept * 20 < text.len(), "{kept} of {}", text.len());
    }

    #[test]
    fn bytes_that_cannot_be_unpacked_are_nobodys_object() {
        let mut packer = Packer::default();
        let Text::Packed { mut bytes, length, dictionary } = packer.pack(plain(&object(0, 60))) else {
            unreachable!("it becomes shorter")
        };
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        assert!(Text::Packed { bytes, length, dictionary }.bytes().is_empty());
    }
}
