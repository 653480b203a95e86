//! What a call must get over to be within a rule, and where it fell.

use crate::intent::{Breach, BreachKind};
use crate::profile::Rule;
use crate::verdict::Reason;

/// The hurdles, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hurdle {
    Action,
    Resource,
    Missing,
    Asked,
    Order,
    Labels,
    Bounds,
    Origin,
    Flow,
    Plan,
    Budget,
    OncePer,
    /// Ours: whether the rule holds cannot be told, so no other failure is one to act upon.
    Unknown,
}

/// Why a rule does not hold.
pub(crate) struct Failure<'a> {
    pub(crate) hurdle: Hurdle,
    reason: Reason,
    pub(crate) rule: Option<&'a Rule>,
    /// The argument, where no `breach` names it.
    pub(crate) arg: Option<&'a str>,
    /// What was demanded of an argument, and where it was seen.
    pub(crate) breach: Option<Box<Breach>>,
}

impl<'a> Failure<'a> {
    /// At a hurdle that has one reason.
    pub(crate) fn at(hurdle: Hurdle, rule: Option<&'a Rule>) -> Self {
        let reason = match hurdle {
            Hurdle::Action => Reason::ActionNotInProfile,
            Hurdle::Resource => Reason::ResourceNotInProfile,
            Hurdle::Missing => Reason::ArgumentMissing,
            Hurdle::Asked => Reason::NotAskedFor,
            Hurdle::Order => Reason::OutOfOrder,
            Hurdle::Labels | Hurdle::Flow => Reason::LabelForbids,
            Hurdle::Bounds => Reason::ArgumentOutOfBounds,
            Hurdle::Origin => Reason::OriginMismatch,
            Hurdle::Plan => Reason::NotInPlan,
            Hurdle::Budget => Reason::BudgetSpent,
            Hurdle::OncePer => Reason::OncePerSpent,
            Hurdle::Unknown => Reason::MemoryFull,
        };
        Self { hurdle, reason, rule, arg: None, breach: None }
    }

    /// The same, of one argument.
    pub(crate) fn of(hurdle: Hurdle, rule: &'a Rule, arg: &'a str) -> Self {
        Self { arg: Some(arg), ..Self::at(hurdle, Some(rule)) }
    }

    /// Effects need a plan, and there is none.
    pub(crate) fn unplanned(rule: &'a Rule) -> Self {
        Self { reason: Reason::PlanRequired, ..Self::at(Hurdle::Plan, Some(rule)) }
    }

    /// What the intent says of an argument.
    pub(crate) fn breached(rule: &'a Rule, breach: Breach) -> Self {
        let (hurdle, reason) = match breach.kind {
            BreachKind::Origin => (Hurdle::Origin, Reason::OriginMismatch),
            BreachKind::Missing => (Hurdle::Missing, Reason::ArgumentMissing),
            BreachKind::Flow => (Hurdle::Flow, Reason::LabelForbids),
            BreachKind::Bounds => (Hurdle::Bounds, Reason::ArgumentOutOfBounds),
            BreachKind::TooLong => (Hurdle::Bounds, Reason::TooLong),
            BreachKind::Malformed => (Hurdle::Bounds, Reason::Malformed),
            BreachKind::MemoryFull => (Hurdle::Unknown, Reason::MemoryFull),
        };
        Self { hurdle, reason, rule: Some(rule), arg: None, breach: Some(Box::new(breach)) }
    }

    /// As an answer gives it.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }
}
