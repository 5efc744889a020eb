//! Every bound on encrypted values, in one place. What exceeds one is told, never cut.

/// Bytes of the file. It is stored with each revision that was Ready.
pub const FILE_BYTES: usize = 256 * 1024;
/// Values in one file: as many as a tool may declare.
pub const VALUES: usize = 50;
/// Bytes of one value: as many as a variable may have.
pub const VALUE_BYTES: usize = 16 * 1024;
/// Bytes of one ciphertext as it stands in the file: of the longest value, every byte escaped in two, with the longest
/// header, in base64.
pub const CIPHERTEXT_BYTES: usize = 64 * 1024;
/// Recipients of the file.
pub const RECIPIENTS: usize = 20;
/// Recipients of one ciphertext. Trying a key costs an operation on a curve for each, and a file may name them by the
/// thousand.
pub const STANZAS: usize = 24;
/// Tools that one value is meant for.
pub const TOOLS: usize = 8;
/// Bytes of a key's name.
pub const KEY_BYTES: usize = 128;
