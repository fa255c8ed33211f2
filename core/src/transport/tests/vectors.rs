//! The specification's own examples.

use serde_json::Value;

use super::*;
use crate::ids::hex_array;
use crate::transport::cipher::{RecvCipher, SendCipher};
use crate::transport::noise::{AwaitActOne, AwaitActTwo};
use crate::vectors;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn bytes32(value: &Value, field: &str) -> [u8; 32] {
    hex_array(text(value, field)).expect("32 bytes")
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    let text = text(value, field).as_bytes();
    text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")).collect()
}

fn static_key(case: &Value) -> TestKey {
    TestKey(SecretKey::from_slice(&bytes32(case, "local_static_priv")).expect("a scalar"))
}

fn remote(case: &Value) -> PublicKey {
    PublicKey::from_slice(&bytes(case, "remote_static_pub")).expect("a point")
}

/// The name that the specification gives an error.
fn spec_name(error: HandshakeError) -> String {
    let act = match error.act {
        Act::One => 1,
        Act::Two => 2,
        Act::Three => 3,
    };
    let flaw = match error.flaw {
        Flaw::BadVersion { version } => {
            assert_eq!(version, 1, "every vector with a bad version has this one");
            "BAD_VERSION"
        }
        Flaw::BadPoint => "BAD_PUBKEY",
        Flaw::BadStaticKeyTag => "BAD_CIPHERTEXT",
        Flaw::BadTag => "BAD_TAG",
    };
    format!("ACT{act}_{flaw}")
}

/// The keys in use: to send, to receive.
fn keys(transport: &Transport) -> Option<([u8; 32], [u8; 32])> {
    match &transport.state {
        State::Open { send, frames } => Some((send.key(), frames.cipher().key())),
        _ => None,
    }
}

/// Plays one case; `chunk` bytes arrive at a time.
fn play(case: &Value, chunk: usize) {
    let id = text(case, "id");
    let mut pool = BufferPool::new(4);
    let mut key = static_key(case);
    let ephemeral = Ephemeral::new(bytes32(case, "ephemeral_priv")).expect("a scalar");
    let mut transport = match text(case, "role") {
        "initiator" => Transport::initiator(&remote(case), ephemeral, &mut pool),
        _ => Transport::responder(ephemeral),
    };
    let mut result = Ok(());
    for step in case["steps"].as_array().expect("steps") {
        match text(step, "dir") {
            "output" => {
                assert_eq!(result, Ok(()), "{id}");
                assert_eq!(transport.writable(), bytes(step, "bytes"), "{id}");
                transport.wrote(transport.writable().len(), &mut pool);
            }
            "input" => {
                for part in bytes(step, "bytes").chunks(chunk) {
                    result = result.and_then(|()| transport.received(part, &mut key, &mut pool, |_, _, _| ()));
                }
            }
            _ => match (text(step, "error"), result) {
                // The stream ends there: what matters is that nothing was answered to half an act.
                (read_failed @ ("ACT1_READ_FAILED" | "ACT2_READ_FAILED" | "ACT3_READ_FAILED"), Ok(())) => {
                    let awaited = match transport.awaited_act() {
                        Some(Act::One) => "ACT1_READ_FAILED",
                        Some(Act::Two) => "ACT2_READ_FAILED",
                        Some(Act::Three) => "ACT3_READ_FAILED",
                        None => panic!("{id} is over"),
                    };
                    assert_eq!(awaited, read_failed, "{id}");
                }
                (expected, Err(TransportError::Handshake(error))) => assert_eq!(spec_name(error), expected, "{id}"),
                (expected, other) => panic!("{id}: expected {expected}, not {other:?}"),
            },
        }
    }
    assert!(transport.writable().is_empty(), "{id}: nothing more is sent");
    let expected = case["ok"].as_bool().expect("ok");
    let expected = expected.then(|| (bytes32(&case["result"], "sk"), bytes32(&case["result"], "rk")));
    assert_eq!(keys(&transport), expected, "{id}");
    if let Err(error) = result {
        let again = transport.received(&[0; 200], &mut key, &mut pool, |_, _, _| panic!("{id}: it is over"));
        assert_eq!(again, Err(error), "{id}");
    }
    transport.close(&mut pool);
    assert_eq!((pool.read_lent(), pool.write_lent()), (0, 0), "{id}");
}

#[test]
fn handshakes_succeed_and_fail_as_specified() {
    let file = vectors::file("bolt08/handshake");
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 15);
    for case in cases {
        for chunk in [1, 7, 49, 66] {
            play(case, chunk);
        }
    }
}

#[test]
fn both_ends_learn_whom_they_speak_to() {
    let (mut alice, mut bob) = (TestKey::new(1), TestKey::new(2));
    let (initiator, act_one) = AwaitActTwo::start(&bob.public(), ephemeral(3));
    let (responder, act_two) = AwaitActOne::new(ephemeral(4)).act_one(&act_one, &mut bob).expect("an honest act");
    let (initiator, act_three) = initiator.act_two(&act_two, &mut alice).expect("an honest act");
    let responder = responder.act_three(&act_three).expect("an honest act");
    assert_eq!(initiator.remote, bob.public());
    assert_eq!(responder.remote, alice.public());
    assert_eq!(initiator.send.key(), responder.recv.key());
    assert_eq!(initiator.recv.key(), responder.send.key());
}

#[test]
fn whoever_calls_another_node_is_not_answered() {
    let mut pool = BufferPool::new(1);
    let mut bob = TestKey::new(2);
    let caller = Transport::initiator(&TestKey::new(5).public(), ephemeral(3), &mut pool);
    let mut answerer = Transport::responder(ephemeral(4));
    let result = answerer.received(caller.writable(), &mut bob, &mut pool, |_, _, _| ());
    assert_eq!(result, Err(TransportError::Handshake(HandshakeError { act: Act::One, flaw: Flaw::BadTag })));
    assert!(answerer.writable().is_empty());
}

#[test]
fn keys_rotate_after_a_thousand_operations() {
    let file = vectors::file("bolt08/message-encryption");
    let params = &file["params"];
    let secret = |field| zeroize::Zeroizing::new(bytes32(params, field));
    let mut send = SendCipher::new(secret("sk"), secret("ck"));
    let mut recv = RecvCipher::new(secret("sk"), secret("ck"));
    let message = bytes(params, "message");
    let mut cases = file["cases"].as_array().expect("cases").iter().peekable();
    assert_eq!(cases.len(), 6);

    let mut keys_used = vec![send.key()];
    for index in 0..=1001 {
        let mut frame = vec![0; cipher::HEADER_SIZE + message.len() + cipher::TAG_SIZE];
        frame[cipher::HEADER_SIZE..][..message.len()].copy_from_slice(&message);
        send.seal_frame(&mut frame);
        if let Some(case) = cases.next_if(|case| case["message_index"].as_u64() == Some(index)) {
            assert_eq!(frame, bytes(case, "output"), "message {index}");
        }
        let (header, body) = frame.split_first_chunk_mut().expect("a header");
        assert_eq!(recv.open_header(header), Ok(message.len()));
        assert_eq!(recv.open_body(body), Ok(()));
        assert_eq!(&body[..message.len()], message, "message {index}");
        assert_eq!(send.key(), recv.key());
        if keys_used.last() != Some(&send.key()) {
            keys_used.push(send.key());
        }
    }
    assert!(cases.next().is_none());

    let rotations = params["rotations"].as_array().expect("rotations");
    assert_eq!(keys_used.len(), 1 + rotations.len());
    for (pair, rotation) in keys_used.windows(2).zip(rotations) {
        assert_eq!(pair, [bytes32(rotation, "old_key"), bytes32(rotation, "new_key")]);
    }
}
