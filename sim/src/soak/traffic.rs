//! Payments of a story that is drawn: who pays whom how much, over which way, and what is held.

use std::collections::{BTreeMap, VecDeque};

use leyden_core::amount::Msat;

use super::draw::Scene;
use crate::net::NodeIndex;
use crate::story::{ChannelPlan, PayKind, Step};

/// What the last hop of a held payment gets, in blocks. The least that is allowed; at most so much that a few blocks let
/// it end.
const HOLD_CLTV: (u64, u64) = (24, 60);
/// So many blocks are enough for whatever is held to be given back: all but the 18 that its holder keeps for himself.
const HOLD_BLOCKS: u64 = HOLD_CLTV.1 - 18 + 1;
/// How long everybody has to find each other again before these blocks come.
const REUNION_MS: u64 = 6 * 60_000;
/// Time between these blocks: enough for an HTLC to be removed at every hop.
const HOLD_BLOCK_MS: u64 = 3_000;

impl Scene<'_> {
    /// The shortest way between two nodes, both included, without one of the channels.
    fn way(&self, from: NodeIndex, to: NodeIndex, without: Option<usize>) -> Option<Vec<NodeIndex>> {
        let mut queue = VecDeque::from([from]);
        let mut came = BTreeMap::from([(from, from)]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                let mut way = vec![to];
                while way[way.len() - 1] != from {
                    way.push(came[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            for (at, channel) in self.channels.iter().enumerate() {
                let next = match node {
                    _ if without == Some(at) => continue,
                    node if node == channel.from => channel.to,
                    node if node == channel.to => channel.from,
                    _ => continue,
                };
                came.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    node
                });
            }
        }
        None
    }

    /// How many channels lie between two nodes.
    fn distance(&self, from: NodeIndex, to: NodeIndex) -> Option<usize> {
        self.way(from, to, None).map(|way| way.len() - 1)
    }

    /// A node that can pay itself, and over whom, if this channel is part of a circle.
    fn circle(&mut self) -> Option<(NodeIndex, Vec<NodeIndex>)> {
        let at = self.traffic.below(self.channels.len() as u64) as usize;
        let ChannelPlan { from, to, .. } = self.channels[at];
        let (from, to) = if self.traffic.chance(50) { (from, to) } else { (to, from) };
        let mut over = self.way(to, from, Some(at))?;
        over.pop();
        Some((from, over))
    }

    pub(super) fn pay(&mut self, number: usize) {
        let nodes = self.plan.nodes as u64;
        let (from, to) = if self.swarm.hot && self.traffic.chance(70) {
            if self.traffic.chance(50) { (0, nodes as usize - 1) } else { (nodes as usize - 1, 0) }
        } else {
            let from = self.traffic.below(nodes) as usize;
            (from, (from + 1 + self.traffic.below(nodes - 1) as usize) % nodes as usize)
        };
        // Now and then it pays back some of what it gets: else nobody could pay it for long.
        let (from, to) = match self.traffic.below(100) {
            0..70 if self.swarm.spot && from != self.spot => (from, self.spot),
            70..85 if self.swarm.spot && to != self.spot => (self.spot, to),
            _ => (from, to),
        };
        let shape = self.traffic.below(100);
        let amount = match shape {
            0..20 if self.swarm.dust => Msat(self.traffic.between(1, 700_000)),
            20..30 if self.swarm.dust => Msat(self.traffic.between(300, 1_500) * 1_000),
            90..100 if self.swarm.large => Msat(self.traffic.between(50_000, 900_000) * 1_000),
            _ => Msat(self.traffic.between(1_000, 20_000_000)),
        };
        let name = format!("p{number}");
        if self.swarm.circles
            && self.traffic.chance(15)
            && let Some((from, over)) = self.circle()
        {
            return self.steps.push(Step::Circle { name, from, amount, over });
        }
        if self.swarm.holds && self.traffic.chance(8) && self.distance(from, to).is_some_and(|far| far <= 2) {
            return self.hold(number, from, to, amount);
        }
        let kind = match self.traffic.below(100) {
            0..5 if self.swarm.probes => PayKind::Probe,
            5..10 if self.swarm.probes => PayKind::ProbeRoute,
            10..15 if self.swarm.halves => PayKind::Half,
            // Invoices' hints reach two channels far.
            _ if self.distance(from, to).is_none_or(|distance| distance > 2) => PayKind::Route,
            15..35 => PayKind::Route,
            _ => PayKind::Invoice,
        };
        self.steps.push(Step::Pay { name, from, to, amount, kind });
    }

    /// A payment that is held. What becomes of it comes much later, if at all.
    fn hold(&mut self, number: usize, from: NodeIndex, to: NodeIndex, amount: Msat) {
        let name = format!("p{number}");
        let cltv = self.traffic.between(HOLD_CLTV.0, HOLD_CLTV.1) as u32;
        // What is held stays held when its invoice expires.
        let expiry_s = if self.traffic.chance(30) { self.traffic.between(5, 120) } else { 3_600 };
        self.steps.push(Step::HoldInvoice { name: name.clone(), to, amount, expiry_s, cltv });
        self.steps.push(Step::PayInvoice(name.clone(), from, None));
        let later = number + 1 + self.traffic.below(self.plan.payments as u64 / 4 + 1) as usize;
        let end = match self.traffic.below(100) {
            0..45 => Step::Settle(name),
            45..75 => Step::Cancel(name),
            _ => return self.forgotten.push(name),
        };
        self.held.entry(later).or_default().push(end);
    }

    /// What becomes of held payments before this one.
    pub(super) fn end_holds(&mut self, number: usize) {
        let ends = self.held.remove(&number).unwrap_or_default();
        self.steps.extend(ends);
    }

    /// Nobody says what shall become of what is held, or somebody remembers in the last minute, or too late: whoever holds
    /// it gives it back before its HTLCs end. These are many blocks, so first everything is healed: what two do not agree
    /// on has a deadline, too.
    pub(super) fn run_out(&mut self) {
        if !(self.swarm.holds && self.swarm.forgets) {
            return;
        }
        self.steps.push(Step::Heal);
        if self.swarm.chain {
            self.steps.extend((0..self.plan.nodes).map(|node| Step::ChainUp(node, true)));
        }
        self.steps.push(Step::Wait(REUNION_MS));
        for _ in 0..HOLD_BLOCKS {
            if !self.forgotten.is_empty() && self.traffic.chance(10) {
                let at = self.traffic.below(self.forgotten.len() as u64) as usize;
                self.steps.push(Step::Settle(self.forgotten.swap_remove(at)));
            }
            self.steps.extend([Step::Mine(1), Step::Wait(HOLD_BLOCK_MS)]);
        }
    }

    pub(super) fn wait(&mut self) {
        let ms = match self.traffic.below(100) {
            0..60 if self.swarm.bursts => 0,
            0..90 => self.traffic.between(0, 400),
            _ => self.traffic.between(400, 8_000),
        };
        if ms > 0 {
            self.steps.push(Step::Wait(ms));
        }
    }
}
