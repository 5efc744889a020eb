//! A certificate that lives as long as the listener: kubectl sends its token over TLS only.
//!
//! It is signed by its own key, names loopback and nothing else, and its key never leaves the process. The kubeconfig
//! carries it, so that kubectl talks to this server and no other. X.509 is written out here because all there is to say
//! fits on a page.

use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

/// A certificate and its key, in DER.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate.
    pub der: Vec<u8>,
    /// Its key in PKCS #8.
    pub key: Vec<u8>,
}

const OID_COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const OID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

impl Certificate {
    /// A new certificate for 127.0.0.1, ::1 and localhost, with a new key.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn for_loopback() -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random)
            .map_err(|_rejected| Unspecified)?;
        let body = to_be_signed(pair.public_key().as_ref());
        let signature = pair.sign(&random, &body)?;
        let der = der(SEQUENCE, &[&body, &algorithm(), &bits(signature.as_ref())]);
        Ok(Self { der, key: key.as_ref().to_vec() })
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let text = crate::normal::base64(&self.der);
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..(at + 64).min(text.len())]).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }
}

fn to_be_signed(public_key: &[u8]) -> Vec<u8> {
    let name = der(
        SEQUENCE,
        &[&der(SET, &[&der(SEQUENCE, &[&oid(OID_COMMON_NAME), &der(UTF8_STRING, &[b"toolforge sandbox"])])])],
    );
    // The listener ends long before; a short life would only make its kubeconfig fail on machines with a wrong clock.
    let validity = der(SEQUENCE, &[&der(UTC_TIME, &[b"200101000000Z"]), &der(GENERALIZED_TIME, &[b"99991231235959Z"])]);
    let key = der(SEQUENCE, &[&der(SEQUENCE, &[&oid(OID_EC_PUBLIC_KEY), &oid(OID_P256)]), &bits(public_key)]);
    let mut v6 = [0; 16];
    v6[15] = 1;
    let names = der(SEQUENCE, &[&der(0x87, &[&[127, 0, 0, 1]]), &der(0x87, &[&v6]), &der(0x82, &[b"localhost"])]);
    let names = der(SEQUENCE, &[&oid(OID_SUBJECT_ALT_NAME), &der(OCTET_STRING, &[&names])]);
    let version = der(0xa0, &[&der(INTEGER, &[&[2]])]);
    let serial = der(INTEGER, &[&[1]]);
    let extensions = der(0xa3, &[&der(SEQUENCE, &[&names])]);
    der(SEQUENCE, &[&version, &serial, &algorithm(), &name, &validity, &name, &key, &extensions])
}

fn algorithm() -> Vec<u8> {
    der(SEQUENCE, &[&oid(OID_ECDSA_SHA256)])
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    der(OBJECT_ID, &[bytes])
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    der(BIT_STRING, &[&[0], bytes])
}

/// Tag, length, content. Nothing here is longer than 64 KiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [.., high, low] = content.len().to_be_bytes();
    let mut out = match content.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend(content);
    out
}
