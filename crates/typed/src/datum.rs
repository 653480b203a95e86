//! Values, and what of them is equal.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::{Date, DayWord, Kind};

/// Every reading of one text: none if it is no value, several if it is ambiguous.
pub type Readings = SmallVec<[Datum; 2]>;

/// One typed value in its normal form: two spellings of one value are equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Datum {
    /// A text, id, email, url, host, phone, iban or path, or one word of [`Kind::Words`].
    Str {
        /// Which of them.
        kind: Kind,
        /// The normal form.
        normal: SmolStr,
    },
    /// A day of the calendar; its year may be left open.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A day and a time of day.
    DateTime {
        /// The day.
        date: Date,
        /// The time of day.
        time: Time,
        /// Minutes east of UTC, where they are given.
        offset: Option<i32>,
    },
    /// A day that is told from another day: "tomorrow", "Saturday".
    DayWord(DayWord),
    /// Seconds.
    Duration(i64),
    /// Ten-thousandths.
    Number(i64),
    /// An amount.
    Money {
        /// Ten-thousandths of the currency's unit.
        amount: i64,
        /// ISO 4217, upper case; none if the text names none.
        currency: Option<[u8; 3]>,
    },
    /// Yes or no.
    Bool(bool),
}

/// A time of day in seconds since midnight, below 86,400. Fractions of a second are cut off.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Time(pub u32);

impl Time {
    /// The time of day; `None` if there is no such time.
    pub fn new(hour: u32, minute: u32, second: u32) -> Option<Self> {
        (hour < 24 && minute < 60 && second < 60).then(|| Self(hour * 3600 + minute * 60 + second))
    }
}

/// The readings of a text that has one.
pub(crate) fn one(datum: Datum) -> Readings {
    let mut readings = Readings::new();
    readings.push(datum);
    readings
}

/// The readings of a text that is one string value, or none.
pub(crate) fn text(kind: Kind, normal: Option<SmolStr>) -> Readings {
    normal.map(|normal| one(Datum::Str { kind, normal })).unwrap_or_default()
}

/// Adds a reading, once.
pub(crate) fn add(readings: &mut Readings, datum: Datum) {
    if !readings.contains(&datum) {
        readings.push(datum);
    }
}
