//! The doors: reading a whole text, and finding values in running text.

use smol_str::SmolStr;

use crate::datum::{add, one, text as string};
use crate::gist::gist;
use crate::{Datum, Kind, Readings, clock, date, datetime, duration, email, exact, host, iban, money, number, phone};
use crate::{token, url, words};

/// The longest text that is read as one value of a kind other than text, in bytes.
const LONGEST: usize = 4_096;
/// The longest text that is read as text.
const LONGEST_TEXT: usize = 65_536;

/// The most different words that are read as [`Kind::Words`].
const MOST_WORDS: usize = 512;

/// Every reading of a whole text (trimmed) as one value of that kind; none if it is no such value.
///
/// A text that means two values has two readings: "03/04/2024", "1,234". Numbers that do not fit are none.
/// Of [`Kind::Words`] each word is a reading: all of them are meant.
pub fn read(kind: Kind, text: &str) -> Readings {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if text.is_empty() || text.len() > if matches!(kind, Kind::Text | Kind::Words) { LONGEST_TEXT } else { LONGEST } {
        return Readings::new();
    }
    match kind {
        Kind::Text => string(kind, folded(text)),
        Kind::Id => string(kind, exact::id(text)),
        Kind::Email => string(kind, email::email(text)),
        Kind::Url => string(kind, url::url(text)),
        Kind::Host => string(kind, host::host(text).map(|host| SmolStr::new(host::without_www(&host)))),
        Kind::Phone => string(kind, phone::phone(text)),
        Kind::Iban => string(kind, iban::iban(text)),
        Kind::Path => string(kind, exact::path(text)),
        Kind::Date => date::read(text),
        Kind::Time => clock::read(text),
        Kind::DateTime => datetime::read(text),
        Kind::Duration => duration::read(text),
        Kind::Number => number::read(text),
        Kind::Money => money::read(text),
        Kind::Bool => boolean(text, true).map(|value| one(Datum::Bool(value))).unwrap_or_default(),
        Kind::Words => {
            let mut readings = Readings::new();
            gist(text, &mut |normal| {
                if readings.len() <= MOST_WORDS {
                    add(&mut readings, Datum::Str { kind, normal });
                }
            });
            if readings.len() > MOST_WORDS { Readings::new() } else { readings }
        }
    }
}

/// Every value of that kind in running text, in its order, each with all its readings. The work is linear in
/// the length of the text. Nothing is found for [`Kind::Text`]: running text is compared by its [`words`].
pub fn find(kind: Kind, text: &str, each: &mut dyn FnMut(Readings)) {
    match kind {
        Kind::Text => {}
        Kind::Id => token::find_ids(text, each),
        Kind::Email => email::find(text, each),
        Kind::Url => token::find_urls(text, each),
        Kind::Host => token::find_hosts(text, each),
        Kind::Phone => phone::find(text, each),
        Kind::Iban => iban::find(text, each),
        Kind::Path => token::find_paths(text, each),
        Kind::Date => date::find(text, each),
        Kind::Time => datetime::find_times(text, each),
        Kind::DateTime => datetime::find(text, each),
        Kind::Duration => duration::find(text, each),
        Kind::Number => number::find(text, each),
        Kind::Money => money::find(text, each),
        Kind::Words => gist(text, &mut |normal| each(one(Datum::Str { kind, normal }))),
        Kind::Bool => {
            for value in words(text).filter_map(|word| boolean(&word, false)) {
                each(one(Datum::Bool(value)));
            }
        }
    }
}

/// The words of a text with one blank between them.
fn folded(text: &str) -> Option<SmolStr> {
    let mut all = String::with_capacity(text.len());
    for word in words(text) {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(&word);
    }
    (!all.is_empty()).then(|| SmolStr::from(all))
}

fn boolean(word: &str, whole: bool) -> Option<bool> {
    let is = |one: &str| word.eq_ignore_ascii_case(one);
    if is("true") || is("yes") || (whole && (is("on") || is("y"))) {
        Some(true)
    } else if is("false") || is("no") || (whole && (is("off") || is("n"))) {
        Some(false)
    } else {
        None
    }
}
