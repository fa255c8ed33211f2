//! Transactions that have left memory, read back from the store page by page.

use super::rows::TransactionRow;
use crate::command::{Command, LoadRange, Sink};
use crate::ids::QueryId;
use crate::limits::HISTORY_PAGE_ROWS;
use crate::request::wallet::WalletTransaction;
use crate::store::{Row, RowError, Table};

/// `listtransactions`, under way.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct TransactionsQuery {
    found: Vec<(Order, WalletTransaction)>,
}

/// Confirmed ones by their place in the chain, then the others by when we learned of them.
type Order = (u32, u32, u64);

impl TransactionsQuery {
    /// Asks for the first page.
    pub fn start(query: QueryId, out: &mut dyn Sink) -> TransactionsQuery {
        load(query, &[], out);
        TransactionsQuery::default()
    }

    /// Takes in a page. `None`: another one is on its way.
    pub fn loaded(
        &mut self,
        query: QueryId,
        rows: &[Row<'_>],
        out: &mut dyn Sink,
    ) -> Result<Option<Vec<WalletTransaction>>, RowError> {
        for row in rows {
            let value: TransactionRow = row.decode()?;
            let (height, index) = value.confirmed.map_or((u32::MAX, u32::MAX), |(height, index)| (height.0, index));
            let transaction = WalletTransaction { tx: value.tx()?, confirmed: value.confirmed };
            self.found.push(((height, index, value.order), transaction));
        }
        match rows.last() {
            Some(last) if rows.len() == HISTORY_PAGE_ROWS => {
                // The first key behind this one.
                let mut next = last.key.to_vec();
                next.push(0);
                load(query, &next, out);
                Ok(None)
            }
            _ => {
                let mut found = std::mem::take(&mut self.found);
                found.sort_by_key(|(order, _)| *order);
                Ok(Some(found.into_iter().map(|(_, transaction)| transaction).collect()))
            }
        }
    }
}

fn load(query: QueryId, from: &[u8], out: &mut dyn Sink) {
    let (table, limit) = (Table::Transaction, HISTORY_PAGE_ROWS as u32);
    out.emit(Command::Load { query, table, range: LoadRange::From(from), limit });
}
