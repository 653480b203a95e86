//! Reading a whole text, and finding values in running text.

use smol_str::SmolStr;

use crate::datum::{one, text as string};
use crate::{Date, Datum, Kind, Readings, Time};

/// Every reading of a whole text (trimmed) as one value of that kind; none if it is no such value.
pub fn read(kind: Kind, text: &str) -> Readings {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    match kind {
        Kind::Text | Kind::Id | Kind::Url | Kind::Host | Kind::Phone | Kind::Iban | Kind::Path => {
            string(kind, (!text.is_empty()).then(|| SmolStr::new(text)))
        }
        Kind::Email => string(kind, text.contains('@').then(|| SmolStr::new(text.to_lowercase()))),
        Kind::Date => date(text).map(|date| one(Datum::Date(date))).unwrap_or_default(),
        Kind::Time => time(text).map(|time| one(Datum::Time(time))).unwrap_or_default(),
        Kind::DateTime => text
            .split_once(['T', ' '])
            .and_then(|(day, hour)| Some(one(Datum::DateTime { date: date(day)?, time: time(hour)?, offset: None })))
            .unwrap_or_default(),
        Kind::Duration => Readings::new(),
        Kind::Number => numeral(text).map(|number| one(Datum::Number(number))).unwrap_or_default(),
        Kind::Money => numeral(text).map(|amount| one(Datum::Money { amount, currency: None })).unwrap_or_default(),
        Kind::Bool => text.parse().map(|value| one(Datum::Bool(value))).unwrap_or_default(),
    }
}

/// Every value of that kind in running text, in its order.
pub fn find(kind: Kind, text: &str, each: &mut dyn FnMut(Readings)) {
    for word in text.split_whitespace() {
        let readings = read(kind, word.trim_matches(|c: char| c.is_ascii_punctuation()));
        if !readings.is_empty() {
            each(readings);
        }
    }
}

/// A number as JSON writes it, in ten-thousandths; `None` if it does not fit or has a finer fraction.
pub fn numeral(text: &str) -> Option<i64> {
    text.parse::<i64>().ok()?.checked_mul(10_000)
}

fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    Date::new(parts.next()?.parse().ok(), parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)
}

fn time(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(str::parse);
    let (hour, minute) = (parts.next()?.ok()?, parts.next()?.ok()?);
    Time::new(hour, minute, parts.next().and_then(Result::ok).unwrap_or(0))
}
