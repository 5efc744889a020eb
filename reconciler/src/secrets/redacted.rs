//! Nothing that holds a secret says it where it is formatted, as a panic or an error would: it has no `Debug` to say it
//! with, or one that tells something else. A `Secret` has none, so that what holds one can't be given one by `derive`;
//! what holds a secret in another type is listed here.

use super::deploy_keys::Made;
use super::keys::Stored;
use super::mask::{Mask, Masking};
use super::sources::Source;
use super::{Identities, Keys, Vault};
use crate::dialer::Credentials;
use crate::source::{RepositoryUrl, SshKeys};
use renderer::Secret;
use renderer::secrets::Record;

/// Two implementations where `T` has the trait, one where it has not: then `_` is clear, and this compiles.
macro_rules! lacks {
    ($trait:path: $($type:ty),+) => {$({
        trait Clear<A> { fn told() -> bool { true } }
        impl<T: ?Sized> Clear<()> for T {}
        struct Has;
        impl<T: ?Sized + $trait> Clear<Has> for T {}
        assert!(<$type as Clear<_>>::told());
    })+};
}

#[test]
fn what_holds_a_secret_can_t_be_formatted() {
    lacks!(std::fmt::Debug: Secret, Identities, Keys, Stored, Source, Mask, Masking<'static>, Credentials, Record);
    lacks!(std::fmt::Display: Secret, Identities, Keys, Stored, Source, Mask, Masking<'static>, Credentials, Record);
    lacks!(AsRef<str>: Secret);
    lacks!(std::hash::Hash: Secret);
    lacks!(serde::Serialize: Secret, Identities, Keys, Stored, Source, Mask, Masking<'static>, Credentials, Record, SshKeys, Made, Vault);
}

#[test]
fn what_can_be_formatted_beside_a_secret_tells_nothing_of_it() {
    let keys = SshKeys::generate("toolforge");
    let identities = Identities::generate();
    let identity = identities.one_to_text().expect("an identity");
    let vault = Vault::new("tools", Ok(Keys::new(identities, Secret::new("canary-hmac-0123456789abcdef0123"))));
    vault.keep(vec![Secret::new("canary-own")]);
    let url = RepositoryUrl::parse("https://me:canary-password@git.example/a").expect("an address");
    assert!(url.credentials().is_some());
    let made = Made { keys: keys.clone(), host: Some("git.example".to_owned()) };
    let told = format!("{vault:#?} {url:#?} {url} {keys:#?} {made:#?} {:?}", [Some(&vault)]);
    let text = keys.to_secret();
    let seed = text.reveal().lines().nth(4).expect("five lines and two marks");
    for secret in ["canary", identity.reveal(), seed] {
        assert!(secret.len() > 5 && !told.contains(secret), "{told}");
    }
}
