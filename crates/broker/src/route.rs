//! Operations: which action a method and path are, and what of the body is looked at.

use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// What becomes of a request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyRule {
    /// Read whole, within the bound, as JSON or a form; its fields are arguments. Another type is refused.
    #[default]
    Fields,
    /// Passed on unread, whatever it is.
    Stream,
    /// There must be none.
    None,
}

/// One operation, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The method, in capitals.
    pub method: String,
    /// The path: `/orders/{order_id}`.
    pub path: String,
    /// The action; `http.get` and the like where none is given.
    #[serde(default)]
    pub action: String,
    /// What becomes of the body.
    #[serde(default)]
    pub body: BodyRule,
    /// Parameters of path, query and form that are bare or truth values.
    #[serde(default)]
    pub bare: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(String),
}

#[derive(Clone, Debug)]
struct Route {
    parts: Vec<Part>,
    action: String,
    resource: String,
    body: BodyRule,
    bare: HashSet<String>,
}

/// The operations of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    upstream: String,
    table: HashMap<(String, usize), Vec<Route>>,
}

/// What a request was found to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) body: BodyRule,
    /// Parameters of the path.
    pub(crate) values: Vec<(String, String)>,
    pub(crate) bare: HashSet<String>,
}

impl Routes {
    pub(crate) fn read(upstream: &str, configs: Vec<RouteConfig>) -> Result<Self, String> {
        let mut out = Self { upstream: upstream.to_owned(), table: HashMap::new() };
        for config in configs {
            let (key, route) = out.route(config)?;
            let routes = out.table.entry(key).or_default();
            if routes.iter().any(|one| same_shape(&one.parts, &route.parts)) {
                return Err(format!("`{}` stands twice for one method", route.resource));
            }
            routes.push(route);
        }
        for routes in out.table.values_mut() {
            // A literal wins over a name, from left to right (OpenAPI, "Path Templating Matching").
            routes
                .sort_by_key(|route| route.parts.iter().map(|part| matches!(part, Part::Name(_))).collect::<Vec<_>>());
        }
        Ok(out)
    }

    fn route(&self, config: RouteConfig) -> Result<((String, usize), Route), String> {
        let RouteConfig { method, path, action, body, bare } = config;
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("`{method}` is no method"));
        }
        let Some(rest) = path.strip_prefix('/') else { return Err(format!("`{path}` does not begin with `/`")) };
        let mut parts = Vec::new();
        let mut names = HashSet::new();
        for part in rest.split('/') {
            let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            if let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(['{', '}'])) {
                if !names.insert(name.to_owned()) {
                    return Err(format!("`{path}` names `{name}` twice"));
                }
                parts.push(Part::Name(name.to_owned()));
            } else if part.contains(['{', '}']) {
                return Err(format!("in `{path}` a parameter must be a whole segment"));
            } else {
                parts.push(Part::Literal(part.to_owned()));
            }
        }
        let action = if action.is_empty() { plain_action(&method) } else { action };
        let resource = format!("{}{path}", self.upstream);
        let route = Route { parts, action, resource, body, bare: bare.into_iter().collect() };
        Ok(((method, route.parts.len()), route))
    }

    /// The operation of a method and a path; the plain one where none is written.
    pub(crate) fn find(&self, method: &str, segments: &[String]) -> Found {
        let routes = self.table.get(&(method.to_owned(), segments.len())).map(Vec::as_slice).unwrap_or_default();
        for route in routes {
            if let Some(values) = values(&route.parts, segments) {
                return Found {
                    action: route.action.clone(),
                    resource: route.resource.clone(),
                    body: route.body,
                    values,
                    bare: route.bare.clone(),
                };
            }
        }
        // Decoded, so that one path has one name.
        let path: String = segments.iter().flat_map(|segment| ["/", segment.as_str()]).collect();
        Found {
            action: plain_action(method),
            resource: format!("{}{path}", self.upstream),
            body: BodyRule::Fields,
            values: Vec::new(),
            bare: HashSet::new(),
        }
    }
}

fn plain_action(method: &str) -> String {
    format!("http.{}", method.to_ascii_lowercase())
}

fn same_shape(one: &[Part], other: &[Part]) -> bool {
    one.iter().zip(other).all(|pair| match pair {
        (Part::Name(_), Part::Name(_)) => true,
        (one, other) => one == other,
    })
}

fn values(parts: &[Part], segments: &[String]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (part, segment) in parts.iter().zip(segments) {
        match part {
            Part::Literal(text) if text == segment => {}
            Part::Name(name) if !segment.is_empty() => found.push((name.clone(), segment.clone())),
            _ => return None,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn route(method: &str, path: &str, action: &str) -> RouteConfig {
        serde_json::from_value(serde_json::json!({ "method": method, "path": path, "action": action })).unwrap()
    }

    fn find(routes: &Routes, method: &str, path: &str) -> (String, String, Vec<(String, String)>) {
        let segments: Vec<String> = path.strip_prefix('/').unwrap().split('/').map(str::to_owned).collect();
        let found = routes.find(method, &segments);
        (found.action, found.resource, found.values)
    }

    #[test]
    fn a_literal_wins_over_a_name_and_the_rest_is_plain() {
        let routes = Routes::read(
            "crm",
            vec![route("GET", "/orders/{id}", "read_order"), route("GET", "/orders/mine", "my_orders")],
        )
        .unwrap();
        assert_eq!(find(&routes, "GET", "/orders/mine"), ("my_orders".into(), "crm/orders/mine".into(), vec![]));
        let order = vec![("id".to_owned(), "7".to_owned())];
        assert_eq!(find(&routes, "GET", "/orders/7"), ("read_order".into(), "crm/orders/{id}".into(), order));
        assert_eq!(find(&routes, "DELETE", "/orders/7"), ("http.delete".into(), "crm/orders/7".into(), vec![]));
        assert_eq!(find(&routes, "GET", "/orders/"), ("http.get".into(), "crm/orders/".into(), vec![]));
    }

    #[test]
    fn one_shape_stands_once() {
        let twice = vec![route("GET", "/a/{x}", "one"), route("GET", "/a/{y}", "two")];
        assert!(Routes::read("crm", twice).is_err());
        assert!(Routes::read("crm", vec![route("GET", "/a/x{y}", "")]).is_err());
    }
}
