//! Connections with other nodes, from their sockets to their write buffers.
//!
//! Sockets are edge-triggered: a socket that has reported is read until it has no more, or else it stays in the queue
//! of those that are ready. A connection goes through [`Stage`]s; it is removed only between the machine's steps, so that within a
//! step of the machine no slot changes its owner.

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use leyden_core::address::NetAddr;
use leyden_core::event::{Cut, Direction};
use leyden_core::ids::{ConnId, NodeId};
use leyden_core::limits::{PEERS_MAX, WRITE_BUFFER_SIZE};
use leyden_core::transport::{BufferPool, Transport};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;

use crate::linger::Lingers;
use crate::notice::Notice;
use crate::socks::Socks;

/// First token of the connections.
pub(crate) const PEERS: usize = 1 << 20;

/// A connection and handshake that take longer are given up.
pub(crate) const HANDSHAKE_MS: u64 = 15_000;
/// The same through a proxy, which may have to build a way there first.
const PROXY_MS: u64 = 60_000;
/// Handshakes of callers under way. One more ends the oldest: who calls and says nothing must not keep others out.
pub(crate) const HANDSHAKES_MAX: usize = 512;
/// A peer is not read while less than this is free in its write buffer: who does not take our answers is not asked for
/// more questions.
pub(crate) const READ_FREE_MIN: usize = WRITE_BUFFER_SIZE / 2;
/// Spare boxes to keep: traffic comes in bursts.
const SPARES_MAX: usize = 16;

const _: () = assert!(HANDSHAKES_MAX < PEERS_MAX);

/// How far a connection is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The socket connects; if it fails, these addresses of the same host are next. It may be a proxy's.
    Connecting { peer: NodeId, others: Vec<SocketAddr>, through: Option<Socks> },
    /// The proxy connects.
    Proxy(Socks),
    /// The handshake is under way.
    Handshake,
    /// The machine knows of it.
    Open,
    /// It ends with this turn. Nothing more is read from it or written to it.
    Leaving,
}

/// One connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) transport: Transport,
    pub(crate) conn: ConnId,
    pub(crate) direction: Direction,
    pub(crate) address: NetAddr,
    pub(crate) stage: Stage,
    /// Has the machine been told of it?
    pub(crate) known: bool,
    /// Is it in the queue of those to read?
    queued: bool,
    /// Is it on the turn's list of those with something to release?
    pub(crate) touched: bool,
    /// The socket took less than there was: it will report when it takes more.
    backlog: bool,
    /// Reading waits for the write buffer.
    pub(crate) held: bool,
    /// The handshake must be done by then.
    by_ms: u64,
}

/// What came of reading.
#[derive(Debug)]
pub(crate) enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now; the socket will report.
    Nothing,
    /// No more ever.
    End(Cut),
}

impl Peer {
    /// Reads into `space`, which is not empty.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> Got {
        loop {
            match self.stream.read(space) {
                Ok(0) => return Got::End(Cut::Peer),
                Ok(count) => return Got::Bytes(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Got::Nothing,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Got::End(Cut::Socket(e.to_string())),
            }
        }
    }

    /// Writes what is released, as far as the socket takes it at once.
    fn flush(&mut self, pool: &mut BufferPool) -> std::io::Result<()> {
        loop {
            let bytes = self.transport.writable();
            if bytes.is_empty() {
                return Ok(());
            }
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.transport.wrote(count, pool),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.backlog = true;
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A new connection, before it has a name.
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) transport: Transport,
    pub(crate) direction: Direction,
    pub(crate) address: NetAddr,
    pub(crate) stage: Stage,
}

/// What is left of a socket that did not connect.
pub(crate) struct Failed {
    pub(crate) peer: NodeId,
    pub(crate) others: Vec<SocketAddr>,
    /// Was it a proxy's?
    pub(crate) is_proxy: bool,
    pub(crate) direction: Direction,
    pub(crate) address: NetAddr,
}

/// All connections.
pub(crate) struct Peers {
    pub(crate) slab: Slab<Peer>,
    pub(crate) pool: BufferPool,
    registry: Registry,
    next_generation: u32,
    /// Those whose sockets may hold something; each at most once.
    ready: VecDeque<ConnId>,
    /// Those whose handshake is not done, by their end.
    shaking: BTreeSet<(u64, ConnId)>,
    lingers: Lingers,
    pub(crate) handshakes_max: usize,
}

impl Peers {
    pub(crate) fn new(registry: Registry) -> Peers {
        Peers {
            slab: Slab::new(),
            pool: BufferPool::new(SPARES_MAX),
            registry,
            next_generation: 0,
            ready: VecDeque::new(),
            shaking: BTreeSet::new(),
            lingers: Lingers::default(),
            handshakes_max: HANDSHAKES_MAX,
        }
    }

    /// The connection of this name. A slot alone could be somebody else's by now.
    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Peer> {
        self.slab.get_mut(conn.slot as usize).filter(|peer| peer.conn == conn)
    }

    /// Whom a token means.
    pub(crate) fn conn_of(&self, token: Token) -> Option<ConnId> {
        self.slab.get(token.0 - PEERS).map(|peer| peer.conn)
    }

    /// Is there room for one more?
    pub(crate) fn has_room(&self) -> bool {
        self.slab.len() < PEERS_MAX
    }

    /// Takes a new connection in. On an error it is closed.
    pub(crate) fn add(&mut self, arrival: Arrival, now_ms: u64, notices: &mut VecDeque<Notice>) -> std::io::Result<()> {
        let Arrival { mut stream, transport, direction, address, stage } = arrival;
        if matches!(direction, Direction::Inbound { .. })
            && self.shaking.len() >= self.handshakes_max
            && let Some(oldest) = self.oldest_caller()
        {
            self.end(oldest, Cut::Crypto("too many handshakes at once".to_owned()), now_ms, notices);
        }
        // Latency matters more than the number of packets.
        let _ = stream.set_nodelay(true);
        let entry = self.slab.vacant_entry();
        let slot = entry.key();
        let registered =
            self.registry.register(&mut stream, Token(PEERS + slot), Interest::READABLE | Interest::WRITABLE);
        if let Err(error) = registered {
            transport.close(&mut self.pool);
            return Err(error);
        }
        let conn = ConnId { slot: slot as u32, generation: self.next_generation };
        self.next_generation = self.next_generation.wrapping_add(1);
        let is_far = matches!(stage, Stage::Connecting { through: Some(_), .. });
        let by_ms = now_ms + if is_far { PROXY_MS } else { HANDSHAKE_MS };
        self.shaking.insert((by_ms, conn));
        entry.insert(Peer {
            stream,
            transport,
            conn,
            direction,
            address,
            stage,
            known: false,
            queued: false,
            touched: false,
            backlog: false,
            held: false,
            by_ms,
        });
        Ok(())
    }

    /// The one of those who called us that has been at its handshake for longest. Our own dials are not its rivals.
    fn oldest_caller(&self) -> Option<ConnId> {
        let is_caller = |conn: &ConnId| {
            self.slab.get(conn.slot as usize).is_some_and(|peer| matches!(peer.direction, Direction::Inbound { .. }))
        };
        self.shaking.iter().map(|(_, conn)| *conn).find(is_caller)
    }

    /// The handshake is done.
    pub(crate) fn established(&mut self, conn: ConnId) {
        if let Some(peer) = self.get_mut(conn) {
            peer.stage = Stage::Open;
            peer.known = true;
            let by_ms = peer.by_ms;
            self.shaking.remove(&(by_ms, conn));
        }
    }

    /// Whether the dialled socket is connected now; otherwise why it never will be, if that is known already.
    pub(crate) fn check_connected(&mut self, conn: ConnId) -> Result<bool, String> {
        let Some(peer) = self.get_mut(conn) else { return Ok(false) };
        if !matches!(peer.stage, Stage::Connecting { .. }) {
            return Ok(true);
        }
        match peer.stream.take_error() {
            Ok(Some(error)) | Err(error) => Err(error.to_string()),
            Ok(None) => match peer.stream.peer_addr() {
                Ok(_) => {
                    peer.stage = match std::mem::replace(&mut peer.stage, Stage::Handshake) {
                        Stage::Connecting { through: Some(socks), .. } => Stage::Proxy(socks),
                        _ => Stage::Handshake,
                    };
                    Ok(true)
                }
                Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// Talks with the proxy, if there is one to talk with, as far as its socket allows. Whether the peer is on the line;
    /// the error says why it never will be.
    pub(crate) fn advance_proxy(&mut self, conn: ConnId) -> Result<bool, String> {
        let Some(Peer { stream, stage, .. }) = self.get_mut(conn) else { return Ok(false) };
        let Stage::Proxy(socks) = stage else { return Ok(true) };
        let is_over = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        while !socks.is_done() {
            if !socks.writable().is_empty() {
                match stream.write(socks.writable()) {
                    Ok(0) => return Err("the proxy takes nothing".to_owned()),
                    Ok(count) => socks.wrote(count),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if is_over(&error) => return Ok(false),
                    Err(error) => return Err(format!("proxy: {error}")),
                }
                continue;
            }
            let mut space = [0; 64];
            let wanted = socks.wanted().min(space.len());
            match stream.read(&mut space[..wanted]) {
                Ok(0) => return Err("the proxy closed the connection".to_owned()),
                Ok(count) => socks.take(&space[..count])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_over(&error) => return Ok(false),
                Err(error) => return Err(format!("proxy: {error}")),
            }
        }
        *stage = Stage::Handshake;
        Ok(true)
    }

    /// The socket may hold something.
    pub(crate) fn queue(&mut self, conn: ConnId) {
        if let Some(peer) = self.get_mut(conn)
            && !peer.queued
        {
            peer.queued = true;
            self.ready.push_back(conn);
        }
    }

    /// How many are to be read.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// The next one to read.
    pub(crate) fn next_ready(&mut self) -> Option<ConnId> {
        let conn = self.ready.pop_front()?;
        if let Some(peer) = self.get_mut(conn) {
            peer.queued = false;
        }
        Some(conn)
    }

    /// Writes what is released. When a buffer has drained that had to wait, the machine hears of it and reading goes on.
    pub(crate) fn flush(&mut self, conn: ConnId, now_ms: u64, notices: &mut VecDeque<Notice>) {
        let Peers { slab, pool, .. } = self;
        let Some(peer) = slab.get_mut(conn.slot as usize).filter(|peer| peer.conn == conn) else { return };
        if matches!(peer.stage, Stage::Connecting { .. } | Stage::Proxy(_)) {
            return;
        }
        if let Err(error) = peer.flush(pool) {
            return self.end(conn, Cut::Socket(error.to_string()), now_ms, notices);
        }
        let free = peer.transport.free();
        if peer.backlog && peer.transport.writable().is_empty() {
            peer.backlog = false;
            if peer.known {
                notices.push_back(Notice::WriteSpace { conn, free: free as u32 });
            }
        }
        if peer.held && free >= READ_FREE_MIN {
            peer.held = false;
            self.queue(conn);
        }
    }

    /// Ends a connection and tells the machine, if it knows of it. If the end is ours, what was released before is
    /// the last word, and the peer gets time to read it.
    pub(crate) fn end(&mut self, conn: ConnId, reason: Cut, now_ms: u64, notices: &mut VecDeque<Notice>) {
        if self.get_mut(conn).is_none() {
            return;
        }
        let mut peer = self.slab.remove(conn.slot as usize);
        self.shaking.remove(&(peer.by_ms, conn));
        if peer.known {
            notices.push_back(Notice::Disconnected { conn, reason: reason.clone() });
        } else if let Direction::Outbound { dial } = peer.direction {
            notices.push_back(Notice::DialFailed { dial, reason: said(&reason) });
        }
        let lingers = reason == Cut::Ours && peer.flush(&mut self.pool).is_ok();
        peer.transport.close(&mut self.pool);
        if lingers {
            self.lingers.add(peer.stream, &self.registry, now_ms);
        } else {
            // It goes with the socket anyway.
            let _ = self.registry.deregister(&mut peer.stream);
        }
    }

    /// Takes a socket out that did not connect.
    pub(crate) fn take_connecting(&mut self, conn: ConnId) -> Option<Failed> {
        if !matches!(self.get_mut(conn)?.stage, Stage::Connecting { .. }) {
            return None;
        }
        let mut failed = self.slab.remove(conn.slot as usize);
        self.shaking.remove(&(failed.by_ms, conn));
        let _ = self.registry.deregister(&mut failed.stream);
        failed.transport.close(&mut self.pool);
        match failed.stage {
            Stage::Connecting { peer, others, through } => Some(Failed {
                peer,
                others,
                is_proxy: through.is_some(),
                direction: failed.direction,
                address: failed.address,
            }),
            Stage::Proxy(_) | Stage::Handshake | Stage::Open | Stage::Leaving => None,
        }
    }

    /// A socket that waits for its peer's end has reported.
    pub(crate) fn linger_ready(&mut self, slot: usize) {
        self.lingers.ready(slot, &self.registry);
    }

    /// When the next handshake or last word must be done.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        let handshake = self.shaking.first().map(|(by_ms, _)| *by_ms);
        handshake.into_iter().chain(self.lingers.next_deadline_ms()).min()
    }

    /// Gives up handshakes and last words that take too long.
    pub(crate) fn tick(&mut self, now_ms: u64, notices: &mut VecDeque<Notice>) {
        while let Some(&(by_ms, conn)) = self.shaking.first()
            && by_ms <= now_ms
        {
            self.end(conn, Cut::Crypto("the handshake took too long".to_owned()), now_ms, notices);
        }
        self.lingers.tick(&self.registry, now_ms);
    }
}

/// A reason in words.
pub(crate) fn said(reason: &Cut) -> String {
    match reason {
        Cut::Peer => "the peer closed the connection".to_owned(),
        Cut::Ours => "closed from here".to_owned(),
        Cut::Socket(text) | Cut::Crypto(text) => text.clone(),
        Cut::Overflow => "the peer did not take what we had to send".to_owned(),
        Cut::Replaced => "a newer connection took its place".to_owned(),
    }
}
