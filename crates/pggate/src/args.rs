//! Values of a statement as arguments of a check: only those that the text and its parameters say for certain.

use std::fmt::Write as _;

use flyball_pgsql::{Given, Source};
use flyball_pgwire::Params;

/// The parameters of one run.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    /// Constants of the text that the judgement says are parameters: then these are all of its parameters.
    pub(crate) literals: &'a [Source],
    pub(crate) params: &'a Params,
    pub(crate) types: &'a [u32],
}

impl Bound<'_> {
    /// A value's text; the outer nothing where it is not known, the inner one for NULL.
    #[allow(clippy::option_option, reason = "not known and NULL are two things")]
    fn text(&self, source: &Source) -> Option<Option<String>> {
        match source {
            Source::Text(text) | Source::Number(text) => Some(Some(text.clone())),
            Source::Boolean(truth) => Some(Some(truth.to_string())),
            Source::Parameter(number) => {
                let at = usize::try_from(*number).ok()?.checked_sub(1)?;
                if !self.literals.is_empty() {
                    return match self.literals.get(at)? {
                        Source::Parameter(_) => None,
                        constant => self.text(constant),
                    };
                }
                if at >= self.params.len() {
                    return None;
                }
                let Some(bytes) = self.params.get(at) else { return Some(None) };
                let kind = self.types.get(at).copied().unwrap_or(0);
                if self.params.binary(at) { binary(kind, bytes).map(Some) } else { plain(kind, bytes).map(Some) }
            }
        }
    }
}

const BOOL: u32 = 16;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
const DATE: u32 = 1082;
/// text, varchar, bpchar, name, json, and what the server took as unknown.
const TEXTS: &[u32] = &[25, 1043, 1042, 19, 114, 705];

fn plain(kind: u32, bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    if kind == BOOL {
        return Some(match text {
            "t" | "true" | "1" | "on" | "y" | "yes" => "true".to_owned(),
            "f" | "false" | "0" | "off" | "n" | "no" => "false".to_owned(),
            _ => return None,
        });
    }
    Some(text.to_owned())
}

fn binary(kind: u32, bytes: &[u8]) -> Option<String> {
    match kind {
        BOOL => Some((*bytes.first()? != 0).to_string()),
        INT2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).to_string()),
        INT4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).to_string()),
        INT8 => Some(i64::from_be_bytes(bytes.try_into().ok()?).to_string()),
        NUMERIC => numeric(bytes),
        UUID => {
            let digit = |value: u8| char::from_digit(u32::from(value), 16);
            let hex = |part: &[u8]| -> String {
                part.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
            };
            let bytes: &[u8; 16] = bytes.try_into().ok()?;
            let parts = [bytes.get(..4)?, bytes.get(4..6)?, bytes.get(6..8)?, bytes.get(8..10)?, bytes.get(10..)?];
            Some(parts.map(hex).join("-"))
        }
        DATE => date(i32::from_be_bytes(bytes.try_into().ok()?)),
        kind if TEXTS.contains(&kind) => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // What the bytes mean is not known.
        _ => None,
    }
}

/// PostgreSQL's numeric: digits of base 10,000, the weight of the first, a sign, and how many places are shown.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
    let (count, weight, sign, places) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let weight = weight.cast_signed();
    let digits: Vec<u16> = words.collect();
    // NaN and the infinities have signs of their own; nothing that is so long is anybody's amount.
    if digits.len() != usize::from(count) || sign & !0x4000 != 0 || !(-8..=8).contains(&weight) || places > 32 {
        return None;
    }
    let at = |power: i16| -> Option<u16> {
        let digit = match usize::try_from(weight - power) {
            Ok(place) => digits.get(place).copied().unwrap_or(0),
            Err(_) => 0,
        };
        (digit < 10_000).then_some(digit)
    };
    let mut text = String::new();
    for power in (0..=weight.max(0)).rev() {
        write!(text, "{:04}", at(power)?).ok()?;
    }
    let whole = text.trim_start_matches('0');
    let mut out = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
    let places = usize::from(places);
    if places > 0 {
        let mut rest = String::new();
        let mut power = -1;
        while rest.len() < places {
            write!(rest, "{:04}", at(power)?).ok()?;
            power -= 1;
        }
        out = format!("{out}.{}", rest.get(..places)?);
    }
    Some(if sign == 0x4000 { format!("-{out}") } else { out })
}

/// Days since 2000-01-01, as the calendar says them (Howard Hinnant's `civil_from_days`).
fn date(days: i32) -> Option<String> {
    let z = i64::from(days).checked_add(10_957 + 719_468).filter(|z| *z >= 0)?;
    let (era, day) = (z / 146_097, z % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let d = of_year - (153 * month + 2) / 5 + 1;
    let m = if month < 10 { month + 3 } else { month - 9 };
    let y = year + era * 400 + i64::from(m <= 2);
    (y <= 9_999).then(|| format!("{y:04}-{m:02}-{d:02}"))
}

/// A column's values as the JSON of an argument of that type. Nothing where one of them is not known, or where there
/// are several and the type holds one.
pub(crate) fn json(kind: &str, values: &[Given], bound: Bound<'_>) -> Option<String> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Given::Value(source) => texts.push(bound.text(source)?),
            Given::Null => texts.push(None),
            Given::Unknown => return None,
        }
    }
    texts.dedup();
    if kind == "strings" {
        let all = texts.into_iter().collect::<Option<Vec<String>>>()?;
        return serde_json::to_string(&all).ok();
    }
    let [one] = texts.as_slice() else { return None };
    let Some(text) = one else { return Some("null".to_owned()) };
    match kind {
        "long" => number(text, false).then(|| text.clone()),
        "decimal" => number(text, true).then(|| text.clone()),
        "bool" => matches!(text.as_str(), "true" | "false").then(|| text.clone()),
        _ => serde_json::to_string(text).ok(),
    }
}

/// Whether it is a number as JSON writes it, without an exponent.
fn number(text: &str, places: bool) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && (whole == "0" || !whole.starts_with('0')) && rest.is_none_or(|rest| places && all(rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
mod tests {
    use super::{binary, date, number};

    /// Binary values say what the server would read in them; what is not known, or no number, says nothing.
    #[test]
    fn binary_values() {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        for (bytes, text) in [
            (words(&[2, 0, 0, 2, 120, 5000]), Some("120.50")),
            (words(&[1, 1, 0, 0, 3]), Some("30000")),
            (words(&[1, 0xffff, 0x4000, 4, 25]), Some("-0.0025")),
            (words(&[0, 0, 0, 0]), Some("0")),
            (words(&[0, 0, 0xc000, 0]), None),
            (words(&[1, 0, 0, 0]), None),
        ] {
            assert_eq!(binary(1700, &bytes).as_deref(), text, "{bytes:?}");
        }
        assert_eq!(binary(23, &1042_i32.to_be_bytes()).as_deref(), Some("1042"));
        assert_eq!(binary(0, &1042_i32.to_be_bytes()), None);
        assert_eq!(binary(23, b"abc"), None);
        assert_eq!(date(0).as_deref(), Some("2000-01-01"));
        assert_eq!(date(9_825).as_deref(), Some("2026-11-25"));
        assert_eq!(date(-1).as_deref(), Some("1999-12-31"));
    }

    #[test]
    fn numbers_as_json_writes_them() {
        assert!(["0", "-1", "120.50", "0.5"].iter().all(|text| number(text, true)));
        assert!(["", "-", "01", "1e3", "+1", ".5", "1.", "0x1", " 1", "NaN"].iter().all(|text| !number(text, true)));
        assert!(!number("1.0", false));
    }
}
