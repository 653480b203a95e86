//! Typed values: what an argument or input is, and how it is written down.
//!
//! A decimal is fixed-point, in 1/10000ths, as Cedar's is. Nothing here is a float.

use std::borrow::Cow;

use crate::json::Json;
use crate::write::write_int;

/// One, in 1/10000ths.
pub(crate) const ONE: i64 = 10_000;
/// Characters of one text argument at most that policies and bounds look at.
const MAX_TEXT: usize = 65_536;

/// The type of an argument or input, as the bundle declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Long,
    /// A number with at most four places.
    Decimal,
    /// True or false.
    Bool,
    /// A set of strings.
    Texts,
    /// Anything: kept and sealed, never shown to a policy.
    Any,
}

impl Kind {
    /// The type of that name.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::Text,
            "long" => Self::Long,
            "decimal" => Self::Decimal,
            "bool" => Self::Bool,
            "strings" => Self::Texts,
            "any" => Self::Any,
            _ => return None,
        })
    }
}

/// A typed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number.
    Long(i64),
    /// In 1/10000ths.
    Decimal(i64),
    /// True or false.
    Bool(bool),
    /// A set of strings, in the order given.
    Texts(Vec<Cow<'a, str>>),
    /// Present, and not looked at.
    Any,
}

impl<'a> Value<'a> {
    /// `json` as a value of type `kind`, or `None` where it is none.
    pub(crate) fn typed(kind: Kind, json: &Json<'a>) -> Option<Self> {
        Some(match (kind, json) {
            (Kind::Text, Json::Text(text)) if text.len() <= MAX_TEXT => Self::Text(text.clone()),
            (Kind::Long, Json::Number(text)) => Self::Long(parse_long(text)?),
            // Money travels as text as often as a number; both say the same digits.
            (Kind::Decimal, Json::Number(text)) => Self::Decimal(parse_decimal(text)?),
            (Kind::Decimal, Json::Text(text)) => Self::Decimal(parse_decimal(text)?),
            (Kind::Bool, Json::Bool(yes)) => Self::Bool(*yes),
            (Kind::Texts, Json::List(items)) => Self::Texts(
                items
                    .iter()
                    .map(|item| match item {
                        Json::Text(text) if text.len() <= MAX_TEXT => Some(text.clone()),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
            ),
            (Kind::Any, _) => Self::Any,
            _ => return None,
        })
    }

    /// A constant or an input: also accepts the canonical text of a long or bool.
    pub(crate) fn lenient(kind: Kind, json: &Json<'a>) -> Option<Self> {
        match (kind, json) {
            (Kind::Long, Json::Text(text)) => Some(Self::Long(parse_long(text)?)),
            (Kind::Bool, Json::Text(text)) => match text.as_ref() {
                "true" => Some(Self::Bool(true)),
                "false" => Some(Self::Bool(false)),
                _ => None,
            },
            _ => Self::typed(kind, json),
        }
    }

    /// Own every text.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Long(number) => Value::Long(number),
            Self::Decimal(number) => Value::Decimal(number),
            Self::Bool(yes) => Value::Bool(yes),
            Self::Texts(texts) => Value::Texts(texts.into_iter().map(|text| Cow::Owned(text.into_owned())).collect()),
            Self::Any => Value::Any,
        }
    }

    /// A number in 1/10000ths, wide enough for every long.
    pub(crate) fn number(&self) -> Option<i128> {
        match self {
            Self::Long(number) => Some(i128::from(*number) * i128::from(ONE)),
            Self::Decimal(number) => Some(i128::from(*number)),
            _ => None,
        }
    }

    /// Whether both say the same: numbers by size, everything else by type and content.
    pub(crate) fn same(&self, other: &Value<'_>) -> bool {
        match (self.number(), other.number()) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, None) => match (self, other) {
                (Self::Text(a), Value::Text(b)) => a == b,
                (Self::Bool(a), Value::Bool(b)) => a == b,
                _ => false,
            },
            _ => false,
        }
    }
}

/// A whole number without exponent.
pub(crate) fn parse_long(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// A number with at most four places, in 1/10000ths. No exponent, no blank, no sign but `-`.
pub(crate) fn parse_decimal(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(places) || places.len() > 4 || whole.len() > 15 {
        return None;
    }
    let scale = match places.len() {
        1 => 1000,
        2 => 100,
        3 => 10,
        _ => 1,
    };
    let number = whole.parse::<i64>().ok()?.checked_mul(ONE)?.checked_add(places.parse::<i64>().ok()? * scale)?;
    Some(if negative { -number } else { number })
}

/// Append a number of 1/10000ths, without needless places: `12.5`.
pub(crate) fn write_decimal(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    let size = number.unsigned_abs();
    write_int(out, i64::try_from(size / 10_000).unwrap_or(i64::MAX));
    let places = size % 10_000;
    if places == 0 {
        return;
    }
    out.push(b'.');
    let mut left = places;
    let mut scale = 1000;
    while left > 0 {
        out.push(b'0' + u8::try_from(left / scale).unwrap_or(0));
        left %= scale;
        scale /= 10;
    }
}

/// The same as a string.
pub(crate) fn decimal_text(number: i64) -> String {
    let mut out = Vec::with_capacity(24);
    write_decimal(&mut out, number);
    String::from_utf8(out).unwrap_or_default()
}

/// As Cedar's `decimal("…")` wants it: always with places.
pub(crate) fn cedar_decimal(number: i64) -> String {
    let mut text = decimal_text(number);
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, number) in [("0", 0), ("12.5", 125_000), ("-0.0001", -1), ("200.00", 2_000_000), ("-0", 0)] {
            assert_eq!(parse_decimal(text), Some(number), "{text}");
        }
        for bad in ["", "-", ".5", "5.", "1.00000", "1e2", "+1", " 1", "1 ", "0x1", "1,5", "٣", "9999999999999999"] {
            assert_eq!(parse_decimal(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn written_decimals_read_back(number in -9_999_999_999_999_999_i64..9_999_999_999_999_999) {
            prop_assert_eq!(parse_decimal(&decimal_text(number)), Some(number));
            prop_assert_eq!(parse_decimal(&cedar_decimal(number)), Some(number));
        }
    }
}
