//! The fields of path, query and body, as one JSON object: what a request is decided on.

use crate::answer::Refusal;
use crate::target::decode;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// Arguments, gathered.
#[derive(Default)]
pub(crate) struct Args {
    /// Name to the JSON text of each value.
    fields: BTreeMap<String, Vec<String>>,
    bare: HashSet<String>,
}

impl Args {
    pub(crate) fn new(bare: HashSet<String>) -> Self {
        Self { fields: BTreeMap::new(), bare }
    }

    /// A parameter of the path.
    pub(crate) fn path(&mut self, name: String, value: &str) {
        let value = self.value(&name, value);
        self.fields.insert(name, vec![value]);
    }

    /// The parameters of a query or a form, without the one named `but`. What stands more than once is a list.
    pub(crate) fn form(&mut self, text: &str, but: Option<&str>) -> Result<(), Refusal> {
        if text.contains(';') {
            return Err(Refusal::malformed("malformed_query", "some readers split a query or form at `;`: encode it"));
        }
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (plus(name)?, plus(value)?);
            if but == Some(name.as_str()) {
                continue;
            }
            let value = self.value(&name, &value);
            found.entry(name).or_default().push(value);
        }
        self.merge(found)
    }

    /// The fields of a JSON body. A body that is no object is one argument, `body`.
    pub(crate) fn json(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let malformed = || Refusal::malformed("malformed_body", "the body is not JSON, or names a field twice");
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        let mut reader = serde_json::Deserializer::from_slice(body);
        let found = if body.trim_ascii_start().first() == Some(&b'{') {
            let Fields(fields) = reader.deserialize_map(FieldsVisitor).map_err(|_| malformed())?;
            fields.into_iter().map(|(name, value)| (name, vec![value])).collect()
        } else {
            let whole: Box<RawValue> = serde::Deserialize::deserialize(&mut reader).map_err(|_| malformed())?;
            BTreeMap::from([("body".to_owned(), vec![whole.get().to_owned()])])
        };
        reader.end().map_err(|_| malformed())?;
        self.merge(found)
    }

    /// One name must not mean two things: who looks at the query and who looks at the body would see
    /// different requests.
    fn merge(&mut self, found: BTreeMap<String, Vec<String>>) -> Result<(), Refusal> {
        for (name, values) in found {
            if self.fields.insert(name, values).is_some() {
                return Err(Refusal::malformed(
                    "ambiguous_argument",
                    "one name stands in more than one of path, query and body",
                ));
            }
        }
        Ok(())
    }

    fn value(&self, name: &str, text: &str) -> String {
        if self.bare.contains(name) && (is_number(text) || matches!(text, "true" | "false")) {
            return text.to_owned();
        }
        serde_json::Value::from(text).to_string()
    }

    /// The object.
    pub(crate) fn finish(self) -> String {
        let mut out = String::from("{");
        for (name, values) in self.fields {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(name).to_string());
            out.push(':');
            match values.as_slice() {
                [one] => out.push_str(one),
                several => {
                    out.push('[');
                    out.push_str(&several.join(","));
                    out.push(']');
                }
            }
        }
        out.push('}');
        out
    }
}

fn plus(text: &str) -> Result<String, Refusal> {
    decode(&text.replace('+', " "))
        .ok_or_else(|| Refusal::malformed("malformed_query", "the query or form is not percent-encoded UTF-8"))
}

/// Whether a text is a number as JSON writes it, without an exponent.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let all = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && (whole == "0" || !whole.starts_with('0')) && rest.is_none_or(all)
}

struct Fields(BTreeMap<String, String>);

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut found = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if found.insert(name, value.get().to_owned()).is_some() {
                return Err(serde::de::Error::custom("a field stands twice"));
            }
        }
        Ok(Fields(found))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_keep_their_text() {
        let mut args = Args::new(HashSet::from(["limit".to_owned()]));
        args.path("order_id".to_owned(), "O-1");
        args.form("limit=10&tag=a&tag=b+c&key=secret", Some("key")).unwrap();
        args.json(br#" {"amount": 120.50, "to": {"a": [1, 2]}} "#).unwrap();
        let expected = r#"{"amount":120.50,"limit":10,"order_id":"O-1","tag":["a","b c"],"to":{"a": [1, 2]}}"#;
        assert_eq!(args.finish(), expected);
    }

    #[test]
    fn one_name_means_one_thing() {
        let mut args = Args::default();
        args.form("amount=1", None).unwrap();
        assert_eq!(args.json(br#"{"amount": 1000}"#).unwrap_err().code, "ambiguous_argument");
        assert_eq!(Args::default().json(br#"{"a": 1, "a": 2}"#).unwrap_err().code, "malformed_body");
        assert_eq!(Args::default().json(br#"{"a": 1} x"#).unwrap_err().code, "malformed_body");
        assert_eq!(Args::default().form("a=%zz", None).unwrap_err().code, "malformed_query");
        assert_eq!(Args::default().form("order_id=O-1;amount=500", None).unwrap_err().code, "malformed_query");
        assert!(Args::default().form("a=x%3by", None).is_ok());
    }

    #[test]
    fn a_bare_value_that_is_none_adds_no_argument() {
        let mut args = Args::new(HashSet::from(["limit".to_owned()]));
        args.form("limit=1%2C%22amount%22%3A2", None).unwrap();
        assert_eq!(args.finish(), r#"{"limit":"1,\"amount\":2"}"#);
    }

    #[test]
    fn what_looks_like_a_number_and_is_none_stays_text() {
        for text in ["007", "1e3", "+1", "1.", ".5", "-", "0x1", "NaN", ""] {
            assert!(!is_number(text), "{text}");
        }
        for text in ["0", "-1", "10", "0.5", "12.25"] {
            assert!(is_number(text), "{text}");
        }
    }
}
