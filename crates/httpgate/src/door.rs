//! Tickets admitted, requests decided, credentials found.

use flyball_broker::{Admission, Ask, Budget, Decision, Door, Gate, Later, Returned, Secret};
use flyball_decision::{Effect, Reason};
use flyball_gateway::{Answer, Ask as Call, Kit, Meter, Salted};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// The kit of this gateway. The credential is found by task and upstream, not by ticket: a proxy has one ticket for
/// all upstreams of its task.
pub(crate) type HttpKit = Kit<Salted, ()>;

/// A credential that is lent.
struct Held {
    lease: String,
    upstream: String,
    secret: Secret,
}

/// The credentials that are lent, by task.
#[derive(Default)]
pub(crate) struct Purse(RwLock<HashMap<String, Vec<Held>>>);

impl Purse {
    /// The newest of a task for an upstream is the one that is used.
    pub(crate) fn put(&self, task: &str, lease: &str, upstream: &str, secret: &str) {
        let held = Held { lease: lease.to_owned(), upstream: upstream.to_owned(), secret: Secret::new(secret) };
        self.0.write().entry(task.to_owned()).or_default().push(held);
    }

    /// Let go of a lease's. The task that it was of.
    pub(crate) fn remove(&self, lease: &str) -> Option<String> {
        let mut all = self.0.write();
        let task = all.iter().find(|(_, held)| held.iter().any(|one| one.lease == lease))?.0.clone();
        if let Some(held) = all.get_mut(&task) {
            held.retain(|one| one.lease != lease);
            if held.is_empty() {
                all.remove(&task);
            }
        }
        Some(task)
    }

    fn find(&self, task: &str, upstream: &str) -> Option<Secret> {
        let all = self.0.read();
        all.get(task)?.iter().rev().find(|held| held.upstream == upstream).map(|held| held.secret.clone())
    }
}

/// Knows clients by their tickets: `name.secret`.
pub(crate) struct TicketDoor {
    pub(crate) kit: Arc<HttpKit>,
    pub(crate) purse: Arc<Purse>,
}

impl Door for TicketDoor {
    fn admit<'a>(&'a self, ticket: &'a str) -> Later<'a, Option<Arc<Admission>>> {
        let admit = || {
            let (name, secret) = ticket.split_once('.')?;
            let session = self.kit.admit(name)?;
            if !session.verifier.is(secret) {
                return None;
            }
            let task = Arc::clone(&session.task);
            let gate = TaskGate { kit: Arc::clone(&self.kit), purse: Arc::clone(&self.purse), task: Arc::clone(&task) };
            Some(Arc::new(Admission { task, gate: Arc::new(gate), fence: session.notice() }))
        };
        let admitted = admit();
        Box::pin(std::future::ready(admitted))
    }
}

/// Decides the requests of one task.
struct TaskGate {
    kit: Arc<HttpKit>,
    purse: Arc<Purse>,
    task: Arc<str>,
}

struct Metered(Meter);

impl Budget for Metered {
    fn take(&self, bytes: u64) -> bool {
        self.0.take(bytes)
    }
}

impl Gate for TaskGate {
    fn decide<'a>(&'a self, ask: Ask<'a>) -> Later<'a, Decision> {
        Box::pin(async move {
            // What the bundle does not declare is asked all the same: the refusal goes on record.
            let form = self.kit.form(ask.action);
            let call = Call {
                action: ask.action,
                resource_type: form.as_ref().map_or("", |form| form.resource_type.as_str()),
                resource_id: ask.resource,
                args: ask.args.as_bytes(),
            };
            match self.kit.decide(&self.task, &[call]).await {
                Answer::Allowed(allowed) => {
                    let room = allowed.rooms.into_iter().next().unwrap_or_default();
                    let budget =
                        room.bytes.map(|bytes| Arc::new(Metered(self.kit.meter(&self.task, bytes))) as Arc<dyn Budget>);
                    match allowed.decisions.into_iter().next() {
                        Some(id) => Decision::Allow { id, budget },
                        None => Decision::Fault { reason: "record_failed".to_owned() },
                    }
                }
                Answer::Refused(verdict) => {
                    let reason = verdict.reasons.first().copied();
                    let word = reason.map_or("engine_error", |reason| reason.as_str()).to_owned();
                    if reason.is_none_or(Reason::our_fault) {
                        return Decision::Fault { reason: word };
                    }
                    let approval = verdict.approval.filter(|_| verdict.effect == Effect::RequireApproval);
                    Decision::Deny { id: verdict.decision, reason: word, approval }
                }
            }
        })
    }

    fn secret<'a>(&'a self, upstream: &'a str) -> Later<'a, Option<Secret>> {
        Box::pin(std::future::ready(self.purse.find(&self.task, upstream)))
    }

    fn returned(&self, returned: Returned<'_>) {
        self.kit.report_later(&self.task, returned.decision, b"null", meta(returned).as_bytes());
    }

    fn result<'a>(&'a self, returned: Returned<'a>, body: &'a [u8]) -> Later<'a, bool> {
        Box::pin(async move { self.kit.report(&self.task, returned.decision, body, meta(returned).as_bytes()).await })
    }
}

fn meta(returned: Returned<'_>) -> String {
    format!("{{\"bytes\":{},\"ms\":{}}}", returned.bytes, returned.ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A credential is found for its own task and upstream alone, and no longer once its lease is let go.
    #[test]
    fn a_credential_is_its_tasks_and_its_upstreams() {
        let purse = Purse::default();
        purse.put("task-1", "lea-1", "crm", "one");
        purse.put("task-1", "lea-2", "crm", "two");
        purse.put("task-2", "lea-3", "mail", "three");
        let held = |task, upstream| purse.find(task, upstream).is_some();
        assert!(held("task-1", "crm") && held("task-2", "mail"));
        assert!(!held("task-1", "mail") && !held("task-2", "crm") && !held("task-3", "crm"));
        assert_eq!(purse.remove("lea-3").as_deref(), Some("task-2"));
        assert_eq!(purse.remove("lea-3"), None);
        assert!(!held("task-2", "mail") && held("task-1", "crm"));
        purse.remove("lea-2");
        assert!(held("task-1", "crm"), "the lease before it");
        purse.remove("lea-1");
        assert!(!held("task-1", "crm"));
    }
}
