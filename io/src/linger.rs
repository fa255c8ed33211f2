//! Last words: connections that we ended, until the peer has read what we said before.
//!
//! A socket that is closed while unread bytes wait in it is reset, and a reset makes the peer's system drop what it has
//! not given to the peer yet: an `error` or `warning` just before the end would be lost. So our half is shut, and what
//! still comes is dropped until the peer shuts its own half or the time is over.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;

/// First token of these sockets.
pub(crate) const LINGERS: usize = 1 << 30;
/// How long a peer may take to close its half.
const LINGER_MS: u64 = 2_000;
/// More than this are not waited for.
pub(crate) const LINGERS_MAX: usize = 256;
/// A peer that sends more than this does not listen.
const DROPPED_BYTES_MAX: usize = 1 << 20;

struct Linger {
    stream: TcpStream,
    by_ms: u64,
    dropped_bytes: usize,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Lingers {
    slab: Slab<Linger>,
}

impl Lingers {
    /// Shuts our half and waits for the peer's.
    pub(crate) fn add(&mut self, mut stream: TcpStream, registry: &Registry, now_ms: u64) {
        let shut = stream.shutdown(Shutdown::Write);
        let token = Token(LINGERS + self.slab.vacant_key());
        if self.slab.len() >= LINGERS_MAX
            || shut.is_err()
            || registry.reregister(&mut stream, token, Interest::READABLE).is_err()
        {
            let _ = registry.deregister(&mut stream);
            return;
        }
        let slot = self.slab.insert(Linger { stream, by_ms: now_ms + LINGER_MS, dropped_bytes: 0 });
        self.ready(slot, registry);
    }

    /// Drops what has come, and the socket with the peer's end.
    pub(crate) fn ready(&mut self, slot: usize, registry: &Registry) {
        let Some(linger) = self.slab.get_mut(slot) else { return };
        let mut bytes = [0; 4096];
        loop {
            match linger.stream.read(&mut bytes) {
                Ok(count) if count > 0 && linger.dropped_bytes < DROPPED_BYTES_MAX => linger.dropped_bytes += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        self.remove(slot, registry);
    }

    fn remove(&mut self, slot: usize, registry: &Registry) {
        let mut linger = self.slab.remove(slot);
        let _ = registry.deregister(&mut linger.stream);
    }

    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.slab.iter().map(|(_, linger)| linger.by_ms).min()
    }

    pub(crate) fn tick(&mut self, registry: &Registry, now_ms: u64) {
        while let Some(slot) = self.slab.iter().find(|(_, linger)| linger.by_ms <= now_ms).map(|(slot, _)| slot) {
            self.remove(slot, registry);
        }
    }
}
