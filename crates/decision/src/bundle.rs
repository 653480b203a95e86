//! A compiled bundle, validated whole and ready to decide with.

use std::str::FromStr;
use std::sync::Arc;

use ahash::AHashMap;
use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    Entities, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Schema, SchemaFragment, ValidationMode,
    Validator,
};
use flyball_httpcall::Routes;
use serde_json::Value;

use crate::diagnostic::{Findings, LoadError, LoadReport, Source};
use crate::document::{self, Document};
use crate::engine::Engine;
use crate::needs::Needs;
use crate::pep::{Pep, PepTable};
use crate::profile::Profile;
use crate::scope::{Card, Index};
use crate::value::Kind;
use crate::verdict::Reaction;

/// An agent, as policies see it.
pub(crate) struct Agent {
    pub(crate) uid: EntityUid,
    pub(crate) owner: String,
    /// The scopes of principals that it falls under.
    pub(crate) scopes: Vec<u32>,
}

/// A declared action.
pub(crate) struct Action {
    pub(crate) uid: EntityUid,
    /// Whether it has effects.
    pub(crate) write: bool,
    pub(crate) resource_type: String,
    pub(crate) entity_type: EntityTypeName,
    pub(crate) class: Arc<str>,
    pub(crate) buffered: bool,
    /// In order of their names.
    pub(crate) args: Vec<(String, Kind)>,
    pub(crate) taskless: bool,
    /// The scopes of actions that it falls under.
    pub(crate) scopes: Vec<u32>,
}

/// One bundle.
pub(crate) struct Bundle {
    pub(crate) digest: Arc<str>,
    pub(crate) schema: Schema,
    /// Names of the attributes of each entity type.
    pub(crate) attributes: AHashMap<String, Vec<String>>,
    pub(crate) entities: Entities,
    pub(crate) agents: AHashMap<String, Agent>,
    pub(crate) subject_types: AHashMap<String, EntityTypeName>,
    pub(crate) actions: AHashMap<String, Action>,
    pub(crate) peps: Arc<PepTable>,
    /// Which HTTP requests are which action.
    pub(crate) routes: Arc<Routes>,
    pub(crate) index: Index,
    /// By digest: a bundle may carry a profile's older versions for tasks that pinned them.
    pub(crate) profiles: AHashMap<Arc<str>, Arc<Profile>>,
    /// Whether anything in it goes by what a task has touched.
    pub(crate) labels_matter: bool,
    /// Other engines than Cedar; all are asked, and a refusal of any counts.
    pub(crate) engines: Vec<Box<dyn Engine>>,
}

/// A Cedar entity of that type.
pub(crate) fn entity(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

impl Bundle {
    /// Read, validate and index. Nothing of a bundle with an error is used.
    pub(crate) fn load(compiled: &[u8]) -> Result<(Self, LoadReport), LoadError> {
        let document: Document = serde_json::from_slice(compiled).map_err(|error| LoadError {
            code: "bundle_malformed",
            detail: format!("this is no compiled bundle: {error}"),
            diagnostics: Vec::new(),
        })?;
        let mut findings = Findings::default();
        let bundle = Loader { document: &document, findings: &mut findings }.load();
        let warnings = findings.settle()?;
        let bundle = bundle.ok_or(LoadError {
            code: "bundle_invalid",
            detail: "the bundle could not be read".to_owned(),
            diagnostics: Vec::new(),
        })?;
        let report = LoadReport {
            digest: document.digest.clone(),
            policies: document.policies.len(),
            profiles: document.profiles.len(),
            warnings,
        };
        Ok((bundle, report))
    }
}

/// Names of the attributes of each entity type of a schema. A shape that is a common type is looked
/// up in its own namespace.
fn attributes(schema: &str) -> Option<AHashMap<String, Vec<String>>> {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(schema).ok()?;
    let json = fragment.to_json_value().ok()?;
    let mut out = AHashMap::new();
    for (namespace, inner) in json.as_object()? {
        let Some(types) = inner.get("entityTypes").and_then(Value::as_object) else { continue };
        for (name, kind) in types {
            let shape = kind.get("shape");
            let named = |shape: &Value| shape.get("name").or_else(|| shape.get("type"))?.as_str().map(str::to_owned);
            let common = shape.and_then(named).and_then(|name| inner.get("commonTypes")?.get(name));
            let members = shape.and_then(|shape| shape.get("attributes")).or_else(|| common?.get("attributes"));
            let attrs = members.and_then(Value::as_object).into_iter().flat_map(|members| members.keys().cloned());
            let name = if namespace.is_empty() { name.clone() } else { format!("{namespace}::{name}") };
            out.insert(name, attrs.collect());
        }
    }
    Some(out)
}

struct Loader<'a> {
    document: &'a Document,
    findings: &'a mut Findings,
}

impl Loader<'_> {
    fn load(&mut self) -> Option<Bundle> {
        let document = self.document;
        let schema = self.schema()?;
        let entities = match Entities::from_json_str(document.entities.get(), Some(&schema)) {
            Ok(entities) => entities,
            Err(error) => {
                let source = Source { policy: "", file: "entities", line: 1, text: "" };
                self.findings.errors.push(source.finding("error", &DetailedError::from(&error)));
                return None;
            }
        };
        let validator = Validator::new(schema.clone());
        let hand_written = self.policies(&document.policies, &validator);
        let mut index = Index::default();
        for (policy, card) in hand_written {
            if let Err(error) = index.add(&policy, card) {
                self.findings.wrong(error.to_string());
            }
        }
        let actions = self.actions(&index, &entities)?;
        let subject_types = self.types(&document.subject_types)?;
        let agents = self.agents(&index, &entities)?;
        let peps = self.peps();
        let routes = self.routes();
        let mut profiles = AHashMap::new();
        for profile in &document.profiles {
            if let Some(profile) = self.profile(profile, &actions, &validator) {
                profiles.insert(Arc::clone(&profile.digest), Arc::new(profile));
            }
        }
        let labels_matter =
            index.needs().has(Needs::LABELS) || profiles.values().any(|profile: &Arc<Profile>| profile.labels_matter());
        Some(Bundle {
            labels_matter,
            digest: Arc::from(document.digest.as_str()),
            schema,
            attributes: attributes(&document.schema).unwrap_or_default(),
            entities,
            agents,
            subject_types,
            actions,
            peps: Arc::new(PepTable::new(peps)),
            routes: Arc::new(routes),
            index,
            profiles,
            engines: Vec::new(),
        })
    }

    fn schema(&mut self) -> Option<Schema> {
        let text = self.document.schema.as_str();
        let source = Source { policy: "", file: "schema", line: 1, text };
        match Schema::from_cedarschema_str(text) {
            Ok((schema, warnings)) => {
                for warning in warnings {
                    self.findings.warnings.push(source.finding("warning", &DetailedError::from(&warning)));
                }
                Some(schema)
            }
            Err(error) => {
                self.findings.errors.push(source.finding("error", &DetailedError::from(&error)));
                None
            }
        }
    }

    /// Parse and validate policies; each bad one is a finding.
    fn policies(&mut self, from: &[document::Policy], validator: &Validator) -> Vec<(Policy, Card)> {
        let mut out = Vec::with_capacity(from.len());
        let mut all = PolicySet::new();
        let mut sources: AHashMap<&str, Source<'_>> = AHashMap::new();
        for policy in from {
            let source = Source { policy: &policy.id, file: &policy.file, line: policy.line, text: &policy.text };
            let on_deny = policy.annotations.get("on_deny").map(|word| Reaction::parse(word));
            if on_deny == Some(None) {
                self.findings.wrong(format!("policy {}: @on_deny names no reaction", policy.id));
            }
            match Policy::parse(Some(PolicyId::new(&policy.id)), &policy.text) {
                Ok(parsed) => {
                    if let Err(error) = all.add(parsed.clone()) {
                        self.findings.wrong(error.to_string());
                    }
                    sources.insert(&policy.id, source);
                    out.push((parsed, Card { id: Arc::from(policy.id.as_str()), on_deny: on_deny.flatten() }));
                }
                Err(errors) => {
                    for error in errors.iter() {
                        self.findings.errors.push(source.finding("error", &DetailedError::from(error)));
                    }
                }
            }
        }
        let result = validator.validate(&all, ValidationMode::Strict);
        for error in result.validation_errors() {
            if let Some(source) = sources.get(error.policy_id().as_ref() as &str) {
                self.findings.errors.push(source.finding("error", &DetailedError::from(error)));
            } else {
                self.findings.wrong(error.to_string());
            }
        }
        for warning in result.validation_warnings() {
            if let Some(source) = sources.get(warning.policy_id().as_ref() as &str) {
                self.findings.warnings.push(source.finding("warning", &DetailedError::from(warning)));
            }
        }
        out
    }

    fn types(&mut self, from: &std::collections::BTreeMap<String, String>) -> Option<AHashMap<String, EntityTypeName>> {
        let mut out = AHashMap::new();
        for (name, kind) in from {
            let Ok(kind) = EntityTypeName::from_str(kind) else {
                self.findings.wrong(format!("`{kind}` cannot name an entity type"));
                return None;
            };
            out.insert(name.clone(), kind);
        }
        Some(out)
    }

    fn actions(&mut self, index: &Index, entities: &Entities) -> Option<AHashMap<String, Action>> {
        let types = self.types(&self.document.resource_types)?;
        let kind = EntityTypeName::from_str("Flyball::Action").ok()?;
        let mut out = AHashMap::new();
        for (name, action) in &self.document.actions {
            let uid = entity(&kind, name);
            let class = self.document.classes.get(&action.class);
            let args = action.args.iter().map(|(arg, kind)| Some((arg.clone(), Kind::parse(kind)?))).collect();
            let (Some(class), Some(args), Some(entity_type)) = (class, args, types.get(&action.resource_type)) else {
                self.findings
                    .wrong(format!("action `{name}`: its class, resource type or an argument's type is unknown"));
                continue;
            };
            if class.mode != "enforce" {
                self.findings
                    .wrong(format!("access class `{}`: this version knows the mode `enforce` only", action.class));
            }
            let write = match action.effect.as_str() {
                "write" => true,
                "read" => false,
                other => {
                    self.findings.wrong(format!("action `{name}`: `{other}` is neither `read` nor `write`"));
                    true
                }
            };
            let buffered = match class.record.as_str() {
                "buffered" => true,
                "durable" => false,
                other => {
                    self.findings.wrong(format!(
                        "access class `{}`: `{other}` is neither `durable` nor `buffered`",
                        action.class
                    ));
                    false
                }
            };
            out.insert(
                name.clone(),
                Action {
                    scopes: index.actions(&uid, entities),
                    uid,
                    write,
                    resource_type: action.resource_type.clone(),
                    entity_type: entity_type.clone(),
                    class: Arc::from(action.class.as_str()),
                    buffered,
                    args,
                    taskless: action.taskless,
                },
            );
        }
        Some(out)
    }

    fn agents(&mut self, index: &Index, entities: &Entities) -> Option<AHashMap<String, Agent>> {
        let mut out = AHashMap::new();
        for (name, agent) in &self.document.agents {
            let Ok(uid) = EntityUid::from_str(&agent.entity) else {
                self.findings.wrong(format!("agent `{name}`: `{}` names no entity", agent.entity));
                return None;
            };
            let scopes = index.principals(&uid, entities);
            // Built again without the text it was read from, so that copies are cheap.
            let uid = entity(uid.type_name(), uid.id().unescaped());
            out.insert(name.clone(), Agent { uid, owner: agent.owner.clone(), scopes });
        }
        Some(out)
    }

    fn routes(&mut self) -> Routes {
        let mut out = Routes::default();
        for (name, action) in &self.document.actions {
            for (number, route) in action.http.iter().enumerate() {
                if let Err(refused) = out.add(name, &action.resource_type, &action.args, route) {
                    let message = format!("`http` of action `{name}`: {refused}");
                    self.findings.wrong_at(format!("http:{name}/{number}"), message);
                }
            }
        }
        out
    }

    fn peps(&mut self) -> Vec<Pep> {
        let mut out: Vec<Pep> = Vec::new();
        for pep in &self.document.peps {
            match Pep::read(pep.clone()) {
                Ok(pep) if out.iter().any(|other| other.name == pep.name || other.identity == pep.identity) => {
                    self.findings.wrong(format!("enforcement point `{}`: its name or identity is another's", pep.name));
                }
                Ok(pep) => out.push(pep),
                Err(what) => self.findings.wrong(what),
            }
        }
        out
    }

    fn profile(
        &mut self,
        from: &document::Profile,
        actions: &AHashMap<String, Action>,
        validator: &Validator,
    ) -> Option<Profile> {
        let kinds = |action: &str, arg: &str| {
            let args = &actions.get(action)?.args;
            args.iter().find(|(name, _)| name == arg).map(|(_, kind)| *kind)
        };
        let returns = |action: &str| self.document.actions.get(action).map(|action| action.returns.as_ref());
        let mut profile = match Profile::read(from, &kinds, &returns) {
            Ok(profile) => profile,
            Err(what) => {
                self.findings.wrong(format!("profile `{}`: {what}", from.name));
                return None;
            }
        };
        for (policy, card) in self.policies(&from.policies, validator) {
            // A permit named after a rule is that rule's; any other counts for all of them.
            let own = from.rules.iter().any(|rule| rule.id == card.id.as_ref());
            for rule in profile.actions.values_mut().flatten() {
                if own && rule.id != card.id {
                    continue;
                }
                if let Err(error) = rule.cell.add(&policy, card.clone()) {
                    self.findings.wrong(error.to_string());
                }
            }
        }
        Some(profile)
    }
}
