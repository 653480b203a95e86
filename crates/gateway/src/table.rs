//! Who may connect, and with what: leases lent, tickets given out, sessions begun. No I/O here.

use ahash::AHashMap;
use std::sync::Arc;
use tokio::sync::watch;

use crate::secret::Secret;

/// Tickets of one task at once; the oldest makes room.
const MOST_TICKETS: usize = 64;

/// A lease that the control plane lends to a gateway.
#[derive(Debug)]
pub struct Lease<U> {
    /// Whose it is.
    pub task: String,
    /// The credential's name in the task's profile.
    pub credential: String,
    /// The lease's id.
    pub lease: String,
    /// What the gateway's own session at the target needs.
    pub upstream: U,
}

/// A ticket, as its holder sees it: once.
#[derive(Debug)]
pub struct Ticket {
    /// Its name: the user that the client logs in as.
    pub name: String,
    /// Its secret.
    pub secret: Secret,
    /// Milliseconds for which it opens new sessions. Those that are open go on.
    pub ttl_ms: i64,
}

/// A lease as long as it is lent, and as its sessions see it.
#[derive(Debug)]
pub(crate) struct Lent<U> {
    pub(crate) lease: String,
    upstream: Arc<U>,
    ended: watch::Sender<bool>,
}

impl<U> Lent<U> {
    /// What the gateway shows to the target.
    pub(crate) fn upstream(&self) -> Arc<U> {
        Arc::clone(&self.upstream)
    }
}

/// What a ticket opens.
#[derive(Debug)]
pub struct Session<V, U> {
    /// The task that it acts for.
    pub task: Arc<str>,
    /// The name of the task's credential.
    pub credential: Arc<str>,
    /// The lease's id.
    pub lease: String,
    /// Checks the secret that the client shows.
    pub verifier: V,
    /// What the session at the target uses. Let go of it when the session is open.
    pub upstream: Arc<U>,
    ended: watch::Receiver<bool>,
}

impl<V, U> Session<V, U> {
    /// Comes back when the task is fenced or the lease is taken back: then both sides close at once.
    pub async fn ended(&self) {
        // A sender that is gone is no less of an end.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// The same, to be watched from elsewhere: turns true, or closes.
    pub fn notice(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }
}

struct Kept<V> {
    task: Arc<str>,
    credential: Arc<str>,
    verifier: V,
    until_ms: i64,
}

type Key = (Arc<str>, Arc<str>);

pub(crate) struct Table<V, U> {
    /// The newest last: that is where new sessions go. Those of an older one go on until it is taken back.
    lent: AHashMap<Key, Vec<Lent<U>>>,
    tickets: AHashMap<String, Kept<V>>,
}

impl<V, U> Default for Table<V, U> {
    fn default() -> Self {
        Self { lent: AHashMap::new(), tickets: AHashMap::new() }
    }
}

impl<V: Clone, U> Table<V, U> {
    /// Lend.
    pub(crate) fn lend(&mut self, lease: Lease<U>) {
        let key = (Arc::from(lease.task), Arc::from(lease.credential));
        let lent = Lent { lease: lease.lease, upstream: Arc::new(lease.upstream), ended: watch::Sender::new(false) };
        self.lent.entry(key).or_default().push(lent);
    }

    pub(crate) fn lent(&self, task: &str, credential: &str) -> Option<&Lent<U>> {
        self.lent.get(&(Arc::from(task), Arc::from(credential)))?.last()
    }

    pub(crate) fn keep(&mut self, name: String, task: &str, credential: &str, verifier: V, until_ms: i64, now: i64) {
        self.tickets.retain(|_, ticket| ticket.until_ms > now);
        let of = self.tickets.iter().filter(|(_, ticket)| *ticket.task == *task);
        let (count, oldest) = (of.clone().count(), of.min_by_key(|(_, ticket)| ticket.until_ms));
        if count >= MOST_TICKETS
            && let Some(oldest) = oldest.map(|(name, _)| name.clone())
        {
            self.tickets.remove(&oldest);
        }
        let kept = Kept { task: Arc::from(task), credential: Arc::from(credential), verifier, until_ms };
        self.tickets.insert(name, kept);
    }

    /// Whether there is a ticket of that name, for that credential.
    pub(crate) fn is_of(&self, name: &str, task: &str, credential: &str) -> bool {
        self.tickets.get(name).is_some_and(|ticket| *ticket.task == *task && *ticket.credential == *credential)
    }

    pub(crate) fn admit(&self, name: &str, now: i64) -> Option<Session<V, U>> {
        let ticket = self.tickets.get(name).filter(|ticket| ticket.until_ms > now)?;
        let lent = self.lent.get(&(Arc::clone(&ticket.task), Arc::clone(&ticket.credential)))?.last()?;
        Some(Session {
            task: Arc::clone(&ticket.task),
            credential: Arc::clone(&ticket.credential),
            lease: lent.lease.clone(),
            verifier: ticket.verifier.clone(),
            upstream: Arc::clone(&lent.upstream),
            ended: lent.ended.subscribe(),
        })
    }

    /// What is lent to a task, where exactly one of its credentials fits.
    pub(crate) fn admit_task(&self, task: &str, fits: impl Fn(&U) -> bool) -> Option<Session<(), U>> {
        let newest =
            self.lent.iter().filter(|((of, _), _)| **of == *task).filter_map(|(key, all)| Some((key, all.last()?)));
        let mut fitting = newest.filter(|(_, lent)| fits(&lent.upstream));
        let ((task, credential), lent) = fitting.next()?;
        fitting.next().is_none().then(|| Session {
            task: Arc::clone(task),
            credential: Arc::clone(credential),
            lease: lent.lease.clone(),
            verifier: (),
            upstream: Arc::clone(&lent.upstream),
            ended: lent.ended.subscribe(),
        })
    }

    /// A lease is taken back: its tickets open nothing, its sessions end. Whether it was lent.
    pub(crate) fn take_back(&mut self, lease: &str) -> bool {
        let is = |lent: &Lent<U>| lent.lease == lease;
        let Some((key, all)) = self.lent.iter_mut().find(|(_, all)| all.iter().any(is)) else { return false };
        all.retain(|lent| {
            if is(lent) {
                lent.ended.send_replace(true);
            }
            !is(lent)
        });
        if all.is_empty() {
            let key = key.clone();
            self.end(&key);
        }
        true
    }

    /// A task is fenced: everything of it goes. Whether there was anything.
    pub(crate) fn fence(&mut self, task: &str) -> bool {
        let keys: Vec<Key> = self.lent.keys().filter(|(of, _)| **of == *task).cloned().collect();
        for key in &keys {
            self.end(key);
        }
        let before = self.tickets.len();
        self.tickets.retain(|_, ticket| *ticket.task != *task);
        !keys.is_empty() || before != self.tickets.len()
    }

    fn end(&mut self, key: &Key) {
        for lent in self.lent.remove(key).into_iter().flatten() {
            lent.ended.send_replace(true);
        }
        self.tickets.retain(|_, ticket| (&ticket.task, &ticket.credential) != (&key.0, &key.1));
    }
}
