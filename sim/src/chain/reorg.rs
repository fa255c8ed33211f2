//! Another branch takes over.

use std::sync::Arc;

use bitcoin::{Transaction, Txid};

use super::Chain;
use super::accept::Mode;
use super::block::{Fill, Reorg};
use super::pool::{Entry, Pool};
use super::refused::Refused;

/// A transaction that is neither in a block nor in the mempool at the moment.
struct Homeless {
    tx: Arc<Transaction>,
    time_s: u32,
}

impl Chain {
    /// Takes the last `depth` blocks back and mines these upon what is left. What was in them waits again, if it is
    /// still valid. If one of the new blocks cannot be made, nothing has changed.
    pub fn reorg(&mut self, depth: u32, blocks: &[Fill]) -> Result<Reorg, Refused> {
        let before = std::mem::take(&mut self.pool);
        let (time_s, salt, market) = (self.time_s, self.salt, self.market);
        let mut reorg = Reorg::default();
        for _ in 0..depth {
            reorg.disconnected.extend(self.ledger.disconnect());
        }
        let mut homeless = Vec::new();
        for block in reorg.disconnected.iter().rev() {
            homeless.extend(block.txs[1..].iter().map(|tx| Homeless { tx: Arc::clone(tx), time_s }));
        }
        homeless.extend(before.iter().map(|entry| Homeless { tx: Arc::clone(&entry.tx), time_s: entry.time_s }));
        self.house(&mut homeless);
        for fill in blocks {
            match self.choose(fill) {
                Ok(txs) => drop(self.append(txs, &mut reorg.dropped)),
                Err(refused) => {
                    self.undo(reorg, before);
                    (self.time_s, self.salt, self.market) = (time_s, salt, market);
                    return Err(refused);
                }
            }
            reorg.connected.push(Arc::clone(self.ledger.last()));
            // The new blocks may hold some of them, in another version even; others have only now become final.
            self.house(&mut homeless);
        }
        let lost = homeless.into_iter().filter_map(|one| {
            let refused = self.check(&one.tx, Mode::Returning).err()?;
            Some((one.tx.compute_txid(), refused))
        });
        let lost: Vec<(Txid, Refused)> = lost.collect();
        reorg.dropped.extend(lost);
        self.limit_size();
        Ok(reorg)
    }

    /// Takes back into the mempool what may return, parents first; the others stay homeless.
    fn house(&mut self, homeless: &mut Vec<Homeless>) {
        homeless.retain(|one| {
            let txid = one.tx.compute_txid();
            if self.place(&txid).is_some() {
                return false;
            }
            if self.gifts.contains(&txid) {
                self.pool.insert(gift_entry(Arc::clone(&one.tx), one.time_s));
                return false;
            }
            match self.check(&one.tx, Mode::Returning) {
                Ok((candidate, removed)) => {
                    self.admit(candidate, &removed, one.time_s);
                    false
                }
                Err(_) => true,
            }
        });
    }

    fn undo(&mut self, reorg: Reorg, pool: Pool) {
        for _ in &reorg.connected {
            self.ledger.disconnect();
        }
        for block in reorg.disconnected.into_iter().rev() {
            self.ledger.connect(block);
        }
        self.pool = pool;
    }
}

/// A transaction from nowhere pays nothing and is mined before all others: its fee is one that none can match.
pub(super) fn gift_entry(tx: Arc<Transaction>, time_s: u32) -> Entry {
    const FEE_SAT: u64 = 100_000_000;
    let vsize = tx.vsize() as u64;
    Entry::new(tx, FEE_SAT, vsize, time_s)
}
