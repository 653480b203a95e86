//! All routes of a bundle: found for a request, and the call made of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::args::{Source, push_text};
use crate::body::is_json;
use crate::route::{Credential, Route, RouteDocument, fill};
use crate::{Asked, Body, Refused, Request, Target, host, refused};

/// A header's one value, or nothing where it is not there.
pub type HeaderValue<'h> = Result<Option<std::borrow::Cow<'h, str>>, Refused>;

/// The routes of a bundle, the narrower first.
#[derive(Debug, Default)]
pub struct Routes {
    all: Vec<Route>,
}

/// A request, and the route that it takes.
#[derive(Debug)]
pub struct Found<'r> {
    route: &'r Route,
    variables: Vec<(&'r str, String)>,
    target: Target,
    host: String,
}

impl Routes {
    /// Add a route of an action, whose arguments have these types.
    ///
    /// # Errors
    /// The route cannot be read, or another one is for the same requests.
    pub fn add(
        &mut self,
        action: &str,
        resource_type: &str,
        kinds: &BTreeMap<String, String>,
        from: &RouteDocument,
    ) -> Result<(), Refused> {
        let route = Route::read(action, resource_type, kinds, from)?;
        let place = self.all.partition_point(|other| before(other, &route) == std::cmp::Ordering::Less);
        if self.all.get(place).is_some_and(|other| before(other, &route) == std::cmp::Ordering::Equal) {
            return refused(format!("`{}` is the request of another route", from.request));
        }
        self.all.insert(place, route);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Headers that some route reads as an argument or strips.
    pub fn headers(&self) -> BTreeSet<&str> {
        let read = self.all.iter().flat_map(|route| &route.plain).filter_map(|plain| match &plain.source {
            Source::Header(name) => Some(name.as_str()),
            _ => None,
        });
        read.chain(self.all.iter().flat_map(|route| route.strip.iter().map(String::as_str))).collect()
    }

    /// The route that a request takes; None where the bundle has none for it.
    ///
    /// # Errors
    /// The request's host or path cannot be read in one way only.
    pub fn find(&self, request: &Request<'_>) -> Result<(Target, Option<Found<'_>>), Refused> {
        let (name, port) = host::read(request.host)?;
        let target = Target::read(request.path)?;
        for route in &self.all {
            if route.method != request.method || !route.host.admits(&name, port) {
                continue;
            }
            if let Some(variables) = route.template.matches(&target.segments) {
                let found = Found { route, variables, target: target.clone(), host: name };
                return Ok((target, Some(found)));
            }
        }
        Ok((target, None))
    }
}

/// The order in which routes are tried; equal where they are for the same requests.
fn before(one: &Route, two: &Route) -> std::cmp::Ordering {
    one.method.cmp(&two.method).then_with(|| one.host.cmp(&two.host)).then_with(|| one.template.narrower(&two.template))
}

impl<'r> Found<'r> {
    /// Whether arguments stand in the body, so that its text must be handed in, fit to be read.
    pub fn reads_body(&self) -> bool {
        self.route.body.is_some()
    }

    /// Request headers that do not go upstream.
    pub fn strip(&self) -> &'r [String] {
        &self.route.strip
    }

    /// The credential that goes upstream.
    pub fn credential(&self) -> Option<&'r Credential> {
        self.route.credential.as_ref()
    }

    /// The action.
    pub fn action(&self) -> &'r str {
        &self.route.action
    }

    /// Type of its resource.
    pub fn resource_type(&self) -> &'r str {
        &self.route.resource_type
    }

    /// The call that the request stands for. `header` answers a header's one value; it refuses one that is there
    /// more than once.
    ///
    /// # Errors
    /// Something stands in the request that the route does not name, or what it names cannot be read.
    pub fn call<'h>(&self, body: Body<'_>, header: &dyn Fn(&str) -> HeaderValue<'h>) -> Result<Asked<'r>, Refused> {
        let mut args = Args::default();
        let mut named: BTreeSet<&str> = BTreeSet::new();
        for plain in &self.route.plain {
            match &plain.source {
                Source::Path(name) => {
                    let value = self.variables.iter().find(|(known, _)| known == name);
                    let value = value.map(|(_, value)| value.as_str()).unwrap_or_default();
                    plain.kind.write(&[value], args.name(&plain.arg))?;
                }
                Source::Query(name) => {
                    named.insert(name);
                    let values: Vec<&str> = self
                        .target
                        .query
                        .iter()
                        .filter(|(own, _)| own == name)
                        .map(|(_, value)| value.as_str())
                        .collect();
                    if !values.is_empty() {
                        plain.kind.write(&values, args.name(&plain.arg))?;
                    }
                }
                Source::Header(name) => {
                    if let Some(value) = header(name)? {
                        plain.kind.write(&[value.as_ref()], args.name(&plain.arg))?;
                    }
                }
            }
        }
        if !self.route.unread_query && self.target.query.iter().any(|(name, _)| !named.contains(name.as_str())) {
            return refused("the query holds a parameter that the route does not name");
        }
        self.body(body, &mut args)?;
        let resource_id = match &self.route.resource {
            None => self.host.clone(),
            Some(text) => fill(text, &|name| {
                self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            })?,
        };
        Ok(Asked {
            action: &self.route.action,
            resource_type: &self.route.resource_type,
            resource_id,
            args: args.done(),
        })
    }

    fn body(&self, body: Body<'_>, args: &mut Args) -> Result<(), Refused> {
        match (body, &self.route.body) {
            (Body::Absent | Body::Whole { text: "", .. }, _) => Ok(()),
            (Body::Unseen | Body::Whole { .. }, None) if self.route.unread_body => Ok(()),
            (Body::Unseen, _) => refused("the request's body was not handed to us whole"),
            (Body::Whole { .. }, None) => refused("the request has a body, which the route does not name"),
            (Body::Whole { content_type, .. }, Some(_)) if !is_json(content_type) => {
                refused("the body's media type is not JSON")
            }
            (Body::Whole { text, .. }, Some(names)) => {
                let mut found = Vec::new();
                names.take(text, self.route.unread_body, &mut found)?;
                for (arg, text) in found {
                    args.name(arg).extend_from_slice(text.as_bytes());
                }
                Ok(())
            }
        }
    }
}

/// Writes the object of arguments.
#[derive(Default)]
struct Args(Vec<u8>);

impl Args {
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        push_text(&mut self.0, name);
        self.0.push(b':');
        &mut self.0
    }

    fn done(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests;
