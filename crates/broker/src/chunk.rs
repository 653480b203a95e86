//! Where a chunked body ends, read strictly: no extensions, no trailers, sizes that no reader doubts.

/// How far into a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// In a chunk's size: digits seen, and their value.
    Size(u8, u64),
    /// After the size's CR. True: it was the last chunk.
    SizeEnd(u64),
    /// In the data.
    Data(u64),
    /// After the data.
    DataCr,
    DataLf,
    /// After the last chunk.
    LastCr,
    LastLf,
    /// At the end.
    Done,
}

/// What is no chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadChunk;

impl Chunked {
    pub(crate) const START: Self = Self::Size(0, 0);

    /// Read on. Returns how many bytes of the buffer belong to the body; fewer than there are only at
    /// its end.
    pub(crate) fn feed(&mut self, buffer: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while *self != Self::Done {
            if let Self::Data(left) = *self {
                let here = buffer.len() - at;
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                at += take;
                let left = left - take as u64;
                if left > 0 {
                    *self = Self::Data(left);
                    return Ok(at);
                }
                *self = Self::DataCr;
            }
            let Some(byte) = buffer.get(at) else { return Ok(at) };
            *self = self.step(*byte)?;
            at += 1;
        }
        Ok(at)
    }

    fn step(self, byte: u8) -> Result<Self, BadChunk> {
        Ok(match (self, byte) {
            // Fifteen digits are 2^60: more than anybody sends, less than anybody's overflow.
            (Self::Size(digits @ 0..15, size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                Self::Size(digits + 1, size * 16 + u64::from(digit))
            }
            (Self::Size(1.., size), b'\r') => Self::SizeEnd(size),
            (Self::SizeEnd(0), b'\n') => Self::LastCr,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => Self::Done,
            _ => return Err(BadChunk),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_end_is_found_whatever_the_pieces() {
        let body = b"4\r\nabcd\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        let more = [body.as_slice(), b"GET / HTTP/1.1"].concat();
        for piece in 1..more.len() {
            let mut state = Chunked::START;
            let mut read = 0;
            for part in more.chunks(piece) {
                read += state.feed(part).unwrap();
                if state == Chunked::Done {
                    break;
                }
            }
            assert_eq!(read, body.len());
        }
    }

    #[test]
    fn what_readers_read_differently_is_refused() {
        let wrong: [&[u8]; 9] = [
            b"4;name=value\r\nabcd\r\n",
            b" 4\r\nabcd\r\n",
            b"0x4\r\nabcd\r\n",
            b"4\nabcd\r\n",
            b"\r\nabcd",
            b"1000000000000000\r\n",
            b"4\r\nabcdX",
            b"0\r\nTrailer: x\r\n\r\n",
            b"+4\r\nabcd\r\n",
        ];
        for body in wrong {
            let mut state = Chunked::START;
            assert_eq!(state.feed(body), Err(BadChunk), "{}", String::from_utf8_lossy(body));
        }
    }
}
