//! The messages of a payment are decoded and encoded without allocating, in both directions.

use std::hint::black_box;

use leyden_core::amount::Msat;
use leyden_core::ids::{ChannelId, CommitmentSecret, PaymentHash, Point, Preimage, Sig};
use leyden_core::signer::KeysSigner;
use leyden_core::wire::{
    CommitmentSigned, Cursor, Message, Rest, RevokeAndAck, Sigs, UpdateAddHtlc, UpdateFailHtlc, UpdateFulfillHtlc,
};
use leyden_tests::alloc::{Counting, allocations};
use leyden_tests::pair::Pair;

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn no_message_of_a_payment_allocates() {
    let channel_id = ChannelId([1; 32]);
    let point = Point([2; 33]);
    let onion = [3; 1366];
    let sigs = [Sig([4; 64]); 483];
    let reason = [5; 292];
    let attribution = [6; 920];
    let mut frame = vec![0; 65_535];
    let mut again = vec![0; 65_535];

    let before = allocations();
    assert!(before > 0, "the counter works");
    for round in 0..100u64 {
        let messages = [
            Message::from(UpdateAddHtlc {
                channel_id,
                id: round,
                amount_msat: Msat(1_000),
                payment_hash: PaymentHash([7; 32]),
                cltv_expiry: 500,
                onion_routing_packet: &onion,
                blinded_path: (round % 2 == 0).then_some(point),
            }),
            Message::from(UpdateFulfillHtlc {
                channel_id,
                id: round,
                payment_preimage: Preimage([8; 32]),
                attribution_data: (round % 2 == 0).then_some(Rest(&attribution)),
            }),
            Message::from(UpdateFailHtlc {
                channel_id,
                id: round,
                reason: &reason,
                attribution_data: (round % 2 == 1).then_some(Rest(&attribution)),
            }),
            Message::from(CommitmentSigned {
                channel_id,
                signature: Sig([9; 64]),
                htlc_signatures: Sigs::Made(&sigs[..round as usize * 483 / 99]),
                funding_txid: None,
            }),
            Message::from(RevokeAndAck {
                channel_id,
                per_commitment_secret: CommitmentSecret([10; 32]),
                next_per_commitment_point: point,
            }),
        ];
        for message in &messages {
            // Out: into the caller's buffer, and exactly as long as it says.
            let mut out = Cursor::new(&mut frame);
            message.encode(&mut out).expect("there is room");
            let size = out.position();
            assert_eq!(size, message.encoded_len());
            // In: what is long stays in the read buffer.
            let decoded = black_box(Message::decode(&frame[..size])).expect("we read what we write");
            assert_eq!(decoded, *message);
            if let Message::CommitmentSigned(signed) = &decoded {
                assert!(signed.htlc_signatures.iter().all(|sig| sig == sigs[0]));
            }
            // What was decoded is written again the same.
            let mut out = Cursor::new(&mut again);
            decoded.encode(&mut out).expect("there is room");
            let size_again = out.position();
            assert_eq!(again[..size_again], frame[..size]);
            // Cut short it is refused, for nothing as well.
            assert!(Message::decode(&frame[..size / 2]).is_err());
        }
    }
    assert_eq!(allocations() - before, 0);
}

/// What a node allocates between a message that it receives and the bytes of its answer, and at the end of the turn.
#[test]
fn the_messages_of_a_payment_allocate_nothing() {
    const PAYMENTS: u64 = 20;
    let mut pair = Pair::with_channel(|signer| signer);
    let mut number = 0;
    let mut pay = |pair: &mut Pair<KeysSigner>| {
        for _ in 0..PAYMENTS {
            number += 1;
            let invoice = pair.invoice(&format!("{number}"), Msat(10_000_000));
            pair.pay(invoice);
        }
    };
    // Until every buffer has its size: among them the table of onions seen, which has room for 112 from the 57th on.
    (0..4).for_each(|_| pay(&mut pair));
    for end in [&mut pair.a, &mut pair.b] {
        end.allocations.clear();
    }
    pay(&mut pair);
    for (name, end) in [("payer", &pair.a), ("payee", &pair.b)] {
        let mut sum = 0;
        for (event, (count, allocations)) in &end.allocations {
            let (times, each) = (count / PAYMENTS, allocations * 10 / PAYMENTS);
            println!("allocations_of_{name}_in_{times}_{event} {}.{} allocations", each / 10, each % 10);
            match *event {
                "end of turn" => assert_eq!(*allocations, 0, "what is signed and sent at its end"),
                "request" | "rows" => {}
                _ => sum += allocations,
            }
        }
        let each = sum * 10 / PAYMENTS;
        println!("allocations_of_{name}_in_all_messages_of_a_payment {}.{} allocations", each / 10, each % 10);
        assert_eq!(sum, 0, "{name}");
    }
}

#[test]
fn a_ping_is_answered_without_allocating() {
    let mut pair = Pair::connected(|signer| signer);
    (0..10).for_each(|_| pair.ping());
    pair.b.allocations.clear();
    (0..100).for_each(|_| pair.ping());
    assert_eq!(pair.b.allocations["ping"], (100, 0));
}

/// What an open channel with a past holds of each end's heap, its keys in the signer included.
#[test]
fn a_channel_holds_little_memory() {
    const CHANNELS: i64 = 4;
    const PAYMENTS: i64 = 100 * CHANNELS;
    let mut pair = Pair::connected(|signer| signer);
    let mut number = 0;
    // So much is paid at once that every channel has its share, for each is soon exhausted.
    let mut held_after = |channels, amount_msat| {
        (0..channels).for_each(|_| pair.open());
        for _ in 0..PAYMENTS {
            number += 1;
            let invoice = pair.invoice(&format!("{number}"), amount_msat);
            pair.pay(invoice);
        }
        // Onions are remembered until nobody can bring a copy any more.
        pair.blocks(60);
        [pair.a.heap.held, pair.b.heap.held]
    };
    let first = held_after(CHANNELS, Msat(9_500_000));
    let payments = held_after(0, Msat(9_500_000));
    let channels = held_after(CHANNELS, Msat(19_000_000));
    for (end, name) in ["opener", "accepter"].into_iter().enumerate() {
        let by_payments = payments[end] - first[end];
        let of_channel = (channels[end] - payments[end] - by_payments) / CHANNELS;
        println!("heap_per_channel_{name} {of_channel} bytes");
        println!("heap_per_past_payment_{name} {} bytes", by_payments / PAYMENTS);
        assert!(of_channel <= 8 * 1024);
    }
}
