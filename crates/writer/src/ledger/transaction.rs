//! One transaction, staged in portions.
//!
//! Records that nobody waits for come one by one over milliseconds. Staging them as they come, a few
//! at a time, keeps the writer's thread from taking the processor for all of them at once.

use flyball_decision::RecordDraft;

use super::{Broken, Committed, Ledger, UnitOutcome};
use crate::chain::Head;
use crate::fault::Fault;
use crate::unit::{Home, Unit};

/// A transaction that is open: the head that it would leave, and what became of its members so far.
pub(crate) struct Open {
    head: Head,
    units: Vec<UnitOutcome>,
    drafts: Vec<bool>,
}

impl Ledger<'_> {
    /// Open a transaction and stage units in it. After an error there is none open.
    pub(crate) fn begin(&mut self, units: &[&Unit]) -> Result<Open, Broken> {
        let staged = self.begin.execute([]).map_err(Fault::from).and_then(|_| self.stage_units(units));
        match staged {
            Ok((head, units)) => Ok(Open { head, units, drafts: Vec::new() }),
            Err(fault) => {
                self.roll_back();
                Err(Broken::RolledBack { fault, by_drafts: false })
            }
        }
    }

    /// Stage records of decisions. After an error the transaction is rolled back, with all that was in it.
    pub(crate) fn add<'d>(
        &mut self,
        open: &mut Open,
        drafts: impl Iterator<Item = &'d RecordDraft>,
        home: &Home,
    ) -> Result<(), Broken> {
        match self.stage_drafts(open.head, drafts, home) {
            Ok((head, written)) => {
                open.head = head;
                open.drafts.extend(written);
                Ok(())
            }
            Err(fault) => {
                self.roll_back();
                Err(Broken::RolledBack { fault, by_drafts: true })
            }
        }
    }

    /// Commit. The head moves only now.
    pub(crate) fn commit(&mut self, open: Open) -> Result<Committed, Broken> {
        if let Err(error) = self.advance_catalogue(false) {
            self.roll_back();
            return Err(Broken::RolledBack { fault: error.into(), by_drafts: false });
        }
        if let Err(error) = self.commit.execute([]) {
            self.roll_back();
            self.seen_version = None;
            return Err(Broken::Unknown(error.into()));
        }
        let Open { head, units, drafts } = open;
        self.committed(head);
        Ok(Committed { units, drafts })
    }
}
