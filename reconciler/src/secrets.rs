//! Where encrypted values are opened, and nowhere else.
//!
//! ```text
//! toolforge.secrets.yaml ──Vault::opened──▶ tags ──render, plan──▶ a Secret of ciphertexts ──Vault::fill──▶ the cluster
//! ```
//! [`cipher`] is the door to the `age` crate; the [`Vault`] holds the platform's keys and says what a file's values are
//! worth, by tags that give nothing away; a value itself comes into being when its Secret is sent, and for the [`Mask`]
//! that takes a tool's values out of what passes through us.

pub mod cipher;
pub mod deploy_keys;
mod keys;
mod known;
mod mask;
#[cfg(test)]
mod redacted;
mod sources;
mod vault;

pub use cipher::{Identities, Recipients};
pub use keys::{HMAC, IDENTITIES, Keys, KeysError, NoKeys};
pub use known::values_in_namespace;
pub use mask::{LEAST_BYTES, MASK, Mask, Masking, TooLarge, masked};
pub use vault::{Unfilled, Vault};
