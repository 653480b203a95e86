//! The HTTP request in a check.

use std::borrow::Cow;
use std::collections::HashMap;

use flyball_httpcall::Refused;

use crate::generated::envoy::config::core::v3::HeaderValue;
use crate::generated::envoy::service::auth::v3::CheckRequest;

/// Where Envoy says whether the body that it hands over was cut.
const PARTIAL: &str = "x-envoy-auth-partial-body";

/// An attribute without which nothing can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(pub &'static str);

/// What Envoy saw of a request.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The method.
    pub method: &'a str,
    /// The host.
    pub host: &'a str,
    /// The path with its query, as the client sent it.
    pub path: &'a str,
    /// Who the client's certificate names; empty where there was none.
    pub principal: &'a str,
    /// The headers.
    pub headers: Headers<'a>,
    /// The body.
    pub body: SeenBody<'a>,
}

/// What Envoy handed over of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenBody<'a> {
    /// There is none.
    Absent,
    /// There is one, or there may be one, and Envoy does not hand it over.
    Unseen,
    /// Its beginning only.
    Partial,
    /// All of it.
    Whole(&'a [u8]),
}

/// A request's headers, in one of the two forms in which Envoy sends them.
#[derive(Clone, Copy, Debug)]
pub enum Headers<'a> {
    /// One by one (`encode_raw_headers`).
    Raw(&'a [HeaderValue]),
    /// By name, several values joined by commas.
    Joined(&'a HashMap<String, String>),
}

impl<'a> Headers<'a> {
    /// The one value of a header; None where it is absent.
    ///
    /// # Errors
    /// It is there more than once, or may be (a comma between joined values is like one within a value), or is no
    /// text.
    pub fn one(&self, name: &str) -> Result<Option<Cow<'a, str>>, Refused> {
        const TWICE: Refused = Refused(Cow::Borrowed("a header that counts is there more than once"));
        match self {
            Self::Joined(all) => {
                let mut own = all.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
                match (own.next(), own.next()) {
                    (None, _) => Ok(None),
                    (Some(value), None) if !value.contains(',') => Ok(Some(Cow::Borrowed(value.as_str()))),
                    _ => Err(TWICE),
                }
            }
            Self::Raw(all) => {
                let mut own = all.iter().filter(|header| header.key.eq_ignore_ascii_case(name));
                match (own.next(), own.next()) {
                    (None, _) => Ok(None),
                    (Some(header), None) => {
                        let bytes =
                            if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
                        let text = std::str::from_utf8(bytes)
                            .map_err(|_| Refused(Cow::Borrowed("a header that counts is not UTF-8")))?;
                        Ok(Some(Cow::Borrowed(text)))
                    }
                    _ => Err(TWICE),
                }
            }
        }
    }

    /// Whether a header is there, once or more.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Raw(all) => all.iter().any(|header| header.key.eq_ignore_ascii_case(name)),
            Self::Joined(all) => all.keys().any(|key| key.eq_ignore_ascii_case(name)),
        }
    }
}

impl Seen<'_> {
    /// Whether the connection will carry more than this one request and its answer: an upgrade, or a tunnel.
    pub fn is_upgrade(&self) -> bool {
        self.method == "CONNECT" || self.headers.has("upgrade") || self.headers.has(":protocol")
    }
}

/// Read a check.
///
/// # Errors
/// An attribute is missing: this is no HTTP request, or Envoy is not set up to tell.
pub fn read(check: &CheckRequest) -> Result<Seen<'_>, Missing> {
    let attributes = check.attributes.as_ref().ok_or(Missing("attributes"))?;
    let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
    let http = http.ok_or(Missing("request.http"))?;
    for (name, value) in [("request.http.method", &http.method), ("request.http.host", &http.host)] {
        if value.is_empty() {
            return Err(Missing(name));
        }
    }
    if http.path.is_empty() {
        return Err(Missing("request.http.path"));
    }
    let headers = match &http.header_map {
        Some(map) => Headers::Raw(&map.headers),
        None => Headers::Joined(&http.headers),
    };
    let body = if http.raw_body.is_empty() { http.body.as_bytes() } else { http.raw_body.as_slice() };
    Ok(Seen {
        method: &http.method,
        host: &http.host,
        path: &http.path,
        principal: attributes.source.as_ref().map_or("", |peer| peer.principal.as_str()),
        headers,
        body: seen_body(&http.method, &headers, body, http.size),
    })
}

/// What of the body is there. Envoy's own header says that it hands bodies over, and whether this one is whole; a
/// client's own such header is only believed where it says that something is missing.
fn seen_body<'a>(method: &str, headers: &Headers<'_>, body: &'a [u8], size: i64) -> SeenBody<'a> {
    let told = headers.has(PARTIAL);
    if told && !matches!(headers.one(PARTIAL), Ok(Some(word)) if word == "false") {
        return SeenBody::Partial;
    }
    if !body.is_empty() {
        return if told { SeenBody::Whole(body) } else { SeenBody::Partial };
    }
    let length = match headers.one("content-length") {
        Ok(None) => Some(0),
        Ok(Some(text)) => text.parse::<u64>().ok(),
        Err(_) => None,
    };
    let announced = length != Some(0) || headers.has("transfer-encoding") || size > 0;
    // A length of zero that is written down is a client's word that its own server holds it to.
    let empty = headers.has("content-length") && !announced;
    let usual = matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE" | "TRACE");
    if announced || !(told || usual || empty) { SeenBody::Unseen } else { SeenBody::Absent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::{AttributeContext, HeaderMap, attribute_context as ac};
    use proptest::prelude::*;
    use prost::Message as _;

    fn check(method: &str, headers: &[(&str, &str)], body: &str) -> CheckRequest {
        let headers = headers.iter().map(|(key, value)| HeaderValue {
            key: (*key).to_owned(),
            raw_value: value.as_bytes().to_vec(),
            ..HeaderValue::default()
        });
        let http = ac::HttpRequest {
            method: method.to_owned(),
            host: "api.example".to_owned(),
            path: "/v1".to_owned(),
            header_map: Some(HeaderMap { headers: headers.collect() }),
            raw_body: body.as_bytes().to_vec(),
            size: -1,
            ..ac::HttpRequest::default()
        };
        let request = ac::Request { http: Some(http), ..ac::Request::default() };
        CheckRequest { attributes: Some(AttributeContext { request: Some(request), ..AttributeContext::default() }) }
    }

    #[test]
    fn a_check_without_its_attributes_is_no_request() {
        assert_eq!(read(&CheckRequest::default()).unwrap_err(), Missing("attributes"));
        let bare = CheckRequest { attributes: Some(AttributeContext::default()) };
        assert_eq!(read(&bare).unwrap_err(), Missing("request.http"));
        for take in ["method", "host", "path"] {
            let mut one = check("GET", &[], "");
            let http = one.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
            match take {
                "method" => http.method.clear(),
                "host" => http.host.clear(),
                _ => http.path.clear(),
            }
            assert!(read(&one).unwrap_err().0.ends_with(take));
        }
    }

    #[test]
    fn a_header_counts_only_where_it_stands_once() {
        let one = check("GET", &[("Flyball-Task", "a"), ("x", "1"), ("X", "2")], "");
        let seen = read(&one).unwrap();
        assert_eq!(seen.headers.one("flyball-task").unwrap().as_deref(), Some("a"));
        assert_eq!(seen.headers.one("y").unwrap(), None);
        assert!(seen.headers.one("x").is_err());
        let joined = HashMap::from([("flyball-task".to_owned(), "a,b".to_owned())]);
        assert!(Headers::Joined(&joined).one("flyball-task").is_err());
        let joined =
            HashMap::from([("Flyball-Task".to_owned(), "a".to_owned()), ("flyball-task".to_owned(), "b".to_owned())]);
        assert!(Headers::Joined(&joined).one("flyball-task").is_err());
        let raw = [HeaderValue { key: "x".to_owned(), raw_value: vec![b'a', 0xff], ..HeaderValue::default() }];
        assert!(Headers::Raw(&raw).one("x").is_err());
    }

    #[test]
    fn a_size_that_envoy_tells_is_a_body() {
        let mut one = check("GET", &[], "");
        one.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap().size = 9;
        assert_eq!(read(&one).unwrap().body, SeenBody::Unseen);
    }

    #[test]
    fn a_body_is_whole_only_where_envoy_says_so() {
        let body = |method: &str, headers: &[(&str, &str)], body: &str| {
            let one = check(method, headers, body);
            match read(&one).unwrap().body {
                SeenBody::Whole(bytes) => format!("whole {}", bytes.len()),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(body("POST", &[(PARTIAL, "false")], "{}"), "whole 2");
        assert_eq!(body("POST", &[(PARTIAL, "true")], "{}"), "Partial");
        assert_eq!(body("POST", &[(PARTIAL, "false"), (PARTIAL, "true")], "{}"), "Partial");
        assert_eq!(body("POST", &[], "{}"), "Partial");
        assert_eq!(body("POST", &[], ""), "Unseen");
        assert_eq!(body("PUT", &[("content-length", "0")], ""), "Absent");
        assert_eq!(body("POST", &[(PARTIAL, "false")], ""), "Absent");
        assert_eq!(body("POST", &[(PARTIAL, "false"), ("content-length", "9")], ""), "Unseen");
        assert_eq!(body("GET", &[], ""), "Absent");
        assert_eq!(body("GET", &[("transfer-encoding", "chunked")], ""), "Unseen");
        assert_eq!(body("GET", &[("content-length", "0"), ("content-length", "9")], ""), "Unseen");
        assert_eq!(body("GET", &[("content-length", "nine")], ""), "Unseen");
    }

    #[test]
    fn an_upgrade_and_a_tunnel_are_told_apart_from_a_request() {
        assert!(!read(&check("GET", &[("connection", "close")], "")).unwrap().is_upgrade());
        assert!(read(&check("GET", &[("Upgrade", "websocket")], "")).unwrap().is_upgrade());
        assert!(read(&check("CONNECT", &[], "")).unwrap().is_upgrade());
        assert!(read(&check("GET", &[(":protocol", "websocket")], "")).unwrap().is_upgrade());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(check) = CheckRequest::decode(bytes.as_slice()) {
                let _ = read(&check);
            }
        }

        #[test]
        fn a_check_with_one_byte_changed_is_read_without_panic(at in 0..200usize, byte in any::<u8>()) {
            let headers = [("flyball-task", "a"), (PARTIAL, "false"), ("content-type", "application/json")];
            let mut bytes = check("POST", &headers, r#"{"amount": 1}"#).encode_to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(check) = CheckRequest::decode(bytes.as_slice())
                && let Ok(seen) = read(&check)
            {
                let _ = (seen.is_upgrade(), seen.headers.one("flyball-task"));
            }
        }
    }
}
