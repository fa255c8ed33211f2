//! What the core knows of the chain: where its tip is, what fees cost, how the backend is.

use bitcoin::BlockHash;

use crate::ids::BlockHeight;

/// A block and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Tip {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash.
    #[bincode(with_serde)]
    pub hash: BlockHash,
}

/// Feerates by how soon a transaction should confirm, in satoshi per 1,000 weight units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Feerates {
    /// Within 2 blocks.
    pub blocks_2: u32,
    /// Within 6 blocks.
    pub blocks_6: u32,
    /// Within 12 blocks.
    pub blocks_12: u32,
    /// Within 100 blocks.
    pub blocks_100: u32,
    /// What the backend's mempool takes at least.
    pub mempool_minimum: u32,
}

/// BOLT 3's floor: below it the smallest transactions fall under the relay minimum of 1 sat/vB by rounding.
pub const FEERATE_FLOOR_PER_KW: u32 = 253;

impl Feerates {
    /// Is there nothing in them but what the mempool takes at least?
    pub fn is_bare(&self) -> bool {
        [self.blocks_2, self.blocks_6, self.blocks_12, self.blocks_100].iter().all(|rate| *rate == self.mempool_minimum)
    }

    /// As they are, but for a mempool that takes no less than this.
    #[must_use]
    pub fn at_least(self, mempool_minimum: u32) -> Feerates {
        Feerates {
            blocks_2: self.blocks_2.max(mempool_minimum),
            blocks_6: self.blocks_6.max(mempool_minimum),
            blocks_12: self.blocks_12.max(mempool_minimum),
            blocks_100: self.blocks_100.max(mempool_minimum),
            mempool_minimum,
        }
    }
}

impl Default for Feerates {
    fn default() -> Feerates {
        let floor = FEERATE_FLOOR_PER_KW;
        Feerates { blocks_2: floor, blocks_6: floor, blocks_12: floor, blocks_100: floor, mempool_minimum: floor }
    }
}

/// How the chain backend is.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Backend {
    /// Nothing heard yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not, and why.
    Down {
        /// For people.
        reason: String,
    },
}

/// The core's view of the chain.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub struct Chain {
    /// The best block taken in, if any.
    pub tip: Option<Tip>,
    /// Have we taken in all blocks that the backend had when it was last asked?
    pub synced: bool,
    /// Current feerates; `None` until the backend has named any.
    pub feerates: Option<Feerates>,
    /// What its mempool takes at least, while it has no estimates: enough for transactions of our own, which can be
    /// paid for later, and no reason to lower what the commitments of channels pay.
    pub fallback: Option<Feerates>,
    /// How the backend is.
    pub backend: Backend,
}

impl Chain {
    /// Height of the tip; zero before the first block.
    pub fn height(&self) -> BlockHeight {
        self.tip.map_or(BlockHeight(0), |tip| tip.height)
    }

    /// The feerates, or the least that can be while none are known.
    pub fn feerates(&self) -> Feerates {
        self.feerates.or(self.fallback).unwrap_or_default()
    }
}
