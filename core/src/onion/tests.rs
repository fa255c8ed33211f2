//! The onion against the specification's vectors, and against itself.

use secp256k1::{PublicKey, SecretKey, ecdh};
use serde_json::Value;

use super::attribution::{ATTRIBUTED_HOPS_MAX, Attribution};
use super::failure::{Attributed, BADONION, NODE, PERM, UPDATE, Undecodable};
use super::*;
use crate::amount::Msat;
use crate::ids::{BlockHeight, hex_array};
use crate::vectors;
use crate::wire::BigSize;

mod blinded;
mod properties;

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex_conservative::FromHex::from_hex(text(value)).expect("hex")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex_array(text(value)).expect("hex of the right length")
}

fn point(value: &Value) -> PublicKey {
    PublicKey::from_slice(&bytes(value)).expect("a point")
}

/// Vectors print payloads with their length.
fn without_length(payload: Vec<u8>) -> Vec<u8> {
    let (len, rest) = BigSize::split(&payload).expect("a length");
    assert_eq!(len as usize, rest.len());
    rest.to_vec()
}

fn shared_secret(key: &SecretKey, point: &PublicKey) -> SharedSecret {
    ecdh::SharedSecret::new(point, key).secret_bytes()
}

#[test]
fn the_specification_s_onion_is_built_and_peeled() {
    let data = &vectors::file("bolt04/onion")["cases"][0]["data"];
    let generate = &data["generate"];
    let associated_data = bytes(&generate["associated_data"]);
    let payloads: Vec<Vec<u8>> =
        list(&generate["hops"]).iter().map(|hop| without_length(bytes(&hop["payload"]))).collect();
    let keys = list(&generate["hops"]).iter().map(|hop| point(&hop["pubkey"]));
    let built = build(&array(&generate["session_key"]), keys.zip(&payloads), &associated_data).expect("it fits");
    assert_eq!(built.packet.to_vec(), bytes(&data["onion"]));

    let mut packet = built.packet;
    let mut scratch = Scratch::default();
    for (index, key) in list(&data["decode"]).iter().enumerate() {
        let key = SecretKey::from_slice(&bytes(key)).expect("a key");
        let onion = Onion::parse(&packet).expect("a good onion");
        let secret = shared_secret(&key, &onion.ephemeral());
        assert_eq!(secret, built.shared_secrets[index]);
        let peeled = onion.peel(&secret, &associated_data, &mut scratch).expect("authentic");
        assert_eq!(peeled.payload, payloads[index]);
        match peeled.next {
            Some(next) => packet = next.packet().expect("a point"),
            None => assert_eq!(index, payloads.len() - 1),
        }
    }
}

#[test]
fn the_specification_s_error_travels_back() {
    let data = &vectors::file("bolt04/onion-error")["cases"][0]["data"];
    let hops = list(&data["generate"]["hops"]);
    let secrets: Vec<SharedSecret> = hops.iter().map(|hop| array(&hop["hop_shared_secret"])).collect();
    for (hop, secret) in hops.iter().zip(&secrets) {
        assert_eq!(keys::derive("ammag", secret), array(&hop["ammag_key"]));
    }
    assert_eq!(keys::derive("um", &secrets[4]), array(&hops[4]["um_key"]));
    assert_eq!(failure::seal(&Failure::TemporaryNodeFailure, &secrets[4])[HMAC_BYTES..], bytes(&hops[4]["payload"]));

    let mut reason = failure::wrap(&Failure::TemporaryNodeFailure, &secrets[4]);
    for secret in secrets[..4].iter().rev() {
        failure::rewrap(&mut reason, secret);
    }
    assert_eq!(reason, bytes(&data["errorpacket"]));
    let attributed = failure::unwrap(&secrets, &reason, None).expect("hop 4 reports");
    assert_eq!(attributed, Attributed { hop: 4, failure: Failure::TemporaryNodeFailure });

    reason[40] ^= 1;
    assert_eq!(failure::unwrap(&secrets, &reason, None), Err(Undecodable::Unknown));
}

#[test]
fn every_failure_code_has_its_name_flags_and_data() {
    let file = vectors::file("bolt04/failure-codes");
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), Failure::CODES.len());
    for case in cases {
        let code = case["code"].as_u64().expect("a number") as u16;
        let mut message = code.to_be_bytes().to_vec();
        for (index, field) in list(&case["data"]).iter().enumerate() {
            let byte = index as u8 + 1;
            match text(&field["type"]) {
                "sha256" => message.extend([byte; 32]),
                "u64" => message.extend([byte; 8]),
                "u32" => message.extend([byte; 4]),
                "bigsize" => message.push(byte),
                "u16" if field["name"] == "len" => message.extend([0, 0]),
                "u16" => message.extend([byte; 2]),
                "len*byte" => {}
                other => panic!("no field of type {other}"),
            }
        }
        let failure = Failure::decode(&message).expect("a code");
        assert_eq!(failure.code(), code);
        assert!(!matches!(failure, Failure::Other { .. }), "{code:#06x} is known");
        assert_eq!(failure.name(), format!("WIRE_{}", text(&case["name"]).to_uppercase()));
        for (name, flag) in [("BADONION", BADONION), ("PERM", PERM), ("NODE", NODE), ("UPDATE", UPDATE)] {
            assert_eq!(failure.has(flag), list(&case["flags"]).iter().any(|set| set == name));
        }
        let mut again = Vec::new();
        failure.encode(&mut again);
        assert_eq!(again, message);

        // BOLT 4, origin node: more bytes are ignored.
        again.extend([1, 2, 3]);
        assert_eq!(Failure::decode(&again), Some(failure));
        // Data cut short leaves the flags, which still say what to do.
        if list(&case["data"]).iter().any(|field| field["name"] != "len" && field["name"] != "channel_update") {
            assert_eq!(Failure::decode(&message[..3.min(message.len() - 1)]), Some(Failure::Other { code }));
        }
        let row = bincode::encode_to_vec(failure, bincode::config::standard()).expect("a row");
        let (read, len) = bincode::decode_from_slice::<Failure, _>(&row, bincode::config::standard()).expect("a row");
        assert_eq!((read, len), (failure, row.len()));
    }
}

#[test]
fn a_failure_with_a_channel_update_is_read_and_the_update_dropped() {
    let mut message = vec![0x10, 0x0c, 0, 0, 0, 0, 0, 0, 0, 9, 0, 136];
    message.extend([7; 136]);
    assert_eq!(Failure::decode(&message), Some(Failure::FeeInsufficient { htlc_msat: Msat(9) }));
}

#[test]
fn a_malformed_report_becomes_a_failure_only_with_badonion() {
    let hash = [9; 32];
    assert_eq!(Failure::from_malformed(0xc005, hash), Some(Failure::InvalidOnionHmac { sha256_of_onion: hash }));
    assert_eq!(Failure::from_malformed(0x8063, hash), Some(Failure::Other { code: 0x8063 }));
    assert_eq!(Failure::from_malformed(0x2002, hash), None);
}

#[test]
fn attribution_data_travels_back_with_a_failure() {
    let file = vectors::file("bolt04/attributable-errors");
    let case = &file["cases"][0];
    let hops = list(&case["hops_from_erring_node"]);
    let message = bytes(&case["encoded_failure_message"]);
    let len = 320;
    let mut packet = failure::seal_message(&message[..len], 1024, &array(&hops[0]["shared_secret"]));
    assert_eq!(packet, bytes(&case["raw_error_packet"]));
    assert_eq!(keys::derive("um", &array(&hops[0]["shared_secret"])), array(&case["um_key"]));

    let mut attribution = Attribution::default();
    for (hop, hold_time) in hops.iter().zip(1..) {
        let secret: SharedSecret = array(&hop["shared_secret"]);
        assert_eq!(keys::derive("ammag", &secret), array(&hop["ammag_key"]));
        attribution.add_hop(&secret, hold_time, &packet);
        failure::rewrap(&mut packet, &secret);
        assert_eq!(packet, bytes(&hop["error_packet"]));
        assert_eq!(attribution.0.to_vec(), bytes(&hop["attribution_data"]));
    }

    // The hops report from the last to the first, the origin reads from the first to the last.
    let secrets: Vec<SharedSecret> = hops.iter().rev().map(|hop| array(&hop["shared_secret"])).collect();
    let attributed = failure::unwrap(&secrets, &packet, None).expect("the last hop reports");
    assert_eq!(attributed.hop, 4);
    let details = Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: Msat(100), height: BlockHeight(800_000) };
    assert_eq!(attributed.failure, details);
    let mut held = Vec::new();
    for (index, secret) in secrets.iter().enumerate() {
        failure::rewrap(&mut packet, secret);
        held.push(attribution.take_hop(secret, secrets.len() - 1 - index, &packet).expect("its HMAC fits"));
    }
    assert_eq!(held, [5, 4, 3, 2, 1]);
}

#[test]
fn a_damaged_failure_tells_where_it_was_damaged() {
    let secrets: Vec<SharedSecret> = (1..=5).map(|hop| [hop; 32]).collect();
    // How a failure of the last hop comes back if `damage` happens at a hop, before or after its own HMACs.
    let travel = |at: usize, before: bool, damage: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = failure::seal(&Failure::MppTimeout, &secrets[4]);
        let mut attribution = Attribution::default();
        for (hop, secret) in secrets.iter().enumerate().rev() {
            if hop == at && before {
                damage(&mut packet);
            }
            attribution.add_hop(secret, 1, &packet);
            failure::rewrap(&mut packet, secret);
            if hop == at && !before {
                damage(&mut packet);
            }
        }
        failure::unwrap(&secrets, &packet, Some(&attribution))
    };
    let garble = |packet: &mut Vec<u8>| packet[100] ^= 1;
    let cut = |packet: &mut Vec<u8>| packet.truncate(20);
    for damage in [&garble as &dyn Fn(&mut Vec<u8>), &cut] {
        for at in 0..5 {
            assert_eq!(travel(at, true, damage), Err(Undecodable::Damaged { hop: at }), "before hop {at}");
            let blamed = at.saturating_sub(1);
            assert_eq!(travel(at, false, damage), Err(Undecodable::Damaged { hop: blamed }), "after hop {at}");
        }
    }
    let sound = travel(9, true, &garble);
    assert_eq!(sound, Ok(Attributed { hop: 4, failure: Failure::MppTimeout }));
    assert_eq!(failure::unwrap(&secrets, &[7; 10], None), Err(Undecodable::Unknown));
    assert_eq!(failure::unwrap(&[], &[7; 10], Some(&Attribution::default())), Err(Undecodable::Unknown));
    let long = vec![[1; 32]; ATTRIBUTED_HOPS_MAX + 1];
    assert_eq!(failure::unwrap(&long, &[7; 10], Some(&Attribution::default())), Err(Undecodable::Unknown));

    // A hop that authenticates nonsense is known by that.
    for message in [&[][..], &[0x20]] {
        let mut packet = failure::seal_message(message, 256, &secrets[2]);
        secrets[..3].iter().rev().for_each(|secret| failure::rewrap(&mut packet, secret));
        let empty = failure::unwrap(&secrets, &packet, None).expect_err("no code");
        assert_eq!((empty, empty.hop()), (Undecodable::Empty { hop: 2 }, Some(2)));
    }
    assert_eq!(Undecodable::Unknown.hop(), None);
}

#[test]
fn attribution_data_travels_back_with_a_preimage() {
    let file = vectors::file("bolt04/attributable-errors");
    let secrets: Vec<SharedSecret> =
        list(&file["cases"][0]["hops_from_erring_node"]).iter().map(|hop| array(&hop["shared_secret"])).collect();
    let mut attribution = Attribution::default();
    for ((hop, secret), hold_time) in list(&file["cases"][1]["hops_from_final_node"]).iter().zip(&secrets).zip(1..) {
        attribution.add_hop(secret, hold_time, b"");
        assert_eq!(attribution.0.to_vec(), bytes(&hop["attribution_data"]));
    }
    let mut damaged = attribution.clone();
    damaged.0[3] ^= 1;
    assert_eq!(damaged.take_hop(&secrets[4], 4, b""), None, "a hold time that was changed is not believed");
    for (index, secret) in secrets.iter().rev().enumerate() {
        assert_eq!(attribution.take_hop(secret, 4 - index, b""), Some(5 - index as u32));
    }
    assert_eq!(attribution.take_hop(&secrets[0], ATTRIBUTED_HOPS_MAX, b""), None, "no HMAC reaches that far");
}
