use std::cell::{Cell, RefCell};

use bitcoin::hashes::Hash;
use bitcoin::{Network as Chain, Psbt, Transaction};
use quickcheck::{TestResult, quickcheck};
use secp256k1::{Message as Digest, SECP256K1, SecretKey};

use super::*;
use crate::address::NetAddr;
use crate::chain::{Feerates, Tip};
use crate::clock::{Clock, Mono, Wall};
use crate::command::{Command, Sink};
use crate::config::{Config, Network};
use crate::event::{BroadcastOutcome, ChainEvent, Cut, Direction, Event, Match};
use crate::ids::{BlockHeight, CommitmentSecret, ConnId, DialId, KeysIndex, NodeId, QueryId, RequestId};
use crate::request::Request;
use crate::signer::{CommitmentOf, KeysSigner, Signer, SignerState};
use crate::store::{Row, Table};
use crate::tx::KeyScope;

const CLOCK: Clock = Clock { mono: Mono(5), wall: Wall(1_700_000_000_000) };

fn header() -> Header {
    Header {
        build: BUILD_ID.to_owned(),
        network: Network::Regtest,
        node_id: NodeId([3; 33]),
        config_hash: config_hash(&Config::default_for(Network::Regtest)),
        run: Wall(9),
        sequence: 2,
        first_turn: 7,
        clock: CLOCK,
    }
}

fn signer() -> KeysSigner {
    KeysSigner::new([7; 64], Chain::Regtest, [8; 32])
}

fn transaction() -> Transaction {
    bitcoin::constants::genesis_block(Chain::Regtest).txdata[0].clone()
}

fn with_events(mut each: impl FnMut(&Event<'_>)) {
    let conn = ConnId { slot: 1, generation: 300 };
    let tip = Tip { height: BlockHeight(6), hash: bitcoin::BlockHash::from_byte_array([6; 32]) };
    let tx = transaction();
    let matches = [Match { index: 3, tx: &tx }, Match { index: 70_000, tx: &tx }];
    let rows =
        [Row { table: Table::Claim, key: b"key", value: b"" }, Row { table: Table::Node, key: b"", value: &[1] }];
    let address = || NetAddr::Dns("example.org".to_owned(), 9735);
    let dial = DialId(u64::MAX);
    let txid = tx.compute_txid();
    let rejected = BroadcastOutcome::Rejected { code: -26, reason: "no".to_owned() };
    let chain = [
        ChainEvent::Begin { tip },
        ChainEvent::BlockConnected { tip, time_s: 1, matches: &matches },
        ChainEvent::BlockDisconnected { tip },
        ChainEvent::Synced { height: tip.height },
        ChainEvent::Feerates(Feerates::default()),
        ChainEvent::Broadcast { txid, outcome: rejected },
        ChainEvent::Up,
        ChainEvent::Down { reason: "nobody there".to_owned() },
    ];
    let direction = Direction::Outbound { dial };
    let mut events = vec![
        Event::Deadline,
        Event::Idle,
        Event::Connected { conn, peer: NodeId([2; 33]), direction, address: address() },
        Event::DialFailed { dial, reason: "refused".to_owned() },
        Event::Received { conn, message: &[0; 1_500] },
        Event::WriteSpace { conn, free: u32::MAX },
        Event::Disconnected { conn, reason: Cut::Socket("reset".to_owned()) },
        Event::Request { id: RequestId(4), request: Request::SignMessage { message: "hi".to_owned() } },
        Event::RequestGone { id: RequestId(4) },
        Event::Loaded { query: QueryId(1), rows: &rows },
    ];
    events.extend(chain.map(Event::Chain));
    events.iter().for_each(&mut each);
}

/// A segment with one turn of all events.
fn segment() -> Vec<u8> {
    let mut tape = Tape::default();
    tape.segment(&header(), |out| out.extend_from_slice(b"snapshot"));
    tape.begin_turn(7, CLOCK);
    tape.start();
    tape.end_step(1);
    with_events(|event| {
        tape.event(event);
        tape.end_step(2);
    });
    assert!(tape.end_turn(u64::MAX) > 1);
    tape.begin_turn(8, CLOCK);
    assert_eq!(tape.end_turn(0), 0);
    tape.bytes().to_vec()
}

fn turn_of(bytes: &[u8]) -> RecordedTurn<'_> {
    let mut reader = FrameReader::new(bytes);
    while let Some(frame) = reader.next_frame().expect("undamaged") {
        if let Frame::Turn(body) = frame {
            return RecordedTurn::decode(body).expect("a turn");
        }
    }
    panic!("a turn was written")
}

#[test]
fn what_is_read_is_what_was_written() {
    let bytes = segment();
    let mut reader = FrameReader::new(&bytes);
    let Ok(Some(Frame::Header(body))) = reader.next_frame() else { panic!("a header is first") };
    let read = Header::decode(body).expect("a header");
    assert!(read == header() && read.is_of_this_build());
    assert_eq!(reader.next_frame(), Ok(Some(Frame::Snapshot(b"snapshot"))));
    assert!(matches!(reader.next_frame(), Ok(Some(Frame::Turn(_)))));
    assert_eq!(reader.next_frame(), Ok(None), "a turn without events leaves nothing");

    let turn = turn_of(&bytes);
    assert_eq!((turn.number, turn.clock, turn.digest), (7, CLOCK, Some(u64::MAX)));
    let mut steps = turn.steps.iter();
    assert!(steps.next().is_some_and(|step| step.event.with(|event| event.is_none()) && step.digest == Some(1)));
    with_events(|event| {
        let step = steps.next().expect("as many as were written");
        step.event.with(|read| assert_eq!(format!("{:?}", read.expect("an event")), format!("{event:?}")));
    });
    assert!(steps.next().is_none());
}

#[test]
fn each_flipped_bit_and_each_missing_end_is_found() {
    let bytes = segment();
    let frames = |bytes: &[u8]| {
        let mut reader = FrameReader::new(bytes);
        let mut count = 0;
        loop {
            match reader.next_frame() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return Ok(count),
                Err(damage) => return Err((count, damage.kind)),
            }
        }
    };
    assert_eq!(frames(&bytes), Ok(3));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(frames(&flipped).is_err(), "bit {bit}");
    }
    let mut whole = 0;
    for len in 0..bytes.len() {
        match frames(&bytes[..len]) {
            Ok(_) => whole += 1,
            Err((_, DamageKind::Truncated { present, expected })) => assert!(present < expected),
            Err(other) => panic!("cut at {len}: {other:?}"),
        }
    }
    assert_eq!(whole, 3, "only between frames nothing seems to be missing");
}

#[test]
fn behind_damage_the_next_segment_is_found() {
    let mut bytes = segment();
    let second = bytes.len();
    bytes.extend(segment());
    bytes[second - 20] ^= 1;
    let mut reader = FrameReader::new(&bytes);
    let damage = loop {
        match reader.next_frame() {
            Ok(frame) => assert!(frame.is_some()),
            Err(damage) => break damage,
        }
    };
    assert_eq!(damage.kind, DamageKind::Checksum);
    assert!(reader.skip_to_header());
    assert_eq!(reader.at(), second);
    assert!(!FrameReader::new(&bytes[second..]).skip_to_header(), "there is no third");
}

#[test]
fn another_format_or_build_says_so() {
    let mut tape = Tape::default();
    tape.segment(&Header { build: "0.0.9+feed".to_owned(), ..header() }, |_| {});
    let Ok(Some(Frame::Header(body))) = FrameReader::new(tape.bytes()).next_frame() else { panic!("a header") };
    assert!(!Header::decode(body).expect("it can be read").is_of_this_build());
    let mut other = body.to_vec();
    other[8] = 200;
    assert_eq!(Header::decode(&other), Err(HeaderError::Version { found: 200 }));
    assert!(HeaderError::Version { found: 200 }.to_string().contains("format 200"));
    assert_eq!(Header::decode(b"something else"), Err(HeaderError::NoRecording));
}

quickcheck! {
    fn junk_is_an_error_and_never_a_panic(bytes: Vec<u8>) -> bool {
        let _ = Header::decode(&bytes);
        let _ = RecordedTurn::decode(&bytes);
        let mut reader = FrameReader::new(&bytes);
        while let Ok(Some(_)) = reader.next_frame() {}
        let _ = reader.skip_to_header();
        true
    }

    fn a_damaged_turn_is_an_error_and_never_a_panic(at: usize, by: u8) -> TestResult {
        let bytes = segment();
        let mut reader = FrameReader::new(&bytes);
        let mut body = Vec::new();
        while let Ok(Some(frame)) = reader.next_frame() {
            if let Frame::Turn(turn) = frame {
                body = turn.to_vec();
            }
        }
        let at = at % body.len();
        body[at] ^= by;
        let _ = RecordedTurn::decode(&body);
        let _ = RecordedTurn::decode(&body[..at]);
        TestResult::passed()
    }
}

/// Asks what can be asked without a channel of two.
fn ask(signer: &mut dyn Signer) -> Vec<String> {
    let (keys, other) = (KeysIndex(4), KeysIndex(5));
    let point = SecretKey::from_slice(&[9; 32]).expect("a key").public_key(SECP256K1);
    let digest = Digest::from_digest([5; 32]);
    let peer = signer.channel_basepoints(other);
    let mut said = vec![format!("{peer:?}"), format!("{:?}", signer.per_commitment_point(keys, 3))];
    for (of, scope) in [
        (CommitmentOf::Local(3), KeyScope::BalancesAndHtlcs),
        (CommitmentOf::Remote(point), KeyScope::BalancesAndHtlcs),
        (CommitmentOf::Remote(point), KeyScope::Balances),
    ] {
        said.push(format!("{:?}", signer.commitment_keys(keys, of, &peer, scope)));
    }
    said.push(format!("{:?}", signer.release_secret(keys, 0)));
    signer.track(keys, SignerState { local_signed: 2, ..SignerState::default() });
    said.push(format!("{:?}", signer.state(keys)));
    said.push(format!("{:?}", signer.release_secret(keys, 0)));
    said.push(format!("{:?}{:?}", signer.local_signed(keys, 2), signer.local_signed(keys, 9)));
    said.push(format!("{:?}", signer.remote_revoked(keys, 0)));
    for (key, nodes) in [([9; 32], vec![point]), ([9; 32], vec![point, peer.htlc, point]), ([0; 32], vec![point])] {
        said.push(format!("{:?}", signer.onion_session(&key, &nodes)));
    }
    for secret in [CommitmentSecret([9; 32]), CommitmentSecret([8; 32])] {
        said.push(format!("{:?}", signer.check_secret(keys, 0, &secret, &point)));
    }
    said.push(format!("{:?}{:?}", signer.sign_announcement(keys, &digest), signer.sign_node(&digest)));
    said.push(format!("{:?}", signer.sign_recoverable(&digest)));
    said.push(format!("{:?}{:?}", signer.ecdh(&point), signer.draw()));
    said.push(format!("{:?}", signer.wallet_accounts()));
    let unsigned = Transaction { input: Vec::new(), ..transaction() };
    let mut psbt = Psbt::from_unsigned_tx(unsigned).expect("it is not signed");
    said.push(format!("{:?}{psbt:?}", signer.sign_psbt(&mut psbt)));
    signer.forget(keys);
    said.push(format!("{:?}{}", signer.state(keys), signer.node_id()));
    said
}

fn recorded(ask: impl FnOnce(&mut dyn Signer)) -> (Vec<u8>, u64) {
    let (tape, digest) = (RefCell::new(Tape::default()), Cell::new(Digester::default()));
    tape.borrow_mut().begin_turn(0, CLOCK);
    tape.borrow_mut().event(&Event::Idle);
    ask(&mut RecordingSigner::new(&mut signer(), &tape, &digest));
    let mut tape = tape.into_inner();
    tape.end_step(digest.get().finish());
    tape.end_turn(digest.get().finish());
    (tape.bytes().to_vec(), digest.get().finish())
}

#[test]
fn the_replay_answers_what_was_answered() {
    let mut said = Vec::new();
    let (bytes, digest) = recorded(|signer| said = ask(signer));
    assert_eq!(said, ask(&mut signer()), "the witness changes nothing");
    let turn = turn_of(&bytes);
    let again = Cell::new(Digester::default());
    let mut replay = ReplaySigner::new(signer().node_id(), &turn.steps[0].answers, &again);
    assert_eq!(ask(&mut replay), said);
    assert_eq!(replay.mismatch(), None);
    assert_eq!((again.get().finish(), turn.digest), (digest, Some(digest)));
}

#[test]
fn another_question_is_named() {
    let (bytes, _) = recorded(|signer| {
        signer.draw();
        let _ = signer.release_secret(KeysIndex(4), 11);
    });
    let turn = turn_of(&bytes);
    let digest = Cell::default();
    let mut replay = ReplaySigner::new(NodeId([2; 33]), &turn.steps[0].answers, &digest);
    assert_ne!(replay.draw(), [0; 32]);
    assert!(
        replay.mismatch().is_some_and(|mismatch| matches!(mismatch, Mismatch::Question { asked: None, .. })),
        "it should ask once more"
    );
    assert!(replay.release_secret(KeysIndex(4), 12).is_err());
    assert_eq!(replay.draw(), [0; 32], "from here on nothing is of worth");
    let text = replay.mismatch().expect("it asked otherwise").to_string();
    assert_eq!(
        text,
        "the signer is asked for ReleaseSecret of channel keys 4, commitment 12 where the recorded run asked for \
         ReleaseSecret of channel keys 4, commitment 11"
    );
}

#[test]
fn a_wrong_answer_is_found_by_who_looks() {
    let (secret, other) = (CommitmentSecret([9; 32]), CommitmentSecret([8; 32]));
    let point = SecretKey::from_slice(&secret.0).expect("a key").public_key(SECP256K1);
    let (bytes, _) = recorded(|signer| assert!(signer.check_secret(KeysIndex(4), 11, &secret, &point)));
    let turn = turn_of(&bytes);
    let digest = Cell::default();
    for (asked, verifies, held) in [(&secret, true, true), (&other, false, true), (&other, true, false)] {
        let replay = ReplaySigner::new(NodeId([2; 33]), &turn.steps[0].answers, &digest);
        let mut replay = replay.verifying(verifies);
        assert_eq!(replay.check_secret(KeysIndex(4), 11, asked, &point), held);
        assert_eq!(replay.mismatch().is_none(), held);
    }
}

struct Value;

impl crate::store::StoreValue for Value {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"value");
    }
}

struct Kept(Vec<Vec<u8>>);

impl Sink for Kept {
    fn emit(&mut self, command: Command<'_>) {
        let mut bytes = Vec::new();
        command_bytes(&command, &mut bytes);
        self.0.push(bytes);
    }
}

#[test]
fn each_command_counts_and_goes_on_unchanged() {
    let mut seen = std::collections::BTreeSet::new();
    let row = Value;
    let ping = crate::wire::Ping { num_pong_bytes: 1, ignored: &[] }.into();
    let conn = ConnId { slot: 0, generation: 1 };
    let commands = [
        Command::Send { conn, message: &ping },
        Command::Send { conn: ConnId { slot: 1, ..conn }, message: &ping },
        Command::Put { table: Table::Node, key: &[0], value: &row },
        Command::Put { table: Table::Node, key: &[1], value: &row },
        Command::Delete { table: Table::Node, key: &[1] },
        Command::Broadcast { tx: &transaction(), purpose: "a test" },
        Command::Stop,
    ];
    for command in commands {
        let (digest, mut scratch) = (Cell::new(Digester::default()), Vec::new());
        let mut kept = Kept(Vec::new());
        let mut plain = Vec::new();
        command_bytes(&command, &mut plain);
        DigestSink::new(&digest, &mut scratch, &mut kept).emit(command);
        assert_eq!(kept.0, [plain]);
        assert!(seen.insert(digest.get().finish()));
    }
}

#[test]
fn a_digest_depends_on_every_byte_and_on_the_order() {
    let digest = |parts: &[&[u8]]| {
        let mut digester = Digester::default();
        parts.iter().for_each(|part| digester.bytes(part));
        digester.finish()
    };
    assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    assert_ne!(digest(&[b"a", b"b"]), digest(&[b"b", b"a"]));
    assert_ne!(digest(&[b""]), digest(&[]));
    assert_ne!(digest(&[&[0; 16]]), digest(&[&[0; 17]]));
    let mut seen = std::collections::BTreeSet::new();
    for at in 0..100 {
        for bit in 0..8 {
            let mut bytes = [0u8; 100];
            bytes[at] = 1 << bit;
            assert!(seen.insert(digest(&[&bytes])));
        }
    }
}
