//! Counters that outlive a task: `once_per`, per agent, per owner.

use ahash::AHashMap;
use parking_lot::Mutex;
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::profile::Per;
use crate::program::AcrossCharge;
use crate::sink::CounterCharge;
use crate::task::Task;
use crate::value::{Value, decimal_text};
use crate::write::{write_hex, write_int, write_text};

/// All counters of this node.
pub(crate) struct Counters {
    key: Key,
    /// By `<key>/<unit>`, in 1/10000ths.
    used: Mutex<AHashMap<String, i64>>,
}

fn place(key: &str, unit: &str) -> String {
    let mut out = String::with_capacity(key.len() + unit.len() + 1);
    out.push_str(key);
    out.push('/');
    out.push_str(unit);
    out
}

impl Counters {
    /// No counters yet.
    pub(crate) fn new(deployment_key: &[u8; 32]) -> Self {
        Self { key: Key::new(HMAC_SHA256, deployment_key), used: Mutex::default() }
    }

    /// Set what stands in the store.
    pub(crate) fn set(&self, key: &str, unit: &str, used: i64) {
        self.used.lock().insert(place(key, unit), used);
    }

    /// What a charge counts, as the record and the store name it: a keyed hash, so that neither shows
    /// the ticket. Named by profile and action, not by the rule's number, so that a new bundle that
    /// moves rules about does not make a spent ticket fresh.
    pub(crate) fn name(&self, task: &Task, action: &str, charge: &AcrossCharge<'_>, wall_ms: i64) -> CounterCharge {
        let mut scope = Vec::with_capacity(160);
        scope.extend_from_slice(b"[\"flyball-counter-v1\",");
        write_text(&mut scope, &task.profile.name);
        scope.push(b',');
        write_text(&mut scope, action);
        scope.push(b',');
        match charge.across.per {
            Per::Agent => {
                scope.extend_from_slice(b"\"agent\",");
                write_text(&mut scope, &task.agent.name);
            }
            Per::Owner => {
                scope.extend_from_slice(b"\"owner\",");
                write_text(&mut scope, &task.agent.owner);
            }
            Per::Input(input) => {
                let name = task.profile.inputs.get(input).map_or("", |(name, _)| name.as_ref());
                write_text(&mut scope, &format!("input:{name}"));
                scope.push(b',');
                match task.input(input) {
                    Some(Value::Text(text)) => write_text(&mut scope, text),
                    Some(Value::Decimal(number)) => write_text(&mut scope, &decimal_text(*number)),
                    Some(Value::Long(number)) => write_int(&mut scope, *number),
                    Some(Value::Bool(yes)) => write_text(&mut scope, if *yes { "true" } else { "false" }),
                    _ => scope.extend_from_slice(b"null"),
                }
            }
        }
        if let Some(window) = charge.across.window_ms {
            scope.push(b',');
            write_int(&mut scope, window);
            scope.push(b',');
            write_int(&mut scope, wall_ms.div_euclid(window));
        }
        scope.push(b']');
        let mut hex = Vec::with_capacity(64);
        write_hex(&mut hex, sign(&self.key, &scope).as_ref());
        CounterCharge {
            key: String::from_utf8(hex).unwrap_or_default(),
            unit: charge.unit.to_owned(),
            amount: charge.amount,
            limit: charge.limit,
        }
    }

    /// Whether a counter has room.
    pub(crate) fn reaches(&self, charge: &CounterCharge) -> bool {
        let used = self.used.lock().get(&place(&charge.key, &charge.unit)).copied().unwrap_or(0);
        used.checked_add(charge.amount).is_some_and(|total| total <= charge.limit)
    }

    /// Charge all of them, or none: then the place of the first that has no room.
    pub(crate) fn charge(&self, charges: &[CounterCharge]) -> Result<(), usize> {
        if charges.is_empty() {
            return Ok(());
        }
        let mut used = self.used.lock();
        let mut done: Vec<(String, i64)> = Vec::with_capacity(charges.len());
        for (i, charge) in charges.iter().enumerate() {
            let at = place(&charge.key, &charge.unit);
            let before = used.get(&at).copied().unwrap_or(0);
            let Some(total) = before.checked_add(charge.amount).filter(|total| *total <= charge.limit) else {
                for (at, amount) in done {
                    used.entry(at).and_modify(|total| *total -= amount);
                }
                return Err(i);
            };
            used.insert(at.clone(), total);
            done.push((at, charge.amount));
        }
        Ok(())
    }

    /// Take charges back.
    pub(crate) fn undo(&self, charges: &[CounterCharge]) {
        if charges.is_empty() {
            return;
        }
        let mut used = self.used.lock();
        for charge in charges {
            let at = place(&charge.key, &charge.unit);
            used.entry(at).and_modify(|total| *total = total.saturating_sub(charge.amount).max(0));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.used.lock().len()
    }
}
