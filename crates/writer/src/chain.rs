//! The hash chain over all records of a store.
//!
//! What may never change: the bytes that go into a hash, and their order. `audit verify` computes
//! the same from the rows alone, in another language.

use ring::digest::{Context, SHA256, digest};

/// The last record that is durable, and the hash that the next one builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sequence number of the last durable record; 0 for an empty store.
    pub seq: u64,
    /// Its hash; the genesis hash for an empty store.
    pub hash: [u8; 32],
}

impl Head {
    /// The head of an empty store: SHA-256 of `flyball-chain-v1`.
    pub fn genesis() -> Self {
        Self { seq: 0, hash: bytes32(digest(&SHA256, b"flyball-chain-v1").as_ref()) }
    }

    /// The head after one more record. `n` is the record's number within its task, 0 without one.
    #[must_use]
    pub fn next(&self, n: u64, task: Option<&str>, body: &[u8], sealed: Option<&[u8]>) -> Self {
        let seq = self.seq.saturating_add(1);
        let task = task.unwrap_or("").as_bytes();
        let mut hash = Context::new(&SHA256);
        hash.update(&self.hash);
        hash.update(&seq.to_be_bytes());
        hash.update(&n.to_be_bytes());
        hash.update(&u32::try_from(task.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(task);
        hash.update(&(body.len() as u64).to_be_bytes());
        hash.update(body);
        match sealed {
            None => hash.update(&[0]),
            Some(sealed) => {
                hash.update(&[1]);
                hash.update(digest(&SHA256, sealed).as_ref());
            }
        }
        Self { seq, hash: bytes32(hash.finish().as_ref()) }
    }
}

/// A SHA-256 output as an array.
fn bytes32(from: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(from) {
        *to = *from;
    }
    out
}
