//! Our own invoices. Those that can be paid are in memory, at most `INVOICES_OPEN_MAX`; of those that have ended memory
//! has only which hashes, labels and numbers are taken, and the rest is read back when somebody asks.
//!
//! Invariants:
//! - an open invoice is in `by_hash` and `by_label` under its own hash and label;
//! - `expiries` holds exactly the open invoices;
//! - `paid` holds exactly the numbers by payment of invoices that still have rows.

mod query;
pub mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::{Hash, sha256};

use crate::amount::Msat;
use crate::clock::{Clock, Mono};
use crate::command::{Command, Sink};
use crate::ids::{PaymentHash, PaymentSecret, Preimage, QueryId, RequestId};
use crate::limits::{INVOICES_OPEN_MAX, WAITERS_MAX};
use crate::request::invoice::{InvoiceInfo, InvoiceStatus, WaitAnyInvoice};
use crate::request::{ErrorData, RequestError, Response};
use crate::store::{Row, RowError, Table};
use crate::timer::Timers;
use query::Query;
use rows::{InvoiceEnd, InvoiceEndRow, InvoiceRow, index_key, parse_index};

/// Answers to clients that a call has found.
pub type Replies = Vec<(RequestId, Result<Response, RequestError>)>;

/// Everything that a new invoice needs; the node has encoded and signed it.
pub type NewInvoice = InvoiceRow;

/// An invoice that can be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInvoice {
    index: u64,
    row: InvoiceRow,
}

impl OpenInvoice {
    /// What a payer must know.
    pub fn payment_secret(&self) -> PaymentSecret {
        self.row.payment_secret
    }

    /// The last second in which it can be paid, Unix time.
    pub fn expires_at_s(&self) -> u64 {
        self.row.expires_at_s
    }

    /// How much is asked; `None`: anything.
    pub fn amount(&self) -> Option<Msat> {
        self.row.amount
    }

    /// Blocks that we want between our tip and the expiry of an HTLC that pays it.
    pub fn min_final_cltv_expiry_delta(&self) -> u32 {
        self.row.min_final_cltv_expiry_delta
    }

    /// Its number by creation.
    pub fn created_index(&self) -> u64 {
        self.index
    }

    fn info(&self) -> InvoiceInfo {
        self.row.info(self.index, None)
    }
}

/// A label's place in the index. Labels may be long, and a million of them must be cheap.
type LabelKey = [u8; 16];

fn label_key(label: &str) -> LabelKey {
    let hash = sha256::Hash::hash(label.as_bytes()).to_byte_array();
    *hash.first_chunk().expect("half of 32 bytes")
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    /// The end of one invoice.
    One(u64),
    /// A payment of any.
    Any,
}

/// All invoices.
#[derive(Debug, Default)]
pub struct Invoices {
    open: BTreeMap<u64, OpenInvoice>,
    by_hash: BTreeMap<PaymentHash, u64>,
    by_label: BTreeMap<LabelKey, u64>,
    /// Number by payment to number by creation.
    paid: BTreeMap<u64, u64>,
    last_created: u64,
    last_paid: u64,
    last_updated: u64,
    expiries: BTreeSet<(u64, u64)>,
    /// The latest reading: expiries are in wall time, deadlines are not.
    clock: Clock,
    waiters: BTreeMap<RequestId, Waiter>,
    by_invoice: BTreeSet<(u64, RequestId)>,
    for_any: BTreeSet<RequestId>,
    timeouts: Timers<RequestId>,
    queries: BTreeMap<QueryId, Query>,
    next_query: u64,
    /// While rows are read: those that have ended.
    ended: BTreeSet<u64>,
}

fn not_found() -> RequestError {
    RequestError::new(RequestError::INVOICE_NOT_FOUND, "Unknown invoice")
}

fn timed_out() -> RequestError {
    RequestError::new(RequestError::INVOICE_WAIT_TIMED_OUT, "Timed out while waiting for invoice to be paid")
}

fn expired(info: InvoiceInfo) -> RequestError {
    RequestError::new(RequestError::INVOICE_EXPIRED_DURING_WAIT, "Invoice expired")
        .with_data(ErrorData::Invoice(Box::new(info)))
}

fn found(info: InvoiceInfo) -> Result<Response, RequestError> {
    Ok(Response::Invoice(Box::new(info)))
}

impl Invoices {
    /// Takes in one row; those of other tables are passed over.
    pub fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        match row.table {
            Table::Invoice => {
                let index = parse_index(row)?;
                let value: InvoiceRow = row.decode()?;
                self.by_hash.insert(value.payment_hash(), index);
                self.by_label.insert(label_key(&value.label), index);
                self.last_created = self.last_created.max(index);
                // Nearly all have ended: those whose end was read already need not wait for `finish`.
                if !self.ended.contains(&index) {
                    self.open.insert(index, OpenInvoice { index, row: value });
                }
            }
            Table::InvoiceEnd => {
                let index = parse_index(row)?;
                let value: InvoiceEndRow = row.decode()?;
                self.last_created = self.last_created.max(index);
                self.last_updated = self.last_updated.max(value.updated_index);
                self.last_paid = self.last_paid.max(value.pay_index().unwrap_or(0));
                if let InvoiceEnd::Paid { pay_index, .. } = value.end {
                    self.paid.insert(pay_index, index);
                }
                self.open.remove(&index);
                self.ended.insert(index);
            }
            _ => {}
        }
        Ok(())
    }

    /// After the rows.
    pub fn finish(&mut self, clock: Clock) {
        self.clock = clock;
        self.ended.clear();
        self.expiries = self.open.values().map(|invoice| (invoice.expires_at_s(), invoice.index)).collect();
    }

    /// Could such an invoice be made? To be asked before it is signed.
    pub fn check_new(&self, label: &str, payment_hash: PaymentHash) -> Result<(), RequestError> {
        if self.by_label.contains_key(&label_key(label)) {
            let text = format!("Duplicate label '{label}'");
            return Err(RequestError::new(RequestError::INVOICE_LABEL_ALREADY_EXISTS, text));
        }
        if self.by_hash.contains_key(&payment_hash) {
            let text = "preimage already used";
            return Err(RequestError::new(RequestError::INVOICE_PREIMAGE_ALREADY_EXISTS, text));
        }
        if self.open.len() >= INVOICES_OPEN_MAX {
            let text = format!("{INVOICES_OPEN_MAX} invoices wait to be paid already: delete some, or let them expire");
            return Err(RequestError::generic(text));
        }
        Ok(())
    }

    /// Writes a new invoice down; tells its number by creation.
    pub fn create(&mut self, out: &mut dyn Sink, clock: Clock, row: NewInvoice) -> Result<u64, RequestError> {
        self.clock = clock;
        let payment_hash = row.payment_hash();
        self.check_new(&row.label, payment_hash)?;
        self.last_created += 1;
        let index = self.last_created;
        self.by_hash.insert(payment_hash, index);
        self.by_label.insert(label_key(&row.label), index);
        self.expiries.insert((row.expires_at_s, index));
        put_invoice(index, &row, out);
        self.open.insert(index, OpenInvoice { index, row });
        Ok(index)
    }

    /// The invoice of this hash, if it can be paid.
    pub fn open(&self, payment_hash: PaymentHash) -> Option<&OpenInvoice> {
        self.open.get(self.by_hash.get(&payment_hash)?)
    }

    /// How many can be paid.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    fn end(&mut self, index: u64, end: InvoiceEnd, out: &mut dyn Sink) -> (OpenInvoice, InvoiceEndRow) {
        let invoice = self.open.remove(&index).expect("only an open invoice ends");
        self.expiries.remove(&(invoice.expires_at_s(), index));
        self.last_updated += 1;
        let row = InvoiceEndRow { updated_index: self.last_updated, end };
        put_end(index, &row, out);
        (invoice, row)
    }

    /// All parts of a payment of an open invoice are here: it is paid. The preimage may go out once this turn is written.
    pub fn paid(
        &mut self,
        out: &mut dyn Sink,
        clock: Clock,
        payment_hash: PaymentHash,
        amount_received: Msat,
    ) -> (Preimage, Replies) {
        self.clock = clock;
        let index = self.open(payment_hash).expect("only an open invoice is paid").index;
        self.last_paid += 1;
        let pay_index = self.last_paid;
        self.paid.insert(pay_index, index);
        let end = InvoiceEnd::Paid { pay_index, amount_received, paid_at: clock.wall };
        let (invoice, end) = self.end(index, end, out);
        let info = invoice.row.info(index, Some(&end));
        let mut woken = self.wake_one(index);
        // Core Lightning: whoever waits for any invoice gets the next payment, even if he named a number still to come.
        while let Some(request) = self.for_any.first().copied() {
            self.forget_request(request);
            woken.push(request);
        }
        (invoice.row.preimage, woken.into_iter().map(|request| (request, found(info.clone()))).collect())
    }

    fn wake_one(&mut self, index: u64) -> Vec<RequestId> {
        let range = (index, RequestId(0))..=(index, RequestId(u64::MAX));
        let woken: Vec<RequestId> = self.by_invoice.range(range).map(|(_, request)| *request).collect();
        woken.iter().for_each(|request| self.forget_request(*request));
        woken
    }

    /// When [`Invoices::on_deadline`] is due. It is early rather than late where the wall clock jumps back.
    pub fn next_deadline(&self) -> Option<Mono> {
        let expiry = self.expiries.first().map(|(expires_at_s, _)| {
            // The last second is one in which it can be paid.
            let over_ms = expires_at_s.saturating_add(1).saturating_mul(1000);
            self.clock.mono.plus_ms(over_ms.saturating_sub(self.clock.wall.0))
        });
        expiry.into_iter().chain(self.timeouts.next()).min()
    }

    /// Ends what can no longer be paid, and what has waited long enough.
    pub fn on_deadline(&mut self, out: &mut dyn Sink, clock: Clock) -> Replies {
        self.clock = clock;
        let mut replies = Replies::new();
        while let Some(request) = self.timeouts.pop_due(clock.mono) {
            self.forget_request(request);
            replies.push((request, Err(timed_out())));
        }
        while let Some(&(expires_at_s, index)) = self.expiries.first() {
            if expires_at_s >= clock.wall.unix_s() {
                break;
            }
            let (invoice, end) = self.end(index, InvoiceEnd::Expired, out);
            let info = invoice.row.info(index, Some(&end));
            replies.extend(self.wake_one(index).into_iter().map(|request| (request, Err(expired(info.clone())))));
        }
        replies
    }

    /// `waitinvoice`.
    pub fn wait(&mut self, out: &mut dyn Sink, request: RequestId, label: &str) -> Replies {
        match self.by_label.get(&label_key(label)).copied() {
            None => vec![(request, Err(not_found()))],
            Some(index) if self.open.contains_key(&index) => self.add_waiter(request, Waiter::One(index)),
            Some(index) => self.ask_one(out, request, index, query::Purpose::Wait),
        }
    }

    /// `waitanyinvoice`.
    pub fn wait_any(&mut self, out: &mut dyn Sink, clock: Clock, request: RequestId, wait: WaitAnyInvoice) -> Replies {
        self.clock = clock;
        let after = wait.last_pay_index.saturating_add(1);
        if let Some((_, &index)) = self.paid.range(after..).next() {
            return self.ask_one(out, request, index, query::Purpose::Wait);
        }
        if wait.timeout_s == Some(0) {
            return vec![(request, Err(timed_out()))];
        }
        let replies = self.add_waiter(request, Waiter::Any);
        if let (true, Some(timeout_s)) = (replies.is_empty(), wait.timeout_s) {
            self.timeouts.set(request, clock.mono.plus_ms(timeout_s.saturating_mul(1000)));
        }
        replies
    }

    fn add_waiter(&mut self, request: RequestId, waiter: Waiter) -> Replies {
        if self.waiters.len() >= WAITERS_MAX {
            let text = format!("{WAITERS_MAX} requests wait for invoices already");
            return vec![(request, Err(RequestError::generic(text)))];
        }
        self.waiters.insert(request, waiter);
        match waiter {
            Waiter::One(index) => self.by_invoice.insert((index, request)),
            Waiter::Any => self.for_any.insert(request),
        };
        Replies::new()
    }

    /// Nobody waits for this reply any more.
    pub fn forget_request(&mut self, request: RequestId) {
        self.timeouts.clear(request);
        match self.waiters.remove(&request) {
            Some(Waiter::One(index)) => {
                self.by_invoice.remove(&(index, request));
            }
            Some(Waiter::Any) => {
                self.for_any.remove(&request);
            }
            None => self.queries.retain(|_, query| query.request() != request || query.must_finish()),
        }
    }

    /// The invariants above.
    pub fn check(&self) {
        assert_eq!(self.open.len(), self.expiries.len(), "every open invoice expires, and no other");
        for (index, invoice) in &self.open {
            assert_eq!(self.by_hash.get(&invoice.row.payment_hash()), Some(index));
            assert_eq!(self.by_label.get(&label_key(&invoice.row.label)), Some(index));
            assert!(self.expiries.contains(&(invoice.expires_at_s(), *index)));
        }
        assert_eq!(self.by_hash.len(), self.by_label.len(), "a hash and a label for each");
        assert_eq!(self.waiters.len(), self.by_invoice.len() + self.for_any.len());
        assert!(self.by_invoice.iter().all(|(index, _)| self.open.contains_key(index)));
    }
}

fn put_invoice(index: u64, row: &InvoiceRow, out: &mut dyn Sink) {
    out.emit(Command::Put { table: Table::Invoice, key: index_key(index).as_slice(), value: row });
}

fn put_end(index: u64, row: &InvoiceEndRow, out: &mut dyn Sink) {
    out.emit(Command::Put { table: Table::InvoiceEnd, key: index_key(index).as_slice(), value: row });
}

/// The answer where a client names another status than the invoice has.
fn wrong_status(current: InvoiceStatus, expected: InvoiceStatus) -> RequestError {
    let text = format!("Invoice status is {} not {}", status_name(current), status_name(expected));
    RequestError::new(RequestError::INVOICE_STATUS_UNEXPECTED, text)
        .with_data(ErrorData::InvoiceStatus { current, expected })
}

fn status_name(status: InvoiceStatus) -> &'static str {
    match status {
        InvoiceStatus::Unpaid => "unpaid",
        InvoiceStatus::Paid => "paid",
        InvoiceStatus::Expired => "expired",
    }
}
