//! An HTTP request read as a call of an action.
//!
//! What enters: the routes that a bundle gives its actions (method, host, path template, where each
//! argument stands), and requests as an enforcement point saw them. What leaves: the action, its
//! resource and its arguments as JSON, or why the request cannot be read as any. What always holds: a
//! path that two readers could read differently is refused, never mended; what a route does not name
//! (a query parameter, a member of the body) is refused unless the route says that it goes unread;
//! no text of a caller makes this panic.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test that cannot go on fails"
    )
)]

mod args;
mod body;
mod host;
mod route;
mod routes;
mod target;
mod template;

pub use route::{Credential, CredentialDocument, RouteDocument};
pub use routes::{Found, Routes};
pub use target::Target;

/// A request, as an enforcement point saw it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its host, perhaps with a port.
    pub host: &'a str,
    /// Its path and query, as sent.
    pub path: &'a str,
}

/// What is known of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none.
    Absent,
    /// There is one, or may be one, and it was not handed to us.
    Unseen,
    /// The whole of it.
    Whole {
        /// Its media type, as the request says.
        content_type: &'a str,
        /// Its text: valid JSON with no member named twice, where the route reads it.
        text: &'a str,
    },
}

/// A call that a request stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'r> {
    /// The action's name.
    pub action: &'r str,
    /// Type of its resource.
    pub resource_type: &'r str,
    /// The resource's id.
    pub resource_id: String,
    /// The arguments: a JSON object.
    pub args: Vec<u8>,
}

/// Why a request cannot be read as a call. It repeats no value of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub std::borrow::Cow<'static, str>);

pub(crate) fn refused<T>(why: impl Into<std::borrow::Cow<'static, str>>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}
