//! Frames of a client, cut out of bytes. No I/O here.

use crate::close::Close;
use bytes::{Buf, BytesMut};

/// Bounds of a client's frames, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct FrameLimits {
    /// Query, Parse, Bind, `CopyData`.
    pub large: usize,
    /// All others.
    pub small: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { large: 1024 * 1024, small: 16 * 1024 }
    }
}

/// Cuts frames from what has come so far.
#[derive(Debug)]
pub struct Frames {
    limits: FrameLimits,
    /// What has come and is not a frame yet.
    pub buffer: BytesMut,
}

impl Frames {
    /// None yet.
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, buffer: BytesMut::with_capacity(8 * 1024) }
    }

    /// Whether a frame has begun and is not whole.
    pub fn begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole frame, header included, with its kind.
    ///
    /// # Errors
    /// It is longer than its bound, or its length is impossible; known as soon as the header is there.
    pub fn cut(&mut self) -> Result<Option<(u8, BytesMut)>, Close> {
        let (Some(&kind), Some(&[a, b, c, d])) =
            (self.buffer.first(), self.buffer.get(1..).and_then(<[u8]>::first_chunk))
        else {
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
        if length < 4 {
            return Err(Close::Violation("length"));
        }
        let bound = match kind {
            b'Q' | b'P' | b'B' | b'd' => self.limits.large,
            b'E' | b'D' | b'C' | b'S' | b'H' | b'X' | b'c' | b'f' | b'F' | b'p' => self.limits.small,
            _ => return Err(Close::Violation("frame kind")),
        };
        if length > bound {
            return Err(Close::TooLong);
        }
        if self.buffer.len() < length + 1 {
            self.buffer.reserve(length + 1 - self.buffer.len());
            return Ok(None);
        }
        Ok(Some((kind, self.buffer.split_to(length + 1))))
    }

    /// Forget what has come.
    pub fn clear(&mut self) {
        self.buffer.advance(self.buffer.len());
    }
}
