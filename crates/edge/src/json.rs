//! What I-JSON (RFC 7493) and our limits ask of a body beyond JSON's grammar.
//!
//! serde checks the grammar; this pass checks nesting depth and that no object, however deep,
//! names a member twice. It never fails on malformed text for its own sake, and never panics.

use std::borrow::Cow;

/// Levels of nesting at most.
pub(crate) const MAX_DEPTH: usize = 32;

/// Members of one object at most; it bounds the search for a repeated name.
const MAX_MEMBERS: usize = 512;

/// Names that `serde_json` gives a meaning of its own; no caller may use them.
const PRIVATE: &str = "$serde_json::private::";

/// Why a body is refused before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooDeep,
    RepeatedName,
    ReservedName,
    TooManyMembers,
}

impl Unfit {
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::TooDeep => "the body is nested too deep",
            Self::RepeatedName => "an object in the body names a member twice",
            Self::ReservedName => "an object in the body uses a reserved member name",
            Self::TooManyMembers => "an object in the body has too many members",
        }
    }
}

/// Where in the list of names an open object's own begin; None for an array.
type Open = Option<usize>;

/// Check depth and names of a JSON text.
pub(crate) fn check(text: &str) -> Result<(), Unfit> {
    let bytes = text.as_bytes();
    let mut open: Vec<Open> = Vec::with_capacity(8);
    let mut names: Vec<Cow<'_, str>> = Vec::with_capacity(32);
    let mut awaits_name = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                if open.len() >= MAX_DEPTH {
                    return Err(Unfit::TooDeep);
                }
                open.push((byte == b'{').then_some(names.len()));
                awaits_name = byte == b'{';
            }
            b'}' | b']' => {
                if let Some(Some(first)) = open.pop() {
                    names.truncate(first);
                }
                awaits_name = false;
            }
            b',' => awaits_name = matches!(open.last(), Some(Some(_))),
            b'"' => {
                let start = at + 1;
                let (end, escaped) = string_end(bytes, start);
                if awaits_name
                    && let Some(Some(first)) = open.last()
                    && let Some(raw) = text.get(start..end)
                {
                    let name = decoded(raw, escaped);
                    let own = names.get(*first..).unwrap_or_default();
                    if own.len() >= MAX_MEMBERS {
                        return Err(Unfit::TooManyMembers);
                    }
                    if own.contains(&name) {
                        return Err(Unfit::RepeatedName);
                    }
                    if name.starts_with(PRIVATE) {
                        return Err(Unfit::ReservedName);
                    }
                    names.push(name);
                }
                awaits_name = false;
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Where the string that starts at `at` ends (its closing quote), and whether it holds escapes.
fn string_end(bytes: &[u8], mut at: usize) -> (usize, bool) {
    let mut escaped = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    (at, escaped)
}

/// A name as its reader sees it. Where an escape is malformed serde refuses the body later.
fn decoded(raw: &str, escaped: bool) -> Cow<'_, str> {
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let quoted = format!("\"{raw}\"");
    serde_json::from_str::<String>(&quoted).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// Append `text` as a JSON string to `out`.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0..0x20 | 0x7f => {
                out.extend_from_slice(b"\\u00");
                for nibble in [byte >> 4, byte & 15] {
                    out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
                }
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_repeated_in_one_object_is_refused_however_it_is_written() {
        assert_eq!(check(r#"{"a":1,"b":{"a":2}}"#), Ok(()));
        assert_eq!(check(r#"{"a":1,"a":2}"#), Err(Unfit::RepeatedName));
        assert_eq!(check(r#"{"a":1,"\u0061":2}"#), Err(Unfit::RepeatedName));
        assert_eq!(check(r#"[{"x":[{"b":"a","c":"a","b":0}]}]"#), Err(Unfit::RepeatedName));
        assert_eq!(check(r#"{"a":"a","b":"a","c":["a","a"]}"#), Ok(()));
        assert_eq!(check(r#"{"$serde_json::private::Number":"1"}"#), Err(Unfit::ReservedName));
        assert_eq!(check(r#"{"\u0024serde_json::private::RawValue":"1"}"#), Err(Unfit::ReservedName));
    }

    #[test]
    fn depth_counts_arrays_and_objects() {
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(check(&deep(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&deep(MAX_DEPTH + 1)), Err(Unfit::TooDeep));
        assert_eq!(check(&"{\"a\":".repeat(MAX_DEPTH + 1)), Err(Unfit::TooDeep));
    }

    /// The plain model: serde's own reading, every object as a list of its members.
    fn repeats(value: &[(String, u8)]) -> bool {
        value.iter().enumerate().any(|(at, (name, _))| value.iter().take(at).any(|(n, _)| n == name))
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = check(&text);
        }

        #[test]
        fn any_text_of_json_characters_is_read_without_panic(text in "[\\[\\]{}\",:\\\\a0 u]{0,64}") {
            let _ = check(&text);
        }

        #[test]
        fn repeats_are_found_as_the_plain_model_finds_them(
            members in proptest::collection::vec(("[ab\"\\\\\u{1}é]{0,2}", 0..9u8), 0..6)
        ) {
            let mut text = b"{".to_vec();
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 { text.push(b','); }
                push_string(&mut text, name);
                text.push(b':');
                text.push(b'0' + value);
            }
            text.push(b'}');
            let text = String::from_utf8(text).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            prop_assert_eq!(check(&text) == Err(Unfit::RepeatedName), repeats(&members));
        }
    }
}
