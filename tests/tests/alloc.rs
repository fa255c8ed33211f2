//! The messages of a payment are decoded and encoded without allocating, in both directions.

use std::hint::black_box;

use leyden_core::amount::Msat;
use leyden_core::ids::{ChannelId, CommitmentSecret, PaymentHash, Point, Preimage, Sig};
use leyden_core::wire::{
    CommitmentSigned, Cursor, Message, Rest, RevokeAndAck, Sigs, UpdateAddHtlc, UpdateFailHtlc, UpdateFulfillHtlc,
};
use leyden_tests::alloc::{Counting, allocations};

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
