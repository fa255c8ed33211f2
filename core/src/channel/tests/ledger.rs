//! The ledger against an independent model of BOLT 2, over random tapes with reconnections.

use std::collections::VecDeque;

use crate::amount::{Msat, Sat};
use crate::channel::ledger::{
    Advance, Age, Detail, HtlcKey, HtlcState, Ledger, Moved, Origin, Received, Removal, Spec, SpecHtlc, Stage, Step,
};
use crate::ids::{PaymentHash, Preimage};
use crate::side::{PerSide, Side};

const DETAIL: Detail = Detail::Offered { origin: Origin::Payment { part: 0 }, path_key: None };
const CAPACITY: Sat = Sat(2_000);

/// The model keeps lists of changes and folds them, where the ledger keeps a stage with each update.
#[derive(Clone, Debug)]
enum Update {
    Add(SpecHtlc),
    Remove(HtlcKey, Removal),
    Fee(u32),
}

#[derive(Clone, Default, Debug)]
struct Changes {
    proposed: Vec<Update>,
    signed: Vec<Update>,
    acked: Vec<Update>,
}

#[derive(Clone, Debug)]
struct Model {
    local: Changes,
    remote: Changes,
    local_commit: Spec,
    remote_commit: Spec,
    next_remote: Option<Spec>,
}

fn reduce(spec: &Spec, local: &[Update], remote: &[Update]) -> Spec {
    let mut spec = spec.clone();
    for update in local.iter().chain(remote) {
        if let Update::Add(htlc) = update {
            spec.balance_msat[htlc.key.offered_by] -= htlc.amount_msat.0 as i64;
            spec.htlcs.push(*htlc);
        }
    }
    for update in local.iter().chain(remote) {
        match update {
            Update::Remove(key, removal) => {
                let at = spec.htlcs.iter().position(|htlc| htlc.key == *key).expect("removed HTLCs are there");
                let amount = spec.htlcs.remove(at).amount_msat.0 as i64;
                let fulfilled = matches!(removal, Removal::Fulfilled(_));
                spec.balance_msat[if fulfilled { !key.offered_by } else { key.offered_by }] += amount;
            }
            Update::Fee(feerate) => spec.feerate_per_kw = *feerate,
            Update::Add(..) => {}
        }
    }
    spec.htlcs.sort();
    spec
}

impl Model {
    fn propose(&mut self, by: Side, update: Update) {
        let changes = if by == Side::Local { &mut self.local } else { &mut self.remote };
        if matches!(update, Update::Fee(_)) {
            changes.proposed.retain(|update| !matches!(update, Update::Fee(_)));
        }
        changes.proposed.push(update);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::SendCommit => {
                self.next_remote = Some(reduce(&self.remote_commit, &self.local.proposed, &self.remote.acked));
                self.local.signed = std::mem::take(&mut self.local.proposed);
                self.remote.signed = std::mem::take(&mut self.remote.acked);
            }
            Step::RecvCommit => {
                self.local_commit = reduce(&self.local_commit, &self.local.acked, &self.remote.proposed);
            }
            Step::SendRevoke => {
                self.local.acked.clear();
                self.remote.acked.append(&mut self.remote.proposed);
            }
            Step::RecvRevoke => {
                self.remote_commit = self.next_remote.take().expect("a revocation was due");
                self.local.acked.append(&mut self.local.signed);
                self.remote.signed.clear();
            }
        }
    }
}

/// What travels between the two nodes.
enum Msg {
    Update(Update),
    Commit(Spec),
    Revoke,
}

struct Node {
    ledger: Ledger,
    model: Model,
    checked: usize,
}

fn flip_key(key: HtlcKey) -> HtlcKey {
    HtlcKey { offered_by: !key.offered_by, id: key.id }
}

fn flip(spec: &Spec) -> Spec {
    let flip = |htlc: &SpecHtlc| SpecHtlc { key: flip_key(htlc.key), ..*htlc };
    let mut htlcs: Vec<_> = spec.htlcs.iter().map(flip).collect();
    htlcs.sort();
    Spec { balance_msat: spec.balance_msat.flip(), feerate_per_kw: spec.feerate_per_kw, htlcs }
}

fn removal(arg: u8) -> Removal {
    if arg & 1 == 0 { Removal::Fulfilled(Preimage([arg; 32])) } else { Removal::Failed(Box::new([])) }
}

impl Node {
    fn new(opener: Side) -> Node {
        let half = Msat(CAPACITY.to_msat().0 / 2);
        let balance_msat = PerSide { local: half.0 as i64, remote: half.0 as i64 };
        let spec = Spec { balance_msat, feerate_per_kw: 253, htlcs: vec![] };
        Node {
            ledger: Ledger::new(PerSide { local: half, remote: half }, 253, opener),
            model: Model {
                local: Changes::default(),
                remote: Changes::default(),
                local_commit: spec.clone(),
                remote_commit: spec,
                next_remote: None,
            },
            checked: 0,
        }
    }

    fn check(&mut self) {
        let latest = self.model.next_remote.as_ref().unwrap_or(&self.model.remote_commit);
        assert_eq!(&self.ledger.spec(Side::Local, Age::Latest), &self.model.local_commit);
        assert_eq!(&self.ledger.spec(Side::Local, Age::Oldest), &self.model.local_commit);
        assert_eq!(&self.ledger.spec(Side::Remote, Age::Latest), latest);
        assert_eq!(&self.ledger.spec(Side::Remote, Age::Oldest), &self.model.remote_commit);
        // What would be signed next, which the limits look at.
        let next = reduce(&self.model.local_commit, &self.model.local.acked, &self.model.remote.proposed);
        assert_eq!(self.ledger.spec(Side::Local, Age::Next), next);
        if self.model.next_remote.is_none() {
            let next = reduce(&self.model.remote_commit, &self.model.local.proposed, &self.model.remote.acked);
            assert_eq!(self.ledger.spec(Side::Remote, Age::Next), next);
        }
        self.ledger.check(CAPACITY);
        self.checked += 1;
    }

    fn step(&mut self, step: Step) {
        let mut moved = Vec::new();
        let before = self.ledger.clone();
        self.ledger.step(step, &mut moved);
        self.model.step(step);
        // Whatever has changed is among what is to be written.
        for (key, htlc) in before.htlcs() {
            let told = moved.iter().any(|moved| match moved {
                Moved::Advanced(told) | Moved::Added(told) | Moved::Removed(told, _) => *told == key,
            });
            assert_eq!(told, self.ledger.htlc(key) != Some(htlc));
        }
    }

    fn remove(&mut self, key: HtlcKey, removal: Removal) {
        if key.offered_by == Side::Local {
            assert!(self.ledger.remove(key.id, removal.clone()), "only live HTLCs are removed");
        } else {
            assert!(self.ledger.decide(key.id, removal.clone()), "only live HTLCs are removed");
            self.ledger.propose_decided(1, |id, proposed| assert!(id == key.id && *proposed == removal));
        }
        self.model.propose(!key.offered_by, Update::Remove(key, removal));
    }

    fn add(&mut self, by: Side, amount_msat: Msat) -> SpecHtlc {
        let key = self.ledger.add(Box::new, by, amount_msat, PaymentHash([7; 32]), 500, DETAIL);
        let htlc = SpecHtlc { key, amount_msat, payment_hash: PaymentHash([7; 32]), cltv_expiry: 500 };
        self.model.propose(by, Update::Add(htlc));
        htlc
    }

    fn fee(&mut self, feerate: u32) {
        self.ledger.update_fee(feerate);
        self.model.propose(self.ledger.opener(), Update::Fee(feerate));
    }

    fn act(&mut self, op: u8, arg: u8, out: &mut VecDeque<Msg>) {
        match op % 6 {
            0 | 1 => out.push_back(Msg::Update(Update::Add(self.add(Side::Local, Msat(1 + u64::from(arg)))))),
            2 => {
                let live = |(_, htlc): &(HtlcKey, &_)| {
                    let htlc: &crate::channel::Htlc = htlc;
                    htlc.state == HtlcState::Live
                };
                let live: Vec<_> = self.ledger.of_side(Side::Remote).filter(live).map(|(key, _)| key).collect();
                if live.is_empty() {
                    return;
                }
                let key = live[usize::from(arg) % live.len()];
                self.remove(key, removal(arg));
                out.push_back(Msg::Update(Update::Remove(key, removal(arg))));
            }
            3 if self.ledger.opener() == Side::Local => {
                self.fee(253 + u32::from(arg));
                out.push_back(Msg::Update(Update::Fee(253 + u32::from(arg))));
            }
            _ => {
                if !self.ledger.awaiting_revoke() && self.ledger.has_changes(Step::SendCommit) {
                    self.step(Step::SendCommit);
                    out.push_back(Msg::Commit(self.ledger.spec(Side::Remote, Age::Latest)));
                }
            }
        }
        self.check();
    }

    fn receive(&mut self, msg: Msg, out: &mut VecDeque<Msg>) {
        match msg {
            Msg::Update(Update::Add(htlc)) => {
                assert_eq!(self.ledger.next_id(Side::Remote), htlc.key.id);
                self.add(Side::Remote, htlc.amount_msat);
            }
            Msg::Update(Update::Remove(key, removal)) => self.remove(flip_key(key), removal),
            Msg::Update(Update::Fee(feerate)) => self.fee(feerate),
            Msg::Commit(theirs) => {
                assert!(self.ledger.has_changes(Step::RecvCommit));
                self.step(Step::RecvCommit);
                // The whole point: both ends derive the same commitment.
                assert_eq!(flip(&theirs), self.ledger.spec(Side::Local, Age::Latest));
                self.step(Step::SendRevoke);
                out.push_back(Msg::Revoke);
            }
            Msg::Revoke => self.step(Step::RecvRevoke),
        }
        self.check();
    }

    fn disconnect(&mut self) {
        self.ledger.discard_unsigned();
        self.model.local.proposed.clear();
        self.model.remote.proposed.clear();
        self.check();
    }

    fn reconnect(&mut self, theirs: Received, out: &mut VecDeque<Msg>) {
        for step in self.ledger.retransmit(theirs) {
            if step == Step::SendRevoke {
                out.push_back(Msg::Revoke);
                continue;
            }
            self.send_updates(Stage::PeerSigned, out);
            out.push_back(Msg::Commit(self.ledger.spec(Side::Remote, Age::Latest)));
        }
        // What we decided and nobody signed is proposed once more.
        let model = &mut self.model;
        self.ledger.propose_decided(usize::MAX, |id, removal| {
            let key = HtlcKey { offered_by: Side::Remote, id };
            model.propose(Side::Local, Update::Remove(key, removal.clone()));
            out.push_back(Msg::Update(Update::Remove(key, removal.clone())));
        });
    }

    fn send_updates(&self, stage: Stage, out: &mut VecDeque<Msg>) {
        for (key, htlc) in self.ledger.htlcs() {
            let update = match &htlc.state {
                HtlcState::Adding(at) if *at == stage && key.offered_by == Side::Local => Update::Add(SpecHtlc {
                    key,
                    amount_msat: htlc.amount_msat,
                    payment_hash: htlc.payment_hash,
                    cltv_expiry: htlc.cltv_expiry,
                }),
                HtlcState::Removing(at, removal) if *at == stage && key.offered_by == Side::Remote => {
                    Update::Remove(key, removal.clone())
                }
                _ => continue,
            };
            out.push_back(Msg::Update(update));
        }
        if self.ledger.opener() == Side::Local {
            let fees = self.ledger.fees().iter().filter(|(_, at)| *at == stage);
            out.extend(fees.map(|(feerate, _)| Msg::Update(Update::Fee(*feerate))));
        }
    }
}

/// The tape is the scenario: shrinking it shrinks the failure.
fn run(tape: &[(u8, u8)]) -> usize {
    let mut alice = Node::new(Side::Local);
    let mut bob = Node::new(Side::Remote);
    let (mut to_bob, mut to_alice) = (VecDeque::new(), VecDeque::new());
    for &(op, arg) in tape {
        match (op, op % 4) {
            (250.., _) => {
                // Everything in flight is lost; both ends reconnect.
                to_bob.clear();
                to_alice.clear();
                alice.disconnect();
                bob.disconnect();
                let (from_alice, from_bob) = (alice.ledger.received(), bob.ledger.received());
                alice.reconnect(from_bob, &mut to_bob);
                bob.reconnect(from_alice, &mut to_alice);
            }
            (_, 0) => alice.act(op / 4, arg, &mut to_bob),
            (_, 1) => bob.act(op / 4, arg, &mut to_alice),
            (_, 2) => {
                if let Some(msg) = to_bob.pop_front() {
                    bob.receive(msg, &mut to_alice);
                }
            }
            _ => {
                if let Some(msg) = to_alice.pop_front() {
                    alice.receive(msg, &mut to_bob);
                }
            }
        }
    }
    // Liveness: drain, sign, drain, until quiet; then both must agree on everything.
    for _ in 0..16 {
        while !(to_bob.is_empty() && to_alice.is_empty()) {
            if let Some(msg) = to_bob.pop_front() {
                bob.receive(msg, &mut to_alice);
            }
            if let Some(msg) = to_alice.pop_front() {
                alice.receive(msg, &mut to_bob);
            }
        }
        alice.act(4, 0, &mut to_bob);
        bob.act(4, 0, &mut to_alice);
    }
    assert!(to_bob.is_empty() && to_alice.is_empty(), "the channel did not become quiet");
    assert_eq!(flip(&alice.ledger.spec(Side::Local, Age::Latest)), bob.ledger.spec(Side::Remote, Age::Oldest));
    assert_eq!(flip(&alice.ledger.spec(Side::Remote, Age::Oldest)), bob.ledger.spec(Side::Local, Age::Latest));
    alice.checked + bob.checked
}

#[test]
fn prop_the_ledger_is_the_model() {
    fn prop(tape: Vec<(u8, u8)>) -> bool {
        run(&tape);
        true
    }
    quickcheck::QuickCheck::new()
        .rng(quickcheck::Gen::new(300))
        .tests(20_000)
        .quickcheck(prop as fn(Vec<(u8, u8)>) -> bool);
}

/// Every (stage, proposer) pair moves on exactly one step.
#[test]
fn each_stage_waits_for_exactly_one_message() {
    use Step::*;
    for stage in [Stage::Proposed, Stage::PeerSigned, Stage::PeerRevoked, Stage::OwnSigned] {
        for side in [Side::Local, Side::Remote] {
            let steps = [SendCommit, RecvRevoke, RecvCommit, SendRevoke];
            assert_eq!(steps.into_iter().filter(|step| stage.advance(side, *step) != Advance::Stay).count(), 1);
        }
    }
}

/// What is written down is what would be left after a disconnection, at any moment.
#[test]
fn durable_counters_forget_what_nobody_signed() {
    let mut node = Node::new(Side::Local);
    node.add(Side::Local, Msat(1));
    node.add(Side::Remote, Msat(2));
    node.fee(300);
    node.step(Step::SendCommit);
    node.add(Side::Local, Msat(3));
    node.add(Side::Remote, Msat(4));
    node.fee(400);
    let durable = node.ledger.durable_counters();
    assert_eq!(durable.next_id, PerSide { local: 1, remote: 0 });
    assert_eq!(durable.fees, [(300, Stage::PeerSigned)]);
    let dropped = node.ledger.discard_unsigned();
    let mut dropped: Vec<(Side, u64)> = dropped.iter().map(|(key, _)| (key.offered_by, key.id.0)).collect();
    dropped.sort_unstable();
    assert_eq!(dropped, [(Side::Local, 1), (Side::Remote, 0), (Side::Remote, 1)]);
    assert_eq!(node.ledger.durable_counters(), durable);
}
