//! Takes known values out of what passes through: as they are, in base64 at any of its three alignments, URL-encoded, and
//! as JSON writes them; of values with several lines also each line. In streams, across the borders of chunks, and without
//! keeping back more than what may be the beginning of a value, so that a followed log does not lag.
//!
//! It hides what a program prints by mistake. A program that wants to print its secrets can write them backwards.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use renderer::Secret;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What stands for a value.
pub const MASK: &str = "***";

/// Stands where words were cut off.
const CUT_OFF: char = '\u{2026}';

/// Shorter values are not hidden: they are words of every log, and give nothing away that could not be guessed.
pub const LEAST_BYTES: usize = 4;
/// Lines of a value that are shorter stand in other texts, too.
const LEAST_LINE_BYTES: usize = 8;
/// Pieces of base64 that are shorter are found everywhere.
const LEAST_BASE64: usize = 6;

/// So many bytes of forms are looked for. 50 values of 16 KiB, all that a tool's file may hold, are ten and more.
const MOST_BYTES: usize = 16 << 20;
/// Beyond this the fastest way of looking takes more memory than its speed is worth: a kilobyte for each byte.
const FAST_BYTES: usize = 64 << 10;

/// The values are too large to be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the values are too large to be searched for")]
pub struct TooLarge;

/// The values of one tool, in every form in which they are looked for.
pub struct Mask {
    /// None where there is nothing to hide.
    finder: Option<AhoCorasick>,
    /// In order.
    forms: Vec<Vec<u8>>,
    longest: usize,
    /// With which bytes one of them begins.
    firsts: [bool; 256],
}

impl Mask {
    /// Of these values.
    ///
    /// # Errors
    /// Where they are too large to be looked for: nobody may take that for having nothing to hide.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Secret>) -> Result<Self, TooLarge> {
        Self::within(usize::MAX, values)
    }

    /// Of these values, for texts of at most so many bytes: no more of a value need be looked for.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn within<'a>(bytes: usize, values: impl IntoIterator<Item = &'a Secret>) -> Result<Self, TooLarge> {
        let (mut forms, mut size) = (BTreeSet::new(), 0);
        for value in values {
            for form in forms_of(value.reveal(), bytes.saturating_add(1)) {
                size += form.len();
                forms.insert(form);
            }
            if size > MOST_BYTES {
                return Err(TooLarge);
            }
        }
        let forms: Vec<Vec<u8>> = forms.into_iter().collect();
        let (mut longest, mut firsts) = (0, [false; 256]);
        for form in &forms {
            longest = longest.max(form.len());
            form.first().into_iter().for_each(|first| firsts[usize::from(*first)] = true);
        }
        if forms.is_empty() {
            return Ok(Self { finder: None, forms, longest, firsts });
        }
        let kind = (size > FAST_BYTES).then_some(AhoCorasickKind::ContiguousNFA);
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).kind(kind).build(&forms);
        Ok(Self { finder: Some(finder.map_err(|_| TooLarge)?), forms, longest, firsts })
    }

    /// How many bytes at the end are the longest beginning, but not all, of a form.
    fn begun(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        let begins = |at: &usize| self.firsts[usize::from(bytes[*at])] && self.is_beginning(&bytes[*at..]);
        (from..bytes.len()).find(begins).map_or(0, |at| bytes.len() - at)
    }

    /// Those that begin so follow each other; the first of them may be the very same, which is whole.
    fn is_beginning(&self, bytes: &[u8]) -> bool {
        let first = self.forms.partition_point(|form| form.as_slice() < bytes);
        self.forms[first..].iter().take(2).any(|form| form.len() > bytes.len() && form.starts_with(bytes))
    }

    /// Nothing is hidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// A text that is whole.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.finder {
            Some(finder) if finder.is_match(text) => {
                let mut masking = Masking::new(self);
                let mut out = masking.feed(text.as_bytes());
                out.extend(masking.end());
                Cow::Owned(String::from_utf8_lossy(&out).into_owned())
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// The words of others, who may have been cut off at `…`: what begins like a value there is hidden, too.
    #[must_use]
    pub fn words<'a>(&self, words: &'a str) -> Cow<'a, str> {
        let masked = self.text(words);
        if self.is_empty() || !masked.contains(CUT_OFF) {
            return masked;
        }
        let mut pieces = masked.split(CUT_OFF).map(|piece| self.without_beginning(piece)).collect::<Vec<_>>();
        // Behind the last one nothing is cut off.
        if let (Some(last), Some(end)) = (pieces.last_mut(), masked.split(CUT_OFF).next_back()) {
            *last = Cow::Borrowed(end);
        }
        Cow::Owned(pieces.join("\u{2026}"))
    }

    fn without_beginning<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let begun = self.begun(text.as_bytes());
        match text.get(..text.len() - begun) {
            Some(before) if begun >= LEAST_BYTES => Cow::Owned(format!("{before}{MASK}")),
            _ => Cow::Borrowed(text),
        }
    }
}

/// Every form of a value and of its lines, of which no more than so many bytes matter.
fn forms_of(value: &str, most: usize) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= LEAST_LINE_BYTES);
    // Where words are shown on one line, what is no character stands as a blank.
    let flat = value.trim().replace(char::is_control, " ");
    let texts: BTreeSet<&str> = lines.chain([value, value.trim(), &flat]).collect();
    for text in texts.into_iter().filter(|text| text.len() >= LEAST_BYTES) {
        let text = &text[..text.floor_char_boundary(most.saturating_add(3).min(text.len()))];
        forms.push(text.as_bytes().to_vec());
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.extend((0..3).filter_map(|shift| base64_core(engine, text, shift)));
        }
        forms.extend([("%20", true), ("+", true), ("%20", false), ("+", false)].map(|how| url_encoded(text, how)));
        let json = serde_json::Value::from(text).to_string();
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    forms.retain(|form| form.len() >= LEAST_BYTES);
    forms
}

/// The characters of base64 that depend on nothing but this text, where `shift` bytes stand before it in a group of three.
fn base64_core(engine: &impl base64::Engine, text: &str, shift: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; shift];
    bytes.extend(text.as_bytes());
    let encoded = engine.encode(&bytes).into_bytes();
    // Six bits a character: the first that holds none of the shifted bits, and the last that holds none of what follows.
    let (first, after) = ((shift * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded.get(first..after).filter(|core| core.len() >= LEAST_BASE64).map(<[u8]>::to_vec)
}

/// With this for a blank, and digits in upper or lower case.
fn url_encoded(text: &str, (blank, upper): (&str, bool)) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            b' ' => out.extend(blank.bytes()),
            _ if upper => out.extend(format!("%{byte:02X}").into_bytes()),
            _ => out.extend(format!("%{byte:02x}").into_bytes()),
        }
    }
    out
}

/// One stream on its way through a [`Mask`].
pub struct Masking<'a> {
    mask: &'a Mask,
    kept: Vec<u8>,
    /// So many bytes of `kept` belong to a value that is hidden already.
    hidden: usize,
}

impl<'a> Masking<'a> {
    /// At its beginning.
    #[must_use]
    pub fn new(mask: &'a Mask) -> Self {
        Self { mask, kept: Vec::new(), hidden: 0 }
    }

    /// What may go on of all that came up to here.
    pub fn feed(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.kept.extend_from_slice(chunk);
        self.pass(self.kept.len() - self.mask.begun(&self.kept))
    }

    /// What was kept back: nothing more comes.
    pub fn end(&mut self) -> Vec<u8> {
        self.pass(self.kept.len())
    }

    /// No value that is not whole yet begins before `safe`.
    fn pass(&mut self, safe: usize) -> Vec<u8> {
        let Some(finder) = &self.mask.finder else { return std::mem::take(&mut self.kept) };
        let (mut out, mut told, mut at) = (Vec::with_capacity(self.kept.len()), self.hidden, 0);
        while let Some(found) = finder.find(Input::new(&self.kept).range(at..)).filter(|found| found.start() < safe) {
            // Where two values overlap, both are hidden as one.
            if found.start() >= told {
                out.extend_from_slice(&self.kept[told..found.start()]);
                out.extend_from_slice(MASK.as_bytes());
            }
            told = told.max(found.end());
            // What begins within it and ends there, too, is hidden already.
            at = found.end() - self.mask.begun(&self.kept[found.start() + 1..found.end()]);
        }
        if told < safe {
            out.extend_from_slice(&self.kept[told..safe]);
            told = safe;
        }
        self.kept.drain(..safe);
        self.hidden = told - safe;
        out
    }
}

/// A stream of bytes without the values.
pub fn masked<E>(mask: &Mask, bytes: impl Stream<Item = Result<Bytes, E>>) -> impl Stream<Item = Result<Bytes, E>> {
    let mut masking = Masking::new(mask);
    let end = stream::once(std::future::ready(None));
    bytes.map(Some).chain(end).map(move |piece| match piece {
        Some(Ok(piece)) => Ok(Bytes::from(masking.feed(&piece))),
        Some(Err(error)) => Err(error),
        None => Ok(Bytes::from(masking.end())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn mask(values: &[&str]) -> Mask {
        Mask::new(&values.iter().map(|value| Secret::new(*value)).collect::<Vec<_>>()).expect("small values")
    }

    #[test]
    fn what_is_too_large_is_told_and_of_what_is_long_only_as_much_matters_as_a_text_can_have() {
        let large = [Secret::new("x".repeat(4 << 20))];
        assert_eq!(Mask::new(&large).err(), Some(TooLarge));
        let key = format!("{}\n{}\n", "A".repeat(1 << 20), "the second line");
        let values = [Secret::new(key), Secret::new("pass12\n"), Secret::new("with a\ttab")];
        let mask = Mask::within(1_000, &values).expect("no more than fits");
        assert_eq!(mask.text("log: the second line, pass12, with a tab"), "log: ***, ***, ***");
        assert_eq!(mask.words(&format!("log: {}\u{2026}", "A".repeat(900))), "log: ***\u{2026}");
    }

    /// Through borders at every place.
    fn streamed(mask: &Mask, text: &[u8], size: usize) -> Vec<u8> {
        let mut masking = Masking::new(mask);
        let mut out: Vec<u8> = text.chunks(size).flat_map(|chunk| masking.feed(chunk)).collect();
        out.extend(masking.end());
        out
    }

    #[test]
    fn a_value_is_hidden_in_every_form_and_across_every_border() {
        let value = "p\u{e4}ss w/rd+\"42\"?";
        let mask = mask(&[value, "second-value"]);
        let base64 = |before: &str| STANDARD.encode(format!("{before}{value}:and more"));
        let encoded = |how| String::from_utf8(url_encoded(value, how)).expect("ASCII");
        for text in [
            format!("it is {value}!"),
            format!("Authorization: Basic {}", STANDARD.encode(value)),
            format!("a {} b", base64("u:")),
            format!("a {} b", base64("us:")),
            format!("a {} b", base64("use:")),
            format!("a {} b", URL_SAFE_NO_PAD.encode(value)),
            format!("?q={}&x=1", encoded(("+", true))),
            format!("?q={}&x=1", encoded(("+", false))),
            format!("?q={}&x=1", encoded(("%20", true))),
            serde_json::Value::from(value).to_string(),
            format!("second-value{value}second-value"),
        ] {
            let whole = mask.text(&text).into_owned();
            assert!(whole.contains(MASK), "{text}");
            for size in 1..=text.len() {
                let out = streamed(&mask, text.as_bytes(), size);
                assert_eq!(String::from_utf8_lossy(&out), whole, "{text} in chunks of {size}");
            }
            let (alone, core) = (STANDARD.encode(value), encoded(("%20", true)));
            let leaks = [value, &alone[4..16], &core[..12], "second"];
            assert!(leaks.iter().all(|leak| !whole.contains(leak)), "{whole}");
        }
    }

    #[test]
    fn overlapping_values_are_hidden_as_one_and_what_only_begins_like_one_stays() {
        let mask = mask(&["abcdef", "cdefgh", "aaaaaa"]);
        for (text, masked) in [
            ("xabcdefghx", "x***x"),
            ("abcdeX", "abcdeX"),
            ("abcde", "abcde"),
            ("aaaaaaaaaaaaX", "***X"),
            ("abcdefabcdef", "******"),
            ("", ""),
        ] {
            assert_eq!(mask.text(text), masked);
            for size in 1..=text.len() {
                assert_eq!(
                    String::from_utf8_lossy(&streamed(&mask, text.as_bytes(), size)),
                    masked,
                    "{text} by {size}"
                );
            }
        }
    }

    #[test]
    fn every_text_of_two_letters_is_masked_as_by_marking_what_is_part_of_a_value() {
        let values = ["abaa", "aabab", "bbbb", "ababab"];
        let mask = mask(&values);
        let marked = |text: &str| {
            let (mut out, mut told) = (String::new(), 0);
            for at in 0..=text.len() {
                let longest =
                    values.iter().filter(|value| text[at..].starts_with(**value)).map(|value| value.len()).max();
                if let Some(longest) = longest {
                    out.push_str(if at >= told { MASK } else { "" });
                    told = told.max(at + longest);
                }
                out.push_str(if at >= told { text.get(at..=at).unwrap_or_default() } else { "" });
            }
            out
        };
        for number in 0..1_u32 << 12 {
            let text: String = (0..12).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'b' }).collect();
            let expected = marked(&text);
            for size in [1, 5, 12] {
                let out = streamed(&mask, text.as_bytes(), size);
                assert_eq!(String::from_utf8_lossy(&out), expected, "{text} in chunks of {size}");
            }
        }
    }

    #[test]
    fn what_is_left_of_a_value_that_was_cut_off_is_hidden() {
        let mask = mask(&["hunter2-hunter2"]);
        for (said, told) in [
            ("last words: hunter2-hun\u{2026}", "last words: ***\u{2026}"),
            ("a hunter2-hunter2 b hunt\u{2026}; c hunter\u{2026} d", "a *** b ***\u{2026}; c ***\u{2026} d"),
            ("it ends with hunter2", "it ends with hunter2"),
            ("a hun\u{2026}", "a hun\u{2026}"),
        ] {
            assert_eq!(mask.words(said), told);
        }
    }

    #[test]
    fn a_line_that_ends_goes_on_at_once() {
        let mask = mask(&["hunter2-hunter2"]);
        let mut masking = Masking::new(&mask);
        assert_eq!(masking.feed(b"a line\n"), b"a line\n");
        assert_eq!(masking.feed(b"a line that ends with hunter2"), b"a line that ends with ");
        assert_eq!(masking.feed(b"\n"), b"hunter2\n");
    }

    #[tokio::test]
    async fn a_stream_goes_on_without_the_values_and_with_its_error() {
        let mask = mask(&["hunter2-hunter2"]);
        let pieces = [Ok("a hunt"), Ok("er2-hunter2 b\nhunter2-"), Err("broke off")];
        let bytes = stream::iter(pieces.map(|piece| piece.map(|text: &'static str| Bytes::from(text))));
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        for piece in masked(&mask, bytes).collect::<Vec<_>>().await {
            match piece {
                Ok(piece) => out.extend(piece),
                Err(error) => errors.push(error),
            }
        }
        assert_eq!(
            (String::from_utf8_lossy(&out).as_ref(), errors.as_slice()),
            ("a *** b\nhunter2-", &["broke off"][..])
        );
    }

    #[test]
    fn each_line_of_a_key_is_hidden_and_short_values_are_words() {
        let mask = mask(&["-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----\n", "yes"]);
        assert_eq!(mask.text("log: MIIEvQIBADAN, yes"), "log: ***, yes");
        assert_eq!(mask.text("x BgkqhkiG9w0B"), "x ***");
    }
}
