//! Which upstream and which path a request means, and whether all readers would agree.

use crate::answer::Refusal;
use crate::settings::{Upstream, Upstreams, default_port};
use hyper::header::HOST;
use hyper::{HeaderMap, Method, Uri};
use std::net::SocketAddr;
use std::sync::Arc;

/// Headers with which servers let a request pretend another method or path.
const PRETENDERS: [&str; 6] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-method",
];

/// What a request means.
pub(crate) struct Target {
    pub(crate) upstream: Arc<Upstream>,
    /// Path below the upstream's base, as it was sent; empty, or with a leading slash.
    pub(crate) path: String,
    /// Its segments, decoded.
    pub(crate) segments: Vec<String>,
    /// The query, as it was sent.
    pub(crate) query: String,
    /// Where the client takes the broker for the API: what stands before the path in its eyes, `/crm` or
    /// nothing. None where it knows that there is a proxy.
    pub(crate) prefix: Option<String>,
}

/// Where a host was asked for: its upstream, or why there is none.
pub(crate) fn place(upstreams: &Upstreams, host: &str, port: u16) -> Result<Arc<Upstream>, Refusal> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    match upstreams.placed(&host, port) {
        Some(upstream) => Ok(Arc::clone(upstream)),
        None if upstreams.has_host(&host) => {
            Err(Refusal::forbidden("port_not_named", "the bundle names this host, but not this port"))
        }
        None => Err(Refusal::forbidden("host_not_named", "the bundle names no such host")),
    }
}

/// What a request to a proxy means (absolute form): `http://host/path`.
pub(crate) fn forward(upstreams: &Upstreams, uri: &Uri, headers: &HeaderMap) -> Result<Target, Refusal> {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Refusal::malformed("malformed_target", "the target is not one of a proxy's"));
    };
    if authority.as_str().contains('@') {
        return Err(Refusal::malformed("malformed_target", "the target holds a user name"));
    }
    if scheme != "http" {
        return Err(Refusal::malformed("malformed_target", "https goes through CONNECT"));
    }
    let port = authority.port_u16().unwrap_or(default_port(false));
    // RFC 9112, 3.2.2 would have us ignore Host here. Whoever sends two different hosts hopes that
    // somebody does not.
    same_host(headers, authority.host(), port, false)?;
    let upstream = place(upstreams, authority.host(), port)?;
    if upstream.https {
        return Err(Refusal::forbidden("port_not_named", "the bundle names this host for https only"));
    }
    below(upstream, uri)
}

/// The path of a request that a client sends through us, its proxy, to ourselves: `http://us/crm/…`.
pub(crate) fn ourselves(uri: &Uri, local: Option<SocketAddr>) -> Option<Uri> {
    let (authority, local) = (uri.authority()?, local?);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_us = host.eq_ignore_ascii_case("localhost") || host.parse() == Ok(local.ip());
    let port = authority.port_u16().unwrap_or(default_port(false));
    (uri.scheme_str() == Some("http") && is_us && port == local.port())
        .then(|| uri.path_and_query().cloned().map(Uri::from))
        .flatten()
}

/// What a request inside a tunnel means: its host is the tunnel's.
pub(crate) fn tunnelled(upstream: &Arc<Upstream>, uri: &Uri, headers: &HeaderMap) -> Result<Target, Refusal> {
    origin_form(uri)?;
    same_host(headers, &upstream.host, upstream.port, upstream.https)?;
    below(Arc::clone(upstream), uri)
}

/// What a request to a listener of one upstream means.
pub(crate) fn reverse(upstream: &Arc<Upstream>, uri: &Uri) -> Result<Target, Refusal> {
    origin_form(uri)?;
    let path = checked(uri)?;
    let based = format!("{}{path}", upstream.base);
    finish(Arc::clone(upstream), &based, uri, Some(String::new()))
}

/// What a request to the common listener means: `/upstream/path`.
pub(crate) fn prefixed(upstreams: &Upstreams, uri: &Uri) -> Result<Target, Refusal> {
    origin_form(uri)?;
    let path = checked(uri)?;
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let upstream = upstreams
        .named(name)
        .ok_or_else(|| Refusal::forbidden("host_not_named", "the bundle names no such upstream"))?;
    let based = format!("{}{rest}", upstream.base);
    finish(Arc::clone(upstream), &based, uri, Some(format!("/{name}")))
}

fn origin_form(uri: &Uri) -> Result<(), Refusal> {
    if uri.authority().is_some() || !uri.path().starts_with('/') {
        return Err(Refusal::malformed("malformed_target", "the target must be a path here"));
    }
    Ok(())
}

fn below(upstream: Arc<Upstream>, uri: &Uri) -> Result<Target, Refusal> {
    let path = checked(uri)?;
    finish(upstream, path, uri, None)
}

fn finish(upstream: Arc<Upstream>, whole: &str, uri: &Uri, prefix: Option<String>) -> Result<Target, Refusal> {
    let path = whole
        .strip_prefix(upstream.base.as_str())
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .ok_or_else(|| Refusal::forbidden("path_not_named", "the bundle names another path of this host"))?
        .to_owned();
    let segments = segments(&path)?;
    Ok(Target { upstream, path, segments, query: uri.query().unwrap_or_default().to_owned(), prefix })
}

/// The Host header must name the same place.
pub(crate) fn same_host(headers: &HeaderMap, host: &str, port: u16, https: bool) -> Result<(), Refusal> {
    let confused = || Refusal::malformed("ambiguous_host", "Host and target name different places");
    let text = headers.get(HOST).and_then(|value| value.to_str().ok()).ok_or_else(confused)?;
    let authority: hyper::http::uri::Authority = text.parse().map_err(|_| confused())?;
    let named = authority.port_u16().unwrap_or(default_port(https));
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if text.contains('@') || bare(authority.host()) != bare(host) || named != port {
        return Err(confused());
    }
    Ok(())
}

fn checked(uri: &Uri) -> Result<&str, Refusal> {
    segments(uri.path())?;
    Ok(uri.path())
}

/// The segments of a path, decoded; nothing in them that somebody reads as another path.
fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let mut found = Vec::new();
    let Some(rest) = path.strip_prefix('/') else { return Ok(found) };
    let parts: Vec<&str> = rest.split('/').collect();
    let last = parts.len().saturating_sub(1);
    for (at, part) in parts.into_iter().enumerate() {
        let text = decode(part).ok_or_else(odd)?;
        // What follows a `;` is cut off by some servers before they look for the path.
        let is_odd = matches!(text.as_str(), "." | "..")
            || text.chars().any(|one| one.is_control() || matches!(one, '/' | '\\' | ';'));
        // An empty segment inside is merged away by some, and a second decoding by others finds more.
        if is_odd || (text.is_empty() && at != last) || decode(&text).is_some_and(|again| again != text) {
            return Err(odd());
        }
        found.push(text);
    }
    Ok(found)
}

fn odd() -> Refusal {
    Refusal::malformed("ambiguous_path", "the path can be read in more than one way")
}

/// Percent-decoded text; none where it is malformed or not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// Methods that are passed on, and headers that pretend others.
pub(crate) fn method(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if *method == Method::TRACE {
        // It echoes the head, credential and all.
        return Err(Refusal::forbidden("method_refused", "TRACE is not passed on"));
    }
    if PRETENDERS.iter().any(|name| headers.contains_key(*name)) {
        return Err(Refusal::malformed("method_override", "a header pretends another method or path"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_that_read_two_ways_are_refused() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a%2fb",
            "/a%5cb",
            "//a",
            "/a//b",
            "/a/..;x/b",
            "/a;x/b",
            "/a%3bx",
            "/%252e%252e/",
            "/a%00",
            "/a%zz",
            "/a%2",
            "/%ff",
        ] {
            assert!(segments(path).is_err(), "{path}");
        }
        assert_eq!(segments("/a%20b/c/").unwrap(), ["a b", "c", ""]);
        assert_eq!(segments("/100%25").unwrap(), ["100%"]);
        assert_eq!(segments("").unwrap(), Vec::<String>::new());
    }
}
