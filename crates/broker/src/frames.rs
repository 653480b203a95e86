//! The frames of a WebSocket (RFC 6455, 5.2), from the server to the client: what is scrubbed is the message, whatever
//! frames it comes in.
//!
//! A message may be cut anywhere, and frames of control may stand between its pieces. Nothing changes its length, so each
//! frame keeps its head; what is held back of a message holds back what stands behind it.

use crate::scrub::{Needles, Scrubber};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Bytes of heads and control frames that may wait behind what is held back of a message.
const MOST_WAITING: usize = 16 * 1024;
/// Payload of a control frame at most (5.5).
const CONTROL: u64 = 125;
/// The longest head that an unmasked frame may have.
const HEAD: usize = 10;

/// It does not keep to the protocol: nobody can say what its messages are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

enum State {
    Head(BytesMut),
    /// Payload of a message that is to come, and whether its last frame this is.
    Data {
        left: u64,
        last: bool,
    },
    /// A control frame's.
    Control(BytesMut, usize),
}

/// What comes from the server, frame by frame.
pub(crate) struct Frames {
    needles: Needles,
    scrubber: Scrubber,
    state: State,
    /// A message has begun and not ended.
    open: bool,
    /// Payload bytes that went in, and that came out.
    taken: u64,
    given: u64,
    /// Heads and control frames, each behind so many payload bytes.
    waiting: VecDeque<(u64, Bytes)>,
    waiting_bytes: usize,
}

impl Frames {
    pub(crate) fn new(needles: Needles) -> Self {
        Self {
            scrubber: Scrubber::new(needles.clone()),
            needles,
            state: State::Head(BytesMut::new()),
            open: false,
            taken: 0,
            given: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// The next piece in, what is sure out.
    pub(crate) fn push(&mut self, mut piece: Bytes) -> Result<Bytes, Malformed> {
        if self.needles.is_empty() {
            return Ok(piece);
        }
        let mut out = BytesMut::with_capacity(piece.len());
        while !piece.is_empty() {
            match &mut self.state {
                State::Head(head) => {
                    head.extend_from_slice(&piece.split_to(1));
                    if let Some(length) = length(head)? {
                        let head = std::mem::take(head);
                        self.begin(head, length)?;
                    }
                }
                State::Control(frame, left) => {
                    let some = piece.split_to(piece.len().min(*left));
                    *left -= some.len();
                    frame.extend_from_slice(&some);
                }
                State::Data { left, .. } => {
                    let some = piece.split_to(usize::try_from(*left).map_or(piece.len(), |left| piece.len().min(left)));
                    *left -= some.len() as u64;
                    self.taken += some.len() as u64;
                    let sure = self.scrubber.push(some);
                    self.give(sure, &mut out);
                }
            }
            self.end(&mut out)?;
        }
        Ok(out.freeze())
    }

    /// A head is whole.
    fn begin(&mut self, head: BytesMut, length: u64) -> Result<(), Malformed> {
        let first = head.first().copied().unwrap_or_default();
        let (last, kind) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(Malformed("an extension that was not agreed on"));
        }
        self.state = match kind {
            0..=2 => {
                if (kind == 0) != self.open {
                    return Err(Malformed("a message within a message, or a piece of none"));
                }
                self.open = !last;
                self.wait(head.freeze())?;
                State::Data { left: length, last }
            }
            8..=10 => {
                let left = usize::try_from(length).ok().filter(|_| length <= CONTROL && last);
                State::Control(head, left.ok_or(Malformed("a control frame that is long, or in pieces"))?)
            }
            _ => return Err(Malformed("a frame of an unknown kind")),
        };
        Ok(())
    }

    /// Where a frame has ended, begin the next one.
    fn end(&mut self, out: &mut BytesMut) -> Result<(), Malformed> {
        match &mut self.state {
            State::Data { left: 0, last } => {
                if *last {
                    let rest = self.scrubber.finish();
                    self.give(rest, out);
                }
            }
            State::Control(frame, 0) => {
                let mut frame = std::mem::take(frame);
                self.needles.mask(&mut frame);
                self.wait(frame.freeze())?;
            }
            State::Head(_) | State::Data { .. } | State::Control(..) => return Ok(()),
        }
        self.state = State::Head(BytesMut::new());
        self.give(Bytes::new(), out);
        Ok(())
    }

    /// Something stands behind the payload so far.
    fn wait(&mut self, bytes: Bytes) -> Result<(), Malformed> {
        self.waiting_bytes += bytes.len();
        if self.waiting_bytes > MOST_WAITING {
            return Err(Malformed("a message in too many pieces"));
        }
        self.waiting.push_back((self.taken, bytes));
        Ok(())
    }

    /// Payload that is sure, with what stands before, between and behind it.
    fn give(&mut self, mut payload: Bytes, out: &mut BytesMut) {
        loop {
            while self.waiting.front().is_some_and(|(at, _)| *at <= self.given)
                && let Some((_, bytes)) = self.waiting.pop_front()
            {
                self.waiting_bytes -= bytes.len();
                out.extend_from_slice(&bytes);
            }
            if payload.is_empty() {
                return;
            }
            let until = self.waiting.front().map_or(u64::MAX, |(at, _)| at - self.given);
            let some = payload.split_to(usize::try_from(until).map_or(payload.len(), |until| payload.len().min(until)));
            self.given += some.len() as u64;
            out.extend_from_slice(&some);
        }
    }
}

/// The length of a frame's payload, where its head is whole.
fn length(head: &[u8]) -> Result<Option<u64>, Malformed> {
    let Some(second) = head.get(1) else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(Malformed("a server does not mask"));
    }
    let more = match second & 0x7f {
        126 => 2,
        127 => 8,
        short => return Ok(Some(u64::from(short))),
    };
    let Some(bytes) = head.get(2..2 + more) else {
        debug_assert!(head.len() < HEAD);
        return Ok(None);
    };
    let length = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if length >> 63 != 0 { Err(Malformed("a frame without end")) } else { Ok(Some(length)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::port::Secret;
    use crate::settings::Inject;
    use proptest::prelude::*;

    const SECRET: &str = "tok_0123456789abcdef";

    fn needles() -> Needles {
        Needles::new(&Inject::Bearer, Some(&Secret::new(SECRET)))
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            short @ 0..=125 => out.push(u8::try_from(short).unwrap()),
            middle @ 126..=0xffff => {
                out.push(126);
                out.extend_from_slice(&u16::try_from(middle).unwrap().to_be_bytes());
            }
            long => {
                out.push(127);
                out.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    fn through(raw: &[u8], piece: usize) -> Result<Vec<u8>, Malformed> {
        let mut frames = Frames::new(needles());
        let mut out = Vec::new();
        for part in raw.chunks(piece) {
            out.extend_from_slice(&frames.push(Bytes::copy_from_slice(part))?);
        }
        Ok(out)
    }

    /// A message of these pieces; between them a ping each.
    fn message(pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let first = u8::from(at == 0) | if at + 1 == pieces.len() { 0x80 } else { 0 };
            out.extend_from_slice(&frame(first, piece));
            out.extend_from_slice(&frame(0x89, b"are you there"));
        }
        out
    }

    /// Wherever a message is cut into frames, and the frames into what is read at once, the secret is masked; heads, pings
    /// and all else come as they were, in their order.
    #[test]
    fn a_secret_in_pieces() {
        let text = format!("before {SECRET} after");
        let masked = text.replace(SECRET, &"*".repeat(SECRET.len()));
        for cut in 0..=text.len() {
            for second in [cut, (cut + 3).min(text.len())] {
                let of = |text: &str| {
                    let bytes = text.as_bytes();
                    message(&[&bytes[..cut], &bytes[cut..second], &bytes[second..]])
                };
                for piece in [1, 2, 7, 1000] {
                    assert_eq!(through(&of(&text), piece).unwrap(), of(&masked), "{cut} {second} {piece}");
                }
            }
        }
    }

    /// What ends is not held back: a message, and a control frame within one of which nothing is unsure.
    #[test]
    fn nothing_waits_without_need() {
        let mut frames = Frames::new(needles());
        let whole = frame(0x81, b"it ends with tok_");
        assert_eq!(frames.push(Bytes::from(whole.clone())).unwrap(), whole);
        let begun = frame(0x01, b"a piece.");
        assert_eq!(frames.push(Bytes::from(begun.clone())).unwrap(), begun);
        let ping = frame(0x89, b"");
        assert_eq!(frames.push(Bytes::from(ping.clone())).unwrap(), ping);
        let unsure = frame(0x00, b"tok_");
        assert_eq!(frames.push(Bytes::from(unsure)).unwrap(), &[0x00, 4][..]);
        assert_eq!(frames.push(Bytes::from(ping.clone())).unwrap(), "");
        let rest = [b"tok_".as_slice(), &ping, &frame(0x80, b"x")].concat();
        assert_eq!(frames.push(Bytes::from(frame(0x80, b"x"))).unwrap(), rest);
        let told = frame(0x88, format!("\x03\u{e8}{SECRET}").as_bytes());
        assert!(!String::from_utf8_lossy(&frames.push(Bytes::from(told)).unwrap()).contains(SECRET));
    }

    #[test]
    fn what_is_not_spoken() {
        let long_ping = frame(0x89, &[0; 126]);
        let many = [frame(0x01, b"tok_"), frame(0x00, b"").repeat(MOST_WAITING)].concat();
        for (raw, why) in [
            (&[0x81, 0x81, 0, 0, 0, 0, b'x'][..], "a server does not mask"),
            (&[0xc1, 1, b'x'], "an extension that was not agreed on"),
            (&[0x80, 1, b'x'], "a message within a message, or a piece of none"),
            (&[0x01, 1, b'x', 0x01, 1, b'x'], "a message within a message, or a piece of none"),
            (&[0x83, 0], "a frame of an unknown kind"),
            (&[0x09, 0], "a control frame that is long, or in pieces"),
            (&long_ping, "a control frame that is long, or in pieces"),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], "a frame without end"),
            (&many, "a message in too many pieces"),
        ] {
            assert_eq!(through(raw, 5), Err(Malformed(why)));
        }
    }

    proptest! {
        #[test]
        fn other_messages_pass_as_they_are(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..6), piece in 1_usize..500
        ) {
            let raw = message(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(through(&raw, piece), Ok(raw));
        }

        #[test]
        fn nothing_makes_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
            drop(through(&raw, piece));
        }
    }
}
