//! Calls to other nodes: names become addresses, addresses become sockets, one after the other until one connects.
//!
//! The system's resolver blocks, so each look-up has a thread of its own for the moment; there are few at a time.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};

use leyden_core::address::NetAddr;
use leyden_core::event::Direction;
use leyden_core::ids::{ConnId, DialId, NodeId};
use leyden_core::transport::{Ephemeral, Transport};
use mio::net::TcpStream;
use mio::{Registry, Token, Waker};

use crate::config::Proxy;
use crate::notice::Notice;
use crate::peers::{Arrival, Peers, Stage};
use crate::seed::os_random;
use crate::socks::Socks;

/// Look-ups under way; more wait for these.
const LOOKUPS_MAX: usize = 8;
/// Look-ups that wait.
const LOOKUPS_WAITING_MAX: usize = 1_024;
/// Addresses to try of one host.
const ADDRESSES_MAX: usize = 8;

/// What `Command::Dial` said.
pub(crate) struct Dial {
    pub(crate) dial: DialId,
    pub(crate) peer: NodeId,
    pub(crate) address: NetAddr,
}

/// A dial whose look-up has ended.
struct Found {
    dial: Dial,
    addresses: Result<Vec<SocketAddr>, String>,
}

/// Dials that have no socket yet.
pub(crate) struct Dials {
    sender: mpsc::Sender<Found>,
    receiver: mpsc::Receiver<Found>,
    waker: Arc<Waker>,
    running: usize,
    waiting: VecDeque<Dial>,
    proxy: Option<Proxy>,
}

impl Dials {
    /// Look-ups that end report under `token`.
    pub(crate) fn new(registry: &Registry, token: Token, proxy: Option<Proxy>) -> std::io::Result<Dials> {
        let (sender, receiver) = mpsc::channel();
        let waker = Arc::new(Waker::new(registry, token)?);
        Ok(Dials { sender, receiver, waker, running: 0, waiting: VecDeque::new(), proxy })
    }

    /// Begins one.
    pub(crate) fn begin(&mut self, dial: Dial, peers: &mut Peers, now_ms: u64, notices: &mut VecDeque<Notice>) {
        match (&dial.address, self.proxy) {
            (NetAddr::Tor3(..), None) => {
                fail(dial.dial, "onion addresses need a SOCKS 5 proxy: see --proxy".to_owned(), notices);
            }
            // A name of the onion network means nothing to the system's resolver, and would be told to others.
            (NetAddr::Dns(host, _), None) if host.ends_with(".onion") => {
                fail(dial.dial, format!("{host} is no onion address of version 3"), notices);
            }
            (NetAddr::Tor3(..), Some(proxy)) | (_, Some(proxy @ Proxy { for_all: true, .. })) => {
                connect(dial, vec![proxy.address], true, peers, now_ms, notices);
            }
            (NetAddr::Ip4(ip, port), _) => {
                let address = (*ip, *port).into();
                connect(dial, vec![address], false, peers, now_ms, notices);
            }
            (NetAddr::Ip6(ip, port), _) => {
                let address = (*ip, *port).into();
                connect(dial, vec![address], false, peers, now_ms, notices);
            }
            (NetAddr::Dns(..), _) if self.waiting.len() < LOOKUPS_WAITING_MAX => {
                self.waiting.push_back(dial);
                self.look_up();
            }
            (NetAddr::Dns(..), _) => fail(dial.dial, "too many names to resolve at once".to_owned(), notices),
        }
    }

    fn look_up(&mut self) {
        while self.running < LOOKUPS_MAX
            && let Some(dial) = self.waiting.pop_front()
        {
            self.running += 1;
            let (sender, waker) = (self.sender.clone(), self.waker.clone());
            std::thread::spawn(move || {
                let addresses = resolve(&dial.address);
                // Without a receiver the daemon has ended.
                let _ = sender.send(Found { dial, addresses });
                let _ = waker.wake();
            });
        }
    }

    /// Look-ups have ended.
    pub(crate) fn ready(&mut self, peers: &mut Peers, now_ms: u64, notices: &mut VecDeque<Notice>) {
        while let Ok(Found { dial, addresses }) = self.receiver.try_recv() {
            self.running -= 1;
            match addresses {
                Ok(addresses) => connect(dial, addresses, false, peers, now_ms, notices),
                Err(reason) => fail(dial.dial, reason, notices),
            }
        }
        self.look_up();
    }
}

fn resolve(address: &NetAddr) -> Result<Vec<SocketAddr>, String> {
    let NetAddr::Dns(host, port) = address else { unreachable!("only names are looked up") };
    let found = (host.as_str(), *port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() { Err(format!("{host} has no address")) } else { Ok(addresses) }
}

fn fail(dial: DialId, reason: String, notices: &mut VecDeque<Notice>) {
    notices.push_back(Notice::DialFailed { dial, reason });
}

/// Connects to the first of the addresses that gives a socket; the others stay for when that socket fails. They may be
/// a proxy's, which is asked to connect to the peer then.
fn connect(
    dial: Dial,
    addresses: Vec<SocketAddr>,
    is_proxy: bool,
    peers: &mut Peers,
    now_ms: u64,
    notices: &mut VecDeque<Notice>,
) {
    let Dial { dial, peer, address } = dial;
    let through = match is_proxy.then(|| Socks::new(&address)).transpose() {
        Ok(through) => through,
        Err(reason) => return fail(dial, reason, notices),
    };
    let Ok(remote) = peer.parse() else { return fail(dial, format!("{peer} is no point"), notices) };
    if !peers.has_room() {
        return fail(dial, "too many connections".to_owned(), notices);
    }
    let mut reason = "no address".to_owned();
    let mut others = addresses.into_iter();
    while let Some(next) = others.next() {
        match TcpStream::connect(next) {
            Ok(stream) => {
                let Some(ephemeral) = draw_ephemeral() else {
                    return fail(dial, "the operating system gives no randomness".to_owned(), notices);
                };
                let transport = Transport::initiator(&remote, ephemeral, &mut peers.pool);
                let stage = Stage::Connecting { peer, others: others.collect(), through };
                let direction = Direction::Outbound { dial };
                let added = peers.add(Arrival { stream, transport, direction, address, stage }, now_ms, notices);
                return added.unwrap_or_else(|error| fail(dial, error.to_string(), notices));
            }
            Err(error) => reason = format!("{next}: {error}"),
        }
    }
    fail(dial, reason, notices);
}

/// A socket did not connect: on to the next address of its host.
pub(crate) fn connect_failed(
    conn: ConnId,
    reason: String,
    peers: &mut Peers,
    now_ms: u64,
    notices: &mut VecDeque<Notice>,
) {
    let Some(failed) = peers.take_connecting(conn) else { return };
    let Direction::Outbound { dial } = failed.direction else { return };
    if failed.others.is_empty() {
        let reason = if failed.is_proxy { format!("the proxy cannot be reached: {reason}") } else { reason };
        return fail(dial, reason, notices);
    }
    let dial = Dial { dial, peer: failed.peer, address: failed.address };
    connect(dial, failed.others, false, peers, now_ms, notices);
}

/// A key for one handshake.
pub(crate) fn draw_ephemeral() -> Option<Ephemeral> {
    // All but a vanishing part of all bytes are keys.
    (0..8).find_map(|_| os_random::<32>().ok().and_then(|bytes| Ephemeral::new(*bytes)))
}
