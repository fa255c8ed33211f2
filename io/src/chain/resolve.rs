//! Where a host is. The system's resolver blocks, and nothing may hold up the loop: a name is looked up by a thread of its
//! own, which rings by closing its end of a pair of sockets.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

/// What a host has.
pub(super) type Addresses = io::Result<Vec<SocketAddr>>;

/// The addresses that need no resolver: literal ones, and those of this machine, which stand in a file of it.
pub(super) fn at_once(address: &str) -> Option<Addresses> {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Some(Ok(vec![address]));
    }
    let is_local = address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost");
    is_local.then(|| look_up(address))
}

fn look_up(address: &str) -> Addresses {
    let mut addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    // bitcoind listens on both of localhost's addresses by default, or else on the older one.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

/// A look-up under way.
pub(super) struct Lookup {
    receiver: mpsc::Receiver<Addresses>,
    bell: UnixStream,
}

impl Lookup {
    /// Begins one; its end reports under `token`.
    pub(super) fn begin(address: &str, registry: &Registry, token: Token) -> io::Result<Lookup> {
        let address = address.to_owned();
        Lookup::begin_with(move || look_up(&address), registry, token)
    }

    fn begin_with(
        look_up: impl FnOnce() -> Addresses + Send + 'static,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Lookup> {
        let (sender, receiver) = mpsc::channel();
        let (mut bell, rope) = UnixStream::pair()?;
        registry.register(&mut bell, token, Interest::READABLE)?;
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            // Without a receiver nobody waits any more.
            let _ = sender.send(look_up());
            drop(rope);
        })?;
        Ok(Lookup { receiver, bell })
    }

    /// What it has found, once it has.
    pub(super) fn found(&self) -> Option<Addresses> {
        match self.receiver.try_recv() {
            Ok(found) => Some(found),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => {
                Some(Err(io::Error::other("the resolver ended without an answer")))
            }
        }
    }

    /// Nobody waits any more.
    pub(super) fn end(mut self, registry: &Registry) {
        // It goes with the socket anyway.
        let _ = registry.deregister(&mut self.bell);
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn a_slow_resolver_holds_up_nobody_and_rings_when_it_is_done() {
        let mut poll = Poll::new().unwrap();
        let (release, held) = mpsc::channel::<()>();
        let address: SocketAddr = "192.0.2.7:8332".parse().unwrap();
        let slow = move || {
            held.recv().unwrap();
            Ok(vec![address])
        };
        let lookup = Lookup::begin_with(slow, poll.registry(), Token(5)).unwrap();
        assert!(lookup.found().is_none());
        release.send(()).unwrap();
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, None).unwrap();
        assert!(events.iter().any(|event| event.token() == Token(5)));
        assert_eq!(lookup.found().unwrap().unwrap(), [address]);
        lookup.end(poll.registry());
    }

    #[test]
    fn what_is_no_name_needs_no_resolver() {
        assert_eq!(at_once("127.0.0.1:18443").unwrap().unwrap(), ["127.0.0.1:18443".parse().unwrap()]);
        assert_eq!(at_once("[::1]:8332").unwrap().unwrap(), ["[::1]:8332".parse().unwrap()]);
        assert!(at_once("localhost:8332").is_some());
        assert!(at_once("bitcoind.example.org:8332").is_none());
    }
}
