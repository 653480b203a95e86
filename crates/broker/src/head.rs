//! A request's head, read once more and strictly, before hyper reads it.
//!
//! hyper repairs what RFC 9112 lets a server repair: a Content-Length beside a Transfer-Encoding, a
//! folded line, a bare line feed. What two readers may read differently is the stuff of request
//! smuggling, so here it is refused, not repaired.

use hyper::StatusCode;
use memchr::{memchr, memmem};

use crate::answer::Refusal;

/// How a request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body, or one of this length.
    Length(u64),
    /// Chunked.
    Chunked,
}

/// What the head says of what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the connection may stop being HTTP after it: CONNECT, or an upgrade.
    pub may_switch: bool,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Not a request line, or not HTTP/1.1's alphabet.
    RequestLine,
    /// Another version, HTTP/2's opening among them.
    Version,
    /// A carriage return or line feed alone, or a zero byte.
    LineEnd,
    /// A header line that is none, or continues the one before.
    HeaderLine,
    /// A header that must stand once, and does not.
    Host,
    /// Lengths that are malformed, or several.
    Length,
    /// A transfer coding that is not `chunked` alone.
    Coding,
    /// More bytes or headers than the bound.
    TooLarge,
    /// Not complete in time.
    TooSlow,
}

impl Violation {
    pub(crate) fn refusal(self) -> Refusal {
        let malformed = Refusal::malformed;
        let refusal = match self {
            Self::RequestLine => malformed("malformed_request_line", "the request line is malformed"),
            Self::Version => Refusal::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "version_not_supported",
                "only HTTP/1.1 is spoken here",
            ),
            Self::LineEnd => malformed("bare_line_end", "a line must end with CR LF, and hold neither"),
            Self::HeaderLine => malformed("malformed_header", "a header line is malformed or folded"),
            Self::Host => malformed("ambiguous_host", "there must be one Host header"),
            Self::Length => malformed("ambiguous_length", "the body's length is not certain"),
            Self::Coding => malformed("ambiguous_length", "the only transfer coding is `chunked`"),
            Self::TooLarge => Refusal::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "the request's head is too large",
            ),
            Self::TooSlow => {
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "head_too_slow", "the request's head took too long")
            }
        };
        refusal.closing()
    }
}

/// Where a head ends in a buffer, its last empty line included. `from` is how far it was looked at.
pub(crate) fn end(buffer: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    memmem::find(buffer.get(from..)?, b"\r\n\r\n").map(|at| from + at + 4)
}

/// Whether a head that is not complete yet can be refused already. `from` is how far it was looked at.
pub(crate) fn early(buffer: &[u8], from: usize) -> Option<Violation> {
    if buffer.starts_with(b"PRI ") {
        return Some(Violation::Version);
    }
    let mut at = from;
    while let Some(found) = buffer.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        let lf = at + found;
        if lf == 0 || buffer.get(lf - 1) != Some(&b'\r') {
            return Some(Violation::LineEnd);
        }
        at = lf + 1;
    }
    None
}

/// Check a whole head, up to and with its empty line.
///
/// # Errors
/// The violation.
pub fn check(head: &[u8], most_headers: usize) -> Result<Facts, Violation> {
    let mut lines = Lines(head);
    let request = lines.next().ok_or(Violation::RequestLine)??;
    let (method, old) = request_line(request)?;
    let mut count = 0;
    let (mut hosts, mut length, mut chunked, mut upgrade) = (0, None, false, false);
    let mut ended = false;
    for line in lines.by_ref() {
        let line = line?;
        if line.is_empty() {
            ended = true;
            break;
        }
        count += 1;
        if count > most_headers {
            return Err(Violation::TooLarge);
        }
        let (name, value) = header_line(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Violation::Length);
            }
            length = Some(whole(value).ok_or(Violation::Length)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::Coding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        }
    }
    if !ended || !lines.0.is_empty() {
        return Err(Violation::HeaderLine);
    }
    if hosts != 1 && !(old && hosts == 0) {
        return Err(Violation::Host);
    }
    let framing = match (length, chunked) {
        (Some(_), true) => return Err(Violation::Length),
        (_, true) => Framing::Chunked,
        (length, false) => Framing::Length(length.unwrap_or(0)),
    };
    let connect = method == b"CONNECT";
    if connect && framing != Framing::Length(0) {
        return Err(Violation::Length);
    }
    Ok(Facts { framing, may_switch: connect || upgrade })
}

/// `METHOD SP target SP HTTP/1.1`; the method, and whether it is of HTTP/1.0. Only a tunnel may be: Python's `http.client`
/// before 3.12 opens them so, without a Host.
fn request_line(line: &[u8]) -> Result<(&[u8], bool), Violation> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Violation::RequestLine);
    };
    let method_is_sound =
        (1..=24).contains(&method.len()) && method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    // A fragment never belongs on the wire, and a backslash is a slash to some.
    let target_is_sound =
        !target.is_empty() && target.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\'));
    if !method_is_sound || !target_is_sound {
        return Err(Violation::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok((method, false)),
        b"HTTP/1.0" if method == b"CONNECT" => Ok((method, true)),
        _ => Err(Violation::Version),
    }
}

/// Name and trimmed value of a header line.
fn header_line(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let colon = memchr(b':', line).ok_or(Violation::HeaderLine)?;
    let (name, rest) = line.split_at(colon);
    let value = rest.get(1..).unwrap_or_default();
    // A name that begins with a blank continues the line before; one that ends with it hides the name.
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Violation::HeaderLine);
    }
    if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(Violation::HeaderLine);
    }
    Ok((name, value.trim_ascii()))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A length: digits alone, and not so many that they overflow somewhere.
fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// The lines of a head, each of which must end with CR LF and hold neither, nor a zero byte.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some(lf) = memchr(b'\n', self.0) else {
            self.0 = &[];
            return Some(Err(Violation::LineEnd));
        };
        let (line, rest) = self.0.split_at(lf);
        self.0 = rest.get(1..).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else { return Some(Err(Violation::LineEnd)) };
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Some(Err(Violation::LineEnd));
        }
        Some(Ok(line))
    }
}
