//! The node: one state machine that eats timestamped events and emits commands.
//!
//! `step` is the only way in. Each event is taken in by the room it belongs to (`peers`, `chain`, `requests`); what
//! channels tell meanwhile is collected as effects and worked off before `step` returns, so between two events nothing
//! is half done. `commitment_signed` waits for the turn's end: channels with something to sign ask for a deadline that
//! is already there, and the loop gives it after the turn's last event.

/// What a channel may use while it works, lent from the node's other fields: a method would lend the channel as well.
macro_rules! lend {
    ($node:ident, $io:ident) => {
        crate::channel::Cx {
            clock: $io.clock,
            config: &$node.channel_config,
            chain: &$node.chain,
            signer: $io.signer,
            rng: &mut $node.rng,
            out: $io.out,
            effects: &mut $node.effects,
            scratch: &mut $node.scratch,
        }
    };
}

mod announce;
mod census;
mod chain;
mod effects;
mod history;
mod opening;
mod pay;
mod payments;
mod peers;
mod requests;
mod restore;
mod snapshot;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use crate::chain::{Backend, Chain};
use crate::channel::{self, Channel, Cx, Effect, Opening};
use crate::clock::{Clock, Mono};
use crate::command::{Command, Level, Note, Sink};
use crate::config::Config;
use crate::encoding::encode_fields;
use crate::event::{ChainEvent, Event};
use crate::ids::{BlockHeight, ChannelId, ChannelKey, ConnId, NodeId, QueryId, RequestId, ShortChannelId};
use crate::invoices::Invoices;
use crate::payment::forward::Forwards;
use crate::payment::incoming::Incoming;
use crate::payment::outgoing::Outgoing;
use crate::payment::replay::Replays;
use crate::peer::Peers;
use crate::request::{RequestError, Response};
use crate::rng::Rng;
use crate::signer::Signer;
use crate::store::{Key, RowValue, StoreValue};
use crate::timer::Timers;
use crate::wallet::Wallet;
use crate::wire::{Features, Message};

pub use census::Census;
pub use restore::{Boot, RestoreError};
pub use snapshot::ThawError;

/// What a step may use from outside.
pub(crate) struct Io<'a> {
    pub(crate) clock: Clock,
    pub(crate) signer: &'a mut dyn Signer,
    pub(crate) out: &'a mut dyn Sink,
}

impl Io<'_> {
    pub(crate) fn send<'m>(&mut self, conn: ConnId, message: impl Into<Message<'m>>) {
        self.out.emit(Command::Send { conn, message: &message.into() });
    }

    pub(crate) fn put<T: RowValue>(&mut self, key: Key, value: &T) {
        let value: &dyn StoreValue = value;
        self.out.emit(Command::Put { table: T::TABLE, key: key.as_slice(), value });
    }

    pub(crate) fn delete<T: RowValue>(&mut self, key: Key) {
        self.out.emit(Command::Delete { table: T::TABLE, key: key.as_slice() });
    }

    pub(crate) fn reply(&mut self, id: RequestId, result: Result<Response, RequestError>) {
        self.out.emit(Command::Reply { id, result: &result });
    }

    pub(crate) fn note(&mut self, level: Level, part: &'static str, text: std::fmt::Arguments<'_>) {
        self.out.emit(Command::Note(Note { level, part, peer: None, text }));
    }

    pub(crate) fn note_peer(&mut self, level: Level, part: &'static str, peer: NodeId, text: std::fmt::Arguments<'_>) {
        self.out.emit(Command::Note(Note { level, part, peer: Some(peer), text }));
    }
}

/// Deadlines that belong to no other room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub(crate) enum NodeTimer {
    /// A `pay` must not try again after this.
    Retry { payment: u64 },
    /// A client waits for a block no longer than this.
    WaitBlock { request: RequestId },
    /// A client waits for an opening or a close no longer than this.
    Patience { request: RequestId },
    /// A client waits no longer for the backend's verdict.
    Verdict { request: RequestId },
    /// A channel's old policy counts no longer.
    OldPolicy { channel: ChannelKey },
}

/// The money machine.
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    pub(crate) channel_config: channel::ChannelConfig,
    pub(crate) features: Features,
    pub(crate) chain: Chain,
    pub(crate) rng: Rng,
    pub(crate) peers: Peers,
    pub(crate) channels: BTreeMap<ChannelKey, Box<Channel>>,
    pub(crate) index: ChannelIndex,
    pub(crate) openings: BTreeMap<ChannelKey, opening::Pending>,
    /// What the wallet keeps for openings.
    pub(crate) holds: BTreeMap<ChannelKey, opening::HoldRow>,
    pub(crate) next_channel: u32,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    pub(crate) forwards: Forwards,
    pub(crate) replays: Replays,
    pub(crate) old_policies: BTreeMap<ChannelKey, channel::Policy>,
    pub(crate) update_timestamps: BTreeMap<ChannelKey, u32>,
    pub(crate) invoices: Invoices,
    pub(crate) wallet: Wallet,
    pub(crate) effects: Vec<Effect>,
    pub(crate) scratch: channel::Scratch,
    pub(crate) dirty: BTreeSet<ChannelKey>,
    pub(crate) timers: Timers<NodeTimer>,
    pub(crate) queries: BTreeMap<QueryId, history::Query>,
    pub(crate) next_query: u64,
    pub(crate) transaction_queries: BTreeMap<QueryId, (RequestId, crate::wallet::TransactionsQuery)>,
    pub(crate) block_waiters: BTreeMap<RequestId, BlockHeight>,
    pub(crate) list_waiters: BTreeMap<RequestId, crate::request::node::Wait>,
    pub(crate) verdict_waiters: BTreeMap<bitcoin::Txid, Vec<verdicts::Waiter>>,
    /// Fundings of ours that were broadcast once, and of which the backend has said nothing yet.
    pub(crate) fresh_fundings: BTreeMap<bitcoin::Txid, ChannelKey>,
    pub(crate) close_waiters: BTreeMap<ChannelKey, Vec<RequestId>>,
    pub(crate) ping_waiters: BTreeMap<NodeId, VecDeque<RequestId>>,
    pub(crate) fees_collected: crate::amount::Msat,
    pub(crate) hollow_channels: usize,
    pub(crate) recent: BTreeMap<BlockHeight, bitcoin::BlockHash>,
    pub(crate) claims: BTreeMap<bitcoin::OutPoint, chain::ClaimRow>,
}

/// Finds channels by their other names.
#[derive(Debug, Default)]
pub(crate) struct ChannelIndex {
    pub(crate) by_id: BTreeMap<ChannelId, ChannelKey>,
    pub(crate) by_scid: BTreeMap<ShortChannelId, ChannelKey>,
    pub(crate) by_peer: BTreeSet<(NodeId, ChannelKey)>,
    pub(crate) by_funding: BTreeMap<bitcoin::Txid, BTreeSet<ChannelKey>>,
}

encode_fields!(Node {
    id,
    config,
    channel_config,
    features,
    chain,
    rng,
    peers,
    channels,
    index,
    openings,
    next_channel,
    outgoing,
    incoming,
    forwards,
    replays,
    old_policies,
    update_timestamps,
    invoices,
    wallet,
    effects,
    scratch,
    dirty,
    timers,
    queries,
    next_query,
    transaction_queries,
    block_waiters,
    list_waiters,
    close_waiters,
    ping_waiters,
    fees_collected,
    hollow_channels,
    recent as foreign_values,
    holds,
    verdict_waiters as foreign_keys,
    fresh_fundings as foreign_keys,
    claims as foreign_keys,
});

encode_fields!(ChannelIndex { by_id, by_scid, by_peer, by_funding as foreign_keys });

impl ChannelIndex {
    pub(crate) fn of_peer(&self, peer: NodeId) -> impl Iterator<Item = ChannelKey> + '_ {
        self.by_peer.range((peer, ChannelKey(0))..=(peer, ChannelKey(u32::MAX))).map(|(_, key)| *key)
    }
}

impl Node {
    /// The only way in. All that the node decides follows from (self, clock, event, the signer's answers).
    pub fn step(&mut self, clock: Clock, event: Event<'_>, signer: &mut dyn Signer, out: &mut dyn Sink) {
        let mut io = Io { clock, signer, out };
        let io = &mut io;
        match event {
            Event::Deadline => self.on_deadline(io),
            Event::Idle => {}
            Event::Connected { conn, peer, direction, address } => {
                self.on_connected(io, conn, peer, direction, address);
            }
            Event::DialFailed { dial, reason } => self.on_dial_failed(io, dial, &reason),
            Event::Received { conn, message } => self.on_received(io, conn, message),
            Event::WriteSpace { conn, free } => self.on_write_space(conn, free),
            Event::Disconnected { conn, reason } => self.on_disconnected(io, conn, &reason),
            Event::Chain(event) => self.on_chain(io, event),
            Event::Request { id, request } => self.on_request(io, id, request),
            Event::RequestGone { id } => self.on_request_gone(id),
            Event::Loaded { query, rows } => self.on_loaded(io, query, rows),
        }
        self.settle(io);
        self.answer_list_waiters(io);
        #[cfg(debug_assertions)]
        self.check();
    }

    /// When the next `Event::Deadline` is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        if !self.dirty.is_empty() {
            return Some(Mono(0));
        }
        [
            self.peers.next_deadline(),
            self.incoming.next_deadline(),
            self.outgoing.next_deadline(),
            self.invoices.next_deadline(),
            self.timers.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Invariants; run after every step in debug builds and in the simulator.
    pub fn check(&self) {
        assert!(self.effects.is_empty(), "every effect is worked off before a step ends");
        for (key, channel) in &self.channels {
            assert_eq!(channel.key(), *key);
            assert_eq!(self.index.by_id.get(&channel.id()), Some(key));
            assert!(self.index.by_peer.contains(&(channel.peer(), *key)));
            assert!(!channel.is_dirty() || self.dirty.contains(key), "a dirty channel is flushed");
        }
    }

    /// Who we are.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What its operator wants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The last block taken in, for the chain source to go on from.
    pub fn tip(&self) -> Option<crate::chain::Tip> {
        self.chain.tip
    }

    /// Recent blocks, for the chain source to undo a reorganisation that happened while we were away.
    pub fn recent_tips(&self) -> impl Iterator<Item = crate::chain::Tip> + '_ {
        self.recent.iter().map(|(height, hash)| crate::chain::Tip { height: *height, hash: *hash })
    }

    fn on_deadline(&mut self, io: &mut Io<'_>) {
        let now = io.clock.mono;
        // Each once, in the order of their keys. The set keeps its memory.
        let mut next = self.dirty.first().copied();
        while let Some(key) = next {
            self.dirty.remove(&key);
            self.with_channel(io, key, |channel, cx| channel.flush(cx));
            next = self.dirty.range((Bound::Excluded(key), Bound::Unbounded)).next().copied();
        }
        while let Some((node, timer)) = self.peers.pop_due(now) {
            self.on_peer_timer(io, node, timer);
        }
        while let Some(parts) = self.incoming.pop_late(now) {
            self.fail_late_parts(io, &parts);
        }
        for waiter in self.outgoing.take_late_waiters(now) {
            let text = "Timed out while waiting; the payment is still on its way";
            io.reply(waiter.request, Err(RequestError::new(RequestError::PAY_IN_PROGRESS, text)));
        }
        self.on_invoice_deadline(io);
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                NodeTimer::Retry { payment } => self.on_retry_over(io, payment),
                NodeTimer::WaitBlock { request } => {
                    self.block_waiters.remove(&request);
                    let text = "Timed out while waiting for the block";
                    io.reply(request, Err(RequestError::new(RequestError::WAIT_TIMEOUT, text)));
                }
                NodeTimer::Patience { request } => self.on_patience_over(io, request),
                NodeTimer::Verdict { request } => self.on_verdict_late(io, request),
                NodeTimer::OldPolicy { channel } => {
                    self.old_policies.remove(&channel);
                }
            }
        }
    }

    /// Works with one channel; what it tells is worked off before the step ends.
    pub(crate) fn with_channel<R>(
        &mut self,
        io: &mut Io<'_>,
        key: ChannelKey,
        work: impl FnOnce(&mut Channel, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let channel = self.channels.get_mut(&key)?;
        let mut cx = lend!(self, io);
        let result = work(channel, &mut cx);
        if channel.is_dirty() {
            self.dirty.insert(key);
        }
        Some(result)
    }

    /// Works with one opening.
    pub(crate) fn with_opening<R>(
        &mut self,
        io: &mut Io<'_>,
        key: ChannelKey,
        work: impl FnOnce(&mut Opening, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let pending = self.openings.get_mut(&key)?;
        let mut cx = lend!(self, io);
        Some(work(&mut pending.opening, &mut cx))
    }

    fn on_request_gone(&mut self, id: RequestId) {
        self.outgoing.forget_request(id);
        self.invoices.forget_request(id);
        self.block_waiters.remove(&id);
        self.list_waiters.remove(&id);
        self.timers.clear(NodeTimer::WaitBlock { request: id });
        self.forget_verdict_waiter(id);
        self.queries.retain(|_, query| query.request() != Some(id));
    }

    fn on_chain(&mut self, io: &mut Io<'_>, event: ChainEvent<'_>) {
        match event {
            ChainEvent::Begin { tip } => self.on_begin(io, tip),
            ChainEvent::BlockConnected { tip, time_s: _, matches } => self.on_block(io, tip, matches),
            ChainEvent::BlockDisconnected { tip } => self.on_block_gone(io, tip),
            ChainEvent::Synced { height } => self.on_synced(io, height),
            ChainEvent::Feerates(feerates) => self.on_feerates(io, feerates),
            ChainEvent::Broadcast { txid, outcome } => self.on_broadcast(io, txid, &outcome),
            ChainEvent::Up => self.on_backend(io, Backend::Up),
            ChainEvent::Down { reason } => self.on_backend(io, Backend::Down { reason }),
        }
    }
}
