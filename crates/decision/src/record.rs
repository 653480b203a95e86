//! Bodies of records, straight into bytes, in canonical order; and arguments, sealed.
//!
//! What may never change: the meaning of a member of a given `v`.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};

use crate::sink::CounterCharge;
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
        body.int("at", self.at);
        some(&mut body, "binding", self.binding);
        some(&mut body, "bundle", self.bundle);
        some(&mut body, "call", self.call);
        if !self.charged.is_empty() || !self.across.is_empty() {
            charge(body.name("charge"), self.charged, self.across);
        }
        some(&mut body, "class", self.class);
        body.text("decision", self.decision);
        body.text("effect", self.effect.as_str());
        body.text("kind", "decided");
        some(&mut body, "pep", self.pep);
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

fn pair(out: &mut Vec<u8>, a: &str, one: &str, b: &str, other: &str) {
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

/// Seal under a task's data key: `0x01 ‖ nonce ‖ ciphertext and tag`, bound to task and decision.
///
/// Epoch and `k` never come again for one key: `k` grows with every decision of the task in this
/// epoch, and no epoch comes twice. Epochs stay below 2^31, so these nonces never meet those of the
/// control plane, whose top bit is set.
pub(crate) fn seal(key: &[u8; 32], epoch: u32, k: u64, task: &str, decision: &str, plain: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let mut nonce = [0_u8; 12];
    let (high, low) = nonce.split_at_mut_checked(4)?;
    high.copy_from_slice(&epoch.to_be_bytes());
    low.copy_from_slice(&k.to_be_bytes());
    let mut aad = Vec::with_capacity(task.len() + decision.len() + 1);
    aad.extend_from_slice(task.as_bytes());
    aad.push(0);
    aad.extend_from_slice(decision.as_bytes());
    let mut out = Vec::with_capacity(1 + 12 + plain.len() + 16);
    out.push(1);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag =
        key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), out.get_mut(13..)?).ok()?;
    out.extend_from_slice(tag.as_ref());
    Some(out)
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
        }
        .body();
        assert_eq!(canonical(&body).unwrap(), body);
        let read = Json::parse(&body).unwrap();
        let task = read.get("charge").and_then(|charge| charge.get("task")).unwrap();
        assert_eq!(task.get("z").and_then(Json::text), Some("12.5"));
    }

    #[test]
    fn sealed_text_opens_only_in_its_place() {
        let key = [7_u8; 32];
        let mut sealed = seal(&key, 3, 9, "tsk", "dec", b"{\"a\":1}").unwrap();
        assert_eq!(sealed[0], 1);
        assert_eq!(sealed[1..13], [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]);
        let nonce: [u8; 12] = sealed[1..13].try_into().unwrap();
        let open = |aad: &[u8], text: &mut [u8]| {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
            key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), text)
                .map(|plain| plain.to_vec())
                .ok()
        };
        assert_eq!(open(b"tsk\0dec2", &mut sealed.clone()[13..]), None);
        assert_eq!(open(b"tsk\0dec", &mut sealed[13..]).unwrap(), b"{\"a\":1}");
    }
}
