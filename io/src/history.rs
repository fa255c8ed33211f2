//! History on its way back to the machine: pages of rows, read between turns and bounded.

use std::collections::VecDeque;

use leyden_core::ids::QueryId;
use leyden_core::limits::HISTORY_PAGE_ROWS;
use leyden_core::store::Table;
use leyden_persist::rows::From;
use leyden_persist::{Direction, ReadError, Scan, Store};

use crate::notice::Notice;

/// Pages to read per turn.
const LOADS_PER_TURN: usize = 8;
/// Bytes of one page. A page that is cut short looks like the last one, so this is ample.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// What `Command::Load` said.
pub(crate) struct Load {
    pub(crate) query: QueryId,
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    pub(crate) from: LoadFrom,
    pub(crate) limit: u32,
}

/// Where the page is, seen from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadFrom {
    At,
    Before,
    Exactly,
}

/// Pages that were asked for.
#[derive(Default)]
pub(crate) struct Loads(VecDeque<Load>);

impl Loads {
    pub(crate) fn push(&mut self, load: Load) {
        self.0.push_back(load);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads some of them; the machine gets them in the next turn. An error ends the process: no rows would look like
    /// rows that are not there.
    pub(crate) fn read(&mut self, store: &Store, notices: &mut VecDeque<Notice>) -> Result<(), ReadError> {
        for _ in 0..LOADS_PER_TURN {
            let Some(load) = self.0.pop_front() else { break };
            notices.push_back(load.read(store)?);
        }
        Ok(())
    }
}

impl Load {
    fn read(self, store: &Store) -> Result<Notice, ReadError> {
        let Load { query, table, key, from, limit } = self;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(HISTORY_PAGE_ROWS);
        let (start, direction, rows_max) = match from {
            LoadFrom::At => (From::At(&key), Direction::Forward, limit),
            LoadFrom::Exactly => (From::At(&key), Direction::Forward, 1),
            LoadFrom::Before if key.is_empty() => (From::Edge, Direction::Backward, limit),
            LoadFrom::Before => (From::Past(&key), Direction::Backward, limit),
        };
        let bytes_max = PAGE_BYTES_MAX;
        let scan = Scan { table: table as u8, prefix: &[], from: start, direction, rows_max, bytes_max };
        let mut rows = store.scan(scan)?.rows;
        if from == LoadFrom::Exactly {
            rows.retain(|row| row.key == key);
        }
        Ok(Notice::Loaded { query, table, rows })
    }
}
