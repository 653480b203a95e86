//! What of a profile's document is read on the way to a program: its actions, its labels, its sources in words.

use std::sync::Arc;

use super::LabelSet;
use super::form::Form;
use super::labels::MAX_LABELS;
use super::program::Act;
use crate::document::{self, Source as SourceText, Today as TodayText};
use crate::profile::Returns;

/// Whether arguments, or the rows of another source, come from a source, by its place.
pub(super) fn drawn(from: &document::Profile, at: usize) -> bool {
    let spans = |plus: &document::Plus| matches!(plus, document::Plus::Source(source) if *source == at);
    let mut origins = from.rules.iter().flat_map(|rule| &rule.origins);
    let hosts = |source: &usize| matches!(from.sources.get(*source), Some(SourceText::At(named)) if *named == at);
    let draws = |origin: &document::Origin| origin.sources.iter().any(|source| *source == at || hosts(source));
    let chosen = from.sources.iter().any(|source| match source {
        SourceText::Result(source) => source.rows.iter().any(|row| row.in_source == Some(at)),
        _ => false,
    });
    chosen || origins.any(|origin| draws(origin) || origin.plus.iter().any(spans))
}

/// A label, taken on where it is new.
pub(super) fn label_of(labels: &mut Vec<Box<str>>, name: &str) -> Result<LabelSet, String> {
    let place = labels.iter().position(|label| **label == *name).unwrap_or(labels.len());
    if place >= MAX_LABELS {
        return Err("a profile has 64 labels at most".to_owned());
    }
    if place == labels.len() {
        labels.push(Box::from(name));
    }
    Ok(LabelSet::bit(place))
}

/// The actions that rules, sources and `today` name, in order of their names.
pub(super) fn actions(
    from: &document::Profile,
    returns: Returns<'_>,
    labels: &mut Vec<Box<str>>,
) -> Result<Vec<Act>, String> {
    let rules = from.rules.iter().map(|rule| rule.action.as_str());
    let sources = from.sources.iter().filter_map(|source| match source {
        SourceText::Result(source) => Some(source.action.as_str()),
        _ => None,
    });
    let today = match &from.today {
        TodayText::Result(result) => Some(result.action.as_str()),
        _ => None,
    };
    let mut names: Vec<&str> = rules.chain(sources).chain(today).collect();
    names.sort_unstable();
    names.dedup();
    let mut out = Vec::new();
    for name in names {
        // What the bundle does not have is refused where something hangs on it.
        let Some(template) = returns(name) else { continue };
        let form = Form::read(template, &mut |label| label_of(labels, label));
        let form = form.map_err(|what| format!("action `{name}`: {what}"))?;
        out.push(Act { name: Arc::from(name), form, takes: Vec::new(), today: None, cites: Box::default() });
    }
    Ok(out)
}

/// A source as an author writes it. One that is cited by another stands before it.
pub(super) fn text(source: &SourceText, all: &[SourceText]) -> Box<str> {
    Box::from(match source {
        SourceText::Input(name) if name == "request" => "request".to_owned(),
        SourceText::Input(name) => format!("inputs.{name}"),
        SourceText::Arg(path) => format!("args.{path}"),
        SourceText::Const(text) => format!("={text}"),
        SourceText::Trusted(_) => "trusted".to_owned(),
        SourceText::At(named) => match all.get(*named) {
            None | Some(SourceText::At(_)) => "anyone at".to_owned(),
            Some(inner) => format!("anyone at {}", text(inner, all)),
        },
        SourceText::Result(source) => {
            let inner = |at: usize| {
                let known = all.iter().position(|other| matches!(other, SourceText::Result(other) if other == source));
                let before = known.and_then(|place| all.get(..place)).unwrap_or(&[]);
                before.get(at).map_or_else(String::new, |inner| text(inner, before).into())
            };
            source.text(&inner).unwrap_or_default()
        }
    })
}
