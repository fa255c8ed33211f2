//! What goes wrong in a story that is drawn.

use leyden_core::amount::{Msat, Sat};

use super::draw::Scene;
use super::swarm::Swarm;
use crate::net::NodeIndex;
use crate::story::{ChannelPlan, Step};
use crate::world::{Act, CrashPlan, CrashPoint, Place, Refill, Trigger};

/// The messages that a fault may strike.
const STRUCK: [u16; 8] = [128, 130, 131, 132, 133, 134, 136, 36];
/// Blocks that are found during a story: fewer than an HTLC has left when it is fulfilled at its last hop (18 less the
/// 12 in which its holder goes on chain), so that no deadline passes while two cannot reach each other.
const BLOCKS_MAX: u64 = 4;

impl Scene<'_> {
    fn node(&mut self) -> NodeIndex {
        self.faults.below(self.plan.nodes as u64) as usize
    }

    /// Two that have a channel.
    fn neighbours(&mut self) -> (NodeIndex, NodeIndex) {
        let at = self.faults.below(self.channels.len() as u64) as usize;
        let ChannelPlan { from, to, .. } = self.channels[at];
        if self.faults.chance(50) { (from, to) } else { (to, from) }
    }

    /// Now and then something goes wrong.
    pub(super) fn go_wrong(&mut self) {
        if self.blocks < BLOCKS_MAX && self.faults.chance(5) {
            self.blocks += 1;
            let step = if self.swarm.reorgs && self.faults.chance(50) { self.reorg() } else { Step::Mine(1) };
            self.steps.push(step);
        }
        // Whoever is off comes back after a while.
        for node in self.off.clone() {
            if self.faults.chance(15) {
                self.off.remove(&node);
                self.steps.push(Step::Start(node));
            }
        }
        if !self.faults.chance(30) {
            return;
        }
        let Swarm { cuts, crashes, outages, stalls, parts, slow_stores, chain, fees, clocks, churn, .. } = self.swarm;
        let step = match self.faults.below(16) {
            0..4 if cuts => self.strike(),
            4..8 if crashes => {
                let CrashPlan { turn, point } = self.crash();
                Step::CrashAt(self.node(), turn, point)
            }
            8 if outages => {
                let node = self.node();
                self.off.insert(node);
                Step::Halt(node)
            }
            9 if stalls => {
                let (a, b) = self.neighbours();
                Step::Stall(a, b, self.faults.between(10, 20_000))
            }
            10 if parts => {
                let (a, b) = self.neighbours();
                if self.faults.chance(60) { Step::Part(a, b) } else { Step::Cut(a, b) }
            }
            11 if slow_stores => Step::SlowStore(self.node(), self.faults.below(300)),
            12 if chain => {
                let node = self.node();
                match self.faults.below(3) {
                    0 => Step::LagChain(node, self.faults.below(20_000)),
                    1 => Step::ChainUp(node, false),
                    _ => Step::ChainUp(node, true),
                }
            }
            13 if fees => Step::Feerate(self.node(), self.faults.between(253, 6_000) as u32),
            14 if clocks => Step::SkewClock(self.node(), self.faults.below(600_000) as i64 - 300_000),
            15 if churn => {
                let (a, b) = self.neighbours();
                if self.faults.chance(20) {
                    return self.close(a, b);
                }
                if self.faults.chance(70) {
                    let amount = Sat(self.faults.between(50, 400) * 1_000);
                    let plan = ChannelPlan { from: a, to: b, amount, push_msat: Msat(amount.0 * 300) };
                    if self.swarm.reorgs && self.blocks + 2 <= BLOCKS_MAX {
                        return self.open_in_vain(plan);
                    }
                    Step::Open(plan)
                } else {
                    Step::Disconnect(a, b)
                }
            }
            _ => return,
        };
        self.steps.push(step);
    }

    /// The last blocks are replaced by others, which make the chain higher by one. Most reorganisations are shallow; some
    /// reach the fundings of channels that have been in use for long.
    fn reorg(&mut self) -> Step {
        let depth = if self.faults.chance(80) { self.faults.between(1, 5) } else { self.faults.between(6, 12) };
        Step::Reorg(depth as u32, if self.faults.chance(40) { Refill::Empty } else { Refill::Full })
    }

    /// Two close their channels together. Nobody does so alone: what HTLCs come to on chain takes more blocks than there are.
    fn close(&mut self, a: NodeIndex, b: NodeIndex) {
        self.steps.push(Step::Close(a, b, Some(0)));
    }

    /// A channel is opened, and the block with its funding does not last.
    fn open_in_vain(&mut self, plan: ChannelPlan) {
        self.blocks += 2;
        let refill = if self.faults.chance(70) { Refill::Empty } else { Refill::Full };
        let (before_ms, after_ms) = (self.faults.between(500, 3_000), self.faults.below(500));
        self.steps.extend([Step::Open(plan), Step::Wait(before_ms), Step::Mine(1), Step::Wait(after_ms)]);
        self.steps.push(Step::Reorg(1, refill));
    }

    fn crash(&mut self) -> CrashPlan {
        let point = CrashPoint::ALL[self.faults.below(4) as usize];
        CrashPlan { turn: self.faults.below(12), point }
    }

    /// Something waits for a message between two neighbours.
    fn strike(&mut self) -> Step {
        let (from, to) = self.neighbours();
        let message_type = match self.faults.below(10) {
            0 => None,
            _ => Some(STRUCK[self.faults.below(STRUCK.len() as u64) as usize]),
        };
        let place = [Place::Before, Place::Inside, Place::After][self.faults.below(3) as usize];
        let act = match self.faults.below(10) {
            0 | 1 if self.swarm.crashes => Act::CrashSender,
            2 | 3 if self.swarm.crashes => Act::CrashReceiver,
            4 if self.swarm.stalls => Act::Stall(self.faults.between(10, 20_000)),
            _ => Act::Cut,
        };
        Step::Arm(Trigger { from, to, message_type, skip: self.faults.below(4) as u32, place, act })
    }
}
