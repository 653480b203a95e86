//! The ticket found and taken out, hop-by-hop headers taken out, the credential put in.

use crate::answer::Refusal;
use crate::port::Secret;
use crate::settings::{Inject, Upstream};
use crate::target::{Target, decode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, IF_RANGE,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SEC_WEBSOCKET_EXTENSIONS, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{HeaderMap, Uri};

/// A ticket for a proxy.
pub(crate) fn proxy_ticket(headers: &HeaderMap) -> Option<String> {
    authorization(headers, &PROXY_AUTHORIZATION)
}

/// A ticket at a listener that the client takes for the API itself: where the API's credential would
/// stand, or in Authorization.
pub(crate) fn reverse_ticket(headers: &HeaderMap, target: &Target) -> Option<String> {
    let placeholder = match &target.upstream.inject {
        Inject::Header(name) => headers.get(name.as_str()).and_then(|value| value.to_str().ok()).map(str::to_owned),
        Inject::Query(name) => parameter(&target.query, name),
        _ => None,
    };
    proxy_ticket(headers).or(placeholder).or_else(|| authorization(headers, &AUTHORIZATION))
}

fn authorization(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Some clients have a place for a key and none for a name; they send it as the name.
    Some(if password.is_empty() { user } else { password }.to_owned())
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let pair = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| is_named(key, name)));
    pair.and_then(|(_, value)| decode(value))
}

fn is_named(key: &str, name: &str) -> bool {
    decode(&key.replace('+', " ")).is_some_and(|key| key == name)
}

/// Take out what belongs to this connection only, and what Connection names (RFC 9110, 7.6.1).
pub(crate) fn strip_hops(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];
    for name in named.iter().chain(&always) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authentication-info", "http2-settings"] {
        headers.remove(name);
    }
}

/// The request's headers and query as the upstream gets them.
pub(crate) fn prepare(headers: &mut HeaderMap, target: &Target, secret: Option<&Secret>) -> Result<String, Refusal> {
    let upstream = &target.upstream;
    strip_hops(headers);
    // The client's own word for who it is goes nowhere: the credential is the task's.
    headers.remove(AUTHORIZATION);
    headers.remove(COOKIE);
    headers.remove(EXPECT);
    // Pieces of an answer, or a packed one, cannot be searched for the secret.
    headers.remove(RANGE);
    headers.remove(IF_RANGE);
    headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    // A name with `_` is another header to servers that make names variables (RFC 3875, 4.1.18).
    let odd: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_') || name.as_str().starts_with("x-forwarded-"))
        .cloned()
        .collect();
    for name in odd {
        headers.remove(name);
    }
    headers.remove("forwarded");
    let host = HeaderValue::from_str(&upstream.authority()).map_err(|_| unusable())?;
    headers.insert(HOST, host);
    inject(headers, &target.query, upstream, secret)
}

fn inject(
    headers: &mut HeaderMap,
    query: &str,
    upstream: &Upstream,
    secret: Option<&Secret>,
) -> Result<String, Refusal> {
    let secret = secret.map(Secret::reveal);
    let sensitive = |text: String| {
        let mut value = HeaderValue::from_str(&text).map_err(|_| unusable())?;
        value.set_sensitive(true);
        Ok(value)
    };
    match (&upstream.inject, secret) {
        (Inject::None, _) => Ok(query.to_owned()),
        (_, None) => Err(no_credential()),
        (Inject::Bearer, Some(secret)) => {
            headers.insert(AUTHORIZATION, sensitive(format!("Bearer {secret}"))?);
            Ok(query.to_owned())
        }
        (Inject::Basic(user), Some(secret)) => {
            headers.insert(AUTHORIZATION, sensitive(format!("Basic {}", basic(user, secret)))?);
            Ok(query.to_owned())
        }
        (Inject::Header(name), Some(secret)) => {
            let name: HeaderName = name.parse().map_err(|_| unusable())?;
            headers.insert(name, sensitive(secret.to_owned())?);
            Ok(query.to_owned())
        }
        (Inject::Query(name), Some(secret)) => {
            let kept = query.split('&').filter(|pair| {
                let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
                !pair.is_empty() && !is_named(key, name)
            });
            let ours = format!("{name}={}", encode(secret));
            Ok(kept.map(str::to_owned).chain([ours]).collect::<Vec<_>>().join("&"))
        }
    }
}

/// As Basic carries it.
pub(crate) fn basic(user: &str, secret: &str) -> String {
    STANDARD.encode(format!("{user}:{secret}"))
}

/// Percent-encoded: everything but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn no_credential() -> Refusal {
    Refusal::forbidden("no_credential", "the task holds no credential for this upstream")
}

fn unusable() -> Refusal {
    Refusal::upstream("credential_unusable", "the credential cannot stand in a header")
}

/// The request's target as the upstream gets it.
pub(crate) fn uri(target: &Target, query: &str) -> Result<Uri, Refusal> {
    let path = if target.path.is_empty() && target.upstream.base.is_empty() { "/" } else { target.path.as_str() };
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{path}{mark}{query}", target.upstream.base)
        .parse()
        .map_err(|_| Refusal::malformed("malformed_target", "the target is malformed"))
}
