//! Questions about what is no longer in memory: rows are read back page by page, then answered.

mod closed;
mod list;
mod ordered;
mod show;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::{Io, Node};
use crate::command::{Command, LoadRange};
use crate::ids::{NodeId, PaymentHash, QueryId, RequestId};
use crate::invoices::{self, InvoiceEndRow, InvoiceHoldRow, InvoicePaidRow, InvoiceRow, StoredInvoice};
use crate::limits::{HISTORY_ANSWER_ROWS, HISTORY_PAGE_ROWS};
use crate::payment::rows::{PartRow, PaymentEndRow, PaymentRow, hash_key, index_key};
use crate::request::invoice::{DelInvoice, InvoiceFilter, InvoiceInfo, ListInvoices};
use crate::request::payment::{ListForwards, ListPays, SendPayInfo, WaitSendPay};
use crate::request::{ListIndex, Page, Request, RequestError, Response};
use crate::store::{Row, Table};
use closed::ClosedChannelRow;
use list::{List, Listing};
use ordered::Ordered;
use show::pay_info;
pub(super) use show::{failure_error, part_result};

/// Rows of one read for a question that few rows answer: every `pay` asks one, and what lies behind its keys concerns
/// others. Where there are more, the next read goes on.
const FEW_ROWS: usize = 8;

/// Keys to read.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
struct Span {
    table: Table,
    from: Vec<u8>,
    /// Only keys that begin so.
    prefix: Vec<u8>,
}

impl Span {
    fn all(table: Table) -> Span {
        Span { table, from: Vec::new(), prefix: Vec::new() }
    }

    fn under(table: Table, prefix: &[u8]) -> Span {
        Span { table, from: prefix.to_vec(), prefix: prefix.to_vec() }
    }
}

#[derive(bincode::Encode, bincode::Decode)]
struct OwnedRow {
    table: Table,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A question under way.
#[derive(bincode::Encode, bincode::Decode)]
pub(crate) struct Query {
    request: RequestId,
    work: Work,
}

#[derive(bincode::Encode, bincode::Decode)]
enum Work {
    /// About few rows, which are gathered before the answer is made.
    Few(Few),
    /// About a list of any length, which is made as it is read.
    List(Box<List>),
    /// The same, in the order of other numbers.
    Ordered(Box<Ordered>),
}

#[derive(bincode::Encode, bincode::Decode)]
struct Few {
    question: Question,
    spans: VecDeque<Span>,
    rows: Vec<OwnedRow>,
}

#[derive(bincode::Encode, bincode::Decode)]
enum Question {
    /// Was this hash paid already? Then tell; else do what was asked.
    Paid {
        payment_hash: PaymentHash,
        then: Box<Request>,
        ends_asked: bool,
    },
    Pays {
        filter: ListPays,
        details_asked: bool,
    },
    SendPays {
        filter: ListPays,
        details_asked: bool,
    },
    Part {
        wait: WaitSendPay,
        details_asked: bool,
    },
    Invoices(Page),
    Closed(Option<NodeId>),
    /// One invoice in whatever state: what is to be done with it?
    Invoice {
        index: u64,
        then: InvoiceThen,
    },
    /// The first payment of an invoice after the one that the client knows.
    PaidInvoice {
        index: Option<u64>,
    },
}

/// What is to be done with an invoice that was read back.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) enum InvoiceThen {
    Show,
    Delete(DelInvoice),
    /// A client wants to settle it, and it is not open.
    Settle,
    /// A client wants to cancel it, and it is not open.
    Cancel,
}

impl Few {
    fn take(&mut self, rows: &[Row<'_>]) {
        let Some(mut span) = self.spans.pop_front() else { return };
        let mut within = true;
        for row in rows {
            within = row.key.starts_with(&span.prefix);
            if !within {
                break;
            }
            self.rows.push(OwnedRow { table: row.table, key: row.key.to_vec(), value: row.value.to_vec() });
        }
        let one_is_enough = matches!(self.question, Question::PaidInvoice { index: None });
        if within
            && !one_is_enough
            && rows.len() >= FEW_ROWS
            && let Some(last) = rows.last()
        {
            span.from = after(last.key);
            self.spans.push_front(span);
        }
    }
}

/// The first key after this one.
fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// Is this one in the page? Lists are numbered by creation; by its last change what has not changed has no number.
fn in_page(page: &Page, created: u64, updated: Option<u64>, seen: &mut u32) -> bool {
    let wanted = match page.index {
        None => true,
        Some(ListIndex::Created) => created >= page.start,
        Some(ListIndex::Updated) => updated.is_some_and(|updated| updated >= page.start),
    };
    if !wanted || page.limit.is_some_and(|limit| *seen >= limit) {
        return false;
    }
    *seen += 1;
    true
}

impl Query {
    pub(crate) fn request(&self) -> Option<RequestId> {
        Some(self.request)
    }
}

/// What is stored of one payment.
#[derive(Default)]
struct Stored {
    payment: Option<PaymentRow>,
    end: Option<PaymentEndRow>,
    parts: BTreeMap<u64, PartRow>,
}

fn gather(rows: &[OwnedRow]) -> BTreeMap<u64, Stored> {
    let mut payments: BTreeMap<u64, Stored> = BTreeMap::new();
    for owned in rows {
        let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
        let Some((head, tail)) = owned.key.split_first_chunk::<8>() else { continue };
        let stored = payments.entry(u64::from_be_bytes(*head)).or_default();
        match owned.table {
            Table::Payment => stored.payment = row.decode().ok(),
            Table::PaymentEnd => stored.end = row.decode().ok(),
            Table::Part => {
                if let (Some(number), Ok(part)) = (tail.first_chunk::<8>(), row.decode()) {
                    stored.parts.insert(u64::from_be_bytes(*number), part);
                }
            }
            _ => {}
        }
    }
    payments.retain(|_, stored| stored.payment.is_some());
    payments
}

fn details(index: u64, spans: &mut VecDeque<Span>) {
    for table in [Table::Payment, Table::PaymentEnd, Table::Part] {
        spans.push_back(Span::under(table, index_key(index).as_slice()));
    }
}

/// Indices of payments, from the rows of `Table::PaymentHash`.
fn indices(rows: &[OwnedRow]) -> Vec<u64> {
    let of = |row: &OwnedRow| Some(u64::from_be_bytes(row.key.get(32..40)?.try_into().ok()?));
    rows.iter().filter(|row| row.table == Table::PaymentHash).filter_map(of).collect()
}

/// No invoice has that label or number.
pub(super) fn no_invoice() -> RequestError {
    RequestError::new(RequestError::INVOICE_NOT_FOUND, "Unknown invoice")
}

fn invoice_spans(index: u64) -> [Span; 3] {
    let key = invoices::index_key(index);
    [Table::Invoice, Table::InvoiceEnd, Table::InvoiceHold].map(|table| Span::under(table, key.as_slice()))
}

fn gather_invoices(rows: &[OwnedRow]) -> BTreeMap<u64, StoredInvoice> {
    let mut found = BTreeMap::new();
    let mut ends = BTreeMap::new();
    let mut holds = BTreeMap::new();
    for owned in rows {
        let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
        let Ok(key) = row.key_array::<8>() else { continue };
        let index = u64::from_be_bytes(key);
        match owned.table {
            Table::Invoice => {
                if let Ok(invoice) = row.decode::<InvoiceRow>() {
                    found.insert(index, StoredInvoice { row: invoice, end: None, hold: None });
                }
            }
            Table::InvoiceEnd => {
                if let Ok(end) = row.decode::<InvoiceEndRow>() {
                    ends.insert(index, end);
                }
            }
            Table::InvoiceHold => {
                if let Ok(hold) = row.decode::<InvoiceHoldRow>() {
                    holds.insert(index, hold);
                }
            }
            _ => {}
        }
    }
    for (index, stored) in &mut found {
        stored.end = ends.remove(index);
        stored.hold = holds.remove(index);
    }
    found
}

fn hash_prefix(payment_hash: PaymentHash) -> Vec<u8> {
    hash_key(payment_hash, 0).as_slice()[..32].to_vec()
}

fn hash_of(filter: &ListPays) -> Result<Option<PaymentHash>, RequestError> {
    match (&filter.payment_hash, &filter.invoice) {
        (Some(hash), _) => Ok(Some(*hash)),
        (None, Some(text)) => match crate::invoice::Invoice::parse(text) {
            Ok(invoice) => Ok(Some(invoice.payment_hash)),
            Err(error) => Err(RequestError::invalid_params(format!("Invalid invstring: {error}"))),
        },
        (None, None) => Ok(None),
    }
}

impl Node {
    fn ask(&mut self, io: &mut Io<'_>, request: RequestId, question: Question, spans: Vec<Span>) {
        let few = Few { question, spans: spans.into(), rows: Vec::new() };
        self.begin_query(io, Query { request, work: Work::Few(few) });
    }

    fn begin_query(&mut self, io: &mut Io<'_>, query: Query) {
        let id = QueryId(self.next_query);
        self.next_query += 1;
        self.go_on(io, id, query);
    }

    /// Asks for the next rows, or answers.
    fn go_on(&mut self, io: &mut Io<'_>, id: QueryId, query: Query) {
        let wanted = match &query.work {
            Work::Few(few) => few.spans.front().map(|span| (span.table, &span.from, FEW_ROWS)),
            Work::List(list) => list.wanted(),
            Work::Ordered(list) => list.wanted(),
        };
        match wanted {
            Some((table, from, limit)) => {
                let limit = limit.min(HISTORY_PAGE_ROWS) as u32;
                io.out.emit(Command::Load { query: id, table, range: LoadRange::From(from), limit });
                self.queries.insert(id, query);
            }
            None => match query.work {
                Work::Few(few) => self.answer(io, id, query.request, few),
                Work::List(list) => io.reply(query.request, list.answer()),
                Work::Ordered(list) => io.reply(query.request, list.answer()),
            },
        }
    }

    pub(super) fn on_loaded(&mut self, io: &mut Io<'_>, id: QueryId, rows: &[Row<'_>]) {
        if let Some((request, query)) = self.transaction_queries.get_mut(&id) {
            let request = *request;
            let result = match query.loaded(id, rows, io.out) {
                Ok(None) => return,
                Ok(Some(transactions)) => Ok(Response::Transactions(transactions)),
                Err(error) => Err(RequestError::generic(error.to_string())),
            };
            self.transaction_queries.remove(&id);
            return io.reply(request, result);
        }
        let Some(mut query) = self.queries.remove(&id) else { return };
        match &mut query.work {
            Work::Few(few) => few.take(rows),
            Work::List(list) => list.take(rows, io.clock.wall),
            Work::Ordered(list) => list.take(rows, io.clock.wall),
        }
        let long = match &query.work {
            Work::Few(few) => few.rows.len(),
            Work::List(list) => list.len(),
            Work::Ordered(list) => list.len(),
        };
        if long > HISTORY_ANSWER_ROWS {
            let text = "too much to show at once: use index, start and limit";
            return io.reply(query.request, Err(RequestError::generic(text)));
        }
        self.go_on(io, id, query);
    }

    fn answer(&mut self, io: &mut Io<'_>, id: QueryId, request: RequestId, mut query: Few) {
        match &mut query.question {
            Question::Paid { ends_asked: asked @ false, .. } => {
                *asked = true;
                for index in indices(&query.rows) {
                    details(index, &mut query.spans);
                }
            }
            Question::Pays { details_asked: asked @ false, .. }
            | Question::SendPays { details_asked: asked @ false, .. }
            | Question::Part { details_asked: asked @ false, .. } => {
                *asked = true;
                for index in indices(&query.rows) {
                    details(index, &mut query.spans);
                }
            }
            Question::PaidInvoice { index: index @ None } => {
                // The first page holds the numbers of later payments; the first of them is meant.
                let first = query.rows.first().and_then(|owned| {
                    let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
                    row.decode::<InvoicePaidRow>().ok()
                });
                let Some(InvoicePaidRow(first)) = first else { return io.reply(request, Err(no_invoice())) };
                *index = Some(first);
                query.spans.extend(invoice_spans(first));
            }
            _ => {}
        }
        if !query.spans.is_empty() {
            return self.go_on(io, id, Query { request, work: Work::Few(query) });
        }
        let rows = std::mem::take(&mut query.rows);
        match query.question {
            Question::Paid { payment_hash, then, .. } => {
                let paid = gather(&rows)
                    .into_iter()
                    .find(|(_, stored)| stored.end.as_ref().is_some_and(|end| end.preimage.is_some()));
                match paid {
                    Some((index, stored)) => {
                        let (Some(payment), Some(end)) = (stored.payment, stored.end) else { return };
                        self.answer_paid_before(io, request, &then, index, &payment, &end, stored.parts);
                    }
                    None => self.pay_unpaid(io, request, payment_hash, *then),
                }
            }
            Question::Pays { filter, .. } => {
                let mut seen = 0;
                let pays = gather(&rows).into_iter().filter_map(|(index, stored)| pay_info(index, &stored));
                let pays = pays.filter(|pay| filter.status.is_none_or(|status| status == pay.status));
                let pays =
                    pays.filter(|pay| in_page(&filter.page, pay.created_index, pay.updated_index, &mut seen)).collect();
                io.reply(request, Ok(Response::Pays(pays)));
            }
            Question::SendPays { filter, .. } => {
                let mut seen = 0;
                let mut parts = Vec::new();
                for stored in gather(&rows).values() {
                    let Some(payment) = &stored.payment else { continue };
                    parts.extend(stored.parts.iter().map(|(number, part)| show::part_info(*number, part, payment)));
                }
                parts.sort_by_key(|part: &SendPayInfo| part.created_index);
                parts.retain(|part| filter.status.is_none_or(|status| status == part.status));
                parts.retain(|part| in_page(&filter.page, part.created_index, part.updated_index, &mut seen));
                io.reply(request, Ok(Response::SendPays(parts)));
            }
            Question::Part { wait, .. } => {
                let result = ended_part(&wait, &gather(&rows));
                io.reply(request, result);
            }
            Question::Closed(peer) => {
                let read = |owned: &OwnedRow| {
                    let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
                    row.decode::<ClosedChannelRow>().ok().map(|ClosedChannelRow(closed)| closed)
                };
                let closed = rows.iter().filter_map(read).filter(|c| peer.is_none_or(|peer| peer == c.peer_id));
                io.reply(request, Ok(Response::ClosedChannels(closed.collect())));
            }
            Question::Invoices(page) => {
                let mut seen = 0;
                let invoices =
                    gather_invoices(&rows).into_iter().map(|(index, stored)| stored.info(index, io.clock.wall));
                let in_page = |info: &InvoiceInfo| in_page(&page, info.created_index, info.updated_index, &mut seen);
                io.reply(request, Ok(Response::Invoices(invoices.filter(in_page).collect())));
            }
            Question::Invoice { index, then } => match gather_invoices(&rows).remove(&index) {
                Some(stored) => self.on_invoice_read(io, request, index, stored, then),
                None => io.reply(request, Err(no_invoice())),
            },
            Question::PaidInvoice { index } => {
                let index = index.expect("the second stage names the invoice");
                let result = match gather_invoices(&rows).remove(&index) {
                    Some(stored) => Ok(Response::Invoice(Box::new(stored.info(index, io.clock.wall)))),
                    None => Err(no_invoice()),
                };
                io.reply(request, result);
            }
        }
    }

    /// First of all, a hash that was paid is not paid again.
    pub(super) fn unless_paid(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        payment_hash: PaymentHash,
        then: Request,
    ) {
        let span = Span::under(Table::PaymentHash, &hash_prefix(payment_hash));
        let question = Question::Paid { payment_hash, then: Box::new(then), ends_asked: false };
        self.ask(io, request, question, vec![span]);
    }

    pub(super) fn on_list_pays(&mut self, io: &mut Io<'_>, request: RequestId, filter: ListPays, parts: bool) {
        let hash = match hash_of(&filter) {
            Err(error) => return io.reply(request, Err(error)),
            Ok(Some(hash)) => hash,
            Ok(None) => {
                let listing = if parts { Listing::SendPays(filter) } else { Listing::Pays(filter) };
                return self.ask_list(io, request, listing);
            }
        };
        let question = match parts {
            false => Question::Pays { filter, details_asked: false },
            true => Question::SendPays { filter, details_asked: false },
        };
        self.ask(io, request, question, vec![Span::under(Table::PaymentHash, &hash_prefix(hash))]);
    }

    pub(super) fn on_list_invoices(&mut self, io: &mut Io<'_>, request: RequestId, filter: ListInvoices) {
        let index = match &filter.filter {
            InvoiceFilter::All => None,
            InvoiceFilter::Label(label) => Some(self.invoices.index_of_label(label)),
            InvoiceFilter::PaymentHash(hash) => Some(self.invoices.index_of_hash(*hash)),
            InvoiceFilter::Invstring(text) => match crate::invoice::Invoice::parse(text) {
                Ok(invoice) => Some(self.invoices.index_of_hash(invoice.payment_hash)),
                Err(error) => {
                    let text = format!("Invalid invstring: {error}");
                    return io.reply(request, Err(RequestError::invalid_params(text)));
                }
            },
        };
        let spans = match index {
            None => return self.ask_list(io, request, Listing::Invoices(filter)),
            Some(Some(index)) => invoice_spans(index).to_vec(),
            Some(None) => return io.reply(request, Ok(Response::Invoices(Vec::new()))),
        };
        self.ask(io, request, Question::Invoices(filter.page), spans);
    }

    /// Reads one invoice back, in whatever state it is.
    pub(super) fn ask_invoice(&mut self, io: &mut Io<'_>, request: RequestId, index: u64, then: InvoiceThen) {
        self.ask(io, request, Question::Invoice { index, then }, invoice_spans(index).to_vec());
    }

    /// The first payment after `last_pay_index`, of which there is one.
    pub(super) fn ask_paid_invoice(&mut self, io: &mut Io<'_>, request: RequestId, last_pay_index: u64) {
        let key = invoices::index_key(last_pay_index.saturating_add(1));
        let span =
            Span { table: Table::InvoicePaid, from: key.as_slice().to_vec(), prefix: key.as_slice()[..0].to_vec() };
        self.ask(io, request, Question::PaidInvoice { index: None }, vec![span]);
    }

    pub(super) fn on_list_transactions(&mut self, io: &mut Io<'_>, request: RequestId) {
        let id = QueryId(self.next_query);
        self.next_query += 1;
        let query = crate::wallet::TransactionsQuery::start(id, io.out);
        self.transaction_queries.insert(id, (request, query));
    }

    /// A part that is not in flight: what became of it?
    pub(super) fn ask_ended_part(&mut self, io: &mut Io<'_>, request: RequestId, wait: WaitSendPay) {
        let span = Span::under(Table::PaymentHash, &hash_prefix(wait.payment_hash));
        self.ask(io, request, Question::Part { wait, details_asked: false }, vec![span]);
    }

    pub(super) fn on_list_forwards(&mut self, io: &mut Io<'_>, request: RequestId, filter: ListForwards) {
        self.ask_list(io, request, Listing::Forwards(filter));
    }

    fn ask_list(&mut self, io: &mut Io<'_>, request: RequestId, listing: Listing) {
        let work = match listing.is_ordered() {
            true => Work::Ordered(Box::new(Ordered::new(listing))),
            false => Work::List(Box::new(List::new(listing))),
        };
        self.begin_query(io, Query { request, work });
    }
}

fn ended_part(wait: &WaitSendPay, payments: &BTreeMap<u64, Stored>) -> Result<Response, RequestError> {
    let part_id = wait.part_id.unwrap_or(0);
    let newest = payments.values().rev().flat_map(|stored| {
        stored.parts.iter().rev().map(move |(number, part)| (*number, part, stored.payment.as_ref()))
    });
    let found = newest
        .filter(|(_, part, _)| part.part_id == part_id && wait.group_id.is_none_or(|group| group == part.group))
        .find_map(|(number, part, payment)| Some((number, part, payment?)));
    let Some((number, part, payment)) = found else {
        let text = "Never attempted payment part";
        return Err(RequestError::new(RequestError::PAY_NO_SUCH_PAYMENT, text));
    };
    part_result(number, part, payment)
}
