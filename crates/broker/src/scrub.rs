//! The secret, wherever an upstream echoes it, is masked: as it is, base64-encoded, percent-encoded,
//! in hexadecimal. The mask has the same length, so that nothing else of the answer changes. Of a
//! stream only so much is held back as may be the beginning of a secret.

use crate::headers::{basic, encode};
use crate::port::Secret;
use crate::settings::Inject;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use memchr::memmem;
use std::sync::Arc;

/// A shorter text stands in answers by chance.
pub(crate) const SHORTEST: usize = 8;

/// The forms of a secret that are looked for.
#[derive(Clone, Default)]
pub(crate) struct Needles(Arc<Vec<Vec<u8>>>);

impl Needles {
    pub(crate) fn new(inject: &Inject, secret: Option<&Secret>) -> Self {
        let Some(secret) = secret.map(Secret::reveal) else { return Self::default() };
        let hex = hex(secret);
        let mut forms = vec![
            secret.to_owned(),
            encode(secret),
            lower_escapes(&encode(secret)),
            STANDARD_NO_PAD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            hex.to_ascii_uppercase(),
            hex,
            escaped(secret),
        ];
        if let Inject::Basic(user) = inject {
            forms.push(basic(user, secret).trim_end_matches('=').to_owned());
        }
        let mut found: Vec<Vec<u8>> = Vec::new();
        // Longest first, so that no shorter form leaves an end of a longer one.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        for form in forms.into_iter().map(String::into_bytes) {
            if form.len() >= SHORTEST && !found.contains(&form) {
                found.push(form);
            }
        }
        Self(Arc::new(found))
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Mask them in what is whole.
    pub(crate) fn mask(&self, data: &mut [u8]) {
        for needle in self.0.iter() {
            let mut at = 0;
            while let Some(found) = data.get(at..).and_then(|rest| memmem::find(rest, needle)) {
                let from = at + found;
                at = from + needle.len();
                if let Some(place) = data.get_mut(from..at) {
                    place.fill(b'*');
                }
            }
        }
    }

    fn found_in(&self, data: &[u8]) -> bool {
        self.0.iter().any(|needle| memmem::find(data, needle).is_some())
    }

    /// How many bytes at the end may be the beginning of a secret.
    fn unsure(&self, data: &[u8]) -> usize {
        let longest = self.0.iter().map(Vec::len).max().unwrap_or(1) - 1;
        let from = data.len().saturating_sub(longest);
        (from..data.len())
            .find(|at| {
                let tail = data.get(*at..).unwrap_or_default();
                self.0.iter().any(|needle| needle.starts_with(tail))
            })
            .map_or(0, |at| data.len() - at)
    }

    /// Mask the values of headers.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            if self.found_in(value.as_bytes()) {
                let mut bytes = value.as_bytes().to_vec();
                self.mask(&mut bytes);
                *value = HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static("***"));
            }
        }
    }
}

fn hex(text: &str) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Percent-encoded as some write it: the escapes in lower case, and nothing else.
fn lower_escapes(encoded: &str) -> String {
    let mut left = 0;
    encoded
        .chars()
        .map(|one| {
            left = if one == '%' { 3_u8 } else { left.saturating_sub(1) };
            if left > 0 { one.to_ascii_lowercase() } else { one }
        })
        .collect()
}

/// As JSON writes it where it must.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string().replace('/', "\\/");
    quoted.trim_matches('"').to_owned()
}

/// One stream, scrubbed.
#[derive(Default)]
pub(crate) struct Scrubber {
    needles: Needles,
    held: BytesMut,
}

impl Scrubber {
    pub(crate) fn new(needles: Needles) -> Self {
        Self { needles, held: BytesMut::new() }
    }

    /// The next piece in, what is sure out.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        if self.needles.is_empty() {
            return piece;
        }
        if self.held.is_empty() && !self.needles.found_in(&piece) && self.needles.unsure(&piece) == 0 {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        self.needles.mask(&mut self.held);
        let sure = self.held.len() - self.needles.unsure(&self.held);
        self.held.split_to(sure).freeze()
    }

    /// The rest.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Its forms differ from one another.
    const SECRET: &str = "s3cr3t/Key+with\"od~~~???";

    fn scrub(text: &[u8], piece: usize) -> Vec<u8> {
        let needles = Needles::new(&Inject::Basic("robot".to_owned()), Some(&Secret::new(SECRET)));
        let mut scrubber = Scrubber::new(needles);
        let mut out = Vec::new();
        for part in text.chunks(piece) {
            out.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(part)));
        }
        out.extend_from_slice(&scrubber.finish());
        out
    }

    #[test]
    fn every_form_is_masked_whatever_the_pieces() {
        let forms = [
            SECRET.to_owned(),
            encode(SECRET),
            "s3cr3t%2fKey%2bwith%22od~~~%3f%3f%3f".to_owned(),
            hex(SECRET),
            hex(SECRET).to_ascii_uppercase(),
            STANDARD_NO_PAD.encode(SECRET),
            URL_SAFE_NO_PAD.encode(SECRET),
            basic("robot", SECRET).trim_end_matches('=').to_owned(),
            "s3cr3t\\/Key+with\\\"od~~~???".to_owned(),
        ];
        for form in forms {
            let text = format!("before {form}{form} s3cr3t/Key after");
            for piece in 1..text.len() {
                let out = scrub(text.as_bytes(), piece);
                assert_eq!(out.len(), text.len());
                let expected = text.replace(&form, &"*".repeat(form.len()));
                assert_eq!(String::from_utf8_lossy(&out), expected);
            }
        }
    }

    #[test]
    fn nothing_is_held_back_that_cannot_be_a_secret() {
        let needles = Needles::new(&Inject::Bearer, Some(&Secret::new("tok_0123456789")));
        let mut scrubber = Scrubber::new(needles);
        assert_eq!(scrubber.push(Bytes::from_static(b"data: 1\n\n")), "data: 1\n\n");
        assert_eq!(scrubber.push(Bytes::from_static(b"data: tok_")), "data: ");
        assert_eq!(scrubber.push(Bytes::from_static(b"x")), "tok_x");
    }

    proptest! {
        #[test]
        fn other_text_passes_as_it_is(text in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..40) {
            prop_assert_eq!(scrub(&text, piece), text);
        }
    }
}
