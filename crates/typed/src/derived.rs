//! Forms derived from a normal form.

/// The host of an e-mail address in normal form.
pub fn email_host(email: &str) -> Option<&str> {
    email.rsplit_once('@').map(|(_, host)| host)
}

/// The host of a URL in normal form, without its port.
pub fn url_host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// The path of a URL in normal form: it starts with `/` and has no query.
pub fn url_path(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.get(rest.find('/')?..)?;
    path.split('?').next()
}

/// The folder a path in normal form lies in; `None` for a path of one part.
pub fn path_parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        Some((_, "")) | None => None,
        Some(("", _)) => Some("/"),
        Some((parent, _)) => Some(parent),
    }
}

/// The last part of a path in normal form; `None` for the root.
pub fn path_name(path: &str) -> Option<&str> {
    path.rsplit('/').next().filter(|name| !name.is_empty())
}
