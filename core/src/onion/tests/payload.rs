//! Payloads: as the specification's packets hold them, and as anybody may write them.

use quickcheck::quickcheck;

use super::{hex, vectors};
use crate::amount::Msat;
use crate::ids::{PaymentSecret, Point, Preimage, ShortChannelId};
use crate::onion::{Failure, Final, Forward, InvalidPayload, Payload, PaymentData};

fn encoded(payload: &Payload<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    payload.encode(&mut bytes);
    bytes
}

fn invalid(bytes: &[u8]) -> (u64, u16) {
    let error = Payload::decode(bytes).expect_err("it is invalid");
    (error.tlv_type, error.offset)
}

/// The smallest payload of a last hop.
fn plain() -> Payload<'static> {
    Payload { amt_to_forward: Some(Msat(0)), outgoing_cltv_value: Some(0), ..Payload::default() }
}

#[test]
fn the_payloads_of_the_specification_are_read() {
    let file = vectors("onion");
    let hops = file["cases"][0]["data"]["generate"]["hops"].as_array().expect("hops");
    let expected = [(15_000, 1500, 1), (14_000, 1400, 2), (12_500, 1250, 3), (10_000, 1000, 4)];
    for (hop, (amount, expiry, scid)) in hops.iter().zip(expected) {
        let bytes = &hex(&hop["payload"])[1..];
        let payload = Payload::decode(bytes).expect("it is valid");
        let forward = Forward {
            short_channel_id: ShortChannelId(scid),
            amt_to_forward: Msat(amount),
            outgoing_cltv_value: expiry,
        };
        assert_eq!(payload.forward(), Ok(forward));
        // The second one has an unknown odd record, as the last one has: we do not write it.
        assert!(bytes.starts_with(&encoded(&payload)));
    }
    let bytes = &hex(&hops[4]["payload"])[3..];
    let payload = Payload::decode(bytes).expect("it is valid");
    assert!(bytes.starts_with(&encoded(&payload)));
    assert_eq!(payload.forward(), Err(InvalidPayload { tlv_type: 6, offset: 0 }));
    let last = payload.final_().expect("it is for the last hop");
    assert_eq!((last.amt_to_forward, last.outgoing_cltv_value, last.keysend), (Msat(10_000), 1000, None));
    assert_eq!(last.payment_data.expect("there is a secret").total_msat, Msat(10_000));
}

#[test]
fn payloads_of_blinded_routes_are_read_and_not_obeyed() {
    let file = vectors("blinded-payment-onion");
    let hops = file["cases"][0]["data"]["generate"]["full_route"]["hops"].as_array().expect("hops");
    let refused = [None, Some(10), Some(10), Some(10), Some(10)];
    for (hop, refused) in hops.iter().zip(refused) {
        let bytes = &hex(&hop["payload"])[1..];
        let payload = Payload::decode(bytes).expect("it is valid");
        assert_eq!(encoded(&payload), bytes);
        assert_eq!(payload.forward().err().map(|error| error.tlv_type), refused);
        assert_eq!(payload.final_().err().map(|error| error.tlv_type), refused);
    }
    let path_key = Payload { current_path_key: Some(Point([2; 33])), ..plain() };
    assert_eq!(path_key.final_(), Err(InvalidPayload { tlv_type: 12, offset: 0 }));
    let total = Payload { total_amount_msat: Some(Msat(1)), ..plain() };
    assert_eq!(total.final_(), Err(InvalidPayload { tlv_type: 18, offset: 0 }));
}

#[test]
fn an_invalid_payload_is_refused_by_type_and_place() {
    // An unknown even record, behind one of no length.
    assert_eq!(invalid(&[2, 0, 14, 0]), (14, 2));
    // Numbers with leading zeros or too long, a wrong size, a secret that is cut.
    assert_eq!(invalid(&[2, 1, 0]), (2, 0));
    assert_eq!(invalid(&[2, 0, 4, 5, 1, 1, 1, 1, 1]), (4, 2));
    assert_eq!(invalid(&[6, 7, 0, 0, 0, 0, 0, 0, 0]), (6, 0));
    assert_eq!(invalid(&[&[2, 1, 9, 8, 31], &[1; 31][..]].concat()), (8, 3));
    assert_eq!(invalid(&[&[12, 34], &[2; 34][..]].concat()), (12, 0));
    assert_eq!(invalid(&[0xff, 0, 0, 0, 1, 0x46, 0xc6, 0x61, 0x6c, 1, 9]), (5_482_373_484, 0));
    // Not canonical, or cut.
    assert_eq!(invalid(&[4, 0, 2, 0]), (2, 0));
    assert_eq!(invalid(&[2, 0, 2, 0]), (2, 0));
    assert_eq!(invalid(&[4, 3, 1]), (4, 0));
    assert_eq!(invalid(&[0xfd, 0, 2, 0]), (0, 0));
    // The record that is missing is named.
    let empty = Payload::decode(&[]).expect("it is a stream");
    assert_eq!(empty.final_(), Err(InvalidPayload { tlv_type: 2, offset: 0 }));
    let no_expiry = Payload { outgoing_cltv_value: None, ..plain() };
    let error = no_expiry.final_().expect_err("it has no expiry");
    assert_eq!(error, InvalidPayload { tlv_type: 4, offset: 0 });
    let mut message = Vec::new();
    Failure::from(error).encode(&mut message);
    assert_eq!(message, [0x40, 0x16, 4, 0, 0]);
}

#[test]
fn a_spontaneous_payment_brings_its_preimage() {
    let payload = Payload { keysend: Some(Preimage([7; 32])), ..plain() };
    let bytes = encoded(&payload);
    assert_eq!(bytes[..5], [2, 0, 4, 0, 0xff]);
    assert_eq!(bytes[5..14], [0, 0, 0, 1, 0x46, 0xc6, 0x61, 0x6c, 32]);
    let read = Payload::decode(&bytes).expect("it is valid");
    let (amt_to_forward, outgoing_cltv_value, keysend) = (Msat(0), 0, Some(Preimage([7; 32])));
    let last = Final { amt_to_forward, outgoing_cltv_value, payment_data: None, payment_metadata: None, keysend };
    assert_eq!(read.final_(), Ok(last));
}

quickcheck! {
    fn prop_what_is_written_is_read(
        amount: Option<u64>, expiry: Option<u32>, scid: Option<u64>, total: Option<u64>, blinded: Option<Vec<u8>>,
        metadata: Option<Vec<u8>>, keysend: bool
    ) -> bool {
        let payload = Payload {
            amt_to_forward: amount.map(Msat),
            outgoing_cltv_value: expiry,
            short_channel_id: scid.map(ShortChannelId),
            payment_data: total.map(|total| {
                PaymentData { payment_secret: PaymentSecret([5; 32]), total_msat: Msat(total) }
            }),
            encrypted_recipient_data: blinded.as_deref(),
            current_path_key: blinded.as_ref().map(|_| Point([3; 33])),
            payment_metadata: metadata.as_deref(),
            total_amount_msat: total.map(Msat),
            keysend: keysend.then_some(Preimage([4; 32])),
        };
        let bytes = encoded(&payload);
        Payload::decode(&bytes) == Ok(payload)
    }

    fn prop_any_bytes_are_read_or_not(bytes: Vec<u8>) -> bool {
        Payload::decode(&bytes).is_ok_and(|payload| {
            let _ = (payload.forward(), payload.final_());
            Payload::decode(&encoded(&payload)) == Ok(payload)
        }) || Payload::decode(&bytes).is_err()
    }
}
