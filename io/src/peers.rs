//! Connections with other nodes: sockets, handshakes, buffers.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use leyden_core::event::{Direction, NetAddr};
use leyden_core::ids::ConnId;
use leyden_core::signer::Signer;
use leyden_core::transport::{BufferPool, StaticKey, Transport};
use mio::net::TcpStream;
use secp256k1::PublicKey;

/// A handshake that takes longer is given up.
pub(crate) const HANDSHAKE_MS: u64 = 15_000;

/// One connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) transport: Transport,
    pub(crate) conn: ConnId,
    pub(crate) direction: Direction,
    pub(crate) address: NetAddr,
    /// Does the core know of it?
    pub(crate) established: bool,
    /// The connection itself stands (a dial may still be under way).
    pub(crate) connected: bool,
    /// Cut it once what was released has left.
    pub(crate) gone: bool,
    pub(crate) touched: bool,
    /// The socket took less than there was; the core is told when it has drained.
    pub(crate) backlog: bool,
    pub(crate) handshake_by_ms: u64,
}

/// The node's key, as the handshake needs it.
pub(crate) struct NodeKey<'a> {
    pub(crate) signer: &'a mut dyn Signer,
    pub(crate) public: PublicKey,
}

impl StaticKey for NodeKey<'_> {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        self.signer.ecdh(point)
    }
}

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    All,
    Some,
    Failed(String),
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes; the buffer may be full.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer has closed.
    End,
    /// The socket failed.
    Failed(String),
}

impl Peer {
    /// Writes what is released, as far as the socket takes it.
    pub(crate) fn flush(&mut self, pool: &mut BufferPool) -> Wrote {
        if !self.connected {
            return Wrote::Some;
        }
        loop {
            let bytes = self.transport.writable();
            if bytes.is_empty() {
                return Wrote::All;
            }
            match self.stream.write(bytes) {
                Ok(0) => return Wrote::Failed("the socket takes nothing".to_owned()),
                Ok(count) => self.transport.wrote(count, pool),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.backlog = true;
                    return Wrote::Some;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Wrote::Failed(e.to_string()),
            }
        }
    }

    /// Reads into `space`.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> Got {
        loop {
            match self.stream.read(space) {
                Ok(0) => return Got::End,
                Ok(count) => return Got::Bytes(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Got::Nothing,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Got::Failed(e.to_string()),
            }
        }
    }
}

/// The core's form of an address.
pub(crate) fn net_addr(address: SocketAddr) -> NetAddr {
    match address {
        SocketAddr::V4(v4) => NetAddr::Ip4(v4.ip().octets(), v4.port()),
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => NetAddr::Ip4(v4.octets(), v6.port()),
            None => NetAddr::Ip6(v6.ip().octets(), v6.port()),
        },
    }
}

/// An address that a socket can connect to; names need a resolver, onions a proxy.
pub(crate) fn socket_addr(address: &NetAddr) -> Option<SocketAddr> {
    match address {
        NetAddr::Ip4(ip, port) => Some((*ip, *port).into()),
        NetAddr::Ip6(ip, port) => Some((*ip, *port).into()),
        NetAddr::Tor3(..) | NetAddr::Dns(..) => None,
    }
}
