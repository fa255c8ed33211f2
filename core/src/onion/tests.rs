//! The onion against the specification's vectors, and against itself.

use secp256k1::{PublicKey, Scalar, SecretKey, ecdh};
use serde_json::Value;

use super::attribution::{ATTRIBUTED_HOPS_MAX, Attribution};
use super::failure::{Attributed, BADONION, NODE, PERM, UPDATE, Undecodable};
use super::tlv::{push_record, read_bigsize};
use super::*;
use crate::amount::Msat;
use crate::ids::{BlockHeight, hex_array};
use crate::vectors;

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
    let (len, at) = read_bigsize(&payload).expect("a length");
    assert_eq!(len as usize, payload.len() - at);
    payload[at..].to_vec()
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
    let attributed = failure::unwrap(&secrets, &reason).expect("hop 4 reports");
    assert_eq!(attributed, Attributed { hop: 4, failure: Failure::TemporaryNodeFailure });

    reason[40] ^= 1;
    assert_eq!(failure::unwrap(&secrets, &reason), Err(Undecodable));
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
    let attributed = failure::unwrap(&secrets, &packet).expect("the last hop reports");
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

#[test]
fn a_route_is_blinded_and_unblinded() {
    let data = &vectors::file("bolt04/route-blinding")["cases"][0]["data"];
    let hops = list(&data["generate"]["hops"]);
    // Two paths, one behind the other: Bob to Carol, Dave to Eve.
    for path in [&hops[..2], &hops[2..]] {
        let input = path.iter().map(|hop| (point(&hop["node_id"]), bytes(&hop["encoded_tlvs"])));
        let blinded = blinding::blind(&array(&path[0]["session_key"]), input).expect("a good key");
        assert_eq!(blinded.first_path_key, point(&path[0]["path_key"]));
        for (hop, expected) in blinded.hops.iter().zip(path) {
            assert_eq!(hop.blinded_node_id, point(&expected["blinded_node_id"]));
            assert_eq!(hop.encrypted_recipient_data, bytes(&expected["encrypted_data"]));
            assert_eq!(keys::derive("rho", &array(&expected["shared_secret"])), array(&expected["rho"]));
        }
    }
    for (hop, made) in list(&data["unblind"]["hops"]).iter().zip(hops) {
        let key = SecretKey::from_slice(&bytes(&hop["node_privkey"])).expect("a key");
        let path_key = point(&hop["path_key"]);
        let secret = shared_secret(&key, &path_key);
        assert_eq!(secret, array(&made["shared_secret"]));
        let blinded = key.mul_tweak(&blinding::node_tweak(&secret).expect("in range")).expect("in range");
        assert_eq!(blinded.secret_bytes().to_vec(), bytes(&hop["blinded_privkey"]));
        let mut encrypted = bytes(&made["encrypted_data"]);
        assert_eq!(blinding::open(&secret, &mut encrypted), Some(&bytes(&hop["decrypted_data"])[..]));
        if let Some(next) = hop.get("next_path_key") {
            assert_eq!(blinding::next_path_key(&path_key, &secret), Some(point(next)));
        }
        let mut damaged = bytes(&made["encrypted_data"]);
        damaged[0] ^= 1;
        assert_eq!(blinding::open(&secret, &mut damaged), None);
    }
    assert_eq!(blinding::open(&[1; 32], &mut [0; 15]), None, "too short for a tag");
}

#[test]
fn an_onion_over_a_blinded_path_is_built_and_peeled() {
    let data = &vectors::file("bolt04/blinded-payment-onion")["cases"][0]["data"];
    let generate = &data["generate"];
    let associated_data = bytes(&generate["associated_data"]);
    let payloads: Vec<Vec<u8>> =
        list(&generate["full_route"]["hops"]).iter().map(|hop| without_length(bytes(&hop["payload"]))).collect();
    let keys = list(&generate["full_route"]["hops"]).iter().map(|hop| point(&hop["pubkey"]));
    let built = build(&array(&generate["session_key"]), keys.zip(&payloads), &associated_data).expect("it fits");
    assert_eq!(built.packet.to_vec(), bytes(&generate["onion"]));

    let hops = list(&data["decrypt"]["hops"]);
    let mut scratch = Scratch::default();
    for (index, hop) in hops.iter().enumerate() {
        let packet: Packet = array(&hop["onion"]);
        let onion = Onion::parse(&packet).expect("a good onion");
        // The introduction node is addressed by its own key, those behind it by their blinded keys.
        let path_key = (index >= 2).then(|| point(&hops[index - 1]["next_path_key"]));
        let secret =
            onion_secret(&SecretKey::from_slice(&bytes(&hop["node_privkey"])).expect("a key"), path_key, &onion);
        let peeled = onion.peel(&secret, &associated_data, &mut scratch).expect("authentic");
        assert_eq!(peeled.payload, payloads[index]);
        let payload = Payload::decode(peeled.payload, peeled.next.is_none()).expect("a good payload");
        assert_eq!(matches!(payload, Payload::Blinded(_)), index > 0, "only the first hop is in the clear");
        let mut again = Vec::new();
        payload.encode(&mut again);
        assert_eq!(again, payloads[index]);
        if let Some(next) = peeled.next {
            assert_eq!(next.packet().expect("a point"), array::<PACKET_BYTES>(&hops[index + 1]["onion"]));
        }
    }
}

/// The shared secret of a hop with an onion; behind a path key it opens the onion with its blinded key.
fn onion_secret(key: &SecretKey, path_key: Option<PublicKey>, onion: &Onion<'_>) -> SharedSecret {
    let tweak = match path_key {
        Some(path_key) => blinding::node_tweak(&shared_secret(key, &path_key)).expect("in range"),
        None => Scalar::ONE,
    };
    shared_secret(&key.mul_tweak(&tweak).expect("in range"), &onion.ephemeral())
}

#[test]
fn an_onion_message_is_built_and_peeled() {
    let data = &vectors::file("bolt04/blinded-onion-message")["cases"][0]["data"];
    for hop in list(&data["generate"]["hops"]) {
        assert_eq!(keys::derive("rho", &array(&hop["ss"])), array(&hop["rho"]));
        let mut encrypted = bytes(&hop["encrypted_recipient_data"]);
        assert_eq!(blinding::open(&array(&hop["ss"]), &mut encrypted), Some(&bytes(&hop["encrypted_data_tlv"])[..]));
    }
    let hops = list(&data["route"]["hops"]);
    let payloads: Vec<Vec<u8>> = hops
        .iter()
        .enumerate()
        .map(|(index, hop)| {
            let mut payload = Vec::new();
            if index == hops.len() - 1 {
                push_record(&mut payload, 1, &bytes(&data["onionmessage"]["unknown_tag_1"]));
            }
            push_record(&mut payload, 4, &bytes(&hop["encrypted_recipient_data"]));
            payload
        })
        .collect();
    let keys = hops.iter().map(|hop| point(&hop["blinded_node_id"]));
    let built = build(&array(&data["generate"]["session_key"]), keys.zip(&payloads), b"").expect("it fits");
    assert_eq!(built.packet.to_vec(), bytes(&data["onionmessage"]["onion_message_packet"]));

    let mut scratch = Scratch::default();
    let mut packet = built.packet;
    for (index, hop) in list(&data["decrypt"]["hops"]).iter().enumerate() {
        // Type 513, path key, length, packet.
        let message = bytes(&hop["onion_message"]);
        assert_eq!(message[37..], packet);
        let path_key = PublicKey::from_slice(&message[2..35]).expect("a point");
        let onion = Onion::parse(&packet).expect("a good onion");
        let secret =
            onion_secret(&SecretKey::from_slice(&bytes(&hop["privkey"])).expect("a key"), Some(path_key), &onion);
        let peeled = onion.peel(&secret, b"", &mut scratch).expect("authentic");
        assert_eq!(peeled.payload, payloads[index]);
        match peeled.next {
            Some(next) => packet = next.packet().expect("a point"),
            None => assert_eq!(index, hops.len() - 1),
        }
    }
}
