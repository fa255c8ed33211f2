//! Whatever bytes a peer sends: no decoder falls over, and what is read is written so that it is read again.

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::super::address::{self, Addresses};
use super::super::query::{Query, Reply};
use super::super::{gossip, *};

/// A message of a type with nothing but zeros in it: the shortest body that is taken.
fn shortest(message_type: u16) -> Vec<u8> {
    let mut bytes = message_type.to_be_bytes().to_vec();
    while Message::decode(&bytes).is_err() {
        bytes.push(0);
        assert!(bytes.len() < 2_000, "type {message_type} has no shortest form");
    }
    bytes
}

/// One thing that happens to the bytes of a message on its way.
#[derive(Clone, Debug)]
enum Change {
    /// A byte is another one.
    Set { at: usize, byte: u8 },
    /// Bytes come in between, such as those that a length promises.
    Insert { at: usize, bytes: Vec<u8> },
    /// The rest is missing.
    Cut { at: usize },
    /// A record stands at the end.
    Record { kind: u64, len: usize, byte: u8 },
    /// A `u16` length, somewhere, and as many bytes behind it.
    Length { at: usize, len: u8 },
}

impl Arbitrary for Change {
    fn arbitrary(g: &mut Gen) -> Change {
        let at = usize::from(u16::arbitrary(g));
        match u8::arbitrary(g) % 8 {
            0 | 1 => Change::Set { at, byte: u8::arbitrary(g) },
            2 => Change::Insert { at, bytes: Vec::arbitrary(g) },
            3 => Change::Cut { at },
            4 => Change::Length { at, len: u8::arbitrary(g) },
            _ => {
                // The lengths of points, signatures, hashes, numbers; and others.
                let lens = [0, 1, 2, 8, 16, 32, 33, 64, usize::from(u8::arbitrary(g))];
                let len = *g.choose(&lens).expect("there are lengths");
                Change::Record { kind: u64::arbitrary(g) % 8, len, byte: u8::arbitrary(g) % 4 }
            }
        }
    }
}

/// Type and body survive every change at the front, so that most of the changed messages are still of their type.
fn change(bytes: &mut Vec<u8>, change: &Change) {
    let body = bytes.len() - 2;
    let within = |at: usize| 2 + at % (body + 1);
    match change {
        Change::Set { at, byte } => {
            if let Some(slot) = bytes.get_mut(within(*at)) {
                *slot = *byte;
            }
        }
        Change::Insert { at, bytes: more } => drop(bytes.splice(within(*at)..within(*at), more.iter().copied())),
        Change::Cut { at } => bytes.truncate(within(*at)),
        Change::Record { kind, len, byte } => tlv::push_record(*kind, &vec![*byte; *len], bytes),
        Change::Length { at, len } => {
            let at = within(*at);
            if let Some(slot) = bytes.get_mut(at..at + 2) {
                slot.copy_from_slice(&u16::from(*len).to_be_bytes());
                bytes.splice(at + 2..at + 2, vec![1; usize::from(*len)]);
            }
        }
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    let mut out = Cursor::new(&mut bytes);
    message.encode(&mut out).expect("a message takes no more than it says");
    assert_eq!(out.position(), message.encoded_len(), "nor less");
    bytes
}

/// Everything that is read lazily, out of a message that was taken.
fn look_inside(frame: &[u8], message: &Message<'_>) {
    let _ = (gossip::digest(frame), gossip::checksum(frame));
    match message {
        Message::QueryShortChannelIds(query) => drop(Query::of(query).map(|query| query.iter().count())),
        Message::ReplyChannelRange(reply) => drop(Reply::of(reply).map(|reply| reply.ids.iter().count())),
        Message::NodeAnnouncement(node) => {
            let _ = address::check(node.addresses);
            Addresses::new(node.addresses).flatten().for_each(|descriptor| drop(descriptor.dialable()));
        }
        Message::CommitmentSigned(signed) => {
            assert_eq!(signed.htlc_signatures.iter().count(), signed.htlc_signatures.len());
        }
        Message::TxSignatures(signed) => {
            assert_eq!(signed.witnesses.iter().count(), usize::from(signed.witnesses.count));
        }
        Message::Init(init) => {
            let _ = init.remote_addr.map(|Rest(bytes)| address::read_one(bytes));
            let _ = Features::from_wire(init.features);
        }
        _ => {}
    }
}

/// Was it taken? If so, what was read is written, and read again as the same.
fn survives(frame: &[u8]) -> bool {
    let Ok(message) = Message::decode(frame) else { return false };
    look_inside(frame, &message);
    let written = encoded(&message);
    assert!(written.len() <= frame.len(), "only what nobody knows is left out");
    let again = Message::decode(&written).expect("what we write we read");
    assert_eq!(again, message);
    assert_eq!(encoded(&again), written);
    true
}

#[test]
fn every_message_has_a_shortest_form_and_is_refused_when_cut() {
    for (message_type, name) in MESSAGE_TYPES {
        let frame = shortest(*message_type);
        assert!(survives(&frame), "{name}");
        let message = Message::decode(&frame).expect("it was found so");
        assert_eq!((message.name(), message.message_type()), (*name, *message_type));
        assert_eq!(encoded(&message), frame, "{name} has nothing that nobody knows");
        for len in 0..frame.len() {
            assert!(!survives(&frame[..len]), "{name} cut to {len} bytes");
        }
        // An unknown odd record behind it is taken, an even one is not, a second of the same type neither.
        let with = |kinds: &[u64]| {
            let mut frame = frame.clone();
            kinds.iter().for_each(|kind| tlv::push_record(*kind, b"new", &mut frame));
            survives(&frame)
        };
        assert_eq!((with(&[65_537]), with(&[65_536]), with(&[65_537, 65_537])), (true, false, false), "{name}");
    }
}

#[test]
fn known_records_are_reached_by_the_changes() {
    // The property below would prove little if its changes made nothing but refusals.
    let mut records = shortest(UpdateAddHtlc::TYPE);
    change(&mut records, &Change::Record { kind: 0, len: 33, byte: 2 });
    assert!(matches!(Message::decode(&records), Ok(Message::UpdateAddHtlc(add)) if add.blinded_path.is_some()));
    let mut fields = shortest(Warning::TYPE);
    change(&mut fields, &Change::Length { at: 32, len: 200 });
    assert!(matches!(Message::decode(&fields), Ok(Message::Warning(warning)) if warning.data.len() == 200));
}

quickcheck! {
    fn changed_messages_are_read_stably_or_refused(changes: Vec<Change>) -> bool {
        for (message_type, _) in MESSAGE_TYPES {
            let mut frame = shortest(*message_type);
            survives(&frame);
            for step in changes.iter().take(6) {
                change(&mut frame, step);
                survives(&frame);
            }
        }
        true
    }

    fn random_bodies_are_read_stably_or_refused(body: Vec<u8>) -> bool {
        for (message_type, _) in MESSAGE_TYPES {
            survives(&[&message_type.to_be_bytes()[..], &body].concat());
            // Long enough for every field, and the random bytes where the records begin.
            let mut frame = shortest(*message_type);
            frame.extend_from_slice(&body);
            survives(&frame);
        }
        true
    }

    fn random_frames_are_read_stably_or_refused(frame: Vec<u8>) -> bool {
        survives(&frame);
        true
    }
}
