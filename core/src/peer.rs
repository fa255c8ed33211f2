//! Connections: who is here, whom we want here, and who has gone silent.
//!
//! One session per node. When a second one appears, [`Peers::admit`] says which of the two stays, in the same way at
//! both ends.

use std::collections::BTreeMap;

use crate::address::NetAddr;
use crate::clock::Mono;
use crate::event::Direction;
use crate::ids::{ConnId, DialId, NodeId, RequestId};
use crate::limits::{PEERS_MAX, STRANGERS_MAX, WRITE_BUFFER_SIZE};
use crate::mutation::{Mutation, is_active};
use crate::rng::Rng;
use crate::timer::Timers;
use crate::wire::Features;

/// A peer that says nothing for so long is asked whether it is there.
pub const PING_INTERVAL_MS: u64 = 30_000;
/// A peer that does not answer anything for so long is gone.
pub const PONG_TIMEOUT_MS: u64 = 30_000;
/// A peer whose `init` does not come in time is gone.
pub const INIT_TIMEOUT_MS: u64 = 15_000;
/// The first pause before dialling again; each failure doubles it.
pub const RECONNECT_FIRST_MS: u64 = 500;
/// The longest pause before dialling again.
pub const RECONNECT_MAX_MS: u64 = 5 * 60_000;
/// Two sessions that begin within this time of each other are two dials that crossed.
pub const CROSSED_DIALS_MS: u64 = 5_000;
/// Addresses to remember per peer.
const ADDRESSES_MAX: usize = 8;

/// A live connection with a node.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub struct Session {
    /// Its name.
    pub conn: ConnId,
    /// Who dialled.
    pub direction: Direction,
    /// Where the peer is.
    pub address: NetAddr,
    /// Since when.
    pub since: Mono,
    /// What its `init` said; nothing else may be sent or received before it (BOLT 1).
    pub init: Option<RemoteInit>,
    /// Are we waiting for any sign of life?
    pub pinged: bool,
    /// Room in the write buffer, as far as we know: elective messages wait for it.
    pub credit: u32,
}

/// What a peer's `init` said.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RemoteInit {
    /// Its features.
    pub features: Features,
    /// Where it sees us.
    pub remote_addr: Option<NetAddr>,
}

/// A dial under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct Dialing {
    dial: DialId,
    address: usize,
}

/// Everything about one node.
#[derive(Clone, Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Peer {
    /// The live connection, if any.
    pub session: Option<Session>,
    dialing: Option<Dialing>,
    /// Where to try, best first.
    pub addresses: Vec<NetAddr>,
    /// Do we keep the connection up? (We do when we share a channel.)
    pub wanted: bool,
    failures: u32,
    /// Clients that wait for the connection.
    pub waiters: Vec<RequestId>,
    /// Features of its last `init`.
    pub last_features: Option<Features>,
}

/// What a deadline of a peer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum PeerTimer {
    /// `init` must have come.
    Init,
    /// Time to ask whether it is there.
    Ping,
    /// It has not answered.
    Pong,
    /// Time to dial again.
    Reconnect,
}

/// What to do about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is the only one.
    Only,
    /// It takes the place of this one.
    Replaces(ConnId),
    /// The one there stays; cut the new one.
    Redundant,
    /// There are too many.
    Full,
}

/// All peers.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Peers {
    by_node: BTreeMap<NodeId, Peer>,
    by_conn: BTreeMap<ConnId, NodeId>,
    by_dial: BTreeMap<DialId, NodeId>,
    next_dial: u64,
    timers: Timers<(NodeId, PeerTimer)>,
}

/// Which of two crossed dials stays: the one that the lesser node id made. Both ends know both ids.
fn survivor_is_ours(local: NodeId, remote: NodeId) -> bool {
    local < remote
}

fn is_outbound(direction: Direction) -> bool {
    matches!(direction, Direction::Outbound { .. })
}

impl Peers {
    /// The peer behind a connection.
    pub fn node_of(&self, conn: ConnId) -> Option<NodeId> {
        self.by_conn.get(&conn).copied()
    }

    /// What is known of a node.
    pub fn get(&self, node: NodeId) -> Option<&Peer> {
        self.by_node.get(&node)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.by_node.get_mut(&node)
    }

    /// All nodes that are connected or wanted.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.by_node.iter().map(|(node, peer)| (*node, peer))
    }

    /// The connection with a node, once `init` went both ways.
    pub fn ready(&self, node: NodeId) -> Option<(ConnId, &RemoteInit)> {
        let session = self.by_node.get(&node)?.session.as_ref()?;
        session.init.as_ref().map(|init| (session.conn, init))
    }

    /// The session with this name.
    pub fn session_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        let node = self.by_conn.get(&conn)?;
        self.by_node.get_mut(node)?.session.as_mut()
    }

    /// A new connection: which stays?
    pub fn admit(&mut self, local: NodeId, node: NodeId, direction: Direction, now: Mono) -> Admission {
        let Some(session) = self.by_node.get(&node).and_then(|peer| peer.session.as_ref()) else {
            let stranger = !self.by_node.get(&node).is_some_and(|peer| peer.wanted);
            let full = self.by_conn.len() >= PEERS_MAX || (stranger && self.strangers() >= STRANGERS_MAX);
            return if full { Admission::Full } else { Admission::Only };
        };
        let crossed =
            is_outbound(session.direction) != is_outbound(direction) && now <= session.since.plus_ms(CROSSED_DIALS_MS);
        if crossed && is_outbound(session.direction) == survivor_is_ours(local, node) {
            return Admission::Redundant;
        }
        if is_active(Mutation::OldConnectionStays) {
            return Admission::Redundant;
        }
        // The peer may have restarted and not told: a handshake just made is more alive than an old silence.
        Admission::Replaces(session.conn)
    }

    fn strangers(&self) -> usize {
        // Counted from the few that are connected; `by_conn` is bounded by PEERS_MAX.
        self.by_conn.values().filter(|node| !self.by_node.get(node).is_some_and(|peer| peer.wanted)).count()
    }

    /// Takes in an admitted connection.
    pub fn connected(&mut self, node: NodeId, conn: ConnId, direction: Direction, address: NetAddr, now: Mono) {
        if let Direction::Outbound { dial } = direction {
            self.by_dial.remove(&dial);
        }
        let peer = self.by_node.entry(node).or_default();
        peer.dialing = None;
        // An address that we dialled works; the one a peer comes from is no address to dial.
        if is_outbound(direction) {
            peer.addresses.retain(|known| *known != address);
            peer.addresses.insert(0, address.clone());
            peer.addresses.truncate(ADDRESSES_MAX);
        }
        peer.session = Some(Session {
            conn,
            direction,
            address,
            since: now,
            init: None,
            pinged: false,
            credit: WRITE_BUFFER_SIZE as u32,
        });
        self.by_conn.insert(conn, node);
        // What an earlier session was asked, whose place this one takes, is nothing that this one could answer.
        for timer in [PeerTimer::Reconnect, PeerTimer::Ping, PeerTimer::Pong] {
            if timer == PeerTimer::Pong && is_active(Mutation::StaleTimer) {
                continue;
            }
            self.timers.clear((node, timer));
        }
        self.timers.set((node, PeerTimer::Init), now.plus_ms(INIT_TIMEOUT_MS));
    }

    /// `init` has come: the session may be used.
    pub fn initialised(&mut self, node: NodeId, init: RemoteInit, now: Mono) {
        let Some(peer) = self.by_node.get_mut(&node) else { return };
        peer.failures = 0;
        peer.last_features = Some(init.features.clone());
        if let Some(session) = &mut peer.session {
            session.init = Some(init);
        }
        self.timers.clear((node, PeerTimer::Init));
        self.timers.set((node, PeerTimer::Ping), now.plus_ms(PING_INTERVAL_MS));
    }

    /// Any message is a sign of life.
    pub fn heard(&mut self, node: NodeId, now: Mono) {
        let Some(session) = self.by_node.get_mut(&node).and_then(|peer| peer.session.as_mut()) else { return };
        if session.pinged {
            session.pinged = false;
            self.timers.clear((node, PeerTimer::Pong));
        }
        if session.init.is_some() {
            self.timers.set((node, PeerTimer::Ping), now.plus_ms(PING_INTERVAL_MS));
        }
    }

    /// A ping has gone out.
    pub fn pinged(&mut self, node: NodeId, now: Mono) {
        if let Some(session) = self.by_node.get_mut(&node).and_then(|peer| peer.session.as_mut()) {
            session.pinged = true;
            if is_active(Mutation::NoPongDeadline) {
                return;
            }
            self.timers.set((node, PeerTimer::Pong), now.plus_ms(PONG_TIMEOUT_MS));
        }
    }

    /// The connection is gone. Returns the node if it was its session (and not one that had been replaced).
    pub fn disconnected(&mut self, conn: ConnId, now: Mono, rng: &mut Rng) -> Option<NodeId> {
        let node = self.by_conn.remove(&conn)?;
        let peer = self.by_node.get_mut(&node)?;
        if peer.session.as_ref().is_none_or(|session| session.conn != conn) {
            return None;
        }
        peer.session = None;
        for timer in [PeerTimer::Init, PeerTimer::Ping, PeerTimer::Pong] {
            if timer == PeerTimer::Pong && is_active(Mutation::StaleTimer) {
                continue;
            }
            self.timers.clear((node, timer));
        }
        self.plan_reconnect(node, now, rng);
        self.forget_if_idle(node);
        Some(node)
    }

    /// Forgets the connection at once, because another takes its place.
    pub fn replaced(&mut self, conn: ConnId) {
        self.by_conn.remove(&conn);
    }

    /// A dial has failed. Returns the node when no address is left to try now, with the clients that waited.
    pub fn dial_failed(&mut self, dial: DialId, now: Mono, rng: &mut Rng) -> Option<(NodeId, DialNext)> {
        let node = self.by_dial.remove(&dial)?;
        let peer = self.by_node.get_mut(&node)?;
        let dialing = peer.dialing.take_if(|dialing| dialing.dial == dial)?;
        if let Some(address) = peer.addresses.get(dialing.address + 1).cloned() {
            let dial = self.begin_dial(node, dialing.address + 1);
            return Some((node, DialNext::Try(dial, address)));
        }
        let waiters = std::mem::take(&mut peer.waiters);
        self.plan_reconnect(node, now, rng);
        self.forget_if_idle(node);
        Some((node, DialNext::GiveUp(waiters)))
    }

    fn begin_dial(&mut self, node: NodeId, address: usize) -> DialId {
        let dial = DialId(self.next_dial);
        self.next_dial += 1;
        self.by_dial.insert(dial, node);
        self.by_node.entry(node).or_default().dialing = Some(Dialing { dial, address });
        dial
    }

    /// Begins to dial, unless the node is connected or being dialled, or we know no address.
    pub fn dial(&mut self, node: NodeId) -> Option<(DialId, NetAddr)> {
        let peer = self.by_node.get(&node)?;
        if peer.session.is_some() || peer.dialing.is_some() {
            return None;
        }
        let address = peer.addresses.first()?.clone();
        self.timers.clear((node, PeerTimer::Reconnect));
        Some((self.begin_dial(node, 0), address))
    }

    /// Is a dial under way?
    pub fn is_dialing(&self, node: NodeId) -> bool {
        self.by_node.get(&node).is_some_and(|peer| peer.dialing.is_some())
    }

    /// Puts an address in front of those known.
    pub fn learn_address(&mut self, node: NodeId, address: NetAddr) {
        let peer = self.by_node.entry(node).or_default();
        peer.addresses.retain(|known| *known != address);
        peer.addresses.insert(0, address);
        peer.addresses.truncate(ADDRESSES_MAX);
    }

    /// Says whether we keep up a connection with the node.
    pub fn want(&mut self, node: NodeId, wanted: bool, now: Mono, rng: &mut Rng) {
        self.by_node.entry(node).or_default().wanted = wanted;
        if wanted {
            self.plan_reconnect(node, now, rng);
        } else {
            self.timers.clear((node, PeerTimer::Reconnect));
            self.forget_if_idle(node);
        }
    }

    /// After each failure the pause doubles; up to a half of it is chance, so that a crowd does not come back at once.
    fn plan_reconnect(&mut self, node: NodeId, now: Mono, rng: &mut Rng) {
        let Some(peer) = self.by_node.get_mut(&node) else { return };
        if !peer.wanted || peer.session.is_some() || peer.dialing.is_some() || peer.addresses.is_empty() {
            return;
        }
        let failures = if is_active(Mutation::NoBackOff) { 0 } else { peer.failures.min(16) };
        let pause = (RECONNECT_FIRST_MS << failures).min(RECONNECT_MAX_MS);
        peer.failures += 1;
        let jittered = pause / 2 + rng.below(pause / 2 + 1);
        self.timers.set((node, PeerTimer::Reconnect), now.plus_ms(jittered));
    }

    fn forget_if_idle(&mut self, node: NodeId) {
        let idle = self.by_node.get(&node).is_some_and(|peer| {
            !peer.wanted && peer.session.is_none() && peer.dialing.is_none() && peer.waiters.is_empty()
        });
        if idle {
            self.by_node.remove(&node);
            self.timers.clear((node, PeerTimer::Reconnect));
        }
    }

    /// Takes a deadline that has come.
    pub fn pop_due(&mut self, now: Mono) -> Option<(NodeId, PeerTimer)> {
        self.timers.pop_due(now)
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }
}

/// What follows a failed dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialNext {
    /// The next address.
    Try(DialId, NetAddr),
    /// No address is left; these clients waited.
    GiveUp(Vec<RequestId>),
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: NodeId = NodeId([2; 33]);
    const BOB: NodeId = NodeId([3; 33]);

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn address(port: u16) -> NetAddr {
        NetAddr::Ip4([127, 0, 0, 1], port)
    }

    fn rng() -> Rng {
        Rng::new([1; 32])
    }

    const IN: Direction = Direction::Inbound { listener: 0 };

    #[test]
    fn of_two_crossed_dials_both_ends_keep_the_same() {
        // Alice's id is the lesser, so the connection that Alice dialled stays, at either end and in either order.
        let out = |peers: &mut Peers, node| {
            peers.learn_address(node, address(1));
            let (dial, _) = peers.dial(node).expect("not connected");
            Direction::Outbound { dial }
        };
        let mut alice = Peers::default();
        let direction = out(&mut alice, BOB);
        alice.connected(BOB, conn(1), direction, address(1), Mono(0));
        assert_eq!(alice.admit(ALICE, BOB, IN, Mono(100)), Admission::Redundant);

        let mut alice = Peers::default();
        let direction = out(&mut alice, BOB);
        alice.connected(BOB, conn(1), IN, address(1), Mono(0));
        assert_eq!(alice.admit(ALICE, BOB, direction, Mono(100)), Admission::Replaces(conn(1)));

        let mut bob = Peers::default();
        let direction = out(&mut bob, ALICE);
        bob.connected(ALICE, conn(1), direction, address(1), Mono(0));
        assert_eq!(bob.admit(BOB, ALICE, IN, Mono(100)), Admission::Replaces(conn(1)));

        let mut bob = Peers::default();
        let direction = out(&mut bob, ALICE);
        bob.connected(ALICE, conn(1), IN, address(1), Mono(0));
        assert_eq!(bob.admit(BOB, ALICE, direction, Mono(100)), Admission::Redundant);
    }

    #[test]
    fn a_stale_session_gives_way() {
        let mut peers = Peers::default();
        peers.connected(BOB, conn(1), IN, address(1), Mono(0));
        peers.pinged(BOB, Mono(59_000));
        assert_eq!(peers.admit(ALICE, BOB, IN, Mono(60_000)), Admission::Replaces(conn(1)));
        peers.replaced(conn(1));
        peers.connected(BOB, conn(2), IN, address(1), Mono(60_000));
        // Nobody waits on the new one for what the old one was asked.
        while let Some(due) = peers.next_deadline().filter(|due| *due < Mono(60_000 + PONG_TIMEOUT_MS)) {
            let Some((_, timer)) = peers.pop_due(due) else { break };
            assert!(!matches!(timer, PeerTimer::Ping | PeerTimer::Pong), "{timer:?} is of the old session");
        }
        // The end of the old one, told late, does not touch the new one.
        assert_eq!(peers.disconnected(conn(1), Mono(60_001), &mut rng()), None);
        assert!(peers.get(BOB).is_some_and(|peer| peer.session.is_some()));
    }

    #[test]
    fn the_pause_between_dials_grows_and_is_bounded() {
        let (mut peers, mut rng) = (Peers::default(), rng());
        peers.learn_address(BOB, address(1));
        peers.want(BOB, true, Mono(0), &mut rng);
        let mut now = Mono(0);
        let mut pauses = Vec::new();
        for _ in 0..16 {
            let due = peers.next_deadline().expect("planned");
            pauses.push(due.0 - now.0);
            now = due;
            assert_eq!(peers.pop_due(now), Some((BOB, PeerTimer::Reconnect)));
            let (dial, _) = peers.dial(BOB).expect("not connected");
            let next = peers.dial_failed(dial, now, &mut rng);
            assert_eq!(next, Some((BOB, DialNext::GiveUp(vec![]))));
        }
        assert!(pauses[0] <= RECONNECT_FIRST_MS);
        assert!(pauses.iter().all(|pause| *pause <= RECONNECT_MAX_MS));
        assert!(pauses[15] >= RECONNECT_MAX_MS / 2);
    }

    #[test]
    fn all_addresses_are_tried_before_giving_up() {
        let (mut peers, mut rng) = (Peers::default(), rng());
        peers.learn_address(BOB, address(1));
        peers.learn_address(BOB, address(2));
        let (dial, first) = peers.dial(BOB).expect("not connected");
        assert_eq!(first, address(2));
        let Some((_, DialNext::Try(dial, second))) = peers.dial_failed(dial, Mono(0), &mut rng) else {
            panic!("a second address is known")
        };
        assert_eq!(second, address(1));
        assert_eq!(peers.dial_failed(dial, Mono(0), &mut rng), Some((BOB, DialNext::GiveUp(vec![]))));
        assert!(peers.get(BOB).is_none(), "nobody wants it, so it is forgotten");
    }
}
