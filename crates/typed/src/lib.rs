//! Typed values in text: what a text is, read as a date, an amount, an address.

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
mod datum;
mod derived;
mod kind;
mod read;
mod words;

pub use calendar::{Date, DayWord};
pub use datum::{Datum, Readings, Time};
pub use derived::{email_host, path_name, path_parent, url_host, url_path};
pub use kind::Kind;
pub use read::{find, numeral, read};
pub use words::words;
