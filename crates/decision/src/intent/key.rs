//! The task's own key over what is remembered: without it a kept value cannot be guessed at.

use ring::hmac;

use super::siphash::siphash;

/// A task's key for what it remembers.
pub(crate) struct MemoryKey {
    mac: hmac::Key,
    words: (u64, u64),
}

impl std::fmt::Debug for MemoryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryKey")
    }
}

/// The first eight bytes of a tag.
fn first(tag: &hmac::Tag) -> u64 {
    tag.as_ref().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

impl MemoryKey {
    /// Derive it from the task's data key.
    pub(crate) fn new(data_key: &[u8; 32]) -> Self {
        let data = hmac::Key::new(hmac::HMAC_SHA256, data_key);
        let derived = hmac::sign(&data, b"flyball memory v1");
        let mac = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let words = (first(&hmac::sign(&mac, b"words 0")), first(&hmac::sign(&mac, b"words 1")));
        Self { mac, words }
    }

    /// 64 bits that stand for a value in its normal form.
    pub(crate) fn value(&self, code: u8, normal: &str) -> u64 {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(&[code, 0]);
        context.update(normal.as_bytes());
        first(&context.sign())
    }

    /// 64 bits that stand for one folded word.
    pub(crate) fn token(&self, word: &str) -> u64 {
        siphash(self.words, word.as_bytes())
    }

    /// 32 bits that stand for one folded word in a text; never 0, which ends a text.
    pub(crate) fn word(&self, word: &str) -> u32 {
        u32::try_from(self.token(word) & 0xffff_ffff).unwrap_or(1).max(1)
    }

    /// 64 bits that stand for a whole sequence of words.
    pub(crate) fn sequence(&self, words: &[u32]) -> u64 {
        let mut bytes = Vec::with_capacity(words.len() * 4);
        for word in words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        siphash((self.words.1, self.words.0), &bytes)
    }

    /// 64 bits that stand for some bytes.
    pub(crate) fn digest(&self, bytes: &[u8]) -> u64 {
        siphash((self.words.0.rotate_left(32), self.words.1), bytes)
    }

    /// 64 bits that stand for a value's n-th use.
    pub(crate) fn nth(&self, value: u64, nth: u32) -> u64 {
        let mut bytes = [0; 12];
        let (one, other) = bytes.split_at_mut(8);
        one.copy_from_slice(&value.to_le_bytes());
        other.copy_from_slice(&nth.to_le_bytes());
        self.digest(&bytes)
    }

    /// 64 bits that stand for a whole result.
    pub(crate) fn result(&self, canonical: &[u8]) -> u64 {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(b"result\0");
        context.update(canonical);
        first(&context.sign())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_for_itself_under_its_own_key_and_kind() {
        let (one, two) = (MemoryKey::new(&[1; 32]), MemoryKey::new(&[2; 32]));
        assert_eq!(one.value(3, "a"), MemoryKey::new(&[1; 32]).value(3, "a"));
        assert_ne!(one.value(3, "a"), two.value(3, "a"));
        assert_ne!(one.value(3, "a"), one.value(4, "a"));
        assert_ne!(one.value(3, "a"), one.value(3, "b"));
        assert_ne!(one.word("a"), two.word("a"));
        assert_ne!(one.sequence(&[1, 2]), one.sequence(&[2, 1]));
    }
}
