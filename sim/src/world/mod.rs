//! The world: nodes, and what goes on between them, in the order of virtual time.
//!
//! A turn is one or more events of one node and the deadlines that are due. Its writes are applied at the turn's end,
//! and only then do its messages, broadcasts and replies take effect: the same promise that the daemon's loop makes.
//! Nothing here grows with the number of nodes but what the nodes themselves ask for.

mod adversary;
mod black_box;
mod blocks;
mod faults;
mod network;
mod node;
mod staged;
mod thaw;
mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Write};
use std::rc::Rc;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use leyden_core::address::NetAddr;
use leyden_core::config::{Config, Network};
use leyden_core::ids::{NodeId, RequestId};
use leyden_core::node::Node;
use leyden_core::request::{Request, RequestError, Response};

pub use self::adversary::Habit;
pub use self::blocks::Refill;
pub use self::faults::{Act, CrashPlan, CrashPoint, Place, Trigger};
use self::node::{Due, Happening, SimNode};
use self::staged::Staged;
use crate::chain::{BlockIndex, Chain, Refused};
use crate::check::{Checks, Violation};
use crate::draw::Draw;
use crate::net::{Link, NodeIndex, Wire};

/// The world is quiet when for so long nobody wrote, answered or said anything but ping and pong.
const QUIET_MS: u64 = 10_000;
/// Nobody waits longer for an answer: whatever takes longer never comes.
const PATIENCE_MS: u64 = 24 * 3_600_000;
/// Lines of the story that are kept.
const LOG_LINES_MAX: usize = 400;

/// How a request ended.
pub type Reply = Result<Response, RequestError>;

/// What a run has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that nodes took in, deadlines included.
    pub events: u64,
    /// Messages that nodes took in.
    pub messages: u64,
    /// Turns.
    pub turns: u64,
    /// Turns that wrote something.
    pub commits: u64,
    /// Crashes.
    pub crashes: u64,
    /// Reorganisations.
    pub reorgs: u64,
}

/// Many nodes in one thread.
pub struct World {
    /// The chain.
    pub chain: Chain,
    /// What nodes said, for people. The last lines.
    pub log: VecDeque<String>,
    /// Transactions that the chain refused: node, purpose, why.
    pub refused: Vec<(NodeIndex, String, Refused)>,
    /// Milliseconds that messages take on new connections.
    pub latency_ms: u64,
    /// Up to so many more on new connections, drawn for each message.
    pub jitter_ms: u64,
    /// More turns than the story needs: then something goes round in circles.
    pub turns_max: u64,
    wire: Wire,
    draw: Draw,
    now_ms: u64,
    /// When something last happened that matters.
    news_ms: u64,
    seq: u64,
    queue: BTreeMap<(u64, u64), Due>,
    /// When nodes want their next deadline, soonest first, and the same by node.
    deadlines: BTreeSet<(u64, NodeIndex)>,
    deadline_of: Vec<Option<u64>>,
    /// Large blocks that nodes were told of last.
    large_blocks: VecDeque<Rc<BlockIndex>>,
    /// Of the last turn, for the next: it keeps its memory.
    staged: Staged,
    nodes: Vec<SimNode>,
    links: BTreeMap<u32, Link>,
    next_link: u32,
    parted: BTreeSet<(NodeIndex, NodeIndex)>,
    /// Nodes whose proxy is away: they reach nobody, and nobody reaches them.
    proxyless: BTreeSet<NodeIndex>,
    /// How often a node has dialled another.
    dials: BTreeMap<(NodeIndex, NodeIndex), u64>,
    triggers: Vec<faults::Armed>,
    habits: BTreeMap<NodeIndex, adversary::Character>,
    replies: BTreeMap<RequestId, Reply>,
    next_request: u64,
    digest: sha256::HashEngine,
    observed: bool,
    /// It has taken more turns than the story can need: nothing happens any more.
    is_in_circles: bool,
    /// Other people's transactions fill the mempool.
    is_crowded: bool,
    thaw_every: Option<u64>,
    counts: Counts,
    checks: Checks,
}

impl World {
    /// A world of `count` nodes that do not know each other and exchange whole messages; `configure` may change what
    /// they want.
    pub fn new(seed: u64, count: usize, configure: impl Fn(NodeIndex, &mut Config)) -> World {
        World::on(Wire::Messages, seed, count, configure)
    }

    /// The same, over a wire of choice.
    pub fn on(wire: Wire, seed: u64, count: usize, configure: impl Fn(NodeIndex, &mut Config)) -> World {
        let mut world = World {
            chain: Chain::default(),
            log: VecDeque::new(),
            refused: Vec::new(),
            latency_ms: 10,
            jitter_ms: 0,
            turns_max: 2_000_000,
            wire,
            draw: Draw::new(seed),
            now_ms: 0,
            news_ms: 0,
            seq: 0,
            queue: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: vec![None; count],
            large_blocks: VecDeque::new(),
            staged: Staged::default(),
            nodes: Vec::with_capacity(count),
            links: BTreeMap::new(),
            next_link: 0,
            parted: BTreeSet::new(),
            proxyless: BTreeSet::new(),
            dials: BTreeMap::new(),
            triggers: Vec::new(),
            habits: BTreeMap::new(),
            replies: BTreeMap::new(),
            next_request: 0,
            digest: sha256::HashEngine::default(),
            observed: true,
            is_in_circles: false,
            is_crowded: false,
            thaw_every: None,
            counts: Counts::default(),
            checks: Checks::new(count),
        };
        for index in 0..count {
            let mut config = Config::default_for(Network::Regtest);
            config.alias = format!("node {index}");
            configure(index, &mut config);
            world.nodes.push(SimNode::new(config, (seed << 20) + index as u64));
        }
        for index in 0..count {
            world.begin_life(index);
        }
        world
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Is nobody there?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node's id.
    pub fn id(&self, node: NodeIndex) -> NodeId {
        self.nodes[node].id
    }

    /// The node itself, to look at.
    pub fn node(&self, node: NodeIndex) -> &Node {
        &self.nodes[node].node
    }

    /// All that a node has written.
    pub fn disk(&self, node: NodeIndex) -> &crate::disk::Disk {
        &self.nodes[node].disk
    }

    /// What its clocks show.
    pub fn clock(&self, node: NodeIndex) -> leyden_core::clock::Clock {
        self.nodes[node].clock(self.now_ms)
    }

    /// Where a node is dialled.
    pub fn address(node: NodeIndex) -> NetAddr {
        NetAddr::Ip4([10, 0, (node >> 8) as u8, node as u8], 9735)
    }

    /// Where a node is dialled now: it may have moved.
    pub fn address_of(&self, node: NodeIndex) -> NetAddr {
        match World::address(node) {
            NetAddr::Ip4(ip, _) => NetAddr::Ip4(ip, self.nodes[node].port),
            other => other,
        }
    }

    fn node_at(&self, address: &NetAddr) -> Option<NodeIndex> {
        match address {
            NetAddr::Ip4([10, 0, high, low], port) => {
                let node = usize::from(*high) << 8 | usize::from(*low);
                Some(node).filter(|node| self.nodes.get(*node).is_some_and(|known| known.port == *port))
            }
            _ => None,
        }
    }

    /// How many turns of this node have written something.
    pub fn writing_turns(&self, node: NodeIndex) -> u64 {
        self.nodes[node].writing_turns
    }

    /// How often the node was restarted.
    pub fn life(&self, node: NodeIndex) -> u32 {
        self.nodes[node].life
    }

    /// What the run has cost so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What the checkers found.
    pub fn violations(&self) -> &[Violation] {
        self.checks.violations()
    }

    /// The checkers, for what they know and for what they cannot see by themselves.
    pub fn checks(&mut self) -> &mut Checks {
        &mut self.checks
    }

    /// What a node wants.
    pub fn config(&self, node: NodeIndex) -> &Config {
        &self.nodes[node].config
    }

    /// Notes a violation at this moment.
    pub fn violate(&mut self, oracle: &'static str, node: NodeIndex, text: String) {
        self.checks.violate(self.now_ms, oracle, node, text);
    }

    /// Has no channel gone on chain by one side's wish?
    pub fn nobody_closed(&self) -> bool {
        !self.checks.somebody_closed()
    }

    /// A digest of all that was said and written so far.
    pub fn digest(&self) -> [u8; 32] {
        sha256::Hash::from_engine(self.digest.clone()).to_byte_array()
    }

    /// From now on without digest, log and checks: for measuring what the nodes themselves cost.
    pub fn stop_observing(&mut self) {
        self.observed = false;
    }

    fn hash(&mut self, bytes: &[u8]) {
        if self.observed {
            self.digest.input(bytes);
        }
    }

    /// Milliseconds since the world began.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The last lines that nodes said.
    pub fn story(&self) -> String {
        self.log.iter().map(|line| format!("{line}\n")).collect()
    }

    /// One more line; the oldest lends its memory.
    fn tell_story(&mut self, text: fmt::Arguments<'_>) {
        let is_full = self.log.len() == LOG_LINES_MAX;
        let mut line = if is_full { self.log.pop_front() } else { None }.unwrap_or_default();
        line.clear();
        write!(line, "{:>8} {text}", self.now_ms).expect("memory takes whatever is written");
        self.log.push_back(line);
    }

    /// Has it taken more turns than its story can need? Then it stands still, which is noted as a violation.
    pub fn is_in_circles(&self) -> bool {
        self.is_in_circles
    }

    /// Moves the clock, with all that happens until then.
    pub fn run_for_ms(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while self.next_at().is_some_and(|at| at <= until) && self.advance() {}
        self.now_ms = until;
    }

    /// Gives a request to a node. One that is off never answers.
    pub fn request(&mut self, node: NodeIndex, request: Request) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.push(node, 0, Happening::Request(id, Box::new(request)));
        id
    }

    /// The answer, if it is there.
    pub fn reply(&mut self, id: RequestId) -> Option<Reply> {
        self.replies.remove(&id)
    }

    /// Runs until the answer is there; panics if it does not come within a day.
    pub fn run_until_reply(&mut self, id: RequestId) -> Reply {
        let patient_until_ms = self.now_ms + PATIENCE_MS;
        loop {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            assert!(self.now_ms < patient_until_ms && self.advance(), "nobody answers request {id}");
        }
    }

    /// Asks, and runs until the answer is there.
    pub fn call(&mut self, node: NodeIndex, request: Request) -> Reply {
        let id = self.request(node, request);
        self.run_until_reply(id)
    }

    /// Runs until nothing happens for a while.
    pub fn run_until_quiet(&mut self) {
        self.news_ms = self.now_ms;
        while self.next_at().is_some_and(|at| at <= self.news_ms + QUIET_MS) && self.advance() {}
    }

    fn push(&mut self, node: NodeIndex, delay_ms: u64, what: Happening) {
        self.push_at(node, self.now_ms + delay_ms, what);
    }

    fn push_at(&mut self, node: NodeIndex, at_ms: u64, what: Happening) {
        let life = self.nodes[node].life;
        self.seq += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.seq), Due { node, life, what });
    }

    /// Notes when the node wants its next deadline.
    fn see_deadline(&mut self, node: NodeIndex) {
        let next = self.nodes[node].deadline_ms();
        let known = std::mem::replace(&mut self.deadline_of[node], next);
        if known != next {
            if let Some(at) = known {
                self.deadlines.remove(&(at, node));
            }
            if let Some(at) = next {
                self.deadlines.insert((at, node));
            }
        }
    }

    fn next_at(&self) -> Option<u64> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let due = self.deadlines.first().map(|(at, _)| (*at).max(self.now_ms));
        queued.into_iter().chain(due).min()
    }

    /// The next turn; false if there is nothing to wait for.
    pub fn advance(&mut self) -> bool {
        let Some(at) = self.next_at().filter(|_| !self.is_in_circles) else { return false };
        self.counts.turns += 1;
        if self.counts.turns >= self.turns_max && !self.is_in_circles {
            self.is_in_circles = true;
            let text = format!("something goes round in circles: {} turns, and no end", self.counts.turns);
            self.violate("O5 liveness", 0, text);
            return false;
        }
        self.now_ms = at;
        let first = self.queue.first_key_value().filter(|((due, _), _)| *due <= at);
        match first.map(|(key, due)| (*key, due.node)) {
            Some((key, node)) if self.nodes[node].busy_until_ms > at => {
                // A commit holds the node up; its place among what waits is kept.
                let due = self.queue.remove(&key).expect("it was just looked at");
                self.queue.insert((self.nodes[node].busy_until_ms, key.1), due);
            }
            Some((_, node)) => self.turn(node),
            None => {
                let (_, node) = *self.deadlines.first().expect("somebody's deadline is the reason to be here");
                self.turn(node);
            }
        }
        true
    }

    fn begin_life(&mut self, node: NodeIndex) {
        let now_ms = self.now_ms;
        let mut staged = Staged::new(self.observed);
        let own = &mut self.nodes[node];
        own.take(own.clock(now_ms), None, &mut staged);
        self.end_turn(node, &mut staged);
        self.begin_chain(node);
    }
}
