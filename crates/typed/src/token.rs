//! Values that are whole tokens of running text: identifiers, paths, URLs and hosts.

use smol_str::SmolStr;

use crate::datum::one;
use crate::host::is_public;
use crate::scan::is_hidden;
use crate::words::is_punctuation;
use crate::{Datum, Kind, Readings, derived, exact, host, url};

/// The longest quoted name, in bytes.
const QUOTED: usize = 256;

/// Calls `each` with every token: what stands between white space, quotation marks and angle brackets.
fn tokens<'a>(text: &'a str, each: &mut dyn FnMut(&'a str)) {
    let divides = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '`' | '|' | '“' | '”' | '„' | '«' | '»');
    text.split(divides).filter(|token| !token.is_empty()).for_each(each);
}

/// The token without the punctuation around it. Closing brackets stay where they close one within.
fn bare(token: &str) -> &str {
    let mut token = token.trim_start_matches(['(', '[', '{', '\'', '‘', '’', '*', ',', ';', ':', '!', '?']);
    // So many rounds, as each looks through the token.
    for _ in 0..8 {
        let shorter = token.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '‘', '’', '*', '…']);
        let shorter = [('(', ')'), ('[', ']'), ('{', '}')].into_iter().fold(shorter, |token, (open, close)| {
            token.strip_suffix(close).filter(|inner| !inner.contains(open)).unwrap_or(token)
        });
        // "user's"
        let shorter = shorter.strip_suffix("'s").or_else(|| shorter.strip_suffix("’s")).unwrap_or(shorter);
        if shorter.len() == token.len() {
            return token;
        }
        token = shorter;
    }
    token
}

/// Calls `each` with what stands in quotation marks, on one line.
fn quoted<'a>(text: &'a str, each: &mut dyn FnMut(&'a str)) {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let close = match c {
            '"' | '`' => c,
            '\'' if !before.is_alphanumeric() => c,
            '“' | '„' => '”',
            '‘' => '’',
            '«' => '»',
            _ => {
                before = c;
                continue;
            }
        };
        before = c;
        let Some(rest) = text.get(at + c.len_utf8()..) else { continue };
        let end = rest.char_indices().take_while(|(at, c)| *at <= QUOTED && *c != '\n').find(|(at, found)| {
            let closes = *found == close || (c == '„' && *found == '“');
            // An apostrophe within a word closes nothing.
            closes && (close != '\'' && close != '’' || !follows_letter(rest, at + found.len_utf8()))
        });
        if let Some(inner) = end.and_then(|(end, _)| rest.get(..end)).filter(|inner| is_name(inner)) {
            each(inner);
        }
    }
}

fn follows_letter(text: &str, at: usize) -> bool {
    text.get(at..).and_then(|rest| rest.chars().next()).is_some_and(char::is_alphanumeric)
}

fn is_name(inner: &str) -> bool {
    !inner.is_empty() && inner.trim() == inner
}

fn give(kind: Kind, normal: Option<SmolStr>, each: &mut dyn FnMut(Readings)) {
    if let Some(normal) = normal {
        each(one(Datum::Str { kind, normal }));
    }
}

/// Every identifier: quoted names, and tokens with a digit or an interior sign. Of "#12" and "id=12" the parts
/// are given too.
pub(crate) fn find_ids(text: &str, each: &mut dyn FnMut(Readings)) {
    quoted(text, &mut |inner| give(Kind::Id, exact::id(inner), each));
    tokens(text, &mut |token| {
        let token = bare(token);
        if token.len() > exact::LONGEST || token.chars().any(is_hidden) {
            return;
        }
        let mut whole = true;
        if is_id(token) {
            give(Kind::Id, exact::id(token), each);
        } else {
            whole = false;
        }
        let joins =
            |c: char| matches!(c, '#' | '=' | ':' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '&' | '?' | '\'');
        if token.contains(joins) {
            for part in token.split(joins).map(bare).filter(|part| is_id(part) && !(whole && *part == token)) {
                give(Kind::Id, exact::id(part), each);
            }
        }
    });
}

/// Calls `each` with every whole token of running text as an identifier, however plain a word it is: what stands
/// between blanks, without punctuation, brackets and quotation marks at its ends. The work is linear in the length
/// of the text.
pub fn find_names(text: &str, each: &mut dyn FnMut(SmolStr)) {
    for token in text.split_whitespace().filter(|token| token.len() <= 2 * exact::LONGEST) {
        let token = token.trim_matches(is_punctuation);
        let owner = token.strip_suffix("'s").or_else(|| token.strip_suffix("’s"));
        [Some(token), owner].into_iter().flatten().filter_map(exact::id).for_each(&mut *each);
    }
}

/// A digit, or a sign between letters.
fn is_id(token: &str) -> bool {
    let inner = token.trim_matches(['-', '_', '.', '/']);
    token.bytes().any(|byte| byte.is_ascii_digit()) || inner.contains(['-', '_', '.', '/'])
}

/// Every path: tokens and quoted names with a `/`, a file's ending or a point before them.
pub(crate) fn find_paths(text: &str, each: &mut dyn FnMut(Readings)) {
    quoted(text, &mut |inner| {
        if inner.contains(' ') && is_path(inner) {
            give(Kind::Path, exact::path(inner), each);
        }
    });
    tokens(text, &mut |token| {
        let token = bare(token);
        if is_path(token) {
            give(Kind::Path, exact::path(token), each);
        }
        if token.contains([',', ';', '=', ':']) && !token.contains("://") {
            for part in token.split([',', ';', '=', ':']).map(bare).filter(|part| *part != token && is_path(part)) {
                give(Kind::Path, exact::path(part), each);
            }
        }
    });
}

fn is_path(token: &str) -> bool {
    if token.contains("://") || token.len() > exact::LONGEST {
        return false;
    }
    let ending = token.rsplit_once('.').is_some_and(|(name, ending)| {
        let plain = ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
        !name.is_empty() && (1..=8).contains(&ending.len()) && plain && ending.bytes().any(|b| b.is_ascii_alphabetic())
    });
    // ".env"
    let hidden = token.strip_prefix('.').is_some_and(|name| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(plain)
    });
    ending
        || hidden
        || token.contains('/')
        || matches!(token.as_bytes(), [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic())
}

/// Calls `each` with every whole token of running text as a path, however plain a word it is: `Makefile`. A lone
/// point is the folder itself. The work is linear in the length of the text.
pub fn find_path_names(text: &str, each: &mut dyn FnMut(SmolStr)) {
    tokens(text, &mut |token| {
        let name = if token == "." { token } else { bare(token) };
        let names = name == "." || name.contains(char::is_alphanumeric);
        if names && !name.contains("://") {
            exact::path(name).into_iter().for_each(&mut *each);
        }
    });
}

/// Calls `each` with every piece of text that may be a URL: with a scheme, or the parts of a token.
fn pieces<'a>(text: &'a str, each: &mut dyn FnMut(&'a str)) {
    tokens(text, &mut |token| {
        if token.len() > 2 * url::LONGEST {
            return;
        }
        if let Some(at) = token.find("://") {
            let scheme = token.get(..at).unwrap_or_default();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.');
            let start = scheme.trim_end_matches(plain).len();
            // What stands before a scheme must not be a part of it.
            if !scheme.get(..start).is_some_and(|before| before.chars().next_back().is_some_and(crate::scan::is_glue)) {
                each(bare(token.get(start..).unwrap_or_default()));
            }
            return;
        }
        let divides = |c: char| matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '*');
        // "url=example.com"
        let value = |piece: &'a str| match piece.split_once('=') {
            Some((name, value)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => value,
            _ => piece,
        };
        token
            .split(divides)
            .map(value)
            .map(bare)
            .filter(|piece| piece.contains('.') || *piece == "localhost")
            .for_each(&mut *each);
    });
}

/// Every URL. One without a scheme stands for itself and for both schemes of the web.
pub(crate) fn find_urls(text: &str, each: &mut dyn FnMut(Readings)) {
    pieces(text, &mut |piece| {
        let Some(normal) = url::url(piece) else { return };
        let mut readings = one(Datum::Str { kind: Kind::Url, normal });
        if !piece.contains("://") {
            for scheme in ["https", "http"] {
                if let Some(normal) = url::url(&format!("{scheme}://{piece}")) {
                    readings.push(Datum::Str { kind: Kind::Url, normal });
                }
            }
        }
        each(readings);
    });
}

/// Every host: those of URLs among them, those of e-mail addresses not.
pub(crate) fn find_hosts(text: &str, each: &mut dyn FnMut(Readings)) {
    pieces(text, &mut |piece| {
        let normal = match url::url(piece) {
            Some(url) => derived::url_host(&url).map(SmolStr::new),
            None => host::host(piece).filter(|host| is_public(host)).map(|host| SmolStr::new(host::without_www(&host))),
        };
        give(Kind::Host, normal, each);
    });
}
