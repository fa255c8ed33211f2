//! Reading from one peer: bytes become messages, messages become events, within the turn's budget.

use leyden_core::clock::Clock;
use leyden_core::event::{Cut, Event};
use leyden_core::ids::ConnId;
use leyden_core::signer::{KeysSigner, Signer};
use leyden_core::transport::{Incoming, ReadBuffer, StaticKey};
use secp256k1::PublicKey;

use crate::machine::Machine;
use crate::outputs::Outputs;
use crate::peers::{Got, Peers, READ_FREE_MIN, Stage};

/// Messages of all peers in one turn: with the rows that they cause, a turn stays small.
const MESSAGES_PER_TURN_MAX: usize = 2_048;
/// Bytes of all peers in one turn.
const BYTES_PER_TURN_MAX: usize = 4 << 20;
/// Bytes of one peer in one turn: nobody starves the others.
const PEER_BYTES_PER_TURN_MAX: usize = 256 << 10;

/// What a turn may still take.
pub(super) struct Budget {
    messages: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget { messages: MESSAGES_PER_TURN_MAX, bytes: BYTES_PER_TURN_MAX }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}

/// Why reading from a peer ends, for now or for ever.
enum Pause {
    /// The socket has nothing; it will report.
    Drained,
    /// The turn has enough, the socket may have more.
    Budget,
    /// The peer does not take our answers; reading goes on when its buffer drains.
    Full,
    /// The connection ends with this turn.
    Leaving,
    /// The connection is of no use any more.
    Cut(Cut),
}

/// The node's key, as the handshake needs it.
struct NodeKey<'a> {
    signer: &'a mut KeysSigner,
    public: PublicKey,
}

impl StaticKey for NodeKey<'_> {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        self.signer.ecdh(point)
    }
}

/// What reading needs.
pub(super) struct Reading<'r, 't, 's, M> {
    pub(super) machine: &'r mut M,
    pub(super) clock: Clock,
    pub(super) signer: &'r mut KeysSigner,
    pub(super) public: PublicKey,
    pub(super) out: &'r mut Outputs<'t, 's>,
}

impl<M: Machine> Reading<'_, '_, '_, M> {
    /// Reads from one peer.
    pub(super) fn read(&mut self, conn: ConnId, budget: &mut Budget) {
        let Peers { slab, pool, .. } = &mut *self.out.peers;
        let Some(peer) = slab.get_mut(conn.slot as usize).filter(|peer| peer.conn == conn) else { return };
        if !matches!(peer.stage, Stage::Handshake | Stage::Open) {
            return;
        }
        let was_shaking = matches!(peer.stage, Stage::Handshake);
        let mut input = peer.transport.begin_read(pool);
        let pause = self.read_into(conn, &mut input, budget);
        let Peers { slab, pool, .. } = &mut *self.out.peers;
        let peer = slab.get_mut(conn.slot as usize).expect("no connection is removed within a turn");
        peer.transport.end_read(input, pool);
        peer.held = matches!(pause, Pause::Full);
        if was_shaking {
            // An act of the handshake may wait.
            self.out.staged.touch(self.out.peers, conn);
        }
        match pause {
            Pause::Drained | Pause::Leaving => {}
            Pause::Budget => self.out.peers.queue(conn),
            // Whoever is about to be flushed is looked at again then, and so is whoever waits for the socket.
            Pause::Full => self.out.staged.touch(self.out.peers, conn),
            Pause::Cut(reason) => self.out.staged.cut(self.out.peers, conn, reason),
        }
    }

    fn read_into(&mut self, conn: ConnId, input: &mut ReadBuffer, budget: &mut Budget) -> Pause {
        let mut peer_bytes = PEER_BYTES_PER_TURN_MAX;
        loop {
            // Whole frames may be left from the turn before, so they come first: then there is space to read.
            if let Some(pause) = self.take_messages(conn, input, budget) {
                return pause;
            }
            if peer_bytes == 0 || budget.bytes == 0 {
                return Pause::Budget;
            }
            let peer = self.out.peers.get_mut(conn).expect("no connection is removed within a turn");
            match peer.read(input.space()) {
                Got::Bytes(count) => {
                    input.filled(count);
                    peer_bytes = peer_bytes.saturating_sub(count);
                    budget.bytes = budget.bytes.saturating_sub(count);
                }
                Got::Nothing => return Pause::Drained,
                Got::End(reason) => return Pause::Cut(reason),
            }
        }
    }

    /// Takes in what the bytes hold; `None` when they hold no more.
    fn take_messages(&mut self, conn: ConnId, input: &mut ReadBuffer, budget: &mut Budget) -> Option<Pause> {
        loop {
            let Peers { slab, pool, .. } = &mut *self.out.peers;
            let peer = slab.get_mut(conn.slot as usize).expect("no connection is removed within a turn");
            if matches!(peer.stage, Stage::Leaving) {
                return Some(Pause::Leaving);
            }
            if peer.transport.free() < READ_FREE_MIN {
                return Some(Pause::Full);
            }
            if budget.messages == 0 {
                return Some(Pause::Budget);
            }
            let mut key = NodeKey { signer: &mut *self.signer, public: self.public };
            match peer.transport.next(input, &mut key, pool) {
                Ok(Some(Incoming::Message(message))) => {
                    budget.messages -= 1;
                    self.machine.step(self.clock, Event::Received { conn, message }, self.signer, self.out);
                }
                Ok(Some(Incoming::Established { remote })) => {
                    let (direction, address) = (peer.direction, peer.address.clone());
                    self.out.peers.established(conn);
                    let event = Event::Connected { conn, peer: remote.into(), direction, address };
                    self.machine.step(self.clock, event, self.signer, self.out);
                }
                Ok(None) => return None,
                Err(error) => return Some(Pause::Cut(Cut::Crypto(error.to_string()))),
            }
        }
    }
}
