//! AuthZEN 1.0 over HTTP and Envoy's `ext_authz` over gRPC, for the decision plane.
//!
//! What enters: connections (TCP on loopback, Unix sockets, TLS) and AuthZEN requests or Envoy's checks. What leaves:
//! decisions whose record is durable; problems where none could be made. What always holds: whose
//! request it is comes from the connection and the task's token, never from the body; a stolen token
//! is not enough; a fault of ours is a 503 and never a decision; no text of a caller makes the edge
//! panic, block, or answer *allow*.

mod answer;
mod auth;
mod authzen;
mod config;
mod decide;
mod dpop;
mod edge;
mod ext_authz;
mod inbox;
mod json;
mod jws;
mod listen;
mod peer;
mod result;
mod serve;
mod serving;
mod tls;
mod token;
mod uri;
mod worker;

pub use config::{Config, Listen, StartError, Tls};
pub use edge::{Edge, Parts};
pub use listen::{Bound, Place, Serves};
pub use peer::spiffe_id;
pub use serving::Serving;
pub use tls::{Certificates, Renewed, Shown};
