//! Labels: who could write a field, and what an author says of it.

/// Labels of a profile at most: they are bits.
pub(crate) const MAX_LABELS: usize = 64;

/// A set of labels, as bits in the order of [`Program::labels`](super::Program::labels).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSet(u64);

impl LabelSet {
    /// What the user said.
    pub(crate) const USER: Self = Self(1);
    /// What the organisation's own systems hold.
    pub(crate) const ORG: Self = Self(2);
    /// What anybody else could write.
    pub(crate) const OUTSIDE: Self = Self(4);

    /// The label of that place; none where there is no such bit.
    pub(crate) fn bit(place: usize) -> Self {
        Self(u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or(0))
    }

    /// The bits.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The set of those bits.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Both together.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What of this is not in the other.
    #[must_use]
    pub(crate) const fn less(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether some label is in both.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no label.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Places of the labels, in order.
    pub(crate) fn places(self) -> impl Iterator<Item = usize> {
        (0..MAX_LABELS).filter(move |place| self.meets(Self::bit(*place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_join_and_part() {
        let both = LabelSet::USER.and(LabelSet::OUTSIDE);
        assert!(both.meets(LabelSet::OUTSIDE) && !both.meets(LabelSet::ORG));
        assert_eq!(both.less(LabelSet::USER), LabelSet::OUTSIDE);
        assert_eq!(both.places().collect::<Vec<_>>(), [0, 2]);
        assert!(LabelSet::bit(64).is_empty() && !LabelSet::bit(63).is_empty());
    }
}
