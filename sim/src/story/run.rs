//! Tells a story: sets it up, takes its steps, heals everything, waits, and judges.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use leyden_core::amount::Msat;
use leyden_core::chain::Feerates;
use leyden_core::ids::{ChannelId, PaymentHash, Preimage, RequestId};
use leyden_core::request::channel::{ChannelName, Close};
use leyden_core::request::invoice::{CreateInvoice, ExposePrivate, InvoiceCreated, WantedProof};
use leyden_core::request::payment::{ListPays, PayStatus};
use leyden_core::request::peer::Disconnect;
use leyden_core::request::{FeerateChoice, Request, Response};

use super::setup::{self, Edge, channels_of, in_channels};
use super::text::{KINDS, name_of};
use super::variants::Variant;
use super::{PayKind, Saying, Step, Story, say};
use crate::check::Violation;
use crate::net::NodeIndex;
use crate::replay::{Rows, ask};
use crate::world::{Counts, CrashPlan, World};

/// So many broken promises need no others beside them: the story ends there.
const ENOUGH: usize = 10;
/// A moment between two blocks.
const BLOCK_MS: u64 = 200;
/// How long everything has, after it was healed, to come to its end: longer than any patience that nodes have, that of
/// a node which dials again included.
const HEALING_MS: u64 = 6 * 60_000;
/// Then some blocks come, for what waits for them. Not before: an HTLC that was fulfilled has only a few blocks to go.
const HEALING_BLOCKS: u32 = 3;
/// Time between these blocks.
const HEALING_BLOCK_MS: u64 = 20_000;

/// What came of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that was said and written.
    pub digest: [u8; 32],
    /// What it took.
    pub counts: Counts,
    /// Payments that were begun.
    pub payments: u64,
    /// Of these, complete ones.
    pub paid: u64,
    /// Both for each kind, as stories call it.
    pub kinds: BTreeMap<&'static str, (u64, u64)>,
    /// How long it took in the world.
    pub virtual_ms: u64,
    /// What must not be. Empty: all is well.
    pub violations: Vec<Violation>,
    /// A crash that the variant planned never came: there are no more turns.
    pub crash_never_came: bool,
    /// The last lines that nodes said.
    pub log: String,
}

/// A payment of the story.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) name: String,
    pub(crate) from: NodeIndex,
    pub(crate) to: NodeIndex,
    pub(crate) amount: Msat,
    pub(crate) kind: PayKind,
    pub(crate) hash: PaymentHash,
    /// The answer to wait for, and the life of the payer that owes it.
    pub(crate) request: Option<(RequestId, u32)>,
}

/// A story under way.
pub(crate) struct Telling<'a> {
    pub(crate) story: &'a Story,
    pub(crate) world: World,
    pub(crate) variant: Variant,
    pub(crate) payments: Vec<Payment>,
    /// What each node had in channels at the beginning.
    pub(crate) before: Vec<u64>,
    /// What each node had in its wallet then.
    pub(crate) wallets: Vec<u64>,
    /// The channels of the beginning.
    pub(crate) old_channels: BTreeSet<ChannelId>,
    /// What each node may have given away since, by opening channels.
    pub(crate) pushed: Vec<u64>,
    /// How many channels were opened or closed since.
    pub(crate) changes: u64,
    /// Invoices that the story has made: name, who made it, amount, and what it says.
    /// How often nodes had dialled each other before the story began.
    pub(super) dials: BTreeMap<(NodeIndex, NodeIndex), u64>,
    pub(super) invoices: Vec<(String, NodeIndex, Msat, InvoiceCreated)>,
    /// Of those whose payment is held: name, who made it, and what only the story knows.
    holds: Vec<(String, NodeIndex, Preimage)>,
    pub(super) edges: Vec<Edge>,
    /// Channels may have other places in the chain by now than routes know.
    pub(super) are_places_old: bool,
    pub(super) labels: u64,
}

/// Tells a story in a variant. A panic of a node is a violation like others.
pub fn run(story: &Story, variant: Variant) -> Outcome {
    run_until_panic(|| tell(Telling::begin(story, variant)).0)
}

/// Tells a story as it is written with every node's flight recorder on from its first step, and gives what they
/// recorded, in the order of the nodes.
pub fn run_recorded(story: &Story) -> (Outcome, Vec<Vec<u8>>) {
    let mut recordings = Vec::new();
    let outcome = run_until_panic(|| {
        let mut telling = Telling::begin(story, Variant::AsWritten);
        telling.world.record();
        let (outcome, world) = tell(telling);
        recordings = (0..world.len()).map(|node| world.recording(node)).collect();
        outcome
    });
    (outcome, recordings)
}

/// Takes a story's steps as it is written, and asks every node for its state where they end: a method of the control
/// socket without parameters, answered with JSON. What is told afterwards, that all may come to its end, is left out.
pub fn states(story: &Story, method: &str) -> Vec<Result<String, String>> {
    let told = catch_unwind(AssertUnwindSafe(|| {
        let mut telling = Telling::begin(story, Variant::AsWritten);
        for step in &story.steps {
            telling.step(step);
            if telling.world.is_in_circles() {
                break;
            }
        }
        let world = &telling.world;
        let state = |node| {
            if world.is_off(node) {
                return Err("it is off".to_owned());
            }
            let rows = Rows::of(world.disk(node).clone());
            let network = world.config(node).network;
            ask(world.node(node), &rows, network, world.clock(node), method, "{}")
        };
        (0..story.names.len()).map(state).collect()
    }));
    told.unwrap_or_else(|_| vec![Err("a node breaks before".to_owned()); story.names.len()])
}

fn run_until_panic(tell: impl FnOnce() -> Outcome) -> Outcome {
    let told = catch_unwind(AssertUnwindSafe(tell));
    told.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "something panicked".to_owned());
        let violation = Violation { at_ms: 0, oracle: "panic", node: 0, text };
        Outcome {
            digest: [0; 32],
            counts: Counts::default(),
            payments: 0,
            paid: 0,
            kinds: BTreeMap::new(),
            virtual_ms: 0,
            violations: vec![violation],
            crash_never_came: false,
            log: String::new(),
        }
    })
}

fn tell(mut telling: Telling<'_>) -> (Outcome, World) {
    let story = telling.story;
    for step in &story.steps {
        telling.step(step);
        if telling.world.is_in_circles() || telling.world.violations().len() >= ENOUGH {
            let outcome = telling.outcome(false);
            return (outcome, telling.world);
        }
    }
    let crash_never_came = match (telling.variant, story.under_test) {
        (Variant::Crash { .. }, Some(node)) => telling.world.crash_is_due(node),
        _ => false,
    };
    telling.judge_triggers();
    telling.heal();
    if !telling.world.is_in_circles() {
        crate::check::judge(&mut telling);
    }
    let outcome = telling.outcome(crash_never_came);
    (outcome, telling.world)
}

impl<'a> Telling<'a> {
    fn begin(story: &'a Story, variant: Variant) -> Telling<'a> {
        let mut world = setup::world(story).unwrap_or_else(|reason| panic!("the story cannot begin: {reason}"));
        let mut edges = Vec::new();
        let mut old_channels = BTreeSet::new();
        let mut before = Vec::new();
        let mut wallets = Vec::new();
        let by_id: BTreeMap<_, _> = (0..story.names.len()).map(|node| (world.id(node), node)).collect();
        for node in 0..story.names.len() {
            before.push(in_channels(&mut world, node));
            wallets.push(setup::in_wallet(&mut world, node));
            for channel in channels_of(&mut world, node) {
                old_channels.insert(channel.channel_id);
                if let Some(scid) = channel.short_channel_id {
                    edges.push(Edge { from: node, to: by_id[&channel.peer_id], channel: channel.channel_id, scid });
                }
            }
        }
        match (variant, story.under_test) {
            (Variant::Crash { turn, point }, Some(node)) => world.plan_crash(node, CrashPlan { turn, point }),
            (Variant::SlowStore { commit_ms }, Some(node)) => world.slow_store(node, commit_ms),
            _ => {}
        }
        world.checks().begin(story.closes_allowed);
        let pairs = by_id.values().flat_map(|a| by_id.values().map(move |b| (*a, *b)));
        let dials = pairs.map(|(a, b)| ((a, b), world.dials(a, b))).collect();
        Telling {
            story,
            world,
            variant,
            payments: Vec::new(),
            before,
            wallets,
            old_channels,
            pushed: vec![0; story.names.len()],
            changes: 0,
            dials,
            invoices: Vec::new(),
            holds: Vec::new(),
            edges,
            are_places_old: false,
            labels: 0,
        }
    }

    /// How the story went.
    fn outcome(&mut self, crash_never_came: bool) -> Outcome {
        let mut kinds: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
        for index in 0..self.payments.len() {
            let is_complete = self.status(index) == Some(PayStatus::Complete);
            let (begun, paid) = kinds.entry(self.kind_of(&self.payments[index])).or_default();
            *begun += 1;
            *paid += u64::from(is_complete);
        }
        Outcome {
            digest: self.world.digest(),
            counts: self.world.counts(),
            payments: self.payments.len() as u64,
            paid: kinds.values().map(|(_, paid)| paid).sum(),
            kinds,
            virtual_ms: self.world.now_ms(),
            violations: self.world.violations().to_vec(),
            crash_never_came,
            log: self.world.story(),
        }
    }

    /// What stories call payments like this one.
    fn kind_of(&self, payment: &Payment) -> &'static str {
        let is_held = self.holds.iter().any(|(.., preimage)| preimage.payment_hash() == payment.hash);
        match payment.kind {
            _ if payment.from == payment.to => "circle",
            _ if is_held => "hold_invoice",
            kind => name_of(&KINDS, kind),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pay { name, from, to, amount, kind } => self.pay(name, *from, *to, *amount, *kind),
            Step::Circle { name, from, amount, over } => self.circle(name, *from, *amount, over),
            Step::Connect(a, b) => {
                let request = setup::connect(&self.world, *b);
                self.tell(*a, request);
            }
            Step::Disconnect(a, b) => {
                let peer = self.world.id(*b);
                self.tell(*a, Request::Disconnect(Disconnect { peer, force: true }));
            }
            Step::Open(channel) => {
                self.changes += 1;
                self.pushed[channel.from] += channel.push_msat.0;
                let request = setup::fund(self.story, &self.world, channel);
                self.tell(channel.from, request);
            }
            Step::Close(a, b, alone) => self.close(*a, *b, *alone, None),
            Step::CloseBetween { from, with, low, high, alone_s } => {
                self.close(*from, *with, *alone_s, Some((*low, *high)));
            }
            Step::Wait(ms) => self.world.run_for_ms(*ms),
            Step::WaitQuiet => self.world.run_until_quiet(),
            Step::Mine(count) => {
                for _ in 0..self.variant.blocks(*count) {
                    self.world.mine_now(1);
                    self.world.run_for_ms(BLOCK_MS);
                }
                crate::check::judge_deadlines(self);
            }
            Step::Block => self.world.mine_now(1),
            Step::Reorg(depth, refill) => {
                self.world.reorg(*depth, *refill);
                self.are_places_old = true;
            }
            Step::Cut(a, b) => self.world.cut(*a, *b),
            Step::Stall(a, b, ms) => self.world.stall(*a, *b, *ms),
            Step::Part(a, b) => self.world.part(*a, *b),
            Step::Meet(a, b) => self.world.meet(*a, *b),
            Step::Heal => {
                self.judge_triggers();
                self.world.heal();
            }
            Step::Arm(trigger) => self.world.arm(trigger.clone()),
            Step::Must(trigger) => self.world.arm_surely(trigger.clone()),
            Step::Crash(node) => self.world.crash(*node),
            Step::CrashAt(node, turn, point) => {
                if !self.world.is_off(*node) {
                    self.world.plan_crash(*node, CrashPlan { turn: *turn, point: *point });
                }
            }
            Step::Halt(node) if self.world.is_off(*node) => {}
            Step::Halt(node) => self.world.halt(*node),
            Step::Start(node) if self.world.is_off(*node) => self.world.start(*node),
            Step::Start(_) => {}
            Step::SlowStore(node, ms) => self.world.slow_store(*node, *ms),
            Step::LagChain(node, ms) => self.world.lag_chain(*node, *ms),
            Step::ChainUp(node, is_up) => self.world.chain_is_up(*node, *is_up),
            Step::ProxyUp(node, is_up) => self.world.proxy_is_up(*node, *is_up),
            Step::ChainLacks(node) => self.world.chain_lacks(*node),
            Step::MempoolMinimum(feerate_per_kw) => self.world.crowd_mempool(*feerate_per_kw),
            Step::Giant => {
                self.world.mine_giant();
                self.world.run_for_ms(BLOCK_MS);
            }
            Step::SkewClock(node, ms) => self.world.skew_clock(*node, *ms),
            Step::Feerate(node, feerate_per_kw) => {
                let feerates = setup::feerates(*feerate_per_kw);
                let mempool_minimum = self.world.mempool_minimum();
                self.world.set_feerates(*node, Feerates { mempool_minimum, ..feerates });
            }
            Step::Habit(node, habit, percent) => self.world.takes_to(*node, *habit, *percent),
            Step::Inject(from, to, bytes) => self.world.inject(*from, *to, bytes.clone()),
            Step::Say(from, to, saying) => self.say(*from, *to, saying),
            Step::Again(from, to, message_type) => {
                if let Some(bytes) = self.world.checks().last_said(*from, *to, *message_type) {
                    self.world.inject(*from, *to, bytes);
                }
            }
            Step::Stop(node) => {
                // The process ends once it has answered; its connections end with it.
                let answer = self.ask(*node, Request::Stop);
                if answer.is_some() && !self.world.is_off(*node) {
                    self.world.halt(*node);
                }
            }
            Step::Move(node) => self.world.moves(*node),
            Step::Vanish(a, b) => self.world.vanish(*a, *b),
            Step::Reindex(node, blocks) => self.world.reindex(*node, *blocks),
            Step::Invoice { name, to, amount, expiry_s } => {
                if let Some((invoice, _)) = self.invoice(*to, *amount, *expiry_s) {
                    self.invoices.push((name.clone(), *to, *amount, invoice));
                }
            }
            Step::HoldInvoice { name, to, amount, expiry_s, cltv } => {
                let mut preimage = [0; 32];
                preimage[..8].copy_from_slice(&self.labels.to_be_bytes());
                let preimage = Preimage(preimage);
                let proof = WantedProof::Hold(preimage.payment_hash());
                if let Some((invoice, _)) = self.create(*to, *amount, *expiry_s, proof, Some(*cltv)) {
                    self.invoices.push((name.clone(), *to, *amount, invoice));
                    self.holds.push((name.clone(), *to, preimage));
                }
            }
            Step::Settle(name) => {
                if let Some((_, to, preimage)) = self.held(name) {
                    self.ask_again(to, &Request::SettleHoldInvoice { preimage });
                }
            }
            Step::Cancel(name) => {
                if let Some((_, to, preimage)) = self.held(name) {
                    self.ask_again(to, &Request::CancelHoldInvoice { payment_hash: preimage.payment_hash() });
                }
            }
            Step::PayInvoice(name, from, part) => self.pay_invoice(name, *from, *part),
            Step::Expect(expectation) if self.variant == Variant::AsWritten => self.expect(expectation),
            Step::Expect(_) => {}
            Step::Always(expectation) => self.expect(expectation),
        }
    }

    /// Whatever the story relied on must have happened.
    fn judge_triggers(&mut self) {
        if self.variant != Variant::AsWritten {
            return;
        }
        for trigger in self.world.unmet() {
            let text = format!("nothing met {trigger:?}");
            self.world.violate("story", trigger.from, text);
        }
    }

    fn say(&mut self, from: NodeIndex, to: NodeIndex, saying: &Saying) {
        if self.world.is_off(to) || self.world.is_off(from) {
            return;
        }
        let peer = self.world.id(from);
        let channels = channels_of(&mut self.world, to);
        let own = channels.iter().find(|channel| channel.peer_id == peer).map(|channel| channel.channel_id);
        // Any node id is a point.
        if let Some(bytes) = say::bytes(saying, own, peer.0) {
            self.world.inject(from, to, bytes);
        }
    }

    /// Asks a node that may be off: then nobody hears it.
    fn tell(&mut self, node: NodeIndex, request: Request) {
        if !self.world.is_off(node) {
            self.world.tell(node, request);
        }
    }

    /// Asks, and waits a little. Whoever is off, or goes down meanwhile, does not answer.
    pub(super) fn ask(&mut self, node: NodeIndex, request: Request) -> Option<Response> {
        if self.world.is_off(node) {
            return None;
        }
        let life = self.world.life(node);
        let asked = format!("{request:?}");
        let id = self.world.request(node, request);
        let patient_until_ms = self.world.now_ms() + 3_600_000;
        loop {
            assert!(self.world.now_ms() < patient_until_ms, "node {node} does not answer {asked}");
            if let Some(reply) = self.world.reply(id) {
                return reply.ok();
            }
            if self.world.life(node) != life || self.world.is_off(node) || !self.world.advance() {
                return None;
            }
        }
    }

    /// A client that loses the answer over a crash asks once more.
    fn ask_again(&mut self, node: NodeIndex, request: &Request) {
        loop {
            let life = self.world.life(node);
            self.ask(node, request.clone());
            if self.world.life(node) == life || self.world.is_off(node) || self.world.is_in_circles() {
                return;
            }
        }
    }

    fn held(&self, name: &str) -> Option<(String, NodeIndex, Preimage)> {
        self.holds.iter().find(|(known, ..)| known == name).cloned()
    }

    pub(super) fn invoice(&mut self, node: NodeIndex, amount: Msat, expiry_s: u64) -> Option<(InvoiceCreated, String)> {
        self.create(node, amount, expiry_s, WantedProof::Fresh, None)
    }

    fn create(
        &mut self,
        node: NodeIndex,
        amount: Msat,
        expiry_s: u64,
        proof: WantedProof,
        cltv: Option<u32>,
    ) -> Option<(InvoiceCreated, String)> {
        self.labels += 1;
        let label = format!("story {}", self.labels);
        let create = CreateInvoice {
            amount_msat: Some(amount),
            label: label.clone(),
            description: "a story".to_owned(),
            expiry_s,
            fallbacks: Vec::new(),
            proof,
            expose: ExposePrivate::Auto,
            cltv,
            description_hash_only: false,
        };
        match self.ask(node, Request::Invoice(Box::new(create)))? {
            Response::InvoiceCreated(created) => Some((*created, label)),
            other => panic!("an invoice was asked for: {other:?}"),
        }
    }

    fn close(&mut self, a: NodeIndex, b: NodeIndex, unilateral_timeout_s: Option<u64>, range: Option<(u32, u32)>) {
        if self.world.is_off(a) {
            return;
        }
        let peer = self.world.id(b);
        for channel in channels_of(&mut self.world, a).into_iter().filter(|channel| channel.peer_id == peer) {
            self.changes += 1;
            // Zero means never.
            if unilateral_timeout_s.is_some_and(|seconds| seconds > 0) {
                self.world.checks().close_is_wanted();
            }
            let name = ChannelName::Id(channel.channel_id);
            let fee_range = range.map(|(low, high)| (FeerateChoice::PerKw(low), FeerateChoice::PerKw(high)));
            let close = Close { channel: name, unilateral_timeout_s, destination: None, fee_range };
            self.tell(a, Request::Close(Box::new(close)));
        }
    }

    /// Everything works again, and everybody gets the time to come to an end.
    fn heal(&mut self) {
        self.world.heal();
        self.world.crowd_mempool(leyden_core::chain::FEERATE_FLOOR_PER_KW);
        for node in 0..self.story.names.len() {
            self.world.spare(node);
            self.world.chain_is_up(node, true);
            self.world.set_feerates(node, setup::feerates(leyden_core::chain::FEERATE_FLOOR_PER_KW));
        }
        // Whoever holds something for ever keeps it from its end.
        for (_, to, preimage) in self.holds.clone() {
            self.ask_again(to, &Request::CancelHoldInvoice { payment_hash: preimage.payment_hash() });
        }
        self.world.run_for_ms(HEALING_MS);
        for _ in 0..HEALING_BLOCKS {
            self.world.mine_now(1);
            self.world.run_for_ms(HEALING_BLOCK_MS);
        }
        self.world.run_until_quiet();
    }

    /// Where a payment stands, by its payer's word; nothing if it never took it in.
    pub(crate) fn status(&mut self, index: usize) -> Option<PayStatus> {
        let Payment { from, hash, .. } = self.payments[index];
        let list = ListPays { payment_hash: Some(hash), ..ListPays::default() };
        match self.ask(from, Request::ListPays(list)) {
            Some(Response::Pays(pays)) => pays.first().map(|pay| pay.status),
            _ => None,
        }
    }
}
