//! Proof of possession for a task token: RFC 9449, section 4.3.
//!
//! The twelve checks, in the order of the section; the code below repeats the numbers.
//!  1 one `DPoP` header (`auth` counts them)      7 the `jwk` holds no private key
//!  2 one well-formed JWT                          8 `htm` is the request's method
//!  3 all claims are there                         9 `htu` is the request's URI, without query and fragment
//!  4 `typ` is `dpop+jwt`                         10 a nonce we gave (we give none; `iat` is held instead)
//!  5 `alg` is asymmetric and one we take         11 `iat` within the window
//!  6 the signature is by `jwk`                   12 `ath` is the token's hash, and the token is bound to `jwk`
//! and then `jti` must be new for this URI.

use std::collections::HashMap;

use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use serde::Deserialize;

use crate::jws::{Alg, Jwk, Jws, sha256_b64};
use crate::uri;

/// How old a proof may be.
const PAST_MS: i64 = 60_000;
/// How far ahead of our clock a proof may be.
const AHEAD_MS: i64 = 5_000;
/// Proofs remembered. Beyond it proofs are refused, not forgotten.
const REMEMBERED: usize = 65_536;

/// Why a proof does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The proof is wrong.
    Proof(&'static str),
    /// Too many proofs are remembered: a fault of ours.
    Busy,
}

/// What a proof is held against.
pub(crate) struct Expected<'r> {
    pub(crate) method: &'r str,
    /// The request's URI, as `uri::normal` makes it.
    pub(crate) uri: &'r str,
    pub(crate) token: &'r str,
    pub(crate) jkt: &'r str,
    pub(crate) wall_ms: i64,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: serde_json::Number,
    ath: String,
}

/// Proofs that were used, until they are too old to be used again.
#[derive(Default)]
pub(crate) struct Used {
    until: Mutex<HashMap<[u8; 32], i64, ahash::RandomState>>,
}

impl Used {
    /// Remember a proof; false where it was used before.
    fn first(&self, proof: [u8; 32], wall_ms: i64) -> Result<bool, Refused> {
        let mut until = self.until.lock();
        if let Some(kept) = until.get(&proof)
            && *kept > wall_ms
        {
            return Ok(false);
        }
        if until.len() >= REMEMBERED {
            until.retain(|_, kept| *kept > wall_ms);
            if until.len() >= REMEMBERED {
                return Err(Refused::Busy);
            }
        }
        until.insert(proof, wall_ms.saturating_add(PAST_MS + AHEAD_MS + 1000));
        Ok(true)
    }
}

/// Verify a proof, and remember it.
pub(crate) fn verify(proof: &str, expected: &Expected<'_>, used: &Used) -> Result<(), Refused> {
    let refuse = |why| Err(Refused::Proof(why));
    // 2, 3
    let Some(jws) = Jws::parse(proof) else { return refuse("the proof is not a JWT") };
    let Ok(header) = serde_json::from_str::<Header>(&jws.header) else {
        return refuse("the proof's header lacks a member");
    };
    let Ok(claims) = serde_json::from_str::<Claims>(&jws.claims) else {
        return refuse("the proof lacks a claim");
    };
    // 4, 5
    if header.typ != "dpop+jwt" || header.crit.is_some() {
        return refuse("the proof is not of type dpop+jwt");
    }
    let Some(alg) = Alg::named(&header.alg) else {
        return refuse("the proof's algorithm is not ES256 or EdDSA");
    };
    // 7, 6
    let Some((key, thumbprint)) = header.jwk.key() else {
        return refuse("the proof's key is not a public key that we take");
    };
    if key.alg != alg || !jws.verify(&key) {
        return refuse("the proof's signature is wrong");
    }
    // 8, 9
    if claims.htm != expected.method {
        return refuse("the proof is for another method");
    }
    if uri::normal(&claims.htu).as_deref() != Some(expected.uri) {
        return refuse("the proof is for another URI");
    }
    // 11. `iat` may have a fraction; its whole seconds are what counts.
    let seconds = claims.iat.as_i64().or_else(|| {
        let whole = claims.iat.to_string();
        whole.split('.').next().and_then(|whole| whole.parse().ok())
    });
    let Some(issued_ms) = seconds.and_then(|seconds: i64| seconds.checked_mul(1000)) else {
        return refuse("the proof's time is no number");
    };
    // `iat` has whole seconds, so a proof may look up to a second older than it is.
    if issued_ms < expected.wall_ms.saturating_sub(PAST_MS) || issued_ms > expected.wall_ms.saturating_add(AHEAD_MS) {
        return refuse("the proof is too old, or from the future");
    }
    // 12
    if claims.ath != sha256_b64(expected.token.as_bytes()) {
        return refuse("the proof is for another token");
    }
    if thumbprint != expected.jkt {
        return refuse("the token is bound to another key");
    }
    // Replay
    if claims.jti.is_empty() || claims.jti.len() > 256 {
        return refuse("the proof's jti is empty or too long");
    }
    let mut digest = Context::new(&SHA256);
    for part in [&thumbprint, expected.uri, &claims.jti] {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut once = [0; 32];
    once.copy_from_slice(digest.finish().as_ref());
    if used.first(once, expected.wall_ms)? { Ok(()) } else { refuse("the proof was used before") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A proof that was forgotten could be shown twice: when no more can be remembered, none counts.
    #[test]
    fn a_full_memory_refuses_and_forgets_only_what_is_too_old() {
        let used = Used::default();
        let proof = |number: usize| {
            let mut proof = [0; 32];
            proof.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
            proof
        };
        for number in 0..REMEMBERED {
            assert_eq!(used.first(proof(number), 0), Ok(true));
        }
        assert_eq!(used.first(proof(REMEMBERED), 0), Err(Refused::Busy));
        assert_eq!(used.first(proof(7), 0), Ok(false));
        assert_eq!(used.first(proof(REMEMBERED), PAST_MS + AHEAD_MS + 1000), Ok(true));
    }
}
