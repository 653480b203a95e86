//! The HTTP gateway: an unmodified client calls an API with a task's ticket, and each of its requests is decided
//! against the task before it goes upstream, with a credential that the client never sees.
//!
//! What enters: upstreams of the bundle, leases and requests for tickets from the control plane, connections of
//! clients. What leaves: requests whose decision is durable, to the upstream; refusals with a reason code and the
//! decision's id, to the client. What always holds: a credential is used for the task that it was lent for, and
//! only while it is lent; a ticket opens one task, until its fence.
//!
//! The proxy is `flyball-broker`, tickets and decisions `flyball-gateway`; here they are joined.

mod door;
mod gateway;

pub use gateway::{Config, Fault, Gateway};
