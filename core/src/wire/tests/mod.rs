//! The specification's vectors, as tables.

mod gossip;
mod robust;

use serde_json::Value;

use super::codec::{read_truncated, read_tu32, read_tu64, truncated};
use super::features::{ASSUMED, Context};
use super::tlv::{Record, Stream, TlvError};
use super::*;
use crate::vectors::{cases, hex};

#[test]
fn bigsize_vectors() {
    for case in cases("bolt01/bigsize") {
        let bytes = hex(&case["bytes"]);
        if case["op"] == "encode" {
            let mut buffer = [0; 9];
            let mut out = Cursor::new(&mut buffer);
            let value = BigSize(case["value"].as_u64().expect("a number"));
            value.write(&mut out).expect("nine bytes hold any");
            let written = out.position();
            assert_eq!((&buffer[..written], written), (&bytes[..], value.size()), "{}", case["id"]);
            continue;
        }
        let mut reader = Reader::new(&bytes);
        match (BigSize::read(&mut reader), case["error"].as_str()) {
            (Ok(BigSize(value)), None) => {
                assert_eq!(Some(value), case["value"].as_u64(), "{}", case["id"]);
                assert!(reader.is_empty(), "{}", case["id"]);
            }
            (Err(error), Some(words)) => {
                let expected = match words {
                    words if words.contains("canonical") => codec::BigSizeError::NotMinimal,
                    words if words.contains("unexpected") => codec::BigSizeError::Truncated,
                    _ => codec::BigSizeError::Empty,
                };
                assert_eq!(error, expected, "{}", case["id"]);
            }
            other => panic!("{}: {other:?}", case["id"]),
        }
    }
}

/// Decodes with one of the two namespaces of BOLT 1's appendix B; what is known, as (type, bytes).
fn decode(namespace: &str, stream: &[u8]) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut known = Vec::new();
    for record in Stream::new(stream) {
        let Record { kind, value, .. } = record.ok()?;
        let good = match (namespace, kind) {
            ("n1", 1) | ("n2", 0) => read_truncated(value, 8).is_some(),
            ("n1", 2) => value.len() == 8,
            ("n1", 3) => {
                value.len() == 49 && crate::ids::Point(value[..33].try_into().expect("33 bytes")).parse().is_ok()
            }
            ("n1", 254) => value.len() == 2,
            ("n2", 11) => read_truncated(value, 4).is_some(),
            (_, odd) if odd % 2 == 1 => continue,
            _ => false,
        };
        good.then_some(())?;
        known.push((kind, value.to_vec()));
    }
    Some(known)
}

#[test]
fn tlv_vectors() {
    let cases = cases("bolt01/tlv");
    for case in &cases {
        let stream = hex(&case["stream"]);
        for namespace in case["namespaces"].as_array().expect("a list") {
            let decoded = decode(namespace.as_str().expect("a name"), &stream);
            assert_eq!(decoded.is_some(), case["valid"] == true, "{} in {namespace}", case["id"]);
            if case["group"] == "decode_success_ignored" {
                assert_eq!(decoded, Some(vec![]), "{}", case["id"]);
            }
            if case["group"] == "decode_success" {
                let known = decoded.expect("valid");
                assert_eq!(known.len(), case["values"].as_object().expect("values").len(), "{}", case["id"]);
                let mut buffer = [0; 512];
                let mut out = Cursor::new(&mut buffer);
                for (kind, value) in &known {
                    tlv::write_record(*kind, value, &mut out).expect("it fits");
                }
                let written = out.position();
                assert_eq!(&buffer[..written], &stream[..], "{} is written as it came", case["id"]);
            }
        }
    }
    // An invalid stream behind a valid one is invalid; a higher one behind a lower one is valid.
    let of = |group: &str, namespace: &str| -> Vec<Vec<u8>> {
        let meant = |case: &&Value| {
            case["group"] == group
                && case["namespaces"].as_array().is_some_and(|all| all.iter().any(|name| name == namespace))
        };
        cases.iter().filter(meant).map(|case| hex(&case["stream"])).collect()
    };
    for namespace in ["n1", "n2"] {
        for valid in of("decode_success", namespace) {
            for invalid in of("decode_failure", namespace) {
                assert_eq!(decode(namespace, &[&valid[..], &invalid[..]].concat()), None);
            }
            for higher in of("decode_success", namespace) {
                let first = |stream: &[u8]| Stream::new(stream).next().and_then(Result::ok).map(|record| record.kind);
                if first(&higher) > first(&valid) {
                    assert!(decode(namespace, &[&valid[..], &higher[..]].concat()).is_some());
                }
            }
        }
    }
}

#[test]
fn truncated_numbers_come_back() {
    for value in [0, 1, 255, 256, u64::from(u32::MAX), u64::MAX] {
        let bytes = value.to_be_bytes();
        assert_eq!(read_tu64(truncated(&bytes)), Some(value));
        assert_eq!(read_tu32(truncated(&bytes)), u32::try_from(value).ok());
    }
    assert_eq!((truncated(&[0; 8]).len(), truncated(&[0, 0, 0, 0, 0, 0, 1, 0]).len()), (0, 2));
    assert_eq!(read_tu64(&[0, 1]), None, "no leading zero");
}

#[test]
fn a_stream_ends_at_its_first_error() {
    let mut records = Stream::new(&[1, 1, 7, 1, 0, 9, 0]);
    assert_eq!(records.next(), Some(Ok(Record { kind: 1, offset: 0, value: &[7] })));
    let error = TlvError::Order { kind: 1, offset: 3 };
    assert_eq!(records.next(), Some(Err(error)));
    assert_eq!((records.next(), error.place()), (None, (1, 3)));
    let place = |stream: &[u8]| Stream::new(stream).next().and_then(Result::err).map(|error| error.place());
    assert_eq!(place(&[0xfd, 0, 1, 0]), Some((0, 0)), "not minimal");
    assert_eq!(place(&[9, 0xfd, 0]), Some((9, 0)), "the length is cut");
    assert_eq!(place(&[9, 1]), Some((9, 0)), "the value is cut");
    let mut pushed = Vec::new();
    tlv::push_record(300, b"value", &mut pushed);
    assert_eq!(Stream::new(&pushed).next(), Some(Ok(Record { kind: 300, offset: 0, value: b"value" })));
}

#[test]
fn signed_number_vectors() {
    for case in cases("bolt01/signed-integers") {
        let (bytes, value) = (hex(&case["bytes"]), case["value"].as_i64().expect("a number"));
        let mut reader = Reader::new(&bytes);
        let mut buffer = [0; 8];
        let mut out = Cursor::new(&mut buffer);
        let read = match bytes.len() {
            1 => reader.read::<i8>().map(i64::from),
            2 => reader.read::<i16>().map(i64::from),
            4 => reader.read::<i32>().map(i64::from),
            _ => reader.read::<i64>(),
        };
        assert_eq!(read, Ok(value), "{}", case["id"]);
        match bytes.len() {
            1 => (value as i8).write(&mut out),
            2 => (value as i16).write(&mut out),
            4 => (value as i32).write(&mut out),
            _ => value.write(&mut out),
        }
        .expect("it fits");
        let written = out.position();
        assert_eq!(&buffer[..written], &bytes[..], "{}", case["id"]);
    }
}

#[test]
fn message_extension_vectors() {
    for case in cases("bolt01/message-extension") {
        let bytes = hex(&case["message"]);
        let decoded = Message::decode(&bytes);
        assert_eq!(decoded.is_ok(), case["valid"] == true, "{}: {decoded:?}", case["id"]);
        if let Ok(message) = decoded {
            assert!(matches!(message, Message::Init(init) if init.features.is_empty()), "{}", case["id"]);
        }
    }
}

#[test]
fn feature_vectors() {
    for case in cases("bolt09/features") {
        let (Some(bit), Some(name)) = (case["even_bit"].as_u64(), case["name"].as_str()) else { continue };
        let feature = Feature::of_bit(bit as usize).unwrap_or_else(|| panic!("bit {bit} is not known"));
        assert_eq!(feature.name(), name);
        assert_eq!(ASSUMED.contains(&feature), case["assumed"] == true, "{name}");
        if case["assumed"] == true {
            continue;
        }
        let contexts = case["contexts"].as_array().expect("a list");
        for (letter, context) in
            [("I", Context::Init), ("N", Context::Node), ("9", Context::Invoice), ("T", Context::ChannelType)]
        {
            assert_eq!(feature.allowed_in(context), contexts.iter().any(|c| c == letter), "{name} in {context:?}");
        }
        for needed in case["dependencies"].as_array().expect("a list") {
            let found = feature.needs().iter().any(|need| Some(need.name()) == needed.as_str());
            let assumed = ASSUMED.iter().any(|feature| Some(feature.name()) == needed.as_str());
            assert!(found || assumed, "{name} needs {needed}");
        }
    }
}

quickcheck::quickcheck! {
    fn bigsizes_come_back(value: u64, shift: u8) -> bool {
        let value = value >> (shift % 64);
        let mut bytes = Vec::new();
        BigSize(value).push(&mut bytes);
        let cut = &bytes[..bytes.len() - 1];
        BigSize::split(&bytes) == Ok((value, &[][..])) && BigSize::split(cut).is_err() && bytes.len() == BigSize(value).size()
    }
}

#[test]
fn fields_are_shown_by_the_names_of_the_specification() {
    let shown = |message: Message<'_>| {
        let mut shown = Vec::new();
        message.fields(&mut |name, value| shown.push(format!("{name}: {value}")));
        shown
    };
    let (channel_id, sigs) = (crate::ids::ChannelId([0xab; 32]), [crate::ids::Sig([1; 64]), crate::ids::Sig([2; 64])]);
    let signed = CommitmentSigned {
        channel_id,
        signature: crate::ids::Sig([0; 64]),
        htlc_signatures: Sigs::Made(&sigs),
        funding_txid: None,
    };
    assert_eq!(
        shown(signed.into()),
        [
            format!("channel_id: {}", "ab".repeat(32)),
            format!("signature: {}", "00".repeat(64)),
            format!("htlc_signatures: {}, {}", "01".repeat(64), "02".repeat(64)),
        ]
    );
    // Records of the extension that are there, and only they.
    let (fee, max) = (crate::amount::Sat(7), crate::amount::Sat(9));
    let range = FeeRange { min_fee_satoshis: fee, max_fee_satoshis: max };
    let closing =
        ClosingSigned { channel_id, fee_satoshis: fee, signature: crate::ids::Sig([0; 64]), fee_range: Some(range) };
    assert_eq!(
        shown(closing.into())[1..].join("; ").replace(&"0".repeat(128), "…"),
        "fee_satoshis: 7 sat; signature: …; fee_range: 7 sat to 9 sat"
    );
    assert_eq!(shown(Message::Unknown { message_type: 32769, payload: b"\xff\x00" }), ["payload: ff00"]);
}
