//! Python's `random.Random(text)`, as far as `randint` needs it: today's Toolforge placed `@daily` and its kin with it,
//! and a tool that moves here keeps its times. Nothing else should use it.
//!
//! MT19937 with `init_by_array`, seeded by the text's UTF-8 bytes followed by their sha512, read as one big-endian
//! number and cut into 32-bit words, lowest first (Python's seed version 2).

use sha2::{Digest, Sha512};

const N: usize = 624;
const M: usize = 397;

/// The generator's state.
pub struct Mersenne {
    state: [u32; N],
    next: usize,
}

impl Mersenne {
    /// `random.seed(text)`.
    pub fn seeded(text: &str) -> Self {
        let mut number = text.as_bytes().to_vec();
        number.extend_from_slice(&Sha512::digest(text.as_bytes()));
        let significant = number.iter().position(|byte| *byte != 0).unwrap_or(number.len() - 1);
        let words: Vec<u32> = number[significant..]
            .rchunks(4)
            .map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
            .collect();
        Self::by_array(&words)
    }

    fn by_words_of(seed: u32) -> Self {
        let mut state = [0; N];
        state[0] = seed;
        for i in 1..N {
            let previous: u32 = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(word(i));
        }
        Self { state, next: N }
    }

    fn by_array(key: &[u32]) -> Self {
        let mut this = Self::by_words_of(19_650_218);
        let state = &mut this.state;
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let previous = state[i - 1];
            let mixed = state[i] ^ (previous ^ (previous >> 30)).wrapping_mul(1_664_525);
            state[i] = mixed.wrapping_add(key[j]).wrapping_add(word(j));
            i = advance(state, i);
            j = (j + 1) % key.len();
        }
        for _ in 0..N - 1 {
            let previous = state[i - 1];
            let mixed = state[i] ^ (previous ^ (previous >> 30)).wrapping_mul(1_566_083_941);
            state[i] = mixed.wrapping_sub(word(i));
            i = advance(state, i);
        }
        state[0] = 0x8000_0000;
        this
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// `random.randint(min, max)`, both ends included.
    pub fn randint(&mut self, min: u32, max: u32) -> u32 {
        let width = max - min + 1;
        let bits = u32::BITS - width.leading_zeros();
        loop {
            let drawn = self.next_u32() >> (u32::BITS - bits);
            if drawn < width {
                return min + drawn;
            }
        }
    }
}

/// The next index of the state's upper part; past the end the last word becomes the first, as in `init_by_array`.
fn advance(state: &mut [u32; N], i: usize) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    state[0] = state[N - 1];
    1
}

/// An index as a word: indices here are below 2^16.
fn word(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
