//! Gossip: queries against the specification's vectors, addresses, what is signed and summed.

use secp256k1::{SECP256K1, SecretKey};
use serde_json::Value;

use super::super::address::{self, AddressFault, Addresses, Descriptor};
use super::super::codec::Eof;
use super::super::query::{self, ArrayError, OfBoth, Query, QueryFlags, Reply};
use super::super::{gossip, *};
use crate::address::NetAddr;
use crate::amount::Msat;
use crate::ids::{ChainHash, NodeId, ShortChannelId, Sig};
use crate::vectors::{cases, hex};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |list| list)
}

fn scids(fields: &Value) -> Vec<ShortChannelId> {
    let scid = |text: &Value| text.as_str().and_then(|text| text.parse().ok()).expect("a short channel id");
    list(&fields["short_channel_ids"]).iter().map(scid).collect()
}

fn of_both(field: &Value) -> Option<Vec<OfBoth>> {
    let pair = |pair: &Value| OfBoth { node_1: number(&pair[0]) as u32, node_2: number(&pair[1]) as u32 };
    field.as_array().map(|pairs| pairs.iter().map(pair).collect())
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut Cursor::new(&mut bytes)).expect("it has the length that it says");
    bytes
}

/// Compares a query with the fields of its case, and makes it again from them; the message that was made.
fn check(message: &Message<'_>, fields: &Value) -> Result<Vec<u8>, ArrayError> {
    let chain_hash = ChainHash(hex(&fields["chain_hash"]).try_into().expect("32 bytes"));
    let field = |name: &str| number(&fields[name]) as u32;
    let (mut ids, mut more, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    query::encode_array(scids(fields).into_iter(), &mut ids);
    let made = match message {
        Message::QueryChannelRange(_) => Message::from(QueryChannelRange {
            chain_hash,
            first_blocknum: field("first_blocknum"),
            number_of_blocks: field("number_of_blocks"),
            query_option: fields["query_option_flags"].as_u64().map(BigSize),
        }),
        Message::ReplyChannelRange(reply) => {
            let read = Reply::of(reply)?;
            assert_eq!(read.ids.iter().collect::<Vec<_>>(), scids(fields));
            assert_eq!((read.ids.len(), read.ids.is_empty()), (scids(fields).len(), false));
            let (timestamps, checksums) = (of_both(&fields["timestamps"]), of_both(&fields["checksums"]));
            assert_eq!(read.timestamps.map(|all| all.iter().collect::<Vec<_>>()), timestamps);
            assert_eq!(read.checksums.map(|all| all.iter().collect::<Vec<_>>()), checksums);
            let (stamped, summed) = (timestamps.is_some(), checksums.is_some());
            query::encode_array(timestamps.into_iter().flatten(), &mut more);
            query::encode_checksums(checksums.into_iter().flatten(), &mut sums);
            Message::from(ReplyChannelRange {
                chain_hash,
                first_blocknum: field("first_blocknum"),
                number_of_blocks: field("number_of_blocks"),
                sync_complete: field("sync_complete") as u8,
                encoded_short_ids: &ids,
                timestamps: stamped.then_some(Rest(&more)),
                checksums: summed.then_some(Rest(&sums)),
            })
        }
        Message::QueryShortChannelIds(asked) => {
            let read: Vec<_> = Query::of(asked)?.iter().collect();
            let flags = fields["query_flags"].as_array();
            let flags: Option<Vec<QueryFlags>> =
                flags.map(|flags| flags.iter().map(|bits| QueryFlags(number(bits))).collect());
            let wanted = flags.clone().unwrap_or(vec![QueryFlags::ALL; scids(fields).len()]);
            assert_eq!(read, scids(fields).into_iter().zip(wanted).collect::<Vec<_>>());
            let flagged = flags.is_some();
            query::encode_flags(flags.into_iter().flatten(), &mut more);
            Message::from(QueryShortChannelIds {
                chain_hash,
                encoded_short_ids: &ids,
                query_flags: flagged.then_some(Rest(&more)),
            })
        }
        other => panic!("{} is no query", other.name()),
    };
    Ok(encoded(&made))
}

#[test]
fn query_vectors() {
    for case in cases("bolt07/gossip-queries") {
        let bytes = hex(&case["hex"]);
        let message = Message::decode(&bytes).expect("zlib or not, the frame is sound");
        assert_eq!(
            (u64::from(message.message_type()), Some(message.name())),
            (number(&case["type"]), case["type_name"].as_str())
        );
        assert_eq!(encoded(&message), bytes, "{} is written as it came", case["id"]);
        let made = check(&message, &case["fields"]);
        // The same document forbids the encoding that half of its vectors use.
        let expected = if case["uses_zlib"] == true { Err(ArrayError::Zlib) } else { Ok(bytes) };
        assert_eq!(made, expected, "{}", case["id"]);
    }
}

#[test]
fn arrays_that_are_refused() {
    let ids = |ids: &[u64]| {
        let mut bytes = Vec::new();
        query::encode_array(ids.iter().copied().map(ShortChannelId), &mut bytes);
        bytes
    };
    assert_eq!(query::short_ids(&ids(&[])).expect("no channel in these blocks").len(), 0);
    assert_eq!(query::short_ids(&[]), Err(ArrayError::NoEncoding));
    assert_eq!(query::short_ids(&[1, 0x78]), Err(ArrayError::Zlib));
    assert_eq!(query::short_ids(&[2]), Err(ArrayError::UnknownEncoding { encoding: 2 }));
    assert_eq!(query::short_ids(&ids(&[1])[..8]), Err(ArrayError::Partial { bytes: 7 }));
    assert_eq!(query::short_ids(&ids(&[1, 3, 3])), Err(ArrayError::Order { index: 2 }));

    let asked = |flags: &'static [u8], ids: &[u8]| {
        let query_flags = Some(Rest(flags));
        let message = QueryShortChannelIds { chain_hash: ChainHash([0; 32]), encoded_short_ids: ids, query_flags };
        Query::of(&message).map(|query| query.iter().map(|(_, flags)| flags.0).collect::<Vec<_>>())
    };
    assert_eq!(asked(&[0, 0xfd, 1, 0, 31], &ids(&[1, 2])), Ok(vec![256, 31]));
    assert_eq!(asked(&[0, 1], &ids(&[1, 2])), Err(ArrayError::Count { ids: 2, items: 1 }));
    assert_eq!(asked(&[0, 1, 1, 1], &ids(&[1, 2])), Err(ArrayError::Count { ids: 2, items: 3 }));
    assert_eq!(asked(&[0, 1, 0xfd, 0, 1], &ids(&[1, 2])), Err(ArrayError::BadFlag { index: 1 }), "not minimal");
    assert_eq!(asked(&[1, 1], &ids(&[1])), Err(ArrayError::Zlib));

    let one = ids(&[1]);
    let reply = |timestamps: Option<&'static [u8]>, checksums: Option<&'static [u8]>| {
        Reply::of(&ReplyChannelRange {
            chain_hash: ChainHash([0; 32]),
            first_blocknum: 0,
            number_of_blocks: 1,
            sync_complete: 1,
            encoded_short_ids: &one,
            timestamps: timestamps.map(Rest),
            checksums: checksums.map(Rest),
        })
        .map(|_| ())
    };
    assert_eq!(reply(Some(&[0, 1, 1, 1, 1, 2, 2, 2, 2]), Some(&[0; 8])), Ok(()));
    assert_eq!(reply(Some(&[0]), None), Err(ArrayError::Count { ids: 1, items: 0 }));
    assert_eq!(reply(None, Some(&[0; 9])), Err(ArrayError::Partial { bytes: 9 }));
    assert_eq!(reply(Some(&[]), None), Err(ArrayError::NoEncoding));

    let flags = QueryFlags(0b0_1010);
    let wanted = [flags.announcement(), flags.update_1(), flags.update_2(), flags.node_1(), flags.node_2()];
    assert_eq!(wanted, [false, true, false, true, false]);
}

#[test]
fn a_node_tells_where_it_is() {
    let (ip4, ip6) = (NetAddr::Ip4([1, 2, 3, 4], 9735), NetAddr::Ip6([6; 16], 9736));
    let (tor, dns) = (NetAddr::Tor3([8; 35], 9737), NetAddr::Dns("node.example".into(), 9738));
    let unreachable = NetAddr::Ip4([9; 4], 0);
    let second = NetAddr::Dns("another.example".into(), 1);
    let mut bytes = Vec::new();
    address::write_all(&[dns.clone(), tor.clone(), unreachable, second, ip6.clone(), ip4.clone()], &mut bytes);
    let dialable = |bytes: &[u8]| -> Vec<NetAddr> {
        Addresses::new(bytes).map_while(Result::ok).filter_map(|descriptor| descriptor.dialable()).collect()
    };
    assert_eq!(dialable(&bytes), [ip4.clone(), ip6, tor, dns], "ascending, reachable, and one host name");
    assert_eq!(address::check(&bytes), Ok(()));

    // Behind a type that is not known nothing can be read; the address of the dead network is passed over.
    let tor2 = [&[3][..], &[7; 12]].concat();
    let known = [&tor2[..], &[1, 1, 2, 3, 4, 0x26, 0x07]].concat();
    assert_eq!(dialable(&[&known[..], &[77, 1, 2], &bytes].concat()), std::slice::from_ref(&ip4));
    assert_eq!(address::check(&[&known[..], &[77]].concat()), Ok(()));
    assert_eq!(Addresses::new(&tor2).next(), Some(Ok(Descriptor::Obsolete)));
    for len in [1, 5, 12] {
        assert_eq!(address::check(&tor2[..len]), Err(AddressFault::Truncated));
        let mut cut = Addresses::new(&tor2[..len]);
        assert_eq!((cut.next(), cut.next()), (Some(Err(Eof)), None));
    }
    let name = [&[5, 1][..], b"a", &[1, 1]].concat();
    assert_eq!(address::check(&[&name[..], &name].concat()), Err(AddressFault::SecondHostName));
    assert_eq!(dialable(&[&[5, 2][..], "ä".as_bytes(), &[1, 1]].concat()), [], "host names are ASCII");
    assert_eq!(dialable(&[1, 1, 2, 3, 4, 0, 0]), [], "port 0 is none");

    assert_eq!(address::read_one(&known[13..]), Some(ip4));
    assert_eq!(address::read_one(&known), None, "two are not one");
    let long = NetAddr::Dns("x".repeat(256), 1);
    assert!(address::write(&long, &mut Cursor::new(&mut [0; 300])).is_err());
}

fn update<'a>(trailing: &'a [u8]) -> ChannelUpdate<'a> {
    ChannelUpdate {
        signature: Sig([0; 64]),
        chain_hash: ChainHash([1; 32]),
        short_channel_id: ShortChannelId(2),
        timestamp: 3,
        message_flags: 1,
        channel_flags: 1,
        cltv_expiry_delta: 40,
        htlc_minimum_msat: Msat(1),
        fee_base_msat: 1_000,
        fee_proportional_millionths: 10,
        htlc_maximum_msat: Msat(1_000_000),
        trailing: Trailing(trailing),
    }
}

#[test]
fn what_a_gossip_message_signs_begins_behind_its_signatures() {
    let key = SecretKey::from_slice(&[5; 32]).expect("in range");
    for trailing in [&[][..], &[201, 1, 7]] {
        let mut update = update(trailing);
        let signature = SECP256K1.sign_ecdsa(&update.digest(), &key);
        update.signature = signature.into();
        let mut frame = encoded(&Message::from(update.clone()));
        let digest = gossip::digest(&frame).expect("an update");
        assert_eq!(digest, update.digest(), "the signature itself is not signed");
        assert!(SECP256K1.verify_ecdsa(&digest, &signature, &key.public_key(SECP256K1)).is_ok());
        let last = frame.len() - 1;
        frame[last] ^= 1;
        assert_ne!(gossip::digest(&frame), Some(digest), "what nobody knows is signed too");
    }
    // BOLT 7: a channel's announcement has four signatures in front, a node's has one.
    for (message_type, signatures) in [(256u16, 4), (257, 1), (258, 1)] {
        let mut frame = [&message_type.to_be_bytes()[..], &vec![0; signatures * 64], b"what is signed"].concat();
        let digest = gossip::digest(&frame);
        assert!(digest.is_some());
        let first_signed = 2 + signatures * 64;
        frame[first_signed - 1] ^= 1;
        assert_eq!(gossip::digest(&frame), digest);
        frame[first_signed] ^= 1;
        assert_ne!(gossip::digest(&frame), digest);
        assert_eq!(gossip::digest(&frame[..first_signed - 1]), None, "cut within a signature");
    }
    assert_eq!(gossip::digest(&[0, 16, 0, 0]), None, "not gossip");
    assert_eq!(gossip::digest(&[1]), None);
}

#[test]
fn a_checksum_tells_whether_an_update_says_something_new() {
    let sum = |update: ChannelUpdate<'_>| gossip::checksum(&encoded(&Message::from(update))).expect("an update");
    let old = update(&[]);
    assert_eq!(sum(ChannelUpdate { signature: Sig([9; 64]), timestamp: 99, ..old.clone() }), sum(old.clone()));
    assert_ne!(sum(ChannelUpdate { fee_base_msat: 1_001, ..old.clone() }), sum(old.clone()));
    assert_ne!(sum(update(&[201, 0])), sum(old.clone()));
    let frame = encoded(&Message::from(old));
    // Both parts in one, so that the seam between them is right.
    assert_eq!(gossip::checksum(&frame), Some(crc32c::crc32c(&[&frame[66..106], &frame[110..]].concat())));
    assert_eq!((gossip::checksum(&frame[..109]), gossip::checksum(&[1, 1])), (None, None));
}

#[test]
fn a_node_announcement_keeps_what_it_cannot_read() {
    let addresses = [1, 1, 2, 3, 4, 0x26, 0x07, 99, 1, 2];
    let announcement = NodeAnnouncement {
        signature: Sig([1; 64]),
        features: &[0x80],
        timestamp: 7,
        node_id: NodeId([2; 33]),
        rgb_color: [1, 2, 3],
        alias: [b'a'; 32],
        addresses: &addresses,
        trailing: Trailing(&[1, 1, 0]),
    };
    let frame = encoded(&Message::from(announcement.clone()));
    assert_eq!(Message::decode(&frame), Ok(Message::from(announcement)));
}
