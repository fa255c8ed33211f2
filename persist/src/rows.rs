//! Reading rows: their checksums, bounded pages of history, and everything at once at start.
//!
//! A stored value ends with the CRC32C of its whole key and its bytes. The key is part of it so that a value that
//! turns up under another key is noticed too.

use crate::env::{Env, EnvError, Pair, ReadCursor, ReadTxn};
use crate::{KEY_BYTES_MAX, ReadError, TABLES_MAX};

/// What a row takes beyond its value.
pub(crate) const TRAILER_BYTES: usize = 4;

/// A row, borrowed from the page it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// Its table.
    pub table: u8,
    /// Its key within the table.
    pub key: &'a [u8],
    /// Its value, checked.
    pub value: &'a [u8],
}

/// A row of a known table, copied out of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRow {
    /// Its key within the table.
    pub key: Vec<u8>,
    /// Its value, checked.
    pub value: Vec<u8>,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards greater keys.
    Forward,
    /// Towards smaller keys.
    Backward,
}

/// Where a scan begins. A key that is named need not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From<'a> {
    /// At the first key with the prefix, or at the last if the scan goes backward.
    Edge,
    /// At this key, for instance the `next` of the page before.
    At(&'a [u8]),
    /// Behind this key, in the direction of the scan.
    Past(&'a [u8]),
}

/// Which rows to read: one slice of a table, bounded in rows and bytes so that no reader holds up a turn.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// The table.
    pub table: u8,
    /// Only keys that begin so.
    pub prefix: &'a [u8],
    /// Where to begin.
    pub from: From<'a>,
    /// Which way to go.
    pub direction: Direction,
    /// At most so many rows.
    pub rows_max: usize,
    /// At most so many bytes of keys and values; the first row is returned however long it is.
    pub bytes_max: usize,
}

/// The answer to a [`Scan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows, in the order of the scan.
    pub rows: Vec<OwnedRow>,
    /// Where the next page begins, if there is more.
    pub next: Option<Vec<u8>>,
}

pub(crate) fn scan(env: &Env, scan: Scan<'_>) -> Result<Page, ReadError> {
    let prefix = full_key(scan.table, scan.prefix);
    let txn = env.read()?;
    let mut cursor = txn.cursor()?;
    let mut at = match (scan.from, scan.direction) {
        (From::Edge, Direction::Forward) => cursor.seek(&prefix)?,
        (From::Edge, Direction::Backward) => last_with_prefix(&mut cursor, &prefix)?,
        (From::At(key) | From::Past(key), direction) => {
            let from = full_key(scan.table, key);
            let found = match direction {
                Direction::Forward => cursor.seek(&from)?,
                Direction::Backward => cursor.seek_back(&from)?,
            };
            match found {
                Some((key, _)) if key == from && matches!(scan.from, From::Past(_)) => step(&mut cursor, direction)?,
                found => found,
            }
        }
    };
    let mut page = Page::default();
    let mut bytes = 0;
    while let Some((key, stored)) = at {
        if !key.starts_with(&prefix) {
            break;
        }
        let value = open_value(key, stored)?;
        let key = &key[1..];
        bytes += key.len() + value.len();
        if page.rows.len() == scan.rows_max || (bytes > scan.bytes_max && !page.rows.is_empty()) {
            page.next = Some(key.to_vec());
            break;
        }
        page.rows.push(OwnedRow { key: key.to_vec(), value: value.to_vec() });
        at = step(&mut cursor, scan.direction)?;
    }
    Ok(page)
}

fn step<'t>(cursor: &mut ReadCursor<'t>, direction: Direction) -> Result<Option<Pair<'t>>, EnvError> {
    match direction {
        Direction::Forward => cursor.next(),
        Direction::Backward => cursor.prev(),
    }
}

/// The greatest key that has the prefix is the one before the least key behind all that have it.
fn last_with_prefix<'t>(cursor: &mut ReadCursor<'t>, prefix: &[u8]) -> Result<Option<Pair<'t>>, ReadError> {
    let mut behind = prefix.to_vec();
    while behind.last() == Some(&u8::MAX) {
        behind.pop();
    }
    // The first byte is a table's number, so something less than 255 is left.
    *behind.last_mut().expect("a table's number is less than 255") += 1;
    Ok(match cursor.seek_back(&behind)? {
        Some((key, _)) if key == behind => cursor.prev()?,
        other => other,
    })
}

pub(crate) fn get(env: &Env, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    let key = full_key(table, key);
    let txn = env.read()?;
    txn.get(&key)?.map(|stored| Ok(open_value(&key, stored)?.to_vec())).transpose()
}

/// A consistent view of the whole store, for reading everything at start.
pub struct Snapshot<'s> {
    txn: ReadTxn<'s>,
}

impl<'s> Snapshot<'s> {
    pub(crate) fn new(env: &'s Env) -> Result<Snapshot<'s>, ReadError> {
        Ok(Snapshot { txn: env.read()? })
    }

    /// All rows by table and key, borrowed from their pages. After an error the iterator ends.
    pub fn rows(&self) -> Result<Rows<'_>, ReadError> {
        let mut cursor = self.txn.cursor()?;
        let first = cursor.seek(&[0])?;
        Ok(Rows { cursor, at: first })
    }
}

/// Iterates over all rows of a [`Snapshot`].
pub struct Rows<'t> {
    cursor: ReadCursor<'t>,
    at: Option<Pair<'t>>,
}

impl<'t> Iterator for Rows<'t> {
    type Item = Result<RowRef<'t>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, stored) = self.at.take()?;
        let (&table, rest) = key.split_first()?;
        if table >= TABLES_MAX {
            return None;
        }
        let row = open_value(key, stored).map(|value| RowRef { table, key: rest, value });
        if row.is_ok() {
            self.at = match self.cursor.next() {
                Ok(at) => at,
                Err(error) => return Some(Err(error.into())),
            };
        }
        Some(row)
    }
}

/// The key in the tree: the table's number, then the row's key.
pub(crate) fn full_key(table: u8, key: &[u8]) -> Vec<u8> {
    assert_fits(table, key);
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table);
    full.extend_from_slice(key);
    full
}

/// Tables and keys come from our own code, so a wrong one is our bug.
pub(crate) fn assert_fits(table: u8, key: &[u8]) {
    assert!(table < TABLES_MAX, "table {table} is not below {TABLES_MAX}");
    assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes is longer than {KEY_BYTES_MAX}", key.len());
}

pub(crate) fn checksum(full_key: &[u8], value: &[u8]) -> [u8; TRAILER_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(full_key), value).to_le_bytes()
}

pub(crate) fn append_trailer(full_key: &[u8], value: &mut Vec<u8>) {
    let trailer = checksum(full_key, value);
    value.extend_from_slice(&trailer);
}

/// The value without its trailer, if that fits.
pub(crate) fn open_value<'a>(full_key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], ReadError> {
    match stored.split_last_chunk::<TRAILER_BYTES>() {
        Some((value, trailer)) if *trailer == checksum(full_key, value) => Ok(value),
        _ => Err(corrupt(full_key)),
    }
}

pub(crate) fn corrupt(full_key: &[u8]) -> ReadError {
    let (table, key) = full_key.split_first().map_or((u8::MAX, full_key), |(table, key)| (*table, key));
    ReadError::Corrupt { table, key: key.to_vec() }
}
