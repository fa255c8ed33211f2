//! A machine that is simple enough to be seen through, a loop around it in a thread, and clients for both its sockets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use leyden_core::command::{Command, LoadRange, Sink};
use leyden_core::config::Network;
use leyden_core::event::{Cut, Direction};
use leyden_core::ids::{ConnId, DialId, NodeId, QueryId};
use leyden_core::request::Response;
use leyden_core::request::peer::ConnectedPeer;
use leyden_core::store::{StoreValue, Table};
use leyden_core::transport::{BufferPool, Incoming, Lane, StaticKey, Transport};
use leyden_core::wire::{self, Message};
use leyden_persist::Options;
use secp256k1::ecdh::SharedSecret;
use secp256k1::{SECP256K1, SecretKey};

use super::super::*;
use crate::chain::Start;
use crate::config::{Auth, Bitcoind};
use crate::dial::draw_ephemeral;
use crate::log::Filter;
use crate::recorder::{About, RecorderSettings};

/// A wait that is longer is a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A ping that wants so many bytes wants no answer (BOLT 1); a toy takes it as the wish to part.
pub(super) const GOODBYE: u16 = 65_534;

/// What happened to a toy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Connected { peer: NodeId, inbound: bool },
    Message(u16),
    Space,
    Disconnected(Cut),
    DialFailed(String),
    Waits(RequestId),
    Gone(RequestId),
    Loaded(usize),
}

/// Answers pings, keeps a row for each message, and does what its clients say.
struct Toy {
    seen: Sender<Seen>,
    conn: Option<ConnId>,
    dials: BTreeMap<DialId, (RequestId, NodeId)>,
    pings: VecDeque<RequestId>,
    loads: VecDeque<RequestId>,
    /// Answered by the deadline that follows in the same turn.
    due: Vec<RequestId>,
    messages: u64,
}

struct Value(u64);

impl StoreValue for Value {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

fn recorder(dir: &Path, node_id: NodeId) -> Recorder {
    let settings = RecorderSettings { on: true, segment_size: 4_096, segments: 4 };
    Recorder::new(dir, settings, About { network: Network::Regtest, node_id, config_hash: 0, run: Wall(1) })
}

fn reply(out: &mut dyn Sink, id: RequestId, response: Response) {
    out.emit(Command::Reply { id, result: &Ok(response) });
}

impl Toy {
    fn see(&self, seen: Seen) {
        self.seen.send(seen).expect("the test listens");
    }

    /// A last word, and the end.
    fn part(&self, conn: ConnId, out: &mut dyn Sink) {
        let message = wire::Ping { num_pong_bytes: u16::MAX, ignored: &[] }.into();
        out.emit(Command::Send { conn, message: &message });
        out.emit(Command::Disconnect { conn, reason: "the test wants it" });
    }

    fn ask(&mut self, id: RequestId, request: Request, out: &mut dyn Sink) {
        match request {
            Request::Connect(connect) => {
                let dial = DialId(id.0);
                self.dials.insert(dial, (id, connect.peer));
                let address = connect.address.expect("the test names it");
                out.emit(Command::Dial { dial, peer: connect.peer, address: &address });
            }
            Request::Ping(ping) => {
                self.pings.push_back(id);
                let message = wire::Ping { num_pong_bytes: ping.pong_bytes, ignored: &[] }.into();
                out.emit(Command::Send { conn: self.conn.expect("connected"), message: &message });
            }
            Request::Disconnect(_) => {
                let conn = self.conn.take().expect("connected");
                self.part(conn, out);
                reply(out, id, Response::Done);
            }
            Request::ListPeers { .. } => {
                self.loads.push_back(id);
                let range = LoadRange::From(&[]);
                out.emit(Command::Load { query: QueryId(id.0), table: Table::Node, range, limit: 10_000 });
            }
            Request::Getinfo => self.due.push(id),
            Request::Stop => {
                out.emit(Command::Stop);
                reply(out, id, Response::Stopping);
            }
            _ => self.see(Seen::Waits(id)),
        }
    }
}

impl Machine for Toy {
    fn start(&mut self, _: Clock, _: &mut dyn Signer, _: &mut dyn Sink) {}

    fn step(&mut self, _: Clock, event: Event<'_>, _: &mut dyn Signer, out: &mut dyn Sink) {
        match event {
            Event::Deadline => self.due.drain(..).for_each(|id| reply(out, id, Response::Done)),
            Event::Connected { conn, peer, direction, address } => {
                self.conn = Some(conn);
                let dial = match direction {
                    Direction::Inbound { .. } => None,
                    Direction::Outbound { dial } => Some(dial),
                };
                self.see(Seen::Connected { peer, inbound: dial.is_none() });
                if let Some((id, _)) = dial.and_then(|dial| self.dials.remove(&dial)) {
                    let answer = ConnectedPeer { peer, features: Vec::new(), inbound: false, address };
                    reply(out, id, Response::Connected(answer));
                }
            }
            Event::DialFailed { dial, reason } => {
                let (id, _) = self.dials.remove(&dial).expect("it was ours");
                out.emit(Command::Reply { id, result: &Err(RequestError::generic(reason.clone())) });
                self.see(Seen::DialFailed(reason));
            }
            Event::Received { conn, message } => {
                self.messages += 1;
                let (key, value) = (self.messages.to_be_bytes(), Value(self.messages));
                out.emit(Command::Put { table: Table::Node, key: &key, value: &value });
                match Message::decode(message).expect("toys speak well") {
                    Message::Ping(ping) => {
                        self.see(Seen::Message(18));
                        if ping.num_pong_bytes == GOODBYE {
                            self.part(conn, out);
                        }
                        // BOLT 1: so many bytes mean that no answer is wanted.
                        if ping.num_pong_bytes < 65_532 {
                            let ignored = vec![0; usize::from(ping.num_pong_bytes)];
                            let message = wire::Pong { ignored: &ignored }.into();
                            out.emit(Command::Send { conn, message: &message });
                        }
                    }
                    Message::Pong(pong) => {
                        self.see(Seen::Message(19));
                        if let Some(id) = self.pings.pop_front() {
                            reply(out, id, Response::Pong { total_len: pong.ignored.len() as u16 + 4 });
                        }
                    }
                    _ => panic!("toys know only two messages"),
                }
            }
            Event::WriteSpace { .. } => self.see(Seen::Space),
            Event::Disconnected { reason, .. } => self.see(Seen::Disconnected(reason)),
            Event::Request { id, request } => self.ask(id, request, out),
            Event::RequestGone { id } => self.see(Seen::Gone(id)),
            Event::Loaded { rows, .. } => {
                self.see(Seen::Loaded(rows.len()));
                let id = self.loads.pop_front().expect("it was asked for");
                reply(out, id, Response::Peers(Vec::new()));
            }
            // There is no bitcoind, of which the loop tells.
            Event::Chain(_) | Event::Idle => {}
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        (!self.due.is_empty()).then_some(Mono(0))
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.messages.to_be_bytes());
    }
}

/// A toy in its loop, in a thread.
pub(super) struct Running {
    dir: PathBuf,
    thread: Option<JoinHandle<End>>,
    seen: Receiver<Seen>,
    pub(super) id: NodeId,
    pub(super) port: u16,
}

impl Running {
    pub(super) fn start(name: &str, seed: u8) -> Running {
        Running::start_through(name, seed, None)
    }

    /// One that dials through a proxy.
    pub(super) fn start_through(name: &str, seed: u8, proxy: Option<Proxy>) -> Running {
        let dir = std::env::temp_dir().join(format!("leyden-reactor-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary folder can be written");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        let signer = KeysSigner::new([seed; 64], bitcoin::Network::Regtest, [seed; 32]);
        let id = signer.node_id();
        let (sender, seen) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let at = dir.clone();
        let thread = std::thread::spawn(move || {
            let toy = Toy {
                seen: sender,
                conn: None,
                dials: BTreeMap::new(),
                pings: VecDeque::new(),
                loads: VecDeque::new(),
                due: Vec::new(),
                messages: 0,
            };
            let auth = Auth::Password { user: String::new(), password: String::new() };
            let nobody = Bitcoind { address: "127.0.0.1:1".to_owned(), auth, poll_ms: 1_000 };
            let parts = Parts {
                node: toy,
                signer,
                store: Store::open(&at.join("store"), Options::default()).expect("a new store"),
                driver: Driver::bitcoind(nobody, Network::Regtest, Start::Fresh),
                listeners: vec![listener],
                proxy,
                view: View {
                    version: String::new(),
                    data_dir: String::new(),
                    network: Network::Regtest,
                    binding: Vec::new(),
                    settings: Vec::new(),
                },
                log: Log::new(Filter::parse("error").expect("a level")),
                recorder: recorder(&at.join("recorder"), id),
            };
            let reactor = Reactor::new(parts, &at.join("control")).expect("it starts");
            ready.send(()).expect("the test waits");
            reactor.run()
        });
        is_ready.recv_timeout(PATIENCE).expect("it starts");
        Running { dir, thread: Some(thread), seen, id, port }
    }

    pub(super) fn control_path(&self) -> PathBuf {
        self.dir.join("control")
    }

    pub(super) fn store_path(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.control_path())
    }

    /// The next thing that happened.
    pub(super) fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("something happens")
    }

    /// What happened without being looked at.
    pub(super) fn rest(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }

    /// Asks it to stop, and waits for that.
    pub(super) fn stop(&mut self) -> String {
        let mut client = self.client();
        client.send("stop", "[]");
        let answer = client.receive();
        Store::open(&self.store_path(), Options::default()).expect("the store is free before the answer comes");
        assert_eq!(client.0.read(&mut [0]).expect("an end"), 0);
        let end = self.thread.take().expect("it runs").join().expect("no panic");
        assert!(matches!(end, End::Asked), "{end:?}");
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A loop that still runs ends with the test's process.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A client of the control socket.
pub(super) struct Client(pub(super) UnixStream);

impl Client {
    pub(super) fn new(path: &Path) -> Client {
        let stream = UnixStream::connect(path).expect("the socket is there");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        Client(stream)
    }

    pub(super) fn send(&mut self, method: &str, params: &str) {
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        self.0.write_all(request.as_bytes()).expect("the loop reads");
    }

    /// The next answer.
    pub(super) fn receive(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\n\n") {
            self.0.read_exact(&mut byte).expect("an answer comes");
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }

    pub(super) fn call(&mut self, method: &str, params: &str) -> String {
        self.send(method, params);
        self.receive()
    }
}

struct Key(SecretKey);

impl StaticKey for Key {
    fn public(&self) -> PublicKey {
        self.0.public_key(SECP256K1)
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        SharedSecret::new(point, &self.0).secret_bytes()
    }
}

/// Another node without a loop, that reads only when it is told to.
pub(super) struct Remote {
    stream: TcpStream,
    transport: Transport,
    key: Key,
    pool: BufferPool,
}

impl Remote {
    /// Connects and shakes hands.
    pub(super) fn connect(to: &Running) -> Remote {
        let stream = TcpStream::connect(("127.0.0.1", to.port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        let mut pool = BufferPool::new(2);
        let remote = to.id.parse().expect("a point");
        let transport = Transport::initiator(&remote, draw_ephemeral().expect("randomness"), &mut pool);
        let key = Key(SecretKey::from_slice(&[9; 32]).expect("a small scalar"));
        let mut remote = Remote { stream, transport, key, pool };
        remote.flush();
        while !remote.transport.is_open() {
            remote.read(|_| panic!("nothing is said yet"));
        }
        remote.flush();
        remote
    }

    pub(super) fn ping(&mut self, num_pong_bytes: u16) {
        let ping: Message<'_> = wire::Ping { num_pong_bytes, ignored: &[] }.into();
        self.transport.stage(Lane::Channel, &ping, &mut self.pool).expect("it fits");
        self.transport.release();
    }

    /// Writes all.
    pub(super) fn flush(&mut self) {
        self.stream.write_all(self.transport.writable()).expect("the loop reads");
        let count = self.transport.writable().len();
        self.transport.wrote(count, &mut self.pool);
    }

    /// Reads once: false at the end.
    pub(super) fn read_or_end(&mut self, mut each: impl FnMut(&[u8])) -> bool {
        let mut bytes = vec![0; 64 * 1024];
        let count = self.stream.read(&mut bytes).expect("something comes, or the end");
        let taken = self.transport.received(&bytes[..count], &mut self.key, &mut self.pool, |_, _, incoming| {
            if let Incoming::Message(message) = incoming {
                each(message);
            }
        });
        taken.expect("the loop speaks well");
        count > 0
    }

    /// Reads once; the connection does not end.
    pub(super) fn read(&mut self, each: impl FnMut(&[u8])) {
        assert!(self.read_or_end(each), "the loop has closed the connection");
    }
}
