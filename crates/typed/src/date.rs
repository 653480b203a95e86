//! Dates in the many ways that people write them.

use smallvec::SmallVec;

use crate::dayword::day_word;
use crate::names::{Joint, joint, month, short_weekday, weekday};
use crate::scan::{Cursor, sweep};
use crate::{Date, Datum, Readings};

/// Every reading of one date.
pub(crate) type Dates = SmallVec<[Date; 2]>;
/// The dates of one group: "June 10-12 2024" has two.
type Group = SmallVec<[Dates; 2]>;

/// Groups in one chain of ranges, and days in one group.
const MOST: usize = 8;
/// Years that may follow a month's name; any other number of four digits there is a number.
const YEARS: std::ops::RangeInclusive<u32> = 1900..=2199;

/// The whole text as one date.
pub(crate) fn read(text: &str) -> Readings {
    let start = Cursor::new(text, 0);
    if let Some((word, _)) = day_word(start, true).filter(|(_, end)| end.is_done()) {
        return crate::datum::one(Datum::DayWord(word));
    }
    match single(start) {
        Some((dates, end)) if end.is_done() => dates.into_iter().map(Datum::Date).collect(),
        _ => Readings::new(),
    }
}

/// Every date in running text, days told from today among them.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    sweep(text, &[], |start| {
        if !may_begin(start) {
            return None;
        }
        if let Some((chain, end)) = chain(start) {
            for dates in chain {
                each(dates.into_iter().map(Datum::Date).collect());
            }
            return Some(end.at());
        }
        let (word, end) = day_word(start, false)?;
        each(crate::datum::one(Datum::DayWord(word)));
        Some(end.at())
    });
}

/// Cheap: whether what stands here can be the beginning of a date at all.
fn may_begin(start: Cursor<'_>) -> bool {
    match start.peek() {
        Some(b'0'..=b'9') => start.starts_number(),
        Some(byte) if byte.is_ascii_alphabetic() => start.starts_clean(),
        _ => false,
    }
}

/// One date, with a weekday before it if there is one.
pub(crate) fn single(start: Cursor<'_>) -> Option<(Dates, Cursor<'_>)> {
    let (mut days, end) = group(start)?;
    let dates = days.pop().filter(|_| days.is_empty())?;
    ends(end).then_some((dates, end))
}

/// Dates joined to ranges: a year counts for the whole chain.
fn chain(start: Cursor<'_>) -> Option<(Group, Cursor<'_>)> {
    let (mut days, mut end) = group(start)?;
    for _ in 1..MOST {
        let mut next = end;
        // An interval of ISO 8601 is joined by a slash.
        let mut slash = end;
        let interval = slash.eat("/") && { slash }.digits(4).is_some_and(|(_, length)| length == 4);
        let joined = if interval {
            next = slash;
            true
        } else {
            joint(&mut next).is_some()
        };
        let Some((more, behind)) = joined.then(|| group(next)).flatten() else { break };
        days.extend(more);
        end = behind;
    }
    if !ends(end) {
        return None;
    }
    share_years(&mut days);
    Some((days, end))
}

/// Gives the dates of a chain that have no year the year of their neighbour. The end of December to the
/// beginning of January is a step of one year.
fn share_years(days: &mut Group) {
    let mut known: Option<(i32, u8)> = None;
    for dates in days.iter_mut().rev() {
        for date in dates.iter_mut().filter(|date| date.year.is_none()) {
            if let Some((year, month)) = known {
                let year = year - i32::from(date.month > month);
                *date = Date::new(Some(year), date.month, date.day).unwrap_or(*date);
            }
        }
        known = dates.iter().find_map(|date| Some((date.year?, date.month))).or(known);
    }
    known = None;
    for dates in days.iter_mut() {
        for date in dates.iter_mut().filter(|date| date.year.is_none()) {
            if let Some((year, month)) = known {
                let year = year + i32::from(date.month < month);
                *date = Date::new(Some(year), date.month, date.day).unwrap_or(*date);
            }
        }
        known = dates.iter().find_map(|date| Some((date.year?, date.month))).or(known);
    }
}

/// Whether a date may end here. An ISO date may go on with its time.
fn ends(end: Cursor<'_>) -> bool {
    let mut time = end;
    end.ends_number() || (time.eat_any(b"Tt").is_some() && time.digits(2).is_some() && time.peek() == Some(b':'))
}

/// The days that share one month and year.
fn group(start: Cursor<'_>) -> Option<(Group, Cursor<'_>)> {
    let mut start = start;
    if start.peek()?.is_ascii_alphabetic() {
        let mut next = start;
        let word = next.word()?;
        if weekday(word).or_else(|| short_weekday(word)).is_some() {
            next.eat_any(b".");
            next.eat_any(b",");
            next.blanks();
            start = next;
        }
        let mut next = start;
        if next.eat_word("the") && next.blanks() > 0 {
            start = next;
        }
    }
    if start.peek()?.is_ascii_digit() {
        numeric(start).map(|(dates, end)| (SmallVec::from_elem(dates, 1), end)).or_else(|| day_first(start))
    } else {
        month_first(start)
    }
}

/// "2024-05-15", "15.05.2024", "05/15/24", "5/15".
fn numeric(start: Cursor<'_>) -> Option<(Dates, Cursor<'_>)> {
    let mut end = start;
    let (first, length) = end.digits(4)?;
    let sign = end.eat_any(b"-/.")?;
    let (second, _) = end.digits(2)?;
    let mut dates = Dates::new();
    let mut add = |year: Option<u32>, month: u32, day: u32| {
        let date = year
            .map_or(Some(None), |year| i32::try_from(year).ok().map(Some))
            .and_then(|year| Date::new(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?));
        if let Some(date) = date.filter(|date| !dates.contains(date)) {
            dates.push(date);
        }
    };
    let mut more = end;
    let third = if more.eat_any(&[sign]).is_some() { more.digits(4) } else { None };
    match (length, third) {
        (4, Some((third, 1 | 2))) => add(Some(first), second, third),
        (1 | 2, Some((third, size @ (2 | 4)))) => {
            let year = match (size, third) {
                (4, year) => year,
                (_, 0..=68) => 2000 + third,
                _ => 1900 + third,
            };
            if sign != b'.' {
                add(Some(year), first, second);
            }
            add(Some(year), second, first);
        }
        // "24/7" says always.
        (1 | 2, None) if sign == b'/' && (first, second) != (24, 7) => {
            add(None, first, second);
            add(None, second, first);
            more = end;
        }
        _ => return None,
    }
    (!dates.is_empty()).then_some((dates, more))
}

/// A day of the month, "15" or "15th", and whether it is an ordinal.
fn day(cursor: &mut Cursor<'_>) -> Option<(u32, bool)> {
    let mut next = *cursor;
    let (day, _) = next.digits(2)?;
    let digits = next;
    let ordinal =
        next.word().is_some_and(|word| ["st", "nd", "rd", "th"].iter().any(|th| word.eq_ignore_ascii_case(th)));
    let next = if ordinal { next } else { digits };
    (next.ends_clean() && (1..=31).contains(&day)).then(|| {
        *cursor = next;
        (day, ordinal)
    })
}

/// The name of a month, and the point of its short form.
fn month_name(cursor: &mut Cursor<'_>) -> Option<u8> {
    let mut next = *cursor;
    let word = next.word()?;
    let month = month(word)?;
    if word.len() < 5 {
        next.eat_any(b".");
    }
    *cursor = next;
    Some(month)
}

/// "May 15th, 2024", "January 1st to 5th", "May the 15th", "May-15-2024".
fn month_first(start: Cursor<'_>) -> Option<(Group, Cursor<'_>)> {
    let mut end = start;
    let month = month_name(&mut end)?;
    let dashed = end.eat("-");
    if !dashed {
        end.blanks();
        if end.eat_word("the") {
            end.blanks();
        }
    }
    let (first, mut ordinal) = day(&mut end)?;
    if is_time(end) {
        return None;
    }
    let mut days: SmallVec<[u32; 4]> = SmallVec::from_elem(first, 1);
    while !dashed && days.len() < MOST {
        let mut next = end;
        let joint = joint(&mut next).or_else(|| (next.eat(",") && next.blanks() > 0).then_some(Joint::List));
        if joint.is_some() && next.eat_word("the") {
            next.blanks();
        }
        let Some((more, nth)) = joint.and_then(|_| day(&mut next)) else { break };
        // "May 15 and 20 people": a list goes on only with ordinals; "to 16 June" is another group.
        let wanted = joint == Some(Joint::Range) || (ordinal && nth);
        if !wanted || is_time(next) || !next.ends_number() || of_month(&mut { next }).is_some() {
            break;
        }
        ordinal = nth;
        days.push(more);
        end = next;
    }
    let year = if dashed && end.eat("-") { Some(dashed_year(&mut end)?) } else { year(&mut end) };
    Some((dates(year, month, &days)?, end))
}

/// "15 May 2024", "the 15th of May", "10-12 June", "15-May-2024".
fn day_first(start: Cursor<'_>) -> Option<(Group, Cursor<'_>)> {
    let mut end = start;
    let (first, _) = day(&mut end)?;
    let mut dashed = end;
    if let Some(sign) = dashed.eat_any(b"-/")
        && let Some(month) = month_name(&mut dashed)
    {
        dashed.eat_any(&[sign])?;
        let year = dashed_year(&mut dashed)?;
        return Some((dates(Some(year), month, &[first])?, dashed));
    }
    let mut days: SmallVec<[u32; 4]> = SmallVec::from_elem(first, 1);
    let month = loop {
        if let Some(month) = of_month(&mut end) {
            break month;
        }
        if days.len() >= MOST {
            return None;
        }
        if joint(&mut end).is_none() && !(end.eat(",") && end.blanks() > 0) {
            return None;
        }
        if end.eat_word("the") {
            end.blanks();
        }
        days.push(day(&mut end)?.0);
    };
    let year = year(&mut end);
    Some((dates(year, month, &days)?, end))
}

/// " of May", " May".
fn of_month(cursor: &mut Cursor<'_>) -> Option<u8> {
    let mut next = *cursor;
    next.blanks();
    if next.eat_word("of") {
        next.blanks();
    }
    let month = month_name(&mut next).filter(|_| next.ends_clean())?;
    *cursor = next;
    Some(month)
}

/// The year behind a month and a day, if one stands there.
fn year(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut next = *cursor;
    next.blanks();
    next.eat_any(b",");
    next.blanks();
    if next.eat_word("of") {
        next.blanks();
    }
    let (year, length) = next.digits(4)?;
    let bare = length == 4 && YEARS.contains(&year) && next.ends_clean() && next.peek() != Some(b':');
    (bare && next.at() > cursor.at() + 4).then(|| {
        *cursor = next;
        year
    })
}

/// The year of "15-May-2024".
fn dashed_year(cursor: &mut Cursor<'_>) -> Option<u32> {
    let (year, length) = cursor.digits(4)?;
    match length {
        4 => Some(year),
        2 if year <= 68 => Some(2000 + year),
        2 => Some(1900 + year),
        _ => None,
    }
}

/// Whether the number before is an hour: minutes or "PM" follow.
fn is_time(end: Cursor<'_>) -> bool {
    let mut next = end;
    end.peek() == Some(b':') || {
        next.blanks();
        next.word().is_some_and(|word| word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm"))
    }
}

fn dates(year: Option<u32>, month: u8, days: &[u32]) -> Option<Group> {
    let year = match year {
        Some(year) => Some(i32::try_from(year).ok()?),
        None => None,
    };
    days.iter().map(|day| Some(SmallVec::from_elem(Date::new(year, month, u8::try_from(*day).ok()?)?, 1))).collect()
}
