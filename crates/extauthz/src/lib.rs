//! Envoy's external authorization (`ext_authz`, v3) on the wire.
//!
//! What enters: a `CheckRequest` as Envoy sent it. What leaves: the HTTP request in it, read once
//! and strictly; and the `CheckResponse` that tells Envoy what to do. What always holds: a header that proves or
//! argues something counts only where it stands once; a body that is not whole is never taken for one; an
//! answer's headers cannot be broken by a value; whatever is not an allow denies.

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

mod answer;
mod read;

/// Messages, generated from proto/ (see tests/generated.rs).
#[allow(missing_docs, dead_code, clippy::all, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
mod generated {
    include!("generated/mod.rs");
}

pub use answer::{Denial, Told, allow, deny};
pub use generated::envoy::service::auth::v3::{CheckRequest, CheckResponse};
pub use generated::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};
pub use prost::Message;
pub use read::{Headers, Missing, Seen, SeenBody, read};

/// The messages' parts, for whoever makes requests.
pub mod parts {
    pub use crate::generated::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
    pub use crate::generated::envoy::service::auth::v3::{
        AttributeContext, DeniedHttpResponse, OkHttpResponse, attribute_context, check_response::HttpResponse,
    };
}
