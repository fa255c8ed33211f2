//! A story from a seed: who is connected to whom, who pays whom, and what goes wrong.
//!
//! Each seed first draws a swarm: which kinds of faults and of traffic it has at all. Runs that have everything hide
//! what happens only where something else is missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leyden_core::amount::{Msat, Sat};

use crate::draw::{Domain, Draw, Stream};
use crate::net::{NodeIndex, Wire};
use crate::story::{ChannelPlan, NodeOption, PayKind, Step, Story};
use crate::world::{Act, CrashPlan, CrashPoint, Habit, Place, Refill, Trigger};

/// The messages that a fault may strike.
const STRUCK: [u16; 8] = [128, 130, 131, 132, 133, 134, 136, 36];
/// Blocks that are found during a story: fewer than an HTLC has left when it is fulfilled at its last hop (18 less the
/// 12 in which its holder goes on chain), so that no deadline passes while two cannot reach each other.
const BLOCKS_MAX: u64 = 4;

/// What the last hop of a held payment gets, in blocks. The least that is allowed; at most so much that a few blocks let
/// it end.
const HOLD_CLTV: (u64, u64) = (24, 60);
/// So many blocks are enough for whatever is held to be given back: all but the 18 that its holder keeps for himself.
const HOLD_BLOCKS: u64 = HOLD_CLTV.1 - 18 + 1;
/// How long everybody has to find each other again before these blocks come.
const REUNION_MS: u64 = 6 * 60_000;
/// Time between these blocks: enough for an HTLC to be removed at every hop.
const HOLD_BLOCK_MS: u64 = 3_000;

/// Which faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// None.
    None,
    /// Those that the seed's swarm draws.
    Swarm,
    /// All of them.
    All,
}

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Nodes.
    pub nodes: usize,
    /// Channels; at least one less than nodes, so that everybody is connected.
    pub channels: usize,
    /// Payments.
    pub payments: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// What travels.
    pub wire: Wire,
}

/// What a seed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Connections are cut at messages.
    pub cuts: bool,
    /// Nodes crash at the end of turns.
    pub crashes: bool,
    /// Nodes stay off for a while.
    pub outages: bool,
    /// Connections stand still.
    pub stalls: bool,
    /// Two cannot reach each other for a while.
    pub parts: bool,
    /// Stores are slow.
    pub slow_stores: bool,
    /// Blocks come late, backends fall silent.
    pub chain: bool,
    /// Feerates move.
    pub fees: bool,
    /// Clocks jump.
    pub clocks: bool,
    /// Some payments are far below what becomes an output.
    pub dust: bool,
    /// Some payments are as large as channels.
    pub large: bool,
    /// Some payments fail at their destination: what they pay for is unknown there, or made up by their payer.
    pub probes: bool,
    /// The second half of some payments never comes.
    pub halves: bool,
    /// Most payments concern the same two nodes.
    pub hot: bool,
    /// Payments come in bursts.
    pub bursts: bool,
    /// Channels are opened meanwhile.
    pub churn: bool,
    /// Blocks are replaced by others.
    pub reorgs: bool,
    /// Nodes pay themselves, over others and back.
    pub circles: bool,
    /// Some payments are held for long by whoever is paid, and then settled, given back, or forgotten.
    pub holds: bool,
    /// What is held when all else is over stays so until its HTLCs are about to end.
    pub forgets: bool,
    /// Most payments go to the same node.
    pub spot: bool,
}

impl Swarm {
    fn of(faults: Faults, stream: &mut Stream) -> Swarm {
        let mut fault = |percent: u64| match faults {
            Faults::None => false,
            Faults::Swarm => stream.chance(percent),
            Faults::All => true,
        };
        Swarm {
            cuts: fault(60),
            crashes: fault(60),
            outages: fault(30),
            stalls: fault(40),
            parts: fault(30),
            slow_stores: fault(30),
            chain: fault(30),
            fees: fault(40),
            clocks: fault(20),
            churn: fault(20),
            reorgs: fault(30),
            dust: stream.chance(50),
            large: stream.chance(50),
            probes: stream.chance(50),
            halves: stream.chance(30),
            hot: stream.chance(30),
            bursts: stream.chance(50),
            circles: stream.chance(40),
            holds: stream.chance(40),
            forgets: stream.chance(50),
            spot: stream.chance(30),
        }
    }

    /// What a seed has.
    pub fn of_seed(seed: u64, faults: Faults) -> Swarm {
        Swarm::of(faults, &mut Draw::new(seed).stream(Domain::Swarm, 0))
    }
}

/// Draws the story of a seed.
pub fn draw(seed: u64, plan: &Plan) -> Story {
    let keyed = Draw::new(seed);
    let swarm = Swarm::of_seed(seed, plan.faults);
    let names: Vec<String> = (0..plan.nodes).map(|node| format!("n{node}")).collect();
    let mut story = Story::new(&format!("soak, seed {seed}"), &[]);
    story.names = names;
    story.seed = seed;
    story.wire = plan.wire;
    let mut stream = keyed.stream(Domain::Topology, 0);
    story.latency_ms = stream.between(1, 60);
    story.jitter_ms = if stream.chance(50) { stream.between(0, 30) } else { 0 };
    topology(&mut story, plan, &mut stream);
    let spot = stream.below(plan.nodes as u64) as usize;
    let mut scene = Scene {
        plan,
        swarm,
        spot,
        held: BTreeMap::new(),
        forgotten: Vec::new(),
        channels: story.channels.clone(),
        traffic: keyed.stream(Domain::Traffic, 0),
        faults: keyed.stream(Domain::Faults, 0),
        off: BTreeSet::new(),
        blocks: 0,
        steps: Vec::new(),
    };
    for number in 0..plan.payments {
        scene.go_wrong();
        scene.end_holds(number);
        scene.pay(number);
        scene.wait();
    }
    scene.run_out();
    story.steps = scene.steps;
    story
}

/// One of the nodes, drawn from the seed, is a bad peer from the beginning: it has this habit, or one that is drawn.
pub fn with_bad_peer(mut story: Story, habit: Option<Habit>) -> Story {
    let mut stream = Draw::new(story.seed).stream(Domain::Habits, u64::MAX);
    let node = stream.below(story.names.len() as u64) as usize;
    let drawn = Habit::ALL[stream.below(Habit::ALL.len() as u64) as usize].0;
    let percent = [1, 5, 20, 100][stream.below(4) as usize];
    story.bad.push(node);
    story.steps.insert(0, Step::Habit(node, habit.unwrap_or(drawn), percent));
    story
}

fn topology(story: &mut Story, plan: &Plan, stream: &mut Stream) {
    for number in 0..plan.channels.max(plan.nodes.saturating_sub(1)) {
        // A tree first, then whatever comes.
        let (a, b) = if number + 1 < plan.nodes {
            (number + 1, stream.below(number as u64 + 1) as usize)
        } else {
            let a = stream.below(plan.nodes as u64) as usize;
            (a, (a + 1 + stream.below(plan.nodes as u64 - 1) as usize) % plan.nodes)
        };
        let (from, to) = if stream.chance(50) { (a, b) } else { (b, a) };
        let amount = Sat(stream.between(100, 2_000) * 1_000);
        let push_msat = Msat(amount.0 * stream.between(50, 900));
        story.channels.push(ChannelPlan { from, to, amount, push_msat });
    }
    for node in 0..plan.nodes {
        if stream.chance(20) {
            story.options.push((node, NodeOption::FeeBaseMsat, stream.between(0, 5_000)));
        }
        if stream.chance(20) {
            story.options.push((node, NodeOption::DustLimitSat, stream.between(354, 1_000)));
        }
        if stream.chance(10) {
            // Of the smallest channel this is as much as the largest dust limit: less is refused by whoever has it.
            story.options.push((node, NodeOption::ReserveMillionths, stream.between(10_000, 50_000)));
        }
        if stream.chance(15) {
            // As many blocks as come when all is healed, so that whatever is open then comes into use.
            story.options.push((node, NodeOption::MinimumDepth, stream.between(2, 3)));
        }
    }
}

/// A story that is being drawn.
struct Scene<'a> {
    plan: &'a Plan,
    swarm: Swarm,
    /// Whom most pay, where there is one.
    spot: NodeIndex,
    /// What becomes of payments that are held, and before which payment.
    held: BTreeMap<usize, Vec<Step>>,
    /// Those of which nothing becomes.
    forgotten: Vec<String>,
    channels: Vec<ChannelPlan>,
    traffic: Stream,
    faults: Stream,
    off: BTreeSet<NodeIndex>,
    blocks: u64,
    steps: Vec<Step>,
}

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
                if !came.contains_key(&next) {
                    came.insert(next, node);
                    queue.push_back(next);
                }
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

    fn pay(&mut self, number: usize) {
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
    fn end_holds(&mut self, number: usize) {
        let ends = self.held.remove(&number).unwrap_or_default();
        self.steps.extend(ends);
    }

    /// Nobody says what shall become of what is held, or somebody remembers in the last minute, or too late: whoever holds
    /// it gives it back before its HTLCs end. These are many blocks, so first everything is healed: what two do not agree
    /// on has a deadline, too.
    fn run_out(&mut self) {
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

    fn wait(&mut self) {
        let ms = match self.traffic.below(100) {
            0..60 if self.swarm.bursts => 0,
            0..90 => self.traffic.between(0, 400),
            _ => self.traffic.between(400, 8_000),
        };
        if ms > 0 {
            self.steps.push(Step::Wait(ms));
        }
    }

    /// Now and then something goes wrong.
    fn go_wrong(&mut self) {
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
