//! A shop and its invoices, with rows that are kept and read back.

use super::*;
use crate::clock::Wall;
use crate::ids::PaymentSecret;
use crate::request::invoice::{InvoiceInfo, InvoiceStatus};

#[derive(Default)]
struct Rows(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Sink for Rows {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                self.0.insert((table, key.to_vec()), bytes);
            }
            Command::Delete { table, key } => {
                assert!(self.0.remove(&(table, key.to_vec())).is_some(), "nothing is deleted that is not there");
            }
            _ => panic!("invoices have no business with this"),
        }
    }
}

const NOW_S: u64 = 1_700_000_000;

struct Shop {
    invoices: Invoices,
    rows: Rows,
    clock: Clock,
}

fn row(number: u32) -> InvoiceRow {
    let mut preimage = [7; 32];
    preimage[..4].copy_from_slice(&number.to_be_bytes());
    InvoiceRow {
        label: format!("order {number}"),
        description: Some("coffee".to_owned()),
        payment_hash: Preimage(preimage).payment_hash(),
        payment_secret: PaymentSecret([1; 32]),
        proof: Proof::Ours(preimage),
        amount: Some(Msat(5)),
        expires_at_s: NOW_S + 3_600,
        min_final_cltv_expiry_delta: 18,
        bolt11: String::new(),
    }
}

fn label(number: u32) -> String {
    row(number).label
}

fn hash(number: u32) -> PaymentHash {
    row(number).payment_hash
}

impl Shop {
    fn new() -> Shop {
        let clock = Clock { mono: Mono(5_000), wall: Wall(NOW_S * 1000) };
        let mut invoices = Invoices::default();
        invoices.finish(clock);
        Shop { invoices, rows: Rows::default(), clock }
    }

    /// A shop with invoices 0, 1, 2 and so on.
    fn with(count: u32) -> Shop {
        let mut shop = Shop::new();
        for number in 0..count {
            assert_eq!(shop.create(row(number)), Ok(u64::from(number)));
        }
        shop
    }

    fn create(&mut self, row: InvoiceRow) -> Result<u64, i32> {
        self.invoices.check_new(&row.label, row.payment_hash).map_err(|error| error.code)?;
        self.invoices.see(self.clock);
        let index = self.invoices.create(&mut self.rows, row);
        self.audit();
        Ok(index)
    }

    fn pay(&mut self, number: u32) -> Replies {
        let (paid, replies) = self.invoices.paid(&mut self.rows, self.clock, hash(number), Msat(7));
        assert_eq!(paid.row.proof.preimage().map(|preimage| preimage.payment_hash()), Some(hash(number)));
        self.audit();
        replies
    }

    /// What the rows say of an invoice.
    fn read(&self, number: u32) -> Option<(u64, StoredInvoice)> {
        let index = self.invoices.index_of_label(&label(number))?;
        let key = index_key(index).as_slice().to_vec();
        let get = |table| self.rows.0.get(&(table, key.clone()));
        let invoice = Row { table: Table::Invoice, key: &key, value: get(Table::Invoice)? };
        let end = get(Table::InvoiceEnd).map(|value| Row { table: Table::InvoiceEnd, key: &key, value });
        let hold = get(Table::InvoiceHold).map(|value| Row { table: Table::InvoiceHold, key: &key, value });
        let (end, hold) = (end.map(|row| row.decode().expect("ours")), hold.map(|row| row.decode().expect("ours")));
        Some((index, StoredInvoice { row: invoice.decode().expect("ours"), end, hold }))
    }

    fn show(&self, number: u32) -> InvoiceInfo {
        let (index, stored) = self.read(number).expect("it has rows");
        stored.info(index, self.clock.wall)
    }

    fn delete(&mut self, number: u32) -> Replies {
        let (index, stored) = self.read(number).expect("it has rows");
        let replies = self.invoices.forget(&mut self.rows, index, &stored);
        self.audit();
        replies
    }

    fn pass(&mut self, ms: u64) -> (Vec<PaymentHash>, Replies) {
        self.clock.mono = self.clock.mono.plus_ms(ms);
        self.clock.wall.0 += ms;
        let due = self.invoices.next_deadline().is_some_and(|deadline| deadline <= self.clock.mono);
        let work = if due { self.invoices.on_deadline(self.clock) } else { Default::default() };
        self.audit();
        work
    }

    fn restored(&self) -> Invoices {
        let mut invoices = Invoices::default();
        invoices.see(self.clock);
        for ((table, key), value) in &self.rows.0 {
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
        assert!(restored.open.iter().all(|(index, row)| self.invoices.open.get(index) == Some(row)));
        assert_eq!(restored.accepted, self.invoices.accepted);
        assert_eq!(restored.by_hash, self.invoices.by_hash);
        assert_eq!(restored.by_label, self.invoices.by_label);
        assert_eq!(restored.pay_indexes, self.invoices.pay_indexes);
        let next = |invoices: &Invoices| (invoices.next_index, invoices.next_pay_index);
        assert_eq!(next(&restored), next(&self.invoices), "no number is given twice");
        let mut paid = Runs::default();
        for (_, key) in self.rows.0.keys().filter(|(table, _)| *table == Table::InvoicePaid) {
            paid.insert(u64::from_be_bytes(key.as_slice().try_into().expect("eight bytes")));
        }
        assert_eq!(paid, self.invoices.pay_indexes);
    }
}

fn who(replies: &Replies) -> Vec<u64> {
    replies.iter().map(|(request, _)| request.0).collect()
}

fn code(reply: &Result<Response, RequestError>) -> i32 {
    reply.as_ref().expect_err("a refusal").code
}

#[test]
fn an_invoice_is_made_paid_and_remembered() {
    let mut shop = Shop::with(1);
    assert_eq!(shop.invoices.open(hash(0)), Some(&row(0)));
    assert_eq!(shop.show(0).status, InvoiceStatus::Unpaid);
    assert!(shop.pay(0).is_empty());
    assert!(shop.invoices.open(hash(0)).is_none(), "nobody pays twice");
    let info = shop.show(0);
    let paid = info.paid.expect("it was");
    assert_eq!((paid.pay_index, paid.amount_received_msat, paid.paid_at), (1, Msat(7), shop.clock.wall));
    assert_eq!((info.status, info.created_index), (InvoiceStatus::Paid, 1));
}

#[test]
fn labels_and_preimages_stay_taken_after_the_end() {
    let mut shop = Shop::with(2);
    shop.pay(0);
    shop.pass(3_600_000);
    assert!(!shop.invoices.is_open(1), "it has expired");
    for _ in 0..2 {
        for number in 0..2 {
            assert_eq!(shop.create(InvoiceRow { label: label(number), ..row(9) }), Err(900));
            assert_eq!(shop.create(InvoiceRow { label: label(9), ..row(number) }), Err(901));
        }
        shop.invoices = shop.restored();
    }
    shop.delete(0);
    assert_eq!(shop.create(row(0)), Ok(2));
}

#[test]
fn who_waits_is_told_of_payment_of_expiry_and_of_deletion() {
    let mut shop = Shop::with(3);
    for number in 0..3 {
        shop.invoices.wait_one(RequestId(number), number).expect("there is room");
    }
    shop.invoices.wait_any(RequestId(3), Some(Mono(20_000_000))).expect("there is room");
    shop.invoices.wait_any(RequestId(4), None).expect("there is room");
    shop.invoices.wait_any(RequestId(5), None).expect("there is room");
    shop.invoices.forget_request(RequestId(4));
    let replies = shop.pay(0);
    assert_eq!(who(&replies), [0, 3, 5]);
    assert!(replies.iter().all(|(_, reply)| matches!(reply, Ok(Response::Invoice(info)) if info.paid.is_some())));
    let replies = shop.delete(1);
    assert_eq!((who(&replies), code(&replies[0].1)), (vec![1], 905));
    assert_eq!(shop.pass(3_599_999), (Vec::new(), Vec::new()));
    let (expired, replies) = shop.pass(1);
    assert_eq!((expired, who(&replies), code(&replies[0].1)), (vec![hash(2)], vec![2], 903));
    assert!(matches!(&replies[0].1, Err(RequestError { data: Some(ErrorData::Invoice(_)), .. })));
    assert_eq!(shop.invoices.next_deadline(), None);
}

#[test]
fn patience_has_an_end() {
    let mut shop = Shop::with(1);
    let until = shop.clock.mono.plus_ms(60_000);
    shop.invoices.wait_any(RequestId(1), Some(until)).expect("there is room");
    assert_eq!(shop.invoices.next_deadline(), Some(until));
    assert!(shop.pass(59_999).1.is_empty());
    let (_, replies) = shop.pass(1);
    assert_eq!((who(&replies), code(&replies[0].1)), (vec![1], 904));
    for request in 0..WAITERS_MAX as u64 {
        shop.invoices.wait_any(RequestId(request), None).expect("there is room");
    }
    assert!(shop.invoices.wait_any(RequestId(u64::MAX), None).is_err());
    assert_eq!(shop.pay(0).len(), WAITERS_MAX);
    shop.invoices.wait_any(RequestId(1), None).expect("there is room again");
}

#[test]
fn a_wall_clock_that_is_set_neither_spins_nor_loses_an_expiry() {
    let mut shop = Shop::with(1);
    let deadline = shop.invoices.next_deadline().expect("it expires");
    // An hour back: the deadline comes too early, and moves.
    shop.clock.mono = deadline;
    assert_eq!(shop.invoices.on_deadline(shop.clock), (Vec::new(), Vec::new()));
    assert_eq!(shop.invoices.next_deadline(), Some(deadline.plus_ms(LOOK_AGAIN_MS)));
    // A day forward: noticed within the hour.
    shop.clock.wall.0 += 86_400_000;
    let (expired, _) = shop.pass(LOOK_AGAIN_MS);
    assert_eq!(expired, [hash(0)]);
    assert_eq!(shop.show(0).status, InvoiceStatus::Expired);
}

#[test]
fn a_deleted_invoice_leaves_no_gap_that_a_client_falls_into() {
    let mut shop = Shop::with(4);
    shop.pay(3);
    shop.pay(2);
    assert_eq!(shop.invoices.last_pay_index(), 2);
    // The last payment and the last invoice are deleted: their numbers stay used, over a restart too.
    shop.delete(2);
    assert_eq!(shop.invoices.last_pay_index(), 1, "nothing is left to tell of payment 2");
    shop.delete(3);
    assert_eq!(shop.invoices.last_pay_index(), 0);
    shop.invoices = shop.restored();
    shop.pay(0);
    assert_eq!(shop.show(0).paid.expect("it was").pay_index, 3);
    assert_eq!(shop.create(row(9)), Ok(4));
    shop.delete(9);
    shop.invoices = shop.restored();
    assert_eq!(shop.create(row(10)), Ok(5));
    shop.delete(1);
    assert_eq!(shop.read(1), None);
}

#[test]
fn two_clients_who_delete_the_same_invoice_do_not_harm_the_next() {
    let mut shop = Shop::with(1);
    let (index, old) = shop.read(0).expect("it has rows");
    shop.delete(0);
    assert_eq!(shop.create(row(0)), Ok(1), "label and hash are free again");
    let replies = shop.invoices.forget(&mut shop.rows, index, &old);
    assert!(replies.is_empty());
    shop.audit();
    assert_eq!(shop.invoices.open(hash(0)), shop.invoices.open_at(1));
    shop.pay(0);
}

#[test]
fn what_has_ended_is_not_held_while_rows_are_read() {
    let mut shop = Shop::with(3);
    shop.pay(0);
    let later = InvoiceRow { expires_at_s: NOW_S + 7_200, ..row(2) };
    shop.rows.emit(Command::Put { table: Table::Invoice, key: index_key(2).as_slice(), value: &later });
    shop.clock.wall.0 += 3_600_000;
    let mut invoices = Invoices::default();
    invoices.see(shop.clock);
    for ((table, key), value) in &shop.rows.0 {
        invoices.take(&Row { table: *table, key, value }).expect("rows that we wrote");
    }
    assert!(invoices.open.keys().eq([&2]), "0 was paid, 1 has expired");
    invoices.finish(shop.clock);
    invoices.check();
    assert_eq!((invoices.open(hash(2)), invoices.last_pay_index()), (Some(&later), 1));
}

#[test]
fn a_description_is_deleted_in_memory_too() {
    let mut shop = Shop::with(1);
    let (index, StoredInvoice { mut row, .. }) = shop.read(0).expect("it has rows");
    row.description = None;
    shop.rows.emit(Command::Put { table: Table::Invoice, key: index_key(index).as_slice(), value: &row });
    shop.invoices.replace(index, &row);
    shop.audit();
    let replies = shop.pay(0);
    assert!(replies.is_empty());
    assert_eq!(shop.show(0).description, None);
}

/// An invoice of whose preimage only the client knows.
fn hold(number: u32) -> InvoiceRow {
    InvoiceRow { proof: Proof::Hold(None), ..row(number) }
}

fn parts() -> Vec<HeldPart> {
    let part = |id| HeldPart {
        channel: crate::ids::ChannelKey(1),
        id: crate::ids::HtlcId(id),
        amount: Msat(3),
        cltv_expiry: 200 + id as u32,
    };
    vec![part(0), part(1)]
}

impl Shop {
    /// A shop with one hold invoice, for which something is held.
    fn holding() -> Shop {
        let mut shop = Shop::new();
        shop.create(hold(0)).expect("it is the first");
        let (rows, invoices) = (&mut shop.rows, &mut shop.invoices);
        invoices.accept(rows, shop.clock, hash(0), parts());
        shop.audit();
        shop
    }
}

#[test]
fn what_is_held_outlives_the_invoice_and_restarts_and_is_settled() {
    let mut shop = Shop::holding();
    shop.invoices.wait_one(RequestId(1), 0).expect("there is room");
    assert_eq!(shop.pass(4_000_000), (Vec::new(), Vec::new()), "it has no end by the clock");
    let info = shop.show(0);
    assert_eq!((info.status, info.paid), (InvoiceStatus::Accepted, None));
    let held = info.held.expect("it is");
    assert_eq!((held.amount_received_msat, held.settle_before.0), (Msat(6), 200 - 18));
    shop.invoices = shop.restored();
    assert_eq!(shop.invoices.held().collect::<Vec<_>>(), [(hash(0), parts().as_slice())]);
    shop.invoices.wait_one(RequestId(2), 0).expect("there is room");
    let Proof::Ours(preimage) = row(0).proof else { panic!("such are the others") };
    let (stored, replies) = shop.invoices.settle(&mut shop.rows, shop.clock, Preimage(preimage));
    shop.audit();
    assert_eq!(who(&replies), [2]);
    let info = shop.show(0);
    assert_eq!(info, stored.info(0, shop.clock.wall), "what is answered is what is written");
    assert_eq!((info.status, info.held), (InvoiceStatus::Paid, None));
    assert_eq!(info.paid.map(|paid| (paid.preimage.0, paid.amount_received_msat)), Some((preimage, Msat(6))));
}

#[test]
fn what_is_cancelled_stays_so() {
    let mut shop = Shop::holding();
    shop.invoices.wait_one(RequestId(1), 0).expect("there is room");
    let (stored, replies) = shop.invoices.cancel(&mut shop.rows, shop.clock, hash(0));
    shop.audit();
    assert_eq!((who(&replies), code(&replies[0].1)), (vec![1], 903));
    assert_eq!(stored.info(0, shop.clock.wall).status, InvoiceStatus::Cancelled);
    shop.invoices = shop.restored();
    assert_eq!(shop.show(0).status, InvoiceStatus::Cancelled);
    assert!(shop.invoices.open(hash(0)).is_none() && shop.invoices.held().next().is_none());
    shop.delete(0);
    assert_eq!(shop.read(0), None);
    assert_eq!(shop.create(hold(0)), Ok(1), "its label and its hash are free again");
    shop.pass(4_000_000);
    assert_eq!(shop.show(0).status, InvoiceStatus::Expired, "for which nobody paid");
}

#[test]
fn an_invoice_of_the_time_before_is_read() {
    let InvoiceRow { label, description, payment_hash, payment_secret, amount, .. } = row(3);
    let Proof::Ours(preimage) = row(3).proof else { panic!("such are the others") };
    let (expires_at_s, min_final_cltv_expiry_delta) = (row(3).expires_at_s, 18);
    let bolt11 = String::new();
    let old = rows::InvoiceRowV1 {
        label,
        description,
        payment_hash,
        payment_secret,
        preimage,
        amount,
        expires_at_s,
        min_final_cltv_expiry_delta,
        bolt11,
    };
    let mut value = vec![1];
    crate::store::encode_into(&old, &mut value);
    assert_eq!(Row { table: Table::Invoice, key: &[], value: &value }.decode::<InvoiceRow>(), Ok(row(3)));
    value[0] = 3;
    assert!(Row { table: Table::Invoice, key: &[], value: &value }.decode::<InvoiceRow>().is_err());
}

#[test]
fn rows_in_any_order_restore_the_same_and_damage_is_told() {
    let mut shop = Shop::with(20);
    for number in 0..10 {
        shop.pay(2 * number);
    }
    let mut backwards = Invoices::default();
    for ((table, key), value) in shop.rows.0.iter().rev() {
        backwards.take(&Row { table: *table, key, value }).expect("rows that we wrote");
    }
    backwards.finish(shop.clock);
    assert_eq!((&backwards.open, &backwards.pay_indexes), (&shop.invoices.open, &shop.invoices.pay_indexes));
    let damaged = Row { table: Table::Invoice, key: &[1, 2], value: &[1] };
    assert_eq!(backwards.take(&damaged), Err(RowError::BadKey { table: Table::Invoice }));
}

#[test]
fn random_lives_keep_the_invariants() {
    /// Each pair of bytes is one thing that happens to one of sixteen invoices.
    fn prop(tape: Vec<(u8, u8)>) -> bool {
        let mut shop = Shop::new();
        let mut requests = 0;
        for (what, which) in tape {
            let number = u32::from(which % 16);
            let open = shop.invoices.open(hash(number)).is_some();
            match what % 8 {
                0..=2 => {
                    let expires_at_s = shop.clock.wall.unix_s() + 1 + u64::from(what);
                    let taken = shop.invoices.index_of_hash(hash(number)).is_some();
                    assert_eq!(shop.create(InvoiceRow { expires_at_s, ..row(number) }).is_err(), taken);
                }
                3 if open => {
                    shop.pay(number);
                }
                4 if shop.read(number).is_some() => {
                    shop.delete(number);
                }
                5 => {
                    shop.pass(u64::from(which) * 100);
                }
                6 if open => {
                    requests += 1;
                    let index = shop.invoices.index_of_hash(hash(number)).expect("it is open");
                    shop.invoices.wait_one(RequestId(requests), index).expect("there is room");
                }
                7 => shop.invoices = shop.restored(),
                _ => {}
            }
            shop.audit();
        }
        true
    }
    quickcheck::QuickCheck::new()
        .rng(quickcheck::Gen::new(120))
        .tests(200)
        .quickcheck(prop as fn(Vec<(u8, u8)>) -> bool);
}
