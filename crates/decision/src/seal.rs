//! What stands sealed beside a record, under its task's data key.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

fn aad(task: &str, of: &str) -> Vec<u8> {
    let mut aad = Vec::with_capacity(task.len() + of.len() + 1);
    aad.extend_from_slice(task.as_bytes());
    aad.push(0);
    aad.extend_from_slice(of.as_bytes());
    aad
}

/// Seal under a task's data key: `0x01 ‖ nonce ‖ ciphertext and tag`, bound to the task and to what
/// it is of: a decision's id, or `plan`.
///
/// Epoch and `k` never come again for one key: `k` grows with every decision of the task in this
/// epoch, and no epoch comes twice. Epochs stay below 2^31, so these nonces never meet those of the
/// control plane, whose top bit is set.
pub(crate) fn seal(key: &[u8; 32], epoch: u32, k: u64, task: &str, of: &str, plain: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut nonce = [0_u8; 12];
    let (high, low) = nonce.split_at_mut_checked(4)?;
    high.copy_from_slice(&epoch.to_be_bytes());
    low.copy_from_slice(&k.to_be_bytes());
    let mut out = Vec::with_capacity(1 + 12 + plain.len() + 16);
    out.push(1);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad(task, of)), out.get_mut(13..)?)
        .ok()?;
    out.extend_from_slice(tag.as_ref());
    Some(out)
}

/// What [`seal`] sealed; `None` where it was sealed with another key or for another place.
pub(crate) fn unseal(key: &[u8; 32], task: &str, of: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (head, text) = sealed.split_at_checked(13)?;
    let (version, nonce) = head.split_first()?;
    if *version != 1 {
        return None;
    }
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut text = text.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(aad(task, of)), &mut text).ok()?.len();
    text.truncate(plain);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_text_opens_only_in_its_place() {
        let key = [7_u8; 32];
        let sealed = seal(&key, 3, 9, "tsk", "dec", b"{\"a\":1}").unwrap();
        assert_eq!(sealed[0], 1);
        assert_eq!(sealed[1..13], [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(unseal(&key, "tsk", "dec2", &sealed), None);
        assert_eq!(unseal(&[8; 32], "tsk", "dec", &sealed), None);
        assert_eq!(unseal(&key, "tsk", "dec", &sealed[..12]), None);
        assert_eq!(unseal(&key, "tsk", "dec", &sealed).unwrap(), b"{\"a\":1}");
    }
}
