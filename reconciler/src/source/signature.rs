//! Signatures of commits, verified: what a signature is worth by itself, as a fact. Who may sign is judged elsewhere, by
//! pure code ([`planner`]'s `signed`). Nothing here signs, and no program is run.
//!
//! A signature of SSH comes with its key, so it is good or not whoever that is. One of OpenPGP comes with the name of its
//! key alone: it is looked for among the signers.

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature as Packet, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{Fingerprint, KeyDetails, KeyId, PublicParams, Tag};
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
    if is_short(key) {
        return Err(refuse("its RSA key is too short"));
    }
    if key.is_dsa() {
        return Err(refuse("DSA signs with SHA-1"));
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

/// Whether it is a key of RSA that is too short. The crate's own size counts whole bytes.
fn is_short(key: &KeyData) -> bool {
    matches!(key, KeyData::Rsa(rsa) if bits(rsa.n().as_positive_bytes().unwrap_or_default()) < MIN_RSA_BITS)
}

/// The bits of a number, highest byte first.
fn bits(number: &[u8]) -> u32 {
    let Some(first) = number.iter().position(|byte| *byte != 0) else { return 0 };
    let whole = number.len().saturating_sub(first).saturating_mul(8);
    u32::try_from(whole).unwrap_or(u32::MAX).saturating_sub(number[first].leading_zeros())
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

/// What is of a kind, or of a length, that can be forged.
fn is_weak(params: &PublicParams) -> bool {
    match params {
        PublicParams::RSA(_) => modulus(params).is_none_or(|modulus| bits(&modulus) < MIN_RSA_BITS),
        params => matches!(params, PublicParams::DSA(_) | PublicParams::Elgamal(_)),
    }
}

/// The modulus of a key of RSA. It is the first of its two numbers, behind its length in bits (RFC 9580, 5.5.5.1).
fn modulus(params: &PublicParams) -> Option<Vec<u8>> {
    const LENGTH_BYTES: usize = 2;
    let bytes = params.to_bytes().ok()?;
    let (length, numbers) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length_bytes = usize::from(u16::from_be_bytes(*length)).div_ceil(8);
    numbers.get(..length_bytes).map(<[u8]>::to_vec)
}

/// Until when the owner's key is valid, and with it all below it.
fn primary_valid(key: &SignedPublicKey, signature: &Packet) -> Result<Option<i64>, &'static str> {
    let primary = &key.primary_key;
    if is_weak(primary.public_params()) {
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
    if is_weak(subkey.key.public_params()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use pgp::crypto::public_key::PublicKeyAlgorithm;
    use russh::keys::ssh_key::Mpint;
    use russh::keys::ssh_key::public::RsaPublicKey;

    const EXPONENT: [u8; 3] = [1, 0, 1];

    /// An odd number of so many bits.
    fn number(bits: u16) -> Vec<u8> {
        let mut bytes = vec![0xff; usize::from(bits).div_ceil(8)];
        bytes[0] >>= (8 - bits % 8) % 8;
        bytes
    }

    #[test]
    fn the_modulus_alone_says_how_long_a_key_of_rsa_is() {
        for (length, is_refused) in
            [(2047, true), (2048, false), (2049, false), (2041, true), (1985, true), (4096, false)]
        {
            let modulus = number(length);
            let mut wire = length.to_be_bytes().to_vec();
            wire.extend(&modulus);
            wire.extend([0, 17]);
            wire.extend(EXPONENT);
            let params = PublicParams::try_from_reader(PublicKeyAlgorithm::RSA, None, &wire[..]).expect("a key");
            assert_eq!(is_weak(&params), is_refused, "OpenPGP, {length} bits");

            let number = |bytes: &[u8]| Mpint::from_positive_bytes(bytes);
            let key = RsaPublicKey::new(number(&EXPONENT), number(&modulus)).expect("a key");
            assert_eq!(is_short(&KeyData::Rsa(key)), is_refused, "SSH, {length} bits");
        }
        assert_eq!((bits(&[]), bits(&[0, 0]), bits(&[0, 1]), bits(&[1, 0])), (0, 0, 1, 9));
    }
}
