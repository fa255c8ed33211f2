//! Lists in the order of numbers that their rows' own keys do not have: parts by creation, and all things by their last
//! change.
//!
//! Rows of [`Table::Change`], or of [`Table::InvoicePaid`], say what has which number. A window of these is read from
//! where the client wants to begin, then what they name, one after the other, until there are as many as the client
//! asked for: a page costs what is on it, however long the list. Each read is a turn of its own.

use std::collections::VecDeque;

use super::list::{Found, Listing};
use super::show::{forward_info, part_info, pay_info};
use super::{OwnedRow, Row, Span, after, gather, gather_invoices};
use crate::clock::Wall;
use crate::invoices::{self, InvoicePaidRow};
use crate::payment::rows::{ChangeRow, Changes, ForwardRow, index_key, part_key};
use crate::request::{ListIndex, RequestError, Response};
use crate::store::Table;

/// Numbers that are read at once.
const WINDOW: usize = 64;
/// Rows that are read at once of what has several.
const PIECES: usize = 8;

/// Which of the rows is shown next.
#[derive(Clone, Copy, bincode::Encode, bincode::Decode)]
struct Item {
    order: u64,
    what: ChangeRow,
}

#[derive(bincode::Encode, bincode::Decode)]
enum Stage {
    /// Numbers come next, from this key.
    Numbers { from: Vec<u8> },
    /// What this one is made of comes next.
    Item { item: Item, spans: VecDeque<Span>, rows: Vec<OwnedRow> },
    /// Nothing comes.
    Done,
}

/// One list that is being made.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) struct Ordered {
    listing: Listing,
    stage: Stage,
    items: VecDeque<Item>,
    /// Where the numbers after the window begin, if there are any.
    more: Option<Vec<u8>>,
    found: Found,
}

/// Where the numbers of a list stand, and how their keys begin.
fn numbers(listing: &Listing) -> (Table, Option<Changes>) {
    match (listing, listing.page().index) {
        (Listing::SendPays(_), Some(ListIndex::Created)) => (Table::Change, Some(Changes::PartCreated)),
        (Listing::Pays(_) | Listing::SendPays(_), _) => (Table::Change, Some(Changes::PartUpdated)),
        (Listing::Forwards(_), _) => (Table::Change, Some(Changes::ForwardUpdated)),
        (Listing::Invoices(_), _) => (Table::InvoicePaid, None),
    }
}

impl Ordered {
    pub(super) fn new(listing: Listing) -> Ordered {
        let found = Found::new(&listing);
        // Clients count from 1; numbers of payments of invoices do so themselves.
        let start = listing.page().start;
        let from = match numbers(&listing).1 {
            Some(changes) => changes.key(start.saturating_sub(1)),
            None => invoices::index_key(start),
        };
        let stage = match listing.page().limit {
            Some(0) => Stage::Done,
            _ => Stage::Numbers { from: from.as_slice().to_vec() },
        };
        Ordered { listing, stage, items: VecDeque::new(), more: None, found }
    }

    /// How long the answer is.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// How many may still be added.
    fn left(&self) -> usize {
        self.listing.page().limit.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(self.len()))
    }

    fn window(&self) -> usize {
        self.left().clamp(1, WINDOW)
    }

    fn pieces(span: &Span) -> usize {
        if matches!(span.table, Table::Part) && span.prefix.len() == 8 { PIECES } else { 1 }
    }

    /// Which rows come next: table, first key, at most so many.
    pub(super) fn wanted(&self) -> Option<(Table, &Vec<u8>, usize)> {
        match &self.stage {
            Stage::Numbers { from } => Some((numbers(&self.listing).0, from, self.window())),
            Stage::Item { spans, .. } => {
                let span = spans.front().expect("an item without rows to read is done");
                Some((span.table, &span.from, Ordered::pieces(span)))
            }
            Stage::Done => None,
        }
    }

    /// Takes in what was wanted.
    pub(super) fn take(&mut self, rows: &[Row<'_>], wall: Wall) {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Numbers { .. } => {
                self.take_numbers(rows);
                self.next();
            }
            Stage::Item { item, mut spans, rows: mut taken } => {
                let mut span = spans.pop_front().expect("it was wanted");
                let within = |row: &&Row<'_>| row.key.starts_with(&span.prefix);
                let own =
                    |row: &Row<'_>| OwnedRow { table: row.table, key: row.key.to_vec(), value: row.value.to_vec() };
                taken.extend(rows.iter().take_while(within).map(own));
                let pieces = Ordered::pieces(&span);
                if pieces > 1
                    && rows.len() >= pieces
                    && let Some(last) = rows.last().filter(within)
                {
                    span.from = after(last.key);
                    spans.push_front(span);
                }
                if spans.is_empty() {
                    self.show(item, &taken, wall);
                    self.next();
                } else {
                    self.stage = Stage::Item { item, spans, rows: taken };
                }
            }
            Stage::Done => {}
        }
    }

    fn take_numbers(&mut self, rows: &[Row<'_>]) {
        let (table, changes) = numbers(&self.listing);
        let read = |row: &Row<'_>| match changes {
            Some(changes) => Some(Item { order: changes.number(row.key)?, what: row.decode().ok()? }),
            None => {
                let order = u64::from_be_bytes(row.key_array().ok()?);
                let InvoicePaidRow(head) = row.decode().ok()?;
                Some(Item { order, what: ChangeRow { head, part: 0 } })
            }
        };
        let items = rows.iter().map_while(read);
        self.items.extend(items);
        let is_whole = self.items.len() == rows.len() && rows.len() >= self.window();
        self.more = rows.last().filter(|row| is_whole && row.table == table).map(|row| after(row.key));
    }

    /// On to the next item, or to more of them.
    fn next(&mut self) {
        if self.left() == 0 {
            return;
        }
        match self.items.pop_front() {
            Some(item) => {
                let spans = self.spans(item.what).into();
                self.stage = Stage::Item { item, spans, rows: Vec::new() };
            }
            None => {
                if let Some(from) = self.more.take() {
                    self.stage = Stage::Numbers { from };
                }
            }
        }
    }

    fn spans(&self, ChangeRow { head, part }: ChangeRow) -> Vec<Span> {
        let under_head = |table| Span::under(table, index_key(head).as_slice());
        match &self.listing {
            Listing::Pays(_) => [Table::Payment, Table::PaymentEnd, Table::Part].map(under_head).to_vec(),
            Listing::SendPays(_) => {
                vec![under_head(Table::Payment), Span::under(Table::Part, part_key(head, part).as_slice())]
            }
            Listing::Forwards(_) => vec![under_head(Table::Forward)],
            Listing::Invoices(_) => super::invoice_spans(head).to_vec(),
        }
    }

    /// Adds the item, if it is what the client looks for, and this its number.
    fn show(&mut self, Item { order, what }: Item, rows: &[OwnedRow], wall: Wall) {
        match (&self.listing, &mut self.found) {
            (Listing::Pays(filter), Found::Pays(found)) => {
                let info = gather(rows).get(&what.head).and_then(|stored| pay_info(what.head, stored));
                // Each of its parts has a number of its own; a payment's is the last of them.
                found.extend(info.filter(|info| {
                    info.updated_index == Some(order + 1) && filter.status.is_none_or(|status| status == info.status)
                }));
            }
            (Listing::SendPays(filter), Found::SendPays(found)) => {
                for stored in gather(rows).values() {
                    let (Some(payment), Some(part)) = (&stored.payment, stored.parts.get(&what.part)) else { continue };
                    let info = part_info(what.part, part, payment);
                    if filter.status.is_none_or(|status| status == info.status) {
                        found.insert(order, info);
                    }
                }
            }
            (Listing::Forwards(filter), Found::Forwards(found)) => {
                for owned in rows {
                    let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
                    let Ok(forward) = row.decode::<ForwardRow>() else { continue };
                    found.extend(Some(forward_info(what.head, &forward)).filter(|info| filter.wants(&forward, info)));
                }
            }
            (Listing::Invoices(_), Found::Invoices(found)) => {
                let invoices = gather_invoices(rows).into_iter();
                found.extend(invoices.map(|(index, stored)| stored.info(index, wall)));
            }
            _ => unreachable!("what is found is what is listed"),
        }
    }

    /// The answer, when nothing is wanted any more.
    pub(super) fn answer(self) -> Result<Response, RequestError> {
        Ok(self.found.into_response())
    }
}
