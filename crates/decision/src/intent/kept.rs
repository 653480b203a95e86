//! What one result leaves behind, and its sealed form.

use flyball_typed::Date;

use super::store::{Entry, MAX_ENTRIES, MAX_ROWS, Store};
use super::{LabelSet, Program};

/// The version of the sealed form.
const VERSION: u8 = 2;
/// Bytes before the entries: version, flags, fingerprint, digest, labels, today, action, number, counts.
const HEAD: usize = 2 + 8 * 4 + 2 + 4 * 3;

/// What one result leaves behind, as it is sealed and remembered. Rows are the result's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(super) action: u16,
    pub(super) number: u32,
    /// Stands for the whole result.
    pub(super) digest: u64,
    pub(super) labels: LabelSet,
    pub(super) today: Option<Date>,
    pub(super) full: bool,
    pub(super) store: Store,
    fingerprint: u64,
}

impl Kept {
    /// Nothing yet of an action's result.
    pub(super) fn new(program: &Program, action: u16, number: u32, digest: u64) -> Self {
        Self { action, number, digest, fingerprint: program.fingerprint(), ..Self::default() }
    }

    /// What remains of a result of which nothing can be kept any more, such as one that was kept for
    /// another version of the program: the task's memory counts as full.
    pub(crate) fn lost(program: &Program, action: &str, number: u32) -> Self {
        let place = program.act(action).map_or(u16::MAX, |(place, _)| place);
        Self { full: true, labels: program.static_labels(action), ..Self::new(program, place, number, 0) }
    }

    /// Values kept.
    pub(crate) fn len(&self) -> usize {
        self.store.entries.len()
    }

    /// Labels of what the result holds: of its fields, and of the outside where something is undeclared.
    pub(crate) const fn labels(&self) -> LabelSet {
        self.labels
    }

    /// Whether it holds more than can be kept.
    pub(crate) const fn full(&self) -> bool {
        self.full
    }

    /// As it is sealed.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.store.weight());
        out.extend_from_slice(&[VERSION, u8::from(self.full)]);
        let today =
            self.today.and_then(|today| today.days()).map_or(0, |days| i64::from(days).cast_unsigned() | 1 << 63);
        for word in [self.fingerprint, self.digest, self.labels.bits(), today] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.action.to_le_bytes());
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        for word in [self.number, count(self.store.entries.len()), count(self.store.words.len())] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for entry in &self.store.entries {
            let (payload, tag) = entry.parts();
            out.extend_from_slice(&payload.to_le_bytes());
            out.extend_from_slice(&tag.to_le_bytes());
        }
        self.store.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        out
    }

    /// What was sealed, for the same program. The text says what is wrong.
    pub(crate) fn from_bytes(program: &Program, bytes: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader { bytes };
        let [version, flags] = reader.take()?;
        if version != VERSION || flags > 1 {
            return Err("what was kept is of another version");
        }
        let fingerprint = u64::from_le_bytes(reader.take()?);
        if fingerprint != program.fingerprint() {
            return Err("what was kept is of another profile");
        }
        let digest = u64::from_le_bytes(reader.take()?);
        let labels = LabelSet::from_bits(u64::from_le_bytes(reader.take()?));
        let today = u64::from_le_bytes(reader.take()?);
        let today = match (today & !(1 << 63), today >> 63) {
            (0, 0) => None,
            (days, 1) => {
                // The sign bit was given away; days lie far below it.
                let days = (days << 1).cast_signed() >> 1;
                Some(i32::try_from(days).ok().and_then(Date::from_days).ok_or("what was kept has no such day")?)
            }
            _ => return Err("what was kept has no such day"),
        };
        let action = u16::from_le_bytes(reader.take()?);
        let number = u32::from_le_bytes(reader.take()?);
        let count = |bytes: [u8; 4]| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let (entries, words) = (count(reader.take()?), count(reader.take()?));
        if entries > MAX_ENTRIES || words > MAX_ENTRIES * 4 {
            return Err("what was kept is too much");
        }
        let mut store = Store { entries: Vec::with_capacity(entries), words: Vec::with_capacity(words) };
        for _ in 0..entries {
            let (payload, tag) = (u64::from_le_bytes(reader.take()?), u64::from_le_bytes(reader.take()?));
            let entry = Entry::from_parts(payload, tag).ok_or("what was kept is no value")?;
            let known = program.place(entry.place()).is_some_and(|place| place.action == action);
            if !known || entry.row() >= MAX_ROWS {
                return Err("what was kept stands nowhere");
            }
            store.entries.push(entry);
        }
        for _ in 0..words {
            store.words.push(u32::from_le_bytes(reader.take()?));
        }
        if !reader.bytes.is_empty() || !store.sound() {
            return Err("what was kept is out of order");
        }
        Ok(Self { action, number, digest, labels, today, full: flags == 1, store, fingerprint })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or("what was kept is cut off")?;
        self.bytes = rest;
        Ok(*head)
    }
}
