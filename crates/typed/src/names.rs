//! Names of months, weekdays, numbers and units, in English.

/// A month by its name or its usual short form, 1 to 12.
pub(crate) fn month(word: &str) -> Option<u8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    if word.len() < 3 {
        return None;
    }
    let place = MONTHS.iter().position(|month| {
        word.eq_ignore_ascii_case(month)
            || (word.len() == 3 && month.get(..3).is_some_and(|short| word.eq_ignore_ascii_case(short)))
    });
    let place = place.or_else(|| word.eq_ignore_ascii_case("sept").then_some(8))?;
    u8::try_from(place + 1).ok()
}

/// A weekday by its full name, 1 (Monday) to 7 (Sunday).
pub(crate) fn weekday(word: &str) -> Option<u8> {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    if !(6..=9).contains(&word.len()) {
        return None;
    }
    u8::try_from(DAYS.iter().position(|day| word.eq_ignore_ascii_case(day))? + 1).ok()
}

/// A weekday by its short form.
pub(crate) fn short_weekday(word: &str) -> Option<u8> {
    const DAYS: [(&str, u8); 11] = [
        ("mon", 1),
        ("tue", 2),
        ("tues", 2),
        ("wed", 3),
        ("thu", 4),
        ("thur", 4),
        ("thurs", 4),
        ("fri", 5),
        ("sat", 6),
        ("sun", 7),
        ("weds", 3),
    ];
    if !(3..=5).contains(&word.len()) {
        return None;
    }
    DAYS.iter().find(|(day, _)| word.eq_ignore_ascii_case(day)).map(|(_, day)| *day)
}

/// A number from zero to nineteen.
pub(crate) fn small_number(word: &str) -> Option<u32> {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    if !(3..=9).contains(&word.len()) {
        return None;
    }
    u32::try_from(SMALL.iter().position(|small| word.eq_ignore_ascii_case(small))?).ok()
}

/// Twenty, thirty … ninety.
pub(crate) fn tens(word: &str) -> Option<u32> {
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    if !(5..=7).contains(&word.len()) {
        return None;
    }
    u32::try_from((TENS.iter().position(|tens| word.eq_ignore_ascii_case(tens))? + 2) * 10).ok()
}

/// What a word multiplies the number before it by.
pub(crate) fn scale(word: &str) -> Option<u32> {
    const SCALES: [(&str, u32); 3] = [("thousand", 1_000), ("million", 1_000_000), ("billion", 1_000_000_000)];
    SCALES.iter().find(|(scale, _)| word.eq_ignore_ascii_case(scale)).map(|(_, by)| *by)
}

/// The seconds of a unit of time. A unit of one letter, but for the hour, counts only directly behind digits.
pub(crate) fn unit(word: &str, attached: bool) -> Option<i64> {
    const UNITS: [(&str, i64); 18] = [
        ("second", 1),
        ("seconds", 1),
        ("sec", 1),
        ("secs", 1),
        ("minute", 60),
        ("minutes", 60),
        ("min", 60),
        ("mins", 60),
        ("hour", 3_600),
        ("hours", 3_600),
        ("hr", 3_600),
        ("hrs", 3_600),
        ("day", 86_400),
        ("days", 86_400),
        ("week", 604_800),
        ("weeks", 604_800),
        ("wk", 604_800),
        ("fortnight", 1_209_600),
    ];
    if let [letter] = word.as_bytes() {
        return match letter.to_ascii_lowercase() {
            b'h' => Some(3_600),
            _ if !attached => None,
            b's' => Some(1),
            b'm' if *letter == b'm' => Some(60),
            b'd' => Some(86_400),
            b'w' => Some(604_800),
            _ => None,
        };
    }
    UNITS.iter().find(|(unit, _)| word.eq_ignore_ascii_case(unit)).map(|(_, seconds)| *seconds)
}

/// What joins the two ends of a range or the members of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    /// "to", "-", "until", "through".
    Range,
    /// "and", "or", "&".
    List,
}

/// Steps over a joint and the blanks around it.
pub(crate) fn joint(cursor: &mut crate::scan::Cursor<'_>) -> Option<Joint> {
    let mut next = *cursor;
    let blanks = next.blanks();
    let joint = if next.eat("-") || next.eat("\u{2013}") || next.eat("\u{2014}") {
        Joint::Range
    } else if next.eat("&") {
        Joint::List
    } else {
        let word = next.word().filter(|_| blanks > 0 && next.peek() == Some(b' '))?;
        let is = |one: &&str| word.eq_ignore_ascii_case(one);
        if ["to", "until", "till", "through", "thru"].iter().any(is) {
            Joint::Range
        } else if ["and", "or"].iter().any(is) {
            Joint::List
        } else {
            return None;
        }
    };
    next.blanks();
    *cursor = next;
    Some(joint)
}
