//! What may go wrong, as it is planned: the world carries it out where it comes up.

use leyden_core::chain::Feerates;
use leyden_core::event::Cut;
use leyden_core::request::Request;

use super::World;
use super::blocks::SILENT;
use super::node::{Backend, Happening};
use crate::net::{EndState, Link, NodeIndex};

/// Where in a turn a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The turn never happened.
    BeforeCommit,
    /// Written, and nothing said.
    AfterCommit,
    /// Written, and half of it said.
    AmidEffects,
    /// Written and said.
    AfterEffects,
}

impl CrashPoint {
    /// All of them.
    pub const ALL: [CrashPoint; 4] =
        [CrashPoint::BeforeCommit, CrashPoint::AfterCommit, CrashPoint::AmidEffects, CrashPoint::AfterEffects];
}

/// A crash to come.
#[derive(Clone, Copy, Debug)]
pub struct CrashPlan {
    /// At the end of which turn that writes, counted from now; 0: the next.
    pub turn: u64,
    /// Where in it.
    pub point: CrashPoint,
}

/// Where a message is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It never leaves.
    Before,
    /// A part of it leaves. Where whole messages travel, as `Before`.
    Inside,
    /// It arrives.
    After,
}

/// What happens at a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The connection is lost; both ends notice.
    Cut,
    /// The sender crashes.
    CrashSender,
    /// The receiver crashes.
    CrashReceiver,
    /// It and everything behind it arrives this much later.
    Stall(u64),
    /// A bad peer leaves it out.
    Drop,
    /// A bad peer says it twice.
    Twice,
    /// A bad peer says something else instead.
    Replace(Vec<u8>),
    /// A bad peer changes the byte at this place, counted from the end.
    Spoil(usize),
    /// A bad peer says the last message of this type that it ever said to this peer once more, ahead of it.
    Ahead(u16),
}

/// Waits for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Who sends it.
    pub from: NodeIndex,
    /// Who should get it.
    pub to: NodeIndex,
    /// Its type; none: any.
    pub message_type: Option<u16>,
    /// How many of them still pass.
    pub skip: u32,
    /// Where it is met.
    pub place: Place,
    /// What happens then.
    pub act: Act,
}

/// A trigger that waits.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    trigger: Trigger,
    /// As it was armed, if it is a flaw of the story when it is never met.
    must: Option<Trigger>,
}

impl World {
    /// Waits for a message, and then does something bad. Each trigger acts once.
    pub fn arm(&mut self, trigger: Trigger) {
        self.triggers.push(Armed { trigger, must: None });
    }

    /// The same, and somebody relies on it: see [`World::unmet`].
    pub fn arm_surely(&mut self, trigger: Trigger) {
        self.triggers.push(Armed { must: Some(trigger.clone()), trigger });
    }

    /// The triggers that have not acted.
    pub fn armed(&self) -> Vec<&Trigger> {
        self.triggers.iter().map(|armed| &armed.trigger).collect()
    }

    /// The triggers that somebody relied on and that nothing has met.
    pub fn unmet(&self) -> Vec<Trigger> {
        self.triggers.iter().filter_map(|armed| armed.must.clone()).collect()
    }

    /// Forgets all triggers.
    pub fn disarm(&mut self) {
        self.triggers.clear();
    }

    /// Does a trigger meet this message?
    pub(super) fn triggered(&mut self, from: NodeIndex, to: NodeIndex, message: &[u8]) -> Option<Trigger> {
        let message_type = message.get(..2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let mut acts = None;
        for (index, Armed { trigger, .. }) in self.triggers.iter_mut().enumerate() {
            let is_type = trigger.message_type.is_none() || trigger.message_type == message_type;
            if trigger.from != from || trigger.to != to || !is_type {
                continue;
            }
            match trigger.skip.checked_sub(1) {
                Some(left) => trigger.skip = left,
                None => acts = acts.or(Some(index)),
            }
        }
        acts.map(|index| self.triggers.remove(index).trigger)
    }

    /// Cuts all connections between two nodes; both notice at once.
    pub fn cut(&mut self, a: NodeIndex, b: NodeIndex) {
        for link in self.links_between(a, b) {
            for end in 0..2 {
                self.lose(link, end, Cut::Peer);
            }
        }
    }

    /// One end loses its connections, and nothing tells the other: whatever it says goes nowhere.
    pub fn vanish(&mut self, a: NodeIndex, b: NodeIndex) {
        for link in self.links_between(a, b) {
            let end = self.links[&link].end_of(a);
            self.lose(link, end, Cut::Peer);
        }
    }

    /// A node is reached under another address from now on; what is connected stays connected.
    pub fn moves(&mut self, node: NodeIndex) {
        self.nodes[node].port += 1;
    }

    /// How many connections between two nodes are open at both of their ends.
    pub fn connections(&self, a: NodeIndex, b: NodeIndex) -> usize {
        let open = |link: &Link| link.joins(a, b) && link.ends.iter().all(|end| end.state == EndState::Open);
        self.nodes[a].links.iter().filter(|link| self.links.get(link).is_some_and(open)).count()
    }

    /// A node's backend takes the last blocks back, and brings the same ones again when it is asked the next time.
    pub fn reindex(&mut self, node: NodeIndex, blocks: u32) {
        if self.nodes[node].is_off {
            return;
        }
        for _ in 0..blocks {
            let view = self.nodes[node].view.expect("a running node stands somewhere");
            let Some(parent) = self.parent(view) else { return };
            self.push_chain(node, Happening::Unblock(view));
            self.nodes[node].view = Some(parent);
        }
    }

    /// Nothing arrives between two nodes for a while; the connection stays.
    pub fn stall(&mut self, a: NodeIndex, b: NodeIndex, ms: u64) {
        let until_ms = self.now_ms + ms;
        for link in self.links_between(a, b) {
            let link = self.links.get_mut(&link).expect("it was just listed");
            link.stalled_until_ms = link.stalled_until_ms.max(until_ms);
        }
    }

    /// Nothing connects two nodes until [`World::heal`]: connections are lost and new ones fail.
    pub fn part(&mut self, a: NodeIndex, b: NodeIndex) {
        self.cut(a, b);
        self.parted.insert((a.min(b), a.max(b)));
    }

    /// Two that were parted can reach each other again.
    pub fn meet(&mut self, a: NodeIndex, b: NodeIndex) {
        self.parted.remove(&(a.min(b), a.max(b)));
    }

    /// The proxy through which a node is connected goes away, or comes back. While it is away all connections are lost,
    /// the node's calls fail at once, and those of others when their patience is over.
    pub fn proxy_is_up(&mut self, node: NodeIndex, is_up: bool) {
        if is_up {
            self.proxyless.remove(&node);
            return;
        }
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cut(node, other);
        }
        self.proxyless.insert(node);
    }

    /// How often a node has dialled another so far.
    pub fn dials(&self, node: NodeIndex, other: NodeIndex) -> u64 {
        self.dials.get(&(node, other)).copied().unwrap_or_default()
    }

    /// All that was parted may meet again, and bad habits are dropped; stalls, slow stores and late blocks end, and nothing
    /// waits to go wrong.
    pub fn heal(&mut self) {
        self.disarm();
        self.habits.clear();
        self.parted.clear();
        self.proxyless.clear();
        let now_ms = self.now_ms;
        for link in self.links.values_mut() {
            link.stalled_until_ms = link.stalled_until_ms.min(now_ms);
            link.bytes_per_ms = 0;
        }
        for node in 0..self.nodes.len() {
            let own = &mut self.nodes[node];
            own.commit_ms = 0;
            own.chain_lag_ms = 0;
            if own.is_off {
                self.start(node);
            }
        }
    }

    /// Ends a node where it stands; it stays off.
    pub fn halt(&mut self, node: NodeIndex) {
        self.hash(b"halt");
        self.counts.crashes += 1;
        self.checks.on_halt(node);
        for id in std::mem::take(&mut self.nodes[node].links) {
            let Some(link) = self.links.get(&id) else { continue };
            let end = link.end_of(node);
            self.lose_later(id, end);
            self.close_end(id, end);
        }
        self.nodes[node].is_off = true;
        self.see_deadline(node);
    }

    /// Is it switched off?
    pub fn is_off(&self, node: NodeIndex) -> bool {
        self.nodes[node].is_off
    }

    /// Starts a node that is off from its rows.
    pub fn start(&mut self, node: NodeIndex) {
        assert!(self.nodes[node].is_off, "node {node} runs already");
        let now_ms = self.now_ms;
        self.nodes[node].reboot(now_ms);
        self.begin_life(node);
    }

    /// Ends a node where it stands and starts it again from its rows.
    pub fn crash(&mut self, node: NodeIndex) {
        if !self.nodes[node].is_off {
            self.halt(node);
        }
        self.start(node);
    }

    /// Crashes a node at the end of a turn that is still to come.
    pub fn plan_crash(&mut self, node: NodeIndex, plan: CrashPlan) {
        self.nodes[node].crash = Some(plan);
    }

    /// A crash that is planned does not come.
    pub fn spare(&mut self, node: NodeIndex) {
        self.nodes[node].crash = None;
    }

    /// Is a planned crash still to come?
    pub fn crash_is_due(&self, node: NodeIndex) -> bool {
        self.nodes[node].crash.is_some()
    }

    /// From now on every commit of this node takes so long.
    pub fn slow_store(&mut self, node: NodeIndex, commit_ms: u64) {
        self.nodes[node].commit_ms = commit_ms;
    }

    /// From now on blocks reach this node so much later.
    pub fn lag_chain(&mut self, node: NodeIndex, ms: u64) {
        self.nodes[node].chain_lag_ms = ms;
    }

    /// Its clock shows another time of day from now on.
    pub fn skew_clock(&mut self, node: NodeIndex, ms: i64) {
        self.nodes[node].skew_ms = ms;
    }

    /// From now on no mempool takes what pays less, in satoshi per 1,000 vbytes.
    pub fn set_min_relay(&mut self, per_kvb: u64) {
        self.chain.policy_mut().min_relay_per_kvb = per_kvb;
    }

    /// Its estimates from now on.
    pub fn set_feerates(&mut self, node: NodeIndex, feerates: Feerates) {
        self.nodes[node].feerates = feerates;
        if self.nodes[node].backend != Backend::Silent {
            self.push_chain(node, Happening::Feerates(feerates));
        }
    }

    /// Its chain backend answers no more, or again, and then has all blocks.
    pub fn chain_is_up(&mut self, node: NodeIndex, is_up: bool) {
        self.nodes[node].backend = if is_up { Backend::Answers } else { Backend::Silent };
        if is_up {
            self.tell_all_of_chain(node);
        } else {
            self.push_chain(node, Happening::Down(SILENT));
        }
    }

    /// From the next block on its backend has none, until [`World::chain_is_up`] says that it does: they were pruned
    /// away, or the disk has lost them.
    pub fn chain_lacks(&mut self, node: NodeIndex) {
        self.nodes[node].backend = Backend::Lacks(self.chain.tip().height.0 + 1);
    }

    /// Other people's transactions fill the mempool: it takes nothing below this feerate, in satoshi per 1,000 weight,
    /// and everybody's backend says so.
    pub fn crowd_mempool(&mut self, feerate_per_kw: u32) {
        self.is_crowded = feerate_per_kw > leyden_core::chain::FEERATE_FLOOR_PER_KW;
        self.chain.set_mempool_minimum(if self.is_crowded { feerate_per_kw } else { 0 });
        for node in 0..self.nodes.len() {
            let mempool_minimum = feerate_per_kw.max(leyden_core::chain::FEERATE_FLOOR_PER_KW);
            let feerates = Feerates { mempool_minimum, ..self.nodes[node].feerates };
            self.set_feerates(node, feerates);
        }
    }

    /// What the mempool takes at least, as backends tell it.
    pub fn mempool_minimum(&self) -> u32 {
        self.chain.feerates().mempool_minimum
    }

    /// Gives a request to a node and does not wait for the answer.
    pub fn tell(&mut self, node: NodeIndex, request: Request) {
        let _ = self.request(node, request);
    }

    /// A bad peer says something of its own over whatever connection there is.
    pub fn inject(&mut self, from: NodeIndex, to: NodeIndex, message: Vec<u8>) {
        for link in self.links_between(from, to) {
            let end = self.links[&link].end_of(from);
            if self.links[&link].ends[end].state == EndState::Open {
                return self.post(link, end, &message);
            }
        }
    }
}
