//! BOLT 8's vectors, then tapes: whatever a network does to the bytes, messages arrive as sent or not at all.

mod buffers;
mod tapes;
mod vectors;

use secp256k1::ecdh::SharedSecret;
use secp256k1::{PublicKey, SECP256K1, SecretKey};

use super::*;

/// A node key in the open.
struct TestKey(SecretKey);

impl TestKey {
    fn new(byte: u8) -> TestKey {
        TestKey(SecretKey::from_slice(&[byte; 32]).expect("a small scalar"))
    }
}

impl StaticKey for TestKey {
    fn public(&self) -> PublicKey {
        self.0.public_key(SECP256K1)
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        SharedSecret::new(point, &self.0).secret_bytes()
    }
}

fn ephemeral(byte: u8) -> Ephemeral {
    Ephemeral::new([byte; 32]).expect("a small scalar")
}

/// Moves all that `from` may send to `to`: the messages.
fn carry(from: &mut Transport, to: &mut Transport, key: &mut TestKey, pool: &mut BufferPool) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let bytes = from.writable().to_vec();
    from.wrote(bytes.len(), pool);
    to.received(&bytes, key, pool, |_, _, incoming| {
        if let Incoming::Message(message) = incoming {
            messages.push(message.to_vec());
        }
    })
    .expect("an honest peer");
    messages
}

/// Two ends that know each other: the initiator (key 1), the responder (key 2).
fn pair(pool: &mut BufferPool) -> (Transport, Transport) {
    let (mut alice_key, mut bob_key) = (TestKey::new(1), TestKey::new(2));
    let mut alice = Transport::initiator(&bob_key.public(), ephemeral(3), pool);
    let mut bob = Transport::responder(ephemeral(4));
    carry(&mut alice, &mut bob, &mut bob_key, pool);
    carry(&mut bob, &mut alice, &mut alice_key, pool);
    assert!(alice.is_open() && !bob.is_open());
    carry(&mut alice, &mut bob, &mut bob_key, pool);
    assert!(alice.is_open() && bob.is_open());
    (alice, bob)
}
