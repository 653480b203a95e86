//! JSON, read strictly and written canonically.
//!
//! Numbers keep their source text, names may not repeat, depth and size are bounded. Canonical means
//! what `flyball.kernel.json.canonical` means: names sorted by code point, no white space, minimal
//! escapes.

use std::borrow::Cow;

use crate::write::write_text;

/// Nesting at most.
const MAX_DEPTH: u32 = 32;
/// Bytes of one document at most.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// A JSON value that borrows its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number's source text.
    Number(&'a str),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object, its names in order.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// The text is not JSON as we take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

impl<'a> Json<'a> {
    /// Read one document.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, NotJson> {
        if bytes.len() > MAX_BYTES {
            return Err(NotJson);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotJson)?;
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.blank();
        if reader.at == text.len() { Ok(value) } else { Err(NotJson) }
    }

    /// A member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    pub(crate) fn whole(&self) -> Option<i64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Append the canonical form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::Text(text) => write_text(out, text),
            Self::List(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_text(out, name);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// The canonical form of a JSON document; `None` where it is not one.
pub fn canonical(bytes: &[u8]) -> Option<Vec<u8>> {
    let value = Json::parse(bytes).ok()?;
    let mut out = Vec::with_capacity(bytes.len());
    value.write(&mut out);
    Some(out)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, NotJson> {
        let rest = self.text.get(self.at..).ok_or(NotJson)?;
        if !rest.starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: u32) -> Result<Json<'a>, NotJson> {
        if depth > MAX_DEPTH {
            return Err(NotJson);
        }
        self.blank();
        match self.peek().ok_or(NotJson)? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => Ok(Json::Text(self.string()?)),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32) -> Result<Json<'a>, NotJson> {
        self.at += 1;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        self.blank();
        if self.eat(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(NotJson);
            }
            let name = self.string()?;
            self.blank();
            if !self.eat(b':') {
                return Err(NotJson);
            }
            members.push((name, self.value(depth + 1)?));
            self.blank();
            if self.eat(b'}') {
                break;
            }
            if !self.eat(b',') {
                return Err(NotJson);
            }
        }
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        if members.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(NotJson);
        }
        Ok(Json::Object(members))
    }

    fn list(&mut self, depth: u32) -> Result<Json<'a>, NotJson> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.eat(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blank();
            if self.eat(b']') {
                return Ok(Json::List(items));
            }
            if !self.eat(b',') {
                return Err(NotJson);
            }
        }
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(NotJson) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json<'a>, NotJson> {
        let from = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(Json::Number(self.text.get(from..self.at).ok_or(NotJson)?))
    }

    /// A string; borrowed where nothing in it is escaped.
    fn string(&mut self) -> Result<Cow<'a, str>, NotJson> {
        self.at += 1;
        let from = self.at;
        loop {
            match self.peek().ok_or(NotJson)? {
                b'"' => {
                    let text = self.text.get(from..self.at).ok_or(NotJson)?;
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => break,
                0..0x20 => return Err(NotJson),
                _ => self.at += 1,
            }
        }
        let mut text = String::from(self.text.get(from..self.at).ok_or(NotJson)?);
        loop {
            let plain = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            text.push_str(self.text.get(plain..self.at).ok_or(NotJson)?);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(NotJson),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotJson> {
        let byte = self.peek().ok_or(NotJson)?;
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.code_unit()?;
                let code = match high {
                    // A surrogate counts only with its other half.
                    0xD800..0xDC00 => {
                        if !(self.eat(b'\\') && self.eat(b'u')) {
                            return Err(NotJson);
                        }
                        let low = self.code_unit()?;
                        if !(0xDC00..0xE000).contains(&low) {
                            return Err(NotJson);
                        }
                        0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                    }
                    other => other,
                };
                char::from_u32(code).ok_or(NotJson)?
            }
            _ => return Err(NotJson),
        })
    }

    fn code_unit(&mut self) -> Result<u32, NotJson> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(NotJson)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotJson);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| NotJson)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canon(text: &str) -> Option<String> {
        canonical(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn canonical_sorts_and_keeps_numbers() {
        assert_eq!(
            canon(r#" {"b":[1.50, -0, 1e3],"a":"\u00e9\/\u0001"} "#).unwrap(),
            "{\"a\":\"é/\\u0001\",\"b\":[1.50,-0,1e3]}"
        );
    }

    #[test]
    fn what_is_not_strict_json_is_refused() {
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        for bad in [
            "",
            "{",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "01",
            "1.",
            ".5",
            "+1",
            "NaN",
            "'a'",
            "[1,]",
            "{\"a\":1,}",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\t\"",
            "1 2",
            "\"\\x\"",
            "\"\\u00g0\"",
            &deep,
        ] {
            assert_eq!(canon(bad), None, "{bad}");
        }
        assert!(canonical(b"\"\xff\"").is_none());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = canonical(&bytes);
        }

        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}:,\"\\\\ua-c0-9eE.+ -]{0,24}") {
            // What we accept, serde accepts, with the same meaning; what serde refuses, we refuse.
            if let Some(ours) = canonical(text.as_bytes()) {
                let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
                let again: serde_json::Value = serde_json::from_slice(&ours).unwrap();
                prop_assert_eq!(theirs, again);
                prop_assert_eq!(canonical(&ours).unwrap(), ours);
            }
        }

        #[test]
        fn any_text_survives(text in any::<String>()) {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text.clone());
            let read = Json::parse(&out).unwrap();
            prop_assert_eq!(read.text().unwrap(), text);
        }
    }
}
