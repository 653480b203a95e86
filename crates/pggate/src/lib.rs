//! The PostgreSQL gateway: an unmodified client logs in with a task's ticket, and each of its statements is decided
//! against the task before it goes to the server, over a session that the lease opens.
//!
//! What enters: leases and requests for tickets from the control plane, connections of clients. What
//! leaves: statements whose every touch was allowed and is on record, to the server; refusals with a
//! reason code and the decision's id, to the client. What always holds: the lease's secret leaves this
//! process only as a SCRAM proof to the server; a statement is judged by a catalog that was looked at
//! within [`STALE`], else it is refused; a statement that touches several tables is allowed whole or
//! refused whole; values are told to the decision only where the text says them for certain; a fence
//! closes both sockets.
//!
//! The wire is `flyball-pgwire`, the judge `flyball-pgsql`, tickets and decisions `flyball-gateway`;
//! here they are joined.

mod args;
mod asks;
mod catalogs;
mod door;
mod gate;
mod gateway;
mod target;

pub use catalogs::{EVERY, STALE};
pub use gateway::{Config, Fault, Gateway};
pub use target::{Place, TargetError};
