//! E-mail addresses.

use smol_str::SmolStr;

use crate::Readings;
use crate::exact::{compose, lower, nfc};
use crate::host::{host, is_top};
use crate::scan::is_unseen;
use crate::{Datum, Kind};

/// The longest local part, in bytes.
const LOCAL: usize = 64;
/// The longest address, in bytes.
const LONGEST: usize = 254;

/// The whole text as one address: in lower case; `mailto:` and angle brackets around it fall away.
pub(crate) fn email(text: &str) -> Option<SmolStr> {
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let text = match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => text.get(7..)?,
        _ => text,
    };
    // With a name before it: `Ann <ann@example.com>`.
    address(text).or_else(|| {
        let (name, rest) = text.split_once('<')?;
        let inner = rest.strip_suffix('>').filter(|_| !name.contains(['@', '>']) && nfc(name).is_some())?;
        address(inner)
    })
}

fn address(text: &str) -> Option<SmolStr> {
    if text.len() > LONGEST {
        return None;
    }
    let text = nfc(text)?;
    let (local, domain) = text.split_once('@')?;
    let plain = local.chars().all(is_local) && !local.starts_with(['.', '\'']) && !local.ends_with('.');
    if local.is_empty() || local.len() > LOCAL || !plain || local.contains("..") {
        return None;
    }
    let domain = host(domain).filter(|_| !domain.ends_with('.'))?;
    let (_, top) = domain.rsplit_once('.')?;
    if !is_top(top) {
        return None;
    }
    let folded: String = local.chars().map(lower).chain(std::iter::once('@')).chain(domain.chars()).collect();
    Some(SmolStr::from(compose(&folded)))
}

/// Characters of a local part.
fn is_local(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'' | '&' | '~')
}

/// Every address in running text.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    for (at, _) in text.match_indices('@') {
        if let Some(normal) = around(text, at) {
            each(crate::datum::one(Datum::Str { kind: Kind::Email, normal }));
        }
    }
}

/// The address around an `@`. Both sides are walked no further than an address can reach.
fn around(text: &str, at: usize) -> Option<SmolStr> {
    let before = text.get(..at)?;
    let mut start = at;
    let mut bound = None;
    for c in before.chars().rev() {
        // Combining marks are composed when the address is read.
        if !is_local(c) && !is_unseen(c) {
            bound = Some(c);
            break;
        }
        start -= c.len_utf8();
        if at - start > LOCAL + 1 {
            return None;
        }
    }
    // Characters of a local part that is not read: what stands behind them is another address.
    if bound.is_some_and(|c| matches!(c, '@' | '=' | '/' | '?' | '#' | '$' | '!' | '^' | '\\')) {
        return None;
    }
    let mut end = at + 1;
    let mut bound = None;
    for c in text.get(end..)?.chars() {
        if !(c.is_alphanumeric() || matches!(c, '.' | '-') || is_unseen(c)) {
            bound = Some(c);
            break;
        }
        end += c.len_utf8();
        if end - at > LONGEST {
            return None;
        }
    }
    if bound.is_some_and(|c| matches!(c, '@' | '_' | '\\')) {
        return None;
    }
    let written = text.get(start..end)?;
    // A quote before the address is no part of it, nor is the end of a sentence behind it.
    address(written.trim_start_matches(['\'', '.', '-', '&']).trim_end_matches(['.', '-']))
}
