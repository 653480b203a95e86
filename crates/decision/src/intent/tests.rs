//! Whole stories: inputs, results, calls.

#![allow(clippy::needless_pass_by_value, reason = "a story reads better with its values in place")]

mod dates;
mod fuzz;
mod labels;
mod limits;
mod measure;
mod rows;
mod said;
mod sources;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::document;
use crate::json::Json;
use crate::profile::Profile;
use crate::task::Input;
use crate::value::{Kind as ValueKind, Value as InputValue};

/// 2024-05-15, a Wednesday.
pub(super) const WALL_MS: i64 = 1_715_731_200_000;

/// A profile, a task of it, and what that remembers.
pub(super) struct World {
    pub(super) profile: Profile,
    pub(super) given: Given,
    pub(super) memory: Memory,
    pub(super) key: MemoryKey,
}

pub(super) fn spec(kind: &str, by: &str) -> Value {
    json!({"spec": {"type": kind, "by": by}})
}

/// What the actions of these stories return.
pub(super) fn returns(action: &str) -> Option<Value> {
    Some(match action {
        "search_emails" => json!({"list": {"map": {
            "id_": spec("id", "org"), "sender": spec("email", "outside"), "recipients": {"list": spec("email", "outside")},
            "subject": spec("text", "outside"), "sent": spec("datetime", "org"),
            "body": {"spec": {"type": "text", "by": "outside", "labels": ["pii"]}}, "*": spec("any", "outside")}}}),
        "search_contacts" => json!({"list": {"map": {
            "name": spec("text", "user"), "email": spec("email", "user"), "phone": spec("phone", "user")}}}),
        "calendar" => json!({"list": {"map": {
            "id_": spec("id", "org"), "title": spec("text", "outside"), "start_time": spec("datetime", "outside"),
            "end_time": spec("datetime", "outside"), "participants": spec("email", "outside")}}}),
        "bills" => json!({"list": {"map": {
            "name": spec("text", "org"), "amount": spec("money", "org"), "due": spec("date", "org"), "iban": spec("iban", "outside")}}}),
        "prices" => json!({"map": {"$key": spec("text", "org"), "*": spec("money", "org")}}),
        "today" => spec("date", "org"),
        "page" => return None,
        _ => json!({"map": {}}),
    })
}

pub(super) fn result(action: &str, field: &str, rows: Value) -> Value {
    json!({"result": {"action": action, "field": field, "rows": rows}})
}

/// A profile with these members beside its name, for one action `act`.
pub(super) fn read(extra: &Value) -> Result<Profile, String> {
    let mut base = json!({
        "name": "p", "digest": "sha256:p", "labels": ["user", "org", "outside", "pii"],
        "inputs": {"limit": "decimal", "note": "string", "request": "text"},
        "rules": [{"id": "p/allow/1", "action": "act"}],
    });
    for (name, value) in extra.as_object().unwrap() {
        base[name] = value.clone();
    }
    let document: document::Profile = serde_json::from_value(base).unwrap();
    let templates: Vec<(String, Option<document::Template>)> =
        ["act", "search_emails", "search_contacts", "calendar", "bills", "prices", "today", "page"]
            .map(|action| (action.to_owned(), returns(action).map(|json| serde_json::from_value(json).unwrap())))
            .to_vec();
    let returns =
        |action: &str| templates.iter().find(|(name, _)| name == action).map(|(_, template)| template.as_ref());
    let kinds = |_: &str, arg: &str| match arg {
        "unheard" => None,
        "name" => Some(ValueKind::Text),
        _ => Some(ValueKind::Any),
    };
    Profile::read(&document, &kinds, &returns)
}

impl World {
    /// A task whose request somebody vouched for.
    pub(super) fn new(extra: &Value, request: &str) -> Self {
        Self::vouched(extra, request, "desk")
    }

    pub(super) fn vouched(extra: &Value, request: &str, by: &str) -> Self {
        let profile = read(extra).unwrap_or_else(|what| panic!("{what}"));
        let key = MemoryKey::new(&[7; 32]);
        let input = |text: &str| {
            let value = InputValue::Text(text.to_owned().into());
            Some(Input { value, vouched_by: Arc::from(by) })
        };
        let limit = Some(Input { value: InputValue::Decimal(1_000_000), vouched_by: Arc::from(by) });
        let given = Given::new(&profile.program, &[limit, input("a note"), input(request)], &key);
        Self { profile, given, memory: Memory::default(), key }
    }

    /// One origin of the argument `to`.
    pub(super) fn origin(origin: Value, sources: Value, request: &str) -> Self {
        let mut origin = origin;
        if origin.get("arg").is_none() {
            origin["arg"] = json!("to");
        }
        if origin.get("sources").is_none() {
            origin["sources"] = (0..sources.as_array().unwrap().len()).collect();
        }
        let rules = json!([{"id": "p/allow/1", "action": "act", "origins": [origin]}]);
        Self::new(&json!({"sources": sources, "rules": rules}), request)
    }

    pub(super) fn extract(&self, action: &str, result: &str) -> Kept {
        self.extract_of(action, "{}", result)
    }

    /// The same of a call with those arguments.
    pub(super) fn extract_of(&self, action: &str, args: &str, result: &str) -> Kept {
        let cited = self.profile.program.cited(action, &Json::parse(args.as_bytes()).unwrap());
        let call = cited.as_deref().map(|cited| Json::parse(cited).unwrap());
        let report = Report {
            program: &self.profile.program,
            given: &self.given,
            memory: Some(&self.memory),
            key: &self.key,
            call: call.as_ref(),
            wall_ms: WALL_MS,
        };
        let number = self.memory.results(&self.profile.program, action) + 1;
        extract(&report, action, number, &Json::parse(result.as_bytes()).unwrap())
    }

    /// Report a result; it passes through its sealed form.
    pub(super) fn report(&mut self, action: &str, result: &Value) -> bool {
        let kept = self.extract(action, &result.to_string());
        let again = Kept::from_bytes(&self.profile.program, &kept.to_bytes()).unwrap();
        assert_eq!(kept, again);
        self.memory.keep(&self.profile.program, &again)
    }

    pub(super) fn judge_text(&self, args: &str) -> Result<Vec<(String, u64)>, Breach> {
        let json = Json::parse(args.as_bytes()).unwrap();
        let rule = &self.profile.actions["act"][0];
        let ask = Ask {
            program: &self.profile.program,
            rule,
            given: &self.given,
            memory: Some(&self.memory),
            key: &self.key,
            args: &json,
            wall_ms: WALL_MS,
        };
        judge(&ask).map(|origins| origins.into_iter().map(|(name, set)| (name.to_owned(), set.bits())).collect())
    }

    pub(super) fn judge(&self, args: &Value) -> Result<Vec<(String, u64)>, Breach> {
        self.judge_text(&args.to_string())
    }

    /// Whether the argument `to` may have this value.
    pub(super) fn to(&self, value: impl Into<Value>) -> bool {
        self.judge(&json!({"to": value.into()})).is_ok()
    }

    pub(super) fn breach(&self, args: &Value) -> Breach {
        self.judge(args).unwrap_err()
    }
}
