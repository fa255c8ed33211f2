//! Lists of any length, made while their rows are read.
//!
//! Lists by other numbers than those of their keys are made in [`super::ordered`]; all others here.
//!
//! A window of heads (payments, invoices, forwards) is read from where the client wants to begin, then what belongs to
//! them in other tables, all of which have the head's number first in their keys. What the window comes to is added to
//! the answer, and the next is read, until there are as many as the client asked for. Each read is a turn of its own.

use std::collections::BTreeMap;

use super::show::{forward_info, pay_info};
use super::{OwnedRow, Row, after, gather, gather_invoices, in_page, show};
use crate::clock::Wall;
use crate::payment::rows::{ForwardRow, index_key};
use crate::request::invoice::{InvoiceInfo, ListInvoices};
use crate::request::payment::{ForwardInfo, ListForwards, ListPays, PayInfo, SendPayInfo};
use crate::request::{ListIndex, Page, RequestError, Response};
use crate::store::Table;

/// Heads that are read at once: what belongs to them stands in memory together.
const WINDOW: usize = 256;

/// What is listed.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) enum Listing {
    Pays(ListPays),
    SendPays(ListPays),
    Forwards(ListForwards),
    Invoices(ListInvoices),
}

impl Listing {
    pub(super) fn page(&self) -> &Page {
        match self {
            Listing::Pays(filter) | Listing::SendPays(filter) => &filter.page,
            Listing::Forwards(filter) => &filter.page,
            Listing::Invoices(filter) => &filter.page,
        }
    }

    fn heads(&self) -> Table {
        match self {
            Listing::Pays(_) | Listing::SendPays(_) => Table::Payment,
            Listing::Forwards(_) => Table::Forward,
            Listing::Invoices(_) => Table::Invoice,
        }
    }

    fn details(&self) -> &'static [Table] {
        match self {
            Listing::Pays(_) | Listing::SendPays(_) => &[Table::PaymentEnd, Table::Part],
            Listing::Forwards(_) => &[],
            Listing::Invoices(_) => &[Table::InvoiceEnd, Table::InvoiceHold],
        }
    }

    /// Are the numbers by which it is asked for others than those of the heads?
    pub(super) fn is_ordered(&self) -> bool {
        match (self, self.page().index) {
            (_, None) => false,
            // Parts are numbered by themselves, and those of an old payment may be new.
            (Listing::SendPays(_), Some(_)) => true,
            (_, Some(index)) => index == ListIndex::Updated,
        }
    }

    /// The number of the first head that can be in the answer. Numbers in answers begin with 1.
    fn first(&self) -> u64 {
        let page = self.page();
        page.index.map_or(0, |_| page.start.saturating_sub(1))
    }

    /// May heads be read that are not in the answer?
    fn is_picky(&self) -> bool {
        match self {
            Listing::Pays(filter) => filter.status.is_some(),
            Listing::SendPays(_) => true,
            Listing::Forwards(filter) => {
                filter.status.is_some() || filter.in_channel.is_some() || filter.out_channel.is_some()
            }
            Listing::Invoices(_) => false,
        }
    }
}

/// What the answer is made of so far.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) enum Found {
    Pays(Vec<PayInfo>),
    /// By number: they do not come in its order.
    SendPays(BTreeMap<u64, SendPayInfo>),
    Forwards(Vec<ForwardInfo>),
    Invoices(Vec<InvoiceInfo>),
}

impl Found {
    pub(super) fn new(listing: &Listing) -> Found {
        match listing {
            Listing::Pays(_) => Found::Pays(Vec::new()),
            Listing::SendPays(_) => Found::SendPays(BTreeMap::new()),
            Listing::Forwards(_) => Found::Forwards(Vec::new()),
            Listing::Invoices(_) => Found::Invoices(Vec::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Found::Pays(found) => found.len(),
            Found::SendPays(found) => found.len(),
            Found::Forwards(found) => found.len(),
            Found::Invoices(found) => found.len(),
        }
    }

    pub(super) fn into_response(self) -> Response {
        match self {
            Found::Pays(found) => Response::Pays(found),
            Found::SendPays(found) => Response::SendPays(found.into_values().collect()),
            Found::Forwards(found) => Response::Forwards(found),
            Found::Invoices(found) => Response::Invoices(found),
        }
    }
}

impl ListForwards {
    /// Is it one that the client looks for?
    pub(super) fn wants(&self, forward: &ForwardRow, info: &ForwardInfo) -> bool {
        self.status.is_none_or(|wanted| wanted == info.status)
            && self.in_channel.is_none_or(|scid| scid == forward.in_scid)
            && self.out_channel.is_none_or(|scid| scid == forward.out_scid)
    }
}

#[derive(bincode::Encode, bincode::Decode)]
enum Stage {
    /// Heads come next, from this key.
    Heads { from: Vec<u8> },
    /// What belongs to the heads up to this number comes next.
    Details { place: usize, from: Vec<u8>, last: u64 },
    /// Nothing comes.
    Done,
}

/// One list that is being made.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) struct List {
    listing: Listing,
    stage: Stage,
    /// The window's rows.
    rows: Vec<OwnedRow>,
    /// Its first head, and how many there are.
    first: u64,
    heads: usize,
    /// Are there heads after the window?
    more: bool,
    found: Found,
    seen: u32,
}

fn number_of(key: &[u8]) -> u64 {
    key.first_chunk::<8>().map_or(u64::MAX, |number| u64::from_be_bytes(*number))
}

impl List {
    pub(super) fn new(listing: Listing) -> List {
        let found = Found::new(&listing);
        let first = listing.first();
        let stage = match listing.page().limit {
            Some(0) => Stage::Done,
            _ => Stage::Heads { from: index_key(first).as_slice().to_vec() },
        };
        List { listing, stage, rows: Vec::new(), first, heads: 0, more: false, found, seen: 0 }
    }

    /// How long the answer is.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    fn window(&self) -> usize {
        match self.listing.page().limit {
            Some(limit) if !self.listing.is_picky() => (limit as usize).saturating_sub(self.len()).clamp(1, WINDOW),
            _ => WINDOW,
        }
    }

    fn details_limit(&self, place: usize) -> usize {
        match self.listing.details()[place] {
            // Most payments have one part; if they have more, more is read.
            Table::Part => self.heads.saturating_mul(2).max(16),
            _ => self.heads,
        }
    }

    /// Which rows come next: table, first key, at most so many.
    pub(super) fn wanted(&self) -> Option<(Table, &Vec<u8>, usize)> {
        match &self.stage {
            Stage::Heads { from } => Some((self.listing.heads(), from, self.window())),
            Stage::Details { place, from, .. } => {
                Some((self.listing.details()[*place], from, self.details_limit(*place)))
            }
            Stage::Done => None,
        }
    }

    /// Takes in what was wanted.
    pub(super) fn take(&mut self, rows: &[Row<'_>], wall: Wall) {
        let own = |row: &Row<'_>| OwnedRow { table: row.table, key: row.key.to_vec(), value: row.value.to_vec() };
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Heads { .. } => {
                let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
                self.more = rows.len() >= self.window();
                self.heads = rows.len();
                self.first = number_of(first.key);
                self.rows.extend(rows.iter().map(own));
                self.begin_details(0, number_of(last.key), wall);
            }
            Stage::Details { place, last, .. } => {
                let within = |row: &&Row<'_>| number_of(row.key) <= last;
                self.rows.extend(rows.iter().take_while(within).map(own));
                match rows.last().filter(within) {
                    Some(row) if rows.len() >= self.details_limit(place) => {
                        self.stage = Stage::Details { place, from: after(row.key), last };
                    }
                    _ => self.begin_details(place + 1, last, wall),
                }
            }
            Stage::Done => {}
        }
    }

    fn begin_details(&mut self, place: usize, last: u64, wall: Wall) {
        if place < self.listing.details().len() {
            self.stage = Stage::Details { place, from: index_key(self.first).as_slice().to_vec(), last };
            return;
        }
        self.end_window(wall);
        let full = self.listing.page().limit.is_some_and(|limit| self.seen >= limit);
        if self.more && !full {
            self.stage = Stage::Heads { from: index_key(last.saturating_add(1)).as_slice().to_vec() };
        }
    }

    /// Adds what the window comes to.
    fn end_window(&mut self, wall: Wall) {
        let rows = std::mem::take(&mut self.rows);
        let page = *self.listing.page();
        let seen = &mut self.seen;
        match (&self.listing, &mut self.found) {
            (Listing::Pays(filter), Found::Pays(found)) => {
                let pays = gather(&rows).into_iter().filter_map(|(index, stored)| pay_info(index, &stored));
                let pays = pays.filter(|pay| filter.status.is_none_or(|status| status == pay.status));
                found.extend(pays.filter(|pay| in_page(&page, pay.created_index, pay.updated_index, seen)));
            }
            (Listing::SendPays(filter), Found::SendPays(found)) => {
                // The limit counts only in the end: parts with lower numbers may be still to come.
                let unlimited = Page { limit: None, ..page };
                for stored in gather(&rows).values() {
                    let Some(payment) = &stored.payment else { continue };
                    for (number, part) in &stored.parts {
                        let info = show::part_info(*number, part, payment);
                        let wanted = filter.status.is_none_or(|status| status == info.status);
                        if wanted && in_page(&unlimited, info.created_index, info.updated_index, &mut 0) {
                            found.insert(info.created_index, info);
                        }
                    }
                }
                while page.limit.is_some_and(|limit| found.len() > limit as usize) {
                    found.pop_last();
                }
            }
            (Listing::Forwards(filter), Found::Forwards(found)) => {
                for owned in &rows {
                    let row = Row { table: owned.table, key: &owned.key, value: &owned.value };
                    let (Ok(forward), Ok(key)) = (row.decode::<ForwardRow>(), row.key_array::<8>()) else { continue };
                    let info = forward_info(u64::from_be_bytes(key), &forward);
                    if filter.wants(&forward, &info) && in_page(&page, info.created_index, info.updated_index, seen) {
                        found.push(info);
                    }
                }
            }
            (Listing::Invoices(_), Found::Invoices(found)) => {
                let infos = gather_invoices(&rows).into_iter().map(|(index, stored)| stored.info(index, wall));
                found.extend(infos.filter(|info| in_page(&page, info.created_index, info.updated_index, seen)));
            }
            _ => unreachable!("what is found is what is listed"),
        }
    }

    /// The answer, when nothing is wanted any more.
    pub(super) fn answer(self) -> Result<Response, RequestError> {
        Ok(self.found.into_response())
    }
}
