//! What one process of one node took in and did, as far as a story can tell it again.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use leyden_core::chain::Feerates;
use leyden_core::clock::Clock;
use leyden_core::command::Command;
use leyden_core::event::{ChainEvent, Cut, Direction, Event};
use leyden_core::ids::{ChannelId, ConnId, NodeId, RequestId};
use leyden_core::recording::{Digester, RecordedEvent};
use leyden_core::request::{Request, RequestError, Response};
use leyden_core::wire::{Message, UpdateAddHtlc};

use super::super::engine::{At, Step, Watcher};
use super::super::text;

/// A clock that moves by more against the time that has passed has been set.
const JUMP_MS: i64 = 200;

/// A message at one of its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) at_ms: i64,
    pub(super) turn: u64,
    pub(super) message_type: u16,
    /// The same at both ends.
    pub(super) hash: u64,
}

/// A connection as one of its ends saw it.
#[derive(Clone, Debug)]
pub(super) struct LinkEnd {
    pub(super) peer: NodeId,
    /// `None`: it was there before the recording began.
    pub(super) is_outbound: Option<bool>,
    pub(super) opened_ms: i64,
    /// When it ended for this end, if it did while this process lived.
    pub(super) closed_ms: Option<i64>,
    /// This end has ended it.
    pub(super) is_ours: bool,
    pub(super) sent: Vec<Said>,
    pub(super) received: Vec<Said>,
}

/// An HTLC that came or went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Add {
    pub(super) at_ms: i64,
    pub(super) peer: NodeId,
    pub(super) is_sent: bool,
    pub(super) channel: ChannelId,
    pub(super) id: u64,
    pub(super) hash: leyden_core::ids::PaymentHash,
    pub(super) amount_msat: u64,
}

/// Something that a story may tell again, but for connections and HTLCs.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Request(RequestId, Box<Request>),
    Reply(RequestId, Box<Result<Response, RequestError>>),
    Block(BlockHash, u32),
    Unblock(BlockHash, u32),
    Synced,
    Feerates(Feerates),
    ChainUp,
    ChainDown,
    /// The clock is so far ahead from now on.
    Clock(i64),
    /// A peer that has not recorded opens a channel.
    Opening(NodeId, u64, u64),
}

/// What one process of one node took in and did.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) node: usize,
    /// Its first and its last turn.
    pub(super) started_ms: i64,
    pub(super) ended_ms: i64,
    pub(super) last_turn: u64,
    /// It has its first step: the process began here, and not only what is left of its recording.
    pub(super) is_whole: bool,
    /// Nothing of it was written but that it began.
    pub(super) is_lost: bool,
    /// The operator ended it.
    pub(super) is_stopped: bool,
    pub(super) deeds: Vec<(i64, Deed)>,
    pub(super) links: Vec<LinkEnd>,
    pub(super) adds: Vec<Add>,
    /// HTLCs whose end was said, by this node or to it: channel, id, whether this node said it, and whether it is paid.
    pub(super) removed: Vec<(ChannelId, u64, bool, bool)>,
    open: BTreeMap<ConnId, usize>,
    /// Wall time less the time since the process began, and the same at its first turn.
    base_ms: Option<(i64, i64)>,
    now_ms: i64,
    turns: u64,
}

/// Times of whatever recording, so that they can be added and subtracted.
fn read(clock: Clock) -> (i64, i64) {
    const LATEST_MS: u64 = 1 << 50;
    (clock.mono.0.min(LATEST_MS) as i64, clock.wall.0.min(LATEST_MS) as i64)
}

impl Life {
    /// One that has not begun.
    pub(super) fn new(node: usize) -> Life {
        let (open, deeds, links, adds, removed) = Default::default();
        let (started_ms, ended_ms, last_turn, is_whole, is_lost, is_stopped, base_ms, now_ms, turns) =
            Default::default();
        Life {
            node,
            started_ms,
            ended_ms,
            last_turn,
            is_whole,
            is_lost,
            is_stopped,
            deeds,
            links,
            adds,
            removed,
            open,
            base_ms,
            now_ms,
            turns,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns == 0 && !self.is_lost
    }

    /// A process of which only the beginning is known.
    pub(super) fn never_told(&mut self, clock: Clock) {
        (_, self.started_ms) = read(clock);
        self.ended_ms = self.started_ms;
        (self.is_whole, self.is_lost) = (true, true);
    }

    /// All its times, by so much later.
    pub(super) fn shift(&mut self, by_ms: i64) {
        self.started_ms += by_ms;
        self.ended_ms += by_ms;
        self.deeds.iter_mut().for_each(|(at_ms, _)| *at_ms += by_ms);
        self.adds.iter_mut().for_each(|add| add.at_ms += by_ms);
        for link in &mut self.links {
            link.opened_ms += by_ms;
            link.closed_ms = link.closed_ms.map(|at_ms| at_ms + by_ms);
            link.sent.iter_mut().chain(&mut link.received).for_each(|said| said.at_ms += by_ms);
        }
    }

    fn deed(&mut self, deed: Deed) {
        self.deeds.push((self.now_ms, deed));
    }

    fn said(&self, turn: u64, bytes: &[u8]) -> Said {
        let mut digester = Digester::default();
        digester.bytes(bytes);
        let message_type = bytes.get(..2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
        Said { at_ms: self.now_ms, turn, message_type, hash: digester.finish() }
    }

    fn link(&mut self, conn: ConnId) -> Option<&mut LinkEnd> {
        let at = *self.open.get(&conn)?;
        self.links.get_mut(at)
    }

    /// What can be read from a message beside that it was said.
    fn read(&mut self, peer: NodeId, is_sent: bool, message: &Message<'_>) {
        match message {
            Message::UpdateAddHtlc(UpdateAddHtlc { channel_id, id, amount_msat, payment_hash, .. }) => {
                let (channel, hash, at_ms) = (*channel_id, *payment_hash, self.now_ms);
                let (id, amount_msat) = (*id, amount_msat.0);
                self.adds.push(Add { at_ms, peer, is_sent, channel, id, hash, amount_msat });
            }
            Message::UpdateFulfillHtlc(end) => self.removed.push((end.channel_id, end.id, is_sent, true)),
            Message::UpdateFailHtlc(end) => self.removed.push((end.channel_id, end.id, is_sent, false)),
            Message::UpdateFailMalformedHtlc(end) => self.removed.push((end.channel_id, end.id, is_sent, false)),
            Message::OpenChannel(open) if !is_sent => {
                self.deed(Deed::Opening(peer, open.funding_satoshis.0, open.push_msat.0));
            }
            _ => {}
        }
    }

    /// The clock's reading becomes a time that no setting of the clock disturbs.
    fn read_clock(&mut self, step: &Step<'_>) {
        let (mono_ms, wall_ms) = read(step.clock);
        let base_ms = wall_ms - mono_ms;
        let (first_ms, last_ms) = *self.base_ms.get_or_insert((base_ms, base_ms));
        self.now_ms = first_ms + mono_ms;
        if self.turns == 0 {
            self.started_ms = self.now_ms;
        }
        if (base_ms - last_ms).abs() > JUMP_MS {
            self.base_ms = Some((first_ms, base_ms));
            self.deed(Deed::Clock(base_ms - first_ms));
        }
        self.turns += 1;
        self.ended_ms = self.now_ms;
        self.last_turn = step.at.turn;
    }

    /// How far the clock was set ahead when it ended, against its beginning.
    pub(super) fn jumped_ms(&self) -> i64 {
        self.base_ms.map_or(0, |(first_ms, last_ms)| last_ms - first_ms)
    }

    /// In earlier lives the node's clock was set so far ahead.
    pub(super) fn set_ahead(&mut self, ahead_ms: i64) {
        self.shift(-ahead_ms);
        for (_, deed) in &mut self.deeds {
            if let Deed::Clock(so_far_ms) = deed {
                *so_far_ms += ahead_ms;
            }
        }
    }

    /// Connections that are there already.
    pub(super) fn connections(&mut self, known: &[(ConnId, NodeId)], clock: Clock) {
        let (mono_ms, wall_ms) = read(clock);
        let first_ms = self.base_ms.map_or(wall_ms, |(first_ms, _)| first_ms + mono_ms);
        for (conn, peer) in known {
            if !self.open.contains_key(conn) {
                self.connect(*conn, *peer, None, first_ms);
            }
        }
    }

    fn connect(&mut self, conn: ConnId, peer: NodeId, is_outbound: Option<bool>, opened_ms: i64) {
        self.open.insert(conn, self.links.len());
        let (sent, received) = Default::default();
        let link = LinkEnd { peer, is_outbound, opened_ms, closed_ms: None, is_ours: false, sent, received };
        self.links.push(link);
    }
}

impl Watcher for Life {
    fn step(&mut self, step: &Step<'_>) {
        self.read_clock(step);
        match step.event {
            RecordedEvent::Start => self.is_whole = true,
            RecordedEvent::Block { tip, .. } => self.deed(Deed::Block(tip.hash, tip.height.0)),
            RecordedEvent::Loaded { .. } => {}
            RecordedEvent::Plain(event) => self.take(step.at.turn, event),
        }
    }

    fn command(&mut self, at: At, command: &Command<'_>) {
        match command {
            Command::Send { conn, message } => {
                let said = self.said(at.turn, &text::message_bytes(message));
                let Some(link) = self.link(*conn) else { return };
                link.sent.push(said);
                let peer = link.peer;
                self.read(peer, true, message);
            }
            Command::Disconnect { conn, .. } => {
                let now_ms = self.now_ms;
                if let Some(link) = self.link(*conn) {
                    link.is_ours = true;
                    link.closed_ms.get_or_insert(now_ms);
                }
            }
            Command::Reply { id, result } => {
                let is_told = matches!(
                    result,
                    Err(_)
                        | Ok(Response::InvoiceCreated(_)
                            | Response::Paid(_)
                            | Response::XPaid(_)
                            | Response::SendPay(_))
                );
                if is_told {
                    self.deed(Deed::Reply(*id, Box::new((*result).clone())));
                }
            }
            Command::Stop => self.is_stopped = true,
            _ => {}
        }
    }
}

impl Life {
    fn take(&mut self, turn: u64, event: &Event<'_>) {
        match event {
            Event::Connected { conn, peer, direction, .. } => {
                let is_outbound = matches!(direction, Direction::Outbound { .. });
                self.connect(*conn, *peer, Some(is_outbound), self.now_ms);
            }
            Event::Received { conn, message } => {
                let said = self.said(turn, message);
                let Some(link) = self.link(*conn) else { return };
                link.received.push(said);
                let peer = link.peer;
                if let Ok(decoded) = Message::decode(message) {
                    self.read(peer, false, &decoded);
                }
            }
            Event::Disconnected { conn, reason } => {
                let now_ms = self.now_ms;
                if let Some(link) = self.link(*conn) {
                    link.is_ours |= matches!(reason, Cut::Ours | Cut::Replaced);
                    link.closed_ms.get_or_insert(now_ms);
                }
                self.open.remove(conn);
            }
            Event::Request { id, request } => self.deed(Deed::Request(*id, Box::new(request.clone()))),
            Event::Chain(event) => match event {
                ChainEvent::BlockDisconnected { tip } => self.deed(Deed::Unblock(tip.hash, tip.height.0)),
                ChainEvent::Synced { .. } => self.deed(Deed::Synced),
                ChainEvent::Feerates(feerates) => self.deed(Deed::Feerates(*feerates)),
                ChainEvent::Up => self.deed(Deed::ChainUp),
                ChainEvent::Down { .. } => self.deed(Deed::ChainDown),
                ChainEvent::Begin { tip } => self.deed(Deed::Block(tip.hash, tip.height.0)),
                ChainEvent::BlockConnected { .. } | ChainEvent::Broadcast { .. } => {}
            },
            _ => {}
        }
    }
}
