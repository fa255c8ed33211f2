//! The store's own row: what format the rows have, which store this is, and where its state counter starts.

use crate::env::{EnvError, ReadTxn, WriteTxn};
use crate::rows;
use crate::{OpenError, ReadError};

/// The store's own table. It sorts behind all others.
pub(crate) const META_TABLE: u8 = 255;
const META_KEY: &[u8] = b"\xffmeta";

/// The format of the trailer and of this row. What the values hold has its own version, in each value.
pub(crate) const FORMAT: u32 = 1;

const META_BYTES: usize = 4 + 16 + 8;

/// Tells one store from another; a copy keeps the id of its original.
pub(crate) type StoreId = [u8; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) format: u32,
    pub(crate) id: StoreId,
    /// The state counter is this plus LMDB's number of the last commit. Wraps, because a copy starts LMDB's numbers
    /// anew and a freshly made store may start below it.
    pub(crate) counter_base: u64,
}

impl Meta {
    pub(crate) fn read(txn: &ReadTxn<'_>) -> Result<Option<Meta>, ReadError> {
        let Some(stored) = txn.get(META_KEY)? else { return Ok(None) };
        let bytes = rows::open_value(META_KEY, stored)?;
        let Ok(bytes) = <&[u8; META_BYTES]>::try_from(bytes) else {
            return Err(rows::corrupt(META_KEY));
        };
        let (format, rest) = bytes.split_first_chunk::<4>().expect("the row is longer than that");
        let (id, base) = rest.split_first_chunk::<16>().expect("the row is longer than that");
        let base = <[u8; 8]>::try_from(base).expect("eight bytes are left");
        Ok(Some(Meta { format: u32::from_le_bytes(*format), id: *id, counter_base: u64::from_le_bytes(base) }))
    }

    pub(crate) fn write(&self, txn: &mut WriteTxn<'_>) -> Result<(), EnvError> {
        let mut value = Vec::with_capacity(META_BYTES + rows::TRAILER_BYTES);
        value.extend_from_slice(&self.format.to_le_bytes());
        value.extend_from_slice(&self.id);
        value.extend_from_slice(&self.counter_base.to_le_bytes());
        rows::append_trailer(META_KEY, &mut value);
        txn.put(META_KEY, &value)
    }

    pub(crate) fn counter(&self, last_commit: u64) -> u64 {
        self.counter_base.wrapping_add(last_commit)
    }
}

/// A new store's id, from the operating system.
pub(crate) fn random_id() -> Result<StoreId, OpenError> {
    const SOURCE: &str = "/dev/urandom";
    let mut id = StoreId::default();
    let mut file = std::fs::File::open(SOURCE).map_err(OpenError::io("open", SOURCE))?;
    std::io::Read::read_exact(&mut file, &mut id).map_err(OpenError::io("read", SOURCE))?;
    Ok(id)
}
