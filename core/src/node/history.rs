//! Questions about what is no longer in memory: rows are read back page by page, then answered.

use std::collections::{BTreeMap, VecDeque};

use super::{Io, Node};
use crate::channel::{Channel, Phase};
use crate::clock::Wall;
use crate::command::{Command, LoadRange};
use crate::ids::{NodeId, PaymentHash, Preimage, QueryId, RequestId};
use crate::invoices::{self, InvoiceEndRow, InvoicePaidRow, InvoiceRow};
use crate::limits::HISTORY_PAGE_ROWS;
use crate::payment::rows::{
    ForwardRow, ForwardState, PartRow, PartState, PaymentEndRow, PaymentRow, hash_key, index_key,
};
use crate::request::channel::{CloseCause, ClosedChannel};
use crate::request::invoice::{DelInvoice, InvoiceFilter, ListInvoices};
use crate::request::payment::{
    ForwardInfo, ForwardStatus, ListForwards, ListPays, PayInfo, PayStatus, SendPayInfo, WaitSendPay,
};
use crate::request::{ListIndex, Page, Request, RequestError, Response};
use crate::side::Side;
use crate::store::{Row, Table};

/// Rows that one question may bring into memory.
const QUESTION_ROWS_MAX: usize = 100_000;

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
    Forwards(ListForwards),
    Invoices(ListInvoices),
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

fn invoice_spans(index: u64) -> [Span; 2] {
    let key = invoices::index_key(index);
    [Table::Invoice, Table::InvoiceEnd].map(|table| Span::under(table, key.as_slice()))
}

fn gather_invoices(rows: &[OwnedRow]) -> BTreeMap<u64, (InvoiceRow, Option<InvoiceEndRow>)> {
    let mut found = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for owned in rows {
        let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
        let Ok(key) = row.key_array::<8>() else { continue };
        let index = u64::from_be_bytes(key);
        match owned.table {
            Table::Invoice => {
                if let Ok(invoice) = row.decode::<InvoiceRow>() {
                    found.insert(index, (invoice, None));
                }
            }
            Table::InvoiceEnd => {
                if let Ok(end) = row.decode::<InvoiceEndRow>() {
                    ends.insert(index, end);
                }
            }
            _ => {}
        }
    }
    for (index, end) in ends {
        if let Some((_, slot)) = found.get_mut(&index) {
            *slot = Some(end);
        }
    }
    found
}

fn hash_prefix(payment_hash: PaymentHash) -> Vec<u8> {
    hash_key(payment_hash, 0).as_slice()[..32].to_vec()
}

fn in_page(page: &Page, number: u64, seen: &mut u32) -> bool {
    let wanted = page.index != Some(ListIndex::Created) || number >= page.start;
    if !wanted || page.limit.is_some_and(|limit| *seen >= limit) {
        return false;
    }
    *seen += 1;
    true
}

/// A part as clients see it.
pub(super) fn part_info(number: u64, part: &PartRow, payment: &PaymentRow) -> SendPayInfo {
    let (status, preimage, completed, failure) = match &part.state {
        PartState::Pending { .. } => (PayStatus::Pending, None, None, None),
        PartState::Complete { preimage, at_s } => (PayStatus::Complete, Some(Preimage(*preimage)), Some(*at_s), None),
        PartState::Failed { failure, at_s } => (PayStatus::Failed, None, Some(*at_s), Some(failure)),
    };
    SendPayInfo {
        created_index: number + 1,
        updated_index: completed.map(|_| number + 1),
        group_id: part.group,
        part_id: part.part_id,
        payment_hash: part.payment_hash,
        status,
        amount_msat: part.content.amount().or(payment.amount),
        amount_sent_msat: part.content.first().amount,
        destination: part.content.destination().or(payment.destination),
        created_at_s: part.created_at_s,
        completed_at: completed.map(|at_s| Wall(at_s * 1000)),
        label: payment.label.clone(),
        bolt11: payment.bolt11.clone(),
        description: payment.description.clone(),
        preimage,
        error_onion: failure.filter(|failure| failure.erring_index.is_none()).map(|failure| failure.raw.clone()),
        message: (status == PayStatus::Pending).then(|| "Monitor status with listpays or waitsendpay".to_owned()),
    }
}

fn pay_info(index: u64, stored: &Stored) -> Option<PayInfo> {
    let payment = stored.payment.as_ref()?;
    let status = match &stored.end {
        None => PayStatus::Pending,
        Some(PaymentEndRow { preimage: Some(_), .. }) => PayStatus::Complete,
        Some(_) => PayStatus::Failed,
    };
    let alive = |part: &&PartRow| !matches!(part.state, PartState::Failed { .. });
    let under_way = || stored.parts.values().filter(alive);
    let amount = under_way()
        .map(|part| part.content.amount())
        .try_fold(crate::amount::Msat::ZERO, |sum, amount| amount.map(|amount| sum.saturating_add(amount)));
    let sent = under_way().fold(crate::amount::Msat::ZERO, |sum, part| sum.saturating_add(part.content.first().amount));
    Some(PayInfo {
        payment_hash: payment.payment_hash,
        status,
        destination: payment.destination.or_else(|| stored.parts.values().find_map(|part| part.content.destination())),
        created_at_s: payment.created_at_s,
        completed_at_s: stored.end.as_ref().filter(|end| end.preimage.is_some()).map(|end| end.ended_at_s),
        label: payment.label.clone(),
        bolt11: payment.bolt11.clone(),
        description: payment.description.clone(),
        amount_msat: payment.amount.or(amount),
        amount_sent_msat: sent,
        preimage: stored.end.as_ref().and_then(|end| end.preimage).map(Preimage),
        number_of_parts: (status == PayStatus::Complete).then(|| under_way().count() as u32),
        created_index: index + 1,
        updated_index: stored.end.as_ref().map(|_| index + 1),
    })
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
        let id = QueryId(self.next_query);
        self.next_query += 1;
        self.queries.insert(id, Query { request, question, spans: spans.into(), rows: Vec::new() });
        self.load_next(io, id);
    }

    fn load_next(&mut self, io: &mut Io<'_>, id: QueryId) {
        let Some(query) = self.queries.get(&id) else { return };
        match query.spans.front() {
            Some(span) => io.out.emit(Command::Load {
                query: id,
                table: span.table,
                range: LoadRange::From(&span.from),
                limit: HISTORY_PAGE_ROWS as u32,
            }),
            None => self.answer(io, id),
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
        let Some(query) = self.queries.get_mut(&id) else { return };
        let Some(mut span) = query.spans.pop_front() else { return };
        let mut within = true;
        for row in rows {
            within = row.key.starts_with(&span.prefix);
            if !within {
                break;
            }
            query.rows.push(OwnedRow { table: row.table, key: row.key.to_vec(), value: row.value.to_vec() });
        }
        if query.rows.len() > QUESTION_ROWS_MAX {
            let request = query.request;
            self.queries.remove(&id);
            let text = "too much to show at once: use start and limit, or name a payment";
            return io.reply(request, Err(RequestError::generic(text)));
        }
        let one_is_enough = matches!(query.question, Question::PaidInvoice { index: None });
        if within
            && !one_is_enough
            && rows.len() >= HISTORY_PAGE_ROWS
            && let Some(last) = rows.last()
        {
            span.from = last.key.to_vec();
            span.from.push(0);
            query.spans.push_front(span);
        }
        self.load_next(io, id);
    }

    fn answer(&mut self, io: &mut Io<'_>, id: QueryId) {
        let Some(mut query) = self.queries.remove(&id) else { return };
        let request = query.request;
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
            self.queries.insert(id, query);
            return self.load_next(io, id);
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
                let pays = pays.filter(|pay| in_page(&filter.page, pay.created_index, &mut seen)).collect();
                io.reply(request, Ok(Response::Pays(pays)));
            }
            Question::SendPays { filter, .. } => {
                let mut seen = 0;
                let mut parts = Vec::new();
                for stored in gather(&rows).values() {
                    let Some(payment) = &stored.payment else { continue };
                    parts.extend(stored.parts.iter().map(|(number, part)| part_info(*number, part, payment)));
                }
                parts.sort_by_key(|part: &SendPayInfo| part.created_index);
                parts.retain(|part| filter.status.is_none_or(|status| status == part.status));
                parts.retain(|part| in_page(&filter.page, part.created_index, &mut seen));
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
            Question::Invoices(filter) => {
                let mut seen = 0;
                let invoices = gather_invoices(&rows)
                    .into_iter()
                    .map(|(index, (row, end))| invoices::info(index, &row, end.as_ref(), io.clock.wall));
                let invoices = invoices.filter(|info| in_page(&filter.page, info.created_index, &mut seen)).collect();
                io.reply(request, Ok(Response::Invoices(invoices)));
            }
            Question::Invoice { index, then } => match gather_invoices(&rows).remove(&index) {
                Some((row, end)) => self.on_invoice_read(io, request, index, row, end, then),
                None => io.reply(request, Err(no_invoice())),
            },
            Question::PaidInvoice { index } => {
                let index = index.expect("the second stage names the invoice");
                let result = match gather_invoices(&rows).remove(&index) {
                    Some((row, end)) => {
                        Ok(Response::Invoice(Box::new(invoices::info(index, &row, end.as_ref(), io.clock.wall))))
                    }
                    None => Err(no_invoice()),
                };
                io.reply(request, result);
            }
            Question::Forwards(filter) => {
                let forwards = self.forward_infos(&filter, &rows);
                io.reply(request, Ok(Response::Forwards(forwards)));
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
        let (spans, details_asked) = match hash_of(&filter) {
            Err(error) => return io.reply(request, Err(error)),
            Ok(Some(hash)) => (vec![Span::under(Table::PaymentHash, &hash_prefix(hash))], false),
            Ok(None) => (vec![Span::all(Table::Payment), Span::all(Table::PaymentEnd), Span::all(Table::Part)], true),
        };
        let question = match parts {
            false => Question::Pays { filter, details_asked },
            true => Question::SendPays { filter, details_asked },
        };
        self.ask(io, request, question, spans);
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
            None => vec![Span::all(Table::Invoice), Span::all(Table::InvoiceEnd)],
            Some(Some(index)) => invoice_spans(index).to_vec(),
            Some(None) => return io.reply(request, Ok(Response::Invoices(Vec::new()))),
        };
        self.ask(io, request, Question::Invoices(filter), spans);
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
        self.ask(io, request, Question::Forwards(filter), vec![Span::all(Table::Forward)]);
    }

    fn forward_infos(&self, filter: &ListForwards, rows: &[OwnedRow]) -> Vec<ForwardInfo> {
        let mut seen = 0;
        let mut forwards = Vec::new();
        for owned in rows {
            let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
            let (Ok(forward), Ok(key)) = (row.decode::<ForwardRow>(), row.key_array::<8>()) else { continue };
            let index = u64::from_be_bytes(key) + 1;
            let (status, out_htlc, resolved, failure_code) = match forward.state {
                ForwardState::Offered { htlc, .. } => (ForwardStatus::Offered, Some(htlc), None, None),
                ForwardState::Settled { htlc, at_ms, .. } => (ForwardStatus::Settled, Some(htlc), Some(at_ms), None),
                ForwardState::Failed { htlc, at_ms, .. } => (ForwardStatus::Failed, Some(htlc), Some(at_ms), None),
                ForwardState::Refused { code, at_ms } => (ForwardStatus::LocalFailed, None, Some(at_ms), Some(code)),
            };
            let wanted = filter.status.is_none_or(|wanted| wanted == status)
                && filter.in_channel.is_none_or(|scid| scid == forward.in_scid)
                && filter.out_channel.is_none_or(|scid| scid == forward.out_scid);
            if wanted && in_page(&filter.page, index, &mut seen) {
                forwards.push(ForwardInfo {
                    created_index: index,
                    updated_index: resolved.map(|_| index),
                    in_channel: forward.in_scid,
                    in_htlc: Some(forward.in_htlc),
                    in_msat: forward.in_amount,
                    out_channel: Some(forward.out_scid),
                    out_htlc,
                    out_msat: Some(forward.out_amount),
                    fee_msat: Some(forward.in_amount.saturating_sub(forward.out_amount)),
                    status,
                    failure_code,
                    received_at: Wall(forward.received_ms),
                    resolved_at: resolved.map(Wall),
                });
            }
        }
        forwards
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
    super::pay::part_result(number, part, payment)
}

/// A channel that has ended, for `listclosedchannels`.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ClosedChannelRow(pub(crate) ClosedChannel);

impl crate::store::RowValue for ClosedChannelRow {
    const TABLE: Table = Table::ClosedChannel;
}

impl Node {
    /// Remembers a channel that is over.
    pub(super) fn store_closed(&mut self, io: &mut Io<'_>, channel: &Channel, reason: &str) {
        let row = channel.row();
        let to_us = channel.ledger().base().local;
        let cause = match channel.phase() {
            Phase::OnChain { spent: Some(_), .. } if reason.contains("agreement") => CloseCause::User,
            Phase::OnChain { reason: Some(_), .. } => CloseCause::Local,
            Phase::OnChain { .. } => CloseCause::Onchain,
            _ => CloseCause::Unknown,
        };
        let closed = ClosedChannel {
            peer_id: channel.peer(),
            channel_id: channel.id(),
            short_channel_id: channel.scid(),
            alias: row.alias,
            channel_type: self.channel_type_of(channel),
            opener: row.opener,
            closer: None,
            private: !row.announce,
            funding: channel.funding().outpoint,
            commitments: crate::side::PerSide {
                local: channel.ledger().latest_number(Side::Local) + 1,
                remote: channel.ledger().latest_number(Side::Remote) + 1,
            },
            htlcs_sent: channel.ledger().next_id(Side::Local).0,
            total_msat: channel.capacity().to_msat(),
            final_to_us_msat: to_us,
            min_to_us_msat: to_us,
            max_to_us_msat: to_us,
            last_commitment_txid: None,
            last_commitment_fee_msat: None,
            cause,
        };
        io.put(crate::store::Key::new().u32(channel.key().0), &ClosedChannelRow(closed));
    }

    pub(super) fn on_list_closed(&mut self, io: &mut Io<'_>, request: RequestId, peer: Option<NodeId>) {
        self.ask(io, request, Question::Closed(peer), vec![Span::all(Table::ClosedChannel)]);
    }
}
