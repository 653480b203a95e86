//! Cedar's answer. Every policy whose scope can match is evaluated; one that errs refuses.
//!
//! Cedar's own evaluator evaluates Cedar's own conditions. Its `Authorizer` is left aside: for each request it
//! makes every policy's condition anew out of scope and clauses, and collects what nobody reads here; that was half
//! of a check. The corpora of `conformance.rs` hold this to its answers.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cedar_policy::{Context, Effect, Entities, EntityUid, Policy};
use cedar_policy_core::ast::{
    EntityUIDEntry, Expr, ExtensionFunction, Literal, Name, PartialValue, Request, SlotEnv, Value as CedarValue,
    ValueKind,
};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use smol_str::SmolStr;

use crate::engine::Opinion;
use crate::scope::Cell;
use crate::value::{Value, cedar_decimal};

/// A policy, ready to be evaluated: its whole condition, made once.
pub(crate) struct Ready {
    condition: Expr,
    slots: SlotEnv,
    forbids: bool,
}

impl Ready {
    pub(crate) fn new(policy: &Policy) -> Self {
        let parsed: &cedar_policy_core::ast::Policy = policy.as_ref();
        Self { condition: parsed.condition(), slots: parsed.env().clone(), forbids: policy.effect() == Effect::Forbid }
    }

    /// Whether it holds; `None` where it errs.
    fn holds(&self, evaluator: &Evaluator<'_>) -> Option<bool> {
        match evaluator.interpret(&self.condition, &self.slots).ok()?.value_kind() {
            ValueKind::Lit(Literal::Bool(yes)) => Some(*yes),
            _ => None,
        }
    }
}

/// A request, put to policies.
pub(crate) struct Asked<'e> {
    evaluator: Evaluator<'e>,
}

impl<'e> Asked<'e> {
    /// Not validated against the schema: every part was made from it, and the typed arguments are checked before. An
    /// attribute that is missing all the same is an evaluation error, which denies.
    pub(crate) fn new(
        principal: &EntityUid,
        action: &EntityUid,
        resource: &EntityUid,
        context: &Context,
        entities: &'e Entities,
    ) -> Self {
        let known = |uid: &EntityUid| EntityUIDEntry::known(uid.as_ref().clone(), None);
        let context = context.as_ref().clone();
        let request = Request::new_unchecked(known(principal), known(action), known(resource), Some(context));
        Self { evaluator: Evaluator::new(request, entities.as_ref(), Extensions::all_available()) }
    }

    /// What the policies of these cells say: an error before a refusal, a refusal before a permit.
    pub(crate) fn opinion<'c>(&self, cells: impl IntoIterator<Item = &'c Cell>) -> Opinion {
        let (mut permits, mut forbids, mut errors, mut reaction) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (card, policy) in cells.into_iter().flat_map(|cell| &cell.policies) {
            match policy.holds(&self.evaluator) {
                None => errors.push(Arc::clone(&card.id)),
                Some(false) => {}
                Some(true) if policy.forbids => {
                    reaction = reaction.max(card.on_deny);
                    forbids.push(Arc::clone(&card.id));
                }
                Some(true) => permits.push(Arc::clone(&card.id)),
            }
        }
        match (errors.is_empty(), forbids.is_empty(), permits.is_empty()) {
            (false, _, _) => Opinion::Error(errors),
            (_, false, _) => Opinion::Forbid(forbids, reaction),
            (_, _, false) => Opinion::Permit(permits),
            // Cedar's deny without a reason is only the absence of a permit.
            _ => Opinion::Silent,
        }
    }
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
