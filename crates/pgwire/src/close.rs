//! Why a connection ends.

use thiserror::Error;

/// The reason that a connection was closed for. Its code is for records and clients.
#[derive(Debug, Error)]
pub enum Close {
    /// The client left, or said good-bye.
    #[error("client_left")]
    ClientLeft,
    /// The server's side ended.
    #[error("upstream_left")]
    UpstreamLeft,
    /// The task was fenced.
    #[error("fenced")]
    Fenced,
    /// A frame that is not PostgreSQL's, or not at this place.
    #[error("protocol_violation: {0}")]
    Violation(&'static str),
    /// A frame longer than its bound.
    #[error("frame_too_long")]
    TooLong,
    /// A log-in or a begun frame that did not come to its end in time.
    #[error("too_slow")]
    TooSlow,
    /// More statements in flight, or more names, than the bounds.
    #[error("pipeline_too_long")]
    Pipeline,
    /// The server's answers do not fit what was sent.
    #[error("out_of_step")]
    OutOfStep,
    /// A pinned setting is not what it was pinned to.
    #[error("pin_lost")]
    PinLost,
    /// Rows or bytes of a result beyond what was allowed.
    #[error("budget_spent")]
    Spent,
    /// The client asks for TLS to be left out where it must not.
    #[error("tls_required")]
    TlsRequired,
    /// The log-in was refused.
    #[error("login_refused: {0}")]
    Login(&'static str),
    /// The server could not be reached, or did not prove itself.
    #[error("upstream_refused: {0}")]
    Upstream(&'static str),
    /// The operating system said so.
    #[error("io: {0}")]
    Io(#[from] std::io::Error),
}
