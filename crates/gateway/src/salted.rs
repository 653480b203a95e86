//! A verifier for protocols that send the secret itself (an HTTP proxy's password).

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// A salted hash. Fast on purpose: a ticket's secret has more bits than anybody can try.
#[derive(Clone)]
pub struct Salted {
    salt: [u8; 16],
    hash: [u8; 32],
}

impl Salted {
    /// Of a secret; nothing where the system gives no randomness.
    pub fn of(secret: &str) -> Option<Self> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).ok()?;
        Some(Self { salt, hash: hash(salt, secret) })
    }

    /// Whether it is this secret, in a time that does not tell how much of it was right.
    pub fn is(&self, secret: &str) -> bool {
        same(&self.hash, &hash(self.salt, secret))
    }
}

impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salted(…)")
    }
}

fn hash(salt: [u8; 16], secret: &str) -> [u8; 32] {
    let all = [&salt[..], secret.as_bytes()].concat();
    digest(&SHA256, &all).as_ref().try_into().unwrap_or_default()
}

fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
