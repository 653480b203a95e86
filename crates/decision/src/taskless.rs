//! Decisions without a task, for enforcement points that may assert subjects.
//!
//! What a caller says of subject, resource or action counts only where the bundle trusts the
//! enforcement point for it. Here hand-written permits permit: there is no profile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cedar_policy::{Entities, Entity, EntityUid, Schema};

use crate::bundle::{Action, Bundle, entity};
use crate::call::{Now, TasklessCall};
use crate::cedar;
use crate::decide::typed;
use crate::engine::Opinion;
use crate::ids;
use crate::json::Json;
use crate::pep::Pep;
use crate::plane::{Plane, count};
use crate::record::{Decided, More, sha256};
use crate::release::Checked;
use crate::sink::RecordDraft;
use crate::together::Room;
use crate::verdict::{Effect, Reason, Verdict};

type Members<'a> = Vec<(std::borrow::Cow<'a, str>, Json<'a>)>;

/// An object's members; none where nothing was given.
fn members(bytes: &[u8]) -> Result<Members<'_>, Reason> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    match Json::parse(bytes) {
        Ok(Json::Object(members)) => Ok(members),
        _ => Err(Reason::Malformed),
    }
}

/// The call, canonically: what its digest is taken of.
fn digest(call: &TasklessCall<'_>) -> Result<String, Reason> {
    let text = |text: &'_ str| Json::Text(std::borrow::Cow::Owned(text.to_owned()));
    let party = |kind: &str, id: &str, properties| {
        Json::Object(vec![("id".into(), text(id)), ("properties".into(), properties), ("type".into(), text(kind))])
    };
    let action = Json::Object(vec![
        ("name".into(), text(call.action)),
        ("properties".into(), Json::Object(members(call.action_properties)?)),
    ]);
    let all = Json::Object(vec![
        ("action".into(), action),
        ("context".into(), Json::Object(members(call.context)?)),
        (
            "resource".into(),
            party(call.resource_type, call.resource_id, Json::Object(members(call.resource_properties)?)),
        ),
        ("subject".into(), party(call.subject_type, call.subject_id, Json::Object(members(call.subject_properties)?))),
    ]);
    let mut canonical = Vec::with_capacity(512);
    all.write(&mut canonical);
    Ok(sha256(&canonical))
}

impl Plane {
    /// Decide without a task. Never releases a lease: nothing here is bound to one.
    pub fn evaluate(&self, call: &TasklessCall<'_>, now: Now) -> Checked {
        let Some(bundle) = self.bundle() else { return self.gap(Reason::BundleNotLoaded) };
        // An unregistered caller writes nothing into our store.
        let Some(pep) = bundle.peps.by_name(call.pep) else { return self.gap(Reason::PepNotRegistered) };
        let digest = match digest(call) {
            Ok(digest) => digest,
            Err(reason) => return self.gap(reason),
        };
        let action = bundle.actions.get(call.action);
        let (effect, reason, policies) = match decide(&bundle, pep, call) {
            Ok(policies) => (Effect::Allow, Reason::Allowed, policies),
            Err((reason, policies)) => (Effect::Deny, reason, policies),
        };
        count(&self.answers, reason);
        let k = self.taskless.fetch_add(1, Ordering::Relaxed) + 1;
        let decision = ids::decision(&self.cfg.cell, None, self.cfg.epoch, k);
        let body = Decided {
            at: now.wall_ms,
            task: "",
            decision: &decision,
            agent: "",
            principal: "",
            subject: Some((call.subject_type, call.subject_id)),
            pep: call.pep,
            binding: call.binding,
            action: call.action,
            resource: (call.resource_type, call.resource_id),
            call: &digest,
            bundle: &bundle.digest,
            effect,
            reasons: &[reason],
            policies: &policies,
            rule: "",
            charged: &mut [],
            across: &[],
            reaction: None,
            class: action.map_or("", |action| &action.class),
            more: More::default(),
        }
        .body();
        let record =
            RecordDraft { task: None, kind: "decided", at_ms: now.wall_ms, body, sealed: None, counters: Vec::new() };
        let verdict =
            Verdict { effect, reasons: vec![reason], decision, digest, policies, reaction: None, approval: None };
        let buffered = action.is_some_and(|action| action.buffered);
        Checked { record: Some(record), buffered, verdict, held: None, room: Room::default() }
    }
}

/// Policies that permit; or why not, and the policies that refuse.
type Outcome = Result<Vec<Arc<str>>, (Reason, Vec<Arc<str>>)>;

fn decide(bundle: &Bundle, pep: &Pep, call: &TasklessCall<'_>) -> Outcome {
    let no = |reason| (reason, Vec::new());
    if !pep.may_ask(call.action) || !pep.may_assert_subject.iter().any(|kind| kind == call.resource_type) {
        return Err(no(Reason::PepActionNotRegistered));
    }
    let action = bundle.actions.get(call.action).filter(|action| action.taskless).ok_or(no(Reason::ActionUnknown))?;
    let subject = bundle.subject_types.get(call.subject_type).ok_or(no(Reason::ResourceTypeUnknown))?;
    if action.resource_type != call.resource_type {
        return Err(no(Reason::ResourceTypeUnknown));
    }
    let principal = entity(subject, call.subject_id);
    let resource = entity(&action.entity_type, call.resource_id);
    let mut entities = std::borrow::Cow::Borrowed(&bundle.entities);
    for (trusted, uid, said) in [
        (pep.trust.subject, &principal, call.subject_properties),
        (pep.trust.resource, &resource, call.resource_properties),
    ] {
        let said = members(said).map_err(no)?;
        if trusted && !said.is_empty() {
            let shape = bundle.attributes.get(&uid.type_name().to_string()).map_or(&[][..], Vec::as_slice);
            let with = asserted(entities.into_owned(), &bundle.schema, shape, uid, &said);
            let with = with.ok_or(no(Reason::ArgumentType))?;
            entities = std::borrow::Cow::Owned(with);
        }
    }
    let context = context(action, pep, call).map_err(no)?;
    let mut cells = Vec::new();
    let scopes = bundle.index.principals(&principal, &entities);
    bundle.index.candidates(&scopes, &action.scopes, &resource, &entities, &mut cells);
    match cedar::Asked::new(&principal, &action.uid, &resource, &context, &entities).opinion(cells) {
        Opinion::Permit(policies) => Ok(policies),
        Opinion::Silent => Err(no(Reason::PolicyNoPermit)),
        Opinion::Forbid(policies, _) => Err((Reason::PolicyForbids, policies)),
        Opinion::Error(policies) => Err((Reason::PolicyError, policies)),
    }
}

/// The bundle's entities with what a trusted caller says of one of them over it.
fn asserted(
    entities: Entities,
    schema: &Schema,
    shape: &[String],
    uid: &EntityUid,
    said: &Members<'_>,
) -> Option<Entities> {
    let stored = entities.get(uid);
    let mut attrs = serde_json::Map::new();
    let mut parents = serde_json::Value::Array(Vec::new());
    if let Some(stored) = stored {
        let json = stored.to_json_value().ok()?;
        if let Some(serde_json::Value::Object(known)) = json.get("attrs") {
            attrs.clone_from(known);
        }
        if let Some(known) = json.get("parents") {
            parents.clone_from(known);
        }
    }
    for (name, value) in said {
        // What the schema does not know of this type cannot be asked about by a policy: left out.
        if !shape.iter().any(|known| known == name.as_ref()) {
            continue;
        }
        let mut text = Vec::new();
        value.write(&mut text);
        attrs.insert(name.to_string(), serde_json::from_slice(&text).ok()?);
    }
    let json = serde_json::json!({"uid": uid.to_json_value().ok()?, "attrs": attrs, "parents": parents});
    let entity = Entity::from_json_str(json.to_string(), Some(schema)).ok()?;
    entities.upsert_entities([entity], Some(schema)).ok()
}

/// The context: typed arguments, where the caller is trusted for them, and who asks.
fn context(action: &Action, pep: &Pep, call: &TasklessCall<'_>) -> Result<cedar_policy::Context, Reason> {
    let said = members(call.action_properties)?;
    // AuthZEN wants unknown members ignored; only declared ones are typed and shown.
    let known: Members<'_> =
        said.into_iter().filter(|(name, _)| action.args.iter().any(|(arg, _)| arg == name)).collect();
    let args = if pep.trust.action { typed(action, &known)? } else { Vec::new() };
    let args = cedar::record(args.iter().map(|(name, value)| (*name, value))).ok_or(Reason::EngineError)?;
    Ok(cedar::context([("args", args), ("pep", cedar::text_value(&pep.name))]))
}
