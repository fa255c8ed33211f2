//! What the estimates make of themselves: a round of questions, then one set of feerates that can be trusted to be in
//! order.

use leyden_core::chain::{FEERATE_FLOOR_PER_KW, Feerates};

use crate::chain::rpc::Call;

/// Confirmation targets in blocks, in the order of the fields of [`Feerates`].
const TARGETS: [u16; 4] = [2, 6, 12, 100];

/// An estimate above 2,000 sat/vB is no estimate: it would be several times what any block has ever paid.
const FEERATE_CEILING_PER_KW: u64 = 500_000;

/// One round of questions.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    estimates: Vec<Option<u32>>,
}

impl Round {
    /// The next question.
    pub(super) fn call(&self) -> Call {
        match TARGETS.get(self.estimates.len()) {
            Some(target) => Call::EstimateFee(*target),
            None => Call::MempoolInfo,
        }
    }

    /// Takes an estimate in; one that is absurd counts as none.
    pub(super) fn estimate(&mut self, per_kw: Option<u64>) {
        let sane = per_kw.filter(|per_kw| (1..=FEERATE_CEILING_PER_KW).contains(per_kw));
        self.estimates.push(sane.and_then(|per_kw| u32::try_from(per_kw).ok()));
    }

    /// Ends the round. Without any estimate, as from a bitcoind that has not seen enough blocks yet, the least that its
    /// mempool takes is all that is known; that is better than nothing, by which no channel could be opened or closed.
    pub(super) fn end(self, mempool_minimum: Option<u64>) -> Feerates {
        let minimum = mempool_minimum.filter(|per_kw| *per_kw <= FEERATE_CEILING_PER_KW).unwrap_or(0);
        let minimum = u32::try_from(minimum).unwrap_or(0).max(FEERATE_FLOOR_PER_KW);
        // From the slowest to the fastest: a faster one costs at least as much, and one that is missing costs what the
        // next slower one does. The slowest ones that are missing cost what the slowest known one does.
        let mut per_kw = self.estimates.iter().rev().flatten().next().copied().unwrap_or(minimum).max(minimum);
        let mut rates = [minimum; TARGETS.len()];
        for (rate, estimate) in rates.iter_mut().zip(&self.estimates).rev() {
            per_kw = estimate.unwrap_or(per_kw).max(per_kw);
            *rate = per_kw;
        }
        let [blocks_2, blocks_6, blocks_12, blocks_100] = rates;
        Feerates { blocks_2, blocks_6, blocks_12, blocks_100, mempool_minimum: minimum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(estimates: [Option<u64>; 4], minimum: Option<u64>) -> [u32; 5] {
        let mut round = Round::default();
        for (estimate, target) in estimates.into_iter().zip(TARGETS) {
            assert_eq!(round.call(), Call::EstimateFee(target));
            round.estimate(estimate);
        }
        assert_eq!(round.call(), Call::MempoolInfo);
        let rates = round.end(minimum);
        [rates.blocks_2, rates.blocks_6, rates.blocks_12, rates.blocks_100, rates.mempool_minimum]
    }

    #[test]
    fn estimates_are_in_order_and_above_the_floor() {
        let known = |rates: [u64; 4]| rates.map(Some);
        assert_eq!(round(known([5000, 3000, 2000, 1000]), Some(250)), [5000, 3000, 2000, 1000, 253]);
        assert_eq!(round(known([900, 3000, 100, 50]), Some(500)), [3000, 3000, 500, 500, 500]);
        assert_eq!(round([None, Some(3000), None, Some(1000)], None), [3000, 3000, 1000, 1000, 253]);
        assert_eq!(round([Some(4000), None, None, None], None), [4000, 4000, 4000, 4000, 253]);
        // Zero and the absurd do not count.
        let absurd = [Some(1 << 40), Some(2000), Some(0), None];
        assert_eq!(round(absurd, Some(1 << 40)), [2000, 2000, 2000, 2000, 253]);
        // Nothing but the minimum is known, or not even that.
        assert_eq!(round([None; 4], Some(1000)), [1000; 5]);
        assert_eq!(round([None; 4], None), [FEERATE_FLOOR_PER_KW; 5]);
    }
}
