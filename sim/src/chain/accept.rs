//! The way of one transaction into the mempool: all checks in bitcoind's order, and then the change.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{OutPoint, Transaction, TxOut, Txid};

use super::Chain;
use super::pool::{Entry, Rate, fee_at};
use super::refused::{ChainLimit, Refused, ReplaceRule};
use super::verify::{Next, Source};
use super::{standard, truc, verify};

/// The last child of a long chain may exceed its limits if it is no larger than this and has one parent only, so
/// that both owners of a commitment transaction can raise its fee.
const CARVE_OUT_VSIZE: u64 = 10_000;

/// How strict to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It comes alone.
    Single,
    /// It comes in a package whose fee counts as a whole.
    Package,
    /// It was valid before the chain changed: fees and limits do not matter, and its scripts are known to be fine.
    Returning,
}

/// A transaction that may go into the mempool.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) tx: Arc<Transaction>,
    pub(super) txid: Txid,
    pub(super) fee_sat: u64,
    pub(super) vsize: u64,
    pub(super) spent: Vec<TxOut>,
    /// What spends the same outputs as it does, and a sibling that has to go for it.
    pub(super) conflicts: BTreeSet<Txid>,
    /// Its ancestors in the mempool.
    pub(super) ancestors: BTreeSet<Txid>,
}

impl Candidate {
    pub(super) fn rate(&self) -> Rate {
        Rate::new(self.fee_sat, self.vsize)
    }
}

/// Limits of relationships, as they are for one transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) ancestor_count: u64,
    pub(super) ancestor_vsize: u64,
    pub(super) descendant_count: u64,
    pub(super) descendant_vsize: u64,
}

impl Chain {
    /// The block that comes next.
    pub(super) fn next(&self) -> Next {
        let height = self.ledger.height();
        Next { height: height + 1, mtp_s: self.ledger.mtp_s(height) }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            ancestor_count: self.policy.ancestor_count,
            ancestor_vsize: self.policy.ancestor_vsize,
            descendant_count: self.policy.descendant_count,
            descendant_vsize: self.policy.descendant_vsize,
        }
    }

    /// An output that a block or the mempool or the package has, spent in the mempool or not.
    pub(super) fn source(&self, outpoint: &OutPoint, package: &[Candidate], next: Next) -> Option<Source> {
        if let Some(coin) = self.ledger.coin(outpoint) {
            let mtp_s = self.ledger.mtp_s(coin.height.saturating_sub(1));
            let output = coin.output.clone();
            return Some(Source { output, height: coin.height, mtp_s, is_coinbase: coin.is_coinbase });
        }
        let in_package = || {
            let parent = package.iter().find(|candidate| candidate.txid == outpoint.txid)?;
            parent.tx.output.get(outpoint.vout as usize)
        };
        let output = self.pool.output(outpoint).or_else(in_package)?.clone();
        Some(Source { output, height: next.height, mtp_s: next.mtp_s, is_coinbase: false })
    }

    /// All that can be checked without running scripts or looking at what it would replace.
    pub(super) fn pre_check(
        &self,
        tx: &Arc<Transaction>,
        mode: Mode,
        package: &[Candidate],
    ) -> Result<Candidate, Refused> {
        let (txid, policy, next) = (tx.compute_txid(), &self.policy, self.next());
        verify::check_alone(tx)?;
        standard::check_alone(tx, policy)?;
        standard::check_size(tx)?;
        verify::check_final(tx, next)?;
        if let Some(known) = self.pool.get(&txid) {
            let is_same = known.tx.compute_wtxid() == tx.compute_wtxid();
            return Err(if is_same { Refused::AlreadyInMempool } else { Refused::SameTxidInMempool });
        }
        let mut conflicts = BTreeSet::new();
        for input in &tx.input {
            if let Some(other) = self.pool.spender(&input.previous_output) {
                if !policy.replace || mode == Mode::Returning {
                    return Err(Refused::Conflict(input.previous_output));
                }
                conflicts.insert(other);
            }
        }
        let mut sources = Vec::with_capacity(tx.input.len());
        for input in &tx.input {
            let outpoint = input.previous_output;
            sources.push(self.source(&outpoint, package, next).ok_or_else(|| self.why_missing(tx, txid, outpoint))?);
        }
        verify::check_relative(tx, &sources, next)?;
        let fee_sat = verify::check_amounts(tx, &sources, next)?;
        let spent: Vec<TxOut> = sources.into_iter().map(|source| source.output).collect();
        standard::check_inputs(tx, &spent)?;
        let vsize = standard::vsize(tx, &spent)?;
        if fee_sat > 0 && standard::dust_outputs(tx, policy).next().is_some() {
            return Err(Refused::DustPaysFee { fee_sat });
        }
        if mode != Mode::Returning {
            let required_sat = standard::relay_fee(policy, vsize);
            // One that rests on a package's fee could lose its child again; version 3 makes sure that it has one.
            if !truc::is_truc(tx) && fee_sat < required_sat {
                return Err(Refused::MinRelayFee { fee_sat, required_sat });
            }
            if mode == Mode::Single {
                self.check_fee(fee_sat, vsize)?;
            }
        }
        let parents = self.pool.parents(tx);
        let ancestors = self.pool.with_ancestors(parents.iter().copied());
        if mode == Mode::Returning {
            // Blocks do not care for relationships, so what comes back from them may have any but too many ancestors.
            let limits = Limits { descendant_count: u64::MAX, descendant_vsize: u64::MAX, ..self.limits() };
            let within = self.within(1, vsize, &ancestors, limits);
            within.map_err(|(limit, value)| Refused::ChainTooLong { limit, value })?;
        } else {
            self.check_relatives(tx, vsize, &ancestors, &conflicts)?;
            let may_evict = mode == Mode::Single;
            conflicts.extend(truc::check_single(&self.pool, tx, vsize, &parents, &ancestors, &conflicts, may_evict)?);
        }
        if let Some(both) = ancestors.intersection(&conflicts).next() {
            return Err(Refused::SpendsConflict(*both));
        }
        Ok(Candidate { tx: Arc::clone(tx), txid, fee_sat, vsize, spent, conflicts, ancestors })
    }

    fn why_missing(&self, tx: &Transaction, txid: Txid, outpoint: OutPoint) -> Refused {
        let mut outputs = (0..).zip(&tx.output).map(|(vout, _)| OutPoint::new(txid, vout));
        if outputs.any(|output| self.ledger.coin(&output).is_some()) {
            return Refused::AlreadyKnown;
        }
        Refused::MissingInput(outpoint)
    }

    /// Does this fee get this size into the mempool as it is now?
    pub(super) fn check_fee(&self, fee_sat: u64, vsize: u64) -> Result<(), Refused> {
        let required_sat = fee_at(self.mempool_minimum_per_kvb(), vsize);
        if fee_sat < required_sat {
            return Err(Refused::MempoolMinFee { fee_sat, required_sat });
        }
        let required_sat = standard::relay_fee(&self.policy, vsize);
        if fee_sat < required_sat { Err(Refused::MinRelayFee { fee_sat, required_sat }) } else { Ok(()) }
    }

    fn check_relatives(
        &self,
        tx: &Transaction,
        vsize: u64,
        ancestors: &BTreeSet<Txid>,
        conflicts: &BTreeSet<Txid>,
    ) -> Result<(), Refused> {
        let mut limits = self.limits();
        // What it replaces would make room among the descendants.
        if let (Some(only), 1) = (conflicts.first(), conflicts.len()) {
            limits.descendant_count += 1;
            limits.descendant_vsize += self.pool.entry(only).down.vsize;
        }
        let Err((limit, value)) = self.within(1, vsize, ancestors, limits) else {
            return Ok(());
        };
        let carved = Limits {
            ancestor_count: 2,
            descendant_count: limits.descendant_count + 1,
            descendant_vsize: limits.descendant_vsize + CARVE_OUT_VSIZE,
            ..limits
        };
        let is_carved = vsize <= CARVE_OUT_VSIZE && !truc::is_truc(tx);
        if is_carved && self.within(1, vsize, ancestors, carved).is_ok() {
            return Ok(());
        }
        Err(Refused::ChainTooLong { limit, value })
    }

    /// May so many transactions of this size in all come with these ancestors?
    pub(super) fn within(
        &self,
        count: u64,
        vsize: u64,
        ancestors: &BTreeSet<Txid>,
        limits: Limits,
    ) -> Result<(), (ChainLimit, u64)> {
        let check = |limit, value, most| if value > most { Err((limit, value)) } else { Ok(()) };
        check(ChainLimit::AncestorCount, ancestors.len() as u64 + count, limits.ancestor_count)?;
        let mut total = vsize;
        for ancestor in ancestors {
            let entry = self.pool.entry(ancestor);
            check(ChainLimit::DescendantVsize, entry.down.vsize + vsize, limits.descendant_vsize)?;
            check(ChainLimit::DescendantCount, entry.down.count + count, limits.descendant_count)?;
            total += entry.vsize;
        }
        check(ChainLimit::AncestorVsize, total, limits.ancestor_vsize)
    }

    /// What has to go for it, with all descendants, if the rules of replacement allow that.
    pub(super) fn check_replacement(&self, candidate: &Candidate) -> Result<BTreeSet<Txid>, Refused> {
        let Candidate { fee_sat, vsize, .. } = *candidate;
        for txid in &candidate.conflicts {
            let other = self.pool.entry(txid);
            let per_kvb = other.rate().per_kvb();
            if candidate.rate().per_kvb() <= per_kvb {
                let required_sat = fee_at(per_kvb + 1, vsize);
                return Err(Refused::InsufficientFee { rule: ReplaceRule::Feerate, fee_sat, required_sat });
            }
        }
        let removed = self.replaced_by(&candidate.conflicts)?;
        let mut known = BTreeSet::new();
        for txid in &candidate.conflicts {
            known.extend(self.pool.entry(txid).tx.input.iter().map(|input| input.previous_output.txid));
        }
        let is_new = |outpoint: &OutPoint| !known.contains(&outpoint.txid) && self.pool.get(&outpoint.txid).is_some();
        let mut outpoints = candidate.tx.input.iter().map(|input| input.previous_output);
        if let Some(outpoint) = outpoints.find(is_new) {
            return Err(Refused::AddsUnconfirmed(outpoint));
        }
        self.check_pays_for(&removed, fee_sat, vsize)?;
        Ok(removed)
    }

    /// All that these conflicts take with them, if that is not too much (rule 5).
    pub(super) fn replaced_by(&self, conflicts: &BTreeSet<Txid>) -> Result<BTreeSet<Txid>, Refused> {
        let count = conflicts.iter().map(|txid| self.pool.entry(txid).down.count).sum();
        let limit = self.policy.max_replacements;
        if count > limit {
            return Err(Refused::TooManyReplacements { count, limit });
        }
        Ok(self.pool.with_descendants(conflicts.iter().copied()))
    }

    /// Rules 3 and 4: no less than all that goes, and the difference pays for the relay.
    pub(super) fn check_pays_for(&self, removed: &BTreeSet<Txid>, fee_sat: u64, vsize: u64) -> Result<(), Refused> {
        let removed_sat: u64 = removed.iter().map(|txid| self.pool.entry(txid).fee_sat).sum();
        if fee_sat < removed_sat {
            let rule = ReplaceRule::TotalFee;
            return Err(Refused::InsufficientFee { rule, fee_sat, required_sat: removed_sat });
        }
        let required_sat = removed_sat + fee_at(self.policy.incremental_per_kvb, vsize);
        if fee_sat < required_sat {
            return Err(Refused::InsufficientFee { rule: ReplaceRule::RelayFee, fee_sat, required_sat });
        }
        Ok(())
    }

    /// Whoever spends from a parent with dust spends the dust, so that it never stays behind unspent.
    pub(super) fn check_dust_spent(&self, candidates: &[Candidate]) -> Result<(), (Txid, Refused)> {
        for child in candidates {
            let spends: BTreeSet<OutPoint> = child.tx.input.iter().map(|input| input.previous_output).collect();
            let parents: BTreeSet<Txid> = spends.iter().map(|outpoint| outpoint.txid).collect();
            for parent in parents {
                let in_package = candidates.iter().find(|candidate| candidate.txid == parent);
                let known = self.pool.get(&parent).map(|entry| &entry.tx);
                let Some(tx) = in_package.map(|candidate| &candidate.tx).or(known) else {
                    continue;
                };
                let mut dust = standard::dust_outputs(tx, &self.policy).map(|vout| OutPoint::new(parent, vout));
                if dust.any(|outpoint| !spends.contains(&outpoint)) {
                    return Err((child.txid, Refused::EphemeralUnspent { parent }));
                }
            }
        }
        Ok(())
    }

    /// Takes one transaction in, if it may come and stay.
    pub(super) fn accept(&mut self, tx: &Arc<Transaction>) -> Result<(), Refused> {
        let txid = self.accept_without_limit(tx)?;
        self.limit_size();
        if self.is_waiting(&txid) { Ok(()) } else { Err(Refused::MempoolFull) }
    }

    /// The same, but the mempool may be too large for a moment.
    pub(super) fn accept_without_limit(&mut self, tx: &Arc<Transaction>) -> Result<Txid, Refused> {
        let (candidate, removed) = self.check(tx, Mode::Single)?;
        let txid = candidate.txid;
        self.admit(candidate, &removed, self.time_s);
        Ok(txid)
    }

    /// All checks of one transaction, and what it would replace.
    pub(super) fn check(&self, tx: &Arc<Transaction>, mode: Mode) -> Result<(Candidate, BTreeSet<Txid>), Refused> {
        let candidate = self.pre_check(tx, mode, &[])?;
        self.check_dust_spent(std::slice::from_ref(&candidate)).map_err(|(_, refused)| refused)?;
        let removed = match candidate.conflicts.is_empty() {
            true => BTreeSet::new(),
            false => self.check_replacement(&candidate)?,
        };
        if mode != Mode::Returning {
            verify::check_scripts(tx, &candidate.spent)?;
            verify::check_signature_forms(tx)?;
        }
        Ok((candidate, removed))
    }

    /// Takes in what was checked.
    pub(super) fn admit(&mut self, candidate: Candidate, removed: &BTreeSet<Txid>, time_s: u32) {
        for txid in removed {
            self.pool.remove_with_descendants(txid);
        }
        self.pool.insert(Entry::new(candidate.tx, candidate.fee_sat, candidate.vsize, time_s));
    }
}
