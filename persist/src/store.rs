//! The open store.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::backup::{self, BackupError, Copied};
use crate::counter::{self, Counter, Found, Freshness, Unknown};
use crate::env::{Env, ReadTxn};
use crate::lock::DirLock;
use crate::meta::{self, FORMAT, Meta};
use crate::rows::{self, Page, RowRef, Scan, Snapshot};
use crate::{Fatal, Headroom, OpenError, ReadError, Turn};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The map's size to begin with. It grows between turns when it has to.
    pub map_bytes: u64,
    /// The size that it may grow to. Only address space until it is used.
    pub map_max_bytes: u64,
    /// What one turn may write at most, with the pages that it copies on the way: the measure for headroom.
    pub turn_bytes_max: u64,
    /// Where the state counter is, if not in the store's directory.
    pub counter_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options { map_bytes: 256 << 20, map_max_bytes: 64 << 30, turn_bytes_max: 16 << 20, counter_file: None }
    }
}

/// The rows of a node, open for one process.
pub struct Store {
    env: Env,
    dir: PathBuf,
    options: Options,
    meta: Meta,
    counter: Counter,
    freshness: Freshness,
    /// The key in hand, see [`Turn`].
    key: Vec<u8>,
    /// Last, because fields are dropped in this order: the lock goes when all else is closed.
    _lock: DirLock,
}

impl Store {
    /// Opens the store in `dir`, making both if they are not there.
    ///
    /// Look at [`freshness`](Store::freshness) before using its rows.
    pub fn open(dir: &Path, options: Options) -> Result<Store, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(OpenError::io("create", dir))?;
        let lock = DirLock::take(dir)?;
        let map_bytes = options.map_bytes.min(options.map_max_bytes);
        let env = Env::open(dir, usize::try_from(map_bytes).unwrap_or(usize::MAX)).map_err(OpenError::env(dir))?;
        let (_, used) = env.map_use().map_err(OpenError::env(dir))?;
        if used > options.map_max_bytes {
            return Err(OpenError::MapTooSmall { max: options.map_max_bytes, used });
        }
        let counter_file = options.counter_file.clone().unwrap_or_else(|| dir.join(counter::COUNTER_FILE));
        let found = Counter::look(&counter_file)?;
        let stored = read_meta(&env.read().map_err(OpenError::env(dir))?, dir)?;
        let (meta, counter, freshness) = match stored {
            None => make(&env, dir, &counter_file, found)?,
            Some(meta) => {
                let reached = meta.counter(env.last_commit().map_err(OpenError::env(dir))?);
                let freshness = compare(found, &meta, reached);
                let highest = match found {
                    Found::Record(record) if record.id == meta.id => record.reached.max(reached),
                    _ => reached,
                };
                let counter = Counter::start(&counter_file, found, meta.id, highest, !freshness.is_proven())?;
                (meta, counter, freshness)
            }
        };
        Ok(Store { env, dir: dir.to_path_buf(), options, meta, counter, freshness, key: Vec::new(), _lock: lock })
    }

    /// Whether the rows are known to be the latest. Decided when the store was opened, and by
    /// [`accept_as_current`](Store::accept_as_current).
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// The store is the truth from here on: its peers have shown that it is current, or the operator decides so.
    pub fn accept_as_current(&mut self) -> Result<(), Fatal> {
        let fatal = |error| Fatal::env(error, 0);
        let last_commit = self.env.last_commit().map_err(fatal)?;
        let highest = self.counter.highest().max(self.meta.counter(last_commit));
        // The commit of this very row is the next one, so the counter becomes one more than any that was seen.
        let meta = Meta { counter_base: highest.wrapping_sub(last_commit), ..self.meta };
        let mut txn = self.env.write().map_err(fatal)?;
        meta.write(&mut txn).and_then(|()| txn.commit()).map_err(fatal)?;
        self.meta = meta;
        self.counter.accept(highest + 1)?;
        self.freshness = Freshness::Current;
        Ok(())
    }

    /// Begins a turn.
    pub fn begin(&mut self) -> Turn<'_> {
        Turn::new(&self.env, &self.meta, &mut self.counter, &mut self.key)
    }

    /// The room there is for the next turn, after growing the map if it is short of it.
    pub fn headroom(&mut self) -> Result<Headroom, Fatal> {
        let headroom = self.look()?;
        let Some(wanted) = headroom.wanted_map_bytes() else { return Ok(headroom) };
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        self.env.resize(wanted).map_err(|error| Fatal::env(error, headroom.map_bytes))?;
        self.look()
    }

    fn look(&self) -> Result<Headroom, Fatal> {
        let Options { map_max_bytes, turn_bytes_max, .. } = self.options;
        Headroom::look(&self.env, &self.dir, map_max_bytes, turn_bytes_max).map_err(|error| Fatal::env(error, 0))
    }

    /// One row's value.
    pub fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        rows::get(&self.env, table, key)
    }

    /// One page of rows.
    pub fn scan(&self, scan: Scan<'_>) -> Result<Page, ReadError> {
        rows::scan(&self.env, scan)
    }

    /// A view of all rows, from which they can be borrowed.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, ReadError> {
        Snapshot::new(&self.env)
    }

    /// Shows every row to `visit`, borrowed from its page, by table and key.
    pub fn visit<E: From<ReadError>>(&self, mut visit: impl FnMut(RowRef<'_>) -> Result<(), E>) -> Result<(), E> {
        self.snapshot()?.rows()?.try_for_each(|row| visit(row?))
    }

    /// Verifies the checksum of every row and tells how many there are.
    pub fn check(&self) -> Result<u64, ReadError> {
        let mut rows = 0;
        self.visit(|_| {
            rows += 1;
            Ok::<(), ReadError>(())
        })?;
        Ok(rows)
    }

    /// Copies the store to the new directory `to`, holding up turns meanwhile; see [`backup`].
    pub fn backup(&self, to: &Path) -> Result<Copied, BackupError> {
        backup::copy_env(&self.env, to)
    }

    /// Syncs the state counter, for instance when the node has nothing else to do.
    pub fn sync_counter(&mut self) -> Result<(), Fatal> {
        self.counter.sync(Instant::now())
    }

    /// How far the store has come: one more with each turn that committed rows.
    pub fn counter(&self) -> Result<u64, ReadError> {
        Ok(self.meta.counter(self.env.last_commit()?))
    }
}

fn read_meta(txn: &ReadTxn<'_>, dir: &Path) -> Result<Option<Meta>, OpenError> {
    match Meta::read(txn)? {
        Some(meta) if meta.format == FORMAT => Ok(Some(meta)),
        Some(meta) => Err(OpenError::Format { dir: dir.to_path_buf(), found: meta.format, expected: FORMAT }),
        None => match txn.cursor().and_then(|mut cursor| cursor.seek(&[0])).map_err(OpenError::env(dir))? {
            Some(_) => Err(OpenError::NotAStore { dir: dir.to_path_buf() }),
            None => Ok(None),
        },
    }
}

/// Makes a new store. The counter file comes first: a crash in between leaves an empty store and a counter of zero,
/// which is made anew, where the other order would leave a store that nothing vouches for.
fn make(env: &Env, dir: &Path, counter_file: &Path, found: Found) -> Result<(Meta, Counter, Freshness), OpenError> {
    let meta = Meta { format: FORMAT, id: meta::random_id()?, counter_base: 0 };
    let (freshness, reached) = match found {
        // The database is gone, but the file remembers that there was one.
        Found::Record(record) if record.reached > 0 => {
            (Freshness::RolledBack { store: 0, reached: record.reached }, record.reached)
        }
        Found::Damaged => (Freshness::Unproven(Unknown::Damaged), 0),
        Found::Missing | Found::Record(_) => (Freshness::New, 0),
    };
    let counter = Counter::start(counter_file, found, meta.id, reached, !freshness.is_proven())?;
    let mut txn = env.write().map_err(OpenError::env(dir))?;
    meta.write(&mut txn).and_then(|()| txn.commit()).map_err(OpenError::env(dir))?;
    // The commit synced the pages but not the directory's new entries.
    for path in [Some(dir), dir.parent()].into_iter().flatten().filter(|path| !path.as_os_str().is_empty()) {
        File::open(path).and_then(|dir| dir.sync_all()).map_err(OpenError::io("sync", path))?;
    }
    Ok((meta, counter, freshness))
}

fn compare(found: Found, meta: &Meta, store: u64) -> Freshness {
    match found {
        Found::Missing => Freshness::Unproven(Unknown::Missing),
        Found::Damaged => Freshness::Unproven(Unknown::Damaged),
        Found::Record(record) if record.id != meta.id => Freshness::Unproven(Unknown::OtherStore),
        Found::Record(record) if store < record.reached => Freshness::RolledBack { store, reached: record.reached },
        Found::Record(record) if record.suspect => Freshness::Unproven(Unknown::SuspectBefore),
        Found::Record(_) => Freshness::Current,
    }
}
