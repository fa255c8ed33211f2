//! A shop and its invoices, with a store that answers when it is asked to.

use std::collections::BTreeMap;

use super::*;
use crate::clock::Wall;
use crate::command::LoadRange;
use crate::limits::HISTORY_PAGE_ROWS;
use crate::request::invoice::{DelInvoice, InvoiceFilter, ListInvoices};
use crate::request::{ListIndex, Page};

#[derive(Default)]
struct Store {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    loads: Vec<(QueryId, Table, Vec<u8>, bool, u32)>,
}

impl Sink for Store {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                self.rows.insert((table, key.to_vec()), bytes);
            }
            Command::Delete { table, key } => {
                self.rows.remove(&(table, key.to_vec()));
            }
            Command::Load { query, table, range, limit } => {
                assert!(limit as usize <= HISTORY_PAGE_ROWS);
                let (key, exactly) = match range {
                    LoadRange::From(key) => (key, false),
                    LoadRange::Exactly(key) => (key, true),
                    LoadRange::Before(_) => panic!("invoices are read forwards"),
                };
                self.loads.push((query, table, key.to_vec(), exactly, limit));
            }
            _ => panic!("invoices have no business with this"),
        }
    }
}

const NOW_S: u64 = 1_700_000_000;

struct Shop {
    invoices: Invoices,
    store: Store,
    clock: Clock,
    requests: u64,
    pages: usize,
}

type Answer = Result<Response, RequestError>;

impl Shop {
    fn new() -> Shop {
        let clock = Clock { mono: Mono(5_000), wall: Wall(NOW_S * 1000) };
        let mut invoices = Invoices::default();
        invoices.finish(clock);
        Shop { invoices, store: Store::default(), clock, requests: 0, pages: 0 }
    }

    fn row(number: u32, label: &str) -> NewInvoice {
        let mut preimage = [7; 32];
        preimage[..4].copy_from_slice(&number.to_be_bytes());
        InvoiceRow {
            label: label.to_owned(),
            description: Some(format!("item {number}")),
            amount: Some(Msat(1_000)),
            expires_at_s: NOW_S + 3600,
            preimage: Preimage(preimage),
            payment_secret: PaymentSecret([number as u8; 32]),
            min_final_cltv_expiry_delta: 18,
            bolt11: format!("lnbcrt{number}"),
        }
    }

    fn create(&mut self, number: u32) -> PaymentHash {
        let row = Shop::row(number, &number.to_string());
        let payment_hash = row.payment_hash();
        self.invoices.create(&mut self.store, self.clock, row).expect("nothing of it is taken");
        payment_hash
    }

    fn pay(&mut self, payment_hash: PaymentHash) -> Replies {
        let (preimage, replies) = self.invoices.paid(&mut self.store, self.clock, payment_hash, Msat(1_001));
        assert_eq!(preimage.payment_hash(), payment_hash);
        self.audit();
        replies
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn pass(&mut self, seconds: u64) -> Replies {
        self.clock.mono = self.clock.mono.plus_ms(seconds * 1000);
        self.clock.wall.0 += seconds * 1000;
        let due = self.invoices.next_deadline().is_some_and(|deadline| deadline <= self.clock.mono);
        let replies = if due { self.invoices.on_deadline(&mut self.store, self.clock) } else { Replies::new() };
        self.audit();
        replies
    }

    /// Lets the store answer until there is a reply.
    fn answers(&mut self, mut replies: Replies) -> Replies {
        while !self.store.loads.is_empty() {
            let (query, table, from, exactly, limit) = self.store.loads.remove(0);
            let rows: Vec<(Vec<u8>, Vec<u8>)> = self
                .store
                .rows
                .range((table, from.clone())..)
                .take_while(|((row_table, key), _)| *row_table == table && (!exactly || *key == from))
                .take(limit as usize)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            let rows: Vec<Row<'_>> = rows.iter().map(|(key, value)| Row { table, key, value }).collect();
            self.pages += 1;
            replies.extend(self.invoices.on_loaded(&mut self.store, self.clock, query, &rows));
        }
        self.audit();
        replies
    }

    fn answer(&mut self, replies: Replies) -> Answer {
        let mut replies = self.answers(replies);
        assert_eq!(replies.len(), 1);
        let (request, answer) = replies.remove(0);
        assert_eq!(request, RequestId(self.requests));
        answer
    }

    fn list(&mut self, filter: InvoiceFilter, page: Page) -> Vec<InvoiceInfo> {
        let request = self.request();
        let replies = self.invoices.list(&mut self.store, request, &ListInvoices { filter, page });
        match self.answer(replies) {
            Ok(Response::Invoices(infos)) => infos,
            other => panic!("{other:?}"),
        }
    }

    fn list_all(&mut self) -> Vec<InvoiceInfo> {
        self.list(InvoiceFilter::All, Page::default())
    }

    fn delete(&mut self, label: &str, status: InvoiceStatus) -> Result<InvoiceInfo, RequestError> {
        self.delete_with(DelInvoice { label: label.to_owned(), status, description_only: false })
    }

    fn delete_with(&mut self, delete: DelInvoice) -> Result<InvoiceInfo, RequestError> {
        let request = self.request();
        let replies = self.invoices.delete(&mut self.store, request, delete);
        self.answer(replies).map(info)
    }

    fn wait_any(&mut self, last_pay_index: u64, timeout_s: Option<u64>) -> Replies {
        let request = self.request();
        let wait = WaitAnyInvoice { last_pay_index, timeout_s };
        self.invoices.wait_any(&mut self.store, self.clock, request, wait)
    }

    fn wait(&mut self, label: &str) -> Replies {
        let request = self.request();
        self.invoices.wait(&mut self.store, request, label)
    }

    fn restored(&self) -> Invoices {
        let mut invoices = Invoices::default();
        for ((table, key), value) in &self.store.rows {
            invoices.take(&Row { table: *table, key, value }).expect("rows that we wrote");
        }
        invoices.finish(self.clock);
        invoices
    }

    /// The rows say the same as memory.
    fn audit(&self) {
        self.invoices.check();
        let restored = self.restored();
        restored.check();
        assert_eq!(restored.open, self.invoices.open);
        assert_eq!(restored.by_hash, self.invoices.by_hash);
        assert_eq!(restored.by_label, self.invoices.by_label);
        assert_eq!(restored.paid, self.invoices.paid);
        assert_eq!(restored.expiries, self.invoices.expiries);
        let numbers = |invoices: &Invoices| (invoices.last_created, invoices.last_paid, invoices.last_updated);
        assert_eq!(numbers(&restored), numbers(&self.invoices), "no number is given twice");
    }
}

fn info(response: Response) -> InvoiceInfo {
    match response {
        Response::Invoice(info) => *info,
        other => panic!("{other:?}"),
    }
}

fn code(answer: &Answer) -> i32 {
    answer.as_ref().expect_err("an error").code
}

#[test]
fn an_invoice_is_made_paid_and_remembered() {
    let mut shop = Shop::new();
    let payment_hash = shop.create(1);
    let open = shop.invoices.open(payment_hash).expect("it can be paid");
    assert_eq!((open.amount(), open.min_final_cltv_expiry_delta()), (Some(Msat(1_000)), 18));
    assert_eq!(shop.list_all()[0].status, InvoiceStatus::Unpaid);
    assert!(shop.pay(payment_hash).is_empty());
    assert!(shop.invoices.open(payment_hash).is_none(), "nobody pays twice");
    let info = shop.list(InvoiceFilter::PaymentHash(payment_hash), Page::default()).remove(0);
    let paid = info.paid.expect("it was");
    assert_eq!((paid.pay_index, paid.amount_received_msat, paid.paid_at), (1, Msat(1_001), shop.clock.wall));
    assert_eq!(paid.preimage.payment_hash(), payment_hash);
    assert_eq!(info.updated_index, Some(1));
    assert_eq!(shop.list(InvoiceFilter::Label("1".to_owned()), Page::default())[0].label, "1");
    assert!(shop.list(InvoiceFilter::Label("2".to_owned()), Page::default()).is_empty());
}

#[test]
fn labels_and_preimages_are_used_once_even_after_the_end() {
    let mut shop = Shop::new();
    let payment_hash = shop.create(1);
    for _ in 0..2 {
        let label = shop.invoices.create(&mut shop.store, shop.clock, Shop::row(2, "1")).expect_err("taken");
        assert_eq!(label.code, 900);
        let hash = shop.invoices.create(&mut shop.store, shop.clock, Shop::row(1, "one")).expect_err("taken");
        assert_eq!(hash.code, 901);
        assert!(shop.invoices.check_new("two", Shop::row(2, "two").payment_hash()).is_ok());
        if shop.invoices.open(payment_hash).is_some() {
            shop.pay(payment_hash);
        }
    }
    shop.delete("1", InvoiceStatus::Paid).expect("it is paid");
    shop.create(1);
    let newest = shop.list_all().remove(0);
    assert_eq!((newest.created_index, newest.status), (2, InvoiceStatus::Unpaid));
}

#[test]
fn an_invoice_expires_with_its_last_second() {
    let mut shop = Shop::new();
    let payment_hash = shop.create(1);
    let replies = shop.wait("1");
    assert!(replies.is_empty());
    assert!(shop.pass(3600).is_empty(), "the last second");
    let replies = shop.pass(1);
    assert_eq!(replies.len(), 1);
    assert_eq!(code(&replies[0].1), 903);
    assert!(
        matches!(&replies[0].1, Err(RequestError { data: Some(ErrorData::Invoice(info)), .. }) if info.label == "1")
    );
    assert!(shop.invoices.open(payment_hash).is_none());
    assert_eq!(shop.list_all()[0].status, InvoiceStatus::Expired);
    assert_eq!(shop.invoices.next_deadline(), None);
    let late = shop.wait("1");
    assert_eq!(code(&shop.answer(late)), 903);
    let unknown = shop.wait("2");
    assert_eq!(code(&shop.answer(unknown)), 905);
}

#[test]
fn a_wall_clock_that_jumps_does_not_spin_or_lose_an_expiry() {
    let mut shop = Shop::new();
    shop.create(1);
    let deadline = shop.invoices.next_deadline().expect("it expires");
    // An hour back: the deadline comes early, and moves.
    shop.clock.wall.0 -= 3_600_000;
    shop.clock.mono = deadline;
    shop.clock.wall.0 += 3_601_000;
    assert!(shop.invoices.on_deadline(&mut shop.store, shop.clock).is_empty());
    assert_eq!(shop.invoices.open_count(), 1);
    assert!(shop.invoices.next_deadline().expect("it expires") > deadline);
    // Forward by a day, with a restart between.
    shop.clock.wall.0 += 86_400_000;
    shop.invoices = shop.restored();
    assert!(shop.invoices.next_deadline().expect("overdue") <= shop.clock.mono);
    shop.invoices.on_deadline(&mut shop.store, shop.clock);
    shop.audit();
    assert_eq!(shop.invoices.open_count(), 0);
}

#[test]
fn a_client_follows_payments_by_their_numbers() {
    let mut shop = Shop::new();
    let hashes: Vec<PaymentHash> = (1..=3).map(|number| shop.create(number)).collect();
    // As clients do at first: a number far ahead, to learn where the present is.
    assert!(shop.wait_any(99_999_999_999, None).is_empty());
    assert!(shop.wait("2").is_empty());
    let replies = shop.pay(hashes[1]);
    assert_eq!(replies.len(), 2);
    for (_, answer) in replies {
        assert_eq!(info(answer.expect("paid")).paid.expect("paid").pay_index, 1);
    }
    shop.pay(hashes[0]);
    // What was missed comes at once, in the order of payment.
    let first = shop.wait_any(0, None);
    assert_eq!(info(shop.answer(first).expect("paid")).label, "2");
    let second = shop.wait_any(1, Some(0));
    assert_eq!(info(shop.answer(second).expect("paid")).label, "1");
    let third = shop.wait_any(2, Some(0));
    assert_eq!(code(&shop.answer(third)), 904);

    assert!(shop.wait_any(2, Some(60)).is_empty());
    assert!(shop.pass(59).is_empty());
    let replies = shop.pass(1);
    assert_eq!((replies[0].0, code(&replies[0].1)), (RequestId(shop.requests), 904));
    // A client that has gone is not answered.
    assert!(shop.wait_any(2, Some(60)).is_empty());
    shop.invoices.forget_request(RequestId(shop.requests));
    assert!(shop.pass(60).is_empty());
    assert!(shop.pay(hashes[2]).is_empty());
    let paid = shop.wait("3");
    assert_eq!(info(shop.answer(paid).expect("paid")).paid.expect("paid").pay_index, 3);
}

#[test]
fn deleting_asks_for_the_right_status_and_gives_no_number_twice() {
    let mut shop = Shop::new();
    let hashes: Vec<PaymentHash> = (1..=3).map(|number| shop.create(number)).collect();
    shop.pay(hashes[2]);
    assert_eq!(shop.delete("4", InvoiceStatus::Paid).expect_err("unknown").code, 905);
    let wrong = shop.delete("3", InvoiceStatus::Unpaid).expect_err("it is paid");
    assert_eq!((wrong.code, wrong.message.as_str()), (906, "Invoice status is paid not unpaid"));
    let expected = ErrorData::InvoiceStatus { current: InvoiceStatus::Paid, expected: InvoiceStatus::Unpaid };
    assert_eq!(wrong.data, Some(expected));
    assert_eq!(shop.delete("2", InvoiceStatus::Paid).expect_err("it is not").code, 906);

    let only = |label: &str, status| DelInvoice { label: label.to_owned(), status, description_only: true };
    assert_eq!(shop.delete_with(only("3", InvoiceStatus::Paid)).expect("paid").description, None);
    assert_eq!(shop.delete_with(only("2", InvoiceStatus::Unpaid)).expect("unpaid").description, None);
    assert_eq!(shop.list_all().len(), 3);

    assert_eq!(shop.delete("3", InvoiceStatus::Paid).expect("paid").paid.expect("paid").pay_index, 1);
    let waiting = shop.wait("2");
    assert!(waiting.is_empty());
    let request = shop.request();
    let unpaid = DelInvoice { label: "2".to_owned(), status: InvoiceStatus::Unpaid, description_only: false };
    let replies = shop.invoices.delete(&mut shop.store, request, unpaid);
    assert_eq!(code(&replies[0].1), 905, "who waited learns that there is nothing to wait for");
    assert!(replies[1].1.is_ok());
    shop.audit();
    assert!(shop.invoices.open(hashes[1]).is_none());
    assert_eq!(shop.list_all().len(), 1);

    shop.invoices = shop.restored();
    shop.pay(hashes[0]);
    let paid = shop.list_all().remove(0).paid.expect("paid");
    assert_eq!(paid.pay_index, 2, "a client that knows of payment 1 must see this one");
}

#[test]
fn a_deletion_that_was_asked_for_twice_happens_once() {
    let mut shop = Shop::new();
    let payment_hash = shop.create(1);
    shop.pay(payment_hash);
    let delete = DelInvoice { label: "1".to_owned(), status: InvoiceStatus::Paid, description_only: false };
    for _ in 0..2 {
        let request = shop.request();
        assert!(shop.invoices.delete(&mut shop.store, request, delete.clone()).is_empty());
    }
    // The first client goes; its deletion stands.
    shop.invoices.forget_request(RequestId(1));
    let mut replies = shop.answers(Replies::new());
    replies.sort_by_key(|(request, _)| *request);
    let codes: Vec<bool> = replies.iter().map(|(_, answer)| answer.is_ok()).collect();
    assert_eq!(codes, [true, false]);
}

#[test]
fn long_lists_come_in_pages() {
    let mut shop = Shop::new();
    let count = 2 * HISTORY_PAGE_ROWS as u32 + 10;
    let mut paid = Vec::new();
    for number in 1..=count {
        let row = Shop::row(number, &number.to_string());
        let payment_hash = row.payment_hash();
        shop.invoices.create(&mut shop.store, shop.clock, row).expect("nothing of it is taken");
        if number % 3 == 0 {
            shop.invoices.paid(&mut shop.store, shop.clock, payment_hash, Msat(1_000));
            paid.push(u64::from(number));
        }
    }
    let all = shop.list_all();
    assert_eq!(all.len(), count as usize);
    assert!(all.iter().zip(1..).all(|(info, number)| info.created_index == number));
    assert!(all.iter().all(|info| (info.status == InvoiceStatus::Paid) == (info.created_index % 3 == 0)));

    shop.pages = 0;
    let page = Page { index: Some(ListIndex::Created), start: 500, limit: Some(20) };
    let some = shop.list(InvoiceFilter::All, page);
    assert_eq!(some.iter().map(|info| info.created_index).collect::<Vec<_>>(), (500..520).collect::<Vec<_>>());
    assert_eq!(shop.pages, 2, "no more is read than is shown");

    let page = Page { index: Some(ListIndex::Updated), start: 10, limit: Some(5) };
    let changed = shop.list(InvoiceFilter::All, page);
    assert_eq!(
        changed.iter().map(|info| info.updated_index).collect::<Vec<_>>(),
        (10..15).map(Some).collect::<Vec<_>>()
    );
    assert_eq!(changed[0].created_index, paid[9]);
}

#[test]
fn rows_in_any_order_restore_the_same() {
    let mut shop = Shop::new();
    for number in 1..=20 {
        let payment_hash = shop.create(number);
        if number % 2 == 0 {
            shop.pay(payment_hash);
        }
    }
    let mut backwards = Invoices::default();
    for ((table, key), value) in shop.store.rows.iter().rev() {
        backwards.take(&Row { table: *table, key, value }).expect("rows that we wrote");
    }
    backwards.finish(shop.clock);
    assert_eq!(backwards.open, shop.invoices.open);
    assert_eq!(backwards.paid, shop.invoices.paid);
    let damaged = Row { table: Table::Invoice, key: &[1, 2], value: &[1] };
    assert_eq!(backwards.take(&damaged), Err(RowError::BadKey { table: Table::Invoice }));
}

#[test]
fn random_lives_keep_the_invariants() {
    /// Each pair of bytes is one thing that happens to one of sixteen invoices.
    fn prop(tape: Vec<(u8, u8)>) -> bool {
        let mut shop = Shop::new();
        for (what, which) in tape {
            let number = u32::from(which % 16);
            let payment_hash = Shop::row(number, "").payment_hash();
            match what % 8 {
                0..=2 => {
                    let row = Shop::row(number, &number.to_string());
                    let row = InvoiceRow { expires_at_s: shop.clock.wall.unix_s() + u64::from(what), ..row };
                    let taken = shop.invoices.by_hash.contains_key(&payment_hash);
                    assert_eq!(shop.invoices.create(&mut shop.store, shop.clock, row).is_err(), taken);
                }
                3 | 4 => {
                    if shop.invoices.open(payment_hash).is_some() {
                        shop.pay(payment_hash);
                    }
                }
                5 => {
                    let status = [InvoiceStatus::Unpaid, InvoiceStatus::Paid, InvoiceStatus::Expired];
                    let deleted = shop.delete(&number.to_string(), status[usize::from(which / 16) % 3]);
                    let taken = shop.invoices.by_hash.contains_key(&payment_hash);
                    assert!(deleted.is_err() || !taken);
                }
                6 => {
                    shop.pass(u64::from(which));
                }
                _ => shop.invoices = shop.restored(),
            }
            shop.audit();
        }
        let infos = shop.list_all();
        infos.len() == shop.invoices.by_hash.len()
    }
    quickcheck::QuickCheck::new()
        .rng(quickcheck::Gen::new(120))
        .tests(200)
        .quickcheck(prop as fn(Vec<(u8, u8)>) -> bool);
}
