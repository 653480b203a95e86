//! Days told from another day: "tomorrow", "in two weeks", "next Monday".

use crate::DayWord;
use crate::names::{short_weekday, small_number, weekday};
use crate::scan::Cursor;

/// The days that "in N days" may be away: ten years.
const FAR: u32 = 3_660;

/// A day told from another day. A weekday's short form counts only where the whole text is read.
pub(crate) fn day_word(start: Cursor<'_>, whole: bool) -> Option<(DayWord, Cursor<'_>)> {
    let mut end = start;
    if start.peek()?.is_ascii_digit() {
        return counted(start).filter(|(_, end)| end.ends_clean());
    }
    let word = end.word()?;
    if whole && word.eq_ignore_ascii_case("on") && end.blanks() > 0 {
        return day_word(end, true);
    }
    let is = |one: &str| word.eq_ignore_ascii_case(one);
    let named = match word.as_bytes().first()?.to_ascii_lowercase() {
        b't' if is("today") || is("tonight") => Some(DayWord::Offset(0)),
        b't' if is("tomorrow") => Some(DayWord::Offset(1)),
        b'y' if is("yesterday") => Some(DayWord::Offset(-1)),
        b't' if is("the") => return beside(after_blanks(end)?),
        b'd' if is("day") => return beside(start),
        b't' if is("this") => return with_weekday(end, DayWord::Weekday).or_else(|| this_part(end)),
        b'c' if is("coming") => return with_weekday(end, DayWord::Weekday),
        b'n' if is("next") => return with_weekday(end, DayWord::NextWeekday),
        b'l' if is("last") => return with_weekday(end, DayWord::LastWeekday),
        b'i' if is("in") => {
            let (days, end) = number_of_days(after_blanks(end)?)?;
            return end.ends_clean().then_some((DayWord::Offset(days), end));
        }
        _ => None,
    };
    let named = named.or_else(|| weekday(word).map(DayWord::Weekday));
    let named = named.or_else(|| if whole { short_weekday(word).map(DayWord::Weekday) } else { None });
    match named {
        Some(word) => end.ends_clean().then_some((word, end)),
        None => counted(start).filter(|(_, end)| end.ends_clean()),
    }
}

fn after_blanks(mut cursor: Cursor<'_>) -> Option<Cursor<'_>> {
    (cursor.blanks() > 0).then_some(cursor)
}

fn with_weekday(end: Cursor<'_>, make: fn(u8) -> DayWord) -> Option<(DayWord, Cursor<'_>)> {
    let mut end = after_blanks(end)?;
    let day = weekday(end.word()?)?;
    end.ends_clean().then_some((make(day), end))
}

/// "this evening" is today.
fn this_part(end: Cursor<'_>) -> Option<(DayWord, Cursor<'_>)> {
    let mut end = after_blanks(end)?;
    let word = end.word()?;
    let part = ["morning", "afternoon", "evening"].iter().any(|part| word.eq_ignore_ascii_case(part));
    (part && end.ends_clean()).then_some((DayWord::Offset(0), end))
}

/// "day after tomorrow", "day before yesterday".
fn beside(mut end: Cursor<'_>) -> Option<(DayWord, Cursor<'_>)> {
    let mut words = ["day", "", ""];
    for (place, word) in words.iter_mut().enumerate() {
        if place > 0 {
            end = after_blanks(end)?;
        }
        let found = end.word()?;
        if place == 0 && !found.eq_ignore_ascii_case(word) {
            return None;
        }
        *word = found;
    }
    let [_, side, day] = words;
    let days = if side.eq_ignore_ascii_case("after") && day.eq_ignore_ascii_case("tomorrow") {
        2
    } else if side.eq_ignore_ascii_case("before") && day.eq_ignore_ascii_case("yesterday") {
        -2
    } else {
        return None;
    };
    end.ends_clean().then_some((DayWord::Offset(days), end))
}

/// "3 days", "a week", "two weeks": so many days.
fn number_of_days(mut end: Cursor<'_>) -> Option<(i32, Cursor<'_>)> {
    let number = if end.peek()?.is_ascii_digit() {
        end.digits(4)?.0
    } else {
        let word = end.word()?;
        if word.eq_ignore_ascii_case("a") || word.eq_ignore_ascii_case("one") { 1 } else { small_number(word)? }
    };
    let mut end = after_blanks(end)?;
    let unit = end.word()?;
    let is = |one: &&str| unit.eq_ignore_ascii_case(one);
    let each = if ["day", "days"].iter().any(is) {
        1
    } else if ["week", "weeks"].iter().any(is) {
        7
    } else if ["fortnight", "fortnights"].iter().any(is) {
        14
    } else {
        return None;
    };
    let days = number.checked_mul(each).filter(|days| *days <= FAR)?;
    Some((i32::try_from(days).ok()?, end))
}

/// "3 days ago", "two weeks from now", "a week from today".
fn counted(start: Cursor<'_>) -> Option<(DayWord, Cursor<'_>)> {
    let (days, end) = number_of_days(start)?;
    let mut end = after_blanks(end)?;
    let word = end.word()?;
    if word.eq_ignore_ascii_case("ago") {
        return Some((DayWord::Offset(-days), end));
    }
    let mut end = after_blanks(end)?;
    let from = end.word()?;
    let base = if from.eq_ignore_ascii_case("now") || from.eq_ignore_ascii_case("today") {
        0
    } else if from.eq_ignore_ascii_case("tomorrow") {
        1
    } else {
        return None;
    };
    word.eq_ignore_ascii_case("from").then_some((DayWord::Offset(days + base), end))
}
