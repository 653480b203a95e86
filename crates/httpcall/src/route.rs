//! One route: which requests it is for, which call they are, and where the arguments stand.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::args::{Kind, Source};
use crate::body::Names;
use crate::host::Host;
use crate::template::Template;
use crate::{Refused, refused};

/// A route as the compiled bundle says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteDocument {
    /// `METHOD HOST/PATH`: a host's name, perhaps with a port, or `*`; a path template.
    pub request: String,
    /// The resource's id: a text, in which `{name}` is a variable of the path. None: the host's name.
    #[serde(default)]
    pub resource: Option<String>,
    /// Where arguments stand: `path.NAME`, `query.NAME`, `header.NAME` or `body.NAME.NAME`. A variable of the
    /// path that is named like an argument needs no entry.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// What may hold more than is named here: `query`, `body`.
    #[serde(default)]
    pub unread: Vec<String>,
    /// Request headers that do not go upstream.
    #[serde(default)]
    pub strip: Vec<String>,
    /// The credential that goes upstream instead of the client's.
    #[serde(default)]
    pub credential: Option<CredentialDocument>,
}

/// A credential of the task that takes the place of whatever the client sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialDocument {
    /// Its name in the task's profile.
    pub name: String,
    /// The header that it goes upstream in.
    #[serde(default = "authorization")]
    pub header: String,
    /// The header's value, in which `{secret}` is the secret.
    #[serde(default = "bearer")]
    pub form: String,
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn bearer() -> String {
    "Bearer {secret}".to_owned()
}

/// The same, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name in the task's profile.
    pub name: String,
    /// The header, in lower case.
    pub header: String,
    before: String,
    after: String,
}

impl Credential {
    fn read(from: &CredentialDocument) -> Result<Self, Refused> {
        let header = header_name(&from.header)?;
        if matches!(header.as_str(), "host" | "flyball-task" | "flyball-decision" | "content-length") {
            return refused(format!("no credential goes upstream in the header `{header}`"));
        }
        let parts = from.form.split_once("{secret}").filter(|(_, after)| !after.contains('{'));
        let Some((before, after)) = parts.filter(|(before, _)| !before.contains('{')) else {
            return refused("the form of a credential holds `{secret}` once, and no other `{`");
        };
        let (before, after) = (before.to_owned(), after.to_owned());
        Ok(Self { name: from.name.clone(), header, before, after })
    }

    /// The header's value with a secret in it.
    pub fn value(&self, secret: &str) -> String {
        [self.before.as_str(), secret, self.after.as_str()].concat()
    }
}

/// An argument that does not stand in the body.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) arg: String,
    pub(crate) kind: Kind,
    pub(crate) source: Source,
}

/// A route, checked.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) action: String,
    pub(crate) resource_type: String,
    pub(crate) method: String,
    pub(crate) host: Host,
    pub(crate) template: Template,
    pub(crate) resource: Option<String>,
    pub(crate) plain: Vec<Plain>,
    /// Arguments in the body; None where none is.
    pub(crate) body: Option<Names>,
    pub(crate) unread_query: bool,
    pub(crate) unread_body: bool,
    pub(crate) strip: Vec<String>,
    pub(crate) credential: Option<Credential>,
}

impl Route {
    /// Check a route of an action, whose arguments have these types.
    pub(crate) fn read(
        action: &str,
        resource_type: &str,
        kinds: &BTreeMap<String, String>,
        from: &RouteDocument,
    ) -> Result<Self, Refused> {
        let (method, host, template) = request(&from.request)?;
        let mut args = from.args.clone();
        for name in template.variables() {
            if kinds.contains_key(name) {
                args.entry(name.to_owned()).or_insert_with(|| format!("path.{name}"));
            }
        }
        let mut plain = Vec::new();
        let mut body = Names::default();
        let mut in_body = false;
        for (arg, text) in args {
            let Some(kind) = kinds.get(&arg) else {
                return refused(format!("the action has no argument `{arg}`"));
            };
            if let Some(path) = text.strip_prefix("body.") {
                body.add(path, &arg)?;
                in_body = true;
                continue;
            }
            let source = Source::read(&text)?;
            if let Source::Path(name) = &source
                && !template.variables().any(|known| known == name)
            {
                return refused(format!("the path template has no variable `{name}`"));
            }
            plain.push(Plain { arg, kind: Kind::of(kind), source });
        }
        if in_body && matches!(method.as_str(), "GET" | "HEAD") {
            return refused("a GET or HEAD has no body to take arguments from");
        }
        let resource = from.resource.clone();
        if let Some(text) = &resource {
            fill(text, &|name| template.variables().any(|known| known == name).then(String::new))?;
        }
        let (mut unread_query, mut unread_body) = (false, false);
        for word in &from.unread {
            match word.as_str() {
                "query" => unread_query = true,
                "body" => unread_body = true,
                other => return refused(format!("`{other}` cannot go unread; `query` and `body` can")),
            }
        }
        let strip = from.strip.iter().map(|name| header_name(name)).collect::<Result<_, _>>()?;
        Ok(Self {
            action: action.to_owned(),
            resource_type: resource_type.to_owned(),
            method,
            host,
            template,
            resource,
            plain,
            body: in_body.then_some(body),
            unread_query,
            unread_body,
            strip,
            credential: from.credential.as_ref().map(Credential::read).transpose()?,
        })
    }
}

fn request(text: &str) -> Result<(String, Host, Template), Refused> {
    let Some((method, rest)) = text.split_once(' ') else {
        return refused("a request is written `METHOD HOST/PATH`");
    };
    if method.is_empty() || method.len() > 32 || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return refused("a method is written in capital letters");
    }
    let Some(at) = rest.find('/') else {
        return refused("a request is written `METHOD HOST/PATH`");
    };
    let (host, path) = rest.split_at(at);
    Ok((method.to_owned(), Host::pattern(host)?, Template::read(path)?))
}

/// A header's name, in lower case.
pub(crate) fn header_name(name: &str) -> Result<String, Refused> {
    let lower = name.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if lower.is_empty() || lower.len() > 128 || !lower.bytes().all(token) {
        return refused(format!("`{name}` is no header's name"));
    }
    Ok(lower)
}

/// A text with its `{name}` filled in.
pub(crate) fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, Refused> {
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some((before, rest)) = left.split_once('{') {
        let Some((name, after)) = rest.split_once('}') else {
            return refused("a `{` has no `}`");
        };
        out.push_str(before);
        match value(name) {
            Some(value) => out.push_str(&value),
            None => return refused(format!("the path template has no variable `{name}`")),
        }
        left = after;
    }
    out.push_str(left);
    Ok(out)
}
