//! Our own invoices: those that can still be paid are in memory, the others only in rows.
//!
//! An invoice is written once; that it was paid is a second small row. That it has expired is no row at all, but a fact
//! of the clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Msat;
use crate::clock::{Clock, Mono, Wall};
use crate::command::{Command, Sink};
use crate::ids::{PaymentHash, PaymentSecret, Preimage, RequestId};
use crate::limits::{INVOICES_OPEN_MAX, WAITERS_MAX};
use crate::request::invoice::{InvoiceInfo, InvoicePaid, InvoiceStatus};
use crate::request::{RequestError, Response};
use crate::store::{Key, Row, RowError, RowValue, Table};

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

/// That an invoice was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InvoiceEndRow {
    /// Which payment this is, from 1 on.
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

/// A client that waits for an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    /// For this one.
    One { request: RequestId, index: u64 },
    /// For any that is paid.
    Any { request: RequestId, until: Option<Mono> },
}

impl Waiter {
    fn request(&self) -> RequestId {
        match self {
            Waiter::One { request, .. } | Waiter::Any { request, .. } => *request,
        }
    }
}

/// Answers that are due.
pub type Replies = Vec<(RequestId, Result<Response, RequestError>)>;

/// All invoices.
#[derive(Debug, Default)]
pub struct Invoices {
    next_index: u64,
    next_pay_index: u64,
    open: BTreeMap<u64, InvoiceRow>,
    by_hash: BTreeMap<PaymentHash, u64>,
    by_label: BTreeMap<String, u64>,
    expiries: BTreeSet<(u64, u64)>,
    paid: BTreeSet<u64>,
    waiters: Vec<Waiter>,
    /// What the wall and the monotonic clock showed together, to turn an expiry into a deadline.
    clock: Clock,
}

impl Invoices {
    /// Takes in one row; those of other tables are passed over.
    pub fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        match row.table {
            Table::Invoice => {
                let index = u64::from_be_bytes(row.key_array()?);
                let invoice: InvoiceRow = row.decode()?;
                self.next_index = self.next_index.max(index + 1);
                self.by_hash.insert(invoice.payment_hash, index);
                self.by_label.insert(invoice.label.clone(), index);
                self.open.insert(index, invoice);
            }
            Table::InvoiceEnd => {
                let index = u64::from_be_bytes(row.key_array()?);
                let end: InvoiceEndRow = row.decode()?;
                self.next_pay_index = self.next_pay_index.max(end.pay_index);
                self.paid.insert(index);
            }
            _ => {}
        }
        Ok(())
    }

    /// After the rows: only what can still be paid stays.
    pub fn finish(&mut self, clock: Clock) {
        self.clock = clock;
        let paid = std::mem::take(&mut self.paid);
        self.open.retain(|index, row| !paid.contains(index) && row.expires_at_s > clock.wall.unix_s());
        self.expiries = self.open.iter().map(|(index, row)| (row.expires_at_s, *index)).collect();
    }

    /// May such an invoice be made?
    pub fn check_new(&self, label: &str, payment_hash: PaymentHash) -> Result<(), RequestError> {
        if self.by_label.contains_key(label) {
            let text = format!("Duplicate label '{label}'");
            return Err(RequestError::new(RequestError::INVOICE_LABEL_ALREADY_EXISTS, text));
        }
        if self.by_hash.contains_key(&payment_hash) {
            let text = "preimage already used by another invoice";
            return Err(RequestError::new(RequestError::INVOICE_PREIMAGE_ALREADY_EXISTS, text));
        }
        if self.open.len() >= INVOICES_OPEN_MAX {
            return Err(RequestError::generic("too many invoices can still be paid: delete some or let them expire"));
        }
        Ok(())
    }

    /// Writes down a new invoice, which `check_new` has allowed. Returns its created index.
    pub fn create(&mut self, out: &mut dyn Sink, row: InvoiceRow) -> u64 {
        let index = self.next_index;
        self.next_index += 1;
        out.emit(Command::Put { table: Table::Invoice, key: index_key(index).as_slice(), value: &row });
        self.by_hash.insert(row.payment_hash, index);
        self.by_label.insert(row.label.clone(), index);
        self.expiries.insert((row.expires_at_s, index));
        self.open.insert(index, row);
        index
    }

    /// The invoice of this hash, if it can still be paid.
    pub fn open(&self, payment_hash: PaymentHash) -> Option<&InvoiceRow> {
        self.open.get(self.by_hash.get(&payment_hash)?)
    }

    /// The created index of a label, whatever became of the invoice.
    pub fn index_of_label(&self, label: &str) -> Option<u64> {
        self.by_label.get(label).copied()
    }

    /// The created index of a hash, whatever became of the invoice.
    pub fn index_of_hash(&self, payment_hash: PaymentHash) -> Option<u64> {
        self.by_hash.get(&payment_hash).copied()
    }

    /// Can it still be paid?
    pub fn is_open(&self, index: u64) -> bool {
        self.open.contains_key(&index)
    }

    /// The invoice of this hash is paid. Returns the preimage, and the answers of those who waited.
    pub fn paid(
        &mut self,
        out: &mut dyn Sink,
        clock: Clock,
        payment_hash: PaymentHash,
        received: Msat,
    ) -> (Preimage, Replies) {
        let index = self.by_hash[&payment_hash];
        let row = self.open.remove(&index).expect("only an open invoice is paid");
        self.expiries.remove(&(row.expires_at_s, index));
        self.next_pay_index += 1;
        let end = InvoiceEndRow { pay_index: self.next_pay_index, received, at_ms: clock.wall.0 };
        out.emit(Command::Put { table: Table::InvoiceEnd, key: index_key(index).as_slice(), value: &end });
        let key = index_key(end.pay_index);
        out.emit(Command::Put { table: Table::InvoicePaid, key: key.as_slice(), value: &InvoicePaidRow(index) });
        let shown = info(index, &row, Some(&end), clock.wall);
        let mut replies = Vec::new();
        self.waiters.retain(|waiter| {
            let meant = match waiter {
                Waiter::One { index: wanted, .. } => *wanted == index,
                Waiter::Any { .. } => true,
            };
            if meant {
                replies.push((waiter.request(), Ok(Response::Invoice(Box::new(shown.clone())))));
            }
            !meant
        });
        (Preimage(row.preimage), replies)
    }

    /// Forgets an invoice in whatever state. Returns whether there was one.
    pub fn forget(&mut self, out: &mut dyn Sink, index: u64, row: &InvoiceRow, end: Option<&InvoiceEndRow>) {
        out.emit(Command::Delete { table: Table::Invoice, key: index_key(index).as_slice() });
        if let Some(end) = end {
            out.emit(Command::Delete { table: Table::InvoiceEnd, key: index_key(index).as_slice() });
            out.emit(Command::Delete { table: Table::InvoicePaid, key: index_key(end.pay_index).as_slice() });
        }
        self.by_hash.remove(&row.payment_hash);
        self.by_label.remove(&row.label);
        self.expiries.remove(&(row.expires_at_s, index));
        self.open.remove(&index);
    }

    /// Waits for one invoice that can still be paid.
    pub fn wait_one(&mut self, request: RequestId, index: u64) -> Result<(), RequestError> {
        self.wait(Waiter::One { request, index })
    }

    /// Waits for the next payment.
    pub fn wait_any(&mut self, request: RequestId, until: Option<Mono>) -> Result<(), RequestError> {
        self.wait(Waiter::Any { request, until })
    }

    fn wait(&mut self, waiter: Waiter) -> Result<(), RequestError> {
        if self.waiters.len() >= WAITERS_MAX {
            return Err(RequestError::generic("too many clients are waiting"));
        }
        self.waiters.push(waiter);
        Ok(())
    }

    /// The last payment's number.
    pub fn last_pay_index(&self) -> u64 {
        self.next_pay_index
    }

    /// A client has gone.
    pub fn forget_request(&mut self, request: RequestId) {
        self.waiters.retain(|waiter| waiter.request() != request);
    }

    /// Works off expiries and patience. Returns the hashes that have expired, and answers.
    pub fn on_deadline(&mut self, clock: Clock) -> (Vec<PaymentHash>, Replies) {
        self.clock = clock;
        let (mut expired, mut replies) = (Vec::new(), Vec::new());
        while let Some(&(expires_at_s, index)) = self.expiries.first() {
            if expires_at_s > clock.wall.unix_s() {
                break;
            }
            self.expiries.pop_first();
            let row = self.open.remove(&index).expect("what can expire is open");
            expired.push(row.payment_hash);
            self.waiters.retain(|waiter| {
                let meant = matches!(waiter, Waiter::One { index: wanted, .. } if *wanted == index);
                if meant {
                    let text = "Invoice expired while it was waited for";
                    let error = RequestError::new(RequestError::INVOICE_EXPIRED_DURING_WAIT, text);
                    replies.push((waiter.request(), Err(error)));
                }
                !meant
            });
        }
        self.waiters.retain(|waiter| {
            let late = matches!(waiter, Waiter::Any { until: Some(until), .. } if *until <= clock.mono);
            if late {
                let text = "Timed out while waiting for an invoice to be paid";
                replies.push((waiter.request(), Err(RequestError::new(RequestError::INVOICE_WAIT_TIMED_OUT, text))));
            }
            !late
        });
        (expired, replies)
    }

    /// When the next expiry or the end of some patience is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        let expiry = self.expiries.first().map(|(expires_at_s, _)| {
            let left_ms = expires_at_s.saturating_mul(1000).saturating_sub(self.clock.wall.0);
            // A clock that is set meanwhile only makes us look too early or a little late, at most an hour.
            self.clock.mono.plus_ms(left_ms.min(3_600_000))
        });
        let patience = self.waiters.iter().filter_map(|waiter| match waiter {
            Waiter::Any { until, .. } => *until,
            Waiter::One { .. } => None,
        });
        patience.chain(expiry).min()
    }

    /// The clock as it is now, so that deadlines are reckoned from here.
    pub fn see(&mut self, clock: Clock) {
        self.clock = clock;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;
    impl Sink for Nowhere {
        fn emit(&mut self, _: Command<'_>) {}
    }

    fn clock(s: u64) -> Clock {
        Clock { mono: Mono(s * 1000), wall: Wall(s * 1000) }
    }

    fn row(number: u8, expires_at_s: u64) -> InvoiceRow {
        InvoiceRow {
            label: format!("label {number}"),
            description: None,
            payment_hash: PaymentHash([number; 32]),
            payment_secret: PaymentSecret([1; 32]),
            preimage: [2; 32],
            amount: Some(Msat(5)),
            expires_at_s,
            min_final_cltv_expiry_delta: 18,
            bolt11: String::new(),
        }
    }

    #[test]
    fn labels_and_preimages_stay_taken() {
        let mut invoices = Invoices::default();
        invoices.create(&mut Nowhere, row(1, 100));
        invoices.paid(&mut Nowhere, clock(1), PaymentHash([1; 32]), Msat(5));
        let code = |result: Result<(), RequestError>| result.expect_err("taken").code;
        assert_eq!(code(invoices.check_new("label 1", PaymentHash([2; 32]))), 900);
        assert_eq!(code(invoices.check_new("another", PaymentHash([1; 32]))), 901);
        assert_eq!(invoices.check_new("another", PaymentHash([2; 32])), Ok(()));
        assert!(invoices.open(PaymentHash([1; 32])).is_none(), "it is paid once");
    }

    #[test]
    fn who_waits_is_told_of_payment_and_of_expiry() {
        let mut invoices = Invoices::default();
        let first = invoices.create(&mut Nowhere, row(1, 100));
        let second = invoices.create(&mut Nowhere, row(2, 100));
        invoices.wait_one(RequestId(1), first).expect("there is room");
        invoices.wait_one(RequestId(2), second).expect("there is room");
        invoices.wait_any(RequestId(3), Some(Mono(200_000))).expect("there is room");
        let (_, replies) = invoices.paid(&mut Nowhere, clock(1), PaymentHash([1; 32]), Msat(7));
        assert_eq!(replies.iter().map(|(request, _)| request.0).collect::<Vec<_>>(), [1, 3]);
        let (expired, replies) = invoices.on_deadline(clock(100));
        assert_eq!(expired, [PaymentHash([2; 32])]);
        assert_eq!(replies[0].0, RequestId(2));
        assert!(matches!(&replies[0].1, Err(error) if error.code == 903));
        assert_eq!(invoices.next_deadline(), None);
    }

    #[test]
    fn a_restart_keeps_only_what_can_be_paid() {
        let mut invoices = Invoices::default();
        let mut values = Vec::new();
        for (index, expires_at_s) in [(0u64, 100u64), (1, 100), (2, 10)] {
            let mut value = Vec::new();
            crate::store::StoreValue::write(&row(index as u8, expires_at_s), &mut value);
            values.push((Table::Invoice, index, value));
        }
        let mut end = Vec::new();
        crate::store::StoreValue::write(&InvoiceEndRow { pay_index: 4, received: Msat(1), at_ms: 1 }, &mut end);
        values.push((Table::InvoiceEnd, 1, end));
        for (table, index, value) in &values {
            let key = index_key(*index);
            invoices.take(&Row { table: *table, key: key.as_slice(), value }).expect("we wrote it");
        }
        invoices.finish(clock(50));
        assert!(invoices.is_open(0) && !invoices.is_open(1) && !invoices.is_open(2));
        assert_eq!(invoices.last_pay_index(), 4);
        assert_eq!(invoices.create(&mut Nowhere, row(9, 100)), 3);
    }
}
