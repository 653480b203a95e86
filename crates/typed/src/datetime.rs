//! A date and a time of day beside each other.

use smallvec::SmallVec;

use crate::clock::{Times, bare_hour, time, times};
use crate::date::{Dates, single};
use crate::datum::add;
use crate::names::joint;
use crate::scan::{Cursor, sweep};
use crate::{Datum, Readings, Time};

/// What stands at one place: every pair of a date and a time.
struct Moment {
    dates: Dates,
    times: SmallVec<[Times; 2]>,
    offset: Option<i32>,
}

impl Moment {
    fn readings(&self, times: &Times) -> Readings {
        let mut readings = Readings::new();
        for date in &self.dates {
            for time in times {
                add(&mut readings, Datum::DateTime { date: *date, time: *time, offset: self.offset });
            }
        }
        readings
    }
}

/// The whole text as one moment. A date alone is its midnight.
pub(crate) fn read(text: &str) -> Readings {
    let start = Cursor::new(text, 0);
    if let Some((dates, _)) = single(start).filter(|(_, end)| end.is_done()) {
        let times = SmallVec::from_elem(Time(0), 1);
        return Moment { dates, times: SmallVec::new(), offset: None }.readings(&times);
    }
    match moment(start, true) {
        Some((moment, end)) if end.is_done() => match moment.times.as_slice() {
            [times] => moment.readings(times),
            _ => Readings::new(),
        },
        _ => Readings::new(),
    }
}

/// Every moment in running text.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    sweep(text, &[], |start| {
        let (moment, end) = moment(start, false)?;
        for times in &moment.times {
            each(moment.readings(times));
        }
        Some(end.at())
    });
}

/// Every time of day in running text, those of moments among them.
pub(crate) fn find_times(text: &str, each: &mut dyn FnMut(Readings)) {
    sweep(text, &[], |start| {
        let (found, end) = match moment(start, false) {
            Some((moment, end)) => (moment.times, end),
            None if begins(start) => times(start).or_else(|| bare_hour(start))?,
            None => return None,
        };
        for times in found {
            each(times.into_iter().map(Datum::Time).collect());
        }
        Some(end.at())
    });
}

fn begins(start: Cursor<'_>) -> bool {
    match start.peek() {
        Some(b'0'..=b'9') => start.starts_number() || follows_time(start),
        _ => start.starts_clean(),
    }
}

/// "18:00-19:00" are two times.
fn follows_time(start: Cursor<'_>) -> bool {
    matches!(start.before().as_bytes(), [.., b':', b'0'..=b'5', b'0'..=b'9', b'-'])
}

/// A date and its time, in either order.
fn moment(start: Cursor<'_>, whole: bool) -> Option<(Moment, Cursor<'_>)> {
    if !begins(start) {
        return None;
    }
    match single(start) {
        Some((dates, after)) => date_first(dates, after, whole),
        None => time_first(start),
    }
}

fn date_first(dates: Dates, after: Cursor<'_>, whole: bool) -> Option<(Moment, Cursor<'_>)> {
    let mut next = after;
    let iso = next.eat_any(b"Tt").is_some();
    if !iso {
        separator(&mut next)?;
    }
    let (mut found, end) = if whole || iso {
        let (times, end) = time(next, true)?;
        (SmallVec::from_elem(times, 1), end)
    } else {
        times(next)?
    };
    let written = next.rest().get(..end.at() - next.at()).unwrap_or_default();
    // Behind seconds, or in ISO 8601, a minus begins an offset; elsewhere it joins a range.
    let exact = iso || written.bytes().filter(|byte| *byte == b':').count() == 2;
    let (offset, mut end) = offset(end, exact)?;
    let mut more = end;
    if !whole && !exact && offset.is_none() && found.len() == 1 && joint(&mut more).is_some() {
        // "10:00 to 11:00" has two times of one day; a date behind the joint begins another moment.
        if let Some((times, after)) = time(more, false).filter(|_| single(more).is_none()) {
            found.push(times);
            end = after;
        }
    }
    Some((Moment { dates, times: found, offset }, end))
}

fn time_first(start: Cursor<'_>) -> Option<(Moment, Cursor<'_>)> {
    let (found, after) = times(start)?;
    let mut next = after;
    next.eat_any(b",");
    if next.blanks() == 0 {
        return None;
    }
    if next.eat_word("on") {
        next.blanks();
    }
    let (dates, end) = single(next)?;
    // "12:00 May 15 at 10:00": the date belongs to the time behind it.
    date_first(dates.clone(), end, false).is_none().then_some((Moment { dates, times: found, offset: None }, end))
}

/// What stands between a date and its time.
fn separator(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.eat_any(b",");
    if cursor.blanks() == 0 {
        return None;
    }
    if cursor.eat("@") || ["at", "from", "between"].iter().any(|word| cursor.eat_word(word)) {
        cursor.blanks();
    }
    Some(())
}

/// The offset from UTC in minutes, if one is given. With a minus it counts only where no range can be meant.
/// An offset that does not exist leaves no moment.
fn offset(end: Cursor<'_>, exact: bool) -> Option<(Option<i32>, Cursor<'_>)> {
    let mut next = end;
    if next.eat_any(b"Zz").is_some() {
        return next.ends_number().then_some((Some(0), next));
    }
    let mut zone = end;
    if zone.blanks() > 0 && zone.word().is_some_and(|word| matches!(word, "UTC" | "GMT" | "Z")) {
        if zone.ends_clean() && !matches!(zone.peek(), Some(b'+' | b'-')) {
            return Some((Some(0), zone));
        }
        return None;
    }
    let mut next = end;
    next.blanks();
    let Some(sign) = next.eat_any(b"+-").filter(|sign| *sign == b'+' || (exact && next_is_digit(next))) else {
        return Some((None, end));
    };
    let (hours, minutes) = match next.digits(4)? {
        (both, 4) => (both / 100, both % 100),
        (hours, 2) if next.eat(":") => (hours, next.digits(2).filter(|(_, length)| *length == 2)?.0),
        (hours, 2) => (hours, 0),
        _ => return None,
    };
    let minutes = i32::try_from(hours * 60 + minutes).ok().filter(|all| *all <= 14 * 60 && minutes < 60)?;
    next.ends_number().then_some((Some(if sign == b'-' { -minutes } else { minutes }), next))
}

fn next_is_digit(cursor: Cursor<'_>) -> bool {
    cursor.peek().is_some_and(|byte| byte.is_ascii_digit())
}
