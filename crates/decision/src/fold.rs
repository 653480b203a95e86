//! A task's live state as a fold of its records. Replay applies the changes that stand in them and
//! never evaluates again.

use std::sync::Arc;

use crate::ids;
use crate::json::Json;
use crate::profile::Profile;
use crate::task::{Charge, Live, Pending, State};
use crate::value::parse_decimal;
use crate::verdict::Reaction;

/// Apply records in order. `reports` says whether an enforcement point may report results. The
/// error says what cannot be read: a record that is not understood leaves nothing to trust.
pub(crate) fn fold(
    cell: &str,
    task: u128,
    profile: &Profile,
    live: &mut Live,
    records: &[&[u8]],
    reports: &dyn Fn(&str) -> bool,
) -> Result<(), String> {
    live.state = State::Open;
    for (i, record) in records.iter().enumerate() {
        let wrong = |what: &str| format!("record {} of the task: {what}", i + 1);
        let json = Json::parse(record).map_err(|_| wrong("not JSON"))?;
        if json.get("v").and_then(Json::whole) != Some(1) {
            return Err(wrong("of a version that this build does not know"));
        }
        let kind = json.get("kind").and_then(Json::text).ok_or_else(|| wrong("without a kind"))?;
        apply(cell, task, profile, live, kind, &json, reports).ok_or_else(|| wrong("incomplete"))?;
    }
    Ok(())
}

fn apply(
    cell: &str,
    task: u128,
    profile: &Profile,
    live: &mut Live,
    kind: &str,
    json: &Json<'_>,
    reports: &dyn Fn(&str) -> bool,
) -> Option<()> {
    let decision = || ids::parse_decision(cell, task, json.get("decision")?.text()?);
    match kind {
        "decided" => {
            let (epoch, k) = decision()?;
            let charge = charge(profile, json)?;
            live.charge(&charge, 1);
            if let Some(reaction) = json.get("reaction") {
                live.state = live.state.after(Reaction::parse(reaction.text()?)?);
            }
            let pep = json.get("pep").and_then(Json::text).unwrap_or("");
            if json.get("effect")?.text()? == "allow" && reports(pep) {
                live.remember(Pending { epoch, k, charge, pep: Arc::from(pep), reported: false });
            }
        }
        "not_released" => {
            let (epoch, k) = decision()?;
            live.forget(epoch, k);
        }
        "charge_returned" => {
            let (epoch, k) = decision()?;
            live.charge(&charge(profile, json)?, -1);
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
