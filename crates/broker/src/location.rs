//! Where an answer sends the client: to its own upstream, or nowhere.

use crate::answer::Refusal;
use crate::settings::{Upstream, default_port};
use crate::target::Target;
use hyper::header::{ALT_SVC, CONTENT_ENCODING, HeaderValue, LOCATION, REFRESH, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, StatusCode};

/// Clean an answer's head of what would lead the client around the broker.
pub(crate) fn clean(status: StatusCode, headers: &mut HeaderMap, target: &Target) -> Result<(), Refusal> {
    let packed = |value: &HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(packed) {
        return Err(Refusal::upstream("encoded_answer", "the upstream packs its answer, though it was asked not to"));
    }
    crate::headers::strip_hops(headers);
    // A session that the API begins for the key is a credential as well.
    headers.remove(SET_COOKIE);
    headers.remove(ALT_SVC);
    headers.remove(REFRESH);
    if target.prefix.is_some() {
        headers.remove(STRICT_TRANSPORT_SECURITY);
    }
    let mut locations = headers.get_all(LOCATION).iter();
    let Some(location) = locations.next() else { return Ok(()) };
    let leads = if locations.next().is_none() { leads(location, target) } else { Leads::Away };
    match leads {
        Leads::Here => {}
        Leads::HereAs(rewritten) => {
            headers.insert(LOCATION, rewritten);
        }
        Leads::Away if status.is_redirection() => {
            return Err(Refusal::upstream("redirect_refused", "the upstream redirects to another host"));
        }
        Leads::Away => {
            headers.remove(LOCATION);
        }
    }
    Ok(())
}

/// Where a location leads.
enum Leads {
    /// To its own upstream, as it stands.
    Here,
    /// To its own upstream, which the client knows by this name.
    HereAs(HeaderValue),
    Away,
}

fn leads(location: &HeaderValue, target: &Target) -> Leads {
    let Some(text) = location.to_str().ok().map(str::trim) else { return Leads::Away };
    // A backslash or a blank is a slash, or nothing, to some readers.
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
        return Leads::Away;
    }
    let Some(path) = path_here(text, &target.upstream) else { return Leads::Away };
    let (Some(prefix), true) = (&target.prefix, path.starts_with('/') || path.is_empty() || has_authority(text)) else {
        return Leads::Here;
    };
    let below = path.strip_prefix(target.upstream.base.as_str());
    let Some(below) = below.filter(|below| below.is_empty() || below.starts_with(['/', '?', '#'])) else {
        return Leads::Away;
    };
    let slash = if below.starts_with('/') { "" } else { "/" };
    HeaderValue::from_str(&format!("{prefix}{slash}{below}")).map_or(Leads::Away, Leads::HereAs)
}

/// What follows the authority, if that is the upstream's or none is written.
fn path_here<'a>(text: &'a str, upstream: &Upstream) -> Option<&'a str> {
    let (authority, path) = if let Some(rest) = text.strip_prefix("//") {
        split(rest)?
    } else if let Some((scheme, rest)) = scheme(text) {
        if !scheme.eq_ignore_ascii_case(if upstream.https { "https" } else { "http" }) {
            return None;
        }
        split(rest.strip_prefix("//")?)?
    } else {
        return Some(text);
    };
    is_upstream(authority, upstream).then_some(path)
}

fn has_authority(text: &str) -> bool {
    text.starts_with("//") || scheme(text).is_some()
}

/// Authority and what follows it. An authority must stand there.
fn split(rest: &str) -> Option<(&str, &str)> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (!authority.is_empty()).then_some((authority, path))
}

fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    // A colon behind a slash, a mark or a hash is part of a path or what follows it.
    (!scheme.contains(['/', '?', '#'])).then_some((scheme, rest))
}

fn is_upstream(authority: &str, upstream: &Upstream) -> bool {
    let Ok(parsed) = authority.parse::<Authority>() else { return false };
    let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
    !authority.contains('@')
        && host.eq_ignore_ascii_case(&upstream.host)
        && parsed.port_u16().unwrap_or(default_port(upstream.https)) == upstream.port
}
