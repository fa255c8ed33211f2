//! From facts to coins: blocks come and go, transactions of ours are taken or refused.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};

use super::rows::{SpentBy, TransactionRow, outpoint_key, txid_key};
use super::{BURIED_BLOCKS, Coin, Known, Origin, Wallet};
use crate::command::{Command, Sink, Watch};
use crate::event::{BroadcastOutcome, Match};
use crate::ids::BlockHeight;
use crate::store::Table;

/// Is it so deep that it will not be taken back?
pub(super) fn is_buried(known: &Known, tip: BlockHeight) -> bool {
    known.confirmed.is_some_and(|(height, _)| tip.since(height) >= BURIED_BLOCKS)
}

fn spends(tx: &Transaction) -> impl Iterator<Item = OutPoint> + '_ {
    tx.input.iter().map(|input| input.previous_output)
}

impl Wallet {
    /// The next block, and what in it anybody here watches.
    pub fn block_connected(&mut self, height: BlockHeight, matches: &[Match<'_>], out: &mut dyn Sink) {
        self.tip = height;
        let mut changed = false;
        for found in matches {
            let confirmed = Some((height, found.index));
            let txid = found.tx.compute_txid();
            if let Some(known) = self.txs.get_mut(&txid) {
                known.confirmed = confirmed;
            } else if self.concerns(found.tx) || self.rivals(found.tx) {
                self.insert(found.tx, confirmed, Origin::Chain);
            } else {
                continue;
            }
            for output in &found.tx.output {
                if let Some(place) = self.keychains.place(&output.script_pubkey) {
                    self.keychains.paid(place, out);
                }
            }
            self.put_tx(txid, out);
            changed = true;
        }
        if changed {
            self.recompute(out);
        }
        self.bury(out);
    }

    /// The tip is not part of the best chain any more.
    pub fn block_disconnected(&mut self, height: BlockHeight, out: &mut dyn Sink) {
        self.tip = BlockHeight(height.0.saturating_sub(1));
        let back: Vec<Txid> = self
            .txs
            .iter()
            .filter(|(_, known)| known.confirmed.is_some_and(|(confirmed, _)| confirmed >= height))
            .map(|(txid, _)| *txid)
            .collect();
        for txid in &back {
            let known = self.txs.get_mut(txid).expect("it was just found");
            known.confirmed = None;
            // A reward exists in its own block only.
            if known.tx.is_coinbase() {
                self.forget(*txid, out);
            } else {
                self.put_tx(*txid, out);
            }
        }
        if !back.is_empty() {
            self.recompute(out);
        }
    }

    /// Broadcasts a transaction; if it spends from us or pays us, it counts from now on.
    pub fn broadcast(&mut self, tx: &Transaction, purpose: &str, out: &mut dyn Sink) {
        self.add_unconfirmed(tx, purpose, out);
        out.emit(Command::Broadcast { tx, purpose });
    }

    /// Somebody else broadcasts a transaction that we made, or helped to make.
    pub fn add_unconfirmed(&mut self, tx: &Transaction, label: &str, out: &mut dyn Sink) {
        let txid = tx.compute_txid();
        if self.txs.contains_key(&txid) || !self.concerns(tx) {
            return;
        }
        self.insert(tx, None, Origin::Ours { label: label.to_owned(), accepted: false });
        self.put_tx(txid, out);
        self.recompute(out);
    }

    /// How a broadcast went. A transaction that the backend has never taken is forgotten and its inputs are free; one
    /// that it took once may still be on its way elsewhere.
    pub fn broadcast_outcome(&mut self, txid: Txid, outcome: &BroadcastOutcome, out: &mut dyn Sink) {
        let Some(known) = self.txs.get_mut(&txid) else { return };
        let Origin::Ours { accepted, .. } = &mut known.origin else { return };
        match outcome {
            BroadcastOutcome::Accepted if !*accepted => {
                *accepted = true;
                self.put_tx(txid, out);
            }
            BroadcastOutcome::Rejected { .. } if !*accepted && known.confirmed.is_none() => {
                self.abandon(txid, out);
            }
            BroadcastOutcome::Accepted | BroadcastOutcome::Rejected { .. } | BroadcastOutcome::Unreachable => {}
        }
    }

    /// Gives up a transaction that is in no block, and what spends from it. Its inputs are free again.
    pub fn abandon(&mut self, txid: Txid, out: &mut dyn Sink) {
        if self.txs.get(&txid).is_some_and(|known| known.confirmed.is_none()) {
            self.forget(txid, out);
            self.recompute(out);
        }
    }

    /// Broadcasts again what is ours and in no block: mempools forget, and a backend may have been down.
    pub fn rebroadcast(&self, out: &mut dyn Sink) {
        let valid = self.valid();
        let mut waiting: Vec<&Known> = self
            .txs
            .iter()
            .filter(|(txid, known)| known.is_ours() && known.confirmed.is_none() && valid.contains(*txid))
            .map(|(_, known)| known)
            .collect();
        // Parents first.
        waiting.sort_by_key(|known| known.order);
        for known in waiting {
            out.emit(Command::Broadcast { tx: &known.tx, purpose: "still unconfirmed" });
        }
    }

    /// Does it pay us or spend from us?
    pub(super) fn concerns(&self, tx: &Transaction) -> bool {
        tx.output.iter().any(|output| self.owns(&output.script_pubkey))
            || spends(tx).any(|outpoint| self.is_ours(outpoint))
    }

    /// Is it an output of ours? Those of transactions just seen in the same block are no coins yet.
    fn is_ours(&self, outpoint: OutPoint) -> bool {
        let output = || self.txs.get(&outpoint.txid)?.tx.output.get(outpoint.vout as usize);
        self.coins.contains_key(&outpoint) || output().is_some_and(|output| self.owns(&output.script_pubkey))
    }

    /// Does it spend what an unconfirmed transaction of ours spends? The two exclude each other.
    fn rivals(&self, tx: &Transaction) -> bool {
        let unconfirmed = self.txs.values().filter(|known| known.confirmed.is_none());
        let inputs: BTreeSet<OutPoint> = spends(tx).collect();
        unconfirmed.flat_map(|known| spends(&known.tx)).any(|outpoint| inputs.contains(&outpoint))
    }

    fn insert(&mut self, tx: &Transaction, confirmed: Option<(BlockHeight, u32)>, origin: Origin) {
        let order = self.next_order;
        self.next_order += 1;
        let known = Known { tx: tx.clone(), confirmed, order, since: self.tip, origin };
        self.txs.insert(tx.compute_txid(), known);
    }

    fn put_tx(&self, txid: Txid, out: &mut dyn Sink) {
        let known = &self.txs[&txid];
        let row = TransactionRow::new(&known.tx, known.confirmed, known.order, known.since, known.origin.clone());
        out.emit(Command::Put { table: Table::Transaction, key: txid_key(txid).as_slice(), value: &row });
    }

    /// Removes a transaction and all that spend from it. [`Wallet::recompute`] must follow.
    fn forget(&mut self, txid: Txid, out: &mut dyn Sink) {
        let mut doomed = vec![txid];
        while let Some(txid) = doomed.pop() {
            let Some(known) = self.txs.remove(&txid) else { continue };
            out.emit(Command::Delete { table: Table::Transaction, key: txid_key(txid).as_slice() });
            for vout in 0..known.tx.output.len() as u32 {
                if let Some(coin) = self.coins.get_mut(&OutPoint { txid, vout }) {
                    coin.confirmed = None;
                }
            }
            let children = self.txs.iter().filter(|(_, child)| spends(&child.tx).any(|from| from.txid == txid));
            doomed.extend(children.map(|(child, _)| *child));
        }
    }

    /// Which transactions in memory stand: those in blocks, and of the others the latest among those that exclude each
    /// other, if what they spend stands.
    fn valid(&self) -> BTreeSet<Txid> {
        let mut claimed: BTreeMap<OutPoint, Txid> = BTreeMap::new();
        let mut unconfirmed = Vec::new();
        let mut valid = BTreeSet::new();
        for (txid, known) in &self.txs {
            if known.confirmed.is_some() {
                valid.insert(*txid);
                claimed.extend(spends(&known.tx).map(|outpoint| (outpoint, *txid)));
            } else {
                unconfirmed.push((known.order, *txid));
            }
        }
        unconfirmed.sort_unstable();
        for (_, txid) in unconfirmed.iter().rev() {
            let tx = &self.txs[txid].tx;
            if spends(tx).all(|outpoint| !claimed.contains_key(&outpoint)) {
                claimed.extend(spends(tx).map(|outpoint| (outpoint, *txid)));
            }
        }
        for (_, txid) in &unconfirmed {
            let stands = |outpoint: OutPoint| {
                claimed.get(&outpoint) == Some(txid)
                    && (!self.txs.contains_key(&outpoint.txid) || valid.contains(&outpoint.txid))
            };
            if spends(&self.txs[txid].tx).all(stands) {
                valid.insert(*txid);
            }
        }
        valid
    }

    /// Computes the coins from the facts and writes what is different.
    fn recompute(&mut self, out: &mut dyn Sink) {
        let valid = self.valid();
        let mut coins: BTreeMap<OutPoint, Coin> = BTreeMap::new();
        // Settled ones: their transaction has left memory.
        for (outpoint, coin) in &self.coins {
            if coin.confirmed.is_some() && !self.txs.contains_key(&outpoint.txid) {
                coins.insert(*outpoint, Coin { spent: None, ..*coin });
            }
        }
        for txid in &valid {
            let known = &self.txs[txid];
            for (vout, output) in known.tx.output.iter().enumerate() {
                let Some(place) = self.keychains.place(&output.script_pubkey) else { continue };
                let outpoint = OutPoint { txid: *txid, vout: vout as u32 };
                let coin = Coin {
                    amount: output.value.into(),
                    place,
                    confirmed: known.confirmed.map(|(height, _)| height),
                    coinbase: known.tx.is_coinbase(),
                    ours: known.is_ours(),
                    spent: None,
                    reserved_to: self.coins.get(&outpoint).and_then(|coin| coin.reserved_to),
                };
                coins.insert(outpoint, coin);
            }
        }
        for txid in &valid {
            let known = &self.txs[txid];
            let height = known.confirmed.map(|(height, _)| height);
            for outpoint in spends(&known.tx) {
                if let Some(coin) = coins.get_mut(&outpoint) {
                    coin.spent = Some(SpentBy { txid: *txid, height });
                }
            }
        }
        let old = std::mem::replace(&mut self.coins, coins);
        for (outpoint, coin) in &self.coins {
            let before = old.get(outpoint);
            if before.is_none() {
                out.emit(Command::Watch(Watch::Spend(*outpoint)));
            }
            if before != Some(coin) {
                self.put_coin(*outpoint, out);
            }
        }
        for outpoint in old.keys().filter(|outpoint| !self.coins.contains_key(outpoint)) {
            self.drop_coin(*outpoint, out);
        }
    }

    pub(super) fn put_coin(&self, outpoint: OutPoint, out: &mut dyn Sink) {
        let key = outpoint_key(outpoint);
        out.emit(Command::Put { table: Table::Utxo, key: key.as_slice(), value: &self.coins[&outpoint] });
    }

    fn drop_coin(&self, outpoint: OutPoint, out: &mut dyn Sink) {
        out.emit(Command::Delete { table: Table::Utxo, key: outpoint_key(outpoint).as_slice() });
        out.emit(Command::Watch(Watch::Unspend(outpoint)));
    }

    /// Lets go of what nothing can change any more.
    fn bury(&mut self, out: &mut dyn Sink) {
        let tip = self.tip;
        let buried: BTreeSet<Txid> =
            self.txs.iter().filter(|(_, known)| is_buried(known, tip)).map(|(txid, _)| *txid).collect();
        if buried.is_empty() {
            return;
        }
        let gone: BTreeSet<OutPoint> = buried.iter().flat_map(|txid| spends(&self.txs[txid].tx)).collect();
        let beaten: Vec<Txid> = self
            .txs
            .iter()
            .filter(|(_, known)| known.confirmed.is_none() && spends(&known.tx).any(|from| gone.contains(&from)))
            .map(|(txid, _)| *txid)
            .collect();
        for txid in beaten {
            self.forget(txid, out);
        }
        for outpoint in gone {
            if self.coins.remove(&outpoint).is_some() {
                self.drop_coin(outpoint, out);
            }
        }
        self.txs.retain(|txid, _| !buried.contains(txid));
        self.recompute(out);
    }
}
