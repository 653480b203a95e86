//! URIs compared as RFC 9449 asks: RFC 3986, sections 6.2.2 and 6.2.3, without query and fragment.

use std::fmt::Write as _;

/// The normal form of an `http` or `https` URI without its query and fragment. None for anything
/// else, or where it holds user information.
pub(crate) fn normal(uri: &str) -> Option<String> {
    let uri = uri.split(['?', '#']).next()?;
    let (scheme, rest) = uri.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if authority.is_empty() || !authority.is_ascii() || authority.contains(['@', '%', ' ', '\\']) {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    Some(format!("{scheme}://{authority}{}", without_dots(&decoded(path)?)))
}

/// Percent-encodings of unreserved characters decoded, all others in capitals.
fn decoded(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            if !c.is_ascii_graphic() {
                return None;
            }
            out.push(c);
            continue;
        }
        let (high, low) = (chars.next()?.to_digit(16)?, chars.next()?.to_digit(16)?);
        let byte = u8::try_from(high * 16 + low).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Some(out)
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_uris_have_one_form() {
        let form = Some("https://pdp.example/access/v1/evaluation".to_owned());
        for uri in [
            "https://pdp.example/access/v1/evaluation",
            "HTTPS://PDP.example:443/access/v1/evaluation?x=1#y",
            "https://pdp.example/access/./v2/../v1/%65valuation",
        ] {
            assert_eq!(normal(uri), form, "{uri}");
        }
        assert_eq!(normal("http://h"), Some("http://h/".to_owned()));
        assert_eq!(normal("http://h:8080/a%2fb"), Some("http://h:8080/a%2Fb".to_owned()));
    }

    #[test]
    fn other_uris_have_another_form_or_none() {
        for uri in ["", "x", "ftp://h/", "http://", "http://u@h/", "http://h/%zz", "http://h/a b", "//h/a"] {
            assert_eq!(normal(uri), None, "{uri}");
        }
        assert_ne!(normal("http://h/A"), normal("http://h/a"));
        assert_ne!(normal("http://h/a/"), normal("http://h/a"));
        assert_ne!(normal("http://h/a"), normal("https://h/a"));
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(uri in "https?://[a-zA-Z.]{1,8}(:[0-9]{1,4})?(/[a-z.%0-9A-F]{0,4}){0,5}") {
            if let Some(once) = normal(&uri) {
                prop_assert_eq!(normal(&once), Some(once));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(uri in ".*") {
            let _ = normal(&uri);
        }
    }
}
