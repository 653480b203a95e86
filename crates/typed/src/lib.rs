//! Typed values in text: what a text is, read as a date, an amount or an address, and which of them stand in
//! running text. Pure: no clock, no I/O, no dependency on the rest of Flyball.
//!
//! What enters: a [`Kind`] and a text. What leaves: [`Readings`], every value that the text can mean. Two
//! spellings of one value read as equal values; a text that means several values has several readings; a text
//! that is no value, or whose value does not fit, has none. Nothing is rounded, and nothing wraps.
//!
//! What always holds. No input makes it panic. The work is linear in the length of the text: the scanners are
//! written by hand and hold no regular expression; where a value may begin, each format is tried once and looks
//! ahead no further than its own longest form. Normal forms are idempotent. Strings are compared in NFC, never
//! in NFKC: a text with characters that nobody sees (zero width, bidi) is no value, and one with look-alikes is
//! another value or none, never the one that it imitates.
//!
//! [`read`] takes a whole text as one value, as arguments and fields are; [`find`] looks in running text, and
//! reads there what people leave open: "at 1:30" may be in the afternoon, and "example.com" has no scheme yet.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test that cannot go on fails"
    )
)]

mod calendar;
mod clock;
mod date;
mod datetime;
mod datum;
mod dayword;
mod derived;
mod duration;
mod email;
mod exact;
mod gist;
mod host;
mod iban;
mod kind;
mod money;
mod names;
mod number;
mod phone;
mod read;
mod scan;
mod token;
mod url;
mod words;

pub use calendar::{Date, DayWord};
pub use datum::{Datum, Readings, Time};
pub use derived::{email_host, path_name, path_parent, url_host, url_path};
pub use gist::gist;
pub use host::without_www;
pub use kind::Kind;
pub use number::numeral;
pub use read::{find, read};
pub use token::{find_names, find_path_names};
pub use words::{Word, signed_words, words};
