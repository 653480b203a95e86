//! What a check answers, and why.

use std::sync::Arc;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            #[allow(dead_code, reason = "not every list of words is walked")]
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for it in records and answers.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that a word stands for.
            #[allow(dead_code, reason = "not every word is read")]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What may happen now. One enum everywhere; this version decides `allow`, `deny`, `require_approval` and `step_up`.
    Effect {
        /// The call may go ahead.
        Allow = "allow",
        /// It may not.
        Deny = "deny",
        /// It may, changed.
        Modify = "modify",
        /// A person must approve it first.
        RequireApproval = "require_approval",
        /// The caller must authenticate more strongly first.
        StepUp = "step_up",
        /// Ask again later.
        Defer = "defer",
    }
}

words! {
    /// What a deviation sets off, from the mildest to the hardest.
    Reaction {
        /// Only this call is refused.
        Deny = "deny",
        /// Effects are refused from now on; reads go on.
        Freeze = "freeze",
        /// Everything is refused until somebody resumes the task.
        Suspend = "suspend",
        /// The task is fenced and its privilege taken back.
        Revoke = "revoke",
        /// The same, and the agent is to be looked at by a person.
        Quarantine = "quarantine",
    }
}

words! {
    /// Why a check was answered as it was.
    Reason {
        /// Nothing stands against it.
        Allowed = "allowed",
        /// No such task is live here.
        TaskUnknown = "task_unknown",
        /// The task is fenced: final.
        TaskFenced = "task_fenced",
        /// The task is suspended.
        TaskSuspended = "task_suspended",
        /// The task is parked.
        TaskParked = "task_parked",
        /// The task's effects are frozen, and this is one.
        TaskFrozen = "task_frozen",
        /// The task's hard end has passed.
        TaskExpired = "task_expired",
        /// The task has been silent for too long.
        HeartbeatMissed = "heartbeat_missed",
        /// The bundle declares no such action.
        ActionUnknown = "action_unknown",
        /// The action is not for this type of resource, or the bundle has no such type.
        ResourceTypeUnknown = "resource_type_unknown",
        /// The profile does not name the action.
        ActionNotInProfile = "action_not_in_profile",
        /// The profile names the action, on other resources.
        ResourceNotInProfile = "resource_not_in_profile",
        /// An argument that the action does not declare.
        ArgumentUnknown = "argument_unknown",
        /// A bound needs an argument that is not there.
        ArgumentMissing = "argument_missing",
        /// An argument of another type than declared.
        ArgumentType = "argument_type",
        /// An argument outside the profile's bounds.
        ArgumentOutOfBounds = "argument_out_of_bounds",
        /// An argument that does not come from where the rule demands.
        OriginMismatch = "origin_mismatch",
        /// Nothing in the request asks for it.
        NotAskedFor = "not_asked_for",
        /// Before what must come first, or after what must come last.
        OutOfOrder = "out_of_order",
        /// The declared plan does not have it, or no more of it.
        NotInPlan = "not_in_plan",
        /// The profile wants a plan before any effect.
        PlanRequired = "plan_required",
        /// What the task has touched forbids it.
        LabelForbids = "label_forbids",
        /// Free text beyond its length.
        TooLong = "too_long",
        /// A budget does not reach.
        BudgetSpent = "budget_spent",
        /// Done once already, and once is all.
        OncePerSpent = "once_per_spent",
        /// A person must approve exactly this call first.
        ApprovalRequired = "approval_required",
        /// The caller must authenticate more strongly for exactly this call first.
        StepUpRequired = "step_up_required",
        /// It was asked for, and refused or not answered in time.
        ApprovalRefused = "approval_refused",
        /// Too many calls of the task wait for a person.
        ApprovalsFull = "approvals_full",
        /// The task's memory is full: where values come from cannot be told any more.
        MemoryFull = "memory_full",
        /// Too many checks; not recorded.
        QuotaExceeded = "quota_exceeded",
        /// A policy forbids it.
        PolicyForbids = "policy_forbids",
        /// No policy permits it.
        PolicyNoPermit = "policy_no_permit",
        /// A policy could not be evaluated.
        PolicyError = "policy_error",
        /// The enforcement point is not declared, or not for this.
        PepNotRegistered = "pep_not_registered",
        /// The enforcement point may not ask about this action.
        PepActionNotRegistered = "pep_action_not_registered",
        /// The enforcement point did not show the task's proof.
        PepTaskProof = "pep_task_proof",
        /// The request names another task or subject than its proof.
        TaskMismatch = "task_mismatch",
        /// The proof is bound to another key or user.
        NotBound = "not_bound",
        /// The record could not be made durable.
        RecordFailed = "record_failed",
        /// The sink's queue is full.
        QueueFull = "queue_full",
        /// Allowed, but a fence came before the answer left.
        OvertakenByFence = "overtaken_by_fence",
        /// No bundle is loaded.
        BundleNotLoaded = "bundle_not_loaded",
        /// A fault of the engine's.
        EngineError = "engine_error",
        /// The request cannot be read.
        Malformed = "malformed",
    }
}

impl Reason {
    /// Whether the fault is ours and not the caller's: answered as a failure (HTTP 503), never a deviation.
    pub const fn our_fault(self) -> bool {
        matches!(
            self,
            Self::QuotaExceeded
                | Self::RecordFailed
                | Self::QueueFull
                | Self::BundleNotLoaded
                | Self::EngineError
                | Self::PolicyError
                | Self::MemoryFull
        )
    }
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What may happen.
    pub effect: Effect,
    /// Why; the first is the one that decided.
    pub reasons: Vec<Reason>,
    /// The decision's id, empty where none was made (the request could not be read).
    pub decision: String,
    /// `sha256:…` of the call, empty where it could not be read.
    pub digest: String,
    /// The policies that decided.
    pub policies: Vec<Arc<str>>,
    /// What the deviation set off, if this is one.
    pub reaction: Option<Reaction>,
    /// The reference under which a person is asked, or the one that this allow used up.
    pub approval: Option<String>,
}

impl Verdict {
    /// A refusal before any decision was made: nothing of the call is known or believed.
    pub fn refused(reason: Reason) -> Self {
        Self {
            effect: Effect::Deny,
            reasons: vec![reason],
            decision: String::new(),
            digest: String::new(),
            policies: Vec::new(),
            reaction: None,
            approval: None,
        }
    }

    /// Whether the call may go ahead.
    pub fn allowed(&self) -> bool {
        self.effect == Effect::Allow
    }
}
