//! Rows of invoices: what one is, that it was paid, and which payment was whose.

use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{PaymentHash, PaymentSecret, Preimage};
use crate::request::invoice::{InvoiceInfo, InvoicePaid, InvoiceStatus};
use crate::store::{Key, RowValue, Table};

/// An invoice, as it was made.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceRow {
    /// The client's name for it, unique.
    pub label: String,
    /// What it is for, unless that was deleted.
    pub description: Option<String>,
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// BOLT 11 `s`.
    pub payment_secret: PaymentSecret,
    /// What the hash is of.
    pub preimage: [u8; 32],
    /// What is asked; `None`: anything.
    pub amount: Option<Msat>,
    /// Unix seconds.
    pub expires_at_s: u64,
    /// BOLT 11 `c`.
    pub min_final_cltv_expiry_delta: u32,
    /// The text.
    pub bolt11: String,
}

impl RowValue for InvoiceRow {
    const TABLE: Table = Table::Invoice;
}

/// That an invoice was paid. Where the invoice itself was deleted, the row may stay: it then says only that these
/// numbers were given out, and none is given twice, or a client that counts payments would miss one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceEndRow {
    /// Which payment this is, from 1 on; zero where it only keeps the invoice's own number.
    pub pay_index: u64,
    /// What came.
    pub received: Msat,
    /// Unix milliseconds.
    pub at_ms: u64,
}

impl RowValue for InvoiceEndRow {
    const TABLE: Table = Table::InvoiceEnd;
}

/// Pay index to created index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoicePaidRow(pub u64);

impl RowValue for InvoicePaidRow {
    const TABLE: Table = Table::InvoicePaid;
}

/// Key of an invoice, of its end, or of a pay index.
pub fn index_key(index: u64) -> Key {
    Key::new().u64(index)
}

/// An invoice as clients see it. Created indices count from 1 for them.
pub fn info(index: u64, row: &InvoiceRow, end: Option<&InvoiceEndRow>, wall: Wall) -> InvoiceInfo {
    let status = match end {
        Some(_) => InvoiceStatus::Paid,
        None if row.expires_at_s <= wall.unix_s() => InvoiceStatus::Expired,
        None => InvoiceStatus::Unpaid,
    };
    InvoiceInfo {
        label: row.label.clone(),
        description: row.description.clone(),
        payment_hash: row.payment_hash,
        status,
        expires_at_s: row.expires_at_s,
        amount_msat: row.amount,
        bolt11: Some(row.bolt11.clone()),
        created_index: index + 1,
        updated_index: end.map(|end| end.pay_index),
        paid: end.map(|end| InvoicePaid {
            pay_index: end.pay_index,
            amount_received_msat: end.received,
            paid_at: Wall(end.at_ms),
            preimage: Preimage(row.preimage),
            outpoint: None,
        }),
    }
}
