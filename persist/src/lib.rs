//! Leyden's rows in LMDB: one transaction per turn, and the monotonic state counter.
//!
//! A row is a table number, a key and a value; what they mean is not known here. All tables live in **one** LMDB
//! tree, the table number being the first byte of the key. LMDB copies every page on the path to a changed row, so
//! what a turn costs is the number of paths it touches. With one tree per table each touched table would pay its own
//! root, its own leaf and the page of the main tree where its root is recorded; in one tree the paths share their
//! upper pages, and in a small node their leaves as well. Ordered scans of one table are a prefix either way.
//!
//! - [`Store`] is the open environment. One process at a time, see [`lock`].
//! - [`Turn`] gathers the rows of one turn and commits them durably, or not at all.
//! - [`Scan`] and [`Page`] read history in bounded slices, [`Snapshot`] reads everything at start.
//! - [`Headroom`] tells before a turn whether its rows will fit.
//! - [`counter`] recognises an old copy of the store that somebody put back.
//! - [`backup`] makes a consistent copy of a store that is in use.

pub mod backup;
pub mod batch;
pub mod counter;
mod env;
mod error;
pub mod headroom;
pub mod lock;
mod meta;
pub mod rows;
mod store;

#[cfg(test)]
mod tests;

pub use batch::{Committed, Turn};
pub use counter::{Freshness, Unknown};
pub use error::{Fatal, OpenError, ReadError};
pub use headroom::{Headroom, Level};
pub use rows::{Direction, OwnedRow, Page, RowRef, Scan, Snapshot};
pub use store::{Options, Store};

/// How many tables there are for the user of the store; ids from here on belong to the store itself.
pub const TABLES_MAX: u8 = 64;

/// The longest key of a row: LMDB's limit of 511 bytes, less the table's byte.
pub const KEY_BYTES_MAX: usize = 510;
