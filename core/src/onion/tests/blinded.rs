//! Blinded paths against the specification's vectors.

use secp256k1::SECP256K1;
use serde_json::Value;

use super::super::recipient::{NextHop, NoRelay, PaymentConstraints, PaymentRelay, RecipientData, Unreadable};
use super::*;
use crate::ids::{NodeId, ShortChannelId};
use crate::wire::tlv::push_record;

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

fn relay(tlvs: &Value) -> Option<PaymentRelay> {
    let relay = tlvs.get("payment_relay")?;
    Some(PaymentRelay {
        cltv_expiry_delta: number(&relay["cltv_expiry_delta"]) as u16,
        fee_proportional_millionths: number(&relay["fee_proportional_millionths"]) as u32,
        fee_base_msat: relay.get("fee_base_msat").map_or(0, number) as u32,
    })
}

/// Compares decrypted data with what the file says is in it.
fn check_data(data: &RecipientData<'_>, tlvs: &Value) {
    let scid = tlvs.get("short_channel_id").map(|scid| text(scid).parse().expect("a short channel id"));
    assert_eq!(data.short_channel_id, scid);
    assert_eq!(data.next_node_id, None);
    assert_eq!(data.path_id, tlvs.get("path_id").map(bytes).as_deref());
    assert_eq!(data.next_path_key_override, tlvs.get("next_path_key_override").map(|key| point(key).into()));
    assert_eq!(data.payment_relay, relay(tlvs));
    let constraints = &tlvs["payment_constraints"];
    let expected = PaymentConstraints {
        max_cltv_expiry: BlockHeight(number(&constraints["max_cltv_expiry"]) as u32),
        htlc_minimum_msat: Msat(number(&constraints["htlc_minimum_msat"])),
    };
    assert_eq!(data.payment_constraints, Some(expected));
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
        // An onion opens the same way whether its point or the key is tweaked.
        let tweaked = blinding::blinded_ephemeral(&path_key, &secret).expect("in range");
        assert_eq!(shared_secret(&blinded, &path_key), shared_secret(&key, &tweaked));
        let mut encrypted = bytes(&made["encrypted_data"]);
        let opened = blinding::open(&secret, &mut encrypted).expect("it was made for this hop");
        assert_eq!(opened, bytes(&hop["decrypted_data"]));
        let data = RecipientData::decode(opened).expect("a good stream");
        check_data(&data, &made["tlvs"]);
        assert_eq!(data.next_path_key_override, hop.get("next_path_key_override").map(|key| point(key).into()));
        // The example allows a feature that nobody knows at its last hop; a reader must refuse that.
        let refused = data.allows(Msat(1_000_000), BlockHeight(1));
        assert_eq!(refused, if hop["alias"] == "Eve" { Err(NoRelay::Features) } else { Ok(()) });
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

    // What the payer is told of the path is what its hops ask, as if it were one.
    let route = list(&generate["full_route"]["hops"]);
    let asked = |hop: &Value| relay(&hop["tlvs"]["encrypted_recipient_data"]);
    let relays: Vec<PaymentRelay> = route.iter().filter_map(asked).collect();
    let payinfo = PaymentRelay::aggregate(&relays).expect("small numbers");
    assert_eq!(Some(payinfo), relay(&serde_json::json!({ "payment_relay": generate["blinded_payinfo"] })));

    // The payment goes from hop to hop: what arrives, and the path key that its add brings.
    let (mut amount, mut cltv_expiry) = (Msat(0), BlockHeight(0));
    let mut add_path_key = None;
    let mut packet = built.packet;
    let mut scratch = Scratch::default();
    for (index, hop) in list(&data["decrypt"]["hops"]).iter().enumerate() {
        assert_eq!(packet, array::<PACKET_BYTES>(&hop["onion"]));
        let key = SecretKey::from_slice(&bytes(&hop["node_privkey"])).expect("a key");
        let onion = Onion::parse(&packet).expect("a good onion");
        let secret = onion_secret(&key, add_path_key, &onion);
        let peeled = onion.peel(&secret, &associated_data, &mut scratch).expect("authentic");
        assert_eq!(peeled.payload, payloads[index]);
        let payload = Payload::decode(peeled.payload, peeled.next.is_none()).expect("a good payload");
        let mut again = Vec::new();
        payload.encode(&mut again);
        assert_eq!(again, payloads[index]);

        let (next_amount, next_expiry) = match payload {
            Payload::Forward(forward) => (forward.amt_to_forward, forward.outgoing_cltv_value),
            Payload::Final(_) => panic!("the receiver hides behind its path"),
            Payload::Blinded(blinded) => {
                // The introduction node is addressed by its own key and finds the path key in its payload.
                let in_payload = blinded.current_path_key.map(|key| key.parse().expect("a point"));
                assert_ne!(add_path_key.is_some(), in_payload.is_some());
                let path_key = add_path_key.or(in_payload).expect("it is in one of the two");
                let path_secret = shared_secret(&key, &path_key);
                let mut encrypted = blinded.encrypted_recipient_data.to_vec();
                let opened = blinding::open(&path_secret, &mut encrypted).expect("it was made for this hop");
                let read = RecipientData::decode(opened).expect("a good stream");
                check_data(&read, &route[index]["tlvs"]["encrypted_recipient_data"]);
                let chained = blinding::next_path_key(&path_key, &path_secret).expect("in range");
                let next = read.next_path_key_override.map_or(chained, |key| key.parse().expect("a point"));
                assert_eq!(next, point(&hop["next_path_key"]));
                add_path_key = Some(next);
                match &blinded.amounts {
                    None => {
                        let relayed = read.relay(amount, cltv_expiry).expect("the receiver allows it");
                        let forward = relayed.forward().expect("the path names channels");
                        assert_eq!(relayed.to, NextHop::Channel(forward.short_channel_id));
                        (relayed.amt_to_forward, relayed.outgoing_cltv_value)
                    }
                    Some(amounts) => {
                        assert_eq!(read.allows(amount, cltv_expiry), Ok(()));
                        assert_eq!((amount, cltv_expiry), (amounts.amt_to_forward, amounts.outgoing_cltv_value));
                        assert_eq!(amounts.amt_to_forward, Msat(number(&generate["final_amount_msat"])));
                        (Msat(0), BlockHeight(0))
                    }
                }
            }
        };
        (amount, cltv_expiry) = (next_amount, next_expiry);
        match peeled.next {
            Some(next) => packet = next.packet().expect("a point"),
            None => assert_eq!(index, payloads.len() - 1),
        }
    }
}

/// The shared secret of a hop with an onion, by nothing but the ECDH of its own key that the signer offers.
fn onion_secret(key: &SecretKey, path_key: Option<PublicKey>, onion: &Onion<'_>) -> SharedSecret {
    let point = match path_key {
        Some(path_key) => {
            blinding::blinded_ephemeral(&onion.ephemeral(), &shared_secret(key, &path_key)).expect("in range")
        }
        None => onion.ephemeral(),
    };
    shared_secret(key, &point)
}

#[test]
fn what_the_receiver_does_not_allow_does_not_go_on() {
    let relay = PaymentRelay { cltv_expiry_delta: 40, fee_proportional_millionths: 1_000, fee_base_msat: 10 };
    let constraints = PaymentConstraints { max_cltv_expiry: BlockHeight(1_000), htlc_minimum_msat: Msat(50) };
    let good = RecipientData {
        next_node_id: Some(NodeId([2; 33])),
        payment_relay: Some(relay),
        payment_constraints: Some(constraints),
        ..RecipientData::default()
    };
    let relayed = good.relay(Msat(10_010), BlockHeight(1_000)).expect("allowed");
    assert_eq!((relayed.amt_to_forward, relayed.outgoing_cltv_value), (Msat(9_991), BlockHeight(960)));
    assert_eq!((relayed.to, relayed.forward()), (NextHop::Node(NodeId([2; 33])), None));

    let refused =
        |data: RecipientData<'_>, amount, expiry| data.relay(Msat(amount), BlockHeight(expiry)).expect_err("refused");
    let (cltv_expiry, maximum) = (BlockHeight(1_001), BlockHeight(1_000));
    assert_eq!(refused(good, 10_010, 1_001), NoRelay::Expired { cltv_expiry, maximum });
    assert_eq!(refused(good, 49, 500), NoRelay::BelowMinimum { amount: Msat(49), minimum: Msat(50) });
    assert_eq!(refused(good, 50, 39), NoRelay::Fee, "no blocks left");
    let greedy = PaymentRelay { fee_base_msat: 51, ..relay };
    assert_eq!(refused(RecipientData { payment_relay: Some(greedy), ..good }, 50, 500), NoRelay::Fee);
    assert_eq!(refused(RecipientData { payment_relay: None, ..good }, 50, 500), NoRelay::Missing { kind: 10 });
    assert_eq!(refused(RecipientData { payment_constraints: None, ..good }, 50, 500), NoRelay::Missing { kind: 12 });
    assert_eq!(refused(RecipientData { next_node_id: None, ..good }, 50, 500), NoRelay::Missing { kind: 2 });
    let both = RecipientData { short_channel_id: Some(ShortChannelId(1)), ..good };
    assert_eq!(refused(both, 50, 500), NoRelay::Contradiction);
    assert_eq!(refused(RecipientData { path_id: Some(b"ours"), ..good }, 50, 500), NoRelay::Contradiction);
    assert_eq!(refused(RecipientData { allowed_features: &[2], ..good }, 50, 500), NoRelay::Features);

    for wrong in [&[2, 1, 0][..], &[16, 0], &[10, 5, 0, 1, 0, 0, 0], &[12, 3, 0, 0, 0], &[8, 1, 2], &[2]] {
        assert_eq!(RecipientData::decode(wrong), Err(Unreadable), "{wrong:?}");
    }
    assert!(RecipientData::decode(&[17, 1, 9]).is_ok(), "unknown odd types are ignored");
}

quickcheck::quickcheck! {
    /// Whatever goes on, the fee of what goes on is there, and no more is kept than BOLT 4 says.
    fn a_relayed_amount_leaves_the_fee(amount: u64, base: u32, proportional: u32) -> bool {
        let relay = PaymentRelay { cltv_expiry_delta: 0, fee_proportional_millionths: proportional, fee_base_msat: base };
        let (fee_base, millionths) = (u128::from(base), u128::from(proportional));
        relay.amt_to_forward(Msat(amount)).is_none_or(|out| {
            let out = u128::from(out.0);
            let needed = |out: u128| out + fee_base + out * millionths / 1_000_000;
            // Rounding up may take one msat of our own fee, never more.
            needed(out) <= u128::from(amount) + 1 + millionths / 1_000_000 && (out == 0 || needed(out - 1) <= u128::from(amount))
        })
    }
}

#[test]
fn an_onion_message_is_built_and_peeled() {
    let data = &vectors::file("bolt04/blinded-onion-message")["cases"][0]["data"];
    let made = list(&data["generate"]["hops"]);
    // Alice's own path to Bob leads into the one that Dave made from Bob to himself.
    for path in [&made[..1], &made[1..]] {
        let first = if path.len() == 1 { 0 } else { 1 };
        let nodes = list(&data["decrypt"]["hops"])[first..].iter();
        let node = |hop: &Value| SecretKey::from_slice(&bytes(&hop["privkey"])).expect("a key").public_key(SECP256K1);
        let input = nodes.map(node).zip(path.iter().map(|hop| bytes(&hop["encrypted_data_tlv"])));
        let blinded = blinding::blind(&array(&path[0]["path_key_secret"]), input).expect("a good key");
        assert_eq!(blinded.first_path_key, point(&path[0]["E"]));
        for (hop, expected) in blinded.hops.iter().zip(path) {
            assert_eq!(hop.blinded_node_id, point(&expected["blinded_node_id"]));
            assert_eq!(hop.encrypted_recipient_data, bytes(&expected["encrypted_recipient_data"]));
        }
    }
    for hop in made {
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
                push_record(1, &bytes(&data["onionmessage"]["unknown_tag_1"]), &mut payload);
            }
            push_record(4, &bytes(&hop["encrypted_recipient_data"]), &mut payload);
            payload
        })
        .collect();
    let keys = hops.iter().map(|hop| point(&hop["blinded_node_id"]));
    let built = build(&array(&data["generate"]["session_key"]), keys.zip(&payloads), b"").expect("it fits");
    assert_eq!(built.packet.to_vec(), bytes(&data["onionmessage"]["onion_message_packet"]));

    let mut scratch = Scratch::default();
    let mut packet = built.packet;
    let mut expected_path_key = point(&data["route"]["first_path_key"]);
    for (index, hop) in list(&data["decrypt"]["hops"]).iter().enumerate() {
        // Type 513, path key, length, packet.
        let message = bytes(&hop["onion_message"]);
        assert_eq!(message[37..], packet);
        let path_key = PublicKey::from_slice(&message[2..35]).expect("a point");
        assert_eq!(path_key, expected_path_key);
        let key = SecretKey::from_slice(&bytes(&hop["privkey"])).expect("a key");
        let path_secret = shared_secret(&key, &path_key);
        let mut encrypted = bytes(&hops[index]["encrypted_recipient_data"]);
        let opened = blinding::open(&path_secret, &mut encrypted).expect("it was made for this hop");
        let read = RecipientData::decode(opened).expect("a good stream");
        let tlvs = &made[index]["tlvs"];
        assert_eq!(read.next_node_id, tlvs.get("next_node_id").map(|node| point(node).into()));
        assert_eq!(read.path_id, tlvs.get("path_id").map(bytes).as_deref());
        let chained = blinding::next_path_key(&path_key, &path_secret).expect("in range");
        expected_path_key = read.next_path_key_override.map_or(chained, |key| key.parse().expect("a point"));

        let onion = Onion::parse(&packet).expect("a good onion");
        let secret = onion_secret(&key, Some(path_key), &onion);
        let peeled = onion.peel(&secret, b"", &mut scratch).expect("authentic");
        assert_eq!(peeled.payload, payloads[index]);
        match peeled.next {
            Some(next) => packet = next.packet().expect("a point"),
            None => assert_eq!(index, hops.len() - 1),
        }
    }
}
