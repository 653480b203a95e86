//! As little HTTP/1.1 as a load needs.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::plan::Plan;

/// A request's bytes, and where its number goes.
pub struct Prepared {
    pub bytes: Vec<u8>,
    stamps: Vec<std::ops::Range<usize>>,
}

impl Prepared {
    pub fn new<'h>(plan: &Plan, headers: impl Iterator<Item = &'h String>, body: &str) -> Self {
        let (path, addr, length) = (&plan.path, &plan.addr, body.len());
        let mut text = format!(
            "POST {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        let start = text.len();
        text.push_str(body);
        let stamps = match plan.stamp.as_str() {
            "" => Vec::new(),
            stamp => text[start..].match_indices(stamp).map(|(at, _)| start + at..start + at + stamp.len()).collect(),
        };
        Self { bytes: text.into_bytes(), stamps }
    }

    /// Write `number` where it goes, with leading noughts.
    pub fn stamp(&mut self, number: u64) {
        for place in &self.stamps {
            let mut rest = number;
            for byte in self.bytes[place.clone()].iter_mut().rev() {
                *byte = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        }
    }
}

/// Where an answer lies in its buffer.
pub struct Answer {
    pub status: u16,
    pub head: usize,
    pub end: usize,
}

/// The first place of `needle` in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1)).position(|part| part == needle)
}

/// Read one answer into `buffer`.
pub async fn response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Answer, String> {
    buffer.clear();
    let mut body: Option<(usize, usize)> = None;
    loop {
        if body.is_none()
            && let Some(at) = find(buffer, b"\r\n\r\n")
        {
            body = Some((at + 4, length(&buffer[..at])?));
        }
        if let Some((head, length)) = body
            && buffer.len() >= head + length
        {
            let status = buffer
                .get(9..12)
                .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
                .ok_or("an answer without a status")?;
            return Ok(Answer { status, head, end: head + length });
        }
        let read = stream.read_buf(buffer).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection".into());
        }
    }
}

fn length(head: &[u8]) -> Result<usize, String> {
    for line in head.split(|byte| *byte == b'\n') {
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            let digits = std::str::from_utf8(&line[15..]).unwrap_or_default().trim();
            return digits.parse().map_err(|_| "a length that is no number".into());
        }
    }
    Err("an answer without a length".into())
}
