//! The world: nodes, and what goes on between them, in the order of virtual time.
//!
//! A turn is one or more events of one node and the deadlines that are due. Its writes are applied at the turn's end,
//! and only then do its messages, broadcasts and replies take effect: the same promise that the daemon's loop makes.

use std::collections::{BTreeMap, VecDeque};

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::{Transaction, Txid};
use leyden_core::amount::Sat;
use leyden_core::chain::{Feerates, Tip};
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::{Command, LoadRange, Sink};
use leyden_core::config::{Config, Network};
use leyden_core::event::{BroadcastOutcome, ChainEvent, Cut, Direction, Event, Match, NetAddr};
use leyden_core::ids::{BlockHeight, ConnId, DialId, NodeId, QueryId, RequestId};
use leyden_core::node::{Boot, Node};
use leyden_core::request::{Request, RequestError, Response};
use leyden_core::signer::{KeysSigner, Signer};
use leyden_core::store::{Row, Table, encode_into};
use leyden_core::wire::Cursor;

use crate::chain::{Chain, Filter};
use crate::disk::{Disk, KeyValue, Range, Write};
use crate::net::{Link, NodeIndex};

/// Where the world's clock begins.
const WALL_START_MS: u64 = 1_700_000_000_000;
/// Deadlines that are further away do not keep the world from being quiet.
const QUIET_MS: u64 = 10_000;
/// More turns than any story needs: something goes round in circles.
const TURNS_MAX: u64 = 2_000_000;
/// A node whose deadline is never dealt with stands still.
const DEADLINES_PER_TURN_MAX: u32 = 100;

/// How a request ended.
pub type Reply = Result<Response, RequestError>;

/// Where in a turn a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The turn never happened.
    BeforeCommit,
    /// Written, and nothing said.
    AfterCommit,
    /// Written and said.
    AfterEffects,
}

/// A crash to come.
#[derive(Clone, Copy, Debug)]
pub struct CrashPlan {
    /// At the end of which turn that writes, counted from now; 0: the next.
    pub turn: u64,
    /// Where in it.
    pub point: CrashPoint,
}

struct SimNode {
    id: NodeId,
    config: Config,
    seed: u8,
    node: Node,
    signer: KeysSigner,
    disk: Disk,
    filter: Filter,
    /// How often it started. What was on its way to an earlier life never arrives.
    life: u32,
    started_ms: u64,
    writing_turns: u64,
    crash: Option<CrashPlan>,
}

/// Something that a node will see.
#[derive(Debug)]
enum Happening {
    Connected { link: usize, direction: Direction },
    DialFailed { dial: DialId },
    Received { link: usize, message: Vec<u8> },
    Disconnected { link: usize, reason: Cut },
    Up,
    Begin(Tip),
    Block(BlockHeight),
    Synced(BlockHeight),
    Feerates(Feerates),
    Broadcast(Txid, BroadcastOutcome),
    Request(RequestId, Request),
    Loaded(QueryId, Table, Vec<KeyValue>),
}

struct Due {
    node: NodeIndex,
    life: u32,
    what: Happening,
}

/// What a turn said, until it is committed.
#[derive(Default)]
struct Staged {
    writes: Vec<Write>,
    effects: Vec<Effect>,
    notes: Vec<String>,
    watches: Vec<OwnWatch>,
}

enum OwnWatch {
    Spend(bitcoin::OutPoint),
    Unspend(bitcoin::OutPoint),
    Script(bitcoin::ScriptBuf),
}

enum Effect {
    Send(ConnId, Vec<u8>),
    Disconnect(ConnId),
    Dial(DialId, NodeId, NetAddr),
    Load(QueryId, Table, Range, u32),
    Broadcast(Transaction, String),
    Reply(RequestId, Box<Reply>),
}

impl Sink for Staged {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Send { conn, message } => {
                let mut bytes = vec![0; message.encoded_len()];
                message.encode(&mut Cursor::new(&mut bytes)).expect("the buffer is as long as the message says");
                self.effects.push(Effect::Send(conn, bytes));
            }
            Command::Disconnect { conn, .. } => self.effects.push(Effect::Disconnect(conn)),
            Command::Dial { dial, peer, address } => self.effects.push(Effect::Dial(dial, peer, address.clone())),
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                self.writes.push(Write::Put(table, key.to_vec(), bytes));
            }
            Command::Delete { table, key } => self.writes.push(Write::Delete(table, key.to_vec())),
            Command::Load { query, table, range, limit } => {
                let range = match range {
                    LoadRange::From(key) => Range::From(key.to_vec()),
                    LoadRange::Before(key) => Range::Before(key.to_vec()),
                    LoadRange::Exactly(key) => Range::Exactly(key.to_vec()),
                };
                self.effects.push(Effect::Load(query, table, range, limit));
            }
            Command::Broadcast { tx, purpose } => {
                self.effects.push(Effect::Broadcast(tx.clone(), purpose.to_owned()));
            }
            Command::Watch(watch) => self.watches.push(match watch {
                leyden_core::command::Watch::Spend(outpoint) => OwnWatch::Spend(outpoint),
                leyden_core::command::Watch::Unspend(outpoint) => OwnWatch::Unspend(outpoint),
                leyden_core::command::Watch::Script(script) => OwnWatch::Script(script.to_owned()),
            }),
            Command::Reply { id, result } => self.effects.push(Effect::Reply(id, Box::new(result.clone()))),
            Command::Note(note) => self.notes.push(format!("{:?} {}: {}", note.level, note.part, note.text)),
            Command::Stop => {}
        }
    }
}

/// Many nodes in one thread.
pub struct World {
    /// The chain.
    pub chain: Chain,
    /// What nodes said, for people: time, node, text. The last ones.
    pub log: VecDeque<String>,
    /// Transactions that the chain refused: node, purpose, why.
    pub refused: Vec<(NodeIndex, String, crate::chain::Refused)>,
    /// Milliseconds that messages take on new connections.
    pub latency_ms: u64,
    now_ms: u64,
    seq: u64,
    queue: BTreeMap<(u64, u64), Due>,
    nodes: Vec<SimNode>,
    links: Vec<Link>,
    replies: BTreeMap<RequestId, Reply>,
    next_request: u64,
    digest: sha256::HashEngine,
    observed: bool,
    thaw_every: Option<u64>,
    turns: u64,
}

impl World {
    /// A world of `count` nodes that do not know each other; `configure` may change what they want.
    pub fn new(seed: u8, count: usize, configure: impl Fn(NodeIndex, &mut Config)) -> World {
        let mut world = World {
            chain: Chain::default(),
            log: VecDeque::new(),
            refused: Vec::new(),
            latency_ms: 10,
            now_ms: 0,
            seq: 0,
            queue: BTreeMap::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            replies: BTreeMap::new(),
            next_request: 0,
            digest: sha256::HashEngine::default(),
            observed: true,
            thaw_every: None,
            turns: 0,
        };
        for index in 0..count {
            let mut config = Config::default_for(Network::Regtest);
            config.alias = format!("node {index}");
            configure(index, &mut config);
            let seed = seed.wrapping_mul(31).wrapping_add(index as u8 + 1);
            let disk = Disk::default();
            let (node, signer) = boot(&config, seed, 0, &disk, world.clock(0));
            world.nodes.push(SimNode {
                id: node.id(),
                config,
                seed,
                node,
                signer,
                disk,
                filter: Filter::default(),
                life: 0,
                started_ms: 0,
                writing_turns: 0,
                crash: None,
            });
            world.begin_life(index);
        }
        world
    }

    /// The node's id.
    pub fn id(&self, node: NodeIndex) -> NodeId {
        self.nodes[node].id
    }

    /// Where a node is dialled.
    pub fn address(node: NodeIndex) -> NetAddr {
        NetAddr::Ip4([10, 0, 0, node as u8], 9735)
    }

    /// How many turns of this node have written something.
    pub fn writing_turns(&self, node: NodeIndex) -> u64 {
        self.nodes[node].writing_turns
    }

    /// How often the node was restarted.
    pub fn life(&self, node: NodeIndex) -> u32 {
        self.nodes[node].life
    }

    /// A digest of all that was said and written so far.
    pub fn digest(&self) -> [u8; 32] {
        sha256::Hash::from_engine(self.digest.clone()).to_byte_array()
    }

    /// From now on without digest, log and checks: for measuring what the nodes themselves cost.
    pub fn stop_observing(&mut self) {
        self.observed = false;
    }

    /// Before every so many turns, the node whose turn it is becomes what its snapshot says: nobody may notice.
    pub fn thaw_every(&mut self, turns: u64) {
        self.thaw_every = Some(turns);
    }

    /// The whole node in bytes.
    pub fn snapshot(&self, node: NodeIndex) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.nodes[node].node.snapshot(&mut bytes);
        bytes
    }

    fn thaw(&mut self, node: NodeIndex) {
        let bytes = self.snapshot(node);
        self.nodes[node].node = Node::thaw(&bytes).expect("what the node froze, it can thaw");
        assert!(self.snapshot(node) == bytes, "a thawed node freezes into the same bytes");
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

    /// Moves the clock, with all that happens until then.
    pub fn run_for_ms(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while self.next_at().is_some_and(|at| at <= until) {
            self.advance();
        }
        self.now_ms = until;
    }

    /// Gives a request to a node.
    pub fn request(&mut self, node: NodeIndex, request: Request) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.push(node, 0, Happening::Request(id, request));
        id
    }

    /// The answer, if it is there.
    pub fn reply(&mut self, id: RequestId) -> Option<Reply> {
        self.replies.remove(&id)
    }

    /// Runs until the answer is there; panics if nothing is left to happen.
    pub fn run_until_reply(&mut self, id: RequestId) -> Reply {
        loop {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            assert!(self.advance(), "nobody answers request {id}\n{}", self.story());
        }
    }

    /// Asks, and runs until the answer is there.
    pub fn call(&mut self, node: NodeIndex, request: Request) -> Reply {
        let id = self.request(node, request);
        self.run_until_reply(id)
    }

    /// Runs until nothing happens for a while.
    pub fn run_until_quiet(&mut self) {
        while !self.queue.is_empty() || self.next_deadline().is_some_and(|at| at <= self.now_ms + QUIET_MS) {
            self.advance();
        }
    }

    /// Mines blocks; each is taken in by everybody before the next.
    pub fn mine(&mut self, count: u32) {
        for _ in 0..count {
            let height = self.chain.mine().tip.height;
            for node in 0..self.nodes.len() {
                self.push(node, 0, Happening::Block(height));
                self.push(node, 0, Happening::Synced(height));
            }
            self.run_for_ms(self.latency_ms * 20);
        }
    }

    /// Gives coins to a node's wallet, in a block of their own.
    pub fn faucet(&mut self, node: NodeIndex, amount: Sat) {
        let kind = leyden_core::request::wallet::AddressKind::P2wpkh;
        let Ok(Response::Addresses(addresses)) = self.call(node, Request::NewAddr(kind)) else {
            panic!("newaddr gives an address\n{}", self.story());
        };
        self.chain.gift(addresses.p2wpkh.expect("that kind was asked for"), amount);
        self.mine(1);
    }

    /// Cuts all connections between two nodes; both notice at once.
    pub fn cut(&mut self, a: NodeIndex, b: NodeIndex) {
        for link in 0..self.links.len() {
            if self.links[link].ends == [a, b] || self.links[link].ends == [b, a] {
                for end in 0..2 {
                    self.lose(link, end, 0, Cut::Peer);
                }
            }
        }
    }

    /// Ends a node where it stands and starts it again from its rows.
    pub fn crash(&mut self, node: NodeIndex) {
        self.hash(b"crash");
        for link in 0..self.links.len() {
            let ends = self.links[link].ends;
            for (end, whose) in ends.into_iter().enumerate() {
                if whose == node {
                    self.links[link].open[end] = false;
                    let latency_ms = self.links[link].latency_ms;
                    self.lose_later(link, 1 - end, latency_ms);
                }
            }
        }
        let clock = self.clock(self.now_ms);
        let own = &mut self.nodes[node];
        own.life += 1;
        own.crash = None;
        own.filter = Filter::default();
        own.started_ms = self.now_ms;
        (own.node, own.signer) = boot(&own.config, own.seed, own.life, &own.disk, clock);
        self.begin_life(node);
    }

    /// Crashes a node at the end of a turn that is still to come.
    pub fn plan_crash(&mut self, node: NodeIndex, plan: CrashPlan) {
        self.nodes[node].crash = Some(plan);
    }

    /// Is a planned crash still to come?
    pub fn crash_is_due(&self, node: NodeIndex) -> bool {
        self.nodes[node].crash.is_some()
    }

    /// The last lines that nodes said.
    pub fn story(&self) -> String {
        self.log.iter().map(|line| format!("{line}\n")).collect()
    }

    fn clock(&self, started_ms: u64) -> Clock {
        Clock { mono: Mono(self.now_ms - started_ms), wall: Wall(WALL_START_MS + self.now_ms) }
    }

    fn begin_life(&mut self, node: NodeIndex) {
        let clock = self.clock(self.now_ms);
        let mut staged = Staged::default();
        let own = &mut self.nodes[node];
        own.node.start(clock, &mut own.signer, &mut staged);
        let tip = own.node.tip();
        self.end_turn(node, staged);
        self.push(node, 0, Happening::Up);
        let newest = self.chain.tip();
        match tip {
            None => self.push(node, 0, Happening::Begin(newest)),
            Some(tip) => {
                for height in tip.height.0 + 1..=newest.height.0 {
                    self.push(node, 0, Happening::Block(BlockHeight(height)));
                }
            }
        }
        self.push(node, 0, Happening::Feerates(Feerates::default()));
        self.push(node, 0, Happening::Synced(newest.height));
    }

    fn push(&mut self, node: NodeIndex, delay_ms: u64, what: Happening) {
        let life = self.nodes[node].life;
        self.seq += 1;
        self.queue.insert((self.now_ms + delay_ms, self.seq), Due { node, life, what });
    }

    /// One end of a connection learns that it is gone.
    fn lose(&mut self, link: usize, end: usize, delay_ms: u64, reason: Cut) {
        let node = self.links[link].ends[end];
        if std::mem::take(&mut self.links[link].open[end]) && self.nodes[node].life == self.links[link].lives[end] {
            self.push(node, delay_ms, Happening::Disconnected { link, reason });
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let deadlines = self.nodes.iter().filter_map(|own| Some(own.started_ms + own.node.next_deadline()?.0));
        deadlines.min().map(|at| at.max(self.now_ms))
    }

    fn next_at(&self) -> Option<u64> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        queued.into_iter().chain(self.next_deadline()).min()
    }

    /// The next turn; false if there is nothing to wait for.
    pub fn advance(&mut self) -> bool {
        let Some(at) = self.next_at() else { return false };
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "something goes round in circles\n{}", self.story());
        self.now_ms = at;
        let first = self.queue.first_key_value().filter(|((due, _), _)| *due <= at).map(|(_, due)| due.node);
        let node = first.unwrap_or_else(|| {
            let due = |own: &SimNode| Some(own.started_ms + own.node.next_deadline()?.0);
            let late = self.nodes.iter().position(|own| due(own).is_some_and(|due| due <= at));
            late.expect("somebody's deadline is the reason to be here")
        });
        if self.thaw_every.is_some_and(|turns| self.turns.is_multiple_of(turns)) {
            self.thaw(node);
        }
        let mut staged = Staged::default();
        // What has come for the same node at the same moment is one turn.
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > at || entry.get().node != node {
                break;
            }
            let Due { life, what, .. } = entry.remove();
            if life == self.nodes[node].life {
                self.step(node, what, &mut staged);
            }
        }
        let clock = self.clock(self.nodes[node].started_ms);
        let own = &mut self.nodes[node];
        let mut rounds = 0;
        while own.node.next_deadline().is_some_and(|due| due <= clock.mono) {
            own.node.step(clock, Event::Deadline, &mut own.signer, &mut staged);
            rounds += 1;
            assert!(rounds < DEADLINES_PER_TURN_MAX, "node {node} does not deal with its deadline");
        }
        if self.observed {
            own.node.check();
        }
        self.end_turn(node, staged);
        true
    }

    fn step(&mut self, node: NodeIndex, what: Happening, staged: &mut Staged) {
        let clock = self.clock(self.nodes[node].started_ms);
        let ids: Vec<NodeId> = match &what {
            Happening::Connected { .. } => self.nodes.iter().map(|own| own.id).collect(),
            _ => Vec::new(),
        };
        let own = &mut self.nodes[node];
        let conn_of = |link: usize| ConnId { slot: link as u32, generation: 0 };
        let mut step = |event: Event<'_>| own.node.step(clock, event, &mut own.signer, staged);
        match what {
            Happening::Connected { link, direction } => {
                let link_end = self.links[link].end_of(node);
                let other = self.links[link].ends[1 - link_end];
                let (peer, address) = (ids[other], World::address(other));
                step(Event::Connected { conn: conn_of(link), peer, direction, address });
            }
            Happening::DialFailed { dial } => step(Event::DialFailed { dial, reason: "nobody there".into() }),
            Happening::Received { link, message } => {
                let end = self.links[link].end_of(node);
                if self.links[link].open[end] {
                    step(Event::Received { conn: conn_of(link), message: &message });
                }
            }
            Happening::Disconnected { link, reason } => {
                let end = self.links[link].end_of(node);
                self.links[link].open[end] = false;
                step(Event::Disconnected { conn: conn_of(link), reason });
            }
            Happening::Up => step(Event::Chain(ChainEvent::Up)),
            Happening::Begin(tip) => step(Event::Chain(ChainEvent::Begin { tip })),
            Happening::Block(height) => {
                let block = self.chain.block(height).expect("a block that was mined");
                let filter = &own.filter;
                let wanted = (0..).zip(&block.txs).filter(|(_, tx)| filter.matches(tx));
                let matches: Vec<Match<'_>> = wanted.map(|(index, tx)| Match { index, tx }).collect();
                let time_s = (clock.wall.0 / 1000) as u32;
                let event = ChainEvent::BlockConnected { tip: block.tip, time_s, matches: &matches };
                own.node.step(clock, Event::Chain(event), &mut own.signer, staged);
            }
            Happening::Synced(height) => step(Event::Chain(ChainEvent::Synced { height })),
            Happening::Feerates(feerates) => step(Event::Chain(ChainEvent::Feerates(feerates))),
            Happening::Broadcast(txid, outcome) => step(Event::Chain(ChainEvent::Broadcast { txid, outcome })),
            Happening::Request(id, request) => step(Event::Request { id, request }),
            Happening::Loaded(query, table, rows) => {
                let rows: Vec<Row<'_>> = rows.iter().map(|(key, value)| Row { table, key, value }).collect();
                step(Event::Loaded { query, rows: &rows });
            }
        }
        self.take_watches(node, staged);
    }

    /// A watch counts for the next block of the same turn already: it is no promise to anybody.
    fn take_watches(&mut self, node: NodeIndex, staged: &mut Staged) {
        use leyden_core::command::Watch;
        let filter = &mut self.nodes[node].filter;
        for watch in staged.watches.drain(..) {
            match &watch {
                OwnWatch::Spend(outpoint) => filter.take(Watch::Spend(*outpoint)),
                OwnWatch::Unspend(outpoint) => filter.take(Watch::Unspend(*outpoint)),
                OwnWatch::Script(script) => filter.take(Watch::Script(script)),
            }
        }
    }

    fn end_turn(&mut self, node: NodeIndex, mut staged: Staged) {
        self.take_watches(node, &mut staged);
        let notes = if self.observed { staged.notes } else { Vec::new() };
        for note in notes {
            if self.log.len() == 400 {
                self.log.pop_front();
            }
            self.log.push_back(format!("{:>8} {node} {note}", self.now_ms));
        }
        let mut crash = None;
        if !staged.writes.is_empty() {
            self.nodes[node].writing_turns += 1;
            crash = match &mut self.nodes[node].crash {
                Some(plan) if plan.turn == 0 => Some(plan.point),
                Some(plan) => {
                    plan.turn -= 1;
                    None
                }
                None => None,
            };
        }
        if crash == Some(CrashPoint::BeforeCommit) {
            return self.crash(node);
        }
        for write in &staged.writes {
            match write {
                Write::Put(table, key, value) => {
                    self.hash(&[b'p', *table as u8]);
                    self.hash(key);
                    self.hash(value);
                }
                Write::Delete(table, key) => {
                    self.hash(&[b'd', *table as u8]);
                    self.hash(key);
                }
            }
        }
        self.nodes[node].disk.commit(staged.writes);
        if crash == Some(CrashPoint::AfterCommit) {
            return self.crash(node);
        }
        for effect in staged.effects {
            self.effect(node, effect);
        }
        if crash.is_some() {
            self.crash(node);
        }
    }

    fn effect(&mut self, node: NodeIndex, effect: Effect) {
        self.hash(&[b'e', node as u8]);
        match effect {
            Effect::Send(conn, message) => {
                self.hash(&message);
                let Some(link) = self.links.get(conn.slot as usize).cloned() else { return };
                let end = link.end_of(node);
                let other = link.ends[1 - end];
                if link.open == [true, true] && self.nodes[other].life == link.lives[1 - end] {
                    self.push(other, link.latency_ms, Happening::Received { link: conn.slot as usize, message });
                }
            }
            Effect::Disconnect(conn) => {
                let link = conn.slot as usize;
                let Some(known) = self.links.get(link) else { return };
                let (end, latency_ms) = (known.end_of(node), known.latency_ms);
                self.lose(link, end, 0, Cut::Ours);
                self.lose_later(link, 1 - end, latency_ms);
            }
            Effect::Dial(dial, peer, address) => {
                let found = (0..self.nodes.len()).find(|index| World::address(*index) == address);
                match found.filter(|index| self.nodes[*index].id == peer && *index != node) {
                    Some(other) => {
                        let link = self.links.len();
                        let lives = [self.nodes[node].life, self.nodes[other].life];
                        let latency_ms = self.latency_ms;
                        self.links.push(Link { ends: [node, other], lives, latency_ms, open: [true, true] });
                        let outbound = Direction::Outbound { dial };
                        self.push(node, latency_ms, Happening::Connected { link, direction: outbound });
                        let inbound = Direction::Inbound { listener: 0 };
                        self.push(other, latency_ms, Happening::Connected { link, direction: inbound });
                    }
                    None => self.push(node, self.latency_ms, Happening::DialFailed { dial }),
                }
            }
            Effect::Load(query, table, range, limit) => {
                let rows = self.nodes[node].disk.load(table, &range, limit as usize);
                self.push(node, 0, Happening::Loaded(query, table, rows));
            }
            Effect::Broadcast(tx, purpose) => {
                let txid = tx.compute_txid();
                self.hash(txid.as_raw_hash().as_byte_array());
                let outcome = match self.chain.broadcast(&tx) {
                    Ok(()) => BroadcastOutcome::Accepted,
                    Err(why) => {
                        let reason = format!("{why:?}");
                        self.log.push_back(format!("{:>8} {node} refused {purpose}: {reason}", self.now_ms));
                        self.refused.push((node, purpose, why));
                        BroadcastOutcome::Rejected { code: -26, reason }
                    }
                };
                self.push(node, 1, Happening::Broadcast(txid, outcome));
            }
            Effect::Reply(id, reply) => {
                if self.observed {
                    let mut bytes = Vec::new();
                    encode_into(&*reply, &mut bytes);
                    self.hash(&bytes);
                }
                self.replies.insert(id, *reply);
            }
        }
    }

    /// The other end still gets what was sent before, and then learns of the end.
    fn lose_later(&mut self, link: usize, end: usize, delay_ms: u64) {
        let node = self.links[link].ends[end];
        if self.nodes[node].life == self.links[link].lives[end] && self.links[link].open[end] {
            self.push(node, delay_ms, Happening::Disconnected { link, reason: Cut::Peer });
        }
    }
}

fn boot(config: &Config, seed: u8, life: u32, disk: &Disk, clock: Clock) -> (Node, KeysSigner) {
    let mut rng_seed = [seed; 32];
    rng_seed[..4].copy_from_slice(&life.to_be_bytes());
    let mut signer = KeysSigner::new([seed; 64], config.network.bitcoin(), rng_seed);
    let boot = Boot { config: config.clone(), rng_seed, clock };
    let node = Node::restore(boot, disk.rows(), &mut signer).expect("what the node wrote, it can read");
    debug_assert_eq!(node.id(), signer.node_id());
    (node, signer)
}
