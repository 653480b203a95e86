//! Free text that must not carry out what stands in labelled fields.

use ahash::AHashSet;
use flyball_typed::{Kind, Readings, find, read, words};

use super::asked::hashed;
use super::demand::Free;
use super::extract::is_token;
use super::fact::{Code, Fact};
use super::judge::Ask;
use super::kinds::KindSet;
use super::place::{Role, labelled};
use super::store::Entry;
use super::work::Work;
use super::{Breach, BreachKind, LabelSet, Memory, Seen};

/// Bits of the filter in front of the set of shingles.
const FILTER: usize = 1 << 14;

/// Words in a row that are recognised: three, wherever they stand; fewer, where they are a whole value.
/// No word is 0, which fills up what is shorter.
type Shingle = [u32; 3];

/// One to three words as a shingle.
fn shingle(words: &[u32]) -> Option<Shingle> {
    match *words {
        [one] => Some([one, 0, 0]),
        [one, two] => Some([one, two, 0]),
        [one, two, three] => Some([one, two, three]),
        _ => None,
    }
}

/// Whether no remembered value of a field with one of the labels stands in a free text.
pub(super) fn carries_nothing(ask: &Ask<'_>, free: &Free, work: &mut Work) -> Result<(), Breach> {
    let Some(memory) = ask.memory else { return Ok(()) };
    let mut texts = Vec::new();
    free.path.strings(ask.args, &mut |text| texts.push(text));
    if texts.is_empty() {
        return Ok(());
    }
    let mut breach = Breach::of(BreachKind::Flow, &free.path);
    if memory.full() {
        breach.kind = BreachKind::MemoryFull;
        return Err(breach);
    }
    let carrier = Carrier { ask, memory, without: free.without };
    let (found, spent) = carrier.any(&texts, work);
    match found {
        None if !spent => Ok(()),
        None => {
            breach.kind = BreachKind::Malformed;
            Err(breach)
        }
        Some(entry) => {
            breach.seen.extend(carrier.seen(entry));
            breach.wanted = ask.program.names(free.without).map(|label| format!("without {label}").into()).collect();
            Err(breach)
        }
    }
}

struct Carrier<'a> {
    ask: &'a Ask<'a>,
    memory: &'a Memory,
    without: LabelSet,
}

impl Carrier<'_> {
    fn labelled(&self, entry: Entry) -> bool {
        let place = self.ask.program.place(entry.place());
        place.is_some_and(|place| place.role == Role::Labelled && place.labels.meets(self.without))
    }

    /// The first remembered value that stands in one of the texts, and whether the work ran out.
    fn any(&self, texts: &[&str], work: &mut Work) -> (Option<Entry>, bool) {
        let key = self.ask.key;
        let mut shingles: AHashSet<Shingle> = AHashSet::new();
        for text in texts {
            for kind in labelled().less(KindSet::one(Kind::Text)).kinds() {
                let mut found = None;
                let mut each = |readings: Readings| {
                    found = found.or_else(|| readings.iter().find_map(|datum| self.equal(Fact::of(datum, key))));
                };
                each(read(kind, text));
                find(kind, text, &mut each);
                if found.is_some() {
                    return (found, false);
                }
            }
            let token = words(text).filter(|word| is_token(word));
            let mut token = token.filter_map(|word| self.equal(Fact::new(Code::TOKEN, key.token(&word))));
            if let Some(entry) = token.next() {
                return (Some(entry), false);
            }
            let hashed = hashed(text, key);
            shingles.extend((1..=3).flat_map(|length| hashed.windows(length).filter_map(shingle)));
        }
        let mut filter = vec![0_u64; FILTER / 64];
        for shingle in &shingles {
            let (at, bit) = bit(shingle);
            if let Some(word) = filter.get_mut(at) {
                *word |= bit;
            }
        }
        let carries = |window: &[u32]| {
            let Some(shingle) = shingle(window) else { return false };
            let (at, bit) = bit(&shingle);
            filter.get(at).is_some_and(|word| word & bit != 0) && shingles.contains(&shingle)
        };
        if shingles.is_empty() {
            return (None, false);
        }
        for span in self.memory.store.of(Code::SPAN).iter().filter(|span| self.labelled(**span)) {
            let text = self.memory.store.text(*span);
            if work.spend(1 + text.len()).is_none() {
                return (None, true);
            }
            let hit = if text.len() < 3 { carries(text) } else { text.windows(3).any(carries) };
            if hit {
                return (Some(*span), false);
            }
        }
        (None, false)
    }

    fn equal(&self, fact: Fact) -> Option<Entry> {
        let fits = |extra: u16| fact.extra == 0 || extra == 0 || fact.extra == extra;
        let entries = self.memory.store.equal(fact).iter();
        entries.copied().find(|entry| fits(entry.fact().extra) && self.labelled(*entry))
    }

    fn seen(&self, entry: Entry) -> Option<Seen> {
        let place = self.ask.program.place(entry.place())?;
        let (act, field) = self.ask.program.whose(place)?;
        Some(Seen {
            action: Box::from(act.name.as_ref()),
            field: field.name.clone(),
            result: self.memory.result(entry.row()),
            by: field.by.clone(),
        })
    }
}

/// Where a shingle stands in the filter.
fn bit(shingle: &Shingle) -> (usize, u64) {
    let [a, b, c] = shingle;
    let mixed = a.wrapping_mul(31) ^ b.rotate_left(11) ^ c.rotate_left(22);
    let at = (mixed ^ mixed >> 16) as usize % FILTER;
    (at / 64, 1 << (at % 64))
}
