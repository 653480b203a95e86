//! Typed values of arguments beside a rule's origins: for distinct budgets, and for plans.

use flyball_typed::{Date, Kind, signed_words};

use super::asked::hashed;
use super::fact::Fact;
use super::given::settled;
use super::kinds::readings;
use super::rows::alike;
use super::{Demands, Leaf, MemoryKey, Path};
use crate::json::Json;

/// Values of one argument that are looked at, at most.
const MAX_LEAVES: usize = 4096;

/// What stands for each value of an argument, under the task's key: two spellings of one value have
/// the same. Nothing, where there are too many, or something is no such value.
pub(crate) fn values(
    kind: Kind,
    path: &Path,
    args: &Json<'_>,
    key: &MemoryKey,
    today: Option<Date>,
) -> Option<Vec<u64>> {
    let mut out = Vec::new();
    let all = path.leaves(args, &mut |leaf| match value(kind, leaf, key, today) {
        Some(value) if out.len() < MAX_LEAVES => {
            out.push(value);
            true
        }
        _ => false,
    });
    out.sort_unstable();
    out.dedup();
    all.then_some(out)
}

fn value(kind: Kind, leaf: Leaf<'_>, key: &MemoryKey, today: Option<Date>) -> Option<u64> {
    if kind == Kind::Text {
        let words = hashed(leaf.text()?, key);
        return (!words.is_empty()).then(|| key.sequence(&words));
    }
    let facts: Option<Vec<Fact>> = readings(kind, leaf).iter().map(|datum| settled(datum, key, today)).collect();
    match facts?.as_slice() {
        [] => None,
        facts => {
            let mut bytes = Vec::with_capacity(facts.len() * 11);
            for Fact { code, payload, extra } in facts {
                bytes.push(code.number());
                bytes.extend_from_slice(&payload.to_le_bytes());
                bytes.extend_from_slice(&extra.to_le_bytes());
            }
            Some(key.digest(&bytes))
        }
    }
}

/// Whether a call's arguments are those that a plan's entry names. What a rule compares by its meaning
/// is compared so: every value of the call is one of the plan's. All else must be the same JSON.
pub(crate) fn planned(demands: &Demands, plan: &Json<'_>, args: &Json<'_>) -> bool {
    let Json::Object(members) = plan else { return false };
    members.iter().all(|(name, want)| {
        let typed = demands.typed().find(|(path, _)| path.as_str() == name);
        let path = match typed {
            Some((path, _)) => path.clone(),
            None => match Path::parse(name) {
                Some(path) => path,
                None => return false,
            },
        };
        match typed {
            None => args.get(name).is_some_and(|have| have == want),
            Some((_, kind)) => {
                let mut wanted = Vec::new();
                every(want, &mut |leaf| wanted.push(leaf));
                let mut some = false;
                let all = path.leaves(args, &mut |leaf| {
                    some = true;
                    wanted.iter().take(MAX_LEAVES).any(|want| same(kind, leaf, *want))
                });
                all && (some || wanted.is_empty())
            }
        }
    })
}

fn every<'a>(json: &'a Json<'_>, each: &mut dyn FnMut(Leaf<'a>)) {
    match json {
        Json::List(items) => items.iter().for_each(|item| every(item, each)),
        Json::Text(text) => each(Leaf::Text(text)),
        Json::Number(text) => each(Leaf::Number(text)),
        Json::Bool(yes) => each(Leaf::Bool(*yes)),
        Json::Null => {}
        Json::Object(_) => each(Leaf::Wrong),
    }
}

fn same(kind: Kind, leaf: Leaf<'_>, want: Leaf<'_>) -> bool {
    if kind == Kind::Text {
        // A sign more is another text for whoever takes it.
        return leaf.text().zip(want.text()).is_some_and(|(have, want)| signed_words(have).eq(signed_words(want)));
    }
    let (have, want) = (readings(kind, leaf), readings(kind, want));
    !have.is_empty() && have.iter().all(|datum| want.iter().any(|other| alike(datum, other)))
}
