//! Packets: what is built opens hop by hop, and nothing else does.

use bitcoin::hashes::Hash;
use quickcheck::quickcheck;
use secp256k1::ecdh::SharedSecret;
use secp256k1::{PublicKey, SECP256K1, SecretKey};

use crate::ids::Point;
use crate::onion::{Built, ONION_SIZE, PeelError, Peeled, TooLong, build, peel, shared_secrets};

use super::super::crypto::{Purpose, mac};
use super::{hex, hex_array, vectors};

const HASH: [u8; 32] = [0x42; 32];

fn node(at: usize) -> SecretKey {
    SecretKey::from_slice(&[at as u8 + 1; 32]).expect("a key")
}

fn peel_as(onion: &[u8; ONION_SIZE], key: &SecretKey) -> Result<Peeled, PeelError> {
    peel(onion, &HASH, None, |point| SharedSecret::new(point, key).secret_bytes())
}

/// A route whose hop `at` gets `payloads[at]`.
fn route(payloads: &[Vec<u8>]) -> Vec<(PublicKey, &[u8])> {
    payloads.iter().enumerate().map(|(at, payload)| (node(at).public_key(SECP256K1), payload.as_slice())).collect()
}

#[test]
fn the_packet_of_the_specification() {
    let file = vectors("onion");
    let data = &file["cases"][0]["data"];
    let generate = &data["generate"];
    let payloads: Vec<(PublicKey, Vec<u8>)> = generate["hops"]
        .as_array()
        .expect("hops")
        .iter()
        .map(|hop| {
            let payload = hex(&hop["payload"]);
            let prefix = if payload[0] == 0xfd { 3 } else { 1 };
            (PublicKey::from_slice(&hex(&hop["pubkey"])).expect("a key"), payload[prefix..].to_vec())
        })
        .collect();
    let session_key = hex_array(&generate["session_key"]);
    let built = build(&session_key, &payloads, &hex(&generate["associated_data"])).expect("it fits");
    assert_eq!(built.onion, hex_array(&data["onion"]));
    assert_eq!(built.shared_secrets, shared_secrets(&session_key, payloads.iter().map(|(node, _)| node)));

    let mut onion = Some(Box::new(built.onion));
    for (at, key) in data["decode"].as_array().expect("keys").iter().enumerate() {
        let key = SecretKey::from_slice(&hex(key)).expect("a key");
        let peeled = peel_as(&onion.expect("there is a next hop"), &key).expect("it opens");
        assert_eq!(*peeled.payload, payloads[at].1);
        assert_eq!(peeled.shared_secret, built.shared_secrets[at]);
        onion = peeled.next;
    }
    assert_eq!(onion, None);
}

/// Only the packet: what the recipient's encrypted data say is another matter.
#[test]
fn a_packet_into_a_blinded_route_opens_with_its_path_keys() {
    let file = vectors("blinded-payment-onion");
    let data = &file["cases"][0]["data"];
    let hops = data["generate"]["full_route"]["hops"].as_array().expect("hops");
    let keys = data["decrypt"]["hops"].as_array().expect("hops");
    let route: Vec<(PublicKey, Vec<u8>)> = hops
        .iter()
        .map(|hop| (PublicKey::from_slice(&hex(&hop["pubkey"])).expect("a key"), hex(&hop["payload"])[1..].to_vec()))
        .collect();
    let generate = &data["generate"];
    let built = build(&hex_array(&generate["session_key"]), &route, &HASH).expect("it fits");
    assert_eq!(built.onion, hex_array(&generate["onion"]));

    let mut path_key = None;
    let mut onion = Some(Box::new(built.onion));
    for (at, hop) in keys.iter().enumerate() {
        let received = onion.expect("there is a next hop");
        assert_eq!(*received, hex_array(&hop["onion"]));
        let key = SecretKey::from_slice(&hex(&hop["node_privkey"])).expect("a key");
        let peeled = peel(&received, &HASH, path_key, |point| SharedSecret::new(point, &key).secret_bytes());
        let peeled = peeled.expect("it opens");
        assert_eq!(*peeled.payload, route[at].1);
        onion = peeled.next;
        path_key = hop.get("next_path_key").map(|key| Point(hex_array(key)));
    }
    assert_eq!(onion, None);
}

#[test]
fn a_bad_onion_is_refused_for_the_first_reason() {
    let payloads = [vec![1; 30], vec![2; 40]];
    let Built { onion, .. } = build(&[9; 32], &route(&payloads), &HASH).expect("it fits");
    let refuse = |change: fn(&mut [u8; ONION_SIZE])| {
        let mut bad = onion;
        change(&mut bad);
        peel_as(&bad, &node(0)).expect_err("it is bad")
    };
    assert_eq!(refuse(|onion| onion[0] = 1), PeelError::Version(1));
    assert_eq!(refuse(|onion| onion[0..34].fill(7)), PeelError::Version(7));
    assert_eq!(refuse(|onion| onion[1] = 4), PeelError::Key);
    assert_eq!(refuse(|onion| onion[34] ^= 1), PeelError::Hmac);
    assert_eq!(refuse(|onion| onion[1365] ^= 1), PeelError::Hmac);
    // Replayed under another hash, or read by another node.
    let other_hash = peel(&onion, &[0; 32], None, |point| SharedSecret::new(point, &node(0)).secret_bytes());
    assert_eq!(other_hash, Err(PeelError::Hmac));
    assert_eq!(peel_as(&onion, &node(1)), Err(PeelError::Hmac));
    let codes = [PeelError::Version(1), PeelError::Hmac, PeelError::Key, PeelError::Blinded];
    assert_eq!(codes.map(|error| error.failure_code()), [0xc004, 0xc005, 0xc006, 0xc018]);
}

#[test]
fn a_node_in_a_blinded_route_says_only_that() {
    let path_key = Point::from(node(5).public_key(SECP256K1));
    let Built { onion, .. } = build(&[9; 32], &route(&[vec![1; 30]]), &HASH).expect("it fits");
    let ecdh = |point: &PublicKey| SharedSecret::new(point, &node(0)).secret_bytes();
    assert_eq!(peel(&onion, &HASH, Some(path_key), ecdh), Err(PeelError::Blinded));
    assert_eq!(peel(&onion, &HASH, Some(Point([5; 33])), ecdh), Err(PeelError::Blinded));
    assert_eq!(peel(&[7; ONION_SIZE], &HASH, Some(path_key), ecdh), Err(PeelError::Blinded));
}

/// A packet for the first node whose code is right, and whose payloads begin with anything: the sender attacks.
fn forge(clear: &[u8]) -> [u8; ONION_SIZE] {
    let Built { mut onion, shared_secrets } = build(&[9; 32], &route(&[vec![1; 30]]), &HASH).expect("it fits");
    let secret = &shared_secrets[0];
    let (packet, hmac) = onion.split_at_mut(ONION_SIZE - 32);
    let payloads = &mut packet[34..];
    payloads.fill(0);
    let len = clear.len().min(payloads.len());
    payloads[..len].copy_from_slice(&clear[..len]);
    Purpose::Rho.apply(secret, payloads);
    hmac.copy_from_slice(mac(&Purpose::Mu.key(secret), &[payloads, &HASH]).as_byte_array());
    onion
}

#[test]
fn a_payload_of_no_possible_length_says_nothing() {
    // None, one byte, longer forms than needed, past the end, with the code past the end, and past all memory.
    let lengths: [&[u8]; 8] = [
        &[0],
        &[1],
        &[0xfd, 0, 20],
        &[0xfe, 0, 0, 1, 0],
        &[0xfd, 0x05, 0x12],
        &[0xfd, 0x04, 0xf2],
        &[0xfe, 0xff, 0xff, 0xff, 0xff],
        &[0xff; 9],
    ];
    for length in lengths {
        let peeled = peel_as(&forge(length), &node(0)).expect("the code is right");
        assert!(peeled.payload.is_empty() && peeled.next.is_none(), "{length:x?}");
        assert_ne!(peeled.shared_secret, [0; 32]);
    }
    assert_eq!(peel_as(&forge(&[0xfd, 0x04, 0xf1]), &node(0)).expect("it opens").payload.len(), 1265);
}

#[test]
fn a_packet_is_filled_to_the_last_byte_and_no_further() {
    let full = [vec![1; 500], vec![2; 1300 - (500 + 3 + 32) - 3 - 32]];
    let Built { onion, .. } = build(&[9; 32], &route(&full), &HASH).expect("it fits");
    let first = peel_as(&onion, &node(0)).expect("it opens");
    let last = peel_as(&first.next.expect("a second hop"), &node(1)).expect("it opens");
    assert_eq!([first.payload.to_vec(), last.payload.to_vec()], full);
    let over = [vec![1; 500], vec![2; full[1].len() + 1]];
    assert_eq!(build(&[9; 32], &route(&over), &HASH), Err(TooLong { bytes: 1301 }));
}

quickcheck! {
    fn prop_what_is_built_opens(session_key: u8, hops: u8, seed: u8) -> bool {
        let hops = usize::from(hops) % 20 + 1;
        let len = |at: usize| 2 + usize::from(seed).wrapping_mul(at + 3) % (1300 / hops - 35 - 2);
        let payloads: Vec<Vec<u8>> = (0..hops).map(|at| vec![seed ^ at as u8; len(at)]).collect();
        let built = build(&[session_key.clamp(1, 254); 32], &route(&payloads), &HASH).expect("it fits");
        let mut onion = Some(Box::new(built.onion));
        for (at, payload) in payloads.iter().enumerate() {
            let peeled = peel_as(&onion.expect("there is a next hop"), &node(at)).expect("it opens");
            assert_eq!((&*peeled.payload, peeled.shared_secret), (payload.as_slice(), built.shared_secrets[at]));
            onion = peeled.next;
        }
        onion.is_none()
    }

    fn prop_any_bytes_are_refused(bytes: Vec<u8>, honest_key: bool) -> bool {
        let mut onion = [0; ONION_SIZE];
        onion.iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
        if honest_key {
            onion[0] = 0;
            onion[1..34].copy_from_slice(&node(3).public_key(SECP256K1).serialize());
        }
        peel_as(&onion, &node(0)).is_err()
    }

    fn prop_any_authentic_payloads_are_read(bytes: Vec<u8>) -> bool {
        let peeled = peel_as(&forge(&bytes), &node(0)).expect("the code is right");
        peeled.payload.is_empty() || peeled.payload.len() >= 2
    }
}
