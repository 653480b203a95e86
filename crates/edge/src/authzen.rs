//! The AuthZEN 1.0 request, read from a body without copying it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;

/// Items of one `evaluations` request at most.
pub(crate) const MAX_ITEMS: usize = 256;

/// Why a body is no AuthZEN request; the text names the member, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) Cow<'static, str>);

/// Subject or resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entity<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) id: Cow<'a, str>,
    pub(crate) properties: Option<&'a str>,
}

/// The action; its properties are the call's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) properties: Option<&'a str>,
}

/// One evaluation. Every part is there and of the right shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evaluation<'a> {
    pub(crate) subject: Entity<'a>,
    pub(crate) action: Action<'a>,
    pub(crate) resource: Entity<'a>,
    /// `context.task`.
    pub(crate) task: Option<Cow<'a, str>>,
    pub(crate) context: Option<&'a str>,
}

/// When a batch stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// A whole request to the evaluations endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Batch<'a> {
    /// No items: it is a single evaluation.
    Single(Box<Evaluation<'a>>),
    /// An item that is malformed is an answer of its own, not the batch's end.
    Items(Semantic, Vec<Result<Evaluation<'a>, Malformed>>),
}

/// A member that, where it is there, is not `null`: AuthZEN omits, it does not send null.
type Member<'a> = Option<&'a RawValue>;

#[derive(Deserialize, Default, Clone, Copy)]
struct Parts<'a> {
    #[serde(borrow, default, deserialize_with = "there")]
    subject: Member<'a>,
    #[serde(borrow, default, deserialize_with = "there")]
    action: Member<'a>,
    #[serde(borrow, default, deserialize_with = "there")]
    resource: Member<'a>,
    #[serde(borrow, default, deserialize_with = "there")]
    context: Member<'a>,
    #[serde(borrow, default, deserialize_with = "there")]
    evaluations: Member<'a>,
    #[serde(borrow, default, deserialize_with = "there")]
    options: Member<'a>,
}

#[derive(Deserialize)]
struct EntityParts<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "there")]
    properties: Member<'a>,
}

#[derive(Deserialize)]
struct ActionParts<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "there")]
    properties: Member<'a>,
}

#[derive(Deserialize)]
struct ContextParts<'a> {
    #[serde(borrow, default, deserialize_with = "there")]
    task: Member<'a>,
}

#[derive(Deserialize)]
struct OptionParts<'a> {
    #[serde(borrow, default)]
    evaluations_semantic: Option<Cow<'a, str>>,
}

/// Keep `null` as a value, so that it can be refused.
fn there<'de: 'a, 'a, D: serde::Deserializer<'de>>(from: D) -> Result<Member<'a>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn malformed<T>(text: impl Into<Cow<'static, str>>) -> Result<T, Malformed> {
    Err(Malformed(text.into()))
}

/// The text of a body that is fit to be read: UTF-8, not too deep, no name twice, an object.
pub(crate) fn text(body: &[u8]) -> Result<&str, Malformed> {
    let Ok(text) = std::str::from_utf8(body) else {
        return malformed("the body is not UTF-8");
    };
    if let Err(unfit) = json::check(text) {
        return malformed(unfit.detail());
    }
    Ok(text)
}

/// Read the body of a single evaluation. Members beyond AuthZEN's are ignored.
pub(crate) fn single(text: &str) -> Result<Evaluation<'_>, Malformed> {
    evaluation(&parts(text)?)
}

/// Read the body of a request to the evaluations endpoint.
pub(crate) fn batch(text: &str) -> Result<Batch<'_>, Malformed> {
    let whole = parts(text)?;
    let semantic = semantic(whole.options)?;
    let items: Vec<&RawValue> = match whole.evaluations {
        None => Vec::new(),
        Some(items) => match serde_json::from_str(items.get()) {
            Ok(items) => items,
            Err(_) => return malformed("`evaluations` is not an array"),
        },
    };
    if items.is_empty() {
        return Ok(Batch::Single(Box::new(evaluation(&whole)?)));
    }
    if items.len() > MAX_ITEMS {
        return malformed(format!("`evaluations` has more than {MAX_ITEMS} items"));
    }
    let items = items
        .into_iter()
        .map(|item| {
            let own = parts(item.get())?;
            // A member of the item replaces the default whole; nothing is merged.
            evaluation(&Parts {
                subject: own.subject.or(whole.subject),
                action: own.action.or(whole.action),
                resource: own.resource.or(whole.resource),
                context: own.context.or(whole.context),
                ..Parts::default()
            })
        })
        .collect();
    Ok(Batch::Items(semantic, items))
}

fn parts(text: &str) -> Result<Parts<'_>, Malformed> {
    // serde's structs also read arrays; AuthZEN asks for an object.
    if !text.trim_ascii_start().starts_with('{') {
        return malformed("a request is a JSON object");
    }
    serde_json::from_str(text).or_else(|_| malformed("the body is not valid JSON"))
}

fn semantic(options: Member<'_>) -> Result<Semantic, Malformed> {
    let Some(options) = options else { return Ok(Semantic::ExecuteAll) };
    let parts: OptionParts<'_> = object(options, "options")?;
    match parts.evaluations_semantic.as_deref() {
        None | Some("execute_all") => Ok(Semantic::ExecuteAll),
        Some("deny_on_first_deny") => Ok(Semantic::DenyOnFirstDeny),
        Some("permit_on_first_permit") => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => malformed("`options.evaluations_semantic` is not one that is known"),
    }
}

fn evaluation<'a>(parts: &Parts<'a>) -> Result<Evaluation<'a>, Malformed> {
    let subject = entity(parts.subject, "subject")?;
    let Some(action) = parts.action else { return malformed("`action` is missing") };
    let ActionParts { name, properties } = object(action, "action")?;
    let action = Action { name, properties: properties_of(properties, "action")? };
    let resource = entity(parts.resource, "resource")?;
    let mut task = None;
    if let Some(context) = parts.context {
        let ContextParts { task: raw } = object(context, "context")?;
        if let Some(raw) = raw {
            let Ok(id) = serde_json::from_str::<Text<'_>>(raw.get()) else {
                return malformed("`context.task` is not a string");
            };
            task = Some(id.0);
        }
    }
    Ok(Evaluation { subject, action, resource, task, context: parts.context.map(RawValue::get) })
}

/// A string, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn entity<'a>(raw: Member<'a>, name: &'static str) -> Result<Entity<'a>, Malformed> {
    let Some(raw) = raw else { return malformed(format!("`{name}` is missing")) };
    let EntityParts { kind, id, properties } = object(raw, name)?;
    Ok(Entity { kind, id, properties: properties_of(properties, name)? })
}

fn properties_of<'a>(raw: Member<'a>, of: &'static str) -> Result<Option<&'a str>, Malformed> {
    match raw.map(RawValue::get) {
        Some(text) if !text.starts_with('{') => malformed(format!("`{of}.properties` is not an object")),
        properties => Ok(properties),
    }
}

fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue, name: &'static str) -> Result<T, Malformed> {
    if !raw.get().starts_with('{') {
        return malformed(format!("`{name}` is not an object"));
    }
    serde_json::from_str(raw.get())
        .or_else(|_| malformed(format!("`{name}` lacks a member, or one is of the wrong type")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
    use super::*;
    use proptest::prelude::*;

    const ONE: &str = r#"{"subject":{"type":"user","id":"a\u0062"},"action":{"name":"read","properties":{"n":1.50}},
        "resource":{"type":"record","id":"r"},"context":{"task":"t","x":[1]},"more":null}"#;

    #[test]
    fn an_evaluation_is_read_and_what_is_unknown_ignored() {
        let one = single(ONE).unwrap();
        assert_eq!(one.subject.id, "ab");
        assert_eq!(one.action.properties, Some(r#"{"n":1.50}"#));
        assert_eq!(one.task.as_deref(), Some("t"));
    }

    #[test]
    fn every_wrong_shape_is_refused() {
        for text in [
            "",
            "1",
            "[]",
            r#"["a"]"#,
            "{}",
            "null",
            r#"{"subject":["user","a"],"action":{"name":"r"},"resource":{"type":"x","id":"y"}}"#,
            r#"{"subject":{"type":"u","id":1},"action":{"name":"r"},"resource":{"type":"x","id":"y"}}"#,
            r#"{"subject":{"type":"u","id":"1"},"action":{"name":"r","properties":null},"resource":{"type":"x","id":"y"}}"#,
            r#"{"subject":{"type":"u","id":"1"},"action":"r","resource":{"type":"x","id":"y"}}"#,
            r#"{"subject":{"type":"u","id":"1"},"action":{"name":"r"},"resource":{"type":"x","id":"y"},"context":null}"#,
            r#"{"subject":{"type":"u","id":"1"},"action":{"name":"r"},"resource":{"type":"x","id":"y"},"context":{"task":1}}"#,
            r#"{"subject":{"type":"u","id":"1"},"action":{"name":"r"},"resource":{"type":"x","id":"y"}} x"#,
        ] {
            assert!(single(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_item_replaces_a_default_whole() {
        let body = r#"{"subject":{"type":"u","id":"1"},"action":{"name":"r"},"resource":{"type":"x","id":"y","properties":{"a":1}},
            "evaluations":[{"resource":{"type":"x","id":"z"}},{"action":{}},{}]}"#;
        let Batch::Items(Semantic::ExecuteAll, items) = batch(body).unwrap() else { unreachable!() };
        assert_eq!(items.len(), 3);
        assert_eq!(items[0].as_ref().unwrap().resource.properties, None);
        assert!(items[1].is_err());
        assert_eq!(items[2].as_ref().unwrap().resource.id, "y");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = text(&body) {
                let _ = single(text);
                let _ = batch(text);
            }
        }

        #[test]
        fn a_body_with_one_byte_changed_is_read_without_panic(at in 0..ONE.len(), byte in any::<u8>()) {
            let mut body = ONE.as_bytes().to_vec();
            body[at] = byte;
            if let Ok(text) = text(&body) {
                let _ = single(text);
                let _ = batch(text);
            }
        }
    }
}
