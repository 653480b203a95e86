//! Bodies of records, straight into bytes, in canonical order.
//!
//! What may never change: the meaning of a member of a given `v`.

use ring::digest::{SHA256, digest};

use crate::call::Now;
use crate::sink::{CounterCharge, RecordDraft};
use crate::value::write_decimal;
use crate::verdict::{Effect, Reaction, Reason};
use crate::write::{write_hex, write_int, write_text};
use std::sync::Arc;

/// Writes one object; members are given in order of their names.
pub(crate) struct Body {
    out: Vec<u8>,
    first: bool,
}

impl Body {
    /// An object, with room for `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(b'{');
        Self { out, first: true }
    }

    /// Begin a member, whose name needs no escape.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        &mut self.out
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        write_text(self.name(name), text);
    }

    /// A whole number.
    pub(crate) fn int(&mut self, name: &str, number: i64) {
        write_int(self.name(name), number);
    }

    /// A list of texts.
    pub(crate) fn list<'a>(&mut self, name: &str, texts: impl Iterator<Item = &'a str>) {
        let out = self.name(name);
        out.push(b'[');
        for (i, text) in texts.enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_text(out, text);
        }
        out.push(b']');
    }

    /// The same of texts that are made on the way.
    pub(crate) fn list_of(&mut self, name: &str, texts: impl Iterator<Item = String>) {
        let texts: Vec<String> = texts.collect();
        self.list(name, texts.iter().map(String::as_str));
    }

    /// True or false.
    pub(crate) fn bool(&mut self, name: &str, yes: bool) {
        self.name(name).extend_from_slice(if yes { b"true" } else { b"false" });
    }

    /// The bytes.
    pub(crate) fn done(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

/// What a `decided` record says. Empty members are left out.
pub(crate) struct Decided<'a> {
    pub(crate) at: i64,
    pub(crate) task: &'a str,
    pub(crate) decision: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) principal: &'a str,
    /// Without a task: (type, id).
    pub(crate) subject: Option<(&'a str, &'a str)>,
    pub(crate) pep: &'a str,
    pub(crate) binding: &'a str,
    pub(crate) action: &'a str,
    pub(crate) resource: (&'a str, &'a str),
    pub(crate) call: &'a str,
    pub(crate) bundle: &'a str,
    pub(crate) effect: Effect,
    pub(crate) reasons: &'a [Reason],
    pub(crate) policies: &'a [Arc<str>],
    pub(crate) rule: &'a str,
    /// Counters of the task: name and amount.
    pub(crate) charged: &'a mut [(&'a str, i64)],
    pub(crate) across: &'a [CounterCharge],
    pub(crate) reaction: Option<Reaction>,
    pub(crate) class: &'a str,
    /// Of a task only: what is more than a charge.
    pub(crate) more: More<'a>,
}

/// What few decisions say beside the rest.
#[derive(Default)]
pub(crate) struct More<'a> {
    /// The reference under which a person is asked, or the one that is used up.
    pub(crate) approval: &'a str,
    /// What was breached, as an object.
    pub(crate) breach: Option<Vec<u8>>,
    /// Labels that no durable record carries yet.
    pub(crate) labels: Vec<&'a str>,
    /// Entries of plans that moved: (levels up, entry).
    pub(crate) plan: &'a [(u8, u16)],
    /// Values new under a counter: its name, and the value's keyed hash.
    pub(crate) distinct: Vec<(&'a str, u64)>,
}

impl Decided<'_> {
    /// The canonical bytes.
    pub(crate) fn body(self) -> Vec<u8> {
        let mut body = Body::new(768);
        body.text("action", self.action);
        let some = |body: &mut Body, name: &str, text: &str| {
            if !text.is_empty() {
                body.text(name, text);
            }
        };
        some(&mut body, "agent", self.agent);
        some(&mut body, "approval", self.more.approval);
        body.int("at", self.at);
        some(&mut body, "binding", self.binding);
        if let Some(breach) = &self.more.breach {
            body.name("breach").extend_from_slice(breach);
        }
        some(&mut body, "bundle", self.bundle);
        some(&mut body, "call", self.call);
        if !self.charged.is_empty() || !self.across.is_empty() {
            charge(body.name("charge"), self.charged, self.across);
        }
        some(&mut body, "class", self.class);
        body.text("decision", self.decision);
        if !self.more.distinct.is_empty() {
            distinct(body.name("distinct"), &self.more.distinct);
        }
        body.text("effect", self.effect.as_str());
        body.text("kind", "decided");
        if !self.more.labels.is_empty() {
            body.list("labels", self.more.labels.iter().copied());
        }
        some(&mut body, "pep", self.pep);
        plan(&mut body, self.more.plan);
        if !self.policies.is_empty() {
            body.list("policies", self.policies.iter().map(AsRef::as_ref));
        }
        some(&mut body, "principal", self.principal);
        if let Some(reaction) = self.reaction {
            body.text("reaction", reaction.as_str());
        }
        body.list("reasons", self.reasons.iter().map(|reason| reason.as_str()));
        pair(body.name("resource"), "id", self.resource.1, "type", self.resource.0);
        some(&mut body, "rule", self.rule);
        if let Some((kind, id)) = self.subject {
            pair(body.name("subject"), "id", id, "type", kind);
        }
        some(&mut body, "task", self.task);
        body.int("v", 1);
        body.done()
    }
}

/// Append the entries of plans that moved: the task's own, and those of its ancestors by levels up.
fn plan(body: &mut Body, moves: &[(u8, u16)]) {
    if let Some((_, entry)) = moves.iter().find(|(up, _)| *up == 0) {
        body.int("plan", i64::from(*entry));
    }
    let above: Vec<[i64; 2]> =
        moves.iter().filter(|(up, _)| *up > 0).map(|(up, entry)| [i64::from(*up), i64::from(*entry)]).collect();
    if !above.is_empty() {
        list(body.name("plan_above"), &above, |out, pair| list(out, pair, |out, number| write_int(out, *number)));
    }
}

fn distinct(out: &mut Vec<u8>, values: &[(&str, u64)]) {
    list(out, values, |out, (slot, hash)| {
        out.push(b'[');
        write_text(out, slot);
        out.extend_from_slice(b",\"");
        write_hex(out, &hash.to_be_bytes());
        out.extend_from_slice(b"\"]");
    });
}

/// Append a list.
pub(crate) fn list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// A record of a task, with nothing sealed beside it.
pub(crate) fn draft(task: &str, kind: &'static str, body: Body, now: Now) -> RecordDraft {
    RecordDraft {
        task: Some(task.to_owned()),
        kind,
        at_ms: now.wall_ms,
        body: body.done(),
        sealed: None,
        counters: Vec::new(),
    }
}

/// Append an object of two texts.
pub(crate) fn pair(out: &mut Vec<u8>, a: &str, one: &str, b: &str, other: &str) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(a.as_bytes());
    out.extend_from_slice(b"\":");
    write_text(out, one);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(b.as_bytes());
    out.extend_from_slice(b"\":");
    write_text(out, other);
    out.push(b'}');
}

/// Append a number of 1/10000ths as a text.
fn quoted(out: &mut Vec<u8>, number: i64) {
    out.push(b'"');
    write_decimal(out, number);
    out.push(b'"');
}

/// Append what was charged.
pub(crate) fn charge(out: &mut Vec<u8>, task: &mut [(&str, i64)], across: &[CounterCharge]) {
    out.push(b'{');
    if !across.is_empty() {
        out.extend_from_slice(b"\"across\":[");
        for (i, counter) in across.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",{\"amount\":" } else { b"{\"amount\":" });
            quoted(out, counter.amount);
            out.extend_from_slice(b",\"key\":");
            write_text(out, &counter.key);
            out.extend_from_slice(b",\"unit\":");
            write_text(out, &counter.unit);
            out.push(b'}');
        }
        out.push(b']');
    }
    if !task.is_empty() {
        if !across.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(b"\"task\":{");
        task.sort_unstable_by(|a, b| a.0.cmp(b.0));
        for (i, (name, amount)) in task.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_text(out, name);
            out.push(b':');
            quoted(out, *amount);
        }
        out.push(b'}');
    }
    out.push(b'}');
}

/// `sha256:…` of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(71);
    out.extend_from_slice(b"sha256:");
    write_hex(&mut out, digest(&SHA256, bytes).as_ref());
    String::from_utf8(out).unwrap_or_default()
}

/// A call, canonically: what its digest is taken of. Returns the range of the arguments in `out`.
pub(crate) fn write_call(
    out: &mut Vec<u8>,
    action: &str,
    args: &crate::json::Json<'_>,
    resource: (&str, &str),
    task: &str,
) -> std::ops::Range<usize> {
    out.extend_from_slice(b"{\"action\":");
    write_text(out, action);
    out.extend_from_slice(b",\"args\":");
    let from = out.len();
    args.write(out);
    let to = out.len();
    out.extend_from_slice(b",\"resource\":");
    pair(out, "id", resource.1, "type", resource.0);
    out.extend_from_slice(b",\"task\":");
    write_text(out, task);
    out.push(b'}');
    from..to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Json, canonical};

    #[test]
    fn a_decided_body_is_canonical() {
        let across = [CounterCharge { key: "ab".into(), unit: "calls".into(), amount: 10_000, limit: 10_000 }];
        let body = Decided {
            at: 7,
            task: "tsk_l_x",
            decision: "dec_l_x_1_1",
            agent: "a\"b",
            principal: "p\n",
            subject: Some(("user", "u")),
            pep: "sdk",
            binding: "inproc",
            action: "t.r",
            resource: ("tool", "é"),
            call: "sha256:00",
            bundle: "sha256:11",
            effect: Effect::Deny,
            reasons: &[Reason::BudgetSpent],
            policies: &[Arc::from("b"), Arc::from("a")],
            rule: "p/allow/1",
            charged: &mut [("z", 125_000), ("calls", 10_000)],
            across: &across,
            reaction: Some(Reaction::Freeze),
            class: "default",
            more: More {
                approval: "dec_l_x_1_0",
                breach: Some(b"{}".to_vec()),
                labels: vec!["outside", "pii"],
                plan: &[(0, 3), (2, 1)],
                distinct: vec![("p/allow/1/distinct:to", 255)],
            },
        }
        .body();
        assert_eq!(canonical(&body).unwrap(), body);
        let read = Json::parse(&body).unwrap();
        let task = read.get("charge").and_then(|charge| charge.get("task")).unwrap();
        assert_eq!(task.get("z").and_then(Json::text), Some("12.5"));
    }
}
