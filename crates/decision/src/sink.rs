//! Where records go. The plane makes drafts; a sink makes them durable and says so.

/// A conditional increment of a counter across tasks, done in the transaction that writes the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterCharge {
    /// HMAC-SHA256 under the deployment's key, in hex: what is counted is not to be read from the store.
    pub key: String,
    /// `calls`, or `sum:<argument>`.
    pub unit: String,
    /// In 1/10000ths.
    pub amount: i64,
    /// The counter may reach this and no more, in 1/10000ths.
    pub limit: i64,
}

/// One record on its way to the chain. Number, sequence and hash are the sink's to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDraft {
    /// The task it concerns, if one is known.
    pub task: Option<String>,
    /// The record's kind, for example `decided`.
    pub kind: &'static str,
    /// Wall time in milliseconds.
    pub at_ms: i64,
    /// Canonical JSON.
    pub body: Vec<u8>,
    /// Arguments, sealed under the task's data key.
    pub sealed: Option<Vec<u8>>,
    /// Counters across tasks that this record moves; all or none.
    pub counters: Vec<CounterCharge>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Durable.
    Durable,
    /// A counter would have passed its limit: nothing was written.
    Conflict,
    /// Surely not written.
    Failed,
    /// Nobody can say (a failed COMMIT). Charges stay spent until reconciled.
    Unknown,
    /// The sink did not take it: its queue was full.
    QueueFull,
}

/// Called once with what became of a record, perhaps on the sink's own thread; must not block.
pub type Done = Box<dyn FnOnce(Written) + Send>;

/// The sink would not take a record; `done` was not called and is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Its queue is full.
    Full,
    /// It is closed.
    Closed,
}

impl From<NotTaken> for Written {
    fn from(not: NotTaken) -> Self {
        match not {
            NotTaken::Full => Self::QueueFull,
            NotTaken::Closed => Self::Failed,
        }
    }
}

/// Makes records durable, in the order given.
pub trait Sink: Send + Sync {
    /// Queue `draft`. On `Ok`, `done` is called exactly once; on `Err`, never.
    fn submit(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken>;

    /// The same for a record that nobody waits for: the sink may let more of them gather, for
    /// milliseconds, before it makes them durable together.
    fn submit_later(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken> {
        self.submit(draft, done)
    }
}
