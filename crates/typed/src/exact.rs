//! Strings that are compared character by character: NFC, and nothing unseen in them.

use std::borrow::Cow;

use smol_str::SmolStr;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::scan::is_hidden;

/// The longest identifier or path, in bytes.
pub(crate) const LONGEST: usize = 1_024;

/// Characters that NFC would turn into ASCII: the Kelvin sign, the Greek question mark, the Greek grave accent.
pub(crate) fn imitates_ascii(c: char) -> bool {
    matches!(c, '\u{212A}' | '\u{37E}' | '\u{1FEF}')
}

/// The text in NFC; none if it has characters that nobody sees, or that NFC would turn into ASCII.
pub(crate) fn nfc(text: &str) -> Option<Cow<'_, str>> {
    if text.is_ascii() {
        return (!text.bytes().any(|byte| byte.is_ascii_control())).then_some(Cow::Borrowed(text));
    }
    if text.chars().any(|c| c.is_control() || is_hidden(c) || imitates_ascii(c)) {
        return None;
    }
    Some(compose(text))
}

/// The text in NFC.
pub(crate) fn compose(text: &str) -> Cow<'_, str> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// The character in lower case, where that is one character that is not ASCII's; else itself.
pub(crate) fn lower(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if !one.is_ascii() => one,
        _ => c,
    }
}

/// An identifier: its exact characters.
pub(crate) fn id(text: &str) -> Option<SmolStr> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    nfc(text).map(SmolStr::from)
}

/// A path without empty parts, `.` and `..`. One that leaves its root is none.
pub(crate) fn path(text: &str) -> Option<SmolStr> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let text = nfc(text)?;
    let bytes = text.as_bytes();
    let drive = match bytes {
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic() => Some(letter.to_ascii_uppercase()),
        _ => None,
    };
    // A backslash divides only behind a drive; elsewhere it may divide or not.
    if drive.is_none() && text.contains('\\') {
        return None;
    }
    let (mut normal, rest) = match drive {
        Some(letter) => (format!("{}:/", char::from(letter)), text.get(3..)?),
        None if text.starts_with('/') => (String::from("/"), text.get(1..)?),
        None => (String::new(), &*text),
    };
    let divide: &[char] = if drive.is_some() { &['/', '\\'] } else { &['/'] };
    let mut parts: smallvec::SmallVec<[&str; 8]> = smallvec::SmallVec::new();
    for part in rest.split(divide) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().filter(|part| !part.starts_with('~'))?;
            }
            part => parts.push(part),
        }
    }
    normal.push_str(&parts.join("/"));
    // "./c:/x" is no drive, and would be read as one.
    if drive.is_none() && matches!(normal.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic()) {
        return None;
    }
    // A blank that came to an end of the path would be trimmed when it is read again.
    if normal.starts_with(' ') || normal.ends_with(' ') {
        return None;
    }
    Some(SmolStr::from(if normal.is_empty() { String::from(".") } else { normal }))
}
