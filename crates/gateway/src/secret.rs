//! Secrets in memory.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// A secret: shown nowhere, wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Take a text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// `bytes` random ones, in characters that need no quoting anywhere; nothing where the system gives no randomness.
    pub fn random(bytes: usize) -> Option<Self> {
        let mut random = Zeroizing::new(vec![0; bytes]);
        SystemRandom::new().fill(&mut random).ok()?;
        Some(Self::new(URL_SAFE_NO_PAD.encode(&*random)))
    }

    /// The secret itself, for the one who must use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
