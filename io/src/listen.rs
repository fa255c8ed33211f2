//! Callers: sockets that listen for other nodes.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;

use leyden_core::address::NetAddr;
use leyden_core::event::Direction;
use leyden_core::transport::Transport;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};

use crate::dial::draw_ephemeral;
use crate::notice::Notice;
use crate::peers::{Arrival, Peers, Stage};

/// First token of the listening sockets.
pub(crate) const LISTENERS: usize = 16;
/// Addresses to listen on.
pub const LISTENERS_MAX: usize = 16;
/// Callers to take in per turn; the others wait in the system's queue.
const ACCEPTS_PER_TURN: usize = 64;
/// When to look again after the system had no descriptor left.
const RETRY_MS: u64 = 200;

struct Listener {
    socket: TcpListener,
    /// There may be callers from then on.
    ready_at_ms: Option<u64>,
}

/// All of them.
pub(crate) struct Listeners(Vec<Listener>);

impl Listeners {
    pub(crate) fn new(sockets: Vec<std::net::TcpListener>, registry: &Registry) -> std::io::Result<Listeners> {
        assert!(sockets.len() <= LISTENERS_MAX, "whoever opens the sockets knows the bound");
        let mut listeners = Vec::new();
        for (number, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let mut socket = TcpListener::from_std(socket);
            registry.register(&mut socket, Token(LISTENERS + number), Interest::READABLE)?;
            listeners.push(Listener { socket, ready_at_ms: None });
        }
        Ok(Listeners(listeners))
    }

    /// A socket has reported.
    pub(crate) fn ready(&mut self, token: Token, now_ms: u64) {
        if let Some(listener) = self.0.get_mut(token.0 - LISTENERS) {
            listener.ready_at_ms = Some(now_ms);
        }
    }

    /// When there may be callers.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.0.iter().filter_map(|listener| listener.ready_at_ms).min()
    }

    /// Takes callers in.
    pub(crate) fn accept(&mut self, peers: &mut Peers, now_ms: u64, notices: &mut VecDeque<Notice>) {
        for (number, listener) in self.0.iter_mut().enumerate() {
            if listener.ready_at_ms.is_none_or(|at_ms| at_ms > now_ms) {
                continue;
            }
            for _ in 0..ACCEPTS_PER_TURN {
                match listener.socket.accept() {
                    Ok((stream, address)) => {
                        let Some(ephemeral) = draw_ephemeral().filter(|_| peers.has_room()) else { continue };
                        let arrival = Arrival {
                            stream,
                            transport: Transport::responder(ephemeral),
                            direction: Direction::Inbound { listener: number as u16 },
                            address: net_addr(address),
                            stage: Stage::Handshake,
                        };
                        // A caller that cannot be watched is closed; it may call again.
                        let _ = peers.add(arrival, now_ms, notices);
                    }
                    Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        listener.ready_at_ms = None;
                        break;
                    }
                    // Descriptors have run out, most likely. Nothing would report that there are some again.
                    Err(_) => {
                        listener.ready_at_ms = Some(now_ms + RETRY_MS);
                        break;
                    }
                }
            }
        }
    }
}

/// The core's form of an address.
fn net_addr(address: SocketAddr) -> NetAddr {
    match address {
        SocketAddr::V4(v4) => NetAddr::Ip4(v4.ip().octets(), v4.port()),
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => NetAddr::Ip4(v4.octets(), v6.port()),
            None => NetAddr::Ip6(v6.ip().octets(), v6.port()),
        },
    }
}
