//! LMDB, and the only module that names it.
//!
//! Everything is durable when a commit returns: no `NOSYNC`, no `WRITEMAP`. `NO_TLS` ties readers to their
//! transaction rather than to the thread, so that two of them may be open at a time.

use std::fmt;
use std::path::Path;

use lmdb::{Cursor, Database, Environment, EnvironmentFlags, RoTransaction, RwTransaction, Transaction, WriteFlags};

/// Cursor operations as `lmdb.h` numbers them; the binding takes the bare number.
mod op {
    pub(super) const GET_CURRENT: u32 = 4;
    pub(super) const LAST: u32 = 6;
    pub(super) const NEXT: u32 = 8;
    pub(super) const PREV: u32 = 12;
    pub(super) const SET: u32 = 15;
    pub(super) const SET_RANGE: u32 = 17;
}

/// LMDB's readers at a time: a snapshot, a scan and a few backups by other processes.
const READERS_MAX: u32 = 16;

/// The file that LMDB keeps its pages in, below the store's directory.
pub(crate) const DATA_FILE: &str = "data.mdb";

/// What LMDB answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EnvError(lmdb::Error);

impl EnvError {
    pub(crate) fn is_map_full(self) -> bool {
        self.0 == lmdb::Error::MapFull
    }

    /// The file was written by a later version, or is no LMDB file at all.
    pub(crate) fn is_foreign(self) -> bool {
        matches!(self.0, lmdb::Error::VersionMismatch | lmdb::Error::Invalid)
    }

    /// The operating system's error number, when it was the one to refuse.
    pub(crate) fn os_code(self) -> Option<i32> {
        match self.0 {
            lmdb::Error::Other(code) => Some(code),
            _ => None,
        }
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.os_code() {
            Some(code) => std::io::Error::from_raw_os_error(code).fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl From<lmdb::Error> for EnvError {
    fn from(error: lmdb::Error) -> EnvError {
        EnvError(error)
    }
}

/// A key and its value, as they lie in the page.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// An open environment and its one tree.
pub(crate) struct Env {
    env: Environment,
    db: Database,
}

impl Env {
    pub(crate) fn open(dir: &Path, map_bytes: usize) -> Result<Env, EnvError> {
        Env::open_with(dir, map_bytes, EnvironmentFlags::NO_TLS)
    }

    /// Opens without the right to write, as another process than the owner may do at any time. The size of the map
    /// is whatever the owner last recorded in the file.
    pub(crate) fn open_to_read(dir: &Path) -> Result<Env, EnvError> {
        Env::open_with(dir, 0, EnvironmentFlags::NO_TLS | EnvironmentFlags::READ_ONLY)
    }

    fn open_with(dir: &Path, map_bytes: usize, flags: EnvironmentFlags) -> Result<Env, EnvError> {
        let mut builder = Environment::new();
        builder.set_flags(flags).set_max_readers(READERS_MAX);
        if map_bytes > 0 {
            builder.set_map_size(map_bytes);
        }
        let env = builder.open_with_permissions(dir, 0o600)?;
        let db = env.open_db(None)?;
        Ok(Env { env, db })
    }

    pub(crate) fn read(&self) -> Result<ReadTxn<'_>, EnvError> {
        Ok(ReadTxn { txn: self.env.begin_ro_txn()?, db: self.db })
    }

    pub(crate) fn write(&self) -> Result<WriteTxn<'_>, EnvError> {
        Ok(WriteTxn { txn: self.env.begin_rw_txn()?, db: self.db })
    }

    /// The number of the last durable commit. It grows by one with each commit that changed anything.
    pub(crate) fn last_commit(&self) -> Result<u64, EnvError> {
        Ok(self.env.info()?.last_txnid() as u64)
    }

    /// Bytes of the map, and how many of them were ever used.
    pub(crate) fn map_use(&self) -> Result<(u64, u64), EnvError> {
        let info = self.env.info()?;
        let page_bytes = u64::from(self.env.stat()?.page_size());
        Ok((info.map_size() as u64, (info.last_pgno() as u64 + 1) * page_bytes))
    }

    /// Bytes of used pages that commits have set free again.
    pub(crate) fn free_list_bytes(&self) -> Result<u64, EnvError> {
        Ok(self.env.freelist()? as u64 * u64::from(self.env.stat()?.page_size()))
    }

    /// Gives the map another size. `&mut self` proves that no transaction looks into the old one.
    pub(crate) fn resize(&mut self, map_bytes: usize) -> Result<(), EnvError> {
        Ok(self.env.set_map_size(map_bytes)?)
    }
}

/// A consistent view of all rows.
pub(crate) struct ReadTxn<'e> {
    txn: RoTransaction<'e>,
    db: Database,
}

impl ReadTxn<'_> {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, EnvError> {
        found(self.txn.get(self.db, &key))
    }

    pub(crate) fn cursor(&self) -> Result<ReadCursor<'_>, EnvError> {
        Ok(ReadCursor(self.txn.open_ro_cursor(self.db)?))
    }
}

/// A place in the order of keys.
pub(crate) struct ReadCursor<'t>(lmdb::RoCursor<'t>);

impl<'t> ReadCursor<'t> {
    /// Goes to the first key that is not less than `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<Option<Pair<'t>>, EnvError> {
        match found(self.0.get(Some(key), None, op::SET_RANGE))? {
            None => Ok(None),
            Some(_) => self.at(op::GET_CURRENT),
        }
    }

    /// Goes to the last key that is not greater than `key`.
    pub(crate) fn seek_back(&mut self, key: &[u8]) -> Result<Option<Pair<'t>>, EnvError> {
        match found(self.0.get(Some(key), None, op::SET))? {
            Some(_) => self.at(op::GET_CURRENT),
            None => match found(self.0.get(Some(key), None, op::SET_RANGE))? {
                Some(_) => self.at(op::PREV),
                None => self.at(op::LAST),
            },
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Pair<'t>>, EnvError> {
        self.at(op::NEXT)
    }

    pub(crate) fn prev(&mut self) -> Result<Option<Pair<'t>>, EnvError> {
        self.at(op::PREV)
    }

    fn at(&mut self, operation: u32) -> Result<Option<Pair<'t>>, EnvError> {
        Ok(found(self.0.get(None, None, operation))?
            .map(|(key, value)| (key.expect("an operation that moves the cursor reports the key"), value)))
    }
}

/// The one writer. Dropped without a commit, it leaves nothing behind.
pub(crate) struct WriteTxn<'e> {
    txn: RwTransaction<'e>,
    db: Database,
}

impl WriteTxn<'_> {
    /// Room in the page for the value of `key`, to be filled by the caller.
    pub(crate) fn reserve(&mut self, key: &[u8], len: usize) -> Result<&mut [u8], EnvError> {
        Ok(self.txn.reserve(self.db, &key, len, WriteFlags::empty())?)
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EnvError> {
        Ok(self.txn.put(self.db, &key, &value, WriteFlags::empty())?)
    }

    /// Puts behind all other keys, which fills pages to the brim.
    pub(crate) fn append(&mut self, key: &[u8], value: &[u8]) -> Result<(), EnvError> {
        Ok(self.txn.put(self.db, &key, &value, WriteFlags::APPEND)?)
    }

    /// Whether there was such a key to delete.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<bool, EnvError> {
        Ok(found(self.txn.del(self.db, &key, None))?.is_some())
    }

    pub(crate) fn commit(self) -> Result<(), EnvError> {
        Ok(self.txn.commit()?)
    }
}

fn found<T>(answer: lmdb::Result<T>) -> Result<Option<T>, EnvError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(lmdb::Error::NotFound) => Ok(None),
        Err(error) => Err(EnvError(error)),
    }
}
