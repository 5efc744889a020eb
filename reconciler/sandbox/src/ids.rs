//! Names and uids that nobody may guess twice: the one place of randomness in the core, seeded from outside.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A source of uids and suffixes. The same seed gives the same ids.
#[derive(Debug)]
pub struct Ids(StdRng);

/// The letters of generated names: no vowels, so that no words arise.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Ids {
    /// A source that starts from this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A version 4 UUID.
    pub fn uid(&mut self) -> String {
        let mut bytes: [u8; 16] = self.0.random();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        parts.join("-")
    }

    /// Five letters, as the server appends to a `generateName`.
    pub fn suffix(&mut self) -> String {
        let mut letter = || char::from(LETTERS[self.0.random_range(0..LETTERS.len())]);
        (0..5).map(|_| letter()).collect()
    }
}

/// A short name made of a text's hash in the same letters, as Deployments name their ReplicaSets.
#[must_use]
pub fn hashed(text: &[u8]) -> String {
    let mut rest = fnv1a(text);
    let letters = LETTERS.len() as u64;
    let mut letter = || {
        let at = usize::try_from(rest % letters).unwrap_or(0);
        rest /= letters;
        char::from(LETTERS[at])
    };
    (0..10).map(|_| letter()).collect()
}

/// FNV-1a, 64 bits: tells texts apart and finds torn records; it is no protection against anybody.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_of_different_ids() {
        let ids = |seed| {
            let mut ids = Ids::seeded(seed);
            (ids.uid(), ids.uid(), ids.suffix())
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1).0, ids(2).0);
        assert_ne!(ids(1).0, ids(1).1);
        assert_eq!(ids(1).0.len(), 36);
    }
}
