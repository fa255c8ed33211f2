//! A child and its parents, accepted by what they pay together.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Transaction, Txid};

use super::Chain;
use super::accept::{Candidate, Mode};
use super::pool::{Rate, fee_at};
use super::refused::{PackageRefused, PackageReplace, Refused, ReplaceRule};
use super::{truc, verify};

const MAX_COUNT: usize = 25;
const MAX_WEIGHT: u64 = 404_000;
/// Only packages of a parent and a child replace, and only what lives in as small groups.
const MAX_CLUSTER: u64 = 2;

impl Chain {
    /// Takes in a child that comes last with its parents before it. Parents that pay for themselves stay even if the
    /// rest is refused, as in bitcoind.
    pub fn submit_package(&mut self, txs: &[Transaction]) -> Result<(), PackageRefused> {
        let txs: Vec<Arc<Transaction>> = txs.iter().cloned().map(Arc::new).collect();
        check_form(&txs)?;
        self.check_parents_present(&txs)?;
        let result = self.submit_parts(&txs);
        self.limit_size();
        result?;
        let lost = txs.iter().map(|tx| tx.compute_txid()).find(|txid| !self.is_waiting(txid));
        lost.map_or(Ok(()), |txid| Err(PackageRefused::Transaction(txid, Refused::MempoolFull)))
    }

    /// First each one alone; what only lacks a fee or a parent is tried again with the others.
    fn submit_parts(&mut self, txs: &[Arc<Transaction>]) -> Result<(), PackageRefused> {
        let mut together = Vec::new();
        for tx in txs {
            match self.accept_without_limit(tx) {
                Ok(_) | Err(Refused::AlreadyInMempool | Refused::SameTxidInMempool) => {}
                Err(refused) => {
                    let is_open = refused.is_reconsiderable() || matches!(refused, Refused::MissingInput(_));
                    if txs.len() == 1 || !is_open {
                        return Err(PackageRefused::Transaction(tx.compute_txid(), refused));
                    }
                    together.push(Arc::clone(tx));
                }
            }
        }
        match together.as_slice() {
            [] => Ok(()),
            [tx] => {
                let result = self.accept_without_limit(tx);
                result.map(drop).map_err(|refused| PackageRefused::Transaction(tx.compute_txid(), refused))
            }
            _ => self.accept_together(&together),
        }
    }

    fn accept_together(&mut self, txs: &[Arc<Transaction>]) -> Result<(), PackageRefused> {
        let mut candidates: Vec<Candidate> = Vec::with_capacity(txs.len());
        for tx in txs {
            let candidate = self
                .pre_check(tx, Mode::Package, &candidates)
                .map_err(|refused| PackageRefused::Transaction(tx.compute_txid(), refused))?;
            candidates.push(candidate);
        }
        for candidate in &candidates {
            truc::check_in_package(&self.pool, candidate, &candidates)
                .map_err(|refused| PackageRefused::Transaction(candidate.txid, refused))?;
        }
        let vsize = candidates.iter().map(|candidate| candidate.vsize).sum();
        let fee_sat = candidates.iter().map(|candidate| candidate.fee_sat).sum();
        self.check_fee(fee_sat, vsize).map_err(PackageRefused::Fee)?;
        let parents = candidates.iter().flat_map(|candidate| self.pool.parents(&candidate.tx));
        let ancestors = self.pool.with_ancestors(parents);
        self.within(candidates.len() as u64, vsize, &ancestors, self.limits())
            .map_err(|(limit, _)| PackageRefused::Limits(limit))?;
        let removed = self.check_package_replacement(&candidates, fee_sat, vsize)?;
        self.check_dust_spent(&candidates).map_err(|(txid, refused)| PackageRefused::Transaction(txid, refused))?;
        for candidate in &candidates {
            verify::check_scripts(&candidate.tx, &candidate.spent)
                .and_then(|()| verify::check_signature_forms(&candidate.tx))
                .map_err(|refused| PackageRefused::Transaction(candidate.txid, refused))?;
        }
        for candidate in candidates {
            self.admit(candidate, &removed, self.time_s);
        }
        Ok(())
    }

    /// The parents that no block has are all in the package.
    fn check_parents_present(&self, txs: &[Arc<Transaction>]) -> Result<(), PackageRefused> {
        let Some((child, parents)) = txs.split_last().filter(|(_, parents)| !parents.is_empty()) else {
            return Ok(());
        };
        let here: BTreeSet<Txid> = parents.iter().map(|tx| tx.compute_txid()).collect();
        let mut outpoints = child.input.iter().map(|input| input.previous_output);
        let is_missing =
            |outpoint: &bitcoin::OutPoint| !here.contains(&outpoint.txid) && self.ledger.coin(outpoint).is_none();
        outpoints.find(is_missing).map_or(Ok(()), |outpoint| Err(PackageRefused::ParentMissing(outpoint)))
    }

    fn check_package_replacement(
        &self,
        candidates: &[Candidate],
        fee_sat: u64,
        vsize: u64,
    ) -> Result<BTreeSet<Txid>, PackageRefused> {
        let refuse = |why| Err(PackageRefused::Replace(why));
        let conflicts: BTreeSet<Txid> = candidates.iter().flat_map(|one| &one.conflicts).copied().collect();
        if conflicts.is_empty() {
            return Ok(conflicts);
        }
        let [parent, child] = candidates else {
            return refuse(PackageReplace::NotOneParentOneChild);
        };
        if !parent.ancestors.is_empty() || !child.ancestors.is_empty() {
            return refuse(PackageReplace::HasAncestors);
        }
        let by_rule = |refused| PackageRefused::Replace(PackageReplace::Rule(refused));
        let removed = self.replaced_by(&conflicts).map_err(by_rule)?;
        self.check_pays_for(&removed, fee_sat, vsize).map_err(by_rule)?;
        let package = Rate::new(fee_sat, vsize);
        if package.per_kvb() <= parent.rate().per_kvb() {
            let required_sat = fee_at(parent.rate().per_kvb() + 1, vsize);
            let rule = ReplaceRule::PackageFeerate;
            return Err(by_rule(Refused::InsufficientFee { rule, fee_sat, required_sat }));
        }
        if let Some(large) = removed.iter().find(|txid| self.is_of_large_group(txid)) {
            return refuse(PackageReplace::Topology(*large));
        }
        let (before, mut after) = self.chunks(&removed);
        after.push(package);
        if !improves(before, after) {
            let required_sat = removed.iter().map(|txid| self.pool.entry(txid).fee_sat).sum();
            let rule = ReplaceRule::Diagram;
            return Err(by_rule(Refused::InsufficientFee { rule, fee_sat, required_sat }));
        }
        Ok(removed)
    }

    /// Is it more than one half of a parent with its only child?
    fn is_of_large_group(&self, txid: &Txid) -> bool {
        let entry = self.pool.entry(txid);
        let relatives = entry.up.count + entry.down.count - 1;
        let mut others = entry.parents.iter().chain(&entry.children).map(|other| self.pool.entry(other));
        relatives > MAX_CLUSTER || others.any(|other| other.up.count + other.down.count - 1 > MAX_CLUSTER)
    }

    /// What pairs and single transactions pay as miners would pick them: with those that go, and without.
    fn chunks(&self, removed: &BTreeSet<Txid>) -> (Vec<Rate>, Vec<Rate>) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for txid in removed {
            let entry = self.pool.entry(txid);
            let own = entry.rate();
            match entry.parents.first().map(|parent| (parent, self.pool.entry(parent))) {
                Some((parent, parent_entry)) => {
                    if own > entry.up.rate() {
                        before.push(entry.up.rate());
                    } else {
                        before.extend([parent_entry.rate(), own]);
                    }
                    if !removed.contains(parent) {
                        after.push(parent_entry.rate());
                    }
                }
                // A parent was counted with its child.
                None if entry.down.count > 1 => {}
                None => before.push(own),
            }
        }
        (before, after)
    }
}

/// Is the new diagram of fees over size nowhere below the old one, and somewhere above?
fn improves(mut before: Vec<Rate>, mut after: Vec<Rate>) -> bool {
    for chunks in [&mut before, &mut after] {
        chunks.sort_unstable_by(|a, b| b.cmp(a));
    }
    let mut sizes = BTreeSet::new();
    for chunks in [&before, &after] {
        let mut size = 0;
        for chunk in chunks {
            size += chunk.vsize;
            sizes.insert(size);
        }
    }
    let mut is_above = false;
    for size in sizes {
        match fees_at(&after, size).cmp(&fees_at(&before, size)) {
            std::cmp::Ordering::Less => return false,
            std::cmp::Ordering::Greater => is_above = true,
            std::cmp::Ordering::Equal => {}
        }
    }
    is_above
}

/// What the best `size` vbytes of these chunks pay. Fractions are compared by what is left of a whole satoshi, in
/// units so small that no two feerates of real transactions fall together.
fn fees_at(chunks: &[Rate], size: u64) -> u128 {
    const UNIT: u128 = 1 << 64;
    let mut left = size;
    let mut fees = 0;
    for chunk in chunks {
        let part = left.min(chunk.vsize);
        fees += u128::from(chunk.fee_sat) * UNIT / u128::from(chunk.vsize) * u128::from(part);
        left -= part;
    }
    fees
}

/// What can be said of a package without knowing the chain.
fn check_form(txs: &[Arc<Transaction>]) -> Result<(), PackageRefused> {
    if txs.is_empty() || txs.len() > MAX_COUNT {
        return Err(PackageRefused::TooMany { count: txs.len() });
    }
    let txids: BTreeSet<Txid> = txs.iter().map(|tx| tx.compute_txid()).collect();
    let last = txs.len() - 1;
    let sources: BTreeSet<Txid> = txs[last].input.iter().map(|input| input.previous_output.txid).collect();
    let is_parent_alone = |tx: &Arc<Transaction>| {
        sources.contains(&tx.compute_txid())
            && !tx.input.iter().any(|input| txids.contains(&input.previous_output.txid))
    };
    if !txs[..last].iter().all(is_parent_alone) {
        return Err(PackageRefused::NotChildWithParents);
    }
    let weight = txs.iter().map(|tx| tx.weight().to_wu()).sum();
    if txs.len() > 1 && weight > MAX_WEIGHT {
        return Err(PackageRefused::TooHeavy { weight });
    }
    if txids.len() != txs.len() {
        return Err(PackageRefused::Duplicates);
    }
    let mut spent = BTreeSet::new();
    for input in txs.iter().flat_map(|tx| &tx.input) {
        if !spent.insert(input.previous_output) {
            return Err(PackageRefused::ConflictInPackage(input.previous_output));
        }
    }
    Ok(())
}
