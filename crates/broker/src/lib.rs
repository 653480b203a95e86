//! An HTTP proxy, forward and reverse, that asks before a request goes upstream, and puts the task's
//! credential in itself.
//!
//! What enters: connections of clients, each request with its task's ticket. What leaves: requests that
//! the [`Gate`] allowed, to the upstreams of the bundle, with the credential that no client sees; and
//! their answers, from which it is removed. What always holds: a request is read strictly, and what two
//! readers might read differently is refused; nothing goes upstream before the decision; the address
//! that is connected to is the one that was checked; an answer leads to no other host; what a task has
//! open closes when it is fenced; heads, bodies that are decided on, pools and connections are bounded;
//! nothing else is gathered; no secret is logged, or said in an error.

mod address;
mod answer;
mod args;
mod authority;
mod broker;
mod chunk;
mod exchange;
mod frames;
mod guard;
mod head;
mod headers;
mod location;
mod port;
mod reply;
mod route;
mod scrub;
mod settings;
mod switch;
mod target;
mod tls;
mod upstream;

pub use address::System;
pub use authority::{Authority, AuthorityFault};
pub use broker::Broker;
pub use head::{Facts, Framing, Violation, check as check_head};
pub use port::{Admission, Ask, Budget, Decision, Door, Gate, Later, Resolve, Returned, Secret};
pub use route::{BodyRule, RouteConfig};
pub use settings::{Inject, Limits, UpstreamConfig, Upstreams, WrongUpstream};
