//! Path templates: `/v1/invoices/{id}/refunds`, `/files/{rest...}`.

use std::cmp::Ordering;

use crate::{Refused, refused};

/// One part of a template. The order is that in which routes are tried: the narrower first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Exactly this segment.
    Literal(String),
    /// Any one segment that is not empty.
    One(String),
    /// All that is left, one segment at least.
    Rest(String),
}

/// A path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Read a template.
    pub(crate) fn read(text: &str) -> Result<Self, Refused> {
        let Some(rest) = text.strip_prefix('/') else {
            return refused("a path template begins with `/`");
        };
        let pieces: Vec<&str> = rest.split('/').collect();
        let last = pieces.len().saturating_sub(1);
        let mut parts = Vec::with_capacity(pieces.len());
        for (at, piece) in pieces.into_iter().enumerate() {
            let inner = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}'));
            let part = match inner {
                None if piece.contains(['{', '}', '%', '?', '#', ';', '\\', '*']) => {
                    return refused("a segment of a path template is plain text or one `{name}`");
                }
                None if matches!(piece, "." | "..") || (piece.is_empty() && at != last) => {
                    return refused("a path template has no empty segments and no dot segments");
                }
                None => Part::Literal(piece.to_owned()),
                Some(name) => match name.strip_suffix("...") {
                    Some(name) if at == last => Part::Rest(variable(name)?),
                    Some(_) => return refused("`{name...}` stands at the end of a path template"),
                    None => Part::One(variable(name)?),
                },
            };
            parts.push(part);
        }
        let template = Self(parts);
        let names: Vec<&str> = template.variables().collect();
        if names.iter().enumerate().any(|(at, name)| names.iter().take(at).any(|other| other == name)) {
            return refused("a path template names a variable twice");
        }
        Ok(template)
    }

    /// The names of its variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::One(name) | Part::Rest(name) => Some(name.as_str()),
        })
    }

    /// Its variables' values in a path; None where it does not match.
    pub(crate) fn matches<'t>(&'t self, segments: &[String]) -> Option<Vec<(&'t str, String)>> {
        let mut found = Vec::new();
        let mut left = segments;
        for part in &self.0 {
            let (first, others) = left.split_first()?;
            match part {
                Part::Literal(text) if text == first => {}
                Part::One(name) if !first.is_empty() => found.push((name.as_str(), first.clone())),
                Part::Rest(name) if !first.is_empty() => {
                    found.push((name.as_str(), left.join("/")));
                    return Some(found);
                }
                _ => return None,
            }
            left = others;
        }
        left.is_empty().then_some(found)
    }

    /// Which of two is tried first; equal where they match the same paths.
    pub(crate) fn narrower(&self, other: &Self) -> Ordering {
        for (one, two) in self.0.iter().zip(&other.0) {
            let order = match (one, two) {
                (Part::One(_), Part::One(_)) | (Part::Rest(_), Part::Rest(_)) => Ordering::Equal,
                _ => one.cmp(two),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        other.0.len().cmp(&self.0.len())
    }
}

fn variable(name: &str) -> Result<String, Refused> {
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fit) {
        return refused("a variable of a path template is named by letters, digits and `_`");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    fn found(template: &str, path: &str) -> Option<Vec<(String, String)>> {
        let template = Template::read(template).unwrap();
        let target = Target::read(path).unwrap();
        let found = template.matches(&target.segments)?;
        Some(found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn a_variable_is_one_whole_segment_and_the_rest_is_all_of_them() {
        let one = |name: &str, value: &str| Some(vec![(name.to_owned(), value.to_owned())]);
        assert_eq!(found("/v1/x/{id}", "/v1/x/7"), one("id", "7"));
        assert_eq!(found("/v1/x/{id}", "/v1/x/"), None);
        assert_eq!(found("/v1/x/{id}", "/v1/x"), None);
        assert_eq!(found("/v1/x/{id}", "/v1/x/7/y"), None);
        assert_eq!(found("/v1/x/{id}", "/v1/x/7/"), None);
        assert_eq!(found("/f/{rest...}", "/f/a/b"), one("rest", "a/b"));
        assert_eq!(found("/f/{rest...}", "/f/"), None);
        assert_eq!(found("/", "/"), Some(Vec::new()));
        assert_eq!(found("/V1", "/v1"), None);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in
            ["", "v1", "/a//b", "/../a", "/a{b}", "/{a}{b}", "/{}", "/{a b}", "/{a...}/b", "/{a}/{a}", "/%41", "/*"]
        {
            assert!(Template::read(text).is_err(), "{text}");
        }
    }
}
