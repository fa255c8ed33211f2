//! The rows of one turn: all of them durable, or none.

use std::time::Instant;

use crate::Fatal;
use crate::counter::Counter;
use crate::env::{Env, EnvError, WriteTxn};
use crate::meta::Meta;
use crate::rows::{self, TRAILER_BYTES};

/// Gathers what a turn puts and deletes.
///
/// The LMDB transaction begins with the first row; a turn without rows costs nothing. Dropped without a commit, the
/// turn never happened. Putting cannot fail for the caller: what goes wrong is kept and [`commit`](Turn::commit)
/// reports it, because the turn has to end at that place anyway.
#[must_use = "a turn that is dropped never happened"]
pub struct Turn<'s> {
    env: &'s Env,
    meta: &'s Meta,
    counter: &'s mut Counter,
    /// Holds the key in hand; kept by the store so that no row allocates.
    key: &'s mut Vec<u8>,
    state: State<'s>,
    rows: u32,
    bytes: u64,
}

enum State<'s> {
    Untouched,
    Open(WriteTxn<'s>),
    Failed(EnvError),
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Rows put and deleted; zero means that nothing was written at all.
    pub rows: u32,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The store's state counter afterwards.
    pub counter: u64,
}

impl<'s> Turn<'s> {
    pub(crate) fn new(env: &'s Env, meta: &'s Meta, counter: &'s mut Counter, key: &'s mut Vec<u8>) -> Turn<'s> {
        Turn { env, meta, counter, key, state: State::Untouched, rows: 0, bytes: 0 }
    }

    /// Puts a row whose value is at hand.
    pub fn put(&mut self, table: u8, key: &[u8], value: &[u8]) {
        self.put_with(table, key, value.len(), |room| room.copy_from_slice(value));
    }

    /// Puts a row whose value of exactly `len` bytes `fill` encodes straight into the page.
    ///
    /// The room is zeroed first, so a short fill cannot leave old memory in the file.
    pub fn put_with(&mut self, table: u8, key: &[u8], len: usize, fill: impl FnOnce(&mut [u8])) {
        self.with_txn(table, key, len, |txn, full_key| {
            let room = txn.reserve(full_key, len + TRAILER_BYTES)?;
            let (value, trailer) = room.split_at_mut(len);
            value.fill(0);
            fill(value);
            trailer.copy_from_slice(&rows::checksum(full_key, value));
            Ok(())
        });
    }

    /// Deletes a row; one that is not there is no error.
    pub fn delete(&mut self, table: u8, key: &[u8]) {
        self.with_txn(table, key, 0, |txn, full_key| txn.delete(full_key).map(drop));
    }

    /// Whether nothing was put or deleted yet.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Makes all rows durable. An error means that none is, and that the process must end before anything leaves it.
    pub fn commit(self) -> Result<Committed, Fatal> {
        let Turn { env, meta, counter, state, rows, bytes, .. } = self;
        let fatal = |error| Fatal::env(error, env.map_use().map_or(0, |(map_bytes, _)| map_bytes));
        match state {
            State::Failed(error) => return Err(fatal(error)),
            State::Open(txn) => txn.commit().map_err(fatal)?,
            State::Untouched => {}
        }
        let reached = meta.counter(env.last_commit().map_err(fatal)?);
        if rows > 0 {
            counter.reached(reached, Instant::now())?;
        }
        Ok(Committed { rows, bytes, counter: reached })
    }

    fn with_txn(
        &mut self,
        table: u8,
        key: &[u8],
        value_bytes: usize,
        act: impl FnOnce(&mut WriteTxn<'s>, &[u8]) -> Result<(), EnvError>,
    ) {
        rows::assert_fits(table, key);
        self.rows += 1;
        self.bytes += (key.len() + value_bytes) as u64;
        if matches!(self.state, State::Untouched) {
            self.state = self.env.write().map_or_else(State::Failed, State::Open);
        }
        let State::Open(txn) = &mut self.state else { return };
        self.key.clear();
        self.key.push(table);
        self.key.extend_from_slice(key);
        if let Err(error) = act(txn, self.key) {
            // The transaction is of no use any more: replacing it aborts it.
            self.state = State::Failed(error);
        }
    }
}
