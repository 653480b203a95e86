//! URLs, with and without their scheme.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::exact::nfc;
use crate::host::{host, is_public, without_www};

/// The longest URL, in bytes.
pub(crate) const LONGEST: usize = 2_048;

/// The whole text as one URL in normal form: scheme and host in lower case, no default port, no `www.`, no fragment,
/// dots resolved. A scheme is kept if it is given and never made up. User information makes it none: what stands
/// before an `@` imitates a host.
pub(crate) fn url(text: &str) -> Option<SmolStr> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let text = nfc(text)?;
    if text.chars().any(|c| c.is_whitespace() || matches!(c, '\\' | '<' | '>' | '"' | '`' | '{' | '}' | '|' | '^')) {
        return None;
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme.to_ascii_lowercase()), rest),
        Some((before, _)) if !before.contains(['/', '?', '#']) => return None,
        _ => (None, &*text),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // An `@` is no character of a host or port.
    let (name, port) = split_port(authority)?;
    let name = host(name)?;
    let name = without_www(&name);
    if scheme.is_none() && !is_public(name) {
        return None;
    }
    let rest = rest.split('#').next()?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut normal = String::with_capacity(text.len() + 1);
    if let Some(scheme) = &scheme {
        normal.push_str(scheme);
        normal.push_str("://");
    }
    if name.contains(':') {
        normal.push('[');
        normal.push_str(name);
        normal.push(']');
    } else {
        normal.push_str(name);
    }
    if let Some(port) = port.filter(|port| default_port(scheme.as_deref()) != Some(*port)) {
        normal.push(':');
        normal.push_str(&port.to_string());
    }
    push_path(&mut normal, path);
    if let Some(query) = query {
        normal.push('?');
        push_escaped(&mut normal, query);
    }
    Some(SmolStr::from(normal))
}

fn is_scheme(scheme: &str) -> bool {
    scheme.len() <= 16
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn default_port(scheme: Option<&str>) -> Option<u16> {
    match scheme? {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// The host and the port of an authority. An empty port is none.
pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (_, port) = rest.split_once(']')?;
        (authority.get(..authority.len() - port.len())?, port)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    match port {
        "" | ":" => Some((name, None)),
        port => {
            let port = port.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
            Some((name, Some(port.parse().ok()?)))
        }
    }
}

/// The path with `.` and `..` resolved, as every client resolves them.
fn push_path(normal: &mut String, path: &str) {
    let mut parts: SmallVec<[&str; 8]> = SmallVec::new();
    let mut folder = true;
    for part in path.split('/').skip(1) {
        folder = false;
        if is_dots(part, 1) {
            folder = true;
        } else if is_dots(part, 2) {
            parts.pop();
            folder = true;
        } else {
            parts.push(part);
        }
    }
    for part in &parts {
        normal.push('/');
        push_escaped(normal, part);
    }
    if folder {
        normal.push('/');
    }
}

/// Whether a part is so many points, escaped or not.
fn is_dots(part: &str, count: usize) -> bool {
    let mut rest = part;
    for _ in 0..count {
        let escaped = rest.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("%2e"));
        rest = match rest.strip_prefix('.') {
            Some(rest) => rest,
            None if escaped => rest.get(3..).unwrap_or_default(),
            None => return false,
        };
    }
    rest.is_empty()
}

/// The text with the digits of its escapes in upper case.
fn push_escaped(normal: &mut String, text: &str) {
    let mut digits = 0;
    for c in text.chars() {
        if c == '%' {
            digits = 2;
            normal.push(c);
        } else if digits > 0 && c.is_ascii_hexdigit() {
            digits -= 1;
            normal.push(c.to_ascii_uppercase());
        } else {
            digits = 0;
            normal.push(c);
        }
    }
}
