//! Questions about invoices that may have ended: their rows are read back first.

use std::collections::BTreeMap;

use super::rows::{InvoiceEnd, InvoiceEndRow, InvoiceRow, index_key, parse_index};
use super::{Invoices, Replies, expired, found, label_key, not_found, put_end, put_invoice, wrong_status};
use crate::command::{Command, LoadRange, Sink};
use crate::ids::{QueryId, RequestId};
use crate::limits::HISTORY_PAGE_ROWS;
use crate::request::invoice::{DelInvoice, InvoiceFilter, InvoiceInfo, InvoiceStatus, ListInvoices};
use crate::request::{ListIndex, Page, RequestError, Response};
use crate::store::{Row, RowError, Table};

/// Our queries begin here, so that they are never the node's.
const FIRST_QUERY: u64 = 1 << 63;
/// Invoices that one list may bring into memory.
const LIST_MAX: usize = 100_000;
/// Questions under way; each holds at most one page beyond its answer.
const QUERIES_MAX: usize = 1_000;

/// What the rows of one invoice are wanted for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// To show it in a list.
    List,
    /// Somebody waits for it, and it has ended.
    Wait,
    /// To delete it, or its description.
    Delete(DelInvoice),
}

#[derive(Debug)]
enum Stage {
    /// The invoice of this number, then its end.
    One { index: u64, purpose: Purpose, row: Option<InvoiceRow> },
    /// A page of invoices from this number on.
    Page { from: u64 },
    /// The ends of these invoices, from this number on.
    Ends { from: u64, rows: BTreeMap<u64, InvoiceRow>, ends: BTreeMap<u64, InvoiceEndRow>, last_page: bool },
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Query {
    request: RequestId,
    stage: Stage,
    page: Page,
    found: Vec<InvoiceInfo>,
}

impl Query {
    pub(super) fn request(&self) -> RequestId {
        self.request
    }

    /// What changes something is done even if nobody waits for the answer.
    pub(super) fn must_finish(&self) -> bool {
        matches!(self.stage, Stage::One { purpose: Purpose::Delete(_), .. })
    }

    /// How many more invoices are wanted.
    fn missing(&self) -> usize {
        let limit = self.page.limit.map_or(usize::MAX, |limit| limit as usize);
        // Sorted by change, any invoice may be the first.
        if self.page.index == Some(ListIndex::Updated) { usize::MAX } else { limit.saturating_sub(self.found.len()) }
    }

    fn load(&self, query: QueryId, out: &mut dyn Sink) {
        let (table, from, exactly) = match &self.stage {
            Stage::One { index, row: None, .. } => (Table::Invoice, *index, true),
            Stage::One { index, row: Some(_), .. } => (Table::InvoiceEnd, *index, true),
            Stage::Page { from } => (Table::Invoice, *from, false),
            Stage::Ends { from, .. } => (Table::InvoiceEnd, *from, false),
        };
        let key = index_key(from);
        let range = if exactly { LoadRange::Exactly(key.as_slice()) } else { LoadRange::From(key.as_slice()) };
        out.emit(Command::Load { query, table, range, limit: self.rows_wanted() as u32 });
    }

    fn rows_wanted(&self) -> usize {
        match self.stage {
            Stage::One { .. } => 1,
            Stage::Page { .. } => HISTORY_PAGE_ROWS.min(self.missing()),
            Stage::Ends { .. } => HISTORY_PAGE_ROWS,
        }
    }
}

/// What follows a page of rows.
enum Next {
    Load,
    Answer(Result<Response, RequestError>),
}

fn unreadable(error: RowError) -> RequestError {
    RequestError::generic(format!("the store holds {error}"))
}

/// An invoice's place in the numbering that was asked for.
fn number(info: &InvoiceInfo, index: Option<ListIndex>) -> u64 {
    match index {
        Some(ListIndex::Updated) => info.updated_index.unwrap_or(0),
        Some(ListIndex::Created) | None => info.created_index,
    }
}

fn listed(mut found: Vec<InvoiceInfo>, page: &Page) -> Result<Response, RequestError> {
    found.retain(|info| page.index != Some(ListIndex::Updated) || info.updated_index.is_some());
    found.retain(|info| page.index.is_none() || number(info, page.index) >= page.start);
    found.sort_by_key(|info| number(info, page.index));
    found.truncate(page.limit.map_or(usize::MAX, |limit| limit as usize));
    Ok(Response::Invoices(found))
}

impl Invoices {
    /// `listinvoices`.
    pub fn list(&mut self, out: &mut dyn Sink, request: RequestId, list: &ListInvoices) -> Replies {
        let index = match &list.filter {
            InvoiceFilter::All => {
                let from = if list.page.index == Some(ListIndex::Created) { list.page.start } else { 0 };
                if list.page.limit == Some(0) {
                    return vec![(request, Ok(Response::Invoices(Vec::new())))];
                }
                return self.ask(out, request, Stage::Page { from }, list.page);
            }
            InvoiceFilter::Label(label) => self.by_label.get(&label_key(label)),
            InvoiceFilter::PaymentHash(payment_hash) => self.by_hash.get(payment_hash),
            InvoiceFilter::Invstring(text) => match crate::invoice::Invoice::parse(text) {
                Ok(invoice) => self.by_hash.get(&invoice.payment_hash),
                Err(error) => {
                    return vec![(request, Err(RequestError::invalid_params(format!("Invalid invstring: {error}"))))];
                }
            },
        };
        match index.copied() {
            None => vec![(request, Ok(Response::Invoices(Vec::new())))],
            Some(index) => match self.open.get(&index) {
                Some(invoice) => vec![(request, Ok(Response::Invoices(vec![invoice.info()])))],
                None => self.ask_one(out, request, index, Purpose::List),
            },
        }
    }

    /// `delinvoice`.
    pub fn delete(&mut self, out: &mut dyn Sink, request: RequestId, delete: DelInvoice) -> Replies {
        let Some(&index) = self.by_label.get(&label_key(&delete.label)) else {
            return vec![(request, Err(not_found()))];
        };
        match self.open.get(&index) {
            None => self.ask_one(out, request, index, Purpose::Delete(delete)),
            Some(invoice) => {
                let row = invoice.row.clone();
                let (result, gone) = self.delete_now(out, index, row, None, &delete);
                // Whoever waits for it waits for nothing.
                let gone = if gone { self.wake_one(index) } else { Vec::new() };
                let mut replies: Replies = gone.into_iter().map(|waiter| (waiter, Err(not_found()))).collect();
                replies.push((request, result));
                replies
            }
        }
    }

    /// Deletes, and tells whether the invoice is gone.
    fn delete_now(
        &mut self,
        out: &mut dyn Sink,
        index: u64,
        mut row: InvoiceRow,
        end: Option<InvoiceEndRow>,
        delete: &DelInvoice,
    ) -> (Result<Response, RequestError>, bool) {
        let status = end.map_or(InvoiceStatus::Unpaid, |end| end.status());
        if status != delete.status {
            return (Err(wrong_status(status, delete.status)), false);
        }
        let info = row.info(index, end.as_ref());
        if delete.description_only {
            row.description = None;
            put_invoice(index, &row, out);
            let info = row.info(index, end.as_ref());
            if let Some(invoice) = self.open.get_mut(&index) {
                invoice.row = row;
            }
            return (found(info), false);
        }
        self.by_hash.remove(&row.payment_hash());
        self.by_label.remove(&label_key(&row.label));
        if self.open.remove(&index).is_some() {
            self.expiries.remove(&(row.expires_at_s, index));
        }
        let pay_index = end.and_then(|end| end.pay_index());
        if let Some(pay_index) = pay_index {
            self.paid.remove(&pay_index);
        }
        out.emit(Command::Delete { table: Table::Invoice, key: index_key(index).as_slice() });
        let newest = index == self.last_created
            || pay_index.is_some_and(|pay_index| pay_index == self.last_paid)
            || end.is_some_and(|end| end.updated_index == self.last_updated);
        if newest {
            let updated_index = end.map_or(0, |end| end.updated_index);
            put_end(index, &InvoiceEndRow { updated_index, end: InvoiceEnd::Deleted { pay_index } }, out);
        } else if end.is_some() {
            out.emit(Command::Delete { table: Table::InvoiceEnd, key: index_key(index).as_slice() });
        }
        (found(info), true)
    }

    /// Reads one invoice back.
    pub(super) fn ask_one(&mut self, out: &mut dyn Sink, request: RequestId, index: u64, purpose: Purpose) -> Replies {
        self.ask(out, request, Stage::One { index, purpose, row: None }, Page::default())
    }

    fn ask(&mut self, out: &mut dyn Sink, request: RequestId, stage: Stage, page: Page) -> Replies {
        if self.queries.len() >= QUERIES_MAX {
            let text = format!("{QUERIES_MAX} questions about invoices are under way already");
            return vec![(request, Err(RequestError::generic(text)))];
        }
        let id = QueryId(FIRST_QUERY + self.next_query);
        self.next_query += 1;
        let query = Query { request, stage, page, found: Vec::new() };
        query.load(id, out);
        self.queries.insert(id, query);
        Replies::new()
    }

    /// Rows that were read back.
    pub fn on_loaded(
        &mut self,
        out: &mut dyn Sink,
        _clock: crate::clock::Clock,
        id: QueryId,
        rows: &[Row<'_>],
    ) -> Replies {
        // Nobody waits for it any more.
        let Some(mut query) = self.queries.remove(&id) else { return Replies::new() };
        let next = match &query.stage {
            Stage::One { .. } => self.one_loaded(out, &mut query, rows),
            Stage::Page { .. } | Stage::Ends { .. } => page_loaded(&mut query, rows),
        };
        match next.unwrap_or_else(|error| Next::Answer(Err(unreadable(error)))) {
            Next::Load => {
                query.load(id, out);
                self.queries.insert(id, query);
                Replies::new()
            }
            Next::Answer(result) => vec![(query.request, result)],
        }
    }

    fn one_loaded(&mut self, out: &mut dyn Sink, query: &mut Query, rows: &[Row<'_>]) -> Result<Next, RowError> {
        let Stage::One { index, purpose, row } = &mut query.stage else { return Ok(Next::Load) };
        let index = *index;
        let Some(invoice) = row.take() else {
            // It may have been deleted since it was asked for.
            let Some(loaded) = rows.first() else {
                let nothing = Ok(Response::Invoices(Vec::new()));
                return Ok(Next::Answer(if matches!(purpose, Purpose::List) { nothing } else { Err(not_found()) }));
            };
            *row = Some(loaded.decode()?);
            return Ok(Next::Load);
        };
        let end: Option<InvoiceEndRow> = rows.first().map(|row| row.decode()).transpose()?;
        let info = invoice.info(index, end.as_ref());
        Ok(Next::Answer(match purpose {
            Purpose::List => Ok(Response::Invoices(vec![info])),
            Purpose::Wait if info.status == InvoiceStatus::Expired => Err(expired(info)),
            Purpose::Wait => found(info),
            Purpose::Delete(delete) => match self.by_hash.get(&info.payment_hash) {
                Some(same) if *same == index => self.delete_now(out, index, invoice, end, delete).0,
                _ => Err(not_found()),
            },
        }))
    }
}

/// Invoices first, then how they ended, page by page.
fn page_loaded(query: &mut Query, loaded: &[Row<'_>]) -> Result<Next, RowError> {
    let full = loaded.len() >= query.rows_wanted();
    match &mut query.stage {
        Stage::One { .. } => {}
        Stage::Page { from } => {
            let mut rows = BTreeMap::new();
            for row in loaded {
                rows.insert(parse_index(row)?, row.decode::<InvoiceRow>()?);
            }
            if rows.is_empty() {
                return Ok(Next::Answer(listed(std::mem::take(&mut query.found), &query.page)));
            }
            query.stage = Stage::Ends { from: *from, rows, ends: BTreeMap::new(), last_page: !full };
        }
        Stage::Ends { from, rows, ends, last_page } => {
            for row in loaded {
                ends.insert(parse_index(row)?, row.decode::<InvoiceEndRow>()?);
            }
            let last = rows.last_key_value().map_or(0, |(index, _)| *index);
            let reached = ends.last_key_value().map_or(0, |(index, _)| *index);
            if full && reached < last {
                *from = reached + 1;
                return Ok(Next::Load);
            }
            query.found.extend(rows.iter().map(|(index, row)| row.info(*index, ends.get(index))));
            let (last_page, enough) = (*last_page, query.missing() == 0);
            if query.found.len() > LIST_MAX {
                let text = "too many invoices to show at once: use index, start and limit";
                return Ok(Next::Answer(Err(RequestError::generic(text))));
            }
            if last_page || enough {
                return Ok(Next::Answer(listed(std::mem::take(&mut query.found), &query.page)));
            }
            query.stage = Stage::Page { from: last + 1 };
        }
    }
    Ok(Next::Load)
}
