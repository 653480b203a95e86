//! Paths into arguments: `recipients`, `attachments[].file_id`, `filter.owner`.

use crate::json::Json;

/// A path into a call's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    text: Box<str>,
    steps: Box<[Box<str>]>,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf<'a> {
    /// A string.
    Text(&'a str),
    /// A number's source text.
    Number(&'a str),
    /// True or false.
    Bool(bool),
    /// Something that the path does not fit: it can be no value.
    Wrong,
}

impl Leaf<'_> {
    /// The text, as a value is read from it.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Bool(yes) => Some(if *yes { "true" } else { "false" }),
            Self::Wrong => None,
        }
    }
}

impl Path {
    /// Read a path. Lists add nothing to it: `[]` may stand or not.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let step = |step: &str| {
            let name = step.trim_end_matches("[]");
            (!name.is_empty()).then(|| Box::from(name))
        };
        Some(Self { text: Box::from(text), steps: text.split('.').map(step).collect::<Option<_>>()? })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The argument that it leads into.
    pub(crate) fn head(&self) -> &str {
        self.steps.first().map_or("", AsRef::as_ref)
    }

    /// Whether the other path is this one, or leads further.
    pub(crate) fn leads_to(&self, other: &Self) -> bool {
        other.steps.starts_with(&self.steps)
    }

    /// How many values stand there and below.
    pub(crate) fn count(&self, args: &Json<'_>) -> usize {
        count(args, &self.steps)
    }

    /// How many characters stand there and below, names included.
    pub(crate) fn length(&self, args: &Json<'_>) -> usize {
        length(args, &self.steps)
    }

    /// Hand over everything that stands there, in order. What is absent, null, an empty string or an
    /// empty list is nothing. Stops where `each` says so.
    pub(crate) fn leaves<'a>(&self, args: &'a Json<'_>, each: &mut dyn FnMut(Leaf<'a>) -> bool) -> bool {
        walk(args, &self.steps, each)
    }

    /// The same, each with the objects that the path leads through: the arguments first.
    pub(crate) fn scoped<'a>(&self, args: &'a Json<'_>, each: &mut Scoped<'a, '_>) {
        scoped(args, &self.steps, &mut Vec::with_capacity(self.steps.len()), each);
    }

    /// How many objects this path and the other lead through together, the arguments aside: what both say of
    /// one element of a list is said of the same one.
    pub(crate) fn shared(&self, other: &Self) -> usize {
        let most = self.steps.len().min(other.steps.len()).saturating_sub(1);
        self.steps.iter().zip(&other.steps).take(most).take_while(|(one, other)| one == other).count()
    }

    /// Everything that stands there, from the object that the first steps lead to.
    pub(crate) fn rest<'a>(&self, from: usize, json: &'a Json<'_>, each: &mut dyn FnMut(Leaf<'a>) -> bool) -> bool {
        walk(json, self.steps.get(from..).unwrap_or(&[]), each)
    }

    /// Whether something stands there in every element of every list that the path leads through.
    pub(crate) fn filled(&self, args: &Json<'_>) -> bool {
        filled(args, &self.steps)
    }

    /// Hand over every string that stands there and below, names and numbers too.
    pub(crate) fn strings<'a>(&self, args: &'a Json<'_>, each: &mut dyn FnMut(&'a str)) {
        strings(args, &self.steps, each);
    }
}

fn walk<'a>(json: &'a Json<'_>, steps: &[Box<str>], each: &mut dyn FnMut(Leaf<'a>) -> bool) -> bool {
    match (json, steps) {
        (Json::Null, _) => true,
        (Json::Text(text), _) if text.is_empty() => true,
        (Json::List(items), _) => items.iter().all(|item| walk(item, steps, each)),
        (Json::Object(_), [first, rest @ ..]) => json.get(first).is_none_or(|inner| walk(inner, rest, each)),
        (Json::Text(text), []) => each(Leaf::Text(text)),
        (Json::Number(text), []) => each(Leaf::Number(text)),
        (Json::Bool(yes), []) => each(Leaf::Bool(*yes)),
        // An object where a value belongs, or a value where the path goes on: the tool may take it
        // for what the rule wanted to bound, so it is not passed over.
        (Json::Object(_), []) | (Json::Text(_) | Json::Number(_) | Json::Bool(_), _) => each(Leaf::Wrong),
    }
}

/// Takes a value and the objects that the path to it leads through; `false`: no more.
pub(crate) type Scoped<'a, 'e> = dyn FnMut(Leaf<'a>, &[&'a Json<'a>]) -> bool + 'e;

fn scoped<'a>(
    json: &'a Json<'a>,
    steps: &[Box<str>],
    scope: &mut Vec<&'a Json<'a>>,
    each: &mut Scoped<'a, '_>,
) -> bool {
    match (json, steps) {
        (Json::List(items), _) => items.iter().all(|item| scoped(item, steps, scope, each)),
        (Json::Object(_), [first, rest @ ..]) => {
            scope.push(json);
            let more = json.get(first).is_none_or(|inner| scoped(inner, rest, scope, each));
            scope.pop();
            more
        }
        _ => walk(json, steps, &mut |leaf| each(leaf, scope)),
    }
}

fn filled(json: &Json<'_>, steps: &[Box<str>]) -> bool {
    match (json, steps) {
        (Json::Null, _) => false,
        (Json::Text(text), _) => !text.is_empty(),
        (Json::List(items), []) => items.iter().any(|item| filled(item, &[])),
        (Json::List(items), _) => !items.is_empty() && items.iter().all(|item| filled(item, steps)),
        (Json::Object(_), [first, rest @ ..]) => json.get(first).is_some_and(|inner| filled(inner, rest)),
        // What does not fit is there, and is held against the rule.
        _ => true,
    }
}

fn length(json: &Json<'_>, steps: &[Box<str>]) -> usize {
    let mut all = 0;
    strings(json, steps, &mut |text| all += text.chars().count());
    all
}

fn strings<'a>(json: &'a Json<'_>, steps: &[Box<str>], each: &mut dyn FnMut(&'a str)) {
    match (json, steps) {
        (Json::List(items), _) => items.iter().for_each(|item| strings(item, steps, each)),
        (Json::Object(_), [first, rest @ ..]) => {
            if let Some(inner) = json.get(first) {
                strings(inner, rest, each);
            }
        }
        (Json::Object(members), []) => {
            for (name, inner) in members {
                each(name);
                strings(inner, &[], each);
            }
        }
        // A value where the path goes on is as free as what it stands for.
        (Json::Text(text), _) => each(text),
        (Json::Number(text), _) => each(text),
        (Json::Null | Json::Bool(_), _) => {}
    }
}

fn count(json: &Json<'_>, steps: &[Box<str>]) -> usize {
    match (json, steps) {
        (Json::Null, _) => 0,
        (Json::Text(text), _) if text.is_empty() => 0,
        (Json::List(items), _) => items.iter().map(|item| count(item, steps)).sum(),
        (Json::Object(_), [first, rest @ ..]) => json.get(first).map_or(0, |inner| count(inner, rest)),
        (Json::Object(members), []) => members.iter().map(|(_, inner)| count(inner, &[])).sum(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(path: &str, args: &str) -> Vec<String> {
        let json = Json::parse(args.as_bytes()).unwrap();
        let mut out = Vec::new();
        Path::parse(path).unwrap().leaves(&json, &mut |leaf| {
            out.push(leaf.text().unwrap_or("wrong").to_owned());
            true
        });
        out
    }

    #[test]
    fn every_element_counts() {
        assert_eq!(leaves("to", r#"{"to":["a","b",["c"]]}"#), ["a", "b", "c"]);
        assert_eq!(leaves("to[]", r#"{"to":"a"}"#), ["a"]);
        assert_eq!(leaves("a[].id", r#"{"a":[{"id":"1"},{"id":2,"x":0},{}]}"#), ["1", "2"]);
        assert_eq!(leaves("f.o", r#"{"f":{"o":true}}"#), ["true"]);
    }

    #[test]
    fn nothing_is_nothing() {
        for args in ["{}", r#"{"a":null}"#, r#"{"a":""}"#, r#"{"a":[]}"#, r#"{"a":[null,""]}"#, r#"{"b":1}"#] {
            assert!(leaves("a", args).is_empty(), "{args}");
            assert!(leaves("a[].b", args).is_empty(), "{args}");
        }
    }

    #[test]
    fn every_element_must_be_filled() {
        let filled = |path: &str, args: &str| Path::parse(path).unwrap().filled(&Json::parse(args.as_bytes()).unwrap());
        assert!(filled("a[].b", r#"{"a":[{"b":1},{"b":"x"}]}"#) && filled("to", r#"{"to":["","x"]}"#));
        assert!(filled("a[].b", r#"{"a":[{"b":1},"x"]}"#), "what does not fit is there");
        for args in ["{}", r#"{"a":[]}"#, r#"{"a":[{"b":1},{}]}"#, r#"{"a":[{"b":1},{"b":""}]}"#, r#"{"a":[{"b":[]}]}"#]
        {
            assert!(!filled("a[].b", args), "{args}");
        }
    }

    #[test]
    fn paths_share_what_both_lead_through() {
        let shared = |one: &str, other: &str| Path::parse(one).unwrap().shared(&Path::parse(other).unwrap());
        assert_eq!(
            [shared("a[].b", "a[].c"), shared("a", "a"), shared("a.b.c", "a.b.d"), shared("a.b", "c.b")],
            [1, 0, 2, 0]
        );
    }

    #[test]
    fn what_does_not_fit_is_wrong() {
        assert_eq!(leaves("a[].id", r#"{"a":["7",{"id":"1"}]}"#), ["wrong", "1"]);
        assert_eq!(leaves("a", r#"{"a":{"id":"1"}}"#), ["wrong"]);
        assert!(Path::parse("").is_none() && Path::parse("a..b").is_none() && Path::parse("[]").is_none());
    }
}
