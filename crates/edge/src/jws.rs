//! Compact JWS, read strictly: three parts, no padding, no member twice, no `crit`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;

/// Bytes of a token or proof at most.
pub(crate) const MAX_BYTES: usize = 4096;

/// A compact JWS taken apart; nothing is verified yet.
pub(crate) struct Jws<'t> {
    pub(crate) header: String,
    pub(crate) claims: String,
    signed: &'t [u8],
    signature: Vec<u8>,
}

/// The algorithms we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alg {
    EdDsa,
    Es256,
}

/// A public key in the form that ring verifies with: 32 bytes, or an uncompressed point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) alg: Alg,
    pub(crate) bytes: Vec<u8>,
}

/// A public JWK. Any member that a private or symmetric key has refuses it.
#[derive(Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    crv: String,
    x: String,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    d: Option<Box<RawValue>>,
    #[serde(default)]
    k: Option<Box<RawValue>>,
    #[serde(default)]
    p: Option<Box<RawValue>>,
}

impl<'t> Jws<'t> {
    /// Take a compact JWS apart. None where it is not one.
    pub(crate) fn parse(token: &'t str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        Some(Self {
            header: decoded_object(header)?,
            claims: decoded_object(claims)?,
            signed: signed.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether `key` made the signature.
    pub(crate) fn verify(&self, key: &Key) -> bool {
        match key.alg {
            Alg::EdDsa => UnparsedPublicKey::new(&ED25519, &key.bytes).verify(self.signed, &self.signature).is_ok(),
            Alg::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.bytes)
                .verify(self.signed, &self.signature)
                .is_ok(),
        }
    }
}

fn decoded_object(part: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    (text.starts_with('{') && json::check(&text).is_ok()).then_some(text)
}

impl Alg {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

impl Jwk {
    /// The key, if it is public and of an algorithm we take, and its RFC 7638 thumbprint.
    pub(crate) fn key(&self) -> Option<(Key, String)> {
        if self.d.is_some() || self.k.is_some() || self.p.is_some() {
            return None;
        }
        let x = coordinate(&self.x)?;
        // The members' order and form are those of RFC 7638; both coordinates are canonical base64url.
        match (self.kty.as_str(), self.crv.as_str(), &self.y) {
            ("OKP", "Ed25519", None) => {
                let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x);
                Some((Key { alg: Alg::EdDsa, bytes: x }, sha256_b64(canonical.as_bytes())))
            }
            ("EC", "P-256", Some(y)) => {
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{y}"}}"#, self.x);
                let mut bytes = vec![4];
                bytes.extend(x);
                bytes.extend(coordinate(y)?);
                Some((Key { alg: Alg::Es256, bytes }, sha256_b64(canonical.as_bytes())))
            }
            _ => None,
        }
    }
}

/// 32 bytes in unpadded base64url, in their one spelling.
fn coordinate(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == 32).then_some(bytes)
}

/// Unpadded base64url of a SHA-256.
pub(crate) fn sha256_b64(of: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, of))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_thumbprint_is_rfc_8037s() {
        // RFC 8037, appendix A.3.
        let jwk: Jwk =
            serde_json::from_str(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)
                .unwrap();
        assert_eq!(jwk.key().unwrap().1, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_private_key_is_no_key_to_verify_with() {
        let jwk: Jwk = serde_json::from_str(
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"x"}"#,
        )
        .unwrap();
        assert!(jwk.key().is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_panic(token in "[A-Za-z0-9_.=+ -]{0,80}") {
            let _ = Jws::parse(&token);
        }

        #[test]
        fn any_claims_are_read_without_panic(header in ".{0,20}", claims in ".{0,20}") {
            let token = format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let _ = Jws::parse(&token);
        }
    }
}
