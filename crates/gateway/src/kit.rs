//! One gateway's part of the house.

use std::sync::Arc;
use std::time::Duration;

use flyball_decision::{Clock, Plane, Sink};
use parking_lot::Mutex;

use crate::meter::Meters;
use crate::secret::Secret;
use crate::table::{Lease, Lent, Session, Table, Ticket};

/// Random bytes of a ticket's secret.
const SECRET: usize = 24;
/// Random bytes of its name: it tells tickets apart, and is no secret.
const NAME: usize = 9;

/// What tickets' names begin with.
pub const TICKET: &str = "task-";

/// Why a ticket was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KitError {
    /// No lease for that credential of the task is lent here.
    #[error("no lease of that credential is lent to the gateway")]
    NotLent,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// What a gateway works with.
pub struct Parts {
    /// Decides.
    pub plane: Arc<Plane>,
    /// Makes records durable.
    pub sink: Arc<dyn Sink>,
    /// The clocks, those of the plane's other callers.
    pub clock: Clock,
    /// How long a decision waits for its record at most.
    pub max_wait: Duration,
    /// Which gateway it is: `peps` of the bundle name it by `identity: {gateway: KIND}`.
    pub kind: &'static str,
}

/// One gateway's tickets, leases and decisions. `V` checks a ticket's secret; `U` is what a session at the target needs.
pub struct Kit<V, U> {
    pub(crate) parts: Parts,
    pub(crate) meters: Meters,
    table: Mutex<Table<V, U>>,
}

impl<V: Clone + Send + Sync + 'static, U: Send + Sync + 'static> Kit<V, U> {
    /// A kit that hears of fences from now on.
    pub fn new(parts: Parts) -> Arc<Self> {
        let kit = Arc::new(Self { parts, meters: Meters::default(), table: Mutex::default() });
        let theirs = Arc::downgrade(&kit);
        kit.parts.plane.on_fence(Box::new(move |task| {
            if let Some(kit) = theirs.upgrade() {
                kit.table.lock().fence(task);
                kit.meters.forget(task);
            }
        }));
        kit
    }

    /// Take over a lease that is ACTIVE. Look at its task once more afterwards: a fence that came before is not told again.
    pub fn lend(&self, lease: Lease<U>) {
        self.table.lock().lend(lease);
    }

    /// Let go of a lease: its tickets open nothing more and its sessions end. True if it was lent.
    pub fn take_back(&self, lease: &str) -> bool {
        self.table.lock().take_back(lease)
    }

    /// The newest lease that is lent for a credential.
    pub fn lent(&self, task: &str, credential: &str) -> Option<String> {
        self.table.lock().lent(task, credential).map(|lent| lent.lease.clone())
    }

    /// What the gateway shows to the target for a credential that is lent: for gateways whose clients prove their
    /// task with every request, and need no ticket.
    pub fn upstream(&self, task: &str, credential: &str) -> Option<Arc<U>> {
        self.table.lock().lent(task, credential).map(Lent::upstream)
    }

    /// A new ticket for a credential that is lent. `verifier` makes of the secret what is kept of it. `renew` names one
    /// of the same task and credential: it gets the new secret and time, and its old secret opens nothing more.
    pub fn ticket(
        &self,
        task: &str,
        credential: &str,
        renew: Option<&str>,
        ttl_ms: i64,
        verifier: impl FnOnce(&str) -> Option<V>,
    ) -> Result<Ticket, KitError> {
        let (name, secret) = Secret::random(NAME).zip(Secret::random(SECRET)).ok_or(KitError::NoRandomness)?;
        // Made before the lock: a verifier may take a while (SCRAM's does).
        let verifier = verifier(secret.reveal()).ok_or(KitError::NoRandomness)?;
        let now = (self.parts.clock)().mono_ms;
        let mut table = self.table.lock();
        let renewed = renew.filter(|name| table.is_of(name, task, credential));
        let name = renewed.map_or_else(|| format!("{TICKET}{}", name.reveal()), str::to_owned);
        if table.lent(task, credential).is_none() {
            return Err(KitError::NotLent);
        }
        table.keep(name.clone(), task, credential, verifier, now.saturating_add(ttl_ms), now);
        Ok(Ticket { name, secret, ttl_ms })
    }

    /// What the ticket of that name opens; nothing where there is none, or it has run out.
    pub fn admit(&self, name: &str) -> Option<Session<V, U>> {
        let now = (self.parts.clock)().mono_ms;
        self.table.lock().admit(name, now)
    }

    /// The session of a client that has proven, without a ticket, to be this principal: of its own task alone, to what is
    /// lent there and fits; nothing where that is not exactly one credential.
    pub fn admit_principal(&self, principal: &str, task: &str, fits: impl Fn(&U) -> bool) -> Option<Session<(), U>> {
        let owner = self.parts.plane.principal(task)?;
        if *owner != *principal {
            return None;
        }
        self.table.lock().admit_task(task, fits)
    }
}
