//! Connections: how they begin and end, and what travels over them.

use leyden_core::event::{Cut, Direction, Event};
use leyden_core::ids::{ConnId, DialId, NodeId};
use leyden_core::transport::{Ephemeral, Incoming, Lane, Transport};

use super::World;
use super::faults::{Act, Place, Trigger};
use super::node::{Happening, NodeKey};
use super::staged::Staged;
use crate::draw::Domain;
use crate::net::{End, EndState, Link, NodeIndex, Parcel, WINDOW_BYTES, Wire};

/// How long a call takes to fail that nobody answers.
const UNANSWERED_MS: u64 = 5_000;

/// What a connection is called by both of its ends.
pub(super) fn conn_of(link: u32) -> ConnId {
    ConnId { slot: link, generation: 0 }
}

impl World {
    pub(super) fn links_between(&self, a: NodeIndex, b: NodeIndex) -> Vec<u32> {
        let own = self.nodes[a].links.iter().copied();
        own.filter(|link| self.links[link].joins(a, b)).collect()
    }

    /// A node dials.
    pub(super) fn dial(
        &mut self,
        node: NodeIndex,
        dial: DialId,
        peer: NodeId,
        address: &leyden_core::address::NetAddr,
    ) {
        let called = (0..self.nodes.len()).find(|other| self.nodes[*other].id == peer);
        *self.dials.entry((node, called.unwrap_or(node))).or_default() += 1;
        if let Some(other) = self.node_at(address).filter(|other| self.proxyless.contains(other)) {
            // Nobody answers for an onion service that is gone: its callers learn that from their own patience.
            let is_own = self.proxyless.contains(&node) || other == node;
            let after_ms = if is_own { self.latency_ms } else { UNANSWERED_MS };
            return self.push(node, after_ms, Happening::DialFailed { dial });
        }
        if self.proxyless.contains(&node) {
            return self.push(node, self.latency_ms, Happening::DialFailed { dial });
        }
        let found = self.node_at(address).filter(|other| *other != node && !self.nodes[*other].is_off);
        let other = found.filter(|other| !self.parted.contains(&(node.min(*other), node.max(*other))));
        let Some(other) = other.filter(|other| self.wire == Wire::Bytes || self.nodes[*other].id == peer) else {
            return self.push(node, self.latency_ms, Happening::DialFailed { dial });
        };
        let link = self.next_link;
        self.next_link += 1;
        let end = |node: NodeIndex, transport| End {
            node,
            life: self.nodes[node].life,
            state: EndState::Opening,
            arrives_ms: 0,
            sent: 0,
            reads: 0,
            transport,
            under_way: 0,
            is_full: false,
        };
        let mut ends = [end(node, None), end(other, None)];
        if self.wire == Wire::Bytes {
            let public = peer.parse().expect("whoever is dialled has a real key");
            let ephemeral = self.ephemeral(link, 0);
            let own_pool = &mut self.nodes[node].pool;
            ends[0].transport = Some(Box::new(Transport::initiator(&public, ephemeral, own_pool)));
            ends[1].transport = Some(Box::new(Transport::responder(self.ephemeral(link, 1))));
        }
        let (latency_ms, jitter_ms) = (self.latency_ms, self.jitter_ms);
        self.links.insert(link, Link { ends, dial, latency_ms, jitter_ms, bytes_per_ms: 0, stalled_until_ms: 0 });
        self.nodes[node].links.insert(link);
        self.nodes[other].links.insert(link);
        match self.wire {
            Wire::Messages => {
                let outbound = Happening::Connected { link, direction: Direction::Outbound { dial } };
                let at_ms = self.arrival(link, 1, 0);
                self.push_at(node, at_ms, outbound);
                let inbound = Happening::Connected { link, direction: Direction::Inbound { listener: 0 } };
                let at_ms = self.arrival(link, 0, 0);
                self.push_at(other, at_ms, inbound);
            }
            Wire::Bytes => self.pump(link, 0),
        }
    }

    fn ephemeral(&self, link: u32, end: u64) -> Ephemeral {
        let mut secrets = (0..).map(|count| self.draw.bytes(Domain::Ephemeral, u64::from(link), count * 2 + end));
        secrets.find_map(Ephemeral::new).expect("nearly every number is a key")
    }

    /// When something arrives that leaves now.
    fn arrival(&mut self, link: u32, from: usize, bytes: usize) -> u64 {
        let Link { ends, latency_ms, jitter_ms, bytes_per_ms, stalled_until_ms, .. } =
            self.links.get_mut(&link).expect("only what exists is sent over");
        let end = &mut ends[from];
        end.sent += 1;
        let jitter_ms = match *jitter_ms {
            0 => 0,
            jitter_ms => {
                let who = u64::from(link) * 2 + from as u64;
                self.draw.below(Domain::Jitter, who, end.sent, jitter_ms + 1)
            }
        };
        let transfer_ms = (bytes as u64).checked_div(*bytes_per_ms).unwrap_or(0);
        let late_ms = self.nodes[end.node].busy_until_ms.max(self.now_ms) + *latency_ms + jitter_ms;
        end.arrives_ms = late_ms.max(*stalled_until_ms).max(end.arrives_ms) + transfer_ms;
        end.arrives_ms
    }

    /// A node has said something to a peer. What waits for this message strikes here. True: the sender goes down.
    pub(super) fn send(&mut self, node: NodeIndex, conn: ConnId, mut message: Vec<u8>) -> bool {
        let link = conn.slot;
        let Some(known) = self.links.get(&link) else { return false };
        let from = known.end_of(node);
        let other = known.ends[1 - from].node;
        if known.ends[from].state != EndState::Open {
            return false;
        }
        if !matches!(message.get(..2), Some([0, 18 | 19])) {
            self.news_ms = self.now_ms;
        }
        if self.observed {
            let now_ms = self.now_ms;
            self.checks.on_message(now_ms, link, node, other, &message);
        }
        let trigger = if self.triggers.is_empty() { None } else { self.triggered(node, other, &message) };
        if trigger.is_none() && self.habits.contains_key(&node) {
            for message in self.mouth(node, link, message) {
                // A flood may be more than the other end takes.
                if self.links.get(&link).is_some_and(|known| known.ends[from].state == EndState::Open) {
                    self.post(link, from, &message);
                }
            }
            return false;
        }
        let Some(Trigger { place, act, .. }) = trigger else {
            match self.wire {
                Wire::Messages => self.ship(link, from, Parcel::Message(message)),
                Wire::Bytes => self.post(link, from, &message),
            }
            return false;
        };
        self.tell_story(format_args!("{node} > {other}: {act:?}, {place:?} a message"));
        match &act {
            Act::Drop => {}
            Act::Ahead(message_type) => {
                if let Some(again) = self.checks.last_said(node, other, *message_type) {
                    self.post(link, from, &again);
                }
                self.post(link, from, &message);
            }
            Act::Twice => {
                self.post(link, from, &message);
                self.post(link, from, &message);
            }
            Act::Replace(bytes) => self.post(link, from, bytes),
            Act::Spoil(from_end) => {
                if let Some(at) = message.len().checked_sub(1 + from_end) {
                    message[at] ^= 1;
                }
                self.post(link, from, &message);
            }
            Act::Stall(ms) => {
                let until_ms = self.now_ms + ms;
                let known = self.links.get_mut(&link).expect("it is known");
                known.stalled_until_ms = known.stalled_until_ms.max(until_ms);
                self.post(link, from, &message);
            }
            Act::Cut | Act::CrashSender | Act::CrashReceiver => match place {
                Place::Before => {}
                Place::Inside => self.post_half(link, from, &message),
                Place::After => self.post(link, from, &message),
            },
        }
        match act {
            Act::Cut => {
                // What was on its way from here arrives first; what was on its way to here is lost.
                self.lose_later(link, from);
                self.lose(link, from, Cut::Peer);
            }
            Act::CrashReceiver => {
                let at_ms = self.links[&link].ends[from].arrives_ms;
                self.push_at(other, at_ms, Happening::Crash);
            }
            _ => {}
        }
        act == Act::CrashSender
    }

    /// A message leaves one end for the other.
    pub(super) fn post(&mut self, link: u32, from: usize, message: &[u8]) {
        match self.wire {
            Wire::Messages => self.ship(link, from, Parcel::Message(message.to_vec())),
            Wire::Bytes => {
                if self.stage(link, from, message) {
                    self.pump(link, from);
                }
            }
        }
    }

    /// The first half of a message leaves, and nothing else ever.
    fn post_half(&mut self, link: u32, from: usize, message: &[u8]) {
        if self.wire == Wire::Bytes && self.stage(link, from, message) {
            let end = &mut self.links.get_mut(&link).expect("it was just staged").ends[from];
            let waiting = end.transport.as_ref().expect("bytes travel by a transport").writable();
            let half = waiting[..waiting.len() / 2].to_vec();
            end.under_way += half.len();
            self.ship(link, from, Parcel::Bytes(half));
        }
    }

    /// Seals a message into the fixed write buffer; false if the peer takes so little that it does not fit.
    fn stage(&mut self, link: u32, from: usize, message: &[u8]) -> bool {
        let end = &mut self.links.get_mut(&link).expect("only what exists is sent over").ends[from];
        let pool = &mut self.nodes[end.node].pool;
        let transport = end.transport.as_mut().expect("bytes travel by a transport");
        let fits = transport.stage(Lane::Channel, message, pool).is_ok();
        transport.release();
        if !fits {
            self.lose_later(link, from);
            self.lose(link, from, Cut::Overflow);
        }
        fits
    }

    /// Moves as many bytes as the window takes.
    pub(super) fn pump(&mut self, link: u32, from: usize) {
        loop {
            let Some(known) = self.links.get_mut(&link) else { return };
            let end = &mut known.ends[from];
            let Some(transport) = &mut end.transport else { return };
            let room = WINDOW_BYTES - end.under_way;
            let waiting = transport.writable();
            let bytes = waiting[..waiting.len().min(room)].to_vec();
            end.is_full = waiting.len() > room;
            if bytes.is_empty() {
                return;
            }
            end.under_way += bytes.len();
            transport.wrote(bytes.len(), &mut self.nodes[end.node].pool);
            self.ship(link, from, Parcel::Bytes(bytes));
        }
    }

    /// The other side has taken bytes: the window opens.
    pub(super) fn drained(&mut self, link: u32, end: usize, bytes: usize) -> Option<u32> {
        let known = &mut self.links.get_mut(&link)?.ends[end];
        known.under_way -= bytes;
        let was_full = known.is_full;
        self.pump(link, end);
        let known = &self.links.get(&link)?.ends[end];
        let transport = known.transport.as_ref()?;
        (was_full && !known.is_full && known.state == EndState::Open).then(|| transport.free() as u32)
    }

    fn ship(&mut self, link: u32, from: usize, parcel: Parcel) {
        let bytes = match &parcel {
            Parcel::Message(bytes) | Parcel::Bytes(bytes) => bytes.len(),
            Parcel::End(_) => 0,
        };
        let at_ms = self.arrival(link, from, bytes);
        let to = &self.links[&link].ends[1 - from];
        if to.state == EndState::Closed || self.nodes[to.node].life != to.life {
            return;
        }
        let node = to.node;
        self.push_at(node, at_ms, Happening::Parcel { link, parcel });
    }

    /// One end learns at once that its connection is gone.
    pub(super) fn lose(&mut self, link: u32, end: usize, reason: Cut) {
        let Some(known) = self.links.get(&link) else { return };
        let (dial, End { node, life, state, .. }) = (known.dial, &known.ends[end]);
        let (node, life, state) = (*node, *life, *state);
        if state == EndState::Closed || self.nodes[node].life != life {
            return;
        }
        self.close_end(link, end);
        match (state, end) {
            // Whoever dialled waits for an answer; whoever was dialled knows of nothing.
            (EndState::Opening, 0) => self.push(node, 0, Happening::DialFailed { dial }),
            (EndState::Opening, _) => {}
            _ => self.push(node, 0, Happening::Disconnected { link, reason }),
        }
    }

    /// The other end still gets what was sent before, and then learns of the end.
    pub(super) fn lose_later(&mut self, link: u32, from: usize) {
        self.ship(link, from, Parcel::End(Cut::Peer));
    }

    /// Nothing comes to this end any more. A connection without ends is gone.
    pub(super) fn close_end(&mut self, link: u32, end: usize) {
        let known = self.links.get_mut(&link).expect("only what exists is closed");
        known.ends[end].state = EndState::Closed;
        let node = known.ends[end].node;
        if let Some(transport) = known.ends[end].transport.take()
            && self.nodes[node].life == known.ends[end].life
        {
            transport.close(&mut self.nodes[node].pool);
        }
        if known.ends.iter().all(|end| end.state == EndState::Closed) {
            self.links.remove(&link);
        }
        self.nodes[node].links.remove(&link);
    }

    /// Bytes have come for a node: whatever they amount to is stepped, read by read.
    pub(super) fn take_bytes(&mut self, node: NodeIndex, link: u32, bytes: &[u8], staged: &mut Staged) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let end = known.end_of(node);
        let Some(mut transport) = known.ends[end].transport.take() else { return };
        let who = u64::from(link) * 2 + end as u64;
        let mut rest = bytes;
        let mut failed = None;
        while !rest.is_empty() && failed.is_none() {
            let own = &mut self.links.get_mut(&link).expect("its bytes are being read").ends[end];
            own.reads += 1;
            let size = 1 + self.draw.below(Domain::Pieces, who, own.reads, rest.len() as u64) as usize;
            let (piece, behind) = rest.split_at(size);
            rest = behind;
            failed = self.take_piece(node, link, &mut transport, piece, staged).err();
        }
        let Some(known) = self.links.get_mut(&link) else { return };
        known.ends[end].transport = Some(transport);
        match failed {
            Some(reason) => {
                self.lose_later(link, end);
                self.lose(link, end, reason);
            }
            None => {
                self.pump(link, end);
                if let Some(free) = self.drained(link, 1 - end, bytes.len()) {
                    let other = self.links[&link].ends[1 - end].node;
                    self.push(other, 0, Happening::WriteSpace { link, free });
                }
            }
        }
    }

    fn take_piece(
        &mut self,
        node: NodeIndex,
        link: u32,
        transport: &mut Transport,
        mut piece: &[u8],
        staged: &mut Staged,
    ) -> Result<(), Cut> {
        let now_ms = self.now_ms;
        let mut input = transport.begin_read(&mut self.nodes[node].pool);
        let result = loop {
            let own = &mut self.nodes[node];
            let clock = own.clock(now_ms);
            let public = own.id.parse().expect("our own id is a point");
            let mut key = NodeKey { signer: &mut own.signer, public };
            match transport.next(&mut input, &mut key, &mut own.pool) {
                Ok(Some(Incoming::Message(message))) => {
                    self.counts.messages += 1;
                    self.checks.on_heard(link, node);
                    let event = Event::Received { conn: conn_of(link), message };
                    own.take(clock, Some(event), staged);
                }
                Ok(Some(Incoming::Established { remote })) => {
                    let known = self.links.get_mut(&link).expect("its bytes are being read");
                    let end = known.end_of(node);
                    let other = known.ends[1 - end].node;
                    known.ends[end].state = EndState::Open;
                    let direction = match end {
                        0 => Direction::Outbound { dial: known.dial },
                        _ => Direction::Inbound { listener: 0 },
                    };
                    let address = self.address_of(other);
                    let own = &mut self.nodes[node];
                    let event = Event::Connected { conn: conn_of(link), peer: remote.into(), direction, address };
                    own.take(clock, Some(event), staged);
                }
                Ok(None) if piece.is_empty() => break Ok(()),
                Ok(None) => piece = &piece[input.append(piece)..],
                Err(error) => break Err(Cut::Crypto(error.to_string())),
            }
            self.counts.events += 1;
        };
        transport.end_read(input, &mut self.nodes[node].pool);
        result
    }
}
