//! Rows of invoices: what one is, that it was paid, and which payment was whose.

use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{BlockHeight, PaymentHash, PaymentSecret, Preimage};
use crate::payment::incoming::{HeldPart, settle_before};
use crate::request::invoice::{InvoiceHeld, InvoiceInfo, InvoicePaid, InvoiceStatus};
use crate::store::{Key, RowError, RowValue, Table, decode_from};

/// Who knows the preimage of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Proof {
    /// We do: a payment is claimed as soon as it is whole.
    Ours([u8; 32]),
    /// The client does, who made a hold invoice: a payment waits for it, and it is here once the invoice is settled.
    Hold(Option<[u8; 32]>),
}

impl Proof {
    /// The preimage, where we know it.
    pub fn preimage(self) -> Option<Preimage> {
        match self {
            Proof::Ours(preimage) => Some(Preimage(preimage)),
            Proof::Hold(preimage) => preimage.map(Preimage),
        }
    }

    /// Is it that of a hold invoice?
    pub fn is_hold(self) -> bool {
        matches!(self, Proof::Hold(_))
    }
}

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
    pub proof: Proof,
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
    const VERSION: u8 = 2;

    fn decode_old(version: u8, bytes: &[u8]) -> Result<InvoiceRow, RowError> {
        if version != 1 {
            return Err(RowError::UnknownVersion { table: Self::TABLE, version });
        }
        let old: InvoiceRowV1 = decode_from(bytes)
            .map_err(|error| RowError::Malformed { table: Self::TABLE, detail: error.to_string() })?;
        Ok(InvoiceRow {
            label: old.label,
            description: old.description,
            payment_hash: old.payment_hash,
            payment_secret: old.payment_secret,
            proof: Proof::Ours(old.preimage),
            amount: old.amount,
            expires_at_s: old.expires_at_s,
            min_final_cltv_expiry_delta: old.min_final_cltv_expiry_delta,
            bolt11: old.bolt11,
        })
    }
}

/// An invoice of a time when there were no hold invoices.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) struct InvoiceRowV1 {
    pub(super) label: String,
    pub(super) description: Option<String>,
    pub(super) payment_hash: PaymentHash,
    pub(super) payment_secret: PaymentSecret,
    pub(super) preimage: [u8; 32],
    pub(super) amount: Option<Msat>,
    pub(super) expires_at_s: u64,
    pub(super) min_final_cltv_expiry_delta: u32,
    pub(super) bolt11: String,
}

/// What became of a hold invoice that is not paid.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum InvoiceHoldRow {
    /// A whole payment is here and waits for the client's word.
    Accepted {
        /// Its HTLCs.
        parts: Vec<HeldPart>,
        /// Unix milliseconds.
        at_ms: u64,
    },
    /// It went back, or nothing will be taken any more.
    Cancelled {
        /// Unix milliseconds.
        at_ms: u64,
    },
}

impl RowValue for InvoiceHoldRow {
    const TABLE: Table = Table::InvoiceHold;
}

/// All that rows say of one invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvoice {
    /// What it is.
    pub row: InvoiceRow,
    /// That it was paid.
    pub end: Option<InvoiceEndRow>,
    /// How its holding went.
    pub hold: Option<InvoiceHoldRow>,
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

impl StoredInvoice {
    /// The invoice as clients see it. Created indices count from 1 for them.
    pub fn info(&self, index: u64, wall: Wall) -> InvoiceInfo {
        let StoredInvoice { row, end, hold } = self;
        let status = match (end, hold) {
            (Some(_), _) => InvoiceStatus::Paid,
            (None, Some(InvoiceHoldRow::Accepted { .. })) => InvoiceStatus::Accepted,
            (None, Some(InvoiceHoldRow::Cancelled { .. })) => InvoiceStatus::Cancelled,
            (None, None) if row.expires_at_s <= wall.unix_s() => InvoiceStatus::Expired,
            (None, None) => InvoiceStatus::Unpaid,
        };
        let held = match hold {
            Some(InvoiceHoldRow::Accepted { parts, at_ms }) => Some(InvoiceHeld {
                amount_received_msat: parts.iter().map(|part| part.amount).sum(),
                accepted_at: Wall(*at_ms),
                settle_before: settle_before(parts).unwrap_or(BlockHeight(0)),
            }),
            _ => None,
        };
        let paid = end.zip(row.proof.preimage()).map(|(end, preimage)| InvoicePaid {
            pay_index: end.pay_index,
            amount_received_msat: end.received,
            paid_at: Wall(end.at_ms),
            preimage,
            outpoint: None,
        });
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
            held,
            paid,
        }
    }
}
