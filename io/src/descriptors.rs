//! How many sockets and files the system lets us have.

use leyden_core::limits::PEERS_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::control::SESSIONS_MAX;
use crate::linger::LINGERS_MAX;

/// For the store, the log, the loop itself, the backend, look-ups and what else the libraries hold.
const OTHERS: u64 = 128;

/// What all bounds of the loop take together.
pub const WANTED: u64 = (PEERS_MAX + SESSIONS_MAX + LINGERS_MAX) as u64 + OTHERS;

/// Asks for as many descriptors as the loop's bounds need: how many it may have now.
///
/// Many systems give a process 1,024 unless it asks. A node that runs out of them refuses peers with which it has
/// channels.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let wanted = WANTED.min(limit.maximum.unwrap_or(u64::MAX));
    if current >= wanted {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }) {
        Ok(()) => wanted,
        Err(_) => current,
    }
}
