//! Arguments outside the body: where they stand, and how their text becomes JSON.

use crate::route::header_name;
use crate::{Refused, refused};

/// Where an argument stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A variable of the path template.
    Path(String),
    /// A parameter of the query.
    Query(String),
    /// A request header, in lower case.
    Header(String),
}

impl Source {
    pub(crate) fn read(text: &str) -> Result<Self, Refused> {
        match text.split_once('.') {
            Some(("path", name)) if !name.is_empty() => Ok(Self::Path(name.to_owned())),
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            Some(("header", name)) if !name.is_empty() => header_name(name).map(Self::Header),
            _ => refused(format!("`{text}` is no place: path.NAME, query.NAME, header.NAME or body.NAME")),
        }
    }
}

/// The type of an argument, as far as writing it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Long,
    Decimal,
    Bool,
    Texts,
}

impl Kind {
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "long" => Self::Long,
            "decimal" => Self::Decimal,
            "bool" => Self::Bool,
            "strings" => Self::Texts,
            _ => Self::Text,
        }
    }

    /// Append a value. A text that is none of its kind stays a text: the decision then says that the argument's
    /// type is wrong, and the record tells.
    pub(crate) fn write(self, values: &[&str], out: &mut Vec<u8>) -> Result<(), Refused> {
        if self == Self::Texts {
            out.push(b'[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_text(out, value);
            }
            out.push(b']');
            return Ok(());
        }
        let (Some(value), None) = (values.first(), values.get(1)) else {
            return refused("a value that is one stands there twice");
        };
        let plain = match self {
            Self::Long => whole(value),
            Self::Decimal => match value.split_once('.') {
                Some((left, right)) => {
                    whole(left) && !right.is_empty() && right.bytes().all(|byte| byte.is_ascii_digit())
                }
                None => whole(value),
            },
            Self::Bool => matches!(*value, "true" | "false"),
            Self::Text | Self::Texts => false,
        };
        if plain {
            out.extend_from_slice(value.as_bytes());
        } else {
            push_text(out, value);
        }
        Ok(())
    }
}

/// Whether a text is a whole number as JSON writes it.
fn whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.len() <= 19 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain && (digits == "0" || !digits.starts_with('0'))
}

/// Append a text as JSON.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    // A text always becomes JSON.
    out.extend_from_slice(serde_json::to_string(text).unwrap_or_default().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: &str, text: &str) -> String {
        let mut out = Vec::new();
        Kind::of(kind).write(&[text], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_that_is_none_of_its_kind_stays_a_text() {
        for (kind, text) in [
            ("long", "1,\"amount\":2"),
            ("long", "007"),
            ("long", "1e3"),
            ("long", "12345678901234567890"),
            ("decimal", "x.5"),
            ("decimal", "1.5,\"a\":1"),
            ("decimal", "1."),
            ("decimal", "+1"),
            ("bool", "yes"),
            ("bool", "true,\"a\":1"),
            ("string", "1"),
        ] {
            assert_eq!(written(kind, text), serde_json::to_string(text).unwrap(), "{kind}");
        }
        for (kind, text) in [("long", "-7"), ("decimal", "0.50"), ("decimal", "12"), ("bool", "true")] {
            assert_eq!(written(kind, text), text);
        }
    }
}
