//! A request's path and query, read once and in one way.

use crate::{Refused, refused};

/// Bytes of a path with its query at most.
const MAX_BYTES: usize = 8192;
/// Segments of a path, and parameters of a query, at most.
const MAX_PARTS: usize = 128;

/// A path and a query, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path's segments; a last empty one stands for a trailing slash.
    pub segments: Vec<String>,
    /// The query's parameters, in order.
    pub query: Vec<(String, String)>,
}

impl Target {
    /// Read a path with its query. Whatever two servers could read differently is refused: dot segments, empty
    /// segments, encoded slashes, backslashes, things encoded twice, `;`, a fragment, bytes outside ASCII.
    pub fn read(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_BYTES {
            return refused("the path is too long");
        }
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return refused("the path holds a blank, a control character or a byte outside ASCII");
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        Ok(Self { segments: segments(path)?, query: query.map_or_else(|| Ok(Vec::new()), parameters)? })
    }

    /// The path, decoded.
    pub fn path(&self) -> String {
        let mut out = String::new();
        for segment in &self.segments {
            out.push('/');
            out.push_str(segment);
        }
        out
    }
}

fn segments(path: &str) -> Result<Vec<String>, Refused> {
    let Some(rest) = path.strip_prefix('/') else {
        return refused("the path does not begin with `/`");
    };
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.len() > MAX_PARTS {
        return refused("the path has too many segments");
    }
    let last = parts.len().saturating_sub(1);
    parts
        .into_iter()
        .enumerate()
        .map(|(at, part)| {
            let segment = decode(part, false)?;
            if segment.is_empty() && at != last {
                return refused("the path has an empty segment (`//`)");
            }
            if matches!(segment.as_str(), "." | "..") {
                return refused("the path has a dot segment");
            }
            if segment.contains(['/', '\\', ';', '#']) {
                return refused("a segment of the path holds a slash, a backslash, `;` or `#`");
            }
            if segment.chars().any(char::is_control) {
                return refused("a segment of the path holds a control character");
            }
            if encoded(&segment) {
                return refused("a segment of the path is encoded twice");
            }
            Ok(segment)
        })
        .collect()
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, Refused> {
    if query.contains('#') {
        return refused("the query holds `#`");
    }
    // Some readers split at `;` too.
    if query.contains(';') {
        return refused("the query holds `;`");
    }
    let parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    if parts.len() > MAX_PARTS {
        return refused("the query has too many parameters");
    }
    parts
        .into_iter()
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode(name, true)?, decode(value, true)?);
            if name.is_empty() || name.chars().any(char::is_control) {
                return refused("a parameter of the query has no name that can be read");
            }
            if value.contains('\0') {
                return refused("a parameter of the query holds a zero byte");
            }
            Ok((name, value))
        })
        .collect()
}

/// Decode percent-encoding, once; in a query `+` is a blank.
fn decode(text: &str, plus: bool) -> Result<String, Refused> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return refused("a percent-encoding is malformed");
                };
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
            }
            b'+' if plus => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).or_else(|_| refused("a percent-encoding is not UTF-8"))
}

/// Whether a decoded text still holds an encoding: who decodes again reads another path.
fn encoded(text: &str) -> bool {
    text.as_bytes().windows(3).any(|three| match three {
        [b'%', high, low] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_path_is_read() {
        let target = Target::read("/v1/invoices/A%20b/?q=a+b%26c&flag&x=1&x=2").unwrap();
        assert_eq!(target.segments, ["v1", "invoices", "A b", ""]);
        assert_eq!(target.path(), "/v1/invoices/A b/");
        let query: Vec<_> = target.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(query, [("q", "a b&c"), ("flag", ""), ("x", "1"), ("x", "2")]);
        assert_eq!(Target::read("/").unwrap().segments, [""]);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for path in [
            "",
            "v1",
            "//v1",
            "/v1//x",
            "/v1/../admin",
            "/v1/./x",
            "/v1/..",
            "/v1/%2e%2e/admin",
            "/v1/.%2E/admin",
            "/v1/%2fadmin",
            "/v1/%5cadmin",
            "/v1/a\\b",
            "/v1/%252e%252e/admin",
            "/v1/%252f",
            "/v1/..;/admin",
            "/v1/x;a=b",
            "/v1/x%3ba",
            "/v1/%",
            "/v1/%2",
            "/v1/%zz",
            "/v1/%00",
            "/v1/%ff",
            "/v1/x y",
            "/v1/é",
            "/v1/x#y",
            "/v1/x%23y",
            "/v1?a=1#b",
            "/v1?a=1;b=2",
            "/v1?a=%00",
            "/v1?=1",
            "/v1?a%01=1",
            "http://evil.example/v1",
            "*",
        ] {
            assert!(Target::read(path).is_err(), "{path}");
        }
        assert!(Target::read(&format!("/{}", "a".repeat(MAX_BYTES))).is_err());
        assert!(Target::read(&"/a".repeat(MAX_PARTS + 1)).is_err());
        assert!(Target::read(&format!("/?{}", "a&".repeat(MAX_PARTS + 1))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,64}") {
            let _ = Target::read(&text);
        }

        #[test]
        fn what_is_read_has_no_second_reading(text in "/[a-c./%25ef;\\\\?&=+]{0,24}") {
            if let Ok(target) = Target::read(&text) {
                let path = target.path();
                prop_assert!(!path.contains("//") && !path.contains("/../") && !path.contains("/./"));
                prop_assert!(!path.contains('\\') && !path.ends_with("/..") && !encoded(&path));
            }
        }
    }
}
