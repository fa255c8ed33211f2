//! Where the machine's commands go: rows into the turn's transaction, messages into write buffers, answers into their
//! sessions, everything else onto lists. All of it takes effect only behind the commit.

use bitcoin::Transaction;
use leyden_core::clock::Wall;
use leyden_core::command::{Command, LoadRange, Sink};
use leyden_core::event::Cut;
use leyden_core::ids::ConnId;
use leyden_core::transport::Lane;
use leyden_persist::Turn;

use crate::chain::Driver;
use crate::control::Control;
use crate::dev::Dev;
use crate::dial::Dial;
use crate::history::{Load, LoadFrom, Loads};
use crate::log::Log;
use crate::peers::{Peers, Stage};

/// What a turn leaves to do behind its commit. The lists keep their memory.
#[derive(Default)]
pub(crate) struct Staged {
    pub(crate) broadcasts: Vec<Transaction>,
    pub(crate) dials: Vec<Dial>,
    /// Connections that end with this turn.
    pub(crate) cuts: Vec<(ConnId, Cut)>,
    /// Connections with something new in their write buffers.
    pub(crate) touched: Vec<ConnId>,
    pub(crate) loads: Loads,
    pub(crate) stop: bool,
}

impl Staged {
    /// The connection has something to release.
    pub(crate) fn touch(&mut self, peers: &mut Peers, conn: ConnId) {
        if let Some(peer) = peers.get_mut(conn)
            && !peer.touched
        {
            peer.touched = true;
            self.touched.push(conn);
        }
    }

    /// The connection ends with this turn.
    pub(crate) fn cut(&mut self, peers: &mut Peers, conn: ConnId, reason: Cut) {
        if let Some(peer) = peers.get_mut(conn)
            && !matches!(peer.stage, Stage::Leaving)
        {
            peer.stage = Stage::Leaving;
            self.cuts.push((conn, reason));
        }
    }
}

/// The sink of one turn.
pub(crate) struct Outputs<'t, 's> {
    pub(crate) turn: &'t mut Turn<'s>,
    pub(crate) peers: &'t mut Peers,
    pub(crate) control: &'t mut Control,
    pub(crate) dev: &'t mut Dev,
    pub(crate) driver: &'t mut Driver,
    pub(crate) staged: &'t mut Staged,
    pub(crate) log: &'t mut Log,
    /// Holds the row in hand.
    pub(crate) value: &'t mut Vec<u8>,
    pub(crate) wall: Wall,
}

impl Sink for Outputs<'_, '_> {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Send { conn, message } => {
                let Peers { slab, pool, .. } = &mut *self.peers;
                let peer = slab.get_mut(conn.slot as usize).filter(|peer| peer.conn == conn);
                let Some(peer) = peer.filter(|peer| matches!(peer.stage, Stage::Open)) else { return };
                // All that the money machine says concerns its own channels, their `channel_update`s too.
                let is_full = peer.transport.stage(Lane::Channel, message, pool).is_err();
                self.staged.touch(self.peers, conn);
                if is_full {
                    self.staged.cut(self.peers, conn, Cut::Overflow);
                }
            }
            Command::Disconnect { conn, .. } => self.staged.cut(self.peers, conn, Cut::Ours),
            Command::Dial { dial, peer, address } => {
                self.staged.dials.push(Dial { dial, peer, address: address.clone() });
            }
            Command::Put { table, key, value } => {
                self.value.clear();
                value.write(self.value);
                self.turn.put(table as u8, key, self.value);
            }
            Command::Delete { table, key } => self.turn.delete(table as u8, key),
            Command::Load { query, table, range, limit } => {
                let (key, from) = match range {
                    LoadRange::From(key) => (key, LoadFrom::At),
                    LoadRange::Before(key) => (key, LoadFrom::Before),
                    LoadRange::Exactly(key) => (key, LoadFrom::Exactly),
                };
                self.staged.loads.push(Load { query, table, key: key.to_vec(), from, limit });
            }
            Command::Broadcast { tx, .. } => self.staged.broadcasts.push(tx.clone()),
            // Watching has no effect on the world, and the next block must be looked through with it.
            Command::Watch(watch) => self.driver.watch(&watch),
            Command::Reply { id, result } => {
                if let Some(result) = self.dev.replied(id, result) {
                    self.control.reply(id, &result);
                }
            }
            Command::Note(note) => self.log.note(self.wall, &note),
            Command::Stop => self.staged.stop = true,
        }
    }
}
