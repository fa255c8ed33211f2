//! What a turn said, until it is committed.

use bitcoin::{OutPoint, ScriptBuf, Transaction};
use leyden_core::address::NetAddr;
use leyden_core::command::{Command, Level, LoadRange, Sink, Watch};
use leyden_core::ids::{ConnId, DialId, NodeId, QueryId, RequestId};
use leyden_core::store::Table;
use leyden_core::wire::Cursor;

use super::Reply;
use crate::disk::{Range, Write};

/// A turn's commands, as far as they wait for its end.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) writes: Vec<Write>,
    pub(super) effects: Vec<Effect>,
    pub(super) notes: Vec<(Level, String)>,
    pub(super) watches: Vec<OwnWatch>,
    /// Are notes of interest?
    pub(super) listens: bool,
    /// Rows are written here first, so that what is kept is no longer than it must be.
    scratch: Vec<u8>,
}

/// A watch that does not borrow.
pub(super) enum OwnWatch {
    Spend(OutPoint),
    Unspend(OutPoint),
    Script(ScriptBuf),
}

/// What takes effect after the commit.
pub(super) enum Effect {
    Send(ConnId, Vec<u8>),
    Disconnect(ConnId, String),
    Dial(DialId, NodeId, NetAddr),
    Load(QueryId, Table, Range, u32),
    Broadcast(Transaction, String),
    Reply(RequestId, Box<Reply>),
}

impl Staged {
    pub(super) fn new(listens: bool) -> Staged {
        Staged { listens, ..Staged::default() }
    }

    /// Empty, for another turn; its memory is kept.
    pub(super) fn clear(&mut self) {
        self.writes.clear();
        self.effects.clear();
        self.notes.clear();
        self.watches.clear();
    }
}

impl Sink for Staged {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Send { conn, message } => {
                let mut bytes = vec![0; message.encoded_len()];
                message.encode(&mut Cursor::new(&mut bytes)).expect("the buffer is as long as the message says");
                self.effects.push(Effect::Send(conn, bytes));
            }
            Command::Disconnect { conn, reason } => {
                self.effects.push(Effect::Disconnect(conn, reason.to_owned()));
            }
            Command::Dial { dial, peer, address } => self.effects.push(Effect::Dial(dial, peer, address.clone())),
            Command::Put { table, key, value } => {
                self.scratch.clear();
                value.write(&mut self.scratch);
                self.writes.push(Write::Put(table, key.to_vec(), self.scratch.to_vec()));
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
                Watch::Spend(outpoint) => OwnWatch::Spend(outpoint),
                Watch::Unspend(outpoint) => OwnWatch::Unspend(outpoint),
                Watch::Script(script) => OwnWatch::Script(script.to_owned()),
            }),
            Command::Reply { id, result } => self.effects.push(Effect::Reply(id, Box::new(result.clone()))),
            Command::Note(note) if self.listens => {
                self.notes.push((note.level, format!("{:?} {}: {}", note.level, note.part, note.text)));
            }
            // The world decides when its nodes end.
            Command::Note(_) | Command::Stop => {}
        }
    }
}
