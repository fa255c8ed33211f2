//! What a place in a block and in the mempool costs.

use leyden_core::chain::{FEERATE_FLOOR_PER_KW, Feerates};

use super::Chain;
use super::pool::Rate;

/// How long it takes until the price of a full mempool has halved, once blocks come again.
const HALF_LIFE_S: u32 = 12 * 3_600;

/// What is known of the price beside the transactions that wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Market {
    /// What others pay who are not modelled: below it nothing is mined.
    mined_from_per_kvb: u64,
    /// What others pay who fill the mempool.
    mempool_from_per_kvb: u64,
    /// What the last eviction has raised the price to.
    rolling_per_kvb: u64,
    /// Since when that falls; not before there is a block.
    falls_since_s: Option<u32>,
}

impl Market {
    pub(super) fn mined_from_per_kvb(&self) -> u64 {
        self.mined_from_per_kvb
    }

    /// A block makes room: from now on the price falls.
    pub(super) fn block_came(&mut self, time_s: u32) {
        self.falls_since_s.get_or_insert(time_s);
    }
}

/// 1,000 vbytes are 4,000 weight units.
fn per_kvb(per_kw: u32) -> u64 {
    u64::from(per_kw) * 4
}

/// Rounded up, so that the mempool takes what pays it.
fn per_kw(per_kvb: u64) -> u32 {
    u32::try_from(per_kvb.div_ceil(4)).unwrap_or(u32::MAX)
}

impl Chain {
    /// Other people's transactions, as a number: what pays less than this is not mined, in satoshi per 1,000 weight
    /// units.
    pub fn set_fee_floor(&mut self, sat_per_kw: u32) {
        self.market.mined_from_per_kvb = per_kvb(sat_per_kw);
    }

    /// Other people's transactions in a full mempool: what pays less is not taken, and leaves if it is there.
    pub fn set_mempool_minimum(&mut self, sat_per_kw: u32) {
        self.market.mempool_from_per_kvb = per_kvb(sat_per_kw);
        while let Some(worst) = self.pool.worst() {
            let entry = self.pool.entry(&worst);
            let score = entry.rate().max(entry.down.rate());
            if !score.is_below(self.market.mempool_from_per_kvb) {
                break;
            }
            self.pool.remove_with_descendants(&worst);
        }
    }

    /// The feerate below which the mempool takes nothing, in satoshi per 1,000 vbytes.
    pub fn mempool_minimum_per_kvb(&self) -> u64 {
        let market = &self.market;
        let halvings = market.falls_since_s.map_or(0, |since_s| self.time_s.saturating_sub(since_s) / HALF_LIFE_S);
        let rolling = market.rolling_per_kvb.checked_shr(halvings).unwrap_or(0);
        // As in bitcoind, a price below half of the increment is none, and any other is at least the increment.
        let rolling = match rolling {
            0 => 0,
            low if low < self.policy.incremental_per_kvb / 2 => 0,
            price => price.max(self.policy.incremental_per_kvb),
        };
        rolling.max(market.mempool_from_per_kvb)
    }

    /// About how much memory bitcoind would need for what waits, in bytes.
    pub fn mempool_bytes(&self) -> u64 {
        self.pool.bytes()
    }

    /// Throws out what has waited too long, and what pays least while there is too much.
    pub(super) fn limit_size(&mut self) {
        while let Some(oldest) = self.pool.oldest()
            && self.time_s > self.pool.entry(&oldest).time_s.saturating_add(self.policy.expiry_s)
        {
            self.pool.remove_with_descendants(&oldest);
        }
        while self.pool.bytes() > self.policy.max_mempool_bytes
            && let Some(worst) = self.pool.worst()
        {
            let Rate { fee_sat, vsize } = self.pool.entry(&worst).down.rate();
            let price = fee_sat * 1_000 / vsize + self.policy.incremental_per_kvb;
            if price > self.market.rolling_per_kvb {
                self.market.rolling_per_kvb = price;
                self.market.falls_since_s = None;
            }
            self.pool.remove_with_descendants(&worst);
        }
    }

    /// What a transaction should pay to be in one of the next blocks, in satoshi per 1,000 weight units: what has to be
    /// outbid in the mempool, and what others are known to pay.
    pub fn feerate_for(&self, blocks: u32) -> u32 {
        let lowest =
            self.market.mined_from_per_kvb.max(self.mempool_minimum_per_kvb()).max(self.policy.min_relay_per_kvb);
        let room = self.policy.block_weight - self.policy.block_reserved_weight;
        let room = room.saturating_mul(u64::from(blocks.max(1)));
        let mut price = per_kw(lowest).max(FEERATE_FLOOR_PER_KW);
        // Most of the time everything fits, and nobody has to be outbid.
        if self.pool.weight() > room {
            let mut weight = 0;
            for txid in self.pool.best_first() {
                let entry = self.pool.entry(&txid);
                weight += entry.weight;
                if weight > room {
                    let up = entry.up;
                    price = price.max(per_kw(up.fee_sat * 1_000 / up.vsize + self.policy.incremental_per_kvb));
                    break;
                }
            }
        }
        price
    }

    /// What a backend would tell of the feerates.
    pub fn feerates(&self) -> Feerates {
        Feerates {
            blocks_2: self.feerate_for(2),
            blocks_6: self.feerate_for(6),
            blocks_12: self.feerate_for(12),
            blocks_100: self.feerate_for(100),
            mempool_minimum: per_kw(self.mempool_minimum_per_kvb().max(self.policy.min_relay_per_kvb))
                .max(FEERATE_FLOOR_PER_KW),
        }
    }
}
