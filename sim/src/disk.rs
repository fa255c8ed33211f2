//! Rows in memory: what a committed turn has written.

use std::collections::BTreeMap;
use std::ops::Bound;

use leyden_core::store::{Row, Table};

/// Key and value of a row.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// One write of a turn that is not committed.
#[derive(Clone, Debug)]
pub enum Write {
    /// Set a row.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Remove a row.
    Delete(Table, Vec<u8>),
}

/// Which rows to read back.
#[derive(Clone, Debug)]
pub enum Range {
    /// At or after, ascending.
    From(Vec<u8>),
    /// Strictly before, descending; empty: from the end.
    Before(Vec<u8>),
    /// This one.
    Exactly(Vec<u8>),
}

/// A row that does not borrow.
fn own((key, value): (impl AsRef<[u8]>, impl AsRef<[u8]>)) -> KeyValue {
    (key.as_ref().to_vec(), value.as_ref().to_vec())
}

/// The rows of one table.
type Rows = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The store of one node. Each table is a map of its own, so that keys are found without being copied.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    tables: BTreeMap<Table, Rows>,
}

impl Disk {
    /// Applies what a turn wrote.
    pub fn commit(&mut self, writes: impl IntoIterator<Item = Write>) {
        for write in writes {
            match write {
                Write::Put(table, key, value) => {
                    let value = value.into_boxed_slice();
                    let rows = self.tables.entry(table).or_default();
                    match rows.get_mut(key.as_slice()) {
                        Some(known) => *known = value,
                        None => drop(rows.insert(key.into_boxed_slice(), value)),
                    }
                }
                Write::Delete(table, key) => {
                    if let Some(rows) = self.tables.get_mut(&table) {
                        rows.remove(key.as_slice());
                    }
                }
            }
        }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.tables.iter().flat_map(|(table, rows)| rows.iter().map(|(key, value)| Row { table: *table, key, value }))
    }

    /// Reads a page.
    pub fn load(&self, table: Table, range: &Range, limit: usize) -> Vec<KeyValue> {
        let Some(rows) = self.tables.get(&table) else { return Vec::new() };
        let all = Bound::Unbounded;
        match range {
            Range::From(key) => {
                rows.range::<[u8], _>((Bound::Included(key.as_slice()), all)).take(limit).map(own).collect()
            }
            Range::Before(key) => {
                let end = if key.is_empty() { all } else { Bound::Excluded(key.as_slice()) };
                rows.range::<[u8], _>((all, end)).rev().take(limit).map(own).collect()
            }
            Range::Exactly(key) => rows.get_key_value(key.as_slice()).into_iter().take(limit).map(own).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_from_either_end_and_stay_in_their_table() {
        let mut disk = Disk::default();
        for (table, keys) in [(Table::Node, 1..3u8), (Table::Channel, 1..6), (Table::Commitment, 1..3)] {
            disk.commit(keys.map(|key| Write::Put(table, vec![key], vec![0; 3])));
        }
        disk.commit([
            Write::Put(Table::Channel, vec![2], vec![7]),
            Write::Delete(Table::Channel, vec![4]),
            Write::Delete(Table::Channel, vec![9]),
        ]);
        let keys = |range, limit| {
            let rows = disk.load(Table::Channel, &range, limit);
            rows.into_iter().map(|(key, _)| key[0]).collect::<Vec<_>>()
        };
        assert_eq!(keys(Range::From(vec![]), 9), [1, 2, 3, 5]);
        assert_eq!(keys(Range::From(vec![2]), 2), [2, 3]);
        assert_eq!(keys(Range::Before(vec![]), 2), [5, 3]);
        assert_eq!(keys(Range::Before(vec![3]), 9), [2, 1]);
        assert!(keys(Range::Exactly(vec![4]), 9).is_empty());
        assert_eq!(disk.load(Table::Channel, &Range::Exactly(vec![2]), 1), [(vec![2], vec![7])]);
        let order: Vec<(Table, u8)> = disk.rows().map(|row| (row.table, row.key[0])).collect();
        assert!(order.is_sorted() && order.len() == 8);
    }
}
