//! The update ledger: which HTLCs and fees are in which commitment, and why.
//!
//! An update proposed by one side (an add, a removal, a fee) always makes the same journey: proposed, signed into the
//! peer's commitment, revoked by the peer, signed into the proposer's commitment, revoked by the proposer. Seen from
//! its proposer that is one [`Stage`] with one transition function. What a commitment contains is derived from the
//! stages and never stored, so it cannot disagree with them.

use std::collections::BTreeMap;

use crate::amount::{Msat, Sat};
use crate::ids::{HtlcId, PaymentHash};
use crate::mutation::{Mutation, is_active};
use crate::side::{PerSide, Side};

pub use super::update::{Advance, Age, Detail, Htlc, HtlcKey, HtlcState, Origin, Peeled, Removal, Stage, Step};

/// All of the ledger but the HTLCs: small, and written with each step.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Counters {
    /// Balances with every settled removal folded in. Always sums to the capacity.
    pub base: PerSide<Msat>,
    /// The feerate with every settled fee folded in.
    pub base_feerate_per_kw: u32,
    /// Fee updates on their way.
    pub fees: Vec<(u32, Stage)>,
    /// The id of each side's next add.
    pub next_id: PerSide<u64>,
    /// Commitments signed after the first: `local` by the peer for us, `remote` by us for the peer. So it is also
    /// the number of the latest commitment.
    pub signed: PerSide<u64>,
    /// Commitments revoked so far, by their owner. So it is also the number of the oldest one not revoked.
    pub revoked: PerSide<u64>,
    /// Which of our two commitment messages went out last: a retransmission must keep the order.
    pub last_sent: Option<Step>,
}

/// An HTLC that a step has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// One stage further; its row is due.
    Advanced(HtlcKey),
    /// Its add is irrevocable.
    Added(HtlcKey),
    /// Its removal is irrevocable, so it is no longer here.
    Removed(HtlcKey, Box<Htlc>),
}

impl Moved {
    /// Which HTLC.
    pub fn key(&self) -> HtlcKey {
        match self {
            Moved::Advanced(key) | Moved::Added(key) | Moved::Removed(key, _) => *key,
        }
    }
}

/// What one commitment shows of an HTLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct SpecHtlc {
    /// Which.
    pub key: HtlcKey,
    /// What it carries.
    pub amount_msat: Msat,
    /// What the preimage must hash to.
    pub payment_hash: PaymentHash,
    /// When it times out.
    pub cltv_expiry: u32,
}

/// What one commitment must show. Derived, never stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Spec {
    /// What each side owns outright, before fees; below zero in a `Worst` that cannot happen without other
    /// updates that we did not count.
    pub balance_msat: PerSide<i64>,
    /// The commitment's feerate.
    pub feerate_per_kw: u32,
    /// HTLCs, by key.
    pub htlcs: Vec<SpecHtlc>,
}

/// What `channel_reestablish` says about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// `commitment_signed` messages taken in.
    pub commits: u64,
    /// `revoke_and_ack` messages taken in.
    pub revokes: u64,
}

/// The updates of one channel, the same for all its fundings.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Ledger {
    opener: Side,
    counters: Counters,
    /// In boxes: a map without HTLCs keeps room for eleven.
    htlcs: BTreeMap<HtlcKey, Box<Htlc>>,
}

impl Ledger {
    /// A channel before its first update.
    pub fn new(base: PerSide<Msat>, base_feerate_per_kw: u32, opener: Side) -> Ledger {
        let counters = Counters {
            base,
            base_feerate_per_kw,
            fees: Vec::new(),
            next_id: PerSide::default(),
            signed: PerSide::default(),
            revoked: PerSide::default(),
            last_sent: None,
        };
        Ledger { opener, counters, htlcs: BTreeMap::new() }
    }

    /// A channel as its rows tell.
    pub fn restore(opener: Side, counters: Counters, htlcs: BTreeMap<HtlcKey, Htlc>) -> Ledger {
        Ledger { opener, counters, htlcs: htlcs.into_iter().map(|(key, htlc)| (key, Box::new(htlc))).collect() }
    }

    /// Who opened the channel, and so pays its fees.
    pub fn opener(&self) -> Side {
        self.opener
    }

    /// The counters as they would be after a disconnection: this is what is written down.
    pub fn durable_counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.fees.retain(|(_, stage)| *stage != Stage::Proposed);
        for side in [Side::Local, Side::Remote] {
            counters.next_id[side] -= self.proposed_adds(side);
        }
        counters
    }

    /// Adds of `side` that nobody has signed. Ids ascend, so they are the last ones.
    fn proposed_adds(&self, side: Side) -> u64 {
        let proposed = |htlc: &&Htlc| htlc.state == HtlcState::Adding(Stage::Proposed);
        self.of_side(side).rev().map(|(_, htlc)| htlc).take_while(proposed).count() as u64
    }

    /// The HTLCs that `side` offered, by id.
    pub fn of_side(&self, side: Side) -> impl DoubleEndedIterator<Item = (HtlcKey, &Htlc)> {
        let range = first(side)..=HtlcKey { offered_by: side, id: HtlcId(u64::MAX) };
        self.htlcs.range(range).map(|(key, htlc)| (*key, &**htlc))
    }

    /// The HTLCs, by key.
    pub fn htlcs(&self) -> impl DoubleEndedIterator<Item = (HtlcKey, &Htlc)> {
        self.htlcs.iter().map(|(key, htlc)| (*key, &**htlc))
    }

    /// One of them.
    pub fn htlc(&self, key: HtlcKey) -> Option<&Htlc> {
        self.htlcs.get(&key).map(|htlc| &**htlc)
    }

    /// No HTLC and no fee is on its way.
    pub fn is_quiet(&self) -> bool {
        self.htlcs.is_empty() && self.counters.fees.is_empty()
    }

    /// Both balances together.
    pub fn capacity(&self) -> Msat {
        self.counters.base.local + self.counters.base.remote
    }

    /// The balances with settled removals folded in, and HTLCs still with those who offered them.
    pub fn base(&self) -> PerSide<Msat> {
        self.counters.base
    }

    /// The number of `whose` latest commitment.
    pub fn latest_number(&self, whose: Side) -> u64 {
        self.counters.signed[whose]
    }

    /// The number of `whose` oldest commitment that is not revoked.
    pub fn oldest_number(&self, whose: Side) -> u64 {
        self.counters.revoked[whose]
    }

    /// The id that an add of `side` must have.
    pub fn next_id(&self, side: Side) -> HtlcId {
        HtlcId(self.counters.next_id[side])
    }

    /// Takes in an add, which the limits have allowed, and puts it where `place` says.
    pub fn add(
        &mut self,
        place: impl FnOnce(Htlc) -> Box<Htlc>,
        by: Side,
        amount_msat: Msat,
        payment_hash: PaymentHash,
        expiry: u32,
        detail: Detail,
    ) -> HtlcKey {
        let key = HtlcKey { offered_by: by, id: self.next_id(by) };
        self.counters.next_id[by] += 1;
        let state = HtlcState::Adding(Stage::Proposed);
        let (cltv_expiry, remote_from, remote_until) = (expiry, 0, 0);
        let htlc = Htlc { amount_msat, payment_hash, cltv_expiry, state, remote_from, remote_until, detail };
        assert!(self.htlcs.insert(key, place(htlc)).is_none(), "ids are given once");
        key
    }

    /// Takes in how we end an HTLC of the peer. Refused, as `false`, unless it is irrevocably committed and not
    /// already decided (BOLT 2, removing an HTLC).
    #[must_use]
    pub fn decide(&mut self, id: HtlcId, removal: Removal) -> bool {
        match self.htlcs.get_mut(&HtlcKey { offered_by: Side::Remote, id }) {
            Some(htlc) if htlc.state == HtlcState::Live => {
                htlc.state = HtlcState::Decided(removal);
                true
            }
            _ => false,
        }
    }

    /// Proposes up to `limit` of the decided removals and shows each: they are to be sent in this order.
    pub fn propose_decided(&mut self, limit: usize, mut send: impl FnMut(HtlcId, &Removal)) {
        let decided = self.htlcs.range_mut(first(Side::Remote)..).filter_map(|(key, htlc)| match &htlc.state {
            HtlcState::Decided(_) => Some((key.id, htlc)),
            _ => None,
        });
        for (id, htlc) in decided.take(limit) {
            let HtlcState::Decided(removal) = std::mem::replace(&mut htlc.state, HtlcState::Live) else {
                unreachable!("only decided ones are here")
            };
            send(id, &removal);
            htlc.state = HtlcState::Removing(Stage::Proposed, removal);
        }
    }

    /// Our removals that the peer has not acknowledged by a revocation: they are sent again after a reconnection.
    pub fn unacked_removals(&self) -> usize {
        let unacked = |(_, htlc): &(HtlcKey, &Htlc)| {
            matches!(htlc.state, HtlcState::Removing(Stage::Proposed | Stage::PeerSigned, _))
        };
        self.of_side(Side::Remote).filter(unacked).count()
    }

    /// Takes in a removal by the peer of an HTLC that we offered. Refused, as `false`, unless the HTLC is irrevocably
    /// committed and not already being removed (BOLT 2, removing an HTLC).
    #[must_use]
    pub fn remove(&mut self, id: HtlcId, removal: Removal) -> bool {
        match self.htlcs.get_mut(&HtlcKey { offered_by: Side::Local, id }) {
            Some(htlc) if htlc.state == HtlcState::Live => {
                htlc.state = HtlcState::Removing(Stage::Proposed, removal);
                true
            }
            _ => false,
        }
    }

    /// Takes in a fee of the opener; one that was proposed before and not signed never was.
    pub fn update_fee(&mut self, feerate_per_kw: u32) {
        self.counters.fees.retain(|(_, stage)| *stage != Stage::Proposed);
        self.counters.fees.push((feerate_per_kw, Stage::Proposed));
    }

    /// Fee updates on their way, oldest first.
    pub fn fees(&self) -> &[(u32, Stage)] {
        &self.counters.fees
    }

    /// The newest feerate that anyone has proposed.
    pub fn newest_feerate(&self) -> u32 {
        self.counters.fees.last().map_or(self.counters.base_feerate_per_kw, |(feerate, _)| *feerate)
    }

    /// The largest feerate that a commitment of either side may have, now or once pending updates are in.
    pub fn highest_feerate(&self) -> u32 {
        let pending = self.counters.fees.iter().map(|(feerate, _)| *feerate);
        pending.fold(self.counters.base_feerate_per_kw, u32::max)
    }

    /// We signed a remote commitment that is not yet answered by `revoke_and_ack`.
    pub fn awaiting_revoke(&self) -> bool {
        self.counters.signed.remote > self.counters.revoked.remote
    }

    /// What we say in `channel_reestablish`.
    pub fn received(&self) -> Received {
        Received { commits: self.counters.signed.local, revokes: self.counters.revoked.remote }
    }

    /// The connection is gone: what nobody signed never happened. Only our own removals stay, as decided: a preimage
    /// that we know must reach the peer. Returns the adds of both sides that never were.
    pub fn discard_unsigned(&mut self) -> Vec<(HtlcKey, Htlc)> {
        let mut dropped = Vec::new();
        for side in [Side::Local, Side::Remote] {
            for _ in 0..self.proposed_adds(side) {
                self.counters.next_id[side] -= 1;
                let key = HtlcKey { offered_by: side, id: self.next_id(side) };
                let htlc = self.htlcs.remove(&key).expect("it was counted");
                dropped.push((key, *htlc));
            }
        }
        dropped.reverse();
        for (key, htlc) in &mut self.htlcs {
            htlc.state = match std::mem::replace(&mut htlc.state, HtlcState::Live) {
                HtlcState::Removing(Stage::Proposed, _) if key.offered_by == Side::Local => HtlcState::Live,
                HtlcState::Removing(Stage::Proposed, _) | HtlcState::Decided(_)
                    if is_active(Mutation::LostPreimage) =>
                {
                    HtlcState::Live
                }
                HtlcState::Removing(Stage::Proposed, removal) => HtlcState::Decided(removal),
                state => state,
            };
        }
        self.counters.fees.retain(|(_, stage)| *stage != Stage::Proposed);
        dropped
    }

    /// The messages the peer missed, in the order we first sent them. `SendCommit` stands for our updates at
    /// `PeerSigned` followed by `commitment_signed`.
    pub fn retransmit(&self, theirs: Received) -> Vec<Step> {
        let mut steps = Vec::with_capacity(2);
        if self.counters.revoked.local == theirs.revokes + 1 {
            steps.push(Step::SendRevoke);
        }
        if self.counters.signed.remote == theirs.commits + 1 {
            steps.push(Step::SendCommit);
        }
        if (self.counters.last_sent == Some(Step::SendRevoke)) != is_active(Mutation::RetransmissionOrder) {
            steps.reverse();
        }
        steps
    }

    /// Would `step` change anything? (BOLT 2: an empty `commitment_signed` is a violation.)
    pub fn has_changes(&self, step: Step) -> bool {
        let moves = |stage: Stage, by: Side| stage.advance(by, step) != Advance::Stay;
        self.htlcs.iter().any(|(key, htlc)| match htlc.state {
            HtlcState::Adding(stage) => moves(stage, key.offered_by),
            HtlcState::Removing(stage, _) => moves(stage, !key.offered_by),
            HtlcState::Live | HtlcState::Decided(_) => false,
        }) || self.counters.fees.iter().any(|(_, stage)| moves(*stage, self.opener))
    }

    /// Applies one of the four messages and appends what it moved.
    pub fn step(&mut self, step: Step, moved: &mut Vec<Moved>) {
        let capacity = self.capacity();
        match step {
            Step::SendCommit => assert!(!self.awaiting_revoke(), "one commitment at a time awaits its revocation"),
            Step::RecvRevoke => assert!(self.awaiting_revoke(), "the caller checks that a revocation is due"),
            Step::RecvCommit | Step::SendRevoke => {}
        }
        let next_remote = self.counters.signed.remote + 1;
        for (&key, htlc) in &mut self.htlcs {
            match &mut htlc.state {
                HtlcState::Live | HtlcState::Decided(_) => {}
                HtlcState::Adding(stage) => match stage.advance(key.offered_by, step) {
                    Advance::Stay => {}
                    Advance::To(next) => {
                        *stage = next;
                        // Whoever offered it, it is our signature that puts it into the peer's commitment.
                        if step == Step::SendCommit {
                            htlc.remote_from = next_remote;
                        }
                        moved.push(Moved::Advanced(key));
                    }
                    Advance::Settled => {
                        htlc.state = HtlcState::Live;
                        moved.push(Moved::Added(key));
                    }
                },
                HtlcState::Removing(stage, _) => match stage.advance(!key.offered_by, step) {
                    Advance::Stay => {}
                    Advance::To(next) => {
                        *stage = next;
                        if step == Step::SendCommit {
                            htlc.remote_until = next_remote;
                        }
                        moved.push(Moved::Advanced(key));
                    }
                    // Taken out below: what is removed is told last.
                    Advance::Settled => {}
                },
            }
        }
        // No step moves an update twice, so only what was settled above is settled by it now.
        let settles = |key: &HtlcKey, htlc: &mut Box<Htlc>| match &htlc.state {
            HtlcState::Removing(stage, _) => stage.advance(!key.offered_by, step) == Advance::Settled,
            _ => false,
        };
        for (key, htlc) in self.htlcs.extract_if(.., settles) {
            if matches!(htlc.state, HtlcState::Removing(_, Removal::Fulfilled(_))) {
                self.counters.base[key.offered_by] -= htlc.amount_msat;
                self.counters.base[!key.offered_by] += htlc.amount_msat;
            }
            moved.push(Moved::Removed(key, htlc));
        }
        let (opener, counters) = (self.opener, &mut self.counters);
        let base_feerate = &mut counters.base_feerate_per_kw;
        counters.fees.retain_mut(|(feerate, stage)| match stage.advance(opener, step) {
            Advance::Stay => true,
            Advance::To(next) => {
                *stage = next;
                true
            }
            Advance::Settled => {
                *base_feerate = *feerate;
                false
            }
        });
        // Fees at the same stage travel together from now on, and only the last of them is ever seen: however often
        // the opener changes its mind, there are no more of them than stages.
        counters.fees.reverse();
        counters.fees.dedup_by_key(|(_, stage)| *stage);
        counters.fees.reverse();
        match step {
            Step::SendCommit => counters.signed.remote += 1,
            Step::RecvRevoke => counters.revoked.remote += 1,
            Step::RecvCommit => counters.signed.local += 1,
            Step::SendRevoke => counters.revoked.local += 1,
        }
        if matches!(step, Step::SendCommit | Step::SendRevoke) {
            counters.last_sent = Some(step);
        }
        assert_eq!(self.capacity(), capacity, "no step makes money");
    }

    /// What that commitment shows.
    pub fn spec(&self, whose: Side, age: Age) -> Spec {
        let mut spec = Spec::default();
        self.spec_into(whose, age, &mut spec);
        spec
    }

    /// The same, into a `Spec` whose memory is used again.
    pub fn spec_into(&self, whose: Side, age: Age, spec: &mut Spec) {
        spec.htlcs.clear();
        spec.balance_msat = self.visit(whose, age, |key, htlc| {
            spec.htlcs.push(SpecHtlc {
                key,
                amount_msat: htlc.amount_msat,
                payment_hash: htlc.payment_hash,
                cltv_expiry: htlc.cltv_expiry,
            });
        });
        spec.feerate_per_kw = self.feerate(whose, age);
    }

    /// Shows each HTLC of that commitment and returns the balances beside them.
    pub fn visit(&self, whose: Side, age: Age, mut see: impl FnMut(HtlcKey, &Htlc)) -> PerSide<i64> {
        let base = self.counters.base;
        let mut balance = PerSide { local: signed(base.local), remote: signed(base.remote) };
        for (&key, htlc) in &self.htlcs {
            let by = key.offered_by;
            let added = match htlc.state {
                HtlcState::Adding(stage) => age == Age::Worst || stage.in_commitment(by, whose, age),
                HtlcState::Live | HtlcState::Decided(_) | HtlcState::Removing(..) => true,
            };
            if !added {
                continue;
            }
            let amount = signed(htlc.amount_msat);
            balance[by] -= amount;
            match &htlc.state {
                HtlcState::Removing(stage, removal) if stage.in_commitment(!by, whose, age) => match removal {
                    Removal::Fulfilled(_) => balance[!by] += amount,
                    Removal::Failed(_) | Removal::Malformed { .. } => balance[by] += amount,
                },
                _ => see(key, htlc),
            }
        }
        balance
    }

    /// The feerate of that commitment.
    pub fn feerate(&self, whose: Side, age: Age) -> u32 {
        if age == Age::Worst {
            return self.highest_feerate();
        }
        if whose == Side::Local && is_active(Mutation::EarlyFee) {
            return self.newest_feerate();
        }
        let seen = |(_, stage): &&(u32, Stage)| stage.in_commitment(self.opener, whose, age);
        self.counters.fees.iter().rev().find(seen).map_or(self.counters.base_feerate_per_kw, |(fee, _)| *fee)
    }

    /// Invariants, for debug builds and the simulator.
    pub fn check(&self, capacity: Sat) {
        assert_eq!(self.capacity(), capacity.to_msat());
        let Counters { signed, revoked, next_id, .. } = &self.counters;
        assert!(signed.remote - revoked.remote <= 1 && signed.local - revoked.local <= 1);
        assert!(self.counters.fees.len() <= 4);
        for key in self.htlcs.keys() {
            assert!(key.id.0 < next_id[key.offered_by]);
        }
        for whose in [Side::Local, Side::Remote] {
            for age in [Age::Oldest, Age::Latest] {
                let Spec { balance_msat, .. } = self.spec(whose, age);
                assert!(balance_msat.local >= 0 && balance_msat.remote >= 0, "{whose:?} {age:?} {balance_msat:?}");
            }
        }
    }
}

/// Where the HTLCs of `side` begin. All of `Local` come before all of `Remote`.
fn first(side: Side) -> HtlcKey {
    HtlcKey { offered_by: side, id: HtlcId(0) }
}

/// Amounts on the ledger are below all money, so they fit.
fn signed(amount: Msat) -> i64 {
    i64::try_from(amount.0).expect("below all the bitcoin there can be")
}
