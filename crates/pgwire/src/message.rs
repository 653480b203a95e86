//! Messages: what is read of a client's, and those that the gateway writes itself.

use crate::close::Close;
use bytes::Bytes;

/// Reads a frame's body from its front.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// A text that ends in a zero byte.
    pub fn text(&mut self) -> Result<&'a str, Close> {
        let end = self.0.iter().position(|b| *b == 0).ok_or(Close::Violation("unterminated text"))?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| Close::Violation("not UTF-8"))
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Close> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Close::Violation("short message"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn i16(&mut self) -> Result<i16, Close> {
        self.take(2)?.try_into().map(i16::from_be_bytes).map_err(|_| Close::Violation("short message"))
    }

    pub fn i32(&mut self) -> Result<i32, Close> {
        self.take(4)?.try_into().map(i32::from_be_bytes).map_err(|_| Close::Violation("short message"))
    }

    pub fn byte(&mut self) -> Result<u8, Close> {
        self.take(1)?.first().copied().ok_or(Close::Violation("short message"))
    }

    pub fn end(&self) -> Result<(), Close> {
        if self.0.is_empty() { Ok(()) } else { Err(Close::Violation("bytes after the message")) }
    }
}

/// The parameters of a Bind: a frame of the client, and where they stand in it.
#[derive(Debug, Clone, Default)]
pub struct Params {
    frame: Bytes,
    formats: Vec<i16>,
    spans: Vec<Option<(usize, usize)>>,
}

impl Params {
    /// How many.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The bytes of a parameter, from 0; none for NULL, and beyond the last.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let (from, to) = (*self.spans.get(at)?)?;
        self.frame.get(from..to)
    }

    /// Whether a parameter came in binary.
    pub fn binary(&self, at: usize) -> bool {
        let format = if self.formats.len() == 1 { self.formats.first() } else { self.formats.get(at) };
        format.is_some_and(|f| *f == 1)
    }
}

/// A Bind, read.
pub struct Bind {
    pub portal: String,
    pub statement: String,
    pub params: Params,
}

pub fn read_bind(frame: &Bytes) -> Result<Bind, Close> {
    let body = frame.get(5..).unwrap_or_default();
    let mut reader = Reader(body);
    let portal = reader.text()?.to_owned();
    let statement = reader.text()?.to_owned();
    let count = |n: i16| usize::try_from(n).map_err(|_| Close::Violation("count"));
    let formats = (0..count(reader.i16()?)?).map(|_| reader.i16()).collect::<Result<Vec<_>, _>>()?;
    // PostgreSQL counts parameters in 16 bits without a sign.
    let values = usize::from(reader.i16()?.cast_unsigned());
    let mut spans = Vec::with_capacity(values.min(1024));
    for _ in 0..values {
        let length = reader.i32()?;
        if length == -1 {
            spans.push(None);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| Close::Violation("length"))?;
        let from = frame.len() - reader.0.len();
        reader.take(length)?;
        spans.push(Some((from, from + length)));
    }
    for _ in 0..count(reader.i16()?)? {
        reader.i16()?;
    }
    reader.end()?;
    Ok(Bind { portal, statement, params: Params { frame: frame.clone(), formats, spans } })
}

/// The type numbers of a Parse, behind its texts; or of a `ParameterDescription`.
pub fn read_types(body: &[u8]) -> Result<Vec<u32>, Close> {
    let mut reader = Reader(body);
    let count = usize::from(reader.i16()?.cast_unsigned());
    let types = (0..count).map(|_| reader.i32().map(i32::cast_unsigned)).collect::<Result<Vec<_>, _>>()?;
    reader.end()?;
    Ok(types)
}

/// A frame of that kind.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// An `ErrorResponse`. `reason` becomes its detail, so that a client may read the code alone.
pub fn error_response(severity: &str, state: &str, message: &str, reason: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, text) in [(b'S', severity), (b'V', severity), (b'C', state), (b'M', message), (b'D', reason)] {
        if !text.is_empty() {
            body.push(field);
            body.extend(text.bytes().filter(|b| *b != 0));
            body.push(0);
        }
    }
    body.push(0);
    frame(b'E', &body)
}

/// The code and message of an `ErrorResponse`'s body.
pub fn error_fields(body: &[u8]) -> (String, String) {
    let (mut code, mut message) = (String::new(), String::new());
    for field in body.split(|b| *b == 0) {
        match field.split_first() {
            Some((b'C', text)) => code = String::from_utf8_lossy(text).into_owned(),
            Some((b'M', text)) => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    (code, message)
}
