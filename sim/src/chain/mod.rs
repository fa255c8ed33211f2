//! A chain in memory: real blocks on regtest, what they leave unspent, and a mempool with the rules of Bitcoin Core 29.
//!
//! One model serves simulations of thousands of nodes and a daemon that brings its own regtest chain. Every question
//! has an index, so that none of the operations but a reorganisation looks at all of the chain or of the mempool.
//!
//! Where it is simpler than bitcoind:
//! - relay rules for scripts are those of standardness and of low `s`; the interpreter runs with consensus' flags;
//! - the memory that the mempool takes is an estimate, and its minimum feerate halves in steps of whole half-lives;
//! - blocks do not limit signature operations.

mod accept;
mod block;
mod filter;
mod ledger;
mod market;
mod mine;
mod package;
mod policy;
mod pool;
mod refused;
mod reorg;
mod replay;
mod standard;
#[cfg(test)]
mod tests;
mod tools;
mod truc;
mod verify;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use bitcoin::{BlockHash, OutPoint, Script, Transaction, Txid};
use leyden_core::amount::Sat;
use leyden_core::chain::Tip;
use leyden_core::ids::BlockHeight;

use accept::Mode;
use ledger::Ledger;
use market::Market;
use pool::Pool;

pub use block::{Block, Fill, Place, Reorg};
pub use filter::{BlockIndex, Filter};
pub use ledger::Coin;
pub use policy::{Params, Policy, anyone_can_spend, anyones_witness};
pub use refused::{ChainLimit, PackageRefused, PackageReplace, Refused, ReplaceRule, TrucViolation};
pub use replay::ReplayError;
pub use standard::dust_limit_sat;

/// The chain.
#[derive(Clone, Debug)]
pub struct Chain {
    ledger: Ledger,
    pool: Pool,
    policy: Policy,
    market: Market,
    miner: bitcoin::ScriptBuf,
    time_s: u32,
    spacing_s: u32,
    /// Makes each coinbase another one.
    salt: u32,
    /// Transactions from nowhere. No rule applies to them.
    gifts: BTreeSet<Txid>,
}

impl Default for Chain {
    /// The first blocks are always the same, so they are mined once.
    fn default() -> Chain {
        static START: LazyLock<Chain> = LazyLock::new(|| Chain::new(Params::default()));
        START.clone()
    }
}

impl Chain {
    /// A chain with so many blocks as the parameters say.
    pub fn new(params: Params) -> Chain {
        const PAST_SPACING_S: u32 = 600;
        let mut chain = Chain {
            ledger: Ledger::new(),
            pool: Pool::default(),
            policy: params.policy,
            market: Market::default(),
            miner: params.miner,
            time_s: params.time_s.saturating_sub(params.height.saturating_mul(PAST_SPACING_S)),
            spacing_s: PAST_SPACING_S,
            salt: 0,
            gifts: BTreeSet::new(),
        };
        for _ in 0..params.height {
            chain.mine();
        }
        chain.spacing_s = params.spacing_s;
        chain
    }

    /// The last block's place.
    pub fn tip(&self) -> Tip {
        self.ledger.last().tip
    }

    /// The block at this height.
    pub fn block(&self, height: BlockHeight) -> Option<&Block> {
        self.ledger.block(height.0).map(|block| &**block)
    }

    /// The block with this hash, even if a reorganisation has taken it out of the chain.
    pub fn block_by_hash(&self, hash: &BlockHash) -> Option<&Arc<Block>> {
        self.ledger.known(hash)
    }

    /// Is the block with this hash of the chain now?
    pub fn is_active(&self, hash: &BlockHash) -> bool {
        let block = self.ledger.known(hash).and_then(|block| self.ledger.block(block.tip.height.0));
        block.is_some_and(|block| block.tip.hash == *hash)
    }

    /// Where in the chain a transaction is.
    pub fn place(&self, txid: &Txid) -> Option<Place> {
        self.ledger.place(txid)
    }

    /// A transaction, from a block or from the mempool.
    pub fn tx(&self, txid: &Txid) -> Option<&Arc<Transaction>> {
        self.ledger.tx(txid).or_else(|| self.pool.get(txid).map(|entry| &entry.tx))
    }

    /// How deep in the chain a transaction is; zero if it is in no block.
    pub fn confirmations(&self, txid: &Txid) -> u32 {
        self.place(txid).map_or(0, |place| self.ledger.height() - place.height.0 + 1)
    }

    /// An output that no block spends.
    pub fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.ledger.coin(outpoint)
    }

    /// All outputs that no block spends.
    pub fn coins(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.ledger.unspent().iter()
    }

    /// The outputs on a script that no block spends.
    pub fn coins_of(&self, script: &Script) -> impl Iterator<Item = (OutPoint, &Coin)> {
        self.ledger.coins_of(script)
    }

    /// What lies on a script, in blocks.
    pub fn balance(&self, script: &Script) -> Sat {
        Sat(self.ledger.balance_sat(script))
    }

    /// The transaction that spends an output, in a block or in the mempool.
    pub fn spender(&self, outpoint: OutPoint) -> Option<Txid> {
        self.ledger.spender(&outpoint).or_else(|| self.pool.spender(&outpoint))
    }

    /// Transactions that wait for a block, in the order in which they came.
    pub fn mempool(&self) -> impl Iterator<Item = &Arc<Transaction>> {
        self.pool.iter().map(|entry| &entry.tx)
    }

    /// How many transactions wait for a block.
    pub fn mempool_len(&self) -> usize {
        self.pool.len()
    }

    /// Does this transaction wait for a block?
    pub fn is_waiting(&self, txid: &Txid) -> bool {
        self.pool.get(txid).is_some()
    }

    /// The fee of a transaction that waits, and its size as policy counts it, in vbytes.
    pub fn fee_and_vsize(&self, txid: &Txid) -> Option<(Sat, u64)> {
        self.pool.get(txid).map(|entry| (Sat(entry.fee_sat), entry.vsize))
    }

    /// The clock, in seconds since 1970.
    pub fn time_s(&self) -> u32 {
        self.time_s
    }

    /// Sets the clock: blocks carry its time, and transactions expire by it.
    pub fn set_time_s(&mut self, time_s: u32) {
        self.time_s = time_s;
    }

    /// The median time of the last eleven blocks: what lock times are compared to (BIP 113).
    pub fn median_time_s(&self) -> u32 {
        self.ledger.mtp_s(self.ledger.height())
    }

    /// The mempool's rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The mempool's rules, to be changed for what comes from now on.
    pub fn policy_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }

    /// Takes a transaction into the mempool. One that is there already is fine, and so is one of a block as long as an
    /// output of it is unspent; later it is one with missing inputs, as for bitcoind.
    pub fn broadcast(&mut self, tx: &Transaction) -> Result<(), Refused> {
        match self.accept(&Arc::new(tx.clone())) {
            Err(Refused::AlreadyInMempool | Refused::SameTxidInMempool | Refused::AlreadyKnown) => Ok(()),
            result => result,
        }
    }

    /// Would the mempool take this transaction? The answer is its fee and its size as policy counts it, in vbytes.
    pub fn test_accept(&self, tx: &Transaction) -> Result<(Sat, u64), Refused> {
        let (candidate, _) = self.check(&Arc::new(tx.clone()), Mode::Single)?;
        Ok((Sat(candidate.fee_sat), candidate.vsize))
    }
}
