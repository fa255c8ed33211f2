//! Stories of the loop around a toy, over real sockets. Each wait is for something that must happen.

mod socks;
mod toy;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use leyden_core::address::NetAddr;
use leyden_core::event::{Cut, Direction};
use leyden_core::ids::DialId;
use leyden_core::transport::Transport;
use leyden_persist::Options;

use self::toy::{GOODBYE, Remote, Running, Seen};
use super::*;
use crate::dial::draw_ephemeral;
use crate::peers::{Arrival, HANDSHAKE_MS, Stage};

fn connect(from: &Running, to: &Running) {
    let params = format!(r#"["{}","localhost",{}]"#, to.id, to.port);
    let answer = from.client().call("connect", &params);
    assert!(answer.contains(&to.id.to_string()) && !answer.contains("error"), "{answer}");
    assert_eq!(from.next(), Seen::Connected { peer: to.id, inbound: false });
    assert_eq!(to.next(), Seen::Connected { peer: from.id, inbound: true });
}

fn ping(from: &Running, to: &Running) {
    let answer = from.client().call("ping", &format!(r#"["{}",0,100]"#, to.id));
    assert!(answer.contains(r#""totlen":104"#), "{answer}");
    assert_eq!(to.next(), Seen::Message(18));
    assert_eq!(from.next(), Seen::Message(19));
}

#[test]
fn two_loops_talk_and_part_and_end() {
    let (mut alice, mut bob) = (Running::start("talk-a", 1), Running::start("talk-b", 2));
    connect(&alice, &bob);
    ping(&alice, &bob);
    ping(&bob, &alice);

    // The rows of the turns can be read back.
    assert!(bob.client().call("listpeers", "[]").contains(r#""peers":[]"#));
    assert_eq!(bob.next(), Seen::Loaded(2));

    // The last word arrives, although it is followed by the end at once.
    let answer = alice.client().call("disconnect", &format!(r#"["{}"]"#, bob.id));
    assert!(!answer.contains("error"), "{answer}");
    assert_eq!(bob.next(), Seen::Message(18));
    assert_eq!(bob.next(), Seen::Disconnected(Cut::Peer));
    assert_eq!(alice.next(), Seen::Disconnected(Cut::Ours));

    // Slots are used again.
    connect(&bob, &alice);
    ping(&bob, &alice);

    let (socket, store) = (alice.control_path(), alice.store_path());
    assert!(Store::open(&store, Options::default()).is_err(), "one daemon at a time");
    assert!(alice.stop().contains("result"));
    assert!(!socket.exists(), "nobody finds the socket any more");
    assert_eq!(bob.next(), Seen::Disconnected(Cut::Peer));
    bob.stop();
    let store = Store::open(&store, Options::default()).expect("the lock is free");
    assert_eq!(store.check().expect("good rows"), 3);
}

#[test]
fn a_dial_that_fails_says_so() {
    let mut alice = Running::start("fail-a", 1);
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let answer = alice.client().call("connect", &format!(r#"["{}","localhost",{port}]"#, alice.id));
    assert!(answer.contains("error") && answer.contains("refused"), "{answer}");
    assert!(matches!(alice.next(), Seen::DialFailed(_)));

    // Somebody else answers: the handshake does not prove what was asked for.
    let bob = Running::start("fail-b", 2);
    let answer = alice.client().call("connect", &format!(r#"["{}","127.0.0.1",{}]"#, alice.id, bob.port));
    assert!(answer.contains("error"), "{answer}");
    assert!(matches!(alice.next(), Seen::DialFailed(_)));
    assert_eq!(bob.rest(), [], "a stranger is not announced");
    alice.stop();
}

#[test]
fn who_does_not_read_is_not_read() {
    const PINGS: usize = 1_000;
    let mut alice = Running::start("slow", 1);
    let mut remote = Remote::connect(&alice);
    assert!(matches!(alice.next(), Seen::Connected { inbound: true, .. }));
    // The answers are many times what all buffers on the way hold. Alice must neither drop one nor lose patience.
    for _ in 0..PINGS {
        remote.ping(65_531);
    }
    remote.flush();
    // Each turn takes in what is ready. One in which no ping came in shows that Alice reads no more; others are served.
    let mut seen = Vec::new();
    loop {
        assert!(alice.client().call("getinfo", "[]").contains("result"));
        let news = alice.rest();
        if news.is_empty() && !seen.is_empty() {
            break;
        }
        seen.extend(news);
    }
    assert!(seen.len() < PINGS, "all buffers together are smaller than the answers");
    let mut pongs = 0;
    while pongs < PINGS {
        remote.read(|message| {
            assert_eq!(message.len(), 65_535);
            pongs += 1;
        });
    }
    remote.ping(1);
    remote.flush();
    remote.read(|message| assert_eq!(message.len(), 5));
    seen.extend(alice.rest());
    assert!(seen.contains(&Seen::Space), "a buffer that was full has drained");
    assert!(!seen.iter().any(|seen| matches!(seen, Seen::Disconnected(_))));
    alice.stop();
}

#[test]
fn the_last_word_arrives_although_much_was_left_unread() {
    let mut alice = Running::start("last", 1);
    let mut remote = Remote::connect(&alice);
    remote.ping(GOODBYE);
    for _ in 0..8_000 {
        remote.ping(1);
    }
    remote.flush();
    let mut words = 0;
    while remote.read_or_end(|_| words += 1) {}
    assert_eq!(words, 1, "and then an end in good order, no reset");
    assert!(matches!(alice.next(), Seen::Connected { .. }));
    assert_eq!([alice.next(), alice.next()], [Seen::Message(18), Seen::Disconnected(Cut::Ours)]);
    alice.stop();
}

#[test]
fn garbage_disturbs_nobody() {
    let (mut alice, mut bob) = (Running::start("noise-a", 1), Running::start("noise-b", 2));
    connect(&alice, &bob);
    let call = || TcpStream::connect(("127.0.0.1", bob.port)).expect("it listens");
    let silent = call();
    let mut cut_short = call();
    cut_short.write_all(&[0; 20]).expect("it reads");
    drop(cut_short);
    for first in [0, 1, 22, 71] {
        let mut garbage = call();
        let mut bytes = [0x5a; 300];
        bytes[0] = first;
        garbage.write_all(&bytes).expect("it reads");
        // The end, or a reset since more was sent than was wanted.
        let mut nothing = Vec::new();
        let _ = garbage.read_to_end(&mut nothing);
        assert!(nothing.is_empty(), "BOLT 8: no word to whoever fails the handshake");
    }
    ping(&alice, &bob);
    ping(&bob, &alice);
    drop(silent);
    assert_eq!(bob.rest(), []);
    assert_eq!(alice.rest(), []);
    alice.stop();
    bob.stop();
}

#[test]
fn a_client_may_ask_more_than_is_taken_at_once() {
    let mut alice = Running::start("many", 1);
    let mut client = alice.client();
    const REQUESTS: usize = 3_000;
    let mut writer = client.0.try_clone().expect("a second handle");
    let request = r#"{"jsonrpc":"2.0","id":7,"method":"getinfo","params":[]}"#;
    let writing = std::thread::spawn(move || {
        writer.write_all(request.repeat(REQUESTS).as_bytes()).expect("the loop reads");
        // Nothing more to ask: the answers are still wanted.
        writer.shutdown(Shutdown::Write).expect("a half to shut");
    });
    for _ in 0..REQUESTS {
        let answer = client.receive();
        assert!(answer.contains(r#""id":7"#) && answer.contains("result"), "{answer}");
    }
    writing.join().expect("all is written");
    assert_eq!(client.0.read(&mut [0]).expect("an end"), 0, "then the connection ends");
    alice.stop();
}

#[test]
fn the_machine_hears_that_nobody_waits_any_more() {
    let mut alice = Running::start("gone", 1);
    let mut client = alice.client();
    client.send("waitblockheight", "[1000]");
    client.send("waitblockheight", "[2000]");
    let (Seen::Waits(first), Seen::Waits(second)) = (alice.next(), alice.next()) else { panic!("both wait") };
    // Others are answered meanwhile, and are not mistaken.
    assert!(alice.client().call("getinfo", "[]").contains("result"));
    drop(client);
    assert_eq!([alice.next(), alice.next()], [Seen::Gone(first), Seen::Gone(second)]);
    alice.stop();
}

#[test]
fn a_broken_request_is_answered_and_the_next_one_too() {
    let mut alice = Running::start("broken", 1);
    let mut client = alice.client();
    assert!(client.call("getinfi", "[]").contains("error"));
    assert!(client.call("getinfo", "[]").contains("result"));
    alice.stop();
}

fn lone_peers() -> Peers {
    let poll = Poll::new().expect("a poll");
    Peers::new(poll.registry().try_clone().expect("a registry"))
}

fn arrival(direction: Direction) -> Arrival {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound");
    Arrival {
        stream: mio::net::TcpStream::connect(address).expect("it listens"),
        transport: Transport::responder(draw_ephemeral().expect("randomness")),
        direction,
        address: NetAddr::Ip4([127, 0, 0, 1], address.port()),
        stage: Stage::Handshake,
    }
}

#[test]
fn a_handshake_has_its_time() {
    let (mut peers, mut notices) = (lone_peers(), VecDeque::new());
    let directions = [Direction::Inbound { listener: 0 }, Direction::Outbound { dial: DialId(5) }];
    for (at_ms, direction) in [0, 10].into_iter().zip(directions) {
        peers.add(arrival(direction), at_ms, &mut notices).expect("it is watched");
    }
    assert_eq!(peers.next_deadline_ms(), Some(HANDSHAKE_MS));
    peers.tick(HANDSHAKE_MS - 1, &mut notices);
    assert_eq!(peers.slab.len(), 2);
    // Of a caller that says nothing, the machine never hears.
    peers.tick(HANDSHAKE_MS, &mut notices);
    assert!(peers.slab.len() == 1 && notices.is_empty());
    peers.tick(HANDSHAKE_MS + 10, &mut notices);
    assert!(peers.slab.is_empty());
    assert!(matches!(notices.pop_front(), Some(Notice::DialFailed { dial: DialId(5), .. })));
    assert_eq!(peers.next_deadline_ms(), None);
}

#[test]
fn silent_callers_make_way() {
    let (mut peers, mut notices) = (lone_peers(), VecDeque::new());
    peers.handshakes_max = 3;
    peers.add(arrival(Direction::Outbound { dial: DialId(1) }), 0, &mut notices).expect("it is watched");
    for at_ms in 1..=5 {
        peers.add(arrival(Direction::Inbound { listener: 0 }), at_ms, &mut notices).expect("it is watched");
    }
    // Our own dial is older than all of them, and stays.
    let is_ours = |peer: &crate::peers::Peer| matches!(peer.direction, Direction::Outbound { .. });
    assert_eq!(peers.slab.len(), 3);
    assert!(peers.slab.iter().any(|(_, peer)| is_ours(peer)) && notices.is_empty());
}
