//! A story from a seed: who is connected to whom, who pays whom, and what goes wrong.
//!
//! Each seed first draws a swarm: which kinds of faults and of traffic it has at all. Runs that have everything hide
//! what happens only where something else is missing.

use std::collections::{BTreeSet, VecDeque};

use leyden_core::amount::{Msat, Sat};

use crate::draw::{Domain, Draw, Stream};
use crate::net::{NodeIndex, Wire};
use crate::story::{ChannelPlan, NodeOption, PayKind, Step, Story};
use crate::world::{Act, CrashPlan, CrashPoint, Habit, Place, Trigger};

/// The messages that a fault may strike.
const STRUCK: [u16; 8] = [128, 130, 131, 132, 133, 134, 136, 36];
/// Blocks that are found during a story: fewer than an HTLC has left when it is fulfilled at its last hop (18 less the
/// 12 in which its holder goes on chain), so that no deadline passes while two cannot reach each other.
const BLOCKS_MAX: u64 = 4;

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
    /// Some payments fail at their destination.
    pub probes: bool,
    /// Some payments are held for as long as it goes.
    pub halves: bool,
    /// Most payments concern the same two nodes.
    pub hot: bool,
    /// Payments come in bursts.
    pub bursts: bool,
    /// Channels are opened and closed meanwhile.
    pub churn: bool,
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
            dust: stream.chance(50),
            large: stream.chance(50),
            probes: stream.chance(50),
            halves: stream.chance(30),
            hot: stream.chance(30),
            bursts: stream.chance(50),
        }
    }
}

/// Draws the story of a seed.
pub fn draw(seed: u64, plan: &Plan) -> Story {
    let keyed = Draw::new(seed);
    let swarm = Swarm::of(plan.faults, &mut keyed.stream(Domain::Swarm, 0));
    let names: Vec<String> = (0..plan.nodes).map(|node| format!("n{node}")).collect();
    let mut story = Story::new(&format!("soak, seed {seed}"), &[]);
    story.names = names;
    story.seed = seed;
    story.wire = plan.wire;
    let mut stream = keyed.stream(Domain::Topology, 0);
    story.latency_ms = stream.between(1, 60);
    story.jitter_ms = if stream.chance(50) { stream.between(0, 30) } else { 0 };
    topology(&mut story, plan, &mut stream);
    let mut scene = Scene {
        plan,
        swarm,
        channels: story.channels.clone(),
        traffic: keyed.stream(Domain::Traffic, 0),
        faults: keyed.stream(Domain::Faults, 0),
        off: BTreeSet::new(),
        blocks: 0,
        steps: Vec::new(),
    };
    for number in 0..plan.payments {
        scene.go_wrong();
        scene.pay(number);
        scene.wait();
    }
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
    }
}

/// A story that is being drawn.
struct Scene<'a> {
    plan: &'a Plan,
    swarm: Swarm,
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

    /// How many channels lie between two nodes.
    fn distance(&self, from: NodeIndex, to: NodeIndex) -> Option<usize> {
        let mut queue = VecDeque::from([(from, 0)]);
        let mut seen = BTreeSet::from([from]);
        while let Some((node, steps)) = queue.pop_front() {
            if node == to {
                return Some(steps);
            }
            for channel in &self.channels {
                let next = match node {
                    node if node == channel.from => channel.to,
                    node if node == channel.to => channel.from,
                    _ => continue,
                };
                if seen.insert(next) {
                    queue.push_back((next, steps + 1));
                }
            }
        }
        None
    }

    fn pay(&mut self, number: usize) {
        let nodes = self.plan.nodes as u64;
        let (from, to) = if self.swarm.hot && self.traffic.chance(70) {
            if self.traffic.chance(50) { (0, nodes as usize - 1) } else { (nodes as usize - 1, 0) }
        } else {
            let from = self.traffic.below(nodes) as usize;
            (from, (from + 1 + self.traffic.below(nodes - 1) as usize) % nodes as usize)
        };
        let shape = self.traffic.below(100);
        let amount = match shape {
            0..20 if self.swarm.dust => Msat(self.traffic.between(1, 700_000)),
            20..30 if self.swarm.dust => Msat(self.traffic.between(300, 1_500) * 1_000),
            90..100 if self.swarm.large => Msat(self.traffic.between(50_000, 900_000) * 1_000),
            _ => Msat(self.traffic.between(1_000, 20_000_000)),
        };
        let kind = match self.traffic.below(100) {
            0..10 if self.swarm.probes => PayKind::Probe,
            10..15 if self.swarm.halves => PayKind::Half,
            // Invoices' hints reach two channels far.
            _ if self.distance(from, to).is_none_or(|distance| distance > 2) => PayKind::Route,
            15..35 => PayKind::Route,
            _ => PayKind::Invoice,
        };
        self.steps.push(Step::Pay { name: format!("p{number}"), from, to, amount, kind });
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
            self.steps.push(Step::Mine(1));
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
                    Step::Open(ChannelPlan { from: a, to: b, amount, push_msat: Msat(amount.0 * 300) })
                } else {
                    Step::Disconnect(a, b)
                }
            }
            _ => return,
        };
        self.steps.push(step);
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
