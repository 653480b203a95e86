//! Numbers in ten-thousandths: digits with their signs of grouping, and words.

use smallvec::SmallVec;

use crate::names::{joint, scale, small_number, tens};
use crate::scan::{Cursor, sweep};
use crate::{Datum, Readings};

/// What one is in ten-thousandths.
pub(crate) const ONE: i64 = 10_000;
/// The longest written number, in bytes.
const LONGEST: usize = 32;

/// Every reading of one number: "1,234" is two.
pub(crate) type Amounts = SmallVec<[i64; 2]>;

/// A number as JSON writes it, in ten-thousandths. It has one reading, or none: `None` if it does not fit or
/// has a finer fraction.
pub fn numeral(text: &str) -> Option<i64> {
    if text.len() > 2 * LONGEST {
        return None;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix('+').unwrap_or(exponent).parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    fixed(whole.bytes().chain(fraction.bytes()), exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?, negative)
}

/// Digits times ten to `exponent`, in ten-thousandths. Nothing is rounded and nothing wraps.
fn fixed(digits: impl Iterator<Item = u8>, exponent: i32, negative: bool) -> Option<i64> {
    let mut value = 0_i128;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))?;
    }
    let mut shift = exponent.checked_add(4)?;
    while shift > 0 && value != 0 {
        value = value.checked_mul(10)?;
        shift -= 1;
    }
    while shift < 0 && value != 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        shift += 1;
    }
    i64::try_from(if negative { -value } else { value }).ok()
}

/// The whole text as one number.
pub(crate) fn read(text: &str) -> Readings {
    let mut start = Cursor::new(text, 0);
    let sign = start.eat_any(b"+-");
    match quantity(start) {
        Some((amounts, end)) if end.is_done() => signed(amounts, sign).into_iter().map(Datum::Number).collect(),
        _ => Readings::new(),
    }
}

/// Every number in running text.
pub(crate) fn find(text: &str, each: &mut dyn FnMut(Readings)) {
    sweep(text, &[], |start| {
        let (found, end) = bare(start)?;
        for amounts in found {
            each(amounts.into_iter().map(Datum::Number).collect());
        }
        Some(end.at())
    });
}

/// The numbers that stand here: one, or both ends of "10-12".
pub(crate) fn bare(start: Cursor<'_>) -> Option<(SmallVec<[Amounts; 2]>, Cursor<'_>)> {
    let sign = sign_before(start);
    if sign.is_none() && !start.starts_number() {
        return None;
    }
    let (amounts, end) = quantity(start)?;
    let mut found: SmallVec<[Amounts; 2]> = SmallVec::from_elem(signed(amounts, sign), 1);
    let mut next = end;
    if next.eat("-") && next.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        let (amounts, end) = quantity(next)?;
        if !end.ends_number() {
            return None;
        }
        found.push(amounts);
        return Some((found, end));
    }
    ends(end).then_some((found, end))
}

fn ends(end: Cursor<'_>) -> bool {
    // "10-minute" has a number, "10-12-14" has not.
    let mut next = end;
    end.ends_number() || (next.eat("-") && next.peek().is_some_and(|byte| byte.is_ascii_alphabetic()))
}

/// The sign directly before a number, if nothing stands before the sign that it could join.
pub(crate) fn sign_before(start: Cursor<'_>) -> Option<u8> {
    match start.before().as_bytes() {
        [sign @ (b'-' | b'+')] | [.., b' ' | b'\t' | b'\n' | b'(', sign @ (b'-' | b'+')] => Some(*sign),
        _ => None,
    }
}

pub(crate) fn signed(mut amounts: Amounts, sign: Option<u8>) -> Amounts {
    if sign == Some(b'-') {
        amounts.iter_mut().for_each(|amount| *amount = amount.saturating_neg());
    }
    amounts
}

/// Digits or words, with what multiplies them. The end is not looked at.
pub(crate) fn quantity(start: Cursor<'_>) -> Option<(Amounts, Cursor<'_>)> {
    if !start.peek()?.is_ascii_digit() {
        let (number, end) = in_words(start)?;
        return Some((SmallVec::from_elem(i64::from(number).checked_mul(ONE)?, 1), end));
    }
    let (amounts, end) = digits(start)?;
    let mut next = end;
    let by = if next.eat_any(b"kK").is_some() && next.ends_clean() {
        1_000
    } else {
        next = end;
        match (next.blanks(), next.word().and_then(scale)) {
            (_, Some(by)) if next.ends_clean() => i64::from(by),
            _ => return Some((amounts, end)),
        }
    };
    let amounts: Option<Amounts> = amounts.into_iter().map(|amount| amount.checked_mul(by)).collect();
    Some((amounts?, next))
}

/// Digits with signs of grouping and of the fraction.
pub(crate) fn digits(start: Cursor<'_>) -> Option<(Amounts, Cursor<'_>)> {
    let bytes = start.rest().as_bytes();
    let mut length = 0;
    while bytes.get(length).is_some_and(|byte| {
        byte.is_ascii_digit()
            || (matches!(byte, b',' | b'.') && length > 0 && bytes.get(length + 1).is_some_and(u8::is_ascii_digit))
    }) {
        length += 1;
        if length > LONGEST {
            return None;
        }
    }
    let mut end = start;
    let written = start.rest().get(..length).filter(|written| !written.is_empty())?;
    end.eat(written);
    let amounts = separated(written);
    (!amounts.is_empty()).then_some((amounts, end))
}

/// The readings of digits with points and commas between them.
fn separated(written: &str) -> Amounts {
    let mut readings = Amounts::new();
    let mut add = |whole: &str, fraction: &str| {
        let digits = whole.bytes().filter(u8::is_ascii_digit).chain(fraction.bytes());
        let exponent = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        if let Some(value) = fixed(digits, -exponent, false).filter(|value| !readings.contains(value)) {
            readings.push(value);
        }
    };
    let Some(last) = written.rfind([',', '.']) else {
        add(written, "");
        return readings;
    };
    let (whole, rest) = written.split_at(last);
    let (sign, fraction) = rest.split_at(1);
    let alone = !whole.contains([',', '.']);
    let other = if sign == "," { '.' } else { ',' };
    if alone {
        // A comma before three digits groups first, a point divides first; both are readings.
        let groups = fraction.len() == 3 && whole.len() <= 3 && !whole.starts_with('0');
        if groups && sign == "," {
            add(written, "");
        }
        add(whole, fraction);
        if groups && sign == "." {
            add(written, "");
        }
    } else if whole.contains(other) && !whole.contains(sign) {
        if is_grouped(whole, other) {
            add(whole, fraction);
        }
    } else if !whole.contains(other) && is_grouped(written, if sign == "," { ',' } else { '.' }) {
        add(written, "");
    }
    readings
}

/// Whether the signs stand where thousands are grouped, or lakhs.
fn is_grouped(written: &str, sign: char) -> bool {
    let mut groups = written.split(sign).rev();
    let last = groups.next().is_some_and(|group| group.len() == 3);
    let mut lengths: SmallVec<[usize; 8]> = groups.map(str::len).collect();
    let first = lengths.pop();
    let all = |size: usize| lengths.iter().all(|length| *length == size);
    let plain = all(3) && first.is_some_and(|first| (1..=3).contains(&first));
    let lakhs = sign == ',' && !lengths.is_empty() && all(2) && first.is_some_and(|first| (1..=2).contains(&first));
    last && !written.starts_with('0') && (plain || lakhs)
}

/// "two", "twenty-five", "a hundred", "two thousand five hundred".
pub(crate) fn in_words(start: Cursor<'_>) -> Option<(u32, Cursor<'_>)> {
    let (mut number, mut end) = below_thousand(start)?;
    let mut next = end;
    if next.blanks() > 0
        && let Some(by) = next.word().and_then(scale)
    {
        number = number.checked_mul(by)?;
        end = next;
        if next.blanks() > 0 && by == 1_000 {
            if next.eat_word("and") {
                next.blanks();
            }
            if let Some((more, after)) = below_thousand(next) {
                (number, end) = (number.checked_add(more)?, after);
            }
        }
    }
    Some((number, end))
}

fn below_thousand(start: Cursor<'_>) -> Option<(u32, Cursor<'_>)> {
    let mut end = start;
    let article = end.eat_word("a");
    let mut number = 1;
    if !article {
        (number, end) = below_hundred(start)?;
    }
    let mut next = end;
    let apart = next.blanks() > 0;
    if apart && number < 10 && { next }.eat_word("hundred") {
        next.eat_word("hundred");
        number *= 100;
        end = next;
        if next.blanks() > 0 {
            if next.eat_word("and") {
                next.blanks();
            }
            if let Some((more, after)) = below_hundred(next) {
                (number, end) = (number + more, after);
            }
        }
    } else if article {
        // "a" alone is no number.
        next.word().and_then(scale).filter(|_| apart)?;
    }
    Some((number, end))
}

fn below_hundred(start: Cursor<'_>) -> Option<(u32, Cursor<'_>)> {
    let mut end = start;
    let word = end.word()?;
    if let Some(number) = small_number(word) {
        return Some((number, end));
    }
    let number = tens(word)?;
    let mut next = end;
    if (next.eat("-") || next.blanks() > 0)
        && let Some(one) = next.word().and_then(small_number).filter(|one| (1..10).contains(one))
    {
        return Some((number + one, next));
    }
    Some((number, end))
}

/// Both ends of a range before a unit: "2 to 3 hours".
pub(crate) fn range_start(start: Cursor<'_>) -> Option<(Amounts, Cursor<'_>)> {
    let (amounts, mut end) = quantity(start)?;
    joint(&mut end)?;
    Some((amounts, end))
}
