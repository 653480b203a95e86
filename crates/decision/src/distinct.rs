//! Different values of an argument over a whole task: how many there were, never which.

/// One value that was seen under one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct One {
    slot: u16,
    /// Calls on their way that count on it.
    holders: u32,
    /// It stands in a durable record.
    durable: bool,
    hash: u64,
}

/// Values seen, by counter, as keyed hashes.
#[derive(Debug, Default)]
pub(crate) struct DistinctSet {
    all: Vec<One>,
}

impl DistinctSet {
    fn find(&mut self, slot: u16, hash: u64) -> Option<&mut One> {
        self.all.iter_mut().find(|one| one.slot == slot && one.hash == hash)
    }

    /// Whether the value was seen.
    pub(crate) fn has(&self, slot: u16, hash: u64) -> bool {
        self.all.iter().any(|one| one.slot == slot && one.hash == hash)
    }

    /// A call on its way uses the value; `true`: it is a new one.
    pub(crate) fn hold(&mut self, slot: u16, hash: u64) -> bool {
        if let Some(one) = self.find(slot, hash) {
            one.holders = one.holders.saturating_add(1);
            return false;
        }
        self.all.push(One { slot, holders: 1, durable: false, hash });
        true
    }

    /// Whether a record must name the value.
    pub(crate) fn unsaid(&self, slot: u16, hash: u64) -> bool {
        self.all.iter().any(|one| one.slot == slot && one.hash == hash && !one.durable)
    }

    /// The call's record is durable, or nobody can say: then the value stays, and the next record names it.
    pub(crate) fn settle(&mut self, slot: u16, hash: u64, durable: bool) {
        if let Some(one) = self.find(slot, hash) {
            one.holders = one.holders.saturating_sub(1);
            one.durable |= durable;
        }
    }

    /// The call's record failed; `true`: nobody else counts on the value, and it is gone.
    pub(crate) fn drop(&mut self, slot: u16, hash: u64) -> bool {
        let Some(one) = self.find(slot, hash) else { return false };
        one.holders = one.holders.saturating_sub(1);
        let gone = one.holders == 0 && !one.durable;
        if gone {
            self.all.retain(|one| one.slot != slot || one.hash != hash);
        }
        gone
    }

    /// What a record says; `true`: it is new.
    pub(crate) fn replay(&mut self, slot: u16, hash: u64) -> bool {
        if let Some(one) = self.find(slot, hash) {
            one.durable = true;
            return false;
        }
        self.all.push(One { slot, holders: 0, durable: true, hash });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_only_when_nobody_counts_on_it() {
        let mut set = DistinctSet::default();
        assert!(set.hold(1, 7) && !set.hold(1, 7) && set.hold(2, 7));
        assert!(!set.drop(1, 7) && set.has(1, 7));
        assert!(set.drop(1, 7) && !set.has(1, 7) && set.has(2, 7));
        set.settle(2, 7, false);
        assert!(set.unsaid(2, 7));
        set.settle(2, 7, true);
        assert!(!set.drop(2, 7) && set.has(2, 7) && !set.unsaid(2, 7));
    }
}
