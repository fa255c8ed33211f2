//! What has passed through a channel so far, for people. Written with the row that each commitment writes anyway.

use crate::amount::Msat;
use crate::side::{PerSide, Side};

use super::ledger::{HtlcKey, Ledger, Moved, Removal};
use super::{Htlc, HtlcState};

/// HTLCs of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Flow {
    /// How many were irrevocably offered.
    pub offered_count: u64,
    /// What they carried.
    pub offered_msat: Msat,
    /// How many of them were irrevocably fulfilled.
    pub fulfilled_count: u64,
    /// What they carried.
    pub fulfilled_msat: Msat,
}

/// What has passed through a channel so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Totals {
    /// By the side that offered.
    pub flows: PerSide<Flow>,
    /// The least that was ever ours.
    pub min_to_us_msat: Msat,
    /// The most.
    pub max_to_us_msat: Msat,
}

impl Totals {
    /// Of a channel in which nothing has happened, as far as anybody knows.
    pub fn new(to_us_msat: Msat) -> Totals {
        Totals { flows: PerSide::default(), min_to_us_msat: to_us_msat, max_to_us_msat: to_us_msat }
    }

    /// Counts what a step has moved. Whatever the ledger still has is looked up there.
    pub(super) fn count(&mut self, moved: &[Moved], ledger: &Ledger) {
        for moved in moved {
            match moved {
                Moved::Advanced(_) => {}
                Moved::Added(key) => {
                    if let Some(htlc) = ledger.htlc(*key) {
                        let flow = &mut self.flows[key.offered_by];
                        flow.offered_count += 1;
                        flow.offered_msat = flow.offered_msat.saturating_add(htlc.amount_msat);
                    }
                }
                Moved::Removed(key, htlc) => self.count_removed(*key, htlc),
            }
        }
        let to_us_msat = ledger.base()[Side::Local];
        self.min_to_us_msat = self.min_to_us_msat.min(to_us_msat);
        self.max_to_us_msat = self.max_to_us_msat.max(to_us_msat);
    }

    fn count_removed(&mut self, key: HtlcKey, htlc: &Htlc) {
        if let HtlcState::Removing(_, Removal::Fulfilled(_)) = htlc.state {
            let flow = &mut self.flows[key.offered_by];
            flow.fulfilled_count += 1;
            flow.fulfilled_msat = flow.fulfilled_msat.saturating_add(htlc.amount_msat);
        }
    }
}
