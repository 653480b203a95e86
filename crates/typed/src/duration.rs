//! Lengths of time. Months and years have none of their own.

use crate::datum::one;
use crate::names::{small_number, unit};
use crate::number::{ONE, digits, in_words, range_start};
use crate::scan::{Cursor, sweep};
use crate::{Datum, Readings};

/// Parts of one duration: "1h 30m 5s" has three.
const MOST: usize = 5;

/// The whole text as one duration.
pub(crate) fn read(text: &str) -> Readings {
    match duration(Cursor::new(text, 0)) {
        Some((seconds, mut end)) => {
            if end.blanks() > 0 || end.eat("-") {
                end.eat_word("long");
            }
            if end.is_done() { one(Datum::Duration(seconds)) } else { Readings::new() }
        }
        None => Readings::new(),
    }
}

/// Every duration in running text.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    sweep(text, &[], |start| {
        let number = start.peek().is_some_and(|byte| byte.is_ascii_digit());
        if !(if number { start.starts_number() } else { start.starts_clean() }) {
            return None;
        }
        if let Some((seconds, end)) = duration(start) {
            each(one(Datum::Duration(seconds)));
            return Some(end.at());
        }
        // "2 to 3 hours", "2-3 hours": both.
        let (amounts, next) = range_start(start)?;
        let (seconds, size, end) = part(next)?;
        let [amount] = amounts.as_slice() else { return None };
        let first = times(*amount, size).filter(|_| ends(end))?;
        each(one(Datum::Duration(first)));
        each(one(Datum::Duration(seconds)));
        Some(end.at())
    });
}

fn ends(end: Cursor<'_>) -> bool {
    end.ends_clean() && end.peek() != Some(b'@')
}

fn duration(start: Cursor<'_>) -> Option<(i64, Cursor<'_>)> {
    if let Some(found) = iso(start) {
        return Some(found);
    }
    let (mut seconds, mut size, mut end) = part(start)?;
    for _ in 1..MOST {
        let mut next = end;
        next.eat_any(b",");
        next.blanks();
        if next.eat_word("and") && next.blanks() > 0 && next.eat_word("a") {
            // "an hour and a half"
            if next.blanks() > 0 && next.eat_word("half") && next.ends_clean() {
                seconds = seconds.checked_add(size / 2)?;
                end = next;
            }
            break;
        }
        let Some((more, smaller, after)) = part(next).filter(|(_, smaller, _)| *smaller < size) else { break };
        (seconds, size, end) = (seconds.checked_add(more)?, smaller, after);
    }
    ends(end).then_some((seconds, end))
}

/// A number and its unit: the seconds, the seconds of the unit, and the end.
fn part(start: Cursor<'_>) -> Option<(i64, i64, Cursor<'_>)> {
    let (amount, mut next, number) = if start.peek()?.is_ascii_digit() {
        let (amounts, end) = digits(start)?;
        let [amount] = amounts.as_slice() else { return None };
        (*amount, end, true)
    } else {
        let (amount, end) = count(start)?;
        (amount, end, false)
    };
    let apart = next.blanks() > 0 || next.eat("-");
    if !apart && !number {
        return None;
    }
    let size = unit(next.word()?, number && !apart)?;
    Some((times(amount, size)?, size, next))
}

fn times(amount: i64, size: i64) -> Option<i64> {
    let all = amount.checked_mul(size)?;
    (all % ONE == 0).then_some(all / ONE)
}

/// "a", "an", "half an", "two", "a couple of", "one and a half", in ten-thousandths.
fn count(start: Cursor<'_>) -> Option<(i64, Cursor<'_>)> {
    let mut end = start;
    let word = end.word()?;
    let article = word.eq_ignore_ascii_case("a") || word.eq_ignore_ascii_case("an");
    if word.eq_ignore_ascii_case("half") {
        let mut next = end;
        let article = next.blanks() > 0 && (next.eat_word("an") || next.eat_word("a"));
        return Some((ONE / 2, if article { next } else { end }));
    }
    if article {
        let mut next = end;
        next.blanks();
        if next.eat_word("half") {
            return Some((ONE / 2, next));
        }
        if next.eat_word("couple") && next.blanks() > 0 && next.eat_word("of") {
            return Some((2 * ONE, next));
        }
        if next.eat_word("quarter") && next.blanks() > 0 && next.eat_word("of") {
            next.blanks();
            return (next.eat_word("an") || next.eat_word("a")).then_some((ONE / 4, next));
        }
        return Some(in_words(start).map_or((ONE, end), |(number, end)| (i64::from(number) * ONE, end)));
    }
    let (number, end) = in_words(start)?;
    let number = i64::from(number) * ONE;
    let mut next = end;
    if small_number(word).is_some()
        && next.blanks() > 0
        && next.eat_word("and")
        && next.blanks() > 0
        && next.eat_word("a")
        && next.blanks() > 0
        && next.eat_word("half")
    {
        return Some((number + ONE / 2, next));
    }
    Some((number, end))
}

/// "PT1H30M", "P2D", "P1W".
fn iso(start: Cursor<'_>) -> Option<(i64, Cursor<'_>)> {
    let mut end = start;
    end.eat_any(b"P")?;
    let mut seconds = 0_i64;
    let mut least = i64::MAX;
    let mut clock = false;
    for _ in 0..=MOST {
        if !clock && end.eat("T") {
            clock = true;
        }
        let mut next = end;
        let Some((number, _)) = next.digits(7) else { break };
        let size = match (clock, next.eat_any(b"WDHMS")?) {
            (false, b'W') => 604_800,
            (false, b'D') => 86_400,
            (true, b'H') => 3_600,
            (true, b'M') => 60,
            (true, b'S') => 1,
            _ => return None,
        };
        if size >= least {
            return None;
        }
        seconds = seconds.checked_add(i64::from(number) * size)?;
        (least, end) = (size, next);
    }
    let open = end.before().ends_with('T');
    (least < i64::MAX && !open && ends(end)).then_some((seconds, end))
}
