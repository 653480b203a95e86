//! Arguments in a JSON body, and that nothing else stands in it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Refused, refused};

/// Levels of a named member at most.
const MAX_DEPTH: usize = 8;

/// The members that are arguments, by their names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    arg: Option<String>,
    members: BTreeMap<String, Names>,
}

impl Names {
    /// Name the member at `path` (`customer.id`) as an argument.
    pub(crate) fn add(&mut self, path: &str, arg: &str) -> Result<(), Refused> {
        let parts: Vec<&str> = path.split('.').collect();
        if parts.len() > MAX_DEPTH || parts.iter().any(|part| part.is_empty()) {
            return refused(format!("`body.{path}` names no member of a body"));
        }
        let mut at = self;
        for part in parts {
            if at.arg.is_some() {
                return refused(format!("`body.{path}` stands within another argument"));
            }
            at = at.members.entry(part.to_owned()).or_default();
        }
        if at.arg.is_some() || !at.members.is_empty() {
            return refused(format!("`body.{path}` is named twice, or holds another argument"));
        }
        at.arg = Some(arg.to_owned());
        Ok(())
    }

    /// The arguments in a body, as their source text. What is not named is refused unless it may go `unread`.
    pub(crate) fn take<'n, 't>(
        &'n self,
        text: &'t str,
        unread: bool,
        out: &mut Vec<(&'n str, &'t str)>,
    ) -> Result<(), Refused> {
        if let Some(arg) = &self.arg {
            out.push((arg, text));
            return Ok(());
        }
        if !text.trim_ascii_start().starts_with('{') {
            return refused("the body, or a member of it that holds arguments, is no JSON object");
        }
        let Ok(Members(members)) = serde_json::from_str(text) else {
            return refused("the body is not valid JSON");
        };
        for (name, value) in members {
            match self.members.get(name.0.as_ref()) {
                Some(inner) => inner.take(value.get(), unread, out)?,
                None if unread => {}
                None => return refused("the body holds a member that the route does not name"),
            }
        }
        Ok(())
    }
}

/// An object's members; repeated names were refused before.
#[derive(Deserialize)]
struct Members<'t>(#[serde(borrow)] BTreeMap<Name<'t>, &'t RawValue>);

/// A name, borrowed where it holds no escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

/// Whether a media type is JSON.
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
