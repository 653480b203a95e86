//! Random heads: what passes the strict reader, another reader reads in the same way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use flyball_broker::{Framing, check_head};
use proptest::prelude::*;

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\0".to_vec()),
        3 => Just(b"Host: x\r\n".to_vec()),
        3 => Just(b"Content-Length: 5\r\n".to_vec()),
        1 => Just(b"Content-Length: 5, 5\r\n".to_vec()),
        2 => Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        1 => Just(b"Transfer-Encoding : chunked\r\n".to_vec()),
        1 => Just(b" folded: 1\r\n".to_vec()),
        3 => Just(b"X: y\r\n".to_vec()),
        1 => "[ -~]{0,12}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    let line = prop_oneof![
        6 => Just(b"GET /a HTTP/1.1\r\n".to_vec()),
        2 => Just(b"POST /a?b=c HTTP/1.1\r\n".to_vec()),
        1 => Just(b"CONNECT a:1 HTTP/1.1\r\n".to_vec()),
        1 => "[A-Z]{1,5} [ -~]{1,10} HTTP/[0-9].[0-9]\r\n".prop_map(String::into_bytes),
    ];
    (line, proptest::collection::vec(piece, 0..8)).prop_map(|(line, pieces)| {
        let mut head = line;
        head.extend(pieces.concat());
        head.extend_from_slice(b"\r\n");
        head
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes end in facts or in a violation.
    #[test]
    fn no_bytes_break_it(head in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = check_head(&head, 100);
    }

    /// httparse, which hyper reads with, sees the same headers, and one Host, one length or coding at most.
    #[test]
    fn what_passes_is_read_alike(head in pieces()) {
        // The guard hands over a head up to its first empty line.
        let end = head.windows(4).position(|four| four == b"\r\n\r\n").map_or(head.len(), |at| at + 4);
        let head = &head[..end];
        let Ok(facts) = check_head(head, 100) else { return Ok(()) };
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(head);
        prop_assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())));
        prop_assert_eq!(request.version, Some(1));
        let lines = head.windows(2).filter(|two| *two == b"\r\n").count();
        prop_assert_eq!(request.headers.len() + 2, lines);
        let named = |name: &str| request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
        prop_assert_eq!(named("host"), 1);
        match facts.framing {
            Framing::Chunked => prop_assert_eq!((named("transfer-encoding"), named("content-length")), (1, 0)),
            Framing::Length(0) => prop_assert!(named("content-length") <= 1),
            Framing::Length(_) => prop_assert_eq!((named("transfer-encoding"), named("content-length")), (0, 1)),
        }
    }
}
