//! Cedar's answer. Every policy whose scope can match is evaluated; one that errs refuses.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cedar_policy::{AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, Request, Response};
use cedar_policy_core::ast::{ExtensionFunction, Name, PartialValue, Value as CedarValue};
use cedar_policy_core::extensions::Extensions;
use smol_str::SmolStr;

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

/// Cedar's constructor of decimals, looked up once.
static DECIMAL: LazyLock<Option<&'static ExtensionFunction>> = LazyLock::new(|| {
    let name = Name::parse_unqualified_name("decimal").ok()?;
    Extensions::all_available().func(&name).ok()
});

/// A typed value as Cedar's; `None` for what policies do not see.
fn value(value: &Value<'_>) -> Option<CedarValue> {
    Some(match value {
        Value::Text(text) => text_value(text),
        Value::Long(number) => CedarValue::from(*number),
        Value::Decimal(number) => match (*DECIMAL)?.call(&[text_value(&cedar_decimal(*number))]).ok()? {
            PartialValue::Value(value) => value,
            PartialValue::Residual(_) => return None,
        },
        Value::Bool(yes) => CedarValue::from(*yes),
        Value::Texts(texts) => CedarValue::set(texts.iter().map(|text| text_value(text)), None),
        Value::Any => return None,
    })
}

/// A string.
pub(crate) fn text_value(text: &str) -> CedarValue {
    CedarValue::from(SmolStr::new(text))
}

/// A truth value.
pub(crate) fn bool_value(yes: bool) -> CedarValue {
    CedarValue::from(yes)
}

/// A record of named values, without those that policies do not see; `None` where Cedar cannot hold one.
pub(crate) fn record<'a>(values: impl Iterator<Item = (&'a str, &'a Value<'a>)>) -> Option<CedarValue> {
    let mut members = BTreeMap::new();
    for (name, one) in values.filter(|(_, one)| !matches!(one, Value::Any)) {
        members.insert(SmolStr::new(name), value(one)?);
    }
    Some(CedarValue::record_arc(Arc::new(members), None))
}

/// A record of values that are Cedar's already.
pub(crate) fn record_of<'a>(values: impl Iterator<Item = (&'a str, CedarValue)>) -> CedarValue {
    CedarValue::record_arc(Arc::new(values.map(|(name, value)| (SmolStr::new(name), value)).collect()), None)
}

/// A record of fixed members.
pub(crate) fn members<const N: usize>(members: [(&'static str, CedarValue); N]) -> CedarValue {
    let members = members.into_iter().map(|(name, value)| (SmolStr::new_static(name), value)).collect();
    CedarValue::record_arc(Arc::new(members), None)
}

/// A context.
pub(crate) fn context(parts: impl IntoIterator<Item = (&'static str, CedarValue)>) -> Context {
    let parts = parts.into_iter().map(|(name, value)| (SmolStr::new_static(name), value)).collect();
    cedar_policy_core::ast::Context::Value(Arc::new(parts)).into()
}
