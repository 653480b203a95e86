//! Hand-written policies, found by their scope, so that cost does not grow with their number.
//!
//! A policy's scope (principal, action, resource) becomes three small numbers, and the policies of
//! one such triple share a cell. A request looks up the few triples that can match it;
//! every policy whose scope matches is in one of them, so what is left out could not have counted.

use ahash::AHashMap;
use cedar_policy::{
    ActionConstraint, Entities, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};

use crate::cedar::Ready;
use crate::needs::Needs;
use crate::verdict::Reaction;
use std::sync::Arc;

/// What of a policy is kept beside Cedar's own form.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    /// Its id, as verdicts and records show it.
    pub(crate) id: Arc<str>,
    /// What its refusal sets off.
    pub(crate) on_deny: Option<Reaction>,
}

/// Policies that are always evaluated together.
#[derive(Default)]
pub(crate) struct Cell {
    pub(crate) policies: Vec<(Card, Ready)>,
    pub(crate) needs: Needs,
}

/// Two policies of one name: a refusal could not be told apart.
#[derive(Debug, thiserror::Error)]
#[error("duplicate policy id `{0}`")]
pub(crate) struct Twice(Arc<str>);

impl Cell {
    /// Add one policy.
    pub(crate) fn add(&mut self, policy: &Policy, card: Card) -> Result<(), Twice> {
        if self.policies.iter().any(|(known, _)| known.id == card.id) {
            return Err(Twice(card.id));
        }
        self.needs = self.needs.and(Needs::of(policy));
        self.policies.push((card, Ready::new(policy)));
        Ok(())
    }
}

/// Principals or resources: scopes by what they name.
#[derive(Default)]
struct Side {
    any: Option<u32>,
    equal: AHashMap<EntityUid, u32>,
    within: AHashMap<EntityUid, u32>,
    typed: AHashMap<EntityTypeName, u32>,
    typed_within: AHashMap<EntityTypeName, AHashMap<EntityUid, u32>>,
}

/// One side of a scope, principal or resource.
enum Part {
    Any,
    Equal(EntityUid),
    Within(EntityUid),
    Typed(EntityTypeName),
    TypedWithin(EntityTypeName, EntityUid),
}

impl Side {
    fn number(&mut self, part: Part, next: &mut u32) -> u32 {
        let new = || {
            *next += 1;
            *next
        };
        match part {
            Part::Any => *self.any.get_or_insert_with(new),
            Part::Equal(uid) => *self.equal.entry(uid).or_insert_with(new),
            Part::Within(uid) => *self.within.entry(uid).or_insert_with(new),
            Part::Typed(kind) => *self.typed.entry(kind).or_insert_with(new),
            Part::TypedWithin(kind, uid) => *self.typed_within.entry(kind).or_default().entry(uid).or_insert_with(new),
        }
    }

    /// The scopes that an entity falls under.
    fn find(&self, uid: &EntityUid, entities: &Entities, out: &mut Vec<u32>) {
        out.extend(self.any);
        out.extend(self.equal.get(uid));
        out.extend(self.typed.get(uid.type_name()));
        let typed_within = self.typed_within.get(uid.type_name());
        if self.within.is_empty() && typed_within.is_none() {
            return;
        }
        let mut ancestor = |uid: &EntityUid| {
            out.extend(self.within.get(uid));
            out.extend(typed_within.and_then(|groups| groups.get(uid)));
        };
        // `in` is reflexive.
        ancestor(uid);
        for group in entities.ancestors(uid).into_iter().flatten() {
            ancestor(group);
        }
    }
}

/// Actions: a scope may name several.
#[derive(Default)]
struct Actions {
    any: Option<u32>,
    equal: AHashMap<EntityUid, u32>,
    /// `in [A, B]`, by its sorted members.
    lists: AHashMap<Vec<EntityUid>, u32>,
    /// Which lists an action or action group stands in.
    listed: AHashMap<EntityUid, Vec<u32>>,
}

impl Actions {
    fn number(&mut self, constraint: ActionConstraint, next: &mut u32) -> u32 {
        let mut new = || {
            *next += 1;
            *next
        };
        match constraint {
            ActionConstraint::Any => *self.any.get_or_insert_with(new),
            ActionConstraint::Eq(uid) => *self.equal.entry(uid).or_insert_with(new),
            ActionConstraint::In(mut uids) => {
                uids.sort_by_cached_key(ToString::to_string);
                uids.dedup();
                if let Some(number) = self.lists.get(&uids) {
                    return *number;
                }
                let number = new();
                for uid in &uids {
                    self.listed.entry(uid.clone()).or_default().push(number);
                }
                self.lists.insert(uids, number);
                number
            }
        }
    }

    fn find(&self, uid: &EntityUid, entities: &Entities) -> Vec<u32> {
        let mut out: Vec<u32> = Vec::new();
        out.extend(self.any);
        out.extend(self.equal.get(uid));
        out.extend(self.listed.get(uid).into_iter().flatten());
        for group in entities.ancestors(uid).into_iter().flatten() {
            out.extend(self.listed.get(group).into_iter().flatten());
        }
        out.sort_unstable();
        out.dedup();
        out
    }
}

/// Policies by scope.
#[derive(Default)]
pub(crate) struct Index {
    next: u32,
    principals: Side,
    actions: Actions,
    resources: Side,
    cells: AHashMap<(u32, u32), AHashMap<u32, Cell>>,
}

impl Index {
    /// Add one policy under its scope.
    pub(crate) fn add(&mut self, policy: &Policy, card: Card) -> Result<(), Twice> {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Part::Any,
            PrincipalConstraint::Eq(uid) => Part::Equal(uid),
            PrincipalConstraint::In(uid) => Part::Within(uid),
            PrincipalConstraint::Is(kind) => Part::Typed(kind),
            PrincipalConstraint::IsIn(kind, uid) => Part::TypedWithin(kind, uid),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Part::Any,
            ResourceConstraint::Eq(uid) => Part::Equal(uid),
            ResourceConstraint::In(uid) => Part::Within(uid),
            ResourceConstraint::Is(kind) => Part::Typed(kind),
            ResourceConstraint::IsIn(kind, uid) => Part::TypedWithin(kind, uid),
        };
        let principal = self.principals.number(principal, &mut self.next);
        let action = self.actions.number(policy.action_constraint(), &mut self.next);
        let resource = self.resources.number(resource, &mut self.next);
        self.cells.entry((principal, action)).or_default().entry(resource).or_default().add(policy, card)
    }

    /// What all policies together look at.
    pub(crate) fn needs(&self) -> Needs {
        self.cells.values().flat_map(|cells| cells.values()).fold(Needs::default(), |needs, cell| needs.and(cell.needs))
    }

    /// The scopes of principals that `uid` falls under.
    pub(crate) fn principals(&self, uid: &EntityUid, entities: &Entities) -> Vec<u32> {
        let mut out = Vec::new();
        self.principals.find(uid, entities, &mut out);
        out
    }

    /// The scopes of actions that `uid` falls under.
    pub(crate) fn actions(&self, uid: &EntityUid, entities: &Entities) -> Vec<u32> {
        self.actions.find(uid, entities)
    }

    /// Every cell whose policies can match.
    pub(crate) fn candidates<'a>(
        &'a self,
        principals: &[u32],
        actions: &[u32],
        resource: &EntityUid,
        entities: &Entities,
        out: &mut Vec<&'a Cell>,
    ) {
        let mut resources: Option<Vec<u32>> = None;
        for principal in principals {
            for action in actions {
                let Some(by_resource) = self.cells.get(&(*principal, *action)) else { continue };
                let resources = resources.get_or_insert_with(|| {
                    let mut found = Vec::with_capacity(4);
                    self.resources.find(resource, entities, &mut found);
                    found
                });
                out.extend(resources.iter().filter_map(|number| by_resource.get(number)));
            }
        }
    }
}
