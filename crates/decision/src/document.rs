//! The compiled bundle as it arrives: JSON that `flyball.policy.compile` makes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

mod intent;

pub(crate) use intent::{
    Aggregate, Asked, Distinct, Field, Free, Never, Origin, Plus, Reactions, Reported, ResultSource, RowTest, Source,
    Template, Today,
};

/// A compiled bundle.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) digest: String,
    pub(crate) schema: String,
    pub(crate) entities: Box<RawValue>,
    pub(crate) agents: BTreeMap<String, Agent>,
    pub(crate) resource_types: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) subject_types: BTreeMap<String, String>,
    pub(crate) actions: BTreeMap<String, Action>,
    pub(crate) classes: BTreeMap<String, Class>,
    pub(crate) peps: Vec<Pep>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) profiles: Vec<Profile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    pub(crate) entity: String,
    pub(crate) owner: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    pub(crate) effect: String,
    pub(crate) resource_type: String,
    #[serde(default = "default_class")]
    pub(crate) class: String,
    #[serde(default)]
    pub(crate) args: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) taskless: bool,
    /// What it returns, and who can write that. Absent: anything, by the outside.
    #[serde(default)]
    pub(crate) returns: Option<Template>,
    /// HTTP requests that are this action.
    #[serde(default)]
    pub(crate) http: Vec<flyball_httpcall::RouteDocument>,
}

fn default_class() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Class {
    pub(crate) mode: String,
    pub(crate) record: String,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pep {
    pub(crate) name: String,
    pub(crate) identity: BTreeMap<String, Value>,
    pub(crate) actions: Vec<String>,
    #[serde(default)]
    pub(crate) may_report: bool,
    #[serde(default)]
    pub(crate) may_assert_subject: Vec<String>,
    #[serde(default)]
    pub(crate) trust_properties: Vec<String>,
    #[serde(default)]
    pub(crate) max_stream_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) id: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) policies: Vec<Policy>,
    #[serde(default)]
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) rules: Vec<Rule>,
    #[serde(default)]
    pub(crate) budget: TaskBudget,
    #[serde(default)]
    pub(crate) checks_per_second: Option<u32>,
    /// An older document's one word for every ladder.
    #[serde(default)]
    pub(crate) reaction: Option<String>,
    /// In the order of their bits; the first three are the writers.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    #[serde(default)]
    pub(crate) sources: Vec<Source>,
    #[serde(default)]
    pub(crate) today: Today,
    #[serde(default = "default_plan")]
    pub(crate) plan: String,
    #[serde(default)]
    pub(crate) must: Vec<String>,
    #[serde(default)]
    pub(crate) never: Vec<Never>,
    #[serde(default)]
    pub(crate) reactions: Option<Reactions>,
    #[serde(default)]
    pub(crate) denials: Vec<(u32, String)>,
    #[serde(default = "default_most")]
    pub(crate) most_per_minute: u32,
    #[serde(default)]
    #[allow(dead_code, reason = "times reach the plane with each task; named here so that others are refused")]
    pub(crate) time: Time,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "see Profile::time")]
pub(crate) struct Time {
    #[serde(default)]
    ttl_ms: i64,
    #[serde(default)]
    heartbeat_ms: i64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskBudget {
    #[serde(default)]
    pub(crate) calls: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) on: Vec<String>,
    #[serde(default, rename = "where")]
    pub(crate) bounds: Vec<Bound>,
    #[serde(default)]
    pub(crate) budget: Budget,
    #[serde(default)]
    pub(crate) across: Vec<Across>,
    #[serde(default = "default_effect")]
    pub(crate) effect: String,
    #[serde(default)]
    pub(crate) asked: Asked,
    #[serde(default)]
    pub(crate) after: Vec<String>,
    #[serde(default)]
    pub(crate) after_any: Vec<String>,
    #[serde(default)]
    pub(crate) before: Vec<String>,
    #[serde(default)]
    pub(crate) unless: Vec<String>,
    #[serde(default)]
    pub(crate) on_breach: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) origins: Vec<Origin>,
    #[serde(default)]
    pub(crate) free: Vec<Free>,
    #[serde(default)]
    pub(crate) aggregates: Vec<Aggregate>,
    #[serde(default)]
    pub(crate) distinct: Vec<Distinct>,
    /// The same: how many calls with each value.
    #[serde(default)]
    pub(crate) each: Vec<Distinct>,
    #[serde(default)]
    pub(crate) reported: Reported,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bound {
    pub(crate) arg: String,
    pub(crate) op: String,
    pub(crate) value: Limit,
}

/// A constant, or one of the task's inputs.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Limit {
    Const(Box<RawValue>),
    Input(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    #[serde(default)]
    pub(crate) calls: Option<i64>,
    #[serde(default)]
    pub(crate) sums: Vec<Sum>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sum {
    pub(crate) arg: String,
    pub(crate) max: Limit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Across {
    pub(crate) per: Per,
    #[serde(default)]
    pub(crate) window_ms: Option<i64>,
    #[serde(default)]
    pub(crate) calls: Option<i64>,
    #[serde(default)]
    pub(crate) sums: Vec<Sum>,
}

/// Whose counter it is.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Per {
    Word(String),
    Input { input: String },
}

fn default_plan() -> String {
    "optional".to_owned()
}

fn default_effect() -> String {
    "allow".to_owned()
}

fn default_most() -> u32 {
    10
}
