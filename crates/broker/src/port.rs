//! What the broker needs from the house: who may come in, what may go upstream, and with which secret.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// A value that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Knows the clients.
pub trait Door: Send + Sync {
    /// The admission of who shows this ticket; none where there is no such, which the client does not
    /// learn more of.
    fn admit<'a>(&'a self, ticket: &'a str) -> Later<'a, Option<Arc<Admission>>>;
}

/// A client that may come in: one task.
#[derive(Clone)]
pub struct Admission {
    /// The task's id. Connections upstream are never shared between tasks.
    pub task: Arc<str>,
    /// Who decides its requests.
    pub gate: Arc<dyn Gate>,
    /// Turns true when the task is fenced: what it has open closes at once.
    pub fence: watch::Receiver<bool>,
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// The action: an operation's name, or `http.get` and the like.
    pub action: &'a str,
    /// The resource: `upstream/path/template`.
    pub resource: &'a str,
    /// The arguments, a JSON object: fields of path, query and body.
    pub args: &'a str,
}

/// What may still come back, shared by all requests of a budget.
pub trait Budget: Send + Sync {
    /// Take so many bytes; false where it does not reach.
    fn take(&self, bytes: u64) -> bool;
}

/// The answer.
#[derive(Clone)]
pub enum Decision {
    /// It may go upstream.
    Allow {
        /// The decision's id.
        id: String,
        /// What bounds the bytes of body that come back, if anything does.
        budget: Option<Arc<dyn Budget>>,
    },
    /// It may not.
    Deny {
        /// The decision's id.
        id: String,
        /// The reason code.
        reason: String,
        /// The question put to a person, where one may still allow it.
        approval: Option<String>,
    },
    /// Nothing was decided, or nothing durable: a fault of the governor's own. It may not.
    Fault {
        /// The reason code.
        reason: String,
    },
}

/// What came of an allowed request.
#[derive(Debug, Clone, Copy)]
pub struct Returned<'a> {
    /// The decision that allowed it.
    pub decision: &'a str,
    /// The upstream's status; none where no answer came.
    pub status: Option<u16>,
    /// Bytes of body that came back.
    pub bytes: u64,
    /// Milliseconds from the decision.
    pub ms: u64,
    /// Whether it came to its end.
    pub completed: bool,
}

/// Decides the requests of one task.
pub trait Gate: Send + Sync {
    /// Whether it may go upstream. An allow is durable when this answers.
    fn decide<'a>(&'a self, ask: Ask<'a>) -> Later<'a, Decision>;
    /// The task's credential at an upstream; none where there is none, or none any more.
    fn secret<'a>(&'a self, upstream: &'a str) -> Later<'a, Option<Secret>>;
    /// Told what came back, when it has. Must not block.
    fn returned(&self, returned: Returned<'_>);
    /// Told the body as well, where the upstream's configuration wants that: JSON, within the bound. The client gets
    /// it only after a true.
    fn result<'a>(&'a self, returned: Returned<'a>, body: &'a [u8]) -> Later<'a, bool>;
}

/// Finds the addresses of a host.
pub trait Resolve: Send + Sync {
    /// All addresses of a name.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Later<'a, std::io::Result<Vec<SocketAddr>>>;
}

/// A credential that no client sees.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keep a secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text, for the wire upstream.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Ends when a fence closes. One that nobody holds any more is as good as closed.
pub(crate) async fn closed(fence: &mut watch::Receiver<bool>) {
    drop(fence.wait_for(|closed| *closed).await);
}
