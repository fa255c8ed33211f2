//! A turn: what has come is taken in, what is due is done, what was written is kept, and then the world sees it.

use std::rc::Rc;
use std::sync::Arc;

use leyden_core::chain::Tip;
use leyden_core::clock::Clock;
use leyden_core::event::{BroadcastOutcome, ChainEvent, Cut, Event, Match};
use leyden_core::ids::BlockHeight;
use leyden_core::mutation::{Mutation, is_active};
use leyden_core::store::{Row, encode_into};

use super::World;
use super::faults::CrashPoint;
use super::network::conn_of;
use super::node::{Backend, Due, Happening};
use super::staged::{Effect, OwnWatch, Staged};
use crate::chain::{BlockIndex, Refused};
use crate::check::is_commitment;
use crate::disk::Write;
use crate::net::{EndState, NodeIndex, Parcel};

/// A node whose deadline is never dealt with stands still.
const DEADLINES_PER_TURN_MAX: u32 = 100;
/// Every node looks at each transaction of a block that has no more.
const SMALL_BLOCK_TXS: usize = 32;
/// So many large blocks are kept for nodes that are told of them later.
const LARGE_BLOCKS: usize = 4;

impl World {
    /// What has come for a node at this moment, and the deadlines that are due, are one turn.
    pub(super) fn turn(&mut self, node: NodeIndex) {
        self.thaw(node);
        let at = self.now_ms;
        let mut staged = std::mem::take(&mut self.staged);
        staged.listens = self.observed;
        let mut goes_down = false;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > at || entry.get().node != node || goes_down {
                break;
            }
            let Due { life, what, .. } = entry.remove();
            if life == self.nodes[node].life && !self.nodes[node].is_off {
                goes_down = matches!(what, Happening::Crash);
                self.step(node, what, &mut staged);
            }
        }
        if self.nodes[node].is_off {
            self.lay_by(staged);
            return;
        }
        let own = &mut self.nodes[node];
        let clock = own.clock(at);
        let mut rounds = 0;
        while own.node.next_deadline().is_some_and(|due| due <= clock.mono) {
            own.take(clock, Some(Event::Deadline), &mut staged);
            self.counts.events += 1;
            rounds += 1;
            assert!(rounds < DEADLINES_PER_TURN_MAX, "node {node} does not deal with its deadline");
        }
        if self.observed {
            own.node.check();
        }
        self.end_turn(node, &mut staged);
        self.lay_by(staged);
        if goes_down && !self.nodes[node].is_off {
            self.crash(node);
        }
    }

    /// Keeps the memory of a turn for the next one.
    fn lay_by(&mut self, mut staged: Staged) {
        staged.clear();
        self.staged = staged;
    }

    fn step(&mut self, node: NodeIndex, what: Happening, staged: &mut Staged) {
        let own = &mut self.nodes[node];
        let clock = own.clock(self.now_ms);
        self.counts.events += 1;
        let height = own.node.tip().map_or(BlockHeight(0), |tip| tip.height);
        let mut step = |event: Event<'_>| own.take(clock, Some(event), staged);
        match what {
            Happening::Connected { link, direction } => {
                let Some(known) = self.links.get_mut(&link) else { return };
                let end = known.end_of(node);
                if known.ends[end].state != EndState::Opening {
                    return;
                }
                known.ends[end].state = EndState::Open;
                let other = known.ends[1 - end].node;
                let (peer, address) = (self.nodes[other].id, self.address_of(other));
                let own = &mut self.nodes[node];
                let event = Event::Connected { conn: conn_of(link), peer, direction, address };
                own.take(clock, Some(event), staged);
            }
            Happening::DialFailed { dial } => step(Event::DialFailed { dial, reason: "nobody there".into() }),
            Happening::Parcel { link, parcel } => {
                let Some(known) = self.links.get(&link) else { return };
                let end = known.end_of(node);
                match (parcel, known.ends[end].state) {
                    (Parcel::Message(message), EndState::Open) => {
                        self.counts.messages += 1;
                        self.checks.on_heard(link, node);
                        step(Event::Received { conn: conn_of(link), message: &message });
                    }
                    (Parcel::Bytes(bytes), EndState::Opening | EndState::Open) => {
                        self.take_bytes(node, link, &bytes, staged);
                    }
                    (Parcel::End(reason), _) => {
                        self.lose_later(link, end);
                        self.lose(link, end, reason);
                    }
                    // The connection is over, or was never told of.
                    (Parcel::Message(_) | Parcel::Bytes(_), _) => {}
                }
            }
            Happening::WriteSpace { link, free } => step(Event::WriteSpace { conn: conn_of(link), free }),
            Happening::Disconnected { link, reason } => step(Event::Disconnected { conn: conn_of(link), reason }),
            // The turn that it ends sees to it.
            Happening::Crash => {}
            Happening::Up => step(Event::Chain(ChainEvent::Up)),
            Happening::Down(reason) => step(Event::Chain(ChainEvent::Down { reason: reason.into() })),
            Happening::Begin(tip) => step(Event::Chain(ChainEvent::Begin { tip })),
            Happening::Block(tip) => self.step_block(node, clock, tip, staged),
            Happening::Unblock(tip) => step(Event::Chain(ChainEvent::BlockDisconnected { tip })),
            Happening::Synced => step(Event::Chain(ChainEvent::Synced { height })),
            Happening::Feerates(feerates) => step(Event::Chain(ChainEvent::Feerates(feerates))),
            Happening::Broadcast(txid, outcome) => step(Event::Chain(ChainEvent::Broadcast { txid, outcome })),
            Happening::Request(id, request) => step(Event::Request { id, request: *request }),
            Happening::Loaded(query, table, rows) => {
                let rows: Vec<Row<'_>> = rows.iter().map(|(key, value)| Row { table, key, value }).collect();
                step(Event::Loaded { query, rows: &rows });
            }
        }
        self.take_watches(node, staged);
    }

    fn step_block(&mut self, node: NodeIndex, clock: Clock, tip: Tip, staged: &mut Staged) {
        let large = self.large_block(tip);
        let block = self.chain.block_by_hash(&tip.hash).expect("a block that was mined");
        let own = &mut self.nodes[node];
        let filter = &own.filter;
        let matches: Vec<Match<'_>> = match large {
            Some(index) => {
                let wanted = filter.wanted(&index).into_iter();
                wanted.map(|index| Match { index, tx: &block.txs[index as usize] }).collect()
            }
            None => {
                let wanted = (0..).zip(&block.txs).filter(|(_, tx)| filter.matches(tx));
                wanted.map(|(index, tx)| Match { index, tx }).collect()
            }
        };
        let time_s = (clock.wall.0 / 1000) as u32;
        let event = ChainEvent::BlockConnected { tip: block.tip, time_s, matches: &matches };
        own.take(clock, Some(Event::Chain(event)), staged);
    }

    /// A large block's index: it is made once for all nodes.
    fn large_block(&mut self, tip: Tip) -> Option<Rc<BlockIndex>> {
        let block = self.chain.block_by_hash(&tip.hash).expect("a block that was mined");
        if block.txs.len() <= SMALL_BLOCK_TXS {
            return None;
        }
        if let Some(known) = self.large_blocks.iter().find(|known| known.block().tip == tip) {
            return Some(Rc::clone(known));
        }
        let index = Rc::new(BlockIndex::new(Arc::clone(block)));
        if self.large_blocks.len() == LARGE_BLOCKS {
            self.large_blocks.pop_front();
        }
        self.large_blocks.push_back(Rc::clone(&index));
        Some(index)
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

    /// Is this the turn in which the node ends?
    fn crash_of_turn(&mut self, node: NodeIndex) -> Option<CrashPoint> {
        let plan = self.nodes[node].crash.as_mut()?;
        match plan.turn.checked_sub(1) {
            Some(left) => {
                plan.turn = left;
                None
            }
            None => self.nodes[node].crash.take().map(|plan| plan.point),
        }
    }

    pub(super) fn end_turn(&mut self, node: NodeIndex, staged: &mut Staged) {
        self.take_watches(node, staged);
        for (level, note) in staged.notes.drain(..) {
            self.checks.on_note(self.now_ms, node, level, &note);
            self.tell_story(format_args!("{node} {note}"));
        }
        let mut crash = None;
        if !staged.writes.is_empty() {
            self.nodes[node].writing_turns += 1;
            self.news_ms = self.now_ms;
            self.counts.commits += 1;
            crash = self.crash_of_turn(node);
            let own = &mut self.nodes[node];
            if own.commit_ms > 0 {
                own.busy_until_ms = self.now_ms + own.commit_ms;
            }
        }
        if let Some(point) = crash {
            self.tell_story(format_args!("{node} crashes: {point:?}"));
        }
        self.nodes[node].end_recorded_turn(crash != Some(CrashPoint::BeforeCommit));
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
        let is_late = is_active(Mutation::PersistAfterSend);
        if !is_late {
            self.nodes[node].disk.commit(staged.writes.drain(..));
        }
        if crash == Some(CrashPoint::AfterCommit) {
            return self.crash(node);
        }
        let count = staged.effects.len();
        let said = if crash == Some(CrashPoint::AmidEffects) { count / 2 } else { count };
        for effect in staged.effects.drain(..said) {
            if self.effect(node, effect) {
                return self.crash(node);
            }
        }
        if crash == Some(CrashPoint::AmidEffects) {
            return self.crash(node);
        }
        if is_late {
            self.nodes[node].disk.commit(staged.writes.drain(..));
        }
        if crash.is_some() {
            return self.crash(node);
        }
        self.see_deadline(node);
    }

    /// One thing takes effect. True: the node ends with it.
    fn effect(&mut self, node: NodeIndex, effect: Effect) -> bool {
        self.hash(b"e");
        self.hash(&(node as u32).to_be_bytes());
        match effect {
            Effect::Send(conn, message) => {
                self.hash(&message);
                return self.send(node, conn, message);
            }
            Effect::Disconnect(conn, reason) => {
                let link = conn.slot;
                if let Some(known) = self.links.get(&link) {
                    let end = known.end_of(node);
                    let other = known.ends[1 - end].node;
                    self.checks.on_cut(self.now_ms, link, node, other, &reason);
                    self.lose_later(link, end);
                    self.lose(link, end, Cut::Ours);
                }
            }
            Effect::Dial(dial, peer, address) => self.dial(node, dial, peer, &address),
            Effect::Load(query, table, range, limit) => {
                let rows = self.nodes[node].disk.load(table, &range, limit as usize);
                self.push(node, 0, Happening::Loaded(query, table, rows));
            }
            Effect::Broadcast(tx, purpose) => {
                let txid = tx.compute_txid();
                self.hash(txid.as_raw_hash().as_ref());
                if self.observed {
                    self.checks.on_broadcast(self.now_ms, node, &tx, &purpose);
                }
                if self.nodes[node].backend == Backend::Silent {
                    self.push(node, 1, Happening::Broadcast(txid, BroadcastOutcome::Unreachable));
                    return false;
                }
                let outcome = match self.chain.broadcast(&tx) {
                    Ok(()) => BroadcastOutcome::Accepted,
                    Err(why) => {
                        let reason = format!("{why:?}");
                        self.tell_story(format_args!("{node} refused {purpose}: {reason}"));
                        // What others have bidden up since it was made is nobody's fault.
                        let is_outbid = match &why {
                            Refused::MempoolMinFee { .. } => self.is_crowded,
                            // The other end has closed with a commitment of its own that pays as much.
                            Refused::InsufficientFee { .. } => is_commitment(&tx),
                            _ => false,
                        };
                        if !is_outbid {
                            self.refused.push((node, purpose, why));
                        }
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
                self.news_ms = self.now_ms;
                self.replies.insert(id, *reply);
            }
        }
        false
    }
}
