//! Phone numbers.

use smol_str::{SmolStr, SmolStrBuilder};

use crate::datum::one;
use crate::scan::{Cursor, sweep};
use crate::{Datum, Kind, Readings};

/// The digits of a phone number: E.164 has at most fifteen.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A number of so many characters may be whole though more digits follow behind a blank.
const WHOLE: usize = 10;

/// The whole text as one number: its digits, and the plus if it is written.
pub(crate) fn phone(text: &str) -> Option<SmolStr> {
    let text = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => text.get(4..)?,
        _ => text,
    };
    let mut found = None;
    let end = numbers(Cursor::new(text, 0), &mut |normal, end| {
        if end.is_done() {
            found = Some(normal);
        }
    })?;
    found.filter(|_| end.is_done())
}

/// Every phone number in running text. Where digits go on behind a blank, it may end at each of the blanks.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    sweep(text, b"+(", |start| {
        let clean = match start.peek() {
            Some(b'0'..=b'9') => start.starts_number() && !start.before().ends_with(['+', '(']),
            Some(b'+' | b'(') => start.starts_clean() && !start.before().ends_with('+'),
            _ => false,
        };
        if !clean || is_date(start) {
            return None;
        }
        // Of the numbers that could end at a blank, the short ones are parts of the last.
        let mut last: Option<SmolStr> = None;
        let end = numbers(start, &mut |normal, end| {
            if end.ends_number()
                && let Some(normal) = last.replace(normal).filter(|normal| normal.len() >= WHOLE)
            {
                each(one(Datum::Str { kind: Kind::Phone, normal }));
            }
        })?;
        if let Some(normal) = last {
            each(one(Datum::Str { kind: Kind::Phone, normal }));
        }
        Some(end.at())
    });
}

fn is_date(start: Cursor<'_>) -> bool {
    crate::date::single(start).is_some()
}

/// Calls `each` with the digits so far at the end of every group that can end a number; answers where they end.
fn numbers<'a>(start: Cursor<'a>, each: &mut dyn FnMut(SmolStr, Cursor<'a>)) -> Option<Cursor<'a>> {
    let mut next = start;
    let mut digits = SmolStrBuilder::new();
    let mut count = 0;
    let mut open = false;
    let mut last = None;
    let plus = next.eat("+");
    if plus {
        digits.push('+');
    }
    loop {
        // "+44 (0) 20": the zero is dialled within the country only.
        if plus && count > 0 && !open && next.eat("(0)") {
            next.blanks();
        }
        if !open && next.eat("(") {
            open = true;
        }
        let before = count;
        while let Some(digit) = next.eat_any(b"0123456789") {
            digits.push(char::from(digit));
            count += 1;
            if count > *DIGITS.end() {
                return last;
            }
        }
        if count == before {
            return last;
        }
        if open && next.eat(")") {
            open = false;
        }
        if DIGITS.contains(&count) && !open {
            each(digits.clone().finish(), next);
            last = Some(next);
        }
        // One sign of separation, a blank beside it or a bracket behind it.
        let blanks = next.blanks();
        let sign = next.eat_any(b"-./").is_some();
        if blanks > 2 || (blanks == 0 && !sign && next.peek() != Some(b'(') && !next.before().ends_with(')')) {
            return last;
        }
        if sign {
            next.blanks();
        }
    }
}
