//! The joint where policy engines are put in: a question in plain values, an opinion back.
//!
//! Cedar is the first and stands in `cedar.rs`, with its own, faster way in. Any other engine
//! implements [`Engine`]; all are asked, a refusal of any counts, and one that errs refuses.

use std::sync::Arc;

use crate::value::Value;
use crate::verdict::Reaction;

/// What an engine is asked.
#[allow(dead_code, reason = "Cedar is handed the same in its own form; the engines that read this come later")]
pub(crate) struct Question<'a> {
    /// Who: the agent.
    pub(crate) agent: &'a str,
    /// Who answers for the agent.
    pub(crate) owner: &'a str,
    /// What.
    pub(crate) action: &'a str,
    /// On what type.
    pub(crate) resource_type: &'a str,
    /// On what.
    pub(crate) resource_id: &'a str,
    /// Typed arguments by name.
    pub(crate) args: &'a [(&'a str, Value<'a>)],
    /// The rule of the profile that the call is within.
    pub(crate) rule: &'a str,
    /// The enforcement point.
    pub(crate) pep: &'a str,
}

/// What an engine says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// At least one policy permits it and none forbids it.
    Permit(Vec<Arc<str>>),
    /// These policies forbid it; the hardest reaction that they ask for.
    Forbid(Vec<Arc<str>>, Option<Reaction>),
    /// Nothing is said about it.
    Silent,
    /// These policies could not be evaluated.
    Error(Vec<Arc<str>>),
}

/// A policy engine besides Cedar.
pub(crate) trait Engine: Send + Sync {
    /// Its opinion.
    fn opine(&self, question: &Question<'_>) -> Opinion;
}

/// Two opinions as one: an error before a refusal, a refusal before a permit.
pub(crate) fn combine(one: Opinion, other: Opinion) -> Opinion {
    match (one, other) {
        (Opinion::Error(mut a), Opinion::Error(b)) => {
            a.extend(b);
            Opinion::Error(a)
        }
        (error @ Opinion::Error(_), _) | (_, error @ Opinion::Error(_)) => error,
        (Opinion::Forbid(mut a, x), Opinion::Forbid(b, y)) => {
            a.extend(b);
            Opinion::Forbid(a, x.max(y))
        }
        (forbid @ Opinion::Forbid(..), _) | (_, forbid @ Opinion::Forbid(..)) => forbid,
        (Opinion::Permit(mut a), Opinion::Permit(b)) => {
            a.extend(b);
            Opinion::Permit(a)
        }
        (permit @ Opinion::Permit(_), Opinion::Silent) | (Opinion::Silent, permit @ Opinion::Permit(_)) => permit,
        (Opinion::Silent, Opinion::Silent) => Opinion::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_then_forbids_then_permits() {
        let id = || vec![Arc::from("p")];
        let error = || Opinion::Error(id());
        let forbid = |reaction| Opinion::Forbid(id(), reaction);
        let permit = || Opinion::Permit(id());
        assert_eq!(combine(permit(), error()), error());
        assert_eq!(combine(forbid(None), error()), error());
        assert_eq!(combine(permit(), forbid(None)), forbid(None));
        assert_eq!(combine(permit(), Opinion::Silent), permit());
        assert_eq!(combine(Opinion::Silent, Opinion::Silent), Opinion::Silent);
        let both = combine(forbid(Some(Reaction::Freeze)), forbid(Some(Reaction::Revoke)));
        assert!(matches!(both, Opinion::Forbid(_, Some(Reaction::Revoke))));
    }
}
