//! Blocks that come back from a disk.

use std::fmt;
use std::sync::Arc;

use bitcoin::{BlockHash, Target};
use leyden_core::chain::Tip;

use super::Chain;
use super::block::Block;

/// Why a block cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The block before it is not known.
    Orphan {
        /// That one.
        previous: BlockHash,
    },
    /// Its header does not say what it holds, or nobody has worked for it.
    Header,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Orphan { previous } => write!(f, "it follows on {previous}, which is not known"),
            ReplayError::Header => write!(f, "its header does not fit what it holds"),
        }
    }
}

impl std::error::Error for ReplayError {}

impl Chain {
    /// Takes in a block that a chain of this kind has made, in the order in which it made them. One that follows on an
    /// earlier block takes back those that came after. Its transactions were checked when it was made.
    ///
    /// # Panics
    /// If transactions wait: all blocks come back before anything else happens.
    pub fn replay(&mut self, block: bitcoin::Block) -> Result<(), ReplayError> {
        assert_eq!(self.pool.len(), 0, "blocks come back before anything else happens");
        let target = Target::MAX_ATTAINABLE_REGTEST;
        if !block.check_merkle_root() || block.header.validate_pow(target).is_err() || block.txdata.is_empty() {
            return Err(ReplayError::Header);
        }
        let previous = block.header.prev_blockhash;
        let before = self.ledger.known(&previous).map(|block| block.tip).filter(|_| self.is_active(&previous));
        let Some(before) = before else { return Err(ReplayError::Orphan { previous }) };
        while self.tip() != before {
            self.ledger.disconnect();
        }
        let tip = Tip { height: before.height.plus(1), hash: block.block_hash() };
        let txs = block.txdata.into_iter().map(Arc::new).collect();
        self.time_s = self.time_s.max(block.header.time);
        self.salt += 1;
        self.market.block_came(self.time_s);
        self.ledger.connect(Arc::new(Block { tip, header: block.header, txs }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Fill, Params};

    #[test]
    fn a_chain_is_the_same_after_its_blocks_came_back() {
        let mut chain = Chain::new(Params { height: 0, ..Params::default() });
        let mut written = Vec::new();
        for _ in 0..120 {
            written.push(chain.mine().to_bitcoin());
        }
        let miner = super::super::anyone_can_spend();
        chain.faucet(miner.clone(), leyden_core::amount::Sat(5_000)).expect("coins");
        written.push(chain.mine().to_bitcoin());
        let reorg = chain.reorg(2, &[Fill::Empty, Fill::Best, Fill::Best]).expect("a longer branch");
        written.extend(reorg.connected.iter().map(|block| block.to_bitcoin()));

        let mut again = Chain::new(Params { height: 0, ..Params::default() });
        for block in &written {
            again.replay(block.clone()).expect("it was good before");
        }
        assert_eq!(again.tip(), chain.tip());
        assert_eq!(again.balance(&miner), chain.balance(&miner));
        assert!(again.coins().eq(chain.coins()));
        assert_eq!(again.median_time_s(), chain.median_time_s());
        again.faucet(miner, leyden_core::amount::Sat(5_000)).expect("its coins can be spent");

        let mut fresh = Chain::new(Params { height: 0, ..Params::default() });
        let orphan = fresh.replay(written[1].clone());
        assert_eq!(orphan, Err(ReplayError::Orphan { previous: written[0].block_hash() }));
        let mut forged = written[0].clone();
        forged.txdata[0].output[0].value = bitcoin::Amount::ZERO;
        assert_eq!(fresh.replay(forged), Err(ReplayError::Header));
    }
}
