//! A task's live state as a fold of its records. Replay applies the changes that stand in them and
//! never evaluates again.

use std::sync::Arc;

use crate::ids;
use crate::json::Json;
use crate::profile::Profile;
use crate::task::{Charge, Live, Pending, State};
use crate::value::parse_decimal;
use crate::verdict::Reaction;

/// What records are read against.
pub(crate) struct Fold<'a> {
    pub(crate) cell: &'a str,
    /// This node's epoch: numbers given in it are not given again.
    pub(crate) epoch: u32,
    pub(crate) task: u128,
    pub(crate) profile: &'a Profile,
    /// Whether an enforcement point may report results.
    pub(crate) reports: &'a dyn Fn(&str) -> bool,
}

impl Fold<'_> {
    /// Apply records in order. The error says what cannot be read: a record that is not understood
    /// leaves nothing to trust.
    pub(crate) fn run(&self, live: &mut Live, records: &[&[u8]]) -> Result<(), String> {
        live.state = State::Open;
        for (i, record) in records.iter().enumerate() {
            let wrong = |what: &str| format!("record {} of the task: {what}", i + 1);
            let json = Json::parse(record).map_err(|_| wrong("not JSON"))?;
            if json.get("v").and_then(Json::whole) != Some(1) {
                return Err(wrong("of a version that this build does not know"));
            }
            let kind = json.get("kind").and_then(Json::text).ok_or_else(|| wrong("without a kind"))?;
            self.apply(live, kind, &json).ok_or_else(|| wrong("incomplete"))?;
        }
        Ok(())
    }

    fn apply(&self, live: &mut Live, kind: &str, json: &Json<'_>) -> Option<()> {
        let decision = || ids::parse_decision(self.cell, self.task, json.get("decision")?.text()?);
        match kind {
            "decided" => {
                let (epoch, k) = decision()?;
                if epoch == self.epoch {
                    // A number names a decision, and seals its arguments: never twice.
                    live.k = live.k.max(k);
                }
                let charge = charge(self.profile, json)?;
                live.charge(&charge, 1);
                if let Some(reaction) = json.get("reaction") {
                    live.state = live.state.after(Reaction::parse(reaction.text()?)?);
                }
                let pep = json.get("pep").and_then(Json::text).unwrap_or("");
                if json.get("effect")?.text()? == "allow" && (self.reports)(pep) {
                    live.remember(Pending { epoch, k, charge, pep: Arc::from(pep), reported: false });
                }
            }
            "not_released" => {
                let (epoch, k) = decision()?;
                live.forget(epoch, k);
            }
            "charge_returned" => {
                let (epoch, k) = decision()?;
                live.charge(&charge(self.profile, json)?, -1);
                live.forget(epoch, k);
            }
            "result_reported" => {
                let (epoch, k) = decision()?;
                if let Some(pending) = live.pending(epoch, k) {
                    pending.reported = true;
                }
            }
            "task_state" => {
                let to = State::parse(json.get("to")?.text()?)?;
                if live.state.may_become(to) {
                    live.state = to;
                }
            }
            "fenced" | "task_closed" => live.state = State::Fenced,
            // Everything else changes nothing that the plane keeps.
            _ => {}
        }
        Some(())
    }
}

/// What a record charged to the task's own counters. A counter that the profile does not have is an error.
fn charge(profile: &Profile, json: &Json<'_>) -> Option<Charge> {
    let mut out = Charge::default();
    let Some(task) = json.get("charge").and_then(|charge| charge.get("task")) else { return Some(out) };
    let Json::Object(members) = task else { return None };
    for (name, amount) in members {
        let slot = u16::try_from(profile.slot(name)?).ok()?;
        out.slots.push((slot, parse_decimal(amount.text()?)?));
    }
    Some(out)
}
