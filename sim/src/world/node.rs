//! One node in the world, and what it is about to see.

use std::collections::BTreeSet;

use bitcoin::Txid;
use leyden_core::chain::{Feerates, Tip};
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::config::Config;
use leyden_core::event::{BroadcastOutcome, Cut, Direction};
use leyden_core::ids::{DialId, NodeId, QueryId, RequestId};
use leyden_core::node::{Boot, Node};
use leyden_core::request::Request;
use leyden_core::signer::KeysSigner;
use leyden_core::store::Table;
use leyden_core::transport::{BufferPool, StaticKey};
use secp256k1::PublicKey;

use super::black_box::BlackBox;
use super::faults::CrashPlan;
use crate::chain::Filter;
use crate::disk::{Disk, KeyValue};
use crate::net::Parcel;

/// Where the world's clock begins.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// Something that a node will see.
#[derive(Debug)]
pub(super) enum Happening {
    Connected { link: u32, direction: Direction },
    DialFailed { dial: DialId },
    Parcel { link: u32, parcel: Parcel },
    WriteSpace { link: u32, free: u32 },
    Disconnected { link: u32, reason: Cut },
    Crash,
    Up,
    Down(&'static str),
    Begin(Tip),
    Block(Tip),
    Unblock(Tip),
    Synced,
    Feerates(Feerates),
    Broadcast(Txid, BroadcastOutcome),
    Request(RequestId, Box<Request>),
    Loaded(QueryId, Table, Vec<KeyValue>),
}

/// How a node's backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// It answers everything.
    Answers,
    /// It answers nothing.
    Silent,
    /// It answers, and has no block from this height on.
    Lacks(u32),
}

/// A happening and whom it concerns.
pub(super) struct Due {
    pub(super) node: usize,
    pub(super) life: u32,
    pub(super) what: Happening,
}

/// A node with all that belongs to it.
pub(super) struct SimNode {
    pub(super) id: NodeId,
    pub(super) config: Config,
    /// Where it is dialled.
    pub(super) port: u16,
    pub(super) seed: u64,
    pub(super) node: Node,
    pub(super) signer: KeysSigner,
    pub(super) disk: Disk,
    pub(super) filter: Filter,
    pub(super) pool: BufferPool,
    /// How often it started. What was on its way to an earlier life never arrives.
    pub(super) life: u32,
    /// Switched off, until it is started again.
    pub(super) is_off: bool,
    pub(super) started_ms: u64,
    /// How far its idea of the time of day is ahead.
    pub(super) skew_ms: i64,
    /// Its store takes so long for a commit.
    pub(super) commit_ms: u64,
    /// It is in a commit until then.
    pub(super) busy_until_ms: u64,
    pub(super) writing_turns: u64,
    pub(super) crash: Option<CrashPlan>,
    pub(super) links: BTreeSet<u32>,
    /// The last block that it was or will be told of.
    pub(super) view: Option<Tip>,
    /// Blocks reach it so much later.
    pub(super) chain_lag_ms: u64,
    /// No block reaches it before.
    pub(super) chain_ready_ms: u64,
    pub(super) feerates: Feerates,
    /// What its backend is able to.
    pub(super) backend: Backend,
    pub(super) black_box: Option<BlackBox>,
}

impl SimNode {
    pub(super) fn new(config: Config, seed: u64) -> SimNode {
        let disk = Disk::default();
        let clock = Clock { mono: Mono(0), wall: Wall(WALL_START_MS) };
        let (node, signer) = boot(&config, seed, 0, &disk, clock);
        SimNode {
            id: node.id(),
            config,
            port: 9735,
            seed,
            node,
            signer,
            disk,
            filter: Filter::default(),
            pool: BufferPool::new(1),
            life: 0,
            is_off: false,
            started_ms: 0,
            skew_ms: 0,
            commit_ms: 0,
            busy_until_ms: 0,
            writing_turns: 0,
            crash: None,
            links: BTreeSet::new(),
            view: None,
            chain_lag_ms: 0,
            chain_ready_ms: 0,
            feerates: Feerates::default(),
            backend: Backend::Answers,
            black_box: None,
        }
    }

    /// What its clocks show at this moment of the world.
    pub(super) fn clock(&self, now_ms: u64) -> Clock {
        let wall = (WALL_START_MS + now_ms).saturating_add_signed(self.skew_ms);
        Clock { mono: Mono(now_ms - self.started_ms), wall: Wall(wall) }
    }

    /// When it wants its next deadline, in the world's time.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        if self.is_off {
            return None;
        }
        Some((self.started_ms + self.node.next_deadline()?.0).max(self.busy_until_ms))
    }

    /// Reads its rows into a fresh node: a new life.
    pub(super) fn reboot(&mut self, now_ms: u64) {
        self.life += 1;
        self.is_off = false;
        self.busy_until_ms = 0;
        self.filter = Filter::default();
        self.pool = BufferPool::new(1);
        self.view = None;
        self.chain_ready_ms = 0;
        self.started_ms = now_ms;
        let clock = self.clock(now_ms);
        (self.node, self.signer) = boot(&self.config, self.seed, self.life, &self.disk, clock);
        self.begin_segment(now_ms);
    }
}

fn boot(config: &Config, seed: u64, life: u32, disk: &Disk, clock: Clock) -> (Node, KeysSigner) {
    let mut wallet_seed = [0x5e; 64];
    wallet_seed[..8].copy_from_slice(&seed.to_be_bytes());
    let mut rng_seed = [0; 32];
    rng_seed[..4].copy_from_slice(&life.to_be_bytes());
    rng_seed[4..12].copy_from_slice(&seed.to_be_bytes());
    let mut signer = KeysSigner::new(wallet_seed, config.network.bitcoin(), rng_seed);
    let boot = Boot { config: config.clone(), rng_seed, clock };
    let node = Node::restore(boot, disk.rows(), &mut signer).expect("what the node wrote, it can read");
    (node, signer)
}

/// The node's key, as the handshake needs it.
pub(super) struct NodeKey<'a> {
    pub(super) signer: &'a mut KeysSigner,
    pub(super) public: PublicKey,
}

impl StaticKey for NodeKey<'_> {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        use leyden_core::signer::Signer;
        self.signer.ecdh(point)
    }
}
