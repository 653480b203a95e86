//! Whatever a task does, its records give the same task again: same state, same memory, same answers.

use flyball_decision::Written;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::NOW;
use crate::kit::*;

#[derive(Clone, Debug)]
enum Step {
    Call(u8, u8, u8),
    Report(u8, u8, bool),
    Return(u8),
    Plan(u8),
    Settle(u8, bool),
    Move(u8),
    Child(u8),
    ChildCall(u8, u8, u8),
    ChildEnd,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..6_u8, any::<u8>(), 0..8_u8).prop_map(|(action, args, fate)| Step::Call(action, args, fate)),
        4 => (0..6_u8, any::<u8>(), any::<bool>()).prop_map(|(which, what, fails)| Step::Report(which, what, fails)),
        1 => (0..6_u8).prop_map(Step::Return),
        1 => (0..3_u8).prop_map(Step::Plan),
        2 => (0..4_u8, any::<bool>()).prop_map(|(which, yes)| Step::Settle(which, yes)),
        1 => (0..3_u8).prop_map(Step::Move),
        1 => (0..3_u8).prop_map(Step::Child),
        3 => (0..6_u8, any::<u8>(), 0..8_u8).prop_map(|(action, args, fate)| Step::ChildCall(action, args, fate)),
        1 => Just(Step::ChildEnd),
    ];
    proptest::collection::vec(step, 0..50)
}

const ACTIONS: [&str; 6] = ["inbox", "contacts", "day", "send", "pay", "close"];
const PEOPLE: [&str; 5] =
    ["ann@firm.example", "Bob@firm.example", "bob@firm.example", "cy@firm.example", "evil@else.example"];

fn args(action: &str, pick: u8) -> Value {
    let one = PEOPLE[usize::from(pick) % PEOPLE.len()];
    let two = PEOPLE[usize::from(pick / 5) % PEOPLE.len()];
    match action {
        "send" if pick.is_multiple_of(7) => json!({"to": null, "body": "x".repeat(usize::from(pick))}),
        "send" if pick.is_multiple_of(2) => json!({"to": [one]}),
        "send" => json!({"to": [one, two], "body": one}),
        "pay" => {
            json!({"amount": pick % 3, "iban": if pick.is_multiple_of(2) { "DE02120300000000202051" } else { "" }})
        }
        _ => json!({}),
    }
}

fn result(action: &str, pick: u8) -> Value {
    let one = PEOPLE[usize::from(pick) % PEOPLE.len()];
    match action {
        "contacts" => json!([{"name": "N", "email": one}]),
        "inbox" if pick.is_multiple_of(3) => json!("not structured"),
        "inbox" => json!([{"sender": one, "body": one, "iban": "DE02120300000000202051"}]),
        "day" => json!("2024-05-14"),
        _ => json!(null),
    }
}

fn demanding() -> Value {
    let send = json!({
        "origins": [{"arg": "to", "as": "email", "sources": [0, 1]}], "free": [{"arg": "body", "max": 100, "without": ["pii"]}],
        "distinct": [{"arg": "to", "as": "email", "max": 3}], "budget": {"calls": 12}, "before": ["close"]
    });
    let pay = json!({"effect": "require_approval", "after": ["contacts"], "origins": [{"arg": "iban", "as": "iban", "sources": [2]}]});
    let profile = and(with(SEND, send), PAY, pay);
    let profile = and(profile, INBOX, json!({"reported": {"rows": 6, "bytes": 2000}}));
    let reactions = json!({"origin": ["deny", "deny", "deny", "freeze"], "budget": ["deny"], "plan": ["deny"], "order": ["deny"], "flow": ["deny"]});
    top(profile, json!({"reactions": reactions, "budget": {"calls": 60}, "must": ["send"]}))
}

const FATES: [Written; 8] = [
    Written::Durable,
    Written::Durable,
    Written::Durable,
    Written::Durable,
    Written::Failed,
    Written::QueueFull,
    Written::Conflict,
    Written::Durable,
];

struct Run {
    house: House,
    parent: String,
    child: Option<String>,
    children: u32,
    allowed: Vec<(String, String, String)>,
    asked: Vec<(String, String)>,
}

impl Run {
    fn call(&mut self, task: &str, action: u8, pick: u8, fate: u8) {
        let action = ACTIONS[usize::from(action)];
        let pep = if pick.is_multiple_of(9) { "sdk" } else { "gateway" };
        let verdict = self.house.call_with(task, pep, action, &args(action, pick), NOW, FATES[usize::from(fate)]);
        if verdict.allowed() {
            self.allowed.push((task.to_owned(), action.to_owned(), verdict.decision));
        } else if let Some(reference) = verdict.approval {
            self.asked.push((task.to_owned(), reference));
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Call(action, pick, fate) => self.call(&self.parent.clone(), action, pick, fate),
            Step::ChildCall(action, pick, fate) => {
                if let Some(child) = self.child.clone() {
                    self.call(&child, action, pick, fate);
                }
            }
            Step::Report(which, pick, fails) => {
                let Some((task, action, decision)) = self.allowed.get(usize::from(which)).cloned() else { return };
                let result = result(&action, pick).to_string();
                let meta = if pick.is_multiple_of(4) { "{\"labels\":[\"secret\"],\"rows\":2}" } else { "" };
                let noted = self.house.plane.report_result(
                    &task,
                    "gateway",
                    &decision,
                    result.as_bytes(),
                    meta.as_bytes(),
                    NOW,
                );
                if let Ok(noted) = noted {
                    self.house.carry(noted, if fails { Written::Failed } else { Written::Durable }).unwrap();
                }
            }
            Step::Return(which) => {
                let Some((task, _, decision)) = self.allowed.get(usize::from(which)).cloned() else { return };
                if let Ok(draft) = self.house.plane.return_charge(&task, "gateway", &decision, NOW) {
                    self.house.note(&draft);
                }
            }
            Step::Plan(n) => {
                let plan = json!([{"action": "send", "count": n + 1, "args": {"to": PEOPLE[..4]}}, {"action": "pay"}]);
                let task = self.child.clone().filter(|_| n == 2).unwrap_or_else(|| self.parent.clone());
                drop(self.house.plan(&task, &plan));
            }
            Step::Settle(which, approved) => {
                if let Some((task, reference)) = self.asked.get(usize::from(which)).cloned() {
                    drop(self.house.settle(&task, &reference, approved, NOW));
                }
            }
            Step::Move(to) => {
                let plane = &self.house.plane;
                let (to, moved) = match to {
                    0 => ("open", plane.resume(&self.parent)),
                    1 => ("frozen", plane.freeze(&self.parent)),
                    _ => ("suspended", plane.suspend(&self.parent)),
                };
                if moved {
                    let record = format!("{{\"v\":1,\"kind\":\"task_state\",\"to\":\"{to}\"}}").into_bytes();
                    self.house.records.borrow_mut().push((self.parent.clone(), (record, None)));
                }
            }
            Step::Child(n) => {
                if self.child.is_none() && self.children < 5 {
                    self.children += 1;
                    let allot = json!({"parent": self.parent, "allot": {"calls": (n * 3).to_string()}});
                    self.child = self.house.open_as(10 + self.children, allot).ok();
                }
            }
            Step::ChildEnd => {
                if let Some(child) = self.child.take() {
                    self.house.plane.fence(&child);
                    if let Some(noted) = self.house.plane.returning(&child, NOW) {
                        self.house.carry(noted, Written::Durable).unwrap();
                    }
                    self.house.plane.close(&child);
                }
            }
        }
    }
}

/// What a task is, without what a restart may change: its heartbeat, and numbers of decisions whose records
/// failed.
fn seen(house: &House, task: &str) -> (Value, Value) {
    let mut state = house.state(task);
    for only_live in ["silent_in_ms", "decisions"] {
        state[only_live] = Value::Null;
    }
    (state, house.memory(task))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn records_give_the_same_task_again(steps in steps(), probe in proptest::collection::vec((0..6_u8, any::<u8>()), 8)) {
        let house = House::new(&demanding());
        let parent = house.open(1);
        let mut run = Run { house, parent, child: None, children: 0, allowed: Vec::new(), asked: Vec::new() };
        for step in &steps {
            run.step(step);
        }
        let Run { house, parent, child, .. } = run;
        let mut tasks = vec![(parent.as_str(), json!({}))];
        if let Some(child) = &child {
            tasks.push((child.as_str(), json!({"parent": parent, "allot": {"calls": "0"}})));
        }
        let again = house.restored(&tasks);
        for (task, _) in &tasks {
            prop_assert_eq!(seen(&again, task), seen(&house, task));
        }
        for (action, pick) in probe {
            let action = ACTIONS[usize::from(action)];
            for (task, _) in &tasks {
                let one = house.call(task, action, &args(action, pick));
                let other = again.call(task, action, &args(action, pick));
                prop_assert_eq!((one.effect, one.reasons, one.reaction, one.digest), (other.effect, other.reasons, other.reaction, other.digest));
            }
        }
    }
}
