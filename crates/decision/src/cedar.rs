//! Cedar's answer. Every policy whose scope can match is evaluated; one that errs refuses.

use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, Request, Response, RestrictedExpression,
};

use crate::engine::{Opinion, combine};
use crate::scope::Cell;
use crate::value::{Value, cedar_decimal};

/// Evaluate cells one by one against the same request.
pub(crate) fn opine<'a>(request: &Request, cells: impl Iterator<Item = &'a Cell>, entities: &Entities) -> Opinion {
    let authorizer = Authorizer::new();
    let mut opinion = Opinion::Silent;
    for cell in cells {
        let response = authorizer.is_authorized(request, &cell.set, entities);
        opinion = match (opinion, read(cell, &response)) {
            (Opinion::Silent, said) => said,
            (before, Opinion::Silent) => before,
            (before, said) => combine(before, said),
        };
    }
    opinion
}

fn read(cell: &Cell, response: &Response) -> Opinion {
    let diagnostics = response.diagnostics();
    let mut errors = diagnostics.errors().peekable();
    if errors.peek().is_some() {
        let ids = errors.map(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            name(cell, error.policy_id().as_ref())
        });
        return Opinion::Error(ids.collect());
    }
    match response.decision() {
        Decision::Allow => Opinion::Permit(diagnostics.reason().map(|id| name(cell, id.as_ref())).collect()),
        Decision::Deny => {
            let mut ids = Vec::new();
            let mut reaction = None;
            for id in diagnostics.reason() {
                let card = cell.card(id.as_ref());
                reaction = reaction.max(card.and_then(|card| card.on_deny));
                ids.push(name(cell, id.as_ref()));
            }
            // Cedar's deny without a reason is only the absence of a permit.
            if ids.is_empty() { Opinion::Silent } else { Opinion::Forbid(ids, reaction) }
        }
    }
}

fn name(cell: &Cell, id: &str) -> Arc<str> {
    cell.card(id).map_or_else(|| Arc::from(id), |card| Arc::clone(&card.id))
}

/// A request; `None` where Cedar will not have it.
pub(crate) fn request(
    principal: &EntityUid,
    action: &EntityUid,
    resource: EntityUid,
    context: Context,
) -> Option<Request> {
    // Not validated against the schema: every part was made from it, and the typed arguments are
    // checked before. An attribute that is missing all the same is an evaluation error, which denies.
    Request::new(principal.clone(), action.clone(), resource, context, None).ok()
}

/// A typed value as Cedar's; `None` for what policies do not see.
pub(crate) fn expression(value: &Value<'_>) -> Option<RestrictedExpression> {
    Some(match value {
        Value::Text(text) => RestrictedExpression::new_string(text.clone().into_owned()),
        Value::Long(number) => RestrictedExpression::new_long(*number),
        Value::Decimal(number) => RestrictedExpression::new_decimal(cedar_decimal(*number)),
        Value::Bool(yes) => RestrictedExpression::new_bool(*yes),
        Value::Texts(texts) => RestrictedExpression::new_set(
            texts.iter().map(|text| RestrictedExpression::new_string(text.clone().into_owned())),
        ),
        Value::Any => return None,
    })
}

/// A record of named values, without those that policies do not see.
pub(crate) fn record<'a>(
    values: impl Iterator<Item = (&'a str, &'a Value<'a>)>,
) -> Option<RestrictedExpression> {
    let pairs = values.filter_map(|(name, value)| Some((name.to_owned(), expression(value)?)));
    RestrictedExpression::new_record(pairs).ok()
}

/// A string.
pub(crate) fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}
