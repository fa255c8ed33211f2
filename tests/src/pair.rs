//! Two nodes in this thread with a channel between them, their messages carried by hand: nothing else is at work while
//! something is counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::hashes::Hash;
use bitcoin::{Network as BitcoinNetwork, Transaction, TxIn, TxOut, absolute, transaction};
use leyden_core::address::NetAddr;
use leyden_core::amount::{Msat, Sat};
use leyden_core::chain::{Feerates, Tip};
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::{Command, LoadRange, Sink};
use leyden_core::config::{Config, Network};
use leyden_core::event::{BroadcastOutcome, ChainEvent, Direction, Event, Match};
use leyden_core::ids::{BlockHeight, ConnId, DialId, QueryId, RequestId};
use leyden_core::node::{Boot, Node};
use leyden_core::request::channel::FundChannel;
use leyden_core::request::invoice::CreateInvoice;
use leyden_core::request::payment::Pay;
use leyden_core::request::wallet::AddressKind;
use leyden_core::request::{Request, RequestError, Response};
use leyden_core::signer::{KeysSigner, Signer};
use leyden_core::store::{Row, Table};
use leyden_core::wire::{Cursor, Message, Ping};

use crate::alloc::{allocations, aside, held};

/// Where a node's commands end up.
#[derive(Default)]
struct Out {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// In this turn, which is one transaction: a row is written once in it.
    changed: BTreeSet<(Table, Vec<u8>)>,
    written: BTreeMap<Table, Written>,
    sent: VecDeque<Vec<u8>>,
    /// Buffers of messages that were delivered.
    spare: Vec<Vec<u8>>,
    broadcast: Vec<Transaction>,
    replies: Vec<Result<Response, RequestError>>,
    loads: VecDeque<(QueryId, Table, Vec<u8>, bool)>,
}

impl Sink for Out {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Send { message, .. } => {
                let mut bytes = aside(|| {
                    let mut bytes = self.spare.pop().unwrap_or_default();
                    bytes.resize(message.encoded_len(), 0);
                    bytes
                });
                message.encode(&mut Cursor::new(&mut bytes)).expect("it has the length that it says");
                aside(|| self.sent.push_back(bytes));
            }
            other => aside(|| self.take(other)),
        }
    }
}

impl Out {
    fn commit(&mut self) {
        for row in std::mem::take(&mut self.changed) {
            let written = self.written.entry(row.0).or_default();
            match self.rows.get(&row) {
                Some(value) => {
                    written.rows += 1;
                    written.bytes += (row.1.len() + value.len()) as u64;
                }
                None => written.deletions += 1,
            }
        }
    }

    fn take(&mut self, command: Command<'_>) {
        match command {
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                self.changed.insert((table, key.to_vec()));
                self.rows.insert((table, key.to_vec()), bytes);
            }
            Command::Delete { table, key } => {
                self.changed.insert((table, key.to_vec()));
                self.rows.remove(&(table, key.to_vec()));
            }
            Command::Broadcast { tx, .. } => self.broadcast.push(tx.clone()),
            Command::Reply { result, .. } => self.replies.push(result.clone()),
            Command::Load { query, table, range, .. } => {
                let (key, exactly) = match range {
                    LoadRange::Exactly(key) => (key, true),
                    LoadRange::From(key) | LoadRange::Before(key) => (key, false),
                };
                self.loads.push_back((query, table, key.to_vec(), exactly));
            }
            _ => {}
        }
    }
}

/// What a node has allocated while it worked, its signer included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Times that it asked for memory.
    pub allocations: u64,
    /// Bytes that it holds.
    pub held: i64,
}

/// A node with its signer, and what it has said.
pub struct End<S> {
    /// The node.
    pub node: Node,
    /// Its signer.
    pub signer: S,
    /// What it has allocated.
    pub heap: Heap,
    /// The allocations by what they were made for: a message's name, or another event. How many of those, how many
    /// allocations.
    pub allocations: BTreeMap<&'static str, (u64, u64)>,
    out: Out,
}

/// What went into a table, rows that replaced others included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// How many rows.
    pub rows: u64,
    /// Their keys and values, without what the store adds to each.
    pub bytes: u64,
    /// How many rows were taken out.
    pub deletions: u64,
}

/// Two ends of a connection.
pub struct Pair<S> {
    /// The payer, who opens the channels.
    pub a: End<S>,
    /// The payee.
    pub b: End<S>,
    /// What an end does with the time in which it waits for the other.
    pub idle: fn(&mut S),
    height: u32,
}

const CLOCK: Clock = Clock { mono: Mono(1_000), wall: Wall(1_700_000_000_000) };
const CONN: ConnId = ConnId { slot: 0, generation: 0 };

impl<S: Signer> End<S> {
    fn new(seed: u8, signer: impl FnOnce(KeysSigner) -> S) -> End<S> {
        let mut signer = signer(KeysSigner::new([seed; 64], BitcoinNetwork::Regtest, [seed; 32]));
        let boot = Boot { config: Config::default_for(Network::Regtest), rng_seed: [seed; 32], clock: CLOCK };
        let node = Node::restore(boot, std::iter::empty(), &mut signer).expect("no rows make a fresh node");
        let (out, heap, allocations) = (Out::default(), Heap::default(), BTreeMap::new());
        let mut end = End { node, signer, heap, allocations, out };
        end.node.start(CLOCK, &mut end.signer, &mut end.out);
        let feerates =
            Feerates { blocks_2: 2_000, blocks_6: 1_000, blocks_12: 500, blocks_100: 300, mempool_minimum: 253 };
        end.step("chain", Event::Chain(ChainEvent::Begin { tip: tip(100) }));
        end.step("chain", Event::Chain(ChainEvent::Up));
        end.step("chain", Event::Chain(ChainEvent::Feerates(feerates)));
        end.step("chain", Event::Chain(ChainEvent::Synced { height: BlockHeight(100) }));
        end
    }

    fn one_step(&mut self, name: &'static str, event: Event<'_>) {
        let before = (allocations(), held());
        self.node.step(CLOCK, event, &mut self.signer, &mut self.out);
        let made = allocations() - before.0;
        self.heap.allocations += made;
        self.heap.held += held() - before.1;
        aside(|| {
            let (count, sum) = self.allocations.entry(name).or_default();
            *count += 1;
            *sum += made;
        });
    }

    /// One event, and what the end of its turn brings.
    pub fn step(&mut self, name: &'static str, event: Event<'_>) {
        self.one_step(name, event);
        self.end_turn();
    }

    /// Channels sign, history is read, and all is written at once.
    fn end_turn(&mut self) {
        while self.node.next_deadline() == Some(Mono(0)) {
            self.one_step("end of turn", Event::Deadline);
        }
        while let Some((query, table, key, exactly)) = self.out.loads.pop_front() {
            let found = self.out.rows.get_key_value(&(table, key)).filter(|_| exactly);
            let found: Vec<_> = found.map(|((_, key), value)| (key.clone(), value.clone())).into_iter().collect();
            let rows: Vec<Row<'_>> = found.iter().map(|(key, value)| Row { table, key, value }).collect();
            self.one_step("rows", Event::Loaded { query, rows: &rows });
            self.end_turn();
        }
        aside(|| self.out.commit());
    }

    /// Takes in what the other end has sent so far, in one turn as a daemon does that finds it all in its socket, and
    /// gives the buffers back to be used again.
    fn receive(&mut self, from: &mut End<S>) {
        while let Some(message) = from.out.sent.pop_front() {
            let name = Message::decode(&message).map_or("unknown", |message| message.name());
            self.one_step(name, Event::Received { conn: CONN, message: &message });
            from.out.spare.push(message);
        }
        self.end_turn();
    }

    /// A client's request.
    pub fn ask(&mut self, request: Request) {
        // The node frees what it is given, so that counts as held when it is given.
        let before = held();
        let given = request.clone();
        self.heap.held += held() - before;
        self.step("request", Event::Request { id: RequestId(1), request: given });
    }

    /// What was written since this was asked last.
    pub fn take_written(&mut self) -> BTreeMap<Table, Written> {
        std::mem::take(&mut self.out.written)
    }

    /// The answer, of which there is one.
    pub fn reply(&mut self) -> Response {
        assert_eq!(self.out.replies.len(), 1, "one answer is due");
        self.out.replies.remove(0).expect("it succeeds")
    }

    fn block(&mut self, height: u32, tx: Option<&Transaction>) {
        let matches: Vec<Match<'_>> = tx.iter().map(|tx| Match { index: 1, tx }).collect();
        let event = ChainEvent::BlockConnected { tip: tip(height), time_s: 1_700_000_000, matches: &matches };
        self.step("chain", Event::Chain(event));
        self.step("chain", Event::Chain(ChainEvent::Synced { height: BlockHeight(height) }));
    }
}

fn tip(height: u32) -> Tip {
    Tip { height: BlockHeight(height), hash: bitcoin::BlockHash::hash(&height.to_be_bytes()) }
}

impl<S: Signer> Pair<S> {
    /// Two nodes that are connected; the first has coins. `signer` may wrap their signers.
    pub fn connected(signer: impl Fn(KeysSigner) -> S) -> Pair<S> {
        let (mut a, mut b) = (End::new(1, &signer), End::new(2, &signer));
        a.ask(Request::NewAddr(AddressKind::P2tr));
        let Response::Addresses(addresses) = a.reply() else { panic!("an address was asked for") };
        let script_pubkey = addresses.p2tr.expect("it was asked for");
        let output = TxOut { value: bitcoin::Amount::from_sat(100_000_000), script_pubkey };
        // Of somebody: an input without an output before it would make a coinbase of it, which is not ripe.
        let previous_output = bitcoin::OutPoint { txid: bitcoin::Txid::all_zeros(), vout: 0 };
        let coins = Transaction {
            version: transaction::Version(2),
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn { previous_output, ..TxIn::default() }],
            output: vec![output],
        };
        a.block(101, Some(&coins));
        b.block(101, None);
        let address = NetAddr::Ip4([127, 0, 0, 1], 9735);
        let (id_a, id_b) = (a.node.id(), b.node.id());
        let outbound = Direction::Outbound { dial: DialId(0) };
        let inbound = Direction::Inbound { listener: 0 };
        a.step(
            "connection",
            Event::Connected { conn: CONN, peer: id_b, direction: outbound, address: address.clone() },
        );
        b.step("connection", Event::Connected { conn: CONN, peer: id_a, direction: inbound, address });
        let mut pair = Pair { a, b, idle: |_| {}, height: 101 };
        pair.drain();
        pair
    }

    /// The same with a channel.
    pub fn with_channel(signer: impl Fn(KeysSigner) -> S) -> Pair<S> {
        let mut pair = Pair::connected(signer);
        pair.open();
        pair
    }

    /// Opens a channel and mines until it can be used.
    pub fn open(&mut self) {
        let peer = self.b.node.id();
        self.a.ask(Request::FundChannel(Box::new(FundChannel {
            announce: false,
            ..FundChannel::new(peer, Sat(2_000_000))
        })));
        self.drain();
        let funding = self.a.out.broadcast.pop().expect("the funding leaves");
        let (txid, outcome) = (funding.compute_txid(), BroadcastOutcome::Accepted);
        self.a.step("chain", Event::Chain(ChainEvent::Broadcast { txid, outcome }));
        self.drain();
        self.a.reply();
        self.mine(Some(&funding));
        self.blocks(5);
    }

    /// Mines empty blocks.
    pub fn blocks(&mut self, count: u32) {
        (0..count).for_each(|_| self.mine(None));
    }

    fn mine(&mut self, tx: Option<&Transaction>) {
        self.height += 1;
        self.a.block(self.height, tx);
        self.b.block(self.height, tx);
        self.drain();
    }

    /// Until neither has anything to say.
    pub fn drain(&mut self) {
        let (a, b) = (&mut self.a, &mut self.b);
        while !(a.out.sent.is_empty() && b.out.sent.is_empty()) {
            b.receive(a);
            (self.idle)(&mut b.signer);
            a.receive(b);
            (self.idle)(&mut a.signer);
        }
    }

    /// The payee is asked whether it is there, and its answer is delivered.
    pub fn ping(&mut self) {
        let ping = Message::from(Ping { num_pong_bytes: 32, ignored: &[0; 16] });
        let mut bytes = self.a.out.spare.pop().unwrap_or_default();
        bytes.resize(ping.encoded_len(), 0);
        ping.encode(&mut Cursor::new(&mut bytes)).expect("it has the length that it says");
        self.a.out.sent.push_back(bytes);
        self.drain();
    }

    /// The payee makes an invoice.
    pub fn invoice(&mut self, label: &str, amount_msat: Msat) -> String {
        self.b.ask(Request::Invoice(Box::new(CreateInvoice {
            expiry_s: 3_600,
            ..CreateInvoice::new(label, Some(amount_msat))
        })));
        let Response::InvoiceCreated(created) = self.b.reply() else { panic!("an invoice was asked for") };
        created.bolt11
    }

    /// The payer pays an invoice.
    pub fn pay(&mut self, invoice: String) {
        self.a.ask(Request::Pay(Box::new(Pay::new(invoice))));
        self.drain();
        assert!(matches!(self.a.reply(), Response::Paid(_)));
    }
}
