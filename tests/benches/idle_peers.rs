//! What idle peers and idle channels cost a real daemon in memory.
//!
//! The peers are bare clients: BOLT 8, `init`, then nothing. `LEYDEN_LEYDEND` names the daemon, which should be a
//! release build; `LEYDEN_BITCOIND` the bitcoind. Each line of the output is `name value unit`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use leyden_core::transport::{BufferPool, Ephemeral, Incoming, Lane, Transport};
use leyden_core::wire::{Init, Message};
use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::{Daemon, PATIENCE, wait_for};
use leyden_tests::transport::Key;
use secp256k1::{PublicKey, SecretKey};
use serde_json::json;

/// Channels that make the daemons allocate what they need for any number of them.
const CHANNELS_BEFORE: u64 = 50;
/// Channels whose memory is measured.
const CHANNELS: u64 = 200;
const CHANNEL_SAT: u64 = 200_000;

fn main() {
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    peers(&bitcoind);
    channels(&bitcoind);
}

fn peers(bitcoind: &Bitcoind) {
    let daemon = Daemon::start("idle", &bitcoind.url(), &bitcoind.cookie_path(), &[]);
    let remote: PublicKey = daemon.id.parse().expect("a node's id is a point");
    let idle = rss_bytes(&daemon);
    let mut clients: Vec<TcpStream> = Vec::new();
    for count in [100, 1_000] {
        while clients.len() < count {
            clients.push(connect(&daemon, &remote, clients.len()));
        }
        wait_for("all peers", || {
            let listed = daemon.call("listpeers", json!({}));
            listed["peers"].as_array().is_some_and(|peers| peers.len() == count).then_some(())
        });
        print_each(&format!("idle_peers_{count}"), rss_bytes(&daemon) - idle, count as u64, "peer");
    }
}

/// A peer that has shaken hands and said `init`. It is never read again.
fn connect(daemon: &Daemon, remote: &PublicKey, number: usize) -> TcpStream {
    let mut secret = [0; 32];
    secret[24..].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    let mut key = Key(SecretKey::from_slice(&secret).expect("a small scalar"));
    secret[0] = 1;
    let mut pool = BufferPool::new(1);
    let mut transport = Transport::initiator(remote, Ephemeral::new(secret).expect("a small scalar"), &mut pool);
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port)).expect("the daemon listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    let mut input = transport.begin_read(&mut pool);
    // What the daemon offers suits it, so it is said back.
    let mut features: Option<Vec<u8>> = None;
    while features.is_none() {
        write(&mut stream, &mut transport, &mut pool);
        let count = stream.read(input.space()).expect("the daemon answers");
        assert!(count > 0, "the daemon keeps the connection");
        input.filled(count);
        while let Some(incoming) = transport.next(&mut input, &mut key, &mut pool).expect("an honest peer") {
            if let Incoming::Message(bytes) = incoming
                && let Ok(Message::Init(init)) = Message::decode(bytes)
            {
                features = Some(init.features.to_vec());
            }
        }
    }
    transport.end_read(input, &mut pool);
    let features = features.expect("it was waited for");
    let init = Message::from(Init { globalfeatures: &[], features: &features, networks: None, remote_addr: None });
    transport.stage(Lane::Channel, &init, &mut pool).expect("room for the first message");
    transport.release();
    write(&mut stream, &mut transport, &mut pool);
    stream
}

fn write(stream: &mut TcpStream, transport: &mut Transport, pool: &mut BufferPool) {
    while !transport.writable().is_empty() {
        let count = stream.write(transport.writable()).expect("the daemon reads");
        transport.wrote(count, pool);
    }
}

fn channels(bitcoind: &Bitcoind) {
    let [a, b] = ["opener", "accepter"].map(|name| Daemon::start(name, &bitcoind.url(), &bitcoind.cookie_path(), &[]));
    let all = CHANNELS_BEFORE + CHANNELS;
    let address = |_| a.call("newaddr", json!({}))["p2tr"].as_str().expect("an address").to_owned();
    let coins: BTreeMap<String, &str> = (0..all).map(address).map(|address| (address, "0.01")).collect();
    bitcoind.call("sendmany", json!(["", coins]));
    mine(bitcoind, &[&a, &b]);
    wait_for("coins", || {
        let funds = a.call("listfunds", json!({}));
        funds["outputs"].as_array().is_some_and(|outputs| outputs.len() as u64 == all).then_some(())
    });
    a.connect_to(&b);
    open(bitcoind, &a, &b, CHANNELS_BEFORE, CHANNELS_BEFORE);
    let before = [rss_bytes(&a), rss_bytes(&b)];
    open(bitcoind, &a, &b, CHANNELS, all);
    print_each("channels_opener", rss_bytes(&a).saturating_sub(before[0]), CHANNELS, "channel");
    print_each("channels_accepter", rss_bytes(&b).saturating_sub(before[1]), CHANNELS, "channel");
}

/// Opens so many channels more, and waits until all can be used.
fn open(bitcoind: &Bitcoind, a: &Daemon, b: &Daemon, count: u64, all: u64) {
    for _ in 0..count {
        a.call("fundchannel", json!({"id": b.id, "amount": CHANNEL_SAT}));
        mine(bitcoind, &[a, b]);
    }
    for _ in 0..6 {
        mine(bitcoind, &[a, b]);
    }
    wait_for("channels that can be used", || {
        let listed = a.call("listpeerchannels", json!({}));
        let channels = listed["channels"].as_array()?;
        let ready = channels.iter().filter(|channel| channel["state"] == "CHANNELD_NORMAL").count();
        (ready as u64 == all).then_some(())
    });
}

fn mine(bitcoind: &Bitcoind, daemons: &[&Daemon]) {
    bitcoind.mine(1);
    for daemon in daemons {
        daemon.call("waitblockheight", json!({"blockheight": bitcoind.height(), "timeout": 60}));
    }
}

/// Memory of the daemon's own: pages of the store's file are the system's cache.
fn rss_bytes(daemon: &Daemon) -> u64 {
    let pid = daemon.pid().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process has its files");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the field is there");
    let kib: u64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number");
    kib * 1024
}

fn print_each(name: &str, bytes: u64, count: u64, of: &str) {
    println!("{name} {} KiB (RssAnon)", bytes / 1024);
    let tenths = bytes * 10 / 1024 / count;
    println!("{name}_each {}.{} KiB/{of}", tenths / 10, tenths % 10);
}
