//! Signatures of commits, verified: what a signature is worth by itself, as a fact. Who may sign is judged elsewhere, by
//! pure code ([`planner`]'s `signed`). Nothing here signs, and no program is run.
//!
//! A signature of SSH comes with its key, so it is good or not whoever that is. One of OpenPGP comes with the name of its
//! key alone: it is looked for among the signers.

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Signature as Packet, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{Fingerprint, KeyDetails, KeyId, Tag};
use renderer::revision::{Signature, Signed, SigningKey};
use renderer::signers::{self, Signers};
use renderer::{Platform, Revision, Tool};
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey, SshSig, public::KeyData};

/// Largest signature, in armor. One of RSA with a certificate has 3,000 bytes.
pub(super) const MAX_SIGNATURE_BYTES: usize = 16 << 10;
/// The namespace in which git signs.
const NAMESPACE: &str = "git";
/// A shorter RSA key proves nothing any more.
const MIN_RSA_BITS: u32 = 2048;
/// Signatures in one armor: who has several keys signs with one.
const MAX_SIGNATURES: usize = 1;

/// Verifies the signature of a revision's commit, if somebody has to have signed it.
#[must_use]
pub fn verified(mut revision: Revision, platform: &Platform, tool: &Tool) -> Revision {
    let signature = &mut revision.facts.signature;
    *signature = match (std::mem::take(signature), signers::wanted(platform, tool)) {
        (Signature::Unverified(signed), Some(signers)) => verify(&signed, signers),
        // What nobody asks for is not kept.
        (Signature::Unverified(_), None) => Signature::Unread,
        (known, _) => known,
    };
    revision
}

/// What this signature is worth.
#[must_use]
pub fn verify(signed: &Signed, signers: &Signers) -> Signature {
    let armor = String::from_utf8_lossy(&signed.armor);
    let worth = match armor.trim_start() {
        text if text.starts_with("-----BEGIN SSH SIGNATURE-----") => ssh(text, &signed.payload),
        text if text.starts_with("-----BEGIN PGP SIGNATURE-----") => openpgp(text, &signed.payload, signers),
        text if text.starts_with("-----BEGIN PGP MESSAGE-----") => Err(worthless("it is no detached signature")),
        text if text.starts_with("-----BEGIN SIGNED MESSAGE-----") => {
            Err(worthless("it is one of X.509, and only those of SSH and OpenPGP count"))
        }
        _ => Err(worthless("it is of no kind that git makes")),
    };
    worth.unwrap_or_else(|refused| refused)
}

fn worthless(why: impl Into<String>) -> Signature {
    Signature::Worthless { key: None, why: why.into() }
}

fn worthless_of(key: &str, why: impl Into<String>) -> Signature {
    Signature::Worthless { key: Some(key.to_owned()), why: why.into() }
}

fn ssh(armor: &str, payload: &[u8]) -> Result<Signature, Signature> {
    let signature = SshSig::from_pem(armor).map_err(|_| worthless("it cannot be read"))?;
    let key = signature.public_key();
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let refuse = |why: &str| worthless_of(&fingerprint, why);
    if key.is_certificate() {
        return Err(refuse("it is made with a certificate, and only keys count"));
    }
    match key {
        KeyData::Rsa(rsa) if rsa.key_size() < MIN_RSA_BITS => return Err(refuse("its RSA key is too short")),
        _ if key.is_dsa() => return Err(refuse("DSA signs with SHA-1")),
        _ => {}
    }
    if matches!(signature.algorithm(), Algorithm::Rsa { hash: None }) {
        return Err(refuse("it is made with SHA-1"));
    }
    if signature.namespace() != NAMESPACE {
        return Err(refuse("it was made for another purpose than git"));
    }
    // The namespace once more, and that it is this key's.
    let verified = PublicKey::from(key.clone()).verify(NAMESPACE, payload, &signature);
    verified.map_err(|_| refuse("it is not of this commit, or was changed"))?;
    Ok(Signature::Good(SigningKey::Ssh { algorithm: key.algorithm().to_string(), fingerprint }))
}

/// The OpenPGP keys of a text in armor, which may hold several blocks.
///
/// # Errors
/// Why one of them can't be used, as a fragment.
pub(super) fn openpgp_keys(text: &str) -> Result<Vec<SignedPublicKey>, String> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let mut keys = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let block = format!("{BEGIN}{block}");
        let (read, _) = SignedPublicKey::from_string_many(&block).map_err(|error| error.to_string())?;
        for key in read {
            keys.push(key.map_err(|error| error.to_string())?);
        }
    }
    if keys.is_empty() { Err("there is no public key in it".to_owned()) } else { Ok(keys) }
}

fn openpgp(armor: &str, payload: &[u8], signers: &Signers) -> Result<Signature, Signature> {
    let signature = one_signature(armor)?;
    let named = named(&signature).ok_or_else(|| worthless("it does not say whose it is"))?;
    let refuse = |why: &str| worthless_of(&named, why);
    match signature.hash_alg() {
        Some(HashAlgorithm::Md5) => return Err(refuse("it is made with MD5")),
        Some(HashAlgorithm::Sha1) => return Err(refuse("it is made with SHA-1")),
        Some(HashAlgorithm::Ripemd160) => return Err(refuse("it is made with RIPEMD-160")),
        _ => {}
    }
    if signature.typ() != Some(SignatureType::Binary) && signature.typ() != Some(SignatureType::Text) {
        return Err(refuse("it is no signature of data"));
    }
    for key in signers.openpgp().filter_map(|(_, text)| openpgp_keys(text).ok()).flatten() {
        if let Some(found) = signed_by(&key, &signature, payload) {
            let owner = shown(&key.primary_key.fingerprint());
            let valid_before = found.map_err(|why| worthless_of(&owner, why))?;
            let signers = signers.digest();
            return Ok(Signature::Good(SigningKey::OpenPgp { fingerprint: owner, valid_before, signers }));
        }
    }
    Err(Signature::UnknownKey { key: named })
}

fn one_signature(armor: &str) -> Result<Packet, Signature> {
    let unreadable = |_| worthless("it cannot be read");
    let (all, _) = DetachedSignature::from_string_many(armor).map_err(unreadable)?;
    let mut all = all.take(MAX_SIGNATURES + 1).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    match (all.pop(), all.pop()) {
        (Some(only), None) => Ok(only.signature),
        (None, _) => Err(worthless("it cannot be read")),
        (Some(_), Some(_)) => Err(worthless("it is several signatures")),
    }
}

/// The fingerprint of the key that a signature names, or its id.
fn named(signature: &Packet) -> Option<String> {
    let fingerprint = signature.issuer_fingerprint().first().map(|found| shown(found));
    fingerprint.or_else(|| signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase()))
}

fn shown(fingerprint: &Fingerprint) -> String {
    format!("{fingerprint:X}")
}

/// Whether a key made a signature; none where the signature names another. Until when it is valid, or what is wrong.
fn signed_by(key: &SignedPublicKey, signature: &Packet, payload: &[u8]) -> Option<Result<Option<i64>, &'static str>> {
    let is_named = |id: KeyId, fingerprint: Fingerprint| {
        let fingerprints = signature.issuer_fingerprint();
        if fingerprints.is_empty() {
            signature.issuer_key_id().contains(&&id)
        } else {
            fingerprints.contains(&&fingerprint)
        }
    };
    let primary = &key.primary_key;
    if is_named(primary.legacy_key_id(), primary.fingerprint()) {
        let good = signature.verify(primary, payload);
        return Some(good.map_err(|_| NOT_OF_THIS).and_then(|()| primary_valid(key, signature)));
    }
    let subkey = key.public_subkeys.iter().find(|sub| is_named(sub.key.legacy_key_id(), sub.key.fingerprint()))?;
    let good = signature.verify(&subkey.key, payload);
    let bound = good.map_err(|_| NOT_OF_THIS).and_then(|()| subkey_valid(key, subkey, signature));
    let both = bound.and_then(|own| Ok(earliest([own, primary_valid(key, signature)?])));
    Some(both)
}

const NOT_OF_THIS: &str = "it is not of this commit, or was changed";
const REVOKED: &str = "its key is revoked";
const WEAK_KEY: &str = "its key is of a kind that proves nothing any more";

/// The earliest of some ends.
fn earliest(ends: impl IntoIterator<Item = Option<i64>>) -> Option<i64> {
    ends.into_iter().flatten().min()
}

/// A modulus has at least as many bytes as it takes with its exponent, but for ten.
fn is_weak(key: &impl KeyDetails) -> bool {
    match key.algorithm() {
        PublicKeyAlgorithm::RSA | PublicKeyAlgorithm::RSASign => {
            key.public_params().write_len() < MIN_RSA_BITS as usize / 8
        }
        algorithm => matches!(algorithm, PublicKeyAlgorithm::DSA | PublicKeyAlgorithm::Elgamal),
    }
}

/// Until when the owner's key is valid, and with it all below it.
fn primary_valid(key: &SignedPublicKey, signature: &Packet) -> Result<Option<i64>, &'static str> {
    let primary = &key.primary_key;
    if is_weak(primary) {
        return Err(WEAK_KEY);
    }
    // Also one that does not verify: a key that somebody gave up is not argued for.
    if !key.details.revocation_signatures.is_empty() {
        return Err(REVOKED);
    }
    let users = key.details.users.iter().flat_map(|user| user.signatures.iter().map(|packet| (&user.id, packet)));
    // What takes a name back says nothing of the key's end.
    let said = |packet: &Packet| packet.typ() != Some(SignatureType::CertRevocation);
    let certified = users
        .filter(|(_, packet)| said(packet))
        .filter(|(id, packet)| packet.verify_certification(primary, Tag::UserId, id).is_ok());
    let direct = key.details.direct_signatures.iter().filter(|packet| packet.verify_key(primary).is_ok());
    let newest = certified.map(|(_, packet)| packet).chain(direct).max_by_key(|packet| packet.created());
    let end = newest.and_then(|packet| end(primary.created_at().as_secs(), packet.key_expiration_time()));
    Ok(earliest([end, signature_end(signature)]))
}

fn subkey_valid(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    signature: &Packet,
) -> Result<Option<i64>, &'static str> {
    if is_weak(&subkey.key) {
        return Err(WEAK_KEY);
    }
    if subkey.signatures.iter().any(|packet| packet.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(REVOKED);
    }
    // Anybody can attach a key of theirs to somebody's public key: both have to say that they belong together.
    subkey.verify_bindings(&key.primary_key).map_err(|_| "its key does not belong to the key it stands with")?;
    let newest = subkey.signatures.iter().max_by_key(|packet| packet.created());
    if !newest.is_some_and(|packet| packet.key_flags().sign()) {
        return Err("its key is none that signs");
    }
    let end = newest.and_then(|packet| end(subkey.key.created_at().as_secs(), packet.key_expiration_time()));
    Ok(earliest([end, signature_end(signature)]))
}

/// A signature may end, too.
fn signature_end(signature: &Packet) -> Option<i64> {
    end(signature.created()?.as_secs(), signature.signature_expiration_time())
}

/// So many seconds after a moment; nought is never.
fn end(from: u32, after: Option<pgp::types::Duration>) -> Option<i64> {
    let secs = after?.as_secs();
    (secs > 0).then(|| i64::from(from) + i64::from(secs))
}
