//! Blocks: what goes into them, and what the chain and the mempool make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bitcoin::{OutPoint, Transaction, TxOut, Txid};

use super::Chain;
use super::block::{Block, Fill, Recipe, build};
use super::pool::{Rate, Totals};
use super::refused::Refused;
use super::verify::{self, Source};

/// After so many transactions in a row that are too large for what is left, the block counts as full.
const FAILURES: u32 = 1_000;

impl Chain {
    /// Mines what pays best.
    pub fn mine(&mut self) -> &Block {
        let txs = self.best(&BTreeSet::new());
        self.append(txs, &mut Vec::new())
    }

    /// Mines just these transactions of the mempool, in one block with their ancestors.
    pub fn mine_with(&mut self, txids: &[Txid]) -> Result<&Block, Refused> {
        self.mine_block(&Fill::Only(txids.to_vec()))
    }

    /// Mines a block that is filled like this.
    pub fn mine_block(&mut self, fill: &Fill) -> Result<&Block, Refused> {
        let txs = self.choose(fill)?;
        Ok(self.append(txs, &mut Vec::new()))
    }

    pub(super) fn choose(&self, fill: &Fill) -> Result<Vec<Arc<Transaction>>, Refused> {
        match fill {
            Fill::Best => Ok(self.best(&BTreeSet::new())),
            Fill::Empty => Ok(Vec::new()),
            Fill::Without(txids) => {
                let waiting = txids.iter().copied().filter(|txid| self.is_waiting(txid));
                Ok(self.best(&self.pool.with_descendants(waiting)))
            }
            Fill::Only(txids) => {
                if let Some(unknown) = txids.iter().find(|txid| !self.is_waiting(txid)) {
                    return Err(Refused::Unknown(*unknown));
                }
                let chosen = self.pool.with_ancestors(txids.iter().copied());
                let txs = self.in_order(chosen.iter().copied());
                self.check_block_weight(&txs)?;
                Ok(txs)
            }
            Fill::Exactly(txs) => self.check_block(txs),
        }
    }

    /// Parents came before their children, so the order in which they came will do.
    fn in_order(&self, txids: impl Iterator<Item = Txid>) -> Vec<Arc<Transaction>> {
        let mut entries: Vec<_> = txids.map(|txid| self.pool.entry(&txid)).collect();
        entries.sort_unstable_by_key(|entry| entry.seq);
        entries.into_iter().map(|entry| Arc::clone(&entry.tx)).collect()
    }

    fn room(&self) -> u64 {
        self.policy.block_weight - self.policy.block_reserved_weight
    }

    fn check_block_weight(&self, txs: &[Arc<Transaction>]) -> Result<(), Refused> {
        let weight: u64 = txs.iter().map(|tx| tx.weight().to_wu()).sum();
        let limit = self.room();
        if weight > limit { Err(Refused::BlockWeight { weight, limit }) } else { Ok(()) }
    }

    /// Picks by what transactions pay together with their ancestors that are not picked yet.
    fn best(&self, without: &BTreeSet<Txid>) -> Vec<Arc<Transaction>> {
        let mut template = Template { chain: self, picked: BTreeSet::new(), txs: Vec::new(), left: BTreeMap::new() };
        let mut queue = BTreeSet::new();
        let mut room = self.room();
        let mut failures = 0;
        let mut rest = self.pool.best_first().peekable();
        loop {
            // What the mempool's index says is true of whatever has no picked ancestors; the queue has the others.
            while rest.next_if(|txid| template.is_settled(txid) || without.contains(txid)).is_some() {}
            let indexed = rest.peek().map(|txid| (self.pool.entry(txid).mining_score(), *txid));
            let queued = queue.last().copied();
            let (score, txid) = match (indexed, queued) {
                (None, None) => break,
                (Some(indexed), Some((score, _))) if indexed.0 >= score => indexed,
                (Some(indexed), None) => indexed,
                (_, Some(queued)) => queued,
            };
            if queued == Some((score, txid)) {
                queue.pop_last();
            } else {
                rest.next();
            }
            let totals = template.totals(&txid);
            if totals.rate().is_below(self.market.mined_from_per_kvb()) {
                break;
            }
            if totals.weight > room {
                failures += 1;
                if failures > FAILURES {
                    break;
                }
                continue;
            }
            failures = 0;
            room -= totals.weight;
            template.pick(txid, without, &mut queue);
        }
        template.txs
    }

    /// A block's transactions as consensus sees them: what the mempool thinks of them does not matter.
    fn check_block(&self, txs: &[Transaction]) -> Result<Vec<Arc<Transaction>>, Refused> {
        let next = self.next();
        let mut created: BTreeMap<OutPoint, TxOut> = BTreeMap::new();
        let mut spent = BTreeSet::new();
        let mut checked = Vec::with_capacity(txs.len());
        for tx in txs {
            let txid = tx.compute_txid();
            if self.place(&txid).is_some() {
                return Err(Refused::AlreadyKnown);
            }
            if !self.gifts.contains(&txid) {
                verify::check_alone(tx)?;
                verify::check_final(tx, next)?;
                let mut sources = Vec::with_capacity(tx.input.len());
                for input in &tx.input {
                    let outpoint = input.previous_output;
                    let here = created.get(&outpoint).map(|output| Source {
                        output: output.clone(),
                        height: next.height,
                        mtp_s: next.mtp_s,
                        is_coinbase: false,
                    });
                    let confirmed = self.ledger.coin(&outpoint).and_then(|_| self.source(&outpoint, &[], next));
                    let is_first = spent.insert(outpoint);
                    let source = here.or(confirmed).filter(|_| is_first);
                    sources.push(source.ok_or(Refused::MissingInput(outpoint))?);
                }
                verify::check_relative(tx, &sources, next)?;
                verify::check_amounts(tx, &sources, next)?;
                let outputs: Vec<TxOut> = sources.into_iter().map(|source| source.output).collect();
                let is_known = self.pool.get(&txid).is_some_and(|known| *known.tx == *tx);
                if !is_known {
                    verify::check_scripts(tx, &outputs)?;
                }
            }
            for (vout, output) in (0..).zip(&tx.output) {
                created.insert(OutPoint::new(txid, vout), output.clone());
            }
            checked.push(Arc::new(tx.clone()));
        }
        self.check_block_weight(&checked)?;
        Ok(checked)
    }

    /// What these transactions of one block pay, those from nowhere aside.
    fn fees_sat(&self, txs: &[Arc<Transaction>]) -> u64 {
        let mut created: BTreeMap<OutPoint, u64> = BTreeMap::new();
        let mut fees_sat = 0;
        for tx in txs {
            let txid = tx.compute_txid();
            if !self.gifts.contains(&txid) {
                let value = |outpoint: &OutPoint| match self.ledger.coin(outpoint) {
                    Some(coin) => coin.output.value.to_sat(),
                    None => created[outpoint],
                };
                let in_sat: u64 = tx.input.iter().map(|input| value(&input.previous_output)).sum();
                fees_sat += in_sat - tx.output.iter().map(|output| output.value.to_sat()).sum::<u64>();
            }
            for (vout, output) in (0..).zip(&tx.output) {
                created.insert(OutPoint::new(txid, vout), output.value.to_sat());
            }
        }
        fees_sat
    }

    /// Puts checked transactions into a block of their own upon the last one.
    pub(super) fn append(&mut self, txs: Vec<Arc<Transaction>>, dropped: &mut Vec<(Txid, Refused)>) -> &Block {
        self.time_s = self.time_s.saturating_add(self.spacing_s);
        self.salt += 1;
        let block = build(Recipe {
            previous: self.tip(),
            time_s: self.time_s.max(self.median_time_s() + 1),
            miner: &self.miner,
            fees_sat: self.fees_sat(&txs),
            salt: self.salt,
            txs,
        });
        for tx in &block.txs[1..] {
            self.pool.remove(&tx.compute_txid());
            for input in &tx.input {
                if let Some(loser) = self.pool.spender(&input.previous_output) {
                    let lost = self.pool.remove_with_descendants(&loser);
                    let why = Refused::MissingInput(input.previous_output);
                    dropped.extend(lost.iter().map(|entry| (entry.tx.compute_txid(), why.clone())));
                }
            }
        }
        self.market.block_came(self.time_s);
        self.ledger.connect(Arc::new(block));
        self.ledger.last()
    }
}

/// A block that is being filled.
struct Template<'a> {
    chain: &'a Chain,
    picked: BTreeSet<Txid>,
    txs: Vec<Arc<Transaction>>,
    /// What those whose ancestors were picked in part still need, with the score in the queue.
    left: BTreeMap<Txid, Totals>,
}

impl Template<'_> {
    /// Nothing is to be learned of it from the mempool's index any more.
    fn is_settled(&self, txid: &Txid) -> bool {
        self.picked.contains(txid) || self.left.contains_key(txid)
    }

    /// What it costs and pays with all ancestors that are not picked.
    fn totals(&self, txid: &Txid) -> Totals {
        self.left.get(txid).copied().unwrap_or_else(|| self.chain.pool.entry(txid).up)
    }

    fn score(&self, txid: &Txid) -> Rate {
        self.chain.pool.entry(txid).rate().min(self.totals(txid).rate())
    }

    /// Picks one with its ancestors; descendants of them are worth more now.
    fn pick(&mut self, txid: Txid, without: &BTreeSet<Txid>, queue: &mut BTreeSet<(Rate, Txid)>) {
        let pool = &self.chain.pool;
        let mut fresh = pool.with_ancestors([txid]);
        fresh.retain(|txid| !self.picked.contains(txid));
        for txid in &fresh {
            queue.remove(&(self.score(txid), *txid));
        }
        self.picked.extend(&fresh);
        for ancestor in &fresh {
            let own = pool.entry(ancestor).own();
            for descendant in pool.with_descendants([*ancestor]) {
                if self.picked.contains(&descendant) || without.contains(&descendant) {
                    continue;
                }
                queue.remove(&(self.score(&descendant), descendant));
                let mut totals = self.totals(&descendant);
                totals.sub(own);
                self.left.insert(descendant, totals);
                queue.insert((self.score(&descendant), descendant));
            }
        }
        self.txs.extend(self.chain.in_order(fresh.into_iter()));
    }
}
