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

/// The store of one node.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl Disk {
    /// Applies what a turn wrote.
    pub fn commit(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put(table, key, value) => drop(self.rows.insert((table, key), value)),
                Write::Delete(table, key) => drop(self.rows.remove(&(table, key))),
            }
        }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|((table, key), value)| Row { table: *table, key, value })
    }

    /// Reads a page.
    pub fn load(&self, table: Table, range: &Range, limit: usize) -> Vec<KeyValue> {
        let own = |((_, key), value): (&(Table, Vec<u8>), &Vec<u8>)| (key.clone(), value.clone());
        match range {
            Range::From(key) => {
                let rows = self.rows.range((table, key.clone())..).take_while(|((of, _), _)| *of == table);
                rows.take(limit).map(own).collect()
            }
            Range::Before(key) => {
                let start = Bound::Included((table, Vec::new()));
                let rows = self.rows.range((start, Bound::Unbounded));
                let rows =
                    rows.take_while(|((of, _), _)| *of == table).filter(|((_, at), _)| key.is_empty() || at < key);
                let mut all: Vec<KeyValue> = rows.map(own).collect();
                all.reverse();
                all.truncate(limit);
                all
            }
            Range::Exactly(key) => {
                let row = self.rows.get_key_value(&(table, key.clone()));
                row.into_iter().take(limit).map(own).collect()
            }
        }
    }
}
