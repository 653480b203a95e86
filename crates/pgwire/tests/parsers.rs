//! Nothing that a peer sends makes a parser panic or gather without bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_pgwire::{FrameLimits, Frames, Opening};
use proptest::prelude::*;

proptest! {
    /// First packets of any bytes.
    #[test]
    fn openings(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Opening::read(&bytes);
        let started = [&[0, 3, 0, 0][..], &bytes].concat();
        let _ = Opening::read(&started);
    }

    /// Frames of any bytes in pieces of any size: what comes out is what went in, and no more is kept than a frame.
    #[test]
    fn frames(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..64)) {
        let limits = FrameLimits { large: 256, small: 64 };
        let mut frames = Frames::new(limits);
        for piece in pieces {
            frames.buffer.extend_from_slice(&piece);
            loop {
                match frames.cut() {
                    Ok(Some((kind, frame))) => {
                        prop_assert_eq!(frame.first(), Some(&kind));
                        prop_assert!(frame.len() <= limits.large + 1);
                    }
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            prop_assert!(frames.buffer.len() <= limits.large + 1);
        }
    }
}

/// A length beyond the bound is refused by the header alone; so is one that no frame can have.
#[test]
fn lengths() {
    for header in [
        &[b'Q', 0x7f, 0xff, 0xff, 0xff][..],
        &[b'S', 0, 1, 0, 0],
        &[b'Q', 0, 0, 0, 3],
        &[b'Q', 0xff, 0xff, 0xff, 0xff],
        &[b'?', 0, 0, 0, 4],
    ] {
        let mut frames = Frames::new(FrameLimits::default());
        frames.buffer.extend_from_slice(header);
        assert!(frames.cut().is_err(), "{header:?}");
    }
}
