//! The transactions that wait, how they are related, and in which order they would be mined or thrown out.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bitcoin::{OutPoint, Transaction, TxOut, Txid};

/// A feerate as a fraction: no division, so no rounding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) fee_sat: u64,
    pub(super) vsize: u64,
}

impl Rate {
    pub(super) fn new(fee_sat: u64, vsize: u64) -> Rate {
        Rate { fee_sat, vsize }
    }

    /// In satoshi per 1,000 vbytes, rounded down: as bitcoind compares feerates where it does not order by them.
    pub(super) fn per_kvb(self) -> u64 {
        self.fee_sat * 1_000 / self.vsize
    }

    /// Is it below so many satoshi per 1,000 vbytes? Fees are rounded up as bitcoind does.
    pub(super) fn is_below(self, per_kvb: u64) -> bool {
        self.fee_sat < fee_at(per_kvb, self.vsize)
    }
}

/// The fee of this size at a feerate per 1,000 vbytes, rounded up.
pub(super) fn fee_at(per_kvb: u64, vsize: u64) -> u64 {
    (per_kvb * vsize).div_ceil(1_000)
}

impl Ord for Rate {
    fn cmp(&self, other: &Rate) -> Ordering {
        let ours = u128::from(self.fee_sat) * u128::from(other.vsize);
        ours.cmp(&(u128::from(other.fee_sat) * u128::from(self.vsize)))
    }
}

impl PartialOrd for Rate {
    fn partial_cmp(&self, other: &Rate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rate {
    fn eq(&self, other: &Rate) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rate {}

/// Sums over a transaction and its ancestors or descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) count: u64,
    pub(super) vsize: u64,
    pub(super) weight: u64,
    pub(super) fee_sat: u64,
}

impl Totals {
    fn add(&mut self, other: Totals) {
        self.count += other.count;
        self.vsize += other.vsize;
        self.weight += other.weight;
        self.fee_sat += other.fee_sat;
    }

    pub(super) fn sub(&mut self, other: Totals) {
        self.count -= other.count;
        self.vsize -= other.vsize;
        self.weight -= other.weight;
        self.fee_sat -= other.fee_sat;
    }

    pub(super) fn rate(self) -> Rate {
        Rate::new(self.fee_sat, self.vsize)
    }
}

/// A transaction that waits.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) tx: Arc<Transaction>,
    pub(super) fee_sat: u64,
    pub(super) vsize: u64,
    pub(super) weight: u64,
    pub(super) bytes: u64,
    /// When it came, counted and by the clock.
    pub(super) seq: u64,
    pub(super) time_s: u32,
    pub(super) parents: BTreeSet<Txid>,
    pub(super) children: BTreeSet<Txid>,
    /// With all ancestors.
    pub(super) up: Totals,
    /// With all descendants.
    pub(super) down: Totals,
}

impl Entry {
    pub(super) fn new(tx: Arc<Transaction>, fee_sat: u64, vsize: u64, time_s: u32) -> Entry {
        let weight = tx.weight().to_wu();
        let bytes = memory(&tx);
        let own = Totals { count: 1, vsize, weight, fee_sat };
        let (parents, children) = Default::default();
        Entry { tx, fee_sat, vsize, weight, bytes, seq: 0, time_s, parents, children, up: own, down: own }
    }

    pub(super) fn own(&self) -> Totals {
        Totals { count: 1, vsize: self.vsize, weight: self.weight, fee_sat: self.fee_sat }
    }

    pub(super) fn rate(&self) -> Rate {
        Rate::new(self.fee_sat, self.vsize)
    }

    /// The higher goes first into a block: what it pays together with what has to go before it.
    pub(super) fn mining_score(&self) -> Rate {
        self.rate().min(self.up.rate())
    }

    /// The lowest is thrown out first: what it pays together with what would have to go with it.
    fn eviction_score(&self) -> Rate {
        self.rate().max(self.down.rate())
    }
}

/// What a transaction, an input and a relationship take in bitcoind's indices, as measured.
const INDEX_BYTES: u64 = 710;
const INPUT_INDEX_BYTES: usize = 84;
const LINK_BYTES: u64 = 110;

/// What an allocator takes for so many bytes.
fn allocated(bytes: usize) -> usize {
    const STEP: usize = 16;
    if bytes == 0 { 0 } else { (bytes + 31) / STEP * STEP }
}

/// What bitcoind needs to keep it, relationships aside.
fn memory(tx: &Transaction) -> u64 {
    // Shorter scripts lie within the inputs and outputs themselves.
    const INLINE: usize = 36;
    let script = |script: &bitcoin::Script| if script.len() > INLINE { allocated(script.len()) } else { 0 };
    let inputs = tx.input.iter().map(|input| {
        let witness: usize = input.witness.iter().map(|item| allocated(item.len())).sum();
        INPUT_INDEX_BYTES + script(&input.script_sig) + allocated(24 * input.witness.len()) + witness
    });
    let outputs = tx.output.iter().map(|output| script(&output.script_pubkey));
    let lists = allocated(104 * tx.input.len()) + allocated(48 * tx.output.len());
    INDEX_BYTES + (lists + inputs.sum::<usize>() + outputs.sum::<usize>()) as u64
}

#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    entries: BTreeMap<Txid, Entry>,
    spent_by: BTreeMap<OutPoint, Txid>,
    by_seq: BTreeMap<u64, Txid>,
    by_age: BTreeSet<(u32, u64)>,
    by_mining_score: BTreeSet<(Rate, Reverse<u64>)>,
    by_eviction_score: BTreeSet<(Rate, Reverse<u64>)>,
    next_seq: u64,
    weight: u64,
    bytes: u64,
}

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.entries.get(txid)
    }

    pub(super) fn entry(&self, txid: &Txid) -> &Entry {
        self.entries.get(txid).expect("relatives of the mempool's transactions are in the mempool")
    }

    pub(super) fn output(&self, outpoint: &OutPoint) -> Option<&TxOut> {
        self.entries.get(&outpoint.txid)?.tx.output.get(outpoint.vout as usize)
    }

    pub(super) fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spent_by.get(outpoint).copied()
    }

    /// In the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_seq.values().map(|txid| self.entry(txid))
    }

    /// What goes into blocks first comes first.
    pub(super) fn best_first(&self) -> impl Iterator<Item = Txid> {
        self.by_mining_score.iter().rev().map(|(_, seq)| self.by_seq[&seq.0])
    }

    /// What would be thrown out next.
    pub(super) fn worst(&self) -> Option<Txid> {
        self.by_eviction_score.first().map(|(_, seq)| self.by_seq[&seq.0])
    }

    /// What has waited longest.
    pub(super) fn oldest(&self) -> Option<Txid> {
        self.by_age.first().map(|(_, seq)| self.by_seq[seq])
    }

    /// All ancestors of these transactions, and these.
    pub(super) fn with_ancestors(&self, of: impl IntoIterator<Item = Txid>) -> BTreeSet<Txid> {
        self.closure(of, |entry| &entry.parents)
    }

    /// All descendants of these transactions, and these.
    pub(super) fn with_descendants(&self, of: impl IntoIterator<Item = Txid>) -> BTreeSet<Txid> {
        self.closure(of, |entry| &entry.children)
    }

    fn closure<'a>(
        &'a self,
        of: impl IntoIterator<Item = Txid>,
        next: impl Fn(&'a Entry) -> &'a BTreeSet<Txid>,
    ) -> BTreeSet<Txid> {
        let mut todo: Vec<Txid> = of.into_iter().collect();
        let mut found = BTreeSet::new();
        while let Some(txid) = todo.pop() {
            if found.insert(txid) {
                todo.extend(next(self.entry(&txid)).iter().filter(|txid| !found.contains(*txid)));
            }
        }
        found
    }

    /// Those that create an output which this transaction spends.
    pub(super) fn parents(&self, tx: &Transaction) -> BTreeSet<Txid> {
        let sources = tx.input.iter().map(|input| input.previous_output.txid);
        sources.filter(|txid| self.entries.contains_key(txid)).collect()
    }

    /// Takes in a transaction that was checked. Nothing that is here spends its outputs.
    pub(super) fn insert(&mut self, mut entry: Entry) {
        let txid = entry.tx.compute_txid();
        assert!(!self.entries.contains_key(&txid), "it is here already");
        entry.seq = self.next_seq;
        self.next_seq += 1;
        entry.parents = self.parents(&entry.tx);
        let own = entry.own();
        for ancestor in self.with_ancestors(entry.parents.iter().copied()) {
            entry.up.add(self.entry(&ancestor).own());
            self.change(&ancestor, |ancestor| ancestor.down.add(own));
        }
        for parent in &entry.parents {
            self.entries.get_mut(parent).expect("just found").children.insert(txid);
        }
        for input in &entry.tx.input {
            let other = self.spent_by.insert(input.previous_output, txid);
            assert!(other.is_none(), "conflicts were removed");
        }
        self.weight += entry.weight;
        self.bytes += entry.bytes + LINK_BYTES * entry.parents.len() as u64;
        self.by_seq.insert(entry.seq, txid);
        self.by_age.insert((entry.time_s, entry.seq));
        self.by_mining_score.insert((entry.mining_score(), Reverse(entry.seq)));
        self.by_eviction_score.insert((entry.eviction_score(), Reverse(entry.seq)));
        self.entries.insert(txid, entry);
    }

    /// Takes out one transaction; its relatives forget it.
    pub(super) fn remove(&mut self, txid: &Txid) -> Option<Entry> {
        let own = self.entries.get(txid)?.own();
        // Whoever leaves alone has no ancestors (it goes into a block) or no descendants (they left before it):
        // relationships never lead through what is gone.
        for ancestor in self.with_ancestors([*txid]).iter().filter(|ancestor| *ancestor != txid) {
            self.change(ancestor, |ancestor| ancestor.down.sub(own));
        }
        for descendant in self.with_descendants([*txid]).iter().filter(|descendant| *descendant != txid) {
            self.change(descendant, |descendant| descendant.up.sub(own));
        }
        let entry = self.entries.remove(txid).expect("it was there just now");
        self.by_mining_score.remove(&(entry.mining_score(), Reverse(entry.seq)));
        self.by_eviction_score.remove(&(entry.eviction_score(), Reverse(entry.seq)));
        self.by_seq.remove(&entry.seq);
        self.by_age.remove(&(entry.time_s, entry.seq));
        self.weight -= entry.weight;
        self.bytes -= entry.bytes + LINK_BYTES * (entry.parents.len() + entry.children.len()) as u64;
        for parent in &entry.parents {
            self.entries.get_mut(parent).expect("relatives are here").children.remove(txid);
        }
        for child in &entry.children {
            self.entries.get_mut(child).expect("relatives are here").parents.remove(txid);
        }
        for input in &entry.tx.input {
            self.spent_by.remove(&input.previous_output);
        }
        Some(entry)
    }

    /// Takes out a transaction and all that depends on it; the last descendant first.
    pub(super) fn remove_with_descendants(&mut self, txid: &Txid) -> Vec<Entry> {
        if !self.entries.contains_key(txid) {
            return Vec::new();
        }
        let mut all: Vec<(u64, Txid)> =
            self.with_descendants([*txid]).into_iter().map(|txid| (self.entry(&txid).seq, txid)).collect();
        all.sort_unstable();
        all.iter().rev().filter_map(|(_, txid)| self.remove(txid)).collect()
    }

    /// Changes an entry and keeps it where its scores belong.
    fn change(&mut self, txid: &Txid, change: impl FnOnce(&mut Entry)) {
        let entry = self.entries.get_mut(txid).expect("relatives are here");
        let seq = Reverse(entry.seq);
        self.by_mining_score.remove(&(entry.mining_score(), seq));
        self.by_eviction_score.remove(&(entry.eviction_score(), seq));
        change(entry);
        self.by_mining_score.insert((entry.mining_score(), seq));
        self.by_eviction_score.insert((entry.eviction_score(), seq));
    }
}
