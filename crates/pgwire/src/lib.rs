//! PostgreSQL's wire protocol, both sides, with a question before each statement goes upstream.
//!
//! What enters: connections of clients (TCP or Unix sockets, TLS by `SSLRequest`). What leaves: their
//! statements, once the [`Gate`] allowed them, to the server over a session of the gateway's own
//! log-in. What always holds: a refused statement does not go upstream, in its place goes one that
//! fails there, so that order, transaction state and the skip to Sync are the server's own; names of
//! statements and portals count only when the server confirmed them, and what is out of step closes
//! the connection; frames, pipelines and books are bounded; results are never gathered; a fence
//! closes both sockets, mid-result too; no secret is logged or sent in clear.
//!
//! The decision plane behind [`Gate`] and the leases behind [`Door`] are joined to it in `crates/pggate`.

mod backend;
mod book;
mod cancel;
mod client;
mod close;
mod console;
mod end_point;
mod frame;
mod login;
mod message;
mod port;
mod relay;
mod scram;
mod serve;
mod startup;
mod upstream;

pub use cancel::Cancels;
pub use close::Close;
pub use console::Console;
pub use end_point::end_point;
pub use frame::{FrameLimits, Frames};
pub use login::Wire;
pub use message::{Params, error_response};
pub use port::{Admission, Allowance, Ask, Decision, Door, Gate, Hello, Judged, Later, Shows, Upstream};
pub use scram::Verifier;
pub use serve::{Listens, Proxy, Secured, Settings};
pub use startup::{Opening, Startup};
