//! Properties of the onion that hold for every input.

use quickcheck::{TestResult, quickcheck};
use secp256k1::SECP256K1;

use super::super::payload::{CUSTOM_KIND_MIN, Final, Forward, PaymentData, Why, custom_records};
use super::*;
use crate::ids::{PaymentSecret, Preimage, ShortChannelId};

fn secret_key(index: usize) -> SecretKey {
    SecretKey::from_slice(&[index as u8 + 1; 32]).expect("in range")
}

fn route(payloads: &[Vec<u8>]) -> impl Iterator<Item = (PublicKey, &Vec<u8>)> {
    payloads.iter().enumerate().map(|(hop, payload)| (secret_key(hop).public_key(SECP256K1), payload))
}

quickcheck! {
    /// Whatever is built is peeled, hop by hop, and each hop's failure finds its way back.
    fn every_hop_reads_its_payload_and_the_origin_its_failure(sizes: Vec<u16>, seed: u8, failing: usize) -> TestResult {
        let mut sizes = sizes;
        sizes.truncate(20);
        if sizes.is_empty() {
            return TestResult::discard();
        }
        // A length takes up to 3 bytes, an HMAC 32.
        let room = PAYLOADS_BYTES / sizes.len() - 35;
        let payloads: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(hop, size)| vec![hop as u8; 2 + usize::from(*size) % (room - 1)]).collect();
        let built = build(&[seed % 127 + 1; 32], route(&payloads), &[seed; 32]).expect("it fits");
        let failing = failing % payloads.len();
        let mut reason = failure::wrap(&Failure::MppTimeout, &built.shared_secrets[failing]);
        built.shared_secrets[..failing].iter().rev().for_each(|secret| failure::rewrap(&mut reason, secret));
        let attributed = failure::unwrap(&built.shared_secrets, &reason, None);
        assert_eq!(attributed, Ok(Attributed { hop: failing, failure: Failure::MppTimeout }));

        let mut packet = built.packet;
        let mut scratch = Scratch::default();
        for (hop, payload) in payloads.iter().enumerate() {
            let onion = Onion::parse(&packet).expect("a good onion");
            let secret = shared_secret(&secret_key(hop), &onion.ephemeral());
            assert_eq!(secret, built.shared_secrets[hop]);
            let wrong = onion.peel(&secret, b"another payment", &mut scratch).expect_err("meant for another payment");
            assert_eq!(wrong, PeelError::Bad(BadOnion::Hmac));
            let peeled = onion.peel(&secret, &[seed; 32], &mut scratch).expect("authentic");
            assert_eq!(peeled.payload, payload);
            assert_eq!(peeled.next.is_none(), hop == payloads.len() - 1);
            if let Some(next) = peeled.next {
                packet = next.packet().expect("a point");
            }
        }
        TestResult::passed()
    }

    /// An authentic packet with arbitrary contents is what a hostile sender can make: it must not be able to stop us.
    fn hostile_contents_never_panic(contents: Vec<u8>, is_final: bool) -> bool {
        let secret = [5; 32];
        let mut packet: Packet = [0; _];
        packet[1..34].copy_from_slice(&secret_key(0).public_key(SECP256K1).serialize());
        let len = contents.len().min(PAYLOADS_BYTES);
        packet[PAYLOADS][..len].copy_from_slice(&contents[..len]);
        keys::xor_stream(&keys::derive("rho", &secret), 0, &mut packet[PAYLOADS]);
        let hmac = keys::hmac(&keys::derive("mu", &secret), &[&packet[PAYLOADS]]);
        packet[HMAC].copy_from_slice(&hmac);
        let mut scratch = Scratch::default();
        let onion = Onion::parse(&packet).expect("version and key are good");
        assert_eq!(onion.replay_key(), hmac);
        match onion.peel(&secret, b"", &mut scratch) {
            Ok(peeled) => {
                let _ = Payload::decode(peeled.payload, is_final);
                let _ = peeled.next.map(|next| next.packet());
            }
            Err(error) => assert_eq!(error, PeelError::Payload(InvalidPayload::LENGTH)),
        }
        true
    }

    /// Nor with any failure, payload, or blinded data.
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, is_final: bool) -> bool {
        let _ = Payload::decode(&bytes, is_final);
        let _ = Failure::decode(&bytes);
        let _ = custom_records(&bytes).count();
        let _ = blinding::open(&[1; 32], &mut bytes.clone());
        failure::unwrap(&[[1; 32]], &bytes, None).is_err()
    }

    /// A payload that is read says what was written.
    fn payloads_round_trip(amount: u64, expiry: u32, scid: u64, secret: bool, metadata: Option<Vec<u8>>, keysend: bool) -> bool {
        let forward = Payload::Forward(Forward {
            short_channel_id: ShortChannelId(scid),
            amt_to_forward: Msat(amount),
            outgoing_cltv_value: BlockHeight(expiry),
        });
        let last = Payload::Final(Final {
            amt_to_forward: Msat(amount),
            outgoing_cltv_value: BlockHeight(expiry),
            payment_data: secret.then_some(PaymentData { payment_secret: PaymentSecret([3; 32]), total_msat: Msat(scid) }),
            payment_metadata: metadata.as_deref(),
            keysend_preimage: keysend.then_some(Preimage([4; 32])),
        });
        let custom: &[(u64, &[u8])] = &[(65_537, b"before"), (6_000_000_001, b"after")];
        [(forward, false), (last, true)].into_iter().all(|(payload, is_final)| {
            let mut stream = Vec::new();
            payload.encode_with(custom, &mut stream);
            assert_eq!(custom_records(&stream).collect::<Vec<_>>(), custom);
            Payload::decode(&stream, is_final) == Ok(payload)
        })
    }
}

#[test]
fn version_then_key_then_hmac() {
    let payloads = [vec![1; 20]];
    let good = build(&[7; 32], route(&payloads), b"").expect("it fits").packet;
    let mut packet = good;
    packet[0] = 1;
    packet[1] = 9;
    packet[1365] ^= 1;
    let bad = Onion::parse(&packet).expect_err("the version comes first");
    assert_eq!((bad, bad.code()), (BadOnion::Version { version: 1 }, 0xc004));
    packet[0] = 0;
    let bad = Onion::parse(&packet).expect_err("then the key");
    assert_eq!((bad, bad.code()), (BadOnion::Key, 0xc006));
    packet[1] = good[1];
    let onion = Onion::parse(&packet).expect("both are good");
    let secret = shared_secret(&secret_key(0), &onion.ephemeral());
    let error = onion.peel(&secret, b"", &mut Scratch::default()).expect_err("then the HMAC");
    assert_eq!(error, PeelError::Bad(BadOnion::Hmac));
    assert_eq!(BadOnion::Hmac.failure(hash(&packet)), Failure::InvalidOnionHmac { sha256_of_onion: hash(&packet) });
}

#[test]
fn a_route_that_does_not_fit_is_refused() {
    let error = |payloads: &[Vec<u8>]| build(&[7; 32], route(payloads), b"").err();
    assert_eq!(error(&[]), Some(BuildError::NoHops));
    assert_eq!(error(&[vec![0; 9], vec![0]]), Some(BuildError::PayloadTooShort { hop: 1, bytes: 1 }));
    assert_eq!(error(&[vec![0; 1266]]), Some(BuildError::TooLong { bytes: 1301, maximum: 1300 }));
    assert_eq!(error(&[vec![0; 1265]]), None, "the largest that fits");
    assert_eq!(build(&[0; 32], route(&[vec![0; 9]]), b"").err(), Some(BuildError::SessionKey));
}

#[test]
fn a_payload_is_refused_with_type_and_offset() {
    let refused = |stream: &[u8], is_final| {
        let invalid = Payload::decode(stream, is_final).expect_err("refused");
        (invalid.kind, invalid.offset, invalid.why)
    };
    let amounts = [2, 1, 9, 4, 1, 8];
    let with = |more: &[u8]| [&amounts, more].concat();
    assert_eq!(refused(&with(&[20, 0]), true), (20, 6, Why::Unknown));
    assert_eq!(refused(&with(&[6, 1, 1]), false), (6, 6, Why::Value));
    assert_eq!(refused(&amounts, false), (6, 0, Why::Missing));
    assert_eq!(refused(&[4, 1, 8], true), (2, 0, Why::Missing));
    assert_eq!(refused(&[2, 1, 9], true), (4, 0, Why::Missing));
    assert_eq!(refused(&[2, 2, 0, 9], true), (2, 0, Why::Value), "a leading zero");
    assert_eq!(refused(&[4, 5, 1, 2, 3, 4, 5], true), (4, 0, Why::Value), "more than 32 bits");
    assert_eq!(refused(&with(&[4, 1, 8]), true), (4, 6, Why::Stream), "twice");
    assert_eq!(refused(&with(&[7, 9, 0]), true), (7, 6, Why::Stream), "past the end");
    let key = [&[12, 33][..], &[2; 33]].concat();
    assert_eq!(refused(&with(&key), true), (10, 0, Why::Missing), "a path key without data");
    assert_eq!(refused(&[2, 1, 9, 10, 1, 0], false), (2, 0, Why::NotInBlinded));
    assert_eq!(refused(&with(&[10, 1, 0]), true), (18, 0, Why::Missing));
    assert_eq!(refused(&[10, 1, 0, 17, 0], true), (17, 3, Why::NotInBlinded));

    let stream = with(&[10, 1, 0, 18, 1, 5]);
    let Ok(Payload::Blinded(blinded)) = Payload::decode(&stream, true) else { panic!("a good blinded payload") };
    let refusal = blinded.refusal();
    assert_eq!(refusal.failure(), Failure::InvalidOnionPayload { kind: 10, offset: 6 });
    assert_eq!(refusal.why, Why::BlindedPath);
    assert!(Payload::decode(&with(&[17, 0]), true).is_ok(), "unknown odd types are ignored");
}

#[test]
#[should_panic(expected = "custom types leave the BOLTs' range alone")]
fn custom_records_keep_out_of_the_range_of_the_bolts() {
    let payload = Payload::Forward(Forward {
        short_channel_id: ShortChannelId(1),
        amt_to_forward: Msat(1),
        outgoing_cltv_value: BlockHeight(1),
    });
    payload.encode_with(&[(CUSTOM_KIND_MIN - 1, b"")], &mut Vec::new());
}
