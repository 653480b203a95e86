//! Times of day.

use smallvec::SmallVec;

use crate::names::{joint, small_number};
use crate::scan::Cursor;
use crate::{Datum, Readings, Time};

/// Every reading of one time: "10 o'clock" is in the morning or in the evening.
pub(crate) type Times = SmallVec<[Time; 2]>;

/// An hour and a minute as they are written, before it is known which half of the day they mean.
#[derive(Clone, Copy)]
struct Face {
    hour: u32,
    minute: u32,
    second: u32,
    /// One digit, as "9:30": in running text it may be either half of the day.
    short: bool,
    /// Minutes are written.
    exact: bool,
}

/// The whole text as one time of day.
pub(crate) fn read(text: &str) -> Readings {
    let mut start = Cursor::new(text, 0);
    if start.eat_word("at") {
        start.blanks();
    }
    match time(start, true) {
        Some((times, end)) if end.is_done() => times.into_iter().map(Datum::Time).collect(),
        _ => Readings::new(),
    }
}

/// The times that stand here: one, or both ends of "2 to 3 PM".
pub(crate) fn times(start: Cursor<'_>) -> Option<(SmallVec<[Times; 2]>, Cursor<'_>)> {
    if let Some((first, end)) = face(start) {
        let mut next = end;
        if joint(&mut next).is_some()
            && let Some((last, after)) = face(next)
            && let Some((half, end)) = half_of_day(after)
        {
            let last = in_half(last, half)?;
            let same = in_half(first, half)?;
            let first = if same > last { in_half(first, !half)? } else { same };
            return ends(end).then(|| (SmallVec::from_iter([one(first), one(last)]), end));
        }
    }
    let (times, end) = time(start, false)?;
    Some((SmallVec::from_elem(times, 1), end))
}

fn one(time: Time) -> Times {
    SmallVec::from_elem(time, 1)
}

fn ends(end: Cursor<'_>) -> bool {
    // "18:00-19:00" are two times; "18:00Z" is a time of UTC.
    let mut zulu = end;
    end.ends_number() || end.peek() == Some(b'-') || (zulu.eat_any(b"Zz").is_some() && zulu.ends_number())
}

/// One time of day. In running text "1:30" may be in the afternoon; as a whole value it is written as clocks
/// of 24 hours do.
pub(crate) fn time(start: Cursor<'_>, whole: bool) -> Option<(Times, Cursor<'_>)> {
    let (times, end) = if start.peek()?.is_ascii_digit() { digits(start, whole)? } else { words(start)? };
    ends(end).then_some((times, end))
}

fn digits(start: Cursor<'_>, whole: bool) -> Option<(Times, Cursor<'_>)> {
    let (face, end) = face(start)?;
    if let Some((half, end)) = half_of_day(end) {
        return Some((one(in_half(face, half)?), end));
    }
    if let Some(end) = o_clock(end) {
        return Some((both(face)?, end));
    }
    if !face.exact {
        return None;
    }
    let times = if face.short && !whole { both(face)? } else { one(Time::new(face.hour, face.minute, face.second)?) };
    Some((times, end))
}

/// "6", "6:30", "18:00:00.000", and "6.30" only before "pm".
fn face(start: Cursor<'_>) -> Option<(Face, Cursor<'_>)> {
    let mut end = start;
    let (hour, length) = end.digits(2)?;
    let mut face = Face { hour, minute: 0, second: 0, short: length == 1, exact: false };
    let mut minutes = end;
    if let Some(sign) = minutes.eat_any(b":.")
        && let Some((minute, 2)) = minutes.digits(2)
    {
        if sign == b'.' {
            half_of_day(minutes)?;
        }
        face = Face { minute, exact: true, ..face };
        end = minutes;
        let mut seconds = end;
        if sign == b':' && seconds.eat(":") {
            let (second, 2) = seconds.digits(2)? else { return None };
            face.second = second;
            end = seconds;
            if seconds.eat_any(b".,").is_some() && seconds.digits(9).is_some() {
                end = seconds;
            }
        }
    }
    (face.minute < 60 && face.second < 60 && hour < 24).then_some((face, end))
}

/// Behind an hour: `true` for the afternoon.
fn half_of_day(mut end: Cursor<'_>) -> Option<(bool, Cursor<'_>)> {
    end.blanks();
    let half = end.eat_any(b"aApP")?;
    let points = end.eat(".");
    end.eat_any(b"mM")?;
    if points {
        end.eat(".");
    }
    end.ends_clean().then_some((half.eq_ignore_ascii_case(&b'p'), end))
}

fn in_half(face: Face, afternoon: bool) -> Option<Time> {
    let hour = face.hour.checked_rem(12).filter(|_| (1..=12).contains(&face.hour))?;
    Time::new(hour + if afternoon { 12 } else { 0 }, face.minute, face.second)
}

fn both(face: Face) -> Option<Times> {
    if (1..12).contains(&face.hour) {
        return Some(SmallVec::from_iter([in_half(face, false)?, in_half(face, true)?]));
    }
    Some(one(Time::new(face.hour, face.minute, face.second)?))
}

fn o_clock(mut end: Cursor<'_>) -> Option<Cursor<'_>> {
    end.blanks();
    let apostrophe = end.eat_any(b"oO").is_some() && (end.eat("'") || end.eat("\u{2019}"));
    (apostrophe && end.eat_word("clock")).then_some(end)
}

/// "noon", "midnight", "six pm", "ten o'clock", "half past ten", "quarter to six".
fn words(start: Cursor<'_>) -> Option<(Times, Cursor<'_>)> {
    let mut end = start;
    let word = end.word()?;
    let is = |one: &str| word.eq_ignore_ascii_case(one);
    match word.as_bytes().first()?.to_ascii_lowercase() {
        b'n' if is("noon") => return Some((one(Time(43_200)), end)),
        b'm' if is("midday") => return Some((one(Time(43_200)), end)),
        b'm' if is("midnight") => return Some((one(Time(0)), end)),
        b'h' if is("half") => return beside_hour(end, 30),
        b'q' if is("quarter") => return beside_hour(end, 15),
        b'o' | b't' | b'f' | b's' | b'e' | b'n' => {}
        _ => return None,
    }
    let hour = small_number(word).filter(|hour| (1..=12).contains(hour))?;
    let face = Face { hour, minute: 0, second: 0, short: true, exact: false };
    if end.blanks() == 0 {
        return None;
    }
    if let Some((half, end)) = half_of_day(end) {
        return Some((one(in_half(face, half)?), end));
    }
    Some((both(face)?, o_clock(end)?))
}

/// "at 7", where no unit follows: the morning or the evening.
pub(crate) fn bare_hour(start: Cursor<'_>) -> Option<(SmallVec<[Times; 2]>, Cursor<'_>)> {
    const AFTER: [&str; 10] = ["on", "today", "tomorrow", "tonight", "for", "with", "until", "and", "or", "in"];
    let mut end = start;
    if !end.eat_word("at") || end.blanks() == 0 {
        return None;
    }
    let (hour, length) = end.digits(2).filter(|(hour, _)| (1..=12).contains(hour))?;
    let mut next = end;
    let goes_on = match next.peek() {
        None | Some(b'\n' | b'.' | b',' | b';' | b'!' | b'?' | b')') => true,
        _ => {
            next.blanks() > 0 && next.word().is_some_and(|word| AFTER.iter().any(|one| word.eq_ignore_ascii_case(one)))
        }
    };
    let face = Face { hour, minute: 0, second: 0, short: length == 1, exact: false };
    if !goes_on || !end.ends_number() {
        return None;
    }
    Some((SmallVec::from_elem(SmallVec::from_iter([in_half(face, false)?, in_half(face, true)?]), 1), end))
}

/// "past ten", "to six".
fn beside_hour(mut end: Cursor<'_>, minutes: u32) -> Option<(Times, Cursor<'_>)> {
    if end.blanks() == 0 {
        return None;
    }
    let word = end.word()?;
    let past = word.eq_ignore_ascii_case("past");
    if end.blanks() == 0 || !(past || (minutes == 15 && word.eq_ignore_ascii_case("to"))) {
        return None;
    }
    let hour = match end.peek()? {
        b'0'..=b'9' => end.digits(2)?.0,
        _ => small_number(end.word()?)?,
    };
    if !(1..=12).contains(&hour) {
        return None;
    }
    let (hour, minute) = match (past, hour) {
        (true, hour) => (hour, minutes),
        (false, 1) => (12, 60 - minutes),
        (false, hour) => (hour - 1, 60 - minutes),
    };
    let face = Face { hour, minute, second: 0, short: true, exact: true };
    if let Some((half, end)) = half_of_day(end) {
        return Some((one(in_half(face, half)?), end));
    }
    let times = [in_half(face, false)?, in_half(face, true)?];
    Some((SmallVec::from_iter(times), end))
}
