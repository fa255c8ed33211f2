//! The loop: one thread, one transaction per turn, and nothing leaves before it is written.
//!
//! A turn: poll; take in what is ready, bounded; let the core do what is due; commit; then release the write buffers,
//! broadcast, answer, dial. All events of a turn share one reading of the clock.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::ToSocketAddrs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::Level;
use leyden_core::event::{ChainEvent, Cut, Direction, Event, Match, NetAddr};
use leyden_core::ids::{ConnId, DialId, NodeId, QueryId, RequestId};
use leyden_core::limits::{PEERS_MAX, WRITE_BUFFER_SIZE};
use leyden_core::node::Node;
use leyden_core::request::RequestError;
use leyden_core::signer::{KeysSigner, Signer};
use leyden_core::store::{Row, Table};
use leyden_core::transport::{BufferPool, Ephemeral, Incoming, Transport};
use leyden_persist::rows::From;
use leyden_persist::{Direction as ScanDirection, Fatal, Level as Room, OwnedRow, Scan, Store};
use leyden_rpc::session::{Session, Token as SessionToken};
use leyden_rpc::view::View;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use secp256k1::PublicKey;
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

use crate::chain::{Driver, DriverEvent};
use crate::log::Log;
use crate::outputs::{Load, LoadKind, Outputs, Staged};
use crate::peers::{Got, HANDSHAKE_MS, NodeKey, Peer, Wrote, net_addr, socket_addr};
use crate::seed::os_random;

const SIGNALS: Token = Token(0);
const CHAIN: Token = Token(1);
const CONTROL: Token = Token(2);
const RESOLVER: Token = Token(3);
const LISTENERS: usize = 16;
const LISTENERS_MAX: usize = 16;
const PEERS: usize = 1 << 20;
const SESSIONS: usize = 1 << 40;

/// Bytes that one peer may bring into one turn; the rest waits, so that nobody starves the others.
const PEER_BYTES_PER_TURN: usize = 256 * 1024;
/// Blocks in one turn.
const BLOCKS_PER_TURN: usize = 32;
/// Times that the core may ask for more in one turn.
const DEADLINES_PER_TURN: usize = 8;
/// Bytes of history in one answer to the core; a page that is cut short looks like the last one, so this is ample.
const LOAD_BYTES: usize = 64 << 20;
/// Control connections.
const SESSIONS_MAX: usize = 512;
/// Bytes to read from a control client at once.
const SESSION_READ: usize = 64 * 1024;
/// A spare write buffer or two: traffic comes in bursts.
const SPARES_MAX: usize = 16;

/// A control client's connection.
struct Control {
    stream: UnixStream,
    session: Session,
    generation: u64,
    ended: bool,
}

/// A name that has been resolved.
struct Resolved {
    dial: DialId,
    peer: NodeId,
    address: NetAddr,
    socket: Result<std::net::SocketAddr, String>,
}

/// Something for the core that no socket reports.
enum Pending {
    Loaded { query: QueryId, table: Table, rows: Vec<OwnedRow> },
    Disconnected { conn: ConnId, reason: Cut },
    DialFailed { dial: DialId, reason: String },
    WriteSpace { conn: ConnId, free: u32 },
    Gone(RequestId),
}

/// Why the daemon ends.
#[derive(Debug)]
pub enum End {
    /// It was asked to.
    Asked,
    /// The store failed: nothing of the last turn has left.
    Store(Fatal),
    /// The operating system failed us.
    System(std::io::Error),
}

impl std::convert::From<std::io::Error> for End {
    fn from(error: std::io::Error) -> End {
        End::System(error)
    }
}

/// Everything the loop needs to begin.
pub struct Parts {
    /// The money machine, restored and not started.
    pub node: Node,
    /// Its keys.
    pub signer: KeysSigner,
    /// Its rows.
    pub store: Store,
    /// Its chain.
    pub driver: Driver,
    /// Sockets that listen for other nodes.
    pub listeners: Vec<std::net::TcpListener>,
    /// What the clients of the control socket see of the process.
    pub view: View,
    /// Where lines for people go.
    pub log: Log,
}

/// The loop.
pub struct Reactor {
    poll: Poll,
    started: Instant,
    node: Node,
    signer: KeysSigner,
    public: PublicKey,
    store: Store,
    driver: Driver,
    listeners: Vec<TcpListener>,
    control: UnixListener,
    signals: Signals,
    peers: Slab<Peer>,
    next_generation: u32,
    sessions: Slab<Control>,
    next_session: u64,
    requests: BTreeMap<RequestId, (usize, u64, SessionToken)>,
    next_request: u64,
    pool: BufferPool,
    view: View,
    log: Log,
    staged: Staged,
    pending: VecDeque<Pending>,
    /// Peers whose sockets may hold more than the last turn took.
    still_ready: Vec<usize>,
    readable: Vec<usize>,
    value: Vec<u8>,
    scratch: Vec<u8>,
    resolver: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    waker: std::sync::Arc<Waker>,
    stop: bool,
}

impl Reactor {
    /// Registers everything. The control socket replaces a stale one: the store's lock says that no other daemon lives.
    pub fn new(parts: Parts, control_path: &Path) -> std::io::Result<Reactor> {
        let Parts { node, signer, store, mut driver, listeners, view, log } = parts;
        let poll = Poll::new()?;
        let registry = poll.registry();
        let mut signals = Signals::new([signal_hook_mio_signals::SIGTERM, signal_hook_mio_signals::SIGINT])?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        driver.register(registry, CHAIN)?;
        let waker = std::sync::Arc::new(Waker::new(registry, RESOLVER)?);
        let mut registered = Vec::new();
        for (number, listener) in listeners.into_iter().take(LISTENERS_MAX).enumerate() {
            listener.set_nonblocking(true)?;
            let mut listener = TcpListener::from_std(listener);
            registry.register(&mut listener, Token(LISTENERS + number), Interest::READABLE)?;
            registered.push(listener);
        }
        match std::fs::remove_file(control_path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut control = UnixListener::bind(control_path)?;
        std::fs::set_permissions(control_path, std::fs::Permissions::from_mode(0o600))?;
        registry.register(&mut control, CONTROL, Interest::READABLE)?;
        let public = signer.node_id().parse().expect("our own id is a point");
        Ok(Reactor {
            poll,
            started: Instant::now(),
            node,
            signer,
            public,
            store,
            driver,
            listeners: registered,
            control,
            signals,
            peers: Slab::new(),
            next_generation: 0,
            sessions: Slab::new(),
            next_session: 0,
            requests: BTreeMap::new(),
            next_request: 0,
            pool: BufferPool::new(SPARES_MAX),
            view,
            log,
            staged: Staged::default(),
            pending: VecDeque::new(),
            still_ready: Vec::new(),
            readable: Vec::new(),
            value: Vec::new(),
            scratch: vec![0; SESSION_READ],
            resolver: mpsc::channel(),
            waker,
            stop: false,
        })
    }

    fn clock(&self) -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Clock { mono: Mono(self.started.elapsed().as_millis() as u64), wall: Wall(wall) }
    }

    /// Runs until it is asked to stop, or must.
    pub fn run(mut self) -> End {
        match self.run_inner() {
            Ok(()) => End::Asked,
            Err(end) => end,
        }
    }

    fn run_inner(&mut self) -> Result<(), End> {
        let mut events = Events::with_capacity(1024);
        let clock = self.clock();
        self.turn(clock, |node, signer, out| node.start(clock, signer, out))?;
        while !self.stop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            self.one_turn(&events)?;
        }
        self.farewell();
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.pending.is_empty() || !self.still_ready.is_empty() || !self.staged.loads.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.started.elapsed().as_millis() as u64;
        let handshakes = self.peers.iter().filter(|(_, peer)| !peer.established).map(|(_, peer)| peer.handshake_by_ms);
        let next = [self.node.next_deadline().map(|mono| mono.0), self.driver.next_deadline_ms(), handshakes.min()];
        next.into_iter().flatten().min().map(|at| Duration::from_millis(at.saturating_sub(now)))
    }

    /// Steps outside of the events of sockets, with a commit behind them.
    fn turn(
        &mut self,
        clock: Clock,
        work: impl FnOnce(&mut Node, &mut dyn Signer, &mut dyn leyden_core::command::Sink),
    ) -> Result<(), End> {
        {
            let mut turn = self.store.begin();
            let mut out = Outputs {
                turn: &mut turn,
                peers: &mut self.peers,
                pool: &mut self.pool,
                driver: &mut self.driver,
                staged: &mut self.staged,
                log: &mut self.log,
                value: &mut self.value,
                wall: clock.wall,
            };
            work(&mut self.node, &mut self.signer, &mut out);
            turn.commit().map_err(End::Store)?;
        }
        self.after_commit(clock)
    }

    fn one_turn(&mut self, events: &Events) -> Result<(), End> {
        let clock = self.clock();
        let now_ms = clock.mono.0;
        self.readable.clear();
        self.readable.append(&mut self.still_ready);
        let mut requests = Vec::new();
        for event in events {
            match event.token() {
                SIGNALS => {
                    for signal in self.signals.pending() {
                        self.log.say(clock.wall, Level::Info, "node", format_args!("signal {signal}: stopping"));
                        self.stop = true;
                    }
                }
                CHAIN => self.driver.ready(now_ms),
                RESOLVER => {
                    while let Ok(Resolved { dial, peer, address, socket }) = self.resolver.1.try_recv() {
                        match socket {
                            Ok(socket) => self.connect(now_ms, dial, peer, address, socket),
                            Err(reason) => self.pending.push_back(Pending::DialFailed { dial, reason }),
                        }
                    }
                }
                CONTROL => self.accept_controls(),
                Token(number) if number >= SESSIONS => {
                    let slot = number - SESSIONS;
                    self.read_session(slot, &mut requests);
                    self.flush_session(slot);
                }
                Token(number) if number >= PEERS => self.peer_event(number - PEERS, event),
                Token(number) => self.accept_peers(now_ms, number - LISTENERS),
            }
        }
        self.driver.tick(now_ms);
        self.end_slow_handshakes(now_ms);
        // Room for the turn is looked at before it: a full disk must not be found out at the commit.
        if self.store.headroom().map_err(End::Store)?.level() == Room::Exhausted {
            for (id, _) in requests.drain(..) {
                let text = "the disk or the store is full: free some space; open payments still resolve";
                self.staged.replies.push((id, Err(RequestError::generic(text))));
            }
        }

        {
            let mut turn = self.store.begin();
            let mut out = Outputs {
                turn: &mut turn,
                peers: &mut self.peers,
                pool: &mut self.pool,
                driver: &mut self.driver,
                staged: &mut self.staged,
                log: &mut self.log,
                value: &mut self.value,
                wall: clock.wall,
            };
            let (node, signer) = (&mut self.node, &mut self.signer);
            for pending in self.pending.drain(..) {
                step_pending(node, clock, signer, &mut out, pending);
            }
            for _ in 0..BLOCKS_PER_TURN {
                let Some(event) = out.driver.poll_event() else { break };
                step_chain(node, clock, signer, &mut out, event);
            }
            for slot in self.readable.drain(..) {
                let more = read_peer(node, clock, signer, self.public, &mut out, slot, &mut self.pending);
                if more {
                    self.still_ready.push(slot);
                }
            }
            for (id, request) in requests {
                node.step(clock, Event::Request { id, request }, signer, &mut out);
            }
            for _ in 0..DEADLINES_PER_TURN {
                if node.next_deadline().is_none_or(|at| at > clock.mono) {
                    break;
                }
                node.step(clock, Event::Deadline, signer, &mut out);
            }
            turn.commit().map_err(End::Store)?;
        }
        self.after_commit(clock)
    }

    /// The turn is written: now it may be seen.
    fn after_commit(&mut self, clock: Clock) -> Result<(), End> {
        let now_ms = clock.mono.0;
        for slot in std::mem::take(&mut self.staged.touched) {
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.touched = false;
                peer.transport.release();
                self.flush_peer(slot);
            }
        }
        for conn in std::mem::take(&mut self.staged.overflows) {
            self.drop_peer(conn, Some(Cut::Overflow));
        }
        for conn in std::mem::take(&mut self.staged.disconnects) {
            self.drop_peer(conn, None);
        }
        for tx in std::mem::take(&mut self.staged.broadcasts) {
            self.driver.submit(&tx);
        }
        for (id, result) in std::mem::take(&mut self.staged.replies) {
            let Some((slot, generation, token)) = self.requests.remove(&id) else { continue };
            if let Some(control) = self.sessions.get_mut(slot).filter(|control| control.generation == generation) {
                control.session.reply(token, &result, &self.view);
                // A reply makes room for requests that waited in the client's buffer.
                let mut requests = Vec::new();
                self.take_requests(slot, &mut requests);
                self.flush_session(slot);
                for (id, request) in requests {
                    self.turn(clock, |node, signer, out| {
                        node.step(clock, Event::Request { id, request }, signer, out);
                    })?;
                }
            }
        }
        for (dial, peer, address) in std::mem::take(&mut self.staged.dials) {
            self.dial(now_ms, dial, peer, address);
        }
        while let Some(load) = self.staged.loads.pop_front() {
            self.load(clock, load);
        }
        if self.staged.stop {
            self.stop = true;
        }
        self.driver.tick(now_ms);
        Ok(())
    }

    fn load(&mut self, clock: Clock, load: Load) {
        let Load { query, table, from, kind, limit } = load;
        let limit = (limit as usize).min(leyden_core::limits::HISTORY_PAGE_ROWS);
        let (start, direction) = match kind {
            LoadKind::From | LoadKind::Exactly => (From::At(&from), ScanDirection::Forward),
            LoadKind::Before if from.is_empty() => (From::Edge, ScanDirection::Backward),
            LoadKind::Before => (From::Past(&from), ScanDirection::Backward),
        };
        let rows_max = if matches!(kind, LoadKind::Exactly) { 1 } else { limit };
        let scan = Scan { table: table as u8, prefix: &[], from: start, direction, rows_max, bytes_max: LOAD_BYTES };
        let mut rows = match self.store.scan(scan) {
            Ok(page) => page.rows,
            Err(error) => {
                self.log.say(clock.wall, Level::Error, "node", format_args!("{error}"));
                Vec::new()
            }
        };
        if matches!(kind, LoadKind::Exactly) {
            rows.retain(|row| row.key == from);
        }
        self.pending.push_back(Pending::Loaded { query, table, rows });
    }

    // --- Peers ------------------------------------------------------------------------------------------------------

    fn accept_peers(&mut self, now_ms: u64, number: usize) {
        loop {
            let Some(listener) = self.listeners.get(number) else { return };
            match listener.accept() {
                Ok((stream, address)) => {
                    if self.peers.len() >= PEERS_MAX {
                        continue;
                    }
                    let direction = Direction::Inbound { listener: number as u16 };
                    if let Some(ephemeral) = draw_ephemeral() {
                        let transport = Transport::responder(ephemeral);
                        self.add_peer(now_ms, stream, transport, direction, net_addr(address), true);
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // Also when descriptors have run out: those who wait come again.
                Err(_) => return,
            }
        }
    }

    fn add_peer(
        &mut self,
        now_ms: u64,
        mut stream: TcpStream,
        transport: Transport,
        direction: Direction,
        address: NetAddr,
        connected: bool,
    ) {
        // Latency matters more than the number of packets.
        let _ = stream.set_nodelay(true);
        let entry = self.peers.vacant_entry();
        let slot = entry.key();
        let registered =
            self.poll.registry().register(&mut stream, Token(PEERS + slot), Interest::READABLE | Interest::WRITABLE);
        if registered.is_err() {
            if let Direction::Outbound { dial } = direction {
                let reason = "the socket cannot be watched".to_owned();
                self.pending.push_back(Pending::DialFailed { dial, reason });
            }
            return;
        }
        let conn = ConnId { slot: slot as u32, generation: self.next_generation };
        self.next_generation = self.next_generation.wrapping_add(1);
        entry.insert(Peer {
            stream,
            transport,
            conn,
            direction,
            address,
            established: false,
            connected,
            gone: false,
            touched: false,
            backlog: false,
            handshake_by_ms: now_ms + HANDSHAKE_MS,
        });
    }

    fn dial(&mut self, now_ms: u64, dial: DialId, peer: NodeId, address: NetAddr) {
        if let Some(socket) = socket_addr(&address) {
            return self.connect(now_ms, dial, peer, address, socket);
        }
        match &address {
            NetAddr::Dns(host, port) => {
                // The system's resolver blocks, so it has a thread of its own for the moment.
                let (host, port, sender, waker) = (host.clone(), *port, self.resolver.0.clone(), self.waker.clone());
                std::thread::spawn(move || {
                    let found = (host.as_str(), port).to_socket_addrs().map_err(|e| format!("{host}: {e}"));
                    let socket =
                        found.and_then(|mut found| found.next().ok_or_else(|| format!("{host} has no address")));
                    // Without a receiver the daemon has ended.
                    let _ = sender.send(Resolved { dial, peer, address, socket });
                    let _ = waker.wake();
                });
            }
            _ => {
                let reason = "onion addresses need a proxy, which is not supported yet".to_owned();
                self.pending.push_back(Pending::DialFailed { dial, reason });
            }
        }
    }

    fn connect(&mut self, now_ms: u64, dial: DialId, peer: NodeId, address: NetAddr, socket: std::net::SocketAddr) {
        let failed = |this: &mut Reactor, reason: String| {
            this.pending.push_back(Pending::DialFailed { dial, reason });
        };
        let Ok(remote) = peer.parse() else { return failed(self, "the node id is no point".to_owned()) };
        let Some(ephemeral) = draw_ephemeral() else { return failed(self, "no randomness".to_owned()) };
        match TcpStream::connect(socket) {
            Ok(stream) => {
                let transport = Transport::initiator(&remote, ephemeral, &mut self.pool);
                self.add_peer(now_ms, stream, transport, Direction::Outbound { dial }, address, false);
            }
            Err(e) => failed(self, e.to_string()),
        }
    }

    fn peer_event(&mut self, slot: usize, event: &mio::event::Event) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if event.is_writable() || event.is_error() {
            if !peer.connected {
                match peer.stream.take_error() {
                    Ok(None) if peer.stream.peer_addr().is_ok() => peer.connected = true,
                    Ok(None) => return,
                    Ok(Some(e)) | Err(e) => {
                        let conn = peer.conn;
                        return self.drop_peer(conn, Some(Cut::Socket(e.to_string())));
                    }
                }
            }
            self.flush_peer(slot);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.readable.push(slot);
        }
    }

    fn flush_peer(&mut self, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        match peer.flush(&mut self.pool) {
            Wrote::All if peer.backlog => {
                peer.backlog = false;
                let (conn, free) = (peer.conn, peer.transport.free() as u32);
                self.pending.push_back(Pending::WriteSpace { conn, free });
                // Reading may have been held up by the full buffer.
                self.still_ready.push(slot);
            }
            Wrote::All | Wrote::Some => {}
            Wrote::Failed(reason) => {
                let conn = peer.conn;
                self.drop_peer(conn, Some(Cut::Socket(reason)));
            }
        }
    }

    /// Ends a connection; `reason` is for the core, unless it asked for it.
    fn drop_peer(&mut self, conn: ConnId, reason: Option<Cut>) {
        let slot = conn.slot as usize;
        if self.peers.get(slot).is_none_or(|peer| peer.conn != conn) {
            return;
        }
        let mut peer = self.peers.remove(slot);
        // What was released is the last word; the socket takes it at once or not at all.
        let _ = peer.flush(&mut self.pool);
        let _ = self.poll.registry().deregister(&mut peer.stream);
        let _ = peer.stream.shutdown(std::net::Shutdown::Write);
        match (peer.established, peer.direction) {
            (true, _) => {
                let reason = reason.unwrap_or(Cut::Ours);
                self.pending.push_back(Pending::Disconnected { conn, reason });
            }
            (false, Direction::Outbound { dial }) => {
                let reason = reason.map_or_else(|| "cut".to_owned(), |cut| format!("{cut:?}"));
                self.pending.push_back(Pending::DialFailed { dial, reason });
            }
            (false, Direction::Inbound { .. }) => {}
        }
        peer.transport.close(&mut self.pool);
    }

    fn end_slow_handshakes(&mut self, now_ms: u64) {
        let late = |(_, peer): &(usize, &Peer)| !peer.established && peer.handshake_by_ms <= now_ms;
        for conn in self.peers.iter().filter(late).map(|(_, peer)| peer.conn).collect::<Vec<_>>() {
            self.drop_peer(conn, Some(Cut::Crypto("the handshake took too long".to_owned())));
        }
    }

    // --- Control clients --------------------------------------------------------------------------------------------

    fn accept_controls(&mut self) {
        loop {
            match self.control.accept() {
                Ok((mut stream, _)) => {
                    if self.sessions.len() >= SESSIONS_MAX {
                        continue;
                    }
                    let entry = self.sessions.vacant_entry();
                    let token = Token(SESSIONS + entry.key());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if self.poll.registry().register(&mut stream, token, interest).is_ok() {
                        let generation = self.next_session;
                        self.next_session += 1;
                        entry.insert(Control { stream, session: Session::default(), generation, ended: false });
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn read_session(&mut self, slot: usize, requests: &mut Vec<(RequestId, leyden_core::request::Request)>) {
        loop {
            let Some(control) = self.sessions.get_mut(slot) else { return };
            if control.ended || !control.session.wants_read() {
                return;
            }
            match control.stream.read(&mut self.scratch) {
                Ok(0) => control.ended = true,
                Ok(count) => {
                    control.session.received(&self.scratch[..count]);
                    self.take_requests(slot, requests);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => control.ended = true,
            }
        }
    }

    fn take_requests(&mut self, slot: usize, requests: &mut Vec<(RequestId, leyden_core::request::Request)>) {
        let Some(control) = self.sessions.get_mut(slot) else { return };
        while let Some((token, request)) = control.session.next_request(&self.view) {
            let id = RequestId(self.next_request);
            self.next_request += 1;
            self.requests.insert(id, (slot, control.generation, token));
            requests.push((id, request));
        }
    }

    fn flush_session(&mut self, slot: usize) {
        loop {
            let Some(control) = self.sessions.get_mut(slot) else { return };
            let output = control.session.output();
            if output.is_empty() {
                // A client that has shut its side may still wait for answers.
                let waits = control.session.in_flight().next().is_some();
                if control.session.is_finished() || (control.ended && !waits) {
                    self.end_session(slot);
                }
                return;
            }
            match control.stream.write(output) {
                Ok(count) => control.session.written(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.end_session(slot),
            }
        }
    }

    fn end_session(&mut self, slot: usize) {
        let Some(mut control) = self.sessions.try_remove(slot) else { return };
        let _ = self.poll.registry().deregister(&mut control.stream);
        let generation = control.generation;
        let pending = &mut self.pending;
        self.requests.retain(|id, (of, number, _)| {
            let gone = (*of, *number) == (slot, generation);
            if gone {
                pending.push_back(Pending::Gone(*id));
            }
            !gone
        });
    }

    /// The last words to control clients leave before the process does.
    fn farewell(&mut self) {
        for slot in self.sessions.iter().map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.flush_session(slot);
        }
    }
}

fn draw_ephemeral() -> Option<Ephemeral> {
    // All but a vanishing part of all bytes are keys.
    (0..8).find_map(|_| os_random::<32>().ok().and_then(|bytes| Ephemeral::new(*bytes)))
}

fn step_pending(node: &mut Node, clock: Clock, signer: &mut dyn Signer, out: &mut Outputs<'_, '_>, pending: Pending) {
    match pending {
        Pending::Loaded { query, table, rows } => {
            let rows: Vec<Row<'_>> = rows.iter().map(|row| Row { table, key: &row.key, value: &row.value }).collect();
            node.step(clock, Event::Loaded { query, rows: &rows }, signer, out);
        }
        Pending::Disconnected { conn, reason } => {
            node.step(clock, Event::Disconnected { conn, reason }, signer, out);
        }
        Pending::DialFailed { dial, reason } => node.step(clock, Event::DialFailed { dial, reason }, signer, out),
        Pending::Gone(id) => node.step(clock, Event::RequestGone { id }, signer, out),
        Pending::WriteSpace { conn, free } => node.step(clock, Event::WriteSpace { conn, free }, signer, out),
    }
}

fn step_chain(node: &mut Node, clock: Clock, signer: &mut dyn Signer, out: &mut Outputs<'_, '_>, event: DriverEvent) {
    let event = match event {
        DriverEvent::Begin { tip } => ChainEvent::Begin { tip },
        DriverEvent::BlockConnected { tip, time_s, ref matches, .. } => {
            let matches: Vec<Match<'_>> = matches.iter().map(|(index, tx)| Match { index: *index, tx }).collect();
            let event = ChainEvent::BlockConnected { tip, time_s, matches: &matches };
            return node.step(clock, Event::Chain(event), signer, out);
        }
        DriverEvent::BlockDisconnected { tip } => ChainEvent::BlockDisconnected { tip },
        DriverEvent::Synced { height } => ChainEvent::Synced { height },
        DriverEvent::Feerates(feerates) => ChainEvent::Feerates(feerates),
        DriverEvent::Broadcast { txid, outcome } => ChainEvent::Broadcast { txid, outcome },
        DriverEvent::Up { .. } => ChainEvent::Up,
        DriverEvent::Down(trouble) => ChainEvent::Down { reason: trouble.to_string() },
    };
    node.step(clock, Event::Chain(event), signer, out);
}

/// Reads from one peer, as much as a turn may take. Returns whether there may be more.
fn read_peer(
    node: &mut Node,
    clock: Clock,
    signer: &mut KeysSigner,
    public: PublicKey,
    out: &mut Outputs<'_, '_>,
    slot: usize,
    pending: &mut VecDeque<Pending>,
) -> bool {
    let Some(peer) = out.peers.get_mut(slot) else { return false };
    if peer.gone || !peer.connected {
        return false;
    }
    // A peer that does not take our answers is not asked for more questions.
    if peer.transport.free() < WRITE_BUFFER_SIZE / 2 {
        return false;
    }
    let conn = peer.conn;
    let mut input = peer.transport.begin_read(out.pool);
    let mut taken = 0;
    let mut end = None;
    let mut more = true;
    'reading: while taken < PEER_BYTES_PER_TURN {
        let Some(peer) = out.peers.get_mut(slot) else { break };
        match peer.read(input.space()) {
            Got::Bytes(count) => {
                taken += count;
                input.filled(count);
            }
            Got::Nothing => {
                more = false;
                break;
            }
            Got::End => {
                end = Some(Cut::Peer);
                break;
            }
            Got::Failed(reason) => {
                end = Some(Cut::Socket(reason));
                break;
            }
        }
        loop {
            let Some(peer) = out.peers.get_mut(slot) else { break 'reading };
            if peer.gone {
                break 'reading;
            }
            let mut key = NodeKey { signer: &mut *signer, public };
            let before = peer.transport.writable().len();
            match peer.transport.next(&mut input, &mut key, out.pool) {
                Ok(Some(Incoming::Established { remote })) => {
                    peer.established = true;
                    if !peer.touched {
                        peer.touched = true;
                        out.staged.touched.push(slot);
                    }
                    let (direction, address) = (peer.direction, peer.address.clone());
                    let event = Event::Connected { conn, peer: remote.into(), direction, address };
                    node.step(clock, event, signer, out);
                }
                Ok(Some(Incoming::Message(message))) => {
                    node.step(clock, Event::Received { conn, message }, signer, out);
                }
                Ok(None) => {
                    // An act of the handshake may be ready to leave.
                    if peer.transport.writable().len() != before && !peer.touched {
                        peer.touched = true;
                        out.staged.touched.push(slot);
                    }
                    break;
                }
                Err(error) => {
                    end = Some(Cut::Crypto(error.to_string()));
                    break 'reading;
                }
            }
        }
    }
    if let Some(peer) = out.peers.get_mut(slot).filter(|peer| peer.conn == conn) {
        peer.transport.end_read(input, out.pool);
        if let Some(reason) = end {
            if peer.established && !peer.gone {
                pending.push_back(Pending::Disconnected { conn, reason });
                peer.established = false;
                peer.direction = Direction::Inbound { listener: u16::MAX };
            } else if let Direction::Outbound { dial } = peer.direction {
                pending.push_back(Pending::DialFailed { dial, reason: format!("{reason:?}") });
                peer.direction = Direction::Inbound { listener: u16::MAX };
            }
            peer.gone = true;
            out.staged.disconnects.push(conn);
            return false;
        }
    }
    more
}

/// The two signals that end a daemon in good order.
mod signal_hook_mio_signals {
    pub(super) const SIGTERM: i32 = 15;
    pub(super) const SIGINT: i32 = 2;
}
