//! What the gateway needs from the house: who may come in, and what may go upstream.

use crate::close::Close;
use crate::message::Params;
use crate::scram::Verifier;
use flyball_pgsql::{Judgement, Refusal, Source};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_rustls::rustls;
use zeroize::Zeroizing;

/// A value that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who knocks.
#[derive(Debug, Clone)]
pub struct Hello {
    /// The role that the client names: for a task's log-in, the name that goes with its connect secret.
    pub user: String,
    /// The database.
    pub database: String,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The client certificate of the TLS connection, in DER, where one was shown: its chain, its time and that the key is
    /// the client's were verified.
    pub certificate: Option<Vec<u8>>,
}

/// Where the gateway's own session goes, and with what: a lease's secret, which no client sees.
pub struct Upstream {
    /// The server.
    pub address: SocketAddr,
    /// The lease's role.
    pub user: String,
    /// The lease's secret.
    pub secret: Zeroizing<String>,
    /// The database.
    pub database: String,
    /// TLS to the server, and the name its certificate must have; none on loopback only.
    pub tls: Option<(Arc<rustls::ClientConfig>, String)>,
    /// The pinned search path, as SET takes it.
    pub search_path: String,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({}@{}/{})", self.user, self.address, self.database)
    }
}

/// What a client has to show.
#[derive(Clone)]
pub enum Shows {
    /// A secret, which this checks.
    Secret(Verifier),
    /// The certificate of its TLS connection, which the door has looked at. Without one it is refused.
    Certificate,
}

/// A client that may come in, if it shows what it has to.
#[derive(Clone)]
pub struct Admission {
    /// What that is.
    pub shows: Shows,
    /// Where its session goes.
    pub upstream: Arc<Upstream>,
    /// Who decides its statements.
    pub gate: Arc<dyn Gate>,
    /// Turns true when the task is fenced: both sockets close at once.
    pub fence: watch::Receiver<bool>,
}

/// Knows the clients.
pub trait Door: Send + Sync {
    /// The admission of a client; none where there is no such, which the client does not learn.
    ///
    /// # Errors
    /// It is refused by what it has shown already.
    fn admit<'a>(&'a self, hello: &'a Hello) -> Later<'a, Result<Option<Admission>, Close>>;
}

/// A statement as it was judged: its text, what it does, and the state of the catalog by which that was told. Who
/// decides it sees by the last whether the judgement still holds, and has the text to judge anew where it does not.
#[derive(Debug, Clone)]
pub struct Judged {
    sql: Arc<str>,
    judgement: Arc<Judgement>,
    catalog: u64,
    literals: Arc<[Source]>,
}

impl Judged {
    /// `catalog` is a number that the [`Gate`] gives to no other state of a catalog.
    pub fn new(sql: &str, judgement: Arc<Judgement>, catalog: u64) -> Self {
        Self { sql: sql.into(), judgement, catalog, literals: Arc::default() }
    }

    /// The same, where the judgement is one of the statement's shape: these constants stand in the text for what it says
    /// are parameters.
    #[must_use]
    pub fn with_literals(self, literals: Vec<Source>) -> Self {
        Self { literals: literals.into(), ..self }
    }

    /// Its text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What it does, by that state of the catalog.
    pub fn judgement(&self) -> &Arc<Judgement> {
        &self.judgement
    }

    /// The constants of its text that the judgement says are parameters; none where it says so of none.
    pub fn literals(&self) -> &[Source] {
        &self.literals
    }

    /// That state.
    pub fn catalog(&self) -> u64 {
        self.catalog
    }

    /// The same statement, with the values of the EXECUTE that runs it.
    pub(crate) fn with_values(&self, execute: &Judgement) -> Self {
        let mut judgement = Judgement::clone(&self.judgement);
        judgement.values.extend(execute.values.iter().cloned());
        Self { judgement: Arc::new(judgement), ..self.clone() }
    }
}

/// One question.
pub struct Ask<'a> {
    /// The statement.
    pub judged: &'a Judged,
    /// Its parameters, where it was bound.
    pub params: &'a Params,
    /// The types of its parameters, as far as they are known; 0 where not.
    pub types: &'a [u32],
    /// Whether it runs now: PREPARE itself runs nothing.
    pub runs: bool,
}

/// What may come back of a run, and who is told what did.
pub trait Allowance: Send + Sync {
    /// Take one row of that many bytes; false where it may not pass, nor anything after it.
    fn row(&self, bytes: u64) -> bool;
    /// What came back, once: rows, bytes, and whether the server completed it.
    fn returned(&self, rows: u64, bytes: u64, completed: bool);
}

/// The answer.
pub enum Decision {
    /// It may go upstream.
    Allow(Arc<dyn Allowance>),
    /// It may not.
    Deny {
        /// The decision's id.
        id: String,
        /// The reason code.
        reason: String,
        /// More for the client to read; may be empty.
        detail: String,
        /// Whether the fault is ours, and not the statement's.
        fault: bool,
    },
}

/// Decides the statements of one task.
pub trait Gate: Send + Sync {
    /// What a statement does, or why it is refused whoever asks.
    ///
    /// # Errors
    /// The refusal.
    fn judge<'a>(&'a self, sql: &'a str) -> Later<'a, Result<Judged, Refusal>>;
    /// Whether it may run now. Asked before each run; an allow is durable when this answers. The judgement in the question
    /// may be older than the definitions: it counts only for the state of the catalog that it names.
    fn decide<'a>(&'a self, ask: Ask<'a>) -> Later<'a, Decision>;
}
