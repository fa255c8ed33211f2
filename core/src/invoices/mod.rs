//! Our own invoices: those that can still be paid are in memory, the others only in rows. Of these memory has no more
//! than which labels, hashes and numbers are taken.
//!
//! An invoice is written once; that it was paid is a second small row. That it has expired is no row at all, but a fact
//! of the clock. What a client holds back does not expire.
//!
//! Invariants:
//! - an open invoice is in `by_hash` and `by_label` under its own hash and label;
//! - `expiries` holds exactly the open invoices that are not accepted;
//! - `pay_indexes` holds exactly the payments whose invoice still has its rows;
//! - who waits for one invoice waits for an open one.

mod rows;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::{Hash, sha256};

use crate::amount::Msat;
use crate::clock::{Clock, Mono};
use crate::command::{Command, Sink};
use crate::ids::{PaymentHash, Preimage, RequestId};
use crate::limits::{INVOICES_OPEN_MAX, WAITERS_MAX};
use crate::payment::incoming::HeldPart;
use crate::request::{ErrorData, RequestError, Response};
use crate::store::{Row, RowError, Table};
use crate::timer::Timers;

use runs::Runs;

pub use rows::{InvoiceEndRow, InvoiceHoldRow, InvoicePaidRow, InvoiceRow, Proof, StoredInvoice, index_key};

/// Answers that are due.
pub type Replies = Vec<(RequestId, Result<Response, RequestError>)>;

/// However long until the next expiry, the wall clock is looked at this often: it may have been set.
const LOOK_AGAIN_MS: u64 = 3_600_000;

/// Stands for a label: labels may be long, and memory keeps those of all invoices. Half of a SHA-256 has no collisions
/// that anybody can find.
type LabelKey = [u8; 16];

fn label_key(label: &str) -> LabelKey {
    let hash = sha256::Hash::hash(label.as_bytes()).to_byte_array();
    *hash.first_chunk().expect("half of 32 bytes")
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
enum Waiter {
    /// For this one to be paid or to expire.
    One(u64),
    /// For any to be paid.
    Any,
}

/// All invoices.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Invoices {
    next_index: u64,
    next_pay_index: u64,
    open: BTreeMap<u64, InvoiceRow>,
    /// What is held for open invoices, as it is in rows.
    accepted: BTreeMap<u64, InvoiceHoldRow>,
    by_hash: BTreeMap<PaymentHash, u64>,
    by_label: BTreeMap<LabelKey, u64>,
    expiries: BTreeSet<(u64, u64)>,
    pay_indexes: Runs,
    waiters: BTreeMap<RequestId, Waiter>,
    for_one: BTreeSet<(u64, RequestId)>,
    for_any: BTreeSet<RequestId>,
    patience: Timers<RequestId>,
    /// What the wall and the monotonic clock showed together, to turn an expiry into a deadline.
    clock: Clock,
    /// While rows are read: ends whose invoice has not come up yet, and hold invoices that were cancelled.
    ends: BTreeSet<u64>,
}

impl Invoices {
    /// Takes in one row, in any order; those of other tables are passed over. Where the clock is known before
    /// ([`Invoices::see`]), what has expired is never held in memory.
    pub fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        match row.table {
            Table::Invoice => {
                let index = u64::from_be_bytes(row.key_array()?);
                let invoice: InvoiceRow = row.decode()?;
                self.next_index = self.next_index.max(index + 1);
                self.by_hash.insert(invoice.payment_hash, index);
                self.by_label.insert(label_key(&invoice.label), index);
                // A hold invoice may have been accepted before it expired, which another row will tell.
                let may_wait = invoice.proof == Proof::Hold(None) || invoice.expires_at_s > self.clock.wall.unix_s();
                if !self.ends.remove(&index) && may_wait {
                    self.open.insert(index, invoice);
                }
            }
            Table::InvoiceEnd => {
                let index = u64::from_be_bytes(row.key_array()?);
                let end: InvoiceEndRow = row.decode()?;
                self.next_index = self.next_index.max(index + 1);
                self.next_pay_index = self.next_pay_index.max(end.pay_index);
                if self.open.remove(&index).is_none() {
                    self.ends.insert(index);
                }
            }
            Table::InvoiceHold => {
                let index = u64::from_be_bytes(row.key_array()?);
                match row.decode()? {
                    accepted @ InvoiceHoldRow::Accepted { .. } => {
                        self.accepted.insert(index, accepted);
                    }
                    InvoiceHoldRow::Cancelled { .. } => {
                        if self.open.remove(&index).is_none() {
                            self.ends.insert(index);
                        }
                    }
                }
            }
            Table::InvoicePaid => {
                let pay_index = u64::from_be_bytes(row.key_array()?);
                row.decode::<InvoicePaidRow>()?;
                self.next_pay_index = self.next_pay_index.max(pay_index);
                self.pay_indexes.insert(pay_index);
            }
            _ => {}
        }
        Ok(())
    }

    /// After the rows: only what can still be paid stays.
    pub fn finish(&mut self, clock: Clock) {
        self.clock = clock;
        // What is left are ends of expired invoices, and such as only keep numbers.
        self.ends.clear();
        self.open.retain(|index, row| row.expires_at_s > clock.wall.unix_s() || self.accepted.contains_key(index));
        let expiring = self.open.iter().filter(|(index, _)| !self.accepted.contains_key(index));
        self.expiries = expiring.map(|(index, row)| (row.expires_at_s, *index)).collect();
    }

    /// What is held for hold invoices, by their hash: for whoever holds the parts, after a restart.
    pub fn held(&self) -> impl Iterator<Item = (PaymentHash, &[HeldPart])> {
        self.accepted.iter().filter_map(|(index, row)| match row {
            InvoiceHoldRow::Accepted { parts, .. } => Some((self.open.get(index)?.payment_hash, parts.as_slice())),
            InvoiceHoldRow::Cancelled { .. } => None,
        })
    }

    /// May such an invoice be made?
    pub fn check_new(&self, label: &str, payment_hash: PaymentHash) -> Result<(), RequestError> {
        if self.by_label.contains_key(&label_key(label)) {
            let text = format!("Duplicate label '{label}'");
            return Err(RequestError::new(RequestError::INVOICE_LABEL_ALREADY_EXISTS, text));
        }
        if self.by_hash.contains_key(&payment_hash) {
            let text = "preimage already used by another invoice";
            return Err(RequestError::new(RequestError::INVOICE_PREIMAGE_ALREADY_EXISTS, text));
        }
        if self.open.len() >= INVOICES_OPEN_MAX {
            let text = format!("{INVOICES_OPEN_MAX} invoices can still be paid: delete some or let them expire");
            return Err(RequestError::generic(text));
        }
        Ok(())
    }

    /// Writes down a new invoice, which `check_new` has allowed. Returns its created index.
    pub fn create(&mut self, out: &mut dyn Sink, row: InvoiceRow) -> u64 {
        let index = self.next_index;
        self.next_index += 1;
        out.emit(Command::Put { table: Table::Invoice, key: index_key(index).as_slice(), value: &row });
        self.by_hash.insert(row.payment_hash, index);
        self.by_label.insert(label_key(&row.label), index);
        self.expiries.insert((row.expires_at_s, index));
        self.open.insert(index, row);
        index
    }

    /// The invoice of this hash, if it can still be paid.
    pub fn open(&self, payment_hash: PaymentHash) -> Option<&InvoiceRow> {
        self.open.get(self.by_hash.get(&payment_hash)?)
    }

    /// The invoice of this number, if it can still be paid: whoever decides on it need not read rows, which a payment
    /// could overtake.
    pub fn open_at(&self, index: u64) -> Option<&InvoiceRow> {
        self.open.get(&index)
    }

    /// The created index of a label, whatever became of the invoice.
    pub fn index_of_label(&self, label: &str) -> Option<u64> {
        self.by_label.get(&label_key(label)).copied()
    }

    /// The created index of a hash, whatever became of the invoice.
    pub fn index_of_hash(&self, payment_hash: PaymentHash) -> Option<u64> {
        self.by_hash.get(&payment_hash).copied()
    }

    /// All that rows say of an invoice that is open.
    pub fn stored(&self, index: u64) -> Option<StoredInvoice> {
        let row = self.open.get(&index)?.clone();
        Some(StoredInvoice { row, end: None, hold: self.accepted.get(&index).cloned() })
    }

    /// Can it still be paid?
    pub fn is_open(&self, index: u64) -> bool {
        self.open.contains_key(&index)
    }

    /// Takes an invoice out of memory; its label and hash stay taken.
    fn close(&mut self, index: u64) -> Option<InvoiceRow> {
        let row = self.open.remove(&index)?;
        self.expiries.remove(&(row.expires_at_s, index));
        self.accepted.remove(&index);
        Some(row)
    }

    /// A whole payment of a hold invoice is here, and waits for its client's word.
    pub fn accept(&mut self, out: &mut dyn Sink, clock: Clock, payment_hash: PaymentHash, parts: Vec<HeldPart>) {
        let index = self.by_hash[&payment_hash];
        let row = &self.open[&index];
        self.expiries.remove(&(row.expires_at_s, index));
        let accepted = InvoiceHoldRow::Accepted { parts, at_ms: clock.wall.0 };
        out.emit(Command::Put { table: Table::InvoiceHold, key: index_key(index).as_slice(), value: &accepted });
        self.accepted.insert(index, accepted);
    }

    /// The client settles a hold invoice whose payment is here. Returns the same as [`Invoices::paid`].
    pub fn settle(&mut self, out: &mut dyn Sink, clock: Clock, preimage: Preimage) -> (StoredInvoice, Replies) {
        let payment_hash = preimage.payment_hash();
        let index = self.by_hash[&payment_hash];
        let held = self.accepted.remove(&index).expect("only what is accepted is settled");
        let InvoiceHoldRow::Accepted { parts, .. } = held else { unreachable!("what is cancelled is not kept") };
        let row = self.open.get_mut(&index).expect("what is accepted is open");
        row.proof = Proof::Hold(Some(preimage.0));
        out.emit(Command::Put { table: Table::Invoice, key: index_key(index).as_slice(), value: row });
        out.emit(Command::Delete { table: Table::InvoiceHold, key: index_key(index).as_slice() });
        let received = parts.iter().map(|part| part.amount).sum();
        self.paid(out, clock, payment_hash, received)
    }

    /// Nothing is taken for a hold invoice any more. Returns what is to be known of it, and the answers of those who
    /// waited.
    pub fn cancel(&mut self, out: &mut dyn Sink, clock: Clock, payment_hash: PaymentHash) -> (StoredInvoice, Replies) {
        let index = self.by_hash[&payment_hash];
        let row = self.close(index).expect("only an open invoice is cancelled");
        let cancelled = InvoiceHoldRow::Cancelled { at_ms: clock.wall.0 };
        out.emit(Command::Put { table: Table::InvoiceHold, key: index_key(index).as_slice(), value: &cancelled });
        let stored = StoredInvoice { row, end: None, hold: Some(cancelled) };
        let mut replies = Replies::new();
        for request in self.wake_one(index) {
            let shown = ErrorData::Invoice(Box::new(stored.info(index, clock.wall)));
            let error = RequestError::new(RequestError::INVOICE_EXPIRED_DURING_WAIT, "Invoice was cancelled");
            replies.push((request, Err(error.with_data(shown))));
        }
        (stored, replies)
    }

    /// The invoice of this hash is paid. Returns what is to be known of it, the preimage included, and the answers of
    /// those who waited.
    pub fn paid(
        &mut self,
        out: &mut dyn Sink,
        clock: Clock,
        payment_hash: PaymentHash,
        received: Msat,
    ) -> (StoredInvoice, Replies) {
        self.clock = clock;
        let index = self.by_hash[&payment_hash];
        let row = self.close(index).expect("only an open invoice is paid");
        self.next_pay_index += 1;
        self.pay_indexes.insert(self.next_pay_index);
        let end = InvoiceEndRow { pay_index: self.next_pay_index, received, at_ms: clock.wall.0 };
        out.emit(Command::Put { table: Table::InvoiceEnd, key: index_key(index).as_slice(), value: &end });
        let key = index_key(end.pay_index);
        out.emit(Command::Put { table: Table::InvoicePaid, key: key.as_slice(), value: &InvoicePaidRow(index) });
        let stored = StoredInvoice { row, end: Some(end), hold: None };
        let mut woken = self.wake_one(index);
        // Whoever waits for any gets the next payment, even if it named one that is still to come: so do clients that
        // begin by asking where the present is.
        woken.extend(self.for_any.iter().copied());
        let mut replies = Replies::new();
        for request in woken {
            self.forget_request(request);
            let shown = Box::new(stored.info(index, clock.wall));
            replies.push((request, Ok(Response::Invoice(shown))));
        }
        (stored, replies)
    }

    /// Those who wait for one invoice wait no longer.
    fn wake_one(&mut self, index: u64) -> Vec<RequestId> {
        let range = (index, RequestId(0))..=(index, RequestId(u64::MAX));
        let woken: Vec<RequestId> = self.for_one.range(range).map(|(_, request)| *request).collect();
        woken.iter().for_each(|request| self.forget_request(*request));
        woken
    }

    /// Forgets an invoice in whatever state. Returns the answers of those who waited for it. Nothing happens to an
    /// invoice that is gone already: its rows may have been read before two clients deleted it, and its label and hash
    /// may be those of a new one.
    pub fn forget(&mut self, out: &mut dyn Sink, index: u64, stored: &StoredInvoice) -> Replies {
        let StoredInvoice { row, end, hold } = stored;
        if self.index_of_hash(row.payment_hash) != Some(index) {
            return Replies::new();
        }
        let key = index_key(index);
        out.emit(Command::Delete { table: Table::Invoice, key: key.as_slice() });
        if hold.is_some() {
            out.emit(Command::Delete { table: Table::InvoiceHold, key: key.as_slice() });
        }
        let pay_index = end.map_or(0, |end| end.pay_index);
        // The last numbers given out are known by their rows alone.
        if index + 1 == self.next_index || end.is_some() && pay_index == self.next_pay_index {
            let numbers = InvoiceEndRow { pay_index, received: Msat::ZERO, at_ms: 0 };
            out.emit(Command::Put { table: Table::InvoiceEnd, key: key.as_slice(), value: &numbers });
        } else if end.is_some() {
            out.emit(Command::Delete { table: Table::InvoiceEnd, key: key.as_slice() });
        }
        if end.is_some() {
            out.emit(Command::Delete { table: Table::InvoicePaid, key: index_key(pay_index).as_slice() });
            self.pay_indexes.remove(pay_index);
        }
        self.by_hash.remove(&row.payment_hash);
        self.by_label.remove(&label_key(&row.label));
        self.close(index);
        let gone = || RequestError::new(RequestError::INVOICE_NOT_FOUND, "Unknown invoice: it was deleted");
        self.wake_one(index).into_iter().map(|request| (request, Err(gone()))).collect()
    }

    /// Replaces what is stored of an open invoice, after a client had its description deleted.
    pub fn replace(&mut self, index: u64, row: &InvoiceRow) {
        if let Some(open) = self.open.get_mut(&index) {
            debug_assert_eq!((&open.label, open.payment_hash), (&row.label, row.payment_hash));
            *open = row.clone();
        }
    }

    /// Waits for one invoice that can still be paid.
    pub fn wait_one(&mut self, request: RequestId, index: u64) -> Result<(), RequestError> {
        self.wait(request, Waiter::One(index))?;
        self.for_one.insert((index, request));
        Ok(())
    }

    /// Waits for the next payment.
    pub fn wait_any(&mut self, request: RequestId, until: Option<Mono>) -> Result<(), RequestError> {
        self.wait(request, Waiter::Any)?;
        self.for_any.insert(request);
        if let Some(until) = until {
            self.patience.set(request, until);
        }
        Ok(())
    }

    fn wait(&mut self, request: RequestId, waiter: Waiter) -> Result<(), RequestError> {
        if self.waiters.len() >= WAITERS_MAX {
            return Err(RequestError::generic(format!("{WAITERS_MAX} clients wait for invoices already")));
        }
        self.waiters.insert(request, waiter);
        Ok(())
    }

    /// The last numbers of invoices, by creation and by payment, as clients count them.
    pub fn last_numbers(&self) -> (u64, u64) {
        (self.next_index, self.next_pay_index)
    }

    /// The number of the last payment that can still be told of.
    pub fn last_pay_index(&self) -> u64 {
        self.pay_indexes.last().unwrap_or(0)
    }

    /// A client has gone.
    pub fn forget_request(&mut self, request: RequestId) {
        self.patience.clear(request);
        match self.waiters.remove(&request) {
            Some(Waiter::One(index)) => self.for_one.remove(&(index, request)),
            Some(Waiter::Any) => self.for_any.remove(&request),
            None => false,
        };
    }

    /// Works off expiries and patience. Returns the hashes that have expired, and answers.
    pub fn on_deadline(&mut self, clock: Clock) -> (Vec<PaymentHash>, Replies) {
        self.clock = clock;
        let (mut expired, mut replies) = (Vec::new(), Vec::new());
        while let Some(&(expires_at_s, index)) = self.expiries.first() {
            if expires_at_s > clock.wall.unix_s() {
                break;
            }
            let row = self.close(index).expect("what can expire is open");
            expired.push(row.payment_hash);
            for request in self.wake_one(index) {
                let text = "Invoice expired while it was waited for";
                let stored = StoredInvoice { row: row.clone(), end: None, hold: None };
                let shown = Box::new(stored.info(index, clock.wall));
                let error = RequestError::new(RequestError::INVOICE_EXPIRED_DURING_WAIT, text);
                replies.push((request, Err(error.with_data(ErrorData::Invoice(shown)))));
            }
        }
        while let Some(request) = self.patience.pop_due(clock.mono) {
            self.forget_request(request);
            let text = "Timed out while waiting for an invoice to be paid";
            replies.push((request, Err(RequestError::new(RequestError::INVOICE_WAIT_TIMED_OUT, text))));
        }
        (expired, replies)
    }

    /// When the next expiry or the end of some patience is due. A clock that is set meanwhile only makes us look too
    /// early, or late by at most an hour.
    pub fn next_deadline(&self) -> Option<Mono> {
        let expiry = self.expiries.first().map(|(expires_at_s, _)| {
            let left_ms = expires_at_s.saturating_mul(1000).saturating_sub(self.clock.wall.0);
            self.clock.mono.plus_ms(left_ms.min(LOOK_AGAIN_MS))
        });
        self.patience.next().into_iter().chain(expiry).min()
    }

    /// The clock as it is now, so that deadlines are reckoned from here.
    pub fn see(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// The invariants above.
    pub fn check(&self) {
        let count = self.expiries.len() + self.accepted.len();
        assert_eq!(self.open.len(), count, "every open invoice expires, or something is held for it");
        for (index, row) in &self.open {
            assert_eq!(self.by_hash.get(&row.payment_hash), Some(index));
            assert_eq!(self.by_label.get(&label_key(&row.label)), Some(index));
            let is_held = self.accepted.contains_key(index);
            assert!(self.expiries.contains(&(row.expires_at_s, *index)) != is_held);
            assert!(!is_held || row.proof == Proof::Hold(None), "only for hold invoices something is held");
        }
        assert_eq!(self.by_hash.len(), self.by_label.len(), "a hash and a label for each");
        assert_eq!(self.waiters.len(), self.for_one.len() + self.for_any.len());
        assert!(self.for_one.iter().all(|(index, _)| self.open.contains_key(index)));
        assert!(self.pay_indexes.last().is_none_or(|last| last <= self.next_pay_index));
    }
}
