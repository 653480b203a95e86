//! A typed value as it is remembered and compared: a code and 64 bits.

use flyball_typed::{Date, Datum, DayWord, Kind, Time};

use super::MemoryKey;

/// What a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code(u8);

impl Code {
    /// An id-like word of a labelled field.
    pub(crate) const TOKEN: Self = Self(0);
    /// A whole text, by its words.
    pub(crate) const WHOLE: Self = Self(1);
    /// Words of a text: where they begin, and a check of the sequence.
    pub(crate) const SPAN: Self = Self(2);
    /// A day told from another day.
    pub(crate) const DAY_WORD: Self = Self(3);
    /// A row that an input names: the value that it is named by, and how well.
    pub(crate) const NAMED: Self = Self(20);
    const LAST: u8 = 20;

    /// The code of a kind.
    pub(crate) const fn of(kind: Kind) -> Self {
        Self(match kind {
            Kind::Text => 4,
            Kind::Id => 5,
            Kind::Email => 6,
            Kind::Url => 7,
            Kind::Host => 8,
            Kind::Phone => 9,
            Kind::Iban => 10,
            Kind::Path => 11,
            Kind::Date => 12,
            Kind::Time => 13,
            Kind::DateTime => 14,
            Kind::Duration => 15,
            Kind::Number => 16,
            Kind::Money => 17,
            Kind::Bool => 18,
            Kind::Words => 19,
        })
    }

    /// The number of the code.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }

    /// The code of that number.
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        if number <= Self::LAST { Some(Self(number)) } else { None }
    }
}

/// Stands in place of a currency for a value that has several sizes: it can be added to nothing.
pub(crate) const UNCLEAR: u16 = 0x7ffe;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) code: Code,
    pub(crate) payload: u64,
    /// A currency; 0 for none.
    pub(crate) extra: u16,
}

/// A wall time, and minutes east of UTC where they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) date: Date,
    pub(crate) time: Time,
    pub(crate) offset: Option<i32>,
}

impl Fact {
    /// A fact without a currency.
    pub(crate) const fn new(code: Code, payload: u64) -> Self {
        Self { code, payload, extra: 0 }
    }

    /// A reading as a fact. A day word is one of its own, to be resolved later.
    pub(crate) fn of(datum: &Datum, key: &MemoryKey) -> Self {
        match datum {
            Datum::Str { kind, normal } => {
                let code = Code::of(*kind);
                Self::new(code, key.value(code.0, normal))
            }
            Datum::Date(date) => Self::date(*date),
            Datum::Time(time) => Self::time(*time),
            Datum::DateTime { date, time, offset } => {
                Self::moment(Moment { date: *date, time: *time, offset: *offset })
            }
            Datum::DayWord(word) => Self::new(Code::DAY_WORD, day_word(*word)),
            Datum::Duration(seconds) => Self::new(Code::of(Kind::Duration), ordered(*seconds)),
            Datum::Number(number) => Self::new(Code::of(Kind::Number), ordered(*number)),
            Datum::Money { amount, currency } => Self {
                code: Code::of(Kind::Money),
                payload: ordered(*amount),
                extra: currency.map_or(0, currency_number),
            },
            Datum::Bool(yes) => Self::new(Code::of(Kind::Bool), u64::from(*yes)),
        }
    }

    /// A day.
    pub(crate) fn date(date: Date) -> Self {
        Self::new(Code::of(Kind::Date), date_bits(date))
    }

    /// A time of day.
    pub(crate) fn time(time: Time) -> Self {
        Self::new(Code::of(Kind::Time), u64::from(time.0))
    }

    /// A day and a time of day.
    pub(crate) fn moment(moment: Moment) -> Self {
        let offset = moment.offset.map_or(0, |minutes| u64::from((minutes.clamp(-2047, 2047) + 2048).unsigned_abs()));
        let payload = date_bits(moment.date) << 32 | u64::from(moment.time.0 & 0x1_ffff) << 12 | offset;
        Self::new(Code::of(Kind::DateTime), payload)
    }

    /// The day of a fact that is a date or a moment.
    pub(crate) fn as_date(self) -> Option<Date> {
        if self.code == Code::of(Kind::Date) {
            return bits_date(self.payload);
        }
        self.as_moment().map(|moment| moment.date)
    }

    /// The time of a fact that is a time or a moment.
    pub(crate) fn as_time(self) -> Option<Time> {
        if self.code == Code::of(Kind::Time) {
            return u32::try_from(self.payload).ok().filter(|seconds| *seconds < 86_400).map(Time);
        }
        self.as_moment().map(|moment| moment.time)
    }

    /// The moment of a fact that is one.
    pub(crate) fn as_moment(self) -> Option<Moment> {
        if self.code != Code::of(Kind::DateTime) {
            return None;
        }
        let date = bits_date(self.payload >> 32)?;
        let time = u32::try_from(self.payload >> 12 & 0x1_ffff).ok().filter(|seconds| *seconds < 86_400).map(Time)?;
        let offset = i32::try_from(self.payload & 0xfff).ok()?;
        Some(Moment { date, time, offset: (offset != 0).then(|| offset - 2048) })
    }

    /// The day that is told from another day.
    pub(crate) fn as_day_word(self) -> Option<DayWord> {
        if self.code != Code::DAY_WORD {
            return None;
        }
        let number = i32::from_ne_bytes(u32::try_from(self.payload & 0xffff_ffff).ok()?.to_ne_bytes());
        let weekday = u8::try_from(number).ok();
        Some(match self.payload >> 32 {
            0 => DayWord::Offset(number),
            1 => DayWord::Weekday(weekday?),
            2 => DayWord::NextWeekday(weekday?),
            3 => DayWord::LastWeekday(weekday?),
            _ => return None,
        })
    }

    /// The size of a number, an amount or a duration.
    pub(crate) fn as_size(self) -> i64 {
        unordered(self.payload)
    }
}

/// A signed number as bits in the same order.
const fn ordered(number: i64) -> u64 {
    number.cast_unsigned() ^ 1 << 63
}

const fn unordered(bits: u64) -> i64 {
    (bits ^ 1 << 63).cast_signed()
}

fn day_word(word: DayWord) -> u64 {
    let (variant, number) = match word {
        DayWord::Offset(days) => (0, days),
        DayWord::Weekday(day) => (1, i32::from(day)),
        DayWord::NextWeekday(day) => (2, i32::from(day)),
        DayWord::LastWeekday(day) => (3, i32::from(day)),
    };
    variant << 32 | u64::from(u32::from_ne_bytes(number.to_ne_bytes()))
}

/// A date in 23 bits, in the order of days; the year is 0 where it is left open.
fn date_bits(date: Date) -> u64 {
    let year = date.year.and_then(|year| u64::try_from(year).ok()).unwrap_or(0);
    year << 9 | u64::from(date.month) << 5 | u64::from(date.day)
}

fn bits_date(bits: u64) -> Option<Date> {
    let year = i32::try_from(bits >> 9).ok()?;
    let month = u8::try_from(bits >> 5 & 15).ok()?;
    let day = u8::try_from(bits & 31).ok()?;
    Date::new((year > 0).then_some(year), month, day)
}

fn currency_number(letters: [u8; 3]) -> u16 {
    letters
        .iter()
        .fold(0, |all, letter| all * 27 + u16::from(letter.to_ascii_uppercase().wrapping_sub(b'A').min(25)) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moments_survive(days in -100_000_i32..100_000, seconds in 0_u32..86_400, offset in proptest::option::of(-1439_i32..1440)) {
            let date = Date::from_days(days).unwrap();
            let moment = Moment { date, time: Time(seconds), offset };
            let fact = Fact::moment(moment);
            prop_assert_eq!(fact.as_moment(), Some(moment));
            prop_assert_eq!(fact.as_date(), Some(date));
            prop_assert_eq!(fact.as_time(), Some(Time(seconds)));
            prop_assert_eq!(Fact::date(date).as_date(), Some(date));
        }

        #[test]
        fn sizes_survive_in_their_order(a in any::<i64>(), b in any::<i64>()) {
            prop_assert_eq!(unordered(ordered(a)), a);
            prop_assert_eq!(a.cmp(&b), ordered(a).cmp(&ordered(b)));
        }
    }

    #[test]
    fn day_words_and_open_years_survive() {
        let key = MemoryKey::new(&[1; 32]);
        for word in [DayWord::Offset(-3), DayWord::Weekday(6), DayWord::NextWeekday(1), DayWord::LastWeekday(7)] {
            assert_eq!(Fact::of(&Datum::DayWord(word), &key).as_day_word(), Some(word));
        }
        let open = Date::new(None, 2, 29).unwrap();
        assert_eq!(Fact::date(open).as_date(), Some(open));
        assert_eq!(Fact::date(open).as_day_word(), None);
    }

    #[test]
    fn currencies_differ() {
        let all = [*b"EUR", *b"USD", *b"AAA", *b"ZZZ", *b"AAB"].map(currency_number);
        assert!(all.iter().all(|one| *one > 0 && *one < 1 << 15));
        assert!(all.iter().enumerate().all(|(i, one)| !all[..i].contains(one)));
    }
}
