//! The server's bytes, looked at as they pass. Rows are counted by their headers and never gathered.
//! No I/O here.

use crate::close::Close;
use bytes::BytesMut;

/// The longest message that is looked into.
const LONGEST: usize = 256 * 1024;

/// What becomes of a message that was looked into.
pub enum Pass {
    As,
    Instead(Vec<u8>),
}

#[derive(Debug, Default)]
pub struct Backend {
    /// A header or a message that is looked into, as far as it has come.
    partial: BytesMut,
    /// Bytes of a message that pass unseen.
    passing: usize,
}

/// Which messages are looked into; all others pass as they come.
const fn inspected(kind: u8) -> bool {
    matches!(kind, b'1' | b'2' | b'3' | b'C' | b's' | b'I' | b'E' | b'Z' | b'G' | b'S' | b't')
}

impl Backend {
    /// Take bytes of the server; what is to go to the client is put behind `out`. `row` is told the
    /// length of each row before it passes, `seen` gets the messages that are looked into.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut BytesMut,
        mut row: impl FnMut(u64) -> Result<(), Close>,
        mut seen: impl FnMut(u8, &[u8]) -> Result<Pass, Close>,
    ) -> Result<(), Close> {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let (now, rest) = bytes.split_at(self.passing.min(bytes.len()));
                out.extend_from_slice(now);
                self.passing -= now.len();
                bytes = rest;
                continue;
            }
            let wanted = self.wanted();
            let (now, rest) = bytes.split_at(wanted.saturating_sub(self.partial.len()).min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = rest;
            let Some((&kind, rest)) = self.partial.split_first() else { continue };
            let Some(&length) = rest.first_chunk() else { continue };
            let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
            if length < 4 {
                return Err(Close::Upstream("length"));
            }
            if !inspected(kind) {
                if matches!(kind, b'D' | b'd') {
                    row(length as u64 - 4)?;
                }
                out.extend_from_slice(&self.partial);
                self.partial.clear();
                self.passing = length - 4;
            } else if length > LONGEST {
                return Err(Close::Upstream("message too long"));
            } else if self.partial.len() == length + 1 {
                match seen(kind, self.partial.get(5..).unwrap_or_default())? {
                    Pass::As => out.extend_from_slice(&self.partial),
                    Pass::Instead(other) => out.extend_from_slice(&other),
                }
                self.partial.clear();
            }
        }
        Ok(())
    }

    /// How long `partial` must be before more can be said.
    fn wanted(&self) -> usize {
        match self.partial.split_first().and_then(|(_, rest)| rest.first_chunk()) {
            Some(&length) => usize::try_from(i32::from_be_bytes(length)).unwrap_or(4).min(LONGEST + 1) + 1,
            None => 5,
        }
    }

    /// Whether the client has had whole messages only: then the gateway may write one of its own.
    pub const fn between(&self) -> bool {
        self.passing == 0
    }
}
