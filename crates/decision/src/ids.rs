//! Task ids (`tsk_<cell>_<ulid>`) as numbers, and back.

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The ULID of a task of this cell; `None` for any other text.
pub(crate) fn parse_task(cell: &str, id: &str) -> Option<u128> {
    let ulid = id.strip_prefix("tsk_")?.strip_prefix(cell)?.strip_prefix('_')?;
    if ulid.len() != 26 {
        return None;
    }
    let mut number: u128 = 0;
    for (i, byte) in ulid.bytes().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'h' => byte - b'a' + 10,
            b'j' | b'k' => byte - b'j' + 18,
            b'm' | b'n' => byte - b'm' + 20,
            b'p'..=b't' => byte - b'p' + 22,
            b'v'..=b'z' => byte - b'v' + 27,
            _ => return None,
        };
        // 26 digits are 130 bits: the first holds three, else two texts would be one task.
        if i == 0 && digit > 7 {
            return None;
        }
        number = number << 5 | u128::from(digit);
    }
    Some(number)
}

/// Append the 26 digits of a ULID.
pub(crate) fn write_ulid(out: &mut String, number: u128) {
    for shift in (0..26).rev() {
        let digit = usize::try_from(number >> (shift * 5) & 31).unwrap_or(0);
        out.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')));
    }
}

/// A task's id.
pub(crate) fn task(cell: &str, number: u128) -> String {
    let mut out = String::with_capacity(cell.len() + 31);
    out.push_str("tsk_");
    out.push_str(cell);
    out.push('_');
    write_ulid(&mut out, number);
    out
}

/// A decision's id: `dec_<cell>_<task's ulid or none>_<epoch>_<k>`.
pub(crate) fn decision(cell: &str, task: Option<u128>, epoch: u32, k: u64) -> String {
    let mut out = String::with_capacity(cell.len() + 56);
    out.push_str("dec_");
    out.push_str(cell);
    out.push('_');
    match task {
        Some(number) => write_ulid(&mut out, number),
        None => out.push_str("none"),
    }
    let mut digits = Vec::with_capacity(24);
    digits.push(b'_');
    crate::write::write_int(&mut digits, i64::from(epoch));
    digits.push(b'_');
    crate::write::write_int(&mut digits, i64::try_from(k).unwrap_or(i64::MAX));
    out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    out
}

/// Epoch and number of a decision of that task.
pub(crate) fn parse_decision(cell: &str, task: u128, id: &str) -> Option<(u32, u64)> {
    let rest = id.strip_prefix("dec_")?.strip_prefix(cell)?.strip_prefix('_')?;
    let mut ulid = String::with_capacity(26);
    write_ulid(&mut ulid, task);
    let (epoch, k) = rest.strip_prefix(&ulid)?.strip_prefix('_')?.split_once('_')?;
    Some((epoch.parse().ok()?, k.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive(number in any::<u128>(), epoch in any::<u32>(), k in 0..i64::MAX as u64) {
            prop_assert_eq!(parse_task("local", &task("local", number)), Some(number));
            let id = decision("local", Some(number), epoch, k);
            prop_assert_eq!(parse_decision("local", number, &id), Some((epoch, k)));
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        let good = "tsk_local_01jdxq0000000000000000000a";
        assert!(parse_task("local", good).is_some());
        for bad in [
            "",
            "tsk_local_",
            "tsk_loca_01jdxq0000000000000000000a",
            "tsk_local_01JDXQ0000000000000000000A",
            "tsk_local_81jdxq0000000000000000000a",
            "tsk_local_01jdxq000000000000000000il",
            "lea_local_01jdxq0000000000000000000a",
            "tsk_local_01jdxq0000000000000000000a1",
        ] {
            assert_eq!(parse_task("local", bad), None, "{bad}");
        }
    }
}
