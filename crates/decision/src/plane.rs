//! The plane. Signatures first.
use std::sync::Arc;

use crate::call::{Call, Now, TasklessCall};
use crate::sink::{RecordDraft, Written};
use crate::verdict::{Reason, Verdict};

/// What a plane is made with.
#[derive(Clone)]
pub struct PlaneConfig {
    /// The cell, as it stands in ids.
    pub cell: String,
    /// This node's name.
    pub node: String,
    /// This node's epoch: grows with every start.
    pub epoch: u32,
    /// Keys the counters across tasks.
    pub deployment_key: [u8; 32],
}

/// A call that was evaluated and charged, and whose answer may not leave yet. Only `check` and
/// `evaluate` make one; only `release` turns it into a verdict.
#[must_use]
pub struct Checked {
    /// To be made durable before `release`, or beside it where `buffered`. None: nothing to write.
    pub record: Option<RecordDraft>,
    /// The access class lets the answer leave before the record is durable.
    pub buffered: bool,
    verdict: Verdict,
}

/// The answer, and one more record to write where an allow was overtaken.
#[must_use]
pub struct Released {
    /// The answer.
    pub verdict: Verdict,
    /// `not_released`; nobody waits for it.
    pub record: Option<RecordDraft>,
}

/// How an enforcement point proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PepIdentity {
    /// The agent's own process, by the task's token.
    Own,
    /// A SPIFFE ID, by mTLS.
    Spiffe(String),
    /// A user of this host, by SO_PEERCRED.
    Uid(u32),
    /// SHA-256 of a client certificate, base64url.
    X5t(String),
}

/// An enforcement point, as the bundle declares it.
#[derive(Clone, Debug)]
pub struct Pep {
    /// Its name.
    pub name: String,
    /// How it proves itself.
    pub identity: PepIdentity,
    /// Whether it may report results.
    pub may_report: bool,
    /// Resource types about which it may assert subjects.
    pub may_assert_subject: Vec<String>,
}

/// The declared enforcement points of one bundle.
#[derive(Debug, Default)]
pub struct PepTable {
    /// All of them.
    pub all: Vec<Pep>,
}

impl PepTable {
    /// The enforcement point with that identity.
    pub fn by_identity(&self, identity: &PepIdentity) -> Option<&Pep> {
        self.all.iter().find(|pep| pep.identity == *identity)
    }
}

/// The live decision plane.
pub struct Plane {
    peps: Arc<PepTable>,
}

impl Plane {
    /// An empty plane.
    pub fn new(_cfg: PlaneConfig) -> Self {
        Self { peps: Arc::new(PepTable::default()) }
    }
    /// Evaluate and charge in memory.
    pub fn check(&self, _call: &Call<'_>, _now: Now) -> Checked {
        Checked { record: None, buffered: false, verdict: Verdict::refused(Reason::BundleNotLoaded) }
    }
    /// Decide without a task.
    pub fn evaluate(&self, _call: &TasklessCall<'_>, _now: Now) -> Checked {
        Checked { record: None, buffered: false, verdict: Verdict::refused(Reason::BundleNotLoaded) }
    }
    /// Look at the fence once more, and let the answer go.
    pub fn release(&self, checked: Checked, _written: Written, _now: Now) -> Released {
        Released { verdict: checked.verdict, record: None }
    }
    /// The declared enforcement points.
    pub fn peps(&self) -> Arc<PepTable> {
        Arc::clone(&self.peps)
    }
    /// Principal and agent of a live task: what a request's `subject` may be called.
    pub fn names_of(&self, _task: &str) -> Option<(Arc<str>, Arc<str>)> {
        None
    }
    /// Count a denial that could not be recorded (the edge's own refusals, a failed buffered record).
    pub fn count_gap(&self, _reason: Reason) {}
}
