//! Failures: all of the specification's, and their way back.

use bitcoin::hashes::Hash;
use quickcheck::quickcheck;
use serde_json::Value;

use super::super::crypto::{Purpose, mac};
use super::{hex, hex_array, vectors};
use crate::amount::Msat;
use crate::ids::BlockHeight;
use crate::onion::failure::{BADONION, NODE, PERM, UPDATE, name_of};
use crate::onion::{Failure, Returned, Undecoded, rewrap, unwrap, wrap};

/// The data of a failure as the table describes it, in which every number is 7 and every byte string empty.
fn data_of(fields: &Value) -> Vec<u8> {
    let size = |kind| match kind {
        "u16" => 2,
        "u32" => 4,
        "u64" => 8,
        "bigsize" => 1,
        "sha256" => 32,
        other => panic!("{other}"),
    };
    let mut data = Vec::new();
    for field in fields.as_array().expect("fields") {
        match (field["type"].as_str().expect("a type"), field["name"].as_str().expect("a name")) {
            ("u16", "len") => data.extend([0, 0]),
            ("len*byte", _) => {}
            (kind, _) => {
                data.resize(data.len() + size(kind) - 1, 0);
                data.push(7);
            }
        }
    }
    data
}

#[test]
fn every_failure_of_the_specification_has_its_code_name_and_form() {
    let file = vectors("failure-codes");
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 22);
    for case in cases {
        let code = u16::try_from(case["code"].as_u64().expect("a number")).expect("16 bits");
        let name = case["name"].as_str().expect("a name");
        let flags = [("BADONION", BADONION), ("PERM", PERM), ("NODE", NODE), ("UPDATE", UPDATE)];
        for (flag, bit) in flags {
            assert_eq!(case["flags"].as_array().expect("flags").contains(&flag.into()), code & bit != 0, "{name}");
        }
        assert_eq!(name_of(code), format!("WIRE_{}", name.to_uppercase()));

        let mut bytes = code.to_be_bytes().to_vec();
        bytes.extend(data_of(&case["data"]));
        let failure = Failure::decode(&bytes).expect(name);
        assert_eq!((failure.code(), failure.name()), (code, name_of(code)));
        assert_eq!((failure.is_permanent(), failure.is_node()), (code & PERM != 0, code & NODE != 0));
        let mut again = Vec::new();
        failure.encode(&mut again);
        assert_eq!(again, bytes, "{name}");

        // What follows is ignored; what is missing is not made up.
        bytes.extend([1, 2, 3]);
        assert_eq!(Failure::decode(&bytes), Ok(failure));
        let needed = again.len() - if code & UPDATE != 0 { 2 } else { 0 };
        assert_eq!(Failure::decode(&again[..needed]), Ok(failure));
        if needed > 2 {
            assert_eq!(Failure::decode(&again[..needed - 1]), Err(Undecoded { code: Some(code) }));
        }
    }
    assert_eq!(Failure::decode(&[0x10]), Err(Undecoded { code: None }));
    assert_eq!(Failure::decode(&[0x40, 1, 9]), Err(Undecoded { code: Some(0x4001) }));
    assert_eq!(name_of(0x4001), "UNKNOWN");
}

#[test]
fn a_channel_update_within_a_failure_is_passed_over() {
    let mut bytes = vec![0x10, 0x0c, 0, 0, 0, 0, 0, 0, 0, 9, 0, 136];
    bytes.resize(bytes.len() + 136, 0x5a);
    assert_eq!(Failure::decode(&bytes), Ok(Failure::FeeInsufficient { htlc_msat: Msat(9) }));
}

#[test]
fn a_malformed_onion_becomes_a_failure() {
    let sha256_of_onion = [8; 32];
    for code in [0xc004, 0xc005, 0xc006, 0xc018] {
        assert_eq!(Failure::of_malformed(code, sha256_of_onion).code(), code);
    }
    assert_eq!(Failure::of_malformed(0x8001, sha256_of_onion), Failure::InvalidOnionHmac { sha256_of_onion });
}

#[test]
fn the_failure_of_the_specification_comes_back() {
    let file = vectors("onion-error");
    let data = &file["cases"][0]["data"];
    let hops = data["generate"]["hops"].as_array().expect("hops");
    let secrets: Vec<[u8; 32]> = hops.iter().map(|hop| hex_array(&hop["hop_shared_secret"])).collect();
    for (hop, secret) in hops.iter().zip(&secrets) {
        assert_eq!(Purpose::Ammag.key(secret), hex_array(&hop["ammag_key"]));
    }
    assert_eq!(Purpose::Um.key(&secrets[4]), hex_array(&hops[4]["um_key"]));

    let mut reason = wrap(&secrets[4], &Failure::TemporaryNodeFailure);
    assert_eq!(rewrap(&secrets[4], &reason)[32..], hex(&hops[4]["payload"]));
    for secret in secrets[..4].iter().rev() {
        reason = rewrap(secret, &reason);
    }
    assert_eq!(reason, hex(&data["errorpacket"]));
    let message = hex(&data["generate"]["failure_message"]).into();
    assert_eq!(
        unwrap(&secrets, &reason),
        Some(Returned { hop: 4, failure: Ok(Failure::TemporaryNodeFailure), message })
    );

    // Any change on the way makes it anonymous.
    for at in [0, 31, 32, 33, 291] {
        let mut spoilt = reason.clone();
        spoilt[at] ^= 1;
        assert_eq!(unwrap(&secrets, &spoilt), None);
    }
    assert_eq!(unwrap(&secrets, &reason[..291]), None);
    assert_eq!(unwrap(&secrets[..4], &reason), None);
    assert_eq!(unwrap(&[], &reason), None);
}

/// An authentic reason of a node whose text is anything.
fn authentic(secret: &[u8; 32], text: &[u8]) -> Vec<u8> {
    let code: [u8; 32] = mac(&Purpose::Um.key(secret), &[text]).to_byte_array();
    rewrap(secret, &[&code, text].concat())
}

#[test]
fn a_reason_of_any_size_is_read() {
    let text = |len: usize, pad: usize| {
        let mut text = (len as u16).to_be_bytes().to_vec();
        text.extend([0x40, 0x0f]);
        text.resize(2 + len + 2 + pad, 0);
        text
    };
    for (len, pad) in [(14, 0), (14, 1010), (320, 704), (60_000, 0)] {
        let returned = unwrap(&[[3; 32]], &authentic(&[3; 32], &text(len, pad))).expect("it is authentic");
        let (htlc_msat, height) = (Msat(0), BlockHeight(0));
        assert_eq!(returned.failure, Ok(Failure::IncorrectOrUnknownPaymentDetails { htlc_msat, height }));
        assert_eq!(returned.message.len(), len);
    }
    for silent in [&[][..], &[0], &[0, 9, 1], &[0, 0]] {
        let returned = unwrap(&[[3; 32]], &authentic(&[3; 32], silent)).expect("it is authentic");
        assert_eq!((returned.hop, returned.code()), (0, None));
    }
}

quickcheck! {
    fn prop_a_failure_names_its_hop(hops: u8, at: u8, amount: u64, height: u32) -> bool {
        let secrets: Vec<[u8; 32]> = (0..hops % 27 + 1).map(|hop| [hop; 32]).collect();
        let at = usize::from(at) % secrets.len();
        let (htlc_msat, height) = (Msat(amount), BlockHeight(height));
        let failure = Failure::IncorrectOrUnknownPaymentDetails { htlc_msat, height };
        let reason = secrets[..at].iter().rev().fold(wrap(&secrets[at], &failure), |reason, secret| rewrap(secret, &reason));
        let returned = unwrap(&secrets, &reason).expect("nobody spoilt it");
        returned.hop == at && returned.failure == Ok(failure) && returned.code() == Some(0x400f)
    }

    fn prop_any_bytes_are_no_reason(secrets: u8, bytes: Vec<u8>) -> bool {
        let secrets: Vec<[u8; 32]> = (0..secrets % 30).map(|hop| [hop; 32]).collect();
        unwrap(&secrets, &bytes).is_none()
    }

    fn prop_any_text_of_a_node_is_its_own(text: Vec<u8>) -> bool {
        unwrap(&[[1; 32]], &authentic(&[1; 32], &text)).is_some_and(|returned| returned.hop == 0)
    }

    fn prop_any_message_is_read_or_not(code: u16, bytes: Vec<u8>) -> bool {
        let message = [&code.to_be_bytes()[..], &bytes].concat();
        match Failure::decode(&message) {
            Ok(failure) => failure.code() == code,
            Err(undecoded) => undecoded.code == Some(code),
        }
    }
}
