//! The monotonic state counter: a second tiny file that recognises an old copy of the store.
//!
//! Whoever puts an old copy of the store back would let the node publish revoked commitments and lose the channels'
//! money. So a counter outside of the database remembers how far the store has come.
//!
//! - The store's own counter costs no page: it is the number that LMDB gives each commit, plus a base in the store's
//!   own row. It grows by one with every turn that commits rows.
//! - The counter file holds `reached`, a value that the store is known to have reached. It is written **after** the
//!   commit, so at any moment, whatever a crash leaves of either file, `reached` is not above the durable store's
//!   counter. A store that opens with a counter below `reached` is therefore an older one, without false alarms.
//! - Each commit writes the file (one `pwrite` of 48 bytes into the page cache, about a microsecond), but only every
//!   [`SYNC_COMMITS`] commits or [`SYNC_INTERVAL`] it is also synced, so a turn does not pay a second flush. As long as
//!   the operating system does not crash in between, an old copy is recognised turn by turn; after a power cut, up to
//!   that many of the last turns may go unnoticed.
//! - Two slots are written in turns, each with a checksum, so a torn write leaves the other one.
//! - Once a store is under suspicion, the file says so until somebody [accepts](crate::Store::accept_as_current) it.
//!   Without this, a rolled-back store would only have to commit often enough to look current again. Accepting raises
//!   the store's counter above `reached`, so that the other branch of its history counts as old from then on.
//!
//! The file protects best where a copy of the database does not take it along: [`crate::Options::counter_file`] may
//! name another directory or disk.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::meta::StoreId;
use crate::{Fatal, OpenError};

/// The file's name, if the options name no other.
pub const COUNTER_FILE: &str = "counter";

/// Sync at least after so many commits.
pub const SYNC_COMMITS: u32 = 1024;

/// Sync with the first commit after so long.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

const MAGIC: &[u8; 8] = b"leyden#1";
const RECORD_BYTES: usize = 48;
/// One slot per sector, so that writing one cannot tear the other.
const SLOT_BYTES: u64 = 512;

/// What the counter file says about the store that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// There was no store before: it was made just now.
    New,
    /// The store is at least as far as the file remembers.
    Current,
    /// An old copy: do not publish anything of it, only reestablish.
    RolledBack {
        /// How far the opened store has come.
        store: u64,
        /// How far it had come before.
        reached: u64,
    },
    /// Nothing shows that the store is current: treat it as an old copy.
    Unproven(Unknown),
}

impl Freshness {
    /// Whether the rows may be trusted to be the latest.
    pub fn is_proven(self) -> bool {
        matches!(self, Freshness::New | Freshness::Current)
    }
}

/// Why the counter file shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There is none, as after a copy of the database alone.
    Missing,
    /// Neither of its records is whole.
    Damaged,
    /// It belongs to another store.
    OtherStore,
    /// The store was already under suspicion when it was opened before.
    SuspectBefore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: StoreId,
    pub(crate) reached: u64,
    pub(crate) suspect: bool,
    /// Tells the later of the two slots.
    sequence: u64,
}

/// What was found on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    Damaged,
    Record(Record),
}

pub(crate) struct Counter {
    file: File,
    record: Record,
    unsynced: u32,
    synced_at: Instant,
}

impl Counter {
    pub(crate) fn look(path: &Path) -> Result<Found, OpenError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => return Err(OpenError::io("read", path)(error)),
        };
        let slots = [0, SLOT_BYTES as usize].map(|at| bytes.get(at..at + RECORD_BYTES).and_then(decode));
        Ok(slots.into_iter().flatten().max_by_key(|record| record.sequence).map_or(Found::Damaged, Found::Record))
    }

    /// Writes the file anew, durably, following on what was found in it.
    pub(crate) fn start(
        path: &Path,
        found: Found,
        id: StoreId,
        reached: u64,
        suspect: bool,
    ) -> Result<Counter, OpenError> {
        let sequence = match found {
            Found::Record(record) => record.sequence,
            Found::Missing | Found::Damaged => 0,
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(OpenError::io("open", path))?;
        let record = Record { id, reached, suspect, sequence };
        let mut counter = Counter { file, record, unsynced: 0, synced_at: Instant::now() };
        counter.write().and_then(|()| counter.file.sync_all()).map_err(OpenError::io("write", path))?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(OpenError::io("sync", parent))?;
        }
        Ok(counter)
    }

    /// Remembers that the store has durably come so far.
    pub(crate) fn reached(&mut self, counter: u64, now: Instant) -> Result<(), Fatal> {
        if self.record.suspect || counter <= self.record.reached {
            return Ok(());
        }
        self.record.reached = counter;
        self.write().map_err(fatal)?;
        self.unsynced += 1;
        let is_due = now.saturating_duration_since(self.synced_at) >= SYNC_INTERVAL;
        if is_due || self.unsynced >= SYNC_COMMITS {
            self.sync(now)?;
        }
        Ok(())
    }

    /// Ends the suspicion: the store is the truth from here on.
    pub(crate) fn accept(&mut self, counter: u64) -> Result<(), Fatal> {
        self.record.suspect = false;
        self.record.reached = counter;
        self.write().map_err(fatal)?;
        self.sync(Instant::now())
    }

    pub(crate) fn highest(&self) -> u64 {
        self.record.reached
    }

    pub(crate) fn sync(&mut self, now: Instant) -> Result<(), Fatal> {
        self.file.sync_data().map_err(fatal)?;
        self.unsynced = 0;
        self.synced_at = now;
        Ok(())
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.record.sequence += 1;
        let at = (self.record.sequence % 2) * SLOT_BYTES;
        self.file.write_all_at(&encode(&self.record), at)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if self.unsynced > 0 {
            // Nobody is left to hear of a failure, and what is lost is a few turns' worth of detection.
            let _ = self.file.sync_data();
        }
    }
}

fn fatal(error: std::io::Error) -> Fatal {
    Fatal::Io { code: error.raw_os_error().unwrap_or(0), reason: format!("the state counter's file: {error}") }
}

fn encode(record: &Record) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(&record.id);
    bytes[24..32].copy_from_slice(&record.sequence.to_le_bytes());
    bytes[32..40].copy_from_slice(&record.reached.to_le_bytes());
    bytes[40] = u8::from(record.suspect);
    let checksum = crc32c::crc32c(&bytes[..44]);
    bytes[44..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let bytes = <&[u8; RECORD_BYTES]>::try_from(bytes).ok()?;
    let number = |at: usize| bytes[at..].first_chunk::<8>().map(|number| u64::from_le_bytes(*number));
    if bytes[..8] != *MAGIC || bytes[44..] != crc32c::crc32c(&bytes[..44]).to_le_bytes() {
        return None;
    }
    let id = *bytes[8..].first_chunk::<16>()?;
    Some(Record { id, sequence: number(24)?, reached: number(32)?, suspect: bytes[40] != 0 })
}
