use std::cell::{Cell, RefCell};

use leyden_core::address::NetAddr;
use leyden_core::amount::Msat;
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::{Command, Level, Sink};
use leyden_core::config::{Config, Network};
use leyden_core::event::{Direction, Event};
use leyden_core::ids::{ConnId, DialId, NodeId, RequestId};
use leyden_core::node::{Boot, Node};
use leyden_core::recording::{BUILD_ID, DigestSink, Digester, Header, Mismatch, RecordingSigner, Tape};
use leyden_core::request::Request;
use leyden_core::request::invoice::{CreateInvoice, ExposePrivate, WantedProof};
use leyden_core::signer::{KeysSigner, Signer};

use super::timeline::{Collector, Kind, merge};
use super::*;

struct Nowhere;

impl Sink for Nowhere {
    fn emit(&mut self, _: Command<'_>) {}
}

/// A node with a recorder.
struct Recorded {
    node: Node,
    signer: KeysSigner,
    tape: RefCell<Tape>,
    digest: Cell<Digester>,
    turn: u64,
    segments: u32,
    start_ms: u64,
}

impl Recorded {
    fn new(seed: u8, start_ms: u64) -> Recorded {
        let mut signer = KeysSigner::new([seed; 64], bitcoin::Network::Regtest, [seed; 32]);
        let clock = Clock { mono: Mono(0), wall: Wall(start_ms) };
        let boot = Boot { config: Config::default_for(Network::Regtest), rng_seed: [seed; 32], clock };
        let node = Node::restore(boot, std::iter::empty(), &mut signer).expect("no rows are no trouble");
        let (tape, digest) = (RefCell::default(), Cell::default());
        let mut recorded = Recorded { node, signer, tape, digest, turn: 0, segments: 0, start_ms };
        recorded.segment(BUILD_ID);
        recorded
    }

    fn clock(&self) -> Clock {
        Clock { mono: Mono(self.turn * 10), wall: Wall(self.start_ms + self.turn * 10) }
    }

    fn segment(&mut self, build: &str) {
        let header = Header {
            build: build.to_owned(),
            network: Network::Regtest,
            node_id: self.node.id(),
            config_hash: 0,
            run: Wall(self.start_ms),
            sequence: self.segments,
            first_turn: self.turn,
            clock: self.clock(),
        };
        self.segments += 1;
        self.tape.get_mut().segment(&header, |out| self.node.snapshot(out));
    }

    /// A turn; `None` is the start.
    fn turn(&mut self, events: Vec<Option<Event<'_>>>) {
        let clock = self.clock();
        self.digest.set(Digester::default());
        self.tape.borrow_mut().begin_turn(self.turn, clock);
        for event in events {
            match &event {
                Some(event) => self.tape.borrow_mut().event(event),
                None => self.tape.borrow_mut().start(),
            }
            let mut signer = RecordingSigner::new(&mut self.signer, &self.tape, &self.digest);
            let (mut scratch, mut nowhere) = (Vec::new(), Nowhere);
            let mut sink = DigestSink::new(&self.digest, &mut scratch, &mut nowhere);
            match event {
                Some(event) => self.node.step(clock, event, &mut signer, &mut sink),
                None => self.node.start(clock, &mut signer, &mut sink),
            }
            self.tape.borrow_mut().end_step(self.digest.get().finish());
        }
        self.tape.borrow_mut().end_turn(self.digest.get().finish());
        self.turn += 1;
    }

    fn bytes(&self) -> Vec<u8> {
        self.tape.borrow().bytes().to_vec()
    }
}

fn invoice<'a>(label: &str) -> Option<Event<'a>> {
    let create = CreateInvoice {
        amount_msat: Some(Msat(1_000)),
        label: label.to_owned(),
        description: "tea".to_owned(),
        expiry_s: 3_600,
        fallbacks: Vec::new(),
        proof: WantedProof::Fresh,
        expose: ExposePrivate::Auto,
        cltv: None,
        description_hash_only: false,
    };
    Some(Event::Request { id: RequestId(7), request: Request::Invoice(Box::new(create)) })
}

fn connected<'a>(peer: NodeId) -> Option<Event<'a>> {
    let conn = ConnId { slot: 0, generation: 1 };
    let direction = Direction::Outbound { dial: DialId(1) };
    Some(Event::Connected { conn, peer, direction, address: NetAddr::Ip4([127, 0, 0, 1], 9735) })
}

/// Two segments: the start, invoices, and a peer that says nothing of sense.
fn recording() -> Vec<u8> {
    let mut recorded = Recorded::new(1, 1_700_000_000_000);
    let peer = KeysSigner::new([9; 64], bitcoin::Network::Regtest, [9; 32]).node_id();
    recorded.turn(vec![None]);
    recorded.turn(vec![invoice("first"), invoice("second")]);
    recorded.segment(BUILD_ID);
    recorded.turn(vec![connected(peer)]);
    let message: &[u8] = &[0, 18, 0];
    recorded.turn(vec![
        Some(Event::Received { conn: ConnId { slot: 0, generation: 1 }, message }),
        invoice("third"),
        invoice("third"),
    ]);
    recorded.bytes()
}

fn replayed(bytes: &[u8]) -> (Result<(u64, u64), Divergence>, Vec<String>) {
    let mut complaints = Vec::new();
    let sources = [Source { name: "file", bytes }];
    let runs = runs(&sources, |complaint| complaints.push(complaint));
    let Some(run) = runs.first() else { return (Ok((0, 0)), complaints) };
    let mut replay = Replay::new(run);
    loop {
        match replay.next_turn() {
            Ok(Some(turn)) => match replay.take(&turn, &mut Nobody) {
                Ok(Ok(())) => {}
                Ok(Err(divergence)) => return (Err(*divergence), complaints),
                Err(obstacle) => {
                    complaints.push(obstacle.to_string());
                    replay.skip_segment();
                }
            },
            Ok(None) => return (Ok(replay.counted), complaints),
            Err((_, obstacle)) => complaints.push(obstacle.to_string()),
        }
    }
}

#[test]
fn the_same_node_does_the_same_again() {
    assert_eq!(replayed(&recording()), (Ok((4, 7)), vec![]));
}

/// Where a turn's bytes lie within a file that holds them once.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).expect("it is in there")
}

/// Changes what a recording says, with checksums that fit.
fn forged(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let at = find(&bytes, from);
    bytes[at..at + to.len()].copy_from_slice(to);
    let mut frame = 0;
    while frame < bytes.len() {
        let len = u32::from_le_bytes(bytes[frame + 1..frame + 5].try_into().expect("four bytes")) as usize;
        let end = frame + 5 + len;
        let checksum = crc32c::crc32c(&bytes[frame..end]).to_le_bytes();
        bytes[end..end + 4].copy_from_slice(&checksum);
        frame = end + 4;
    }
    bytes
}

#[test]
fn the_first_other_command_is_named() {
    // The request came with another label than the recorded run had: its rows and its answer differ.
    let (result, _) = replayed(&forged(&recording(), b"second", b"sEcond"));
    let divergence = result.expect_err("it commands otherwise");
    assert_eq!(divergence.at, At { turn: 1, step: 1 });
    assert_eq!(divergence.reason, Reason::Commands);
    assert!(divergence.event.contains("sEcond"));
    assert!(divergence.commands.iter().any(|command| command.contains("put Invoice")), "{divergence}");
    assert!(divergence.commands.iter().any(|command| command.contains("reply to request 7")), "{divergence}");
}

#[test]
fn another_question_is_named() {
    // A label that exists already draws no preimage.
    let (result, _) = replayed(&forged(&recording(), b"second", b"first\0"));
    assert!(result.is_err());
    let (result, _) = replayed(&forged(&recording(), b"third", b"first"));
    let divergence = result.expect_err("it asks otherwise");
    assert_eq!(divergence.at, At { turn: 3, step: 1 });
    let Reason::Question(mismatch) = divergence.reason else { panic!("{divergence}") };
    assert!(matches!(mismatch, Mismatch::Question { asked: None, recorded: Some(_) }), "{mismatch}");
}

#[test]
fn damage_costs_what_is_behind_it_and_no_more() {
    let whole = recording();
    let second = find(&whole[20..], b"LEYDNREC") + 20 - 5;
    // Cut off in the last turn.
    let (result, complaints) = replayed(&whole[..whole.len() - 1]);
    assert_eq!(result, Ok((3, 4)));
    assert!(complaints[0].contains("cut off"), "{complaints:?}");
    // A bit in the last turn of the first segment: the second begins anew.
    let mut flipped = whole.clone();
    flipped[second - 30] ^= 1;
    let (result, complaints) = replayed(&flipped);
    assert_eq!(result, Ok((3, 5)));
    assert!(complaints.iter().any(|text| text.contains("checksum")), "{complaints:?}");
    assert!(complaints.iter().any(|text| text.contains("goes on at byte")), "{complaints:?}");
    // No recording at all.
    let (_, complaints) = replayed(b"\x01what is this?");
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    let (_, complaints) = replayed(b"what is this?");
    assert!(complaints[0].contains("no recording"), "{complaints:?}");
}

#[test]
fn another_build_may_replay_and_a_gap_is_seen() {
    let mut recorded = Recorded::new(1, 5);
    recorded.tape = RefCell::default();
    recorded.segment("0.0.1+older");
    recorded.turn(vec![None]);
    recorded.turn += 1;
    recorded.turn(vec![invoice("late")]);
    let (result, complaints) = replayed(&recorded.bytes());
    assert_eq!(result, Ok((1, 1)));
    assert!(complaints[0].contains("turn 1 should come, and turn 2 comes"), "{complaints:?}");
    let bytes = recorded.bytes();
    let sources = [Source { name: "file", bytes: &bytes }];
    let runs = runs(&sources, |complaint| panic!("{complaint}"));
    assert!(!runs[0].segments[0].header.is_of_this_build());
}

#[test]
fn files_of_one_run_are_put_together_in_order_and_once() {
    let whole = recording();
    let second = find(&whole[20..], b"LEYDNREC") + 20 - 5;
    let (first, last) = whole.split_at(second);
    let sources =
        [Source { name: "c", bytes: last }, Source { name: "a", bytes: first }, Source { name: "copy", bytes: &whole }];
    let runs = runs(&sources, |complaint| panic!("{complaint}"));
    assert_eq!(runs.len(), 1);
    let turns: Vec<usize> = runs[0].segments.iter().map(|segment| segment.turns.len()).collect();
    assert_eq!(turns, [2, 2]);
    assert_eq!(text::time(runs[0].last_wall()), "2023-11-14T22:13:20.030Z");
}

#[test]
fn state_and_explanation() {
    let bytes = recording();
    let sources = [Source { name: "file", bytes: &bytes }];
    let runs = runs(&sources, |complaint| panic!("{complaint}"));
    let (mut replay, mut rows) = (Replay::new(&runs[0]), Rows::default());
    let mut invoices = Vec::new();
    while let Ok(Some(turn)) = replay.next_turn() {
        replay.take(&turn, &mut rows).expect("no obstacle").expect("no divergence");
        let node = replay.node().expect("it runs");
        let text = ask(node, &rows, Network::Regtest, replay.clock(), method_of("invoice"), "{}").expect("an answer");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        invoices.push(json["invoices"].as_array().expect("a list").clone());
    }
    let counts: Vec<usize> = invoices.iter().map(Vec::len).collect();
    assert_eq!(counts, [0, 2, 2, 3]);
    let node = replay.node().expect("it ran");
    assert!(ask(node, &rows, Network::Regtest, replay.clock(), "nonsense", "{}").is_err());

    let hash = invoices[3][2]["payment_hash"].as_str().expect("a hash");
    let mut subject = Subject::parse(hash).expect("a hash");
    let (found, divergence) = explain(&runs[0], &mut subject, u64::MAX);
    assert_eq!(divergence, None);
    let [one] = &found[..] else { panic!("one step made it: {found:#?}") };
    assert_eq!(one.at, At { turn: 3, step: 1 });
    assert!(one.event.contains("third") && one.rows > 0 && one.commands[0].contains("reply"), "{one:#?}");
    assert!(Subject::parse("103x1x0").is_some() && Subject::parse("tea").is_none());
}

#[test]
fn two_nodes_on_one_line_whatever_their_clocks_say() {
    // The second node's clock is an hour behind, yet what it gets from the first comes behind its sending.
    let ids = [1, 2].map(|seed| Recorded::new(seed, 0).node.id());
    let conn = ConnId { slot: 0, generation: 1 };
    let mut a = Recorded::new(1, 10_000_000);
    a.turn(vec![None]);
    a.turn(vec![connected(ids[1])]);
    let sent_by = |recorded: &Recorded, node: usize| {
        let bytes = recorded.bytes();
        let sources = [Source { name: "file", bytes: &bytes }];
        let runs = runs(&sources, |complaint| panic!("{complaint}"));
        let mut collector = Collector::new(node, runs[0].started, Level::Trace);
        let mut replay = Replay::new(&runs[0]);
        let mut sent = Sent(Vec::new());
        while let Ok(Some(turn)) = replay.next_turn() {
            replay.take(&turn, &mut collector).expect("no obstacle").expect("no divergence");
        }
        let mut again = Replay::new(&runs[0]);
        while let Ok(Some(turn)) = again.next_turn() {
            again.take(&turn, &mut sent).expect("no obstacle").expect("no divergence");
        }
        (sent.0, collector.entries)
    };
    let (init, of_a) = sent_by(&a, 0);
    let mut b = Recorded::new(2, 10_000_000 - 3_600_000);
    b.turn(vec![None]);
    b.turn(vec![connected(ids[0])]);
    b.turn(init.iter().map(|message| Some(Event::Received { conn, message })).collect());
    let (_, of_b) = sent_by(&b, 1);
    assert!(!init.is_empty());

    let timeline = merge(ids.to_vec(), vec![of_a.clone(), of_b.clone()]);
    assert_eq!(timeline.entries.len(), of_a.len() + of_b.len());
    let received: Vec<usize> =
        (0..timeline.entries.len()).filter(|at| timeline.entries[*at].kind == Kind::Received).collect();
    assert_eq!(received.len(), init.len());
    for at in received {
        let sent = timeline.entries[at].other_end.expect("it was sent");
        assert!(sent < at && timeline.entries[sent].node == 0 && timeline.entries[sent].other_end == Some(at));
    }
    // Each node's own order is kept.
    for node in 0..2 {
        let places: Vec<At> =
            timeline.entries.iter().filter(|entry| entry.node == node).map(|entry| entry.at).collect();
        assert!(places.is_sorted());
    }
}

struct Sent(Vec<Vec<u8>>);

impl Watcher for Sent {
    fn command(&mut self, _: At, command: &Command<'_>) {
        if let Command::Send { message, .. } = command {
            self.0.push(text::message_bytes(message));
        }
    }
}

#[test]
fn times_are_read_as_they_are_written() {
    for ms in [0, 951_782_400_123, 1_798_761_599_999, 1_700_000_000_000] {
        assert_eq!(text::parse_time(&text::time(Wall(ms))), Some(Wall(ms)));
    }
    assert_eq!(text::parse_time("2026-12-31T23:59"), Some(Wall(1_798_761_540_000)));
    assert_eq!(text::parse_time("2026-12-31 23:59:59.5"), Some(Wall(1_798_761_599_500)));
    for wrong in ["", "17", "2026-13-01T00:00", "2026-01-01", "2026-01-01T25:00", "2026-01-01T00:00:00.x"] {
        assert_eq!(text::parse_time(wrong), None, "{wrong}");
    }
}
