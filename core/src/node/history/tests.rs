//! Lists are read as far as they are asked for, and no further.

use std::collections::BTreeMap;

use super::list::{List, Listing};
use super::ordered::Ordered;
use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{BlockHeight, ChannelKey, HtlcId, NodeId, PaymentHash, ShortChannelId};
use crate::payment::route::{FinalData, Hop};
use crate::payment::rows::{
    ChangeRow, Changes, ForwardRow, ForwardState, PartContent, PartRow, PartState, PaymentEndRow, PaymentRow,
    index_key, part_key,
};
use crate::request::payment::{ForwardStatus, ListForwards, ListPays, PayStatus};
use crate::request::{ListIndex, Page, Response};
use crate::store::{Key, Row, RowValue, StoreValue, Table};

#[derive(Default)]
struct Rows(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Rows {
    fn put<T: RowValue>(&mut self, key: Key, value: &T) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        self.0.insert((T::TABLE, key.as_slice().to_vec()), bytes);
    }

    /// The answer, and how many rows were read for it.
    fn list(&self, listing: Listing) -> (Response, usize) {
        let mut read = 0;
        let mut load = |(table, from, limit): (Table, &Vec<u8>, usize)| {
            let range = self.0.range((table, from.clone())..).take_while(|((other, _), _)| *other == table);
            let rows: Vec<Row<'_>> = range.take(limit).map(|((_, key), value)| Row { table, key, value }).collect();
            read += rows.len();
            rows
        };
        let answer = if listing.is_ordered() {
            let mut list = Ordered::new(listing);
            while let Some(rows) = list.wanted().map(&mut load) {
                list.take(&rows, Wall(0));
            }
            list.answer()
        } else {
            let mut list = List::new(listing);
            while let Some(rows) = list.wanted().map(&mut load) {
                list.take(&rows, Wall(0));
            }
            list.answer()
        };
        (answer.expect("a list"), read)
    }
}

/// Payments whose every third is still under way, each with as many parts as its number says, modulo 40, and one. The
/// last to begin were the first to end.
fn payments(count: u64) -> Rows {
    let mut rows = Rows::default();
    let mut number = 0;
    let ended = |index: u64| !index.is_multiple_of(3);
    let mut updates: u64 = (0..count).filter(|index| ended(*index)).map(|index| index % 40 + 1).sum();
    for index in 0..count {
        let payment_hash = PaymentHash([index as u8; 32]);
        let payment = PaymentRow {
            payment_hash,
            group: index,
            destination: None,
            amount: Some(Msat(1)),
            created_at_s: index,
            label: None,
            bolt11: None,
            description: None,
        };
        rows.put(index_key(index), &payment);
        let pending = !ended(index);
        if !pending {
            let end = PaymentEndRow {
                ended_at_s: index,
                preimage: Some([1; 32]),
                amount_sent: Msat(1),
                amount_received: Msat(1),
                parts: 1,
            };
            rows.put(index_key(index), &end);
        }
        for part_id in 0..=index % 40 {
            let hop = Hop {
                node_id: NodeId([2; 33]),
                short_channel_id: ShortChannelId(1),
                amount: Msat(1),
                cltv_expiry: BlockHeight(1),
            };
            let part = PartRow {
                payment: index,
                payment_hash,
                group: index,
                part_id,
                created_at_s: index,
                content: PartContent::Route { hops: vec![hop], last: FinalData::default(), session_key: [0; 32] },
                state: match pending {
                    true => PartState::Pending { channel: ChannelKey(0) },
                    false => PartState::Complete { preimage: [1; 32], at_s: index },
                },
                updated: (!pending).then(|| updates - 1),
            };
            let what = ChangeRow { head: index, part: number };
            if !pending {
                updates -= 1;
                rows.put(Changes::PartUpdated.key(updates), &what);
            }
            rows.put(Changes::PartCreated.key(number), &what);
            rows.put(part_key(index, number), &part);
            number += 1;
        }
    }
    rows
}

fn pays(rows: &Rows, status: Option<PayStatus>, page: Page) -> (Vec<u64>, usize) {
    match rows.list(Listing::Pays(ListPays { invoice: None, payment_hash: None, status, page })) {
        (Response::Pays(pays), read) => {
            for pay in &pays {
                let parts = ((pay.created_index - 1) % 40 + 1) as u32;
                assert_eq!(pay.number_of_parts.unwrap_or(parts), parts, "none of its parts is forgotten");
            }
            (pays.iter().map(|pay| pay.created_index).collect(), read)
        }
        other => panic!("{other:?}"),
    }
}

fn page(index: ListIndex, start: u64, limit: Option<u32>) -> Page {
    Page { index: Some(index), start, limit }
}

#[test]
fn all_payments_are_listed_once() {
    let rows = payments(1_000);
    let (all, _) = pays(&rows, None, Page::default());
    assert_eq!(all, (1..=1_000).collect::<Vec<_>>());
}

#[test]
fn a_page_of_payments_reads_a_page() {
    let rows = payments(1_000);
    let (found, read) = pays(&rows, None, page(ListIndex::Created, 901, Some(5)));
    assert_eq!(found, [901, 902, 903, 904, 905]);
    assert!(read < 250, "{read} rows for five payments of twenty parts");
    assert_eq!(pays(&rows, None, page(ListIndex::Created, 999, Some(5))).0, [999, 1_000]);
    assert_eq!(pays(&rows, None, page(ListIndex::Created, 1_001, None)), (vec![], 0));
    assert_eq!(pays(&rows, None, page(ListIndex::Created, 1, Some(0))), (vec![], 0));
}

#[test]
fn by_their_last_change_only_those_are_numbered_that_have_changed() {
    let rows = payments(1_000);
    // 1, 4, 7, … are under way; the others ended from the last to the first.
    let (found, read) = pays(&rows, None, page(ListIndex::Updated, 1, Some(4)));
    assert_eq!(found, [999, 998, 996, 995]);
    assert!(read < 64 + 160 * 50, "{read} rows: each part has a number, and its payment up to 40 parts");
    // Payment 999 has 39 parts, and its last change is the last of theirs.
    assert_eq!(pays(&rows, None, page(ListIndex::Updated, 39, Some(2))).0, [999, 998]);
    assert_eq!(pays(&rows, Some(PayStatus::Complete), page(ListIndex::Updated, 40, Some(2))).0, [998, 996]);
    let (all, _) = pays(&rows, None, page(ListIndex::Updated, 0, None));
    assert_eq!(all, (1..=1_000).rev().filter(|number: &u64| !(number - 1).is_multiple_of(3)).collect::<Vec<_>>());
    assert_eq!(pays(&rows, Some(PayStatus::Pending), page(ListIndex::Updated, 0, None)).0, Vec::<u64>::new());
    assert_eq!(pays(&rows, Some(PayStatus::Pending), page(ListIndex::Created, 996, None)).0, [997, 1_000]);
}

#[test]
fn parts_have_numbers_of_their_own() {
    let rows = payments(300);
    let list =
        |page| match rows.list(Listing::SendPays(ListPays { invoice: None, payment_hash: None, status: None, page })) {
            (Response::SendPays(parts), read) => {
                (parts.iter().map(|part| (part.created_index, part.updated_index)).collect::<Vec<_>>(), read)
            }
            other => panic!("{other:?}"),
        };
    let (found, read) = list(page(ListIndex::Created, 4_000, Some(3)));
    assert_eq!(found.iter().map(|(created, _)| *created).collect::<Vec<_>>(), [4_000, 4_001, 4_002]);
    assert_eq!(read, 9, "a number, a payment and a part for each");
    assert!(list(Page::default()).0.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
    let (found, read) = list(page(ListIndex::Updated, 1_000, Some(3)));
    assert_eq!(found.iter().map(|(_, updated)| *updated).collect::<Vec<_>>(), [Some(1_000), Some(1_001), Some(1_002)]);
    assert_eq!(read, 9);
    // Behind the last number there is nothing yet.
    assert_eq!(list(page(ListIndex::Created, 1_000_000, Some(3))).0, []);
}

#[test]
fn forwards_are_read_until_there_are_enough() {
    let mut rows = Rows::default();
    for index in 0..5_000 {
        let forward = ForwardRow {
            in_channel: ChannelKey(0),
            in_scid: ShortChannelId(1),
            in_htlc: HtlcId(index),
            in_amount: Msat(2),
            out_scid: ShortChannelId(2),
            out_amount: Msat(1),
            payment_hash: PaymentHash([0; 32]),
            received_ms: 0,
            state: match index % 10 {
                9 => ForwardState::Offered { channel: ChannelKey(1), htlc: HtlcId(index) },
                _ => ForwardState::Refused { code: 7, at_ms: 0 },
            },
            updated: (index % 10 != 9).then_some(5_000 - index),
        };
        if let Some(updated) = forward.updated {
            rows.put(Changes::ForwardUpdated.key(updated), &ChangeRow { head: index, part: 0 });
        }
        rows.put(index_key(index), &forward);
    }
    let list = |status, page| match rows.list(Listing::Forwards(ListForwards {
        status,
        in_channel: None,
        out_channel: None,
        page,
    })) {
        (Response::Forwards(found), read) => (found.iter().map(|f| f.created_index).collect::<Vec<_>>(), read),
        other => panic!("{other:?}"),
    };
    let (found, read) = list(None, page(ListIndex::Created, 4_000, Some(2)));
    assert_eq!((found, read), (vec![4_000, 4_001], 2));
    let (found, read) = list(Some(ForwardStatus::Offered), page(ListIndex::Created, 1, Some(30)));
    assert_eq!(found, (1..=30).map(|tens| tens * 10).collect::<Vec<_>>());
    assert_eq!(read, 512, "two windows");
    assert_eq!(list(None, Page::default()).0.len(), 5_000);
    let (found, read) = list(None, page(ListIndex::Updated, 4_001, Some(2)));
    assert_eq!((found, read), (vec![1_001, 999], 4), "1,000 is still offered");
}

#[test]
fn rows_of_the_first_version_have_no_number_by_change() {
    let mut rows = payments(2);
    let (_, bytes) = rows.0.iter_mut().find(|((table, _), _)| *table == Table::Part).expect("there is one");
    // The first version lacks the last field, which says that there is nothing.
    assert_eq!((bytes[0], bytes.pop()), (2, Some(0)));
    bytes[0] = 1;
    let row = Row { table: Table::Part, key: &[], value: bytes };
    let part: PartRow = row.decode().expect("old rows are read");
    assert_eq!((part.payment, part.updated), (0, None));
}
