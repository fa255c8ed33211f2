//! Two rows of an invoice: what it is, and how it ended. The indexes by hash, by label and by payment are made from these
//! at start: a second copy could only disagree.

use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{PaymentHash, PaymentSecret, Preimage};
use crate::request::invoice::{InvoiceInfo, InvoicePaid, InvoiceStatus};
use crate::store::{Key, Row, RowError, RowValue, Table};

/// An invoice as it was made. Key: created index.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceRow {
    /// The client's own name for it.
    pub label: String,
    /// What it is for, unless a client had it deleted.
    pub description: Option<String>,
    /// How much is asked; `None`: anything.
    pub amount: Option<Msat>,
    /// Until when it can be paid, Unix seconds.
    pub expires_at_s: u64,
    /// The proof of payment.
    pub preimage: Preimage,
    /// What a payer must know.
    pub payment_secret: PaymentSecret,
    /// BOLT 11 `c`.
    pub min_final_cltv_expiry_delta: u32,
    /// The text.
    pub bolt11: String,
}

impl RowValue for InvoiceRow {
    const TABLE: Table = Table::Invoice;
}

/// How an invoice ended. Key: created index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceEndRow {
    /// Its number by last change.
    pub updated_index: u64,
    /// How.
    pub end: InvoiceEnd,
}

impl RowValue for InvoiceEndRow {
    const TABLE: Table = Table::InvoiceEnd;
}

/// How an invoice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum InvoiceEnd {
    /// It was paid.
    Paid {
        /// Its number by payment.
        pay_index: u64,
        /// How much came.
        amount_received: Msat,
        /// When.
        paid_at: Wall,
    },
    /// It was not paid in time.
    Expired,
    /// A client had it forgotten. The row stays where its numbers were the last given out: none is given twice.
    Deleted {
        /// Its number by payment, if it was paid.
        pay_index: Option<u64>,
    },
}

impl InvoiceEndRow {
    /// What clients call it.
    pub fn status(&self) -> InvoiceStatus {
        match self.end {
            InvoiceEnd::Paid { .. } => InvoiceStatus::Paid,
            InvoiceEnd::Expired | InvoiceEnd::Deleted { .. } => InvoiceStatus::Expired,
        }
    }

    /// Its number by payment, if it was paid.
    pub fn pay_index(&self) -> Option<u64> {
        match self.end {
            InvoiceEnd::Paid { pay_index, .. } => Some(pay_index),
            InvoiceEnd::Deleted { pay_index } => pay_index,
            InvoiceEnd::Expired => None,
        }
    }
}

impl InvoiceRow {
    /// Its hash.
    pub fn payment_hash(&self) -> PaymentHash {
        self.preimage.payment_hash()
    }

    /// As clients see it.
    pub fn info(&self, created_index: u64, end: Option<&InvoiceEndRow>) -> InvoiceInfo {
        InvoiceInfo {
            label: self.label.clone(),
            description: self.description.clone(),
            payment_hash: self.payment_hash(),
            status: end.map_or(InvoiceStatus::Unpaid, InvoiceEndRow::status),
            expires_at_s: self.expires_at_s,
            amount_msat: self.amount,
            bolt11: Some(self.bolt11.clone()),
            created_index,
            updated_index: end.map(|end| end.updated_index),
            paid: end.and_then(|end| match end.end {
                InvoiceEnd::Paid { pay_index, amount_received, paid_at } => Some(InvoicePaid {
                    pay_index,
                    amount_received_msat: amount_received,
                    paid_at,
                    preimage: self.preimage,
                    outpoint: None,
                }),
                InvoiceEnd::Expired | InvoiceEnd::Deleted { .. } => None,
            }),
        }
    }
}

/// Key of both rows.
pub fn index_key(index: u64) -> Key {
    Key::new().u64(index)
}

/// Reads such a key.
pub fn parse_index(row: &Row<'_>) -> Result<u64, RowError> {
    row.key_array().map(u64::from_be_bytes)
}
