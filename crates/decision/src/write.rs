//! Texts and numbers, written canonically.

/// Append a string with quotes and the least escapes.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // Counted to the end, without a way out: the compiler does that many bytes at a time.
    if bytes.iter().fold(0, |count, byte| count + u32::from(escaped(*byte))) == 0 {
        out.extend_from_slice(bytes);
    } else {
        for byte in bytes {
            match *byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0x08 => out.extend_from_slice(b"\\b"),
                0x0c => out.extend_from_slice(b"\\f"),
                low @ 0..0x20 => {
                    out.extend_from_slice(b"\\u00");
                    out.push(hex_digit(low >> 4));
                    out.push(hex_digit(low & 15));
                }
                other => out.push(other),
            }
        }
    }
    out.push(b'"');
}

/// Whether a byte cannot stand in a string as it is.
const fn escaped(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\')
}

/// One digit of lower-case hexadecimal.
pub(crate) const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Append bytes in lower-case hexadecimal.
pub(crate) fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.push(hex_digit(byte >> 4));
        out.push(hex_digit(byte & 15));
    }
}

/// Append a whole number.
pub(crate) fn write_int(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut left = number.unsigned_abs();
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        // A remainder of ten always fits.
        *slot = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        used += 1;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_written_as_they_are(number in any::<i64>(), bytes in any::<[u8; 4]>()) {
            let mut out = Vec::new();
            write_int(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
            let mut out = Vec::new();
            write_hex(&mut out, &bytes);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{:08x}", u32::from_be_bytes(bytes)));
        }
    }
}
