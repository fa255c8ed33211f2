//! Where the core's commands go: rows into the turn's batch, messages into write buffers, everything else onto lists that
//! take effect after the commit.

use std::collections::VecDeque;

use bitcoin::Transaction;
use leyden_core::clock::Wall;
use leyden_core::command::{Command, LoadRange, Sink};
use leyden_core::event::NetAddr;
use leyden_core::ids::{ConnId, DialId, NodeId, QueryId, RequestId};
use leyden_core::request::{RequestError, Response};
use leyden_core::store::Table;
use leyden_core::transport::{BufferPool, Lane};
use leyden_persist::Turn;
use slab::Slab;

use crate::chain::Driver;
use crate::log::Log;
use crate::peers::Peer;

/// Rows to read back after the commit.
pub(crate) struct Load {
    pub(crate) query: QueryId,
    pub(crate) table: Table,
    pub(crate) from: Vec<u8>,
    pub(crate) kind: LoadKind,
    pub(crate) limit: u32,
}

/// Which rows.
pub(crate) enum LoadKind {
    From,
    Before,
    Exactly,
}

/// What a turn leaves to do after its commit.
#[derive(Default)]
pub(crate) struct Staged {
    pub(crate) broadcasts: Vec<Transaction>,
    pub(crate) replies: Vec<(RequestId, Result<Response, RequestError>)>,
    pub(crate) dials: Vec<(DialId, NodeId, NetAddr)>,
    pub(crate) disconnects: Vec<ConnId>,
    pub(crate) overflows: Vec<ConnId>,
    pub(crate) loads: VecDeque<Load>,
    /// Peers with something new in their write buffers.
    pub(crate) touched: Vec<usize>,
    pub(crate) stop: bool,
}

/// The sink of one turn.
pub(crate) struct Outputs<'t, 's> {
    pub(crate) turn: &'t mut Turn<'s>,
    pub(crate) peers: &'t mut Slab<Peer>,
    pub(crate) pool: &'t mut BufferPool,
    pub(crate) driver: &'t mut Driver,
    pub(crate) staged: &'t mut Staged,
    pub(crate) log: &'t mut Log,
    pub(crate) value: &'t mut Vec<u8>,
    pub(crate) wall: Wall,
}

impl Outputs<'_, '_> {
    fn peer(&mut self, conn: ConnId) -> Option<&mut Peer> {
        // A slot alone could be somebody else's by now.
        self.peers.get_mut(conn.slot as usize).filter(|peer| peer.conn == conn)
    }
}

impl Sink for Outputs<'_, '_> {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Send { conn, message } => {
                // All that the money machine says concerns its own channels, their `channel_update`s too.
                let lane = Lane::Channel;
                let pool = &mut *self.pool;
                let Some(peer) = self.peers.get_mut(conn.slot as usize).filter(|peer| peer.conn == conn) else {
                    return;
                };
                if peer.gone {
                    return;
                }
                if peer.transport.stage(lane, message, pool).is_err() {
                    peer.gone = true;
                    self.staged.overflows.push(conn);
                }
                if !peer.touched {
                    peer.touched = true;
                    self.staged.touched.push(conn.slot as usize);
                }
            }
            Command::Disconnect { conn, .. } => {
                if let Some(peer) = self.peer(conn) {
                    // Nothing more for this one; what was sent before still leaves.
                    peer.gone = true;
                    self.staged.disconnects.push(conn);
                }
            }
            Command::Dial { dial, peer, address } => self.staged.dials.push((dial, peer, address.clone())),
            Command::Put { table, key, value } => {
                self.value.clear();
                value.write(self.value);
                self.turn.put(table as u8, key, self.value);
            }
            Command::Delete { table, key } => self.turn.delete(table as u8, key),
            Command::Load { query, table, range, limit } => {
                let (from, kind) = match range {
                    LoadRange::From(key) => (key, LoadKind::From),
                    LoadRange::Before(key) => (key, LoadKind::Before),
                    LoadRange::Exactly(key) => (key, LoadKind::Exactly),
                };
                self.staged.loads.push_back(Load { query, table, from: from.to_vec(), kind, limit });
            }
            Command::Broadcast { tx, .. } => self.staged.broadcasts.push(tx.clone()),
            // Watching is no effect on the world, and the next block must be looked through with it.
            Command::Watch(watch) => self.driver.watch(&watch),
            Command::Reply { id, result } => self.staged.replies.push((id, result.clone())),
            Command::Note(note) => self.log.note(self.wall, &note),
            Command::Stop => self.staged.stop = true,
        }
    }
}
