//! What every gateway inside the serving process needs, whatever protocol it speaks.
//!
//! A gateway stands between an unmodified client and a target. The client never holds the target's
//! secret: it shows a *ticket*, a random name and secret of minutes, and the gateway's own session at
//! the target uses what a lease was issued for.
//!
//! What enters: leases lent by the control plane, tickets that holders of tasks ask for, calls.
//! What leaves: decisions whose records are durable, reports of results, the notice that a session is
//! over. What always holds: of a ticket only a verifier is kept; a secret is shown nowhere, and wiped
//! when its last session lets go; tickets, leases and sessions of a task end with its fence, in the
//! moment of it, on the thread that fences; an answer that is not an allow names its reason.
//!
//! # How a gateway uses it
//!
//! ```text
//! let kit = Kit::new(Parts { plane, sink, clock, max_wait, kind: "postgresql" });
//!
//! // The control plane, when a brokered lease is ACTIVE, and before it is revoked:
//! kit.lend(Lease { task, credential, lease, upstream });      // `upstream`: the gateway's own type, with a `Secret`
//! kit.take_back(lease);                                       // sessions end; true if it was lent
//!
//! // The control plane, for the task's holder:
//! let ticket = kit.ticket(task, credential, None, ttl_ms, |secret| Some(Salted::of(secret)))?;   // shown once
//!
//! // A connection:
//! let session = kit.admit(name)?;                 // by the ticket's name; check its secret by `session.verifier`
//! select! {
//!     _ = session.ended() => …close at once…,
//!     answer = kit.decide(&session.task, &asks) => match answer {
//!         Answer::Allowed(allowed) => …,          // every record is durable
//!         Answer::Refused(verdict) => …,          // nothing goes upstream
//!     }
//! }
//! kit.report(&session.task, &decision, result_json, meta_json).await;
//! ```
//!
//! The bundle declares the gateway as an enforcement point of its own: `identity: {gateway: postgresql}`.
//! Without that every call is refused (`pep_not_registered`).

mod decide;
mod kit;
mod meter;
mod salted;
mod secret;
mod table;

pub use decide::{Allowed, Answer, Ask};
pub use kit::{Kit, KitError, Parts, TICKET};
pub use meter::Meter;
pub use salted::Salted;
pub use secret::Secret;
pub use table::{Lease, Session, Ticket};
