//! The chain backend, as the reactor sees it: one of two kinds.

use std::io;

use bitcoin::Transaction;
use leyden_core::command::Watch;
use leyden_core::config::Network;
use mio::{Registry, Token};

use super::bitcoind::BitcoindDriver;
use super::embedded::{EmbeddedDriver, SharedChain};
use super::event::{DriverEvent, Start};
use crate::config::Bitcoind;

/// The chain backend.
///
/// Each turn of the loop: [`ready`](Driver::ready) if the token reported, [`tick`](Driver::tick) if
/// [`next_deadline_ms`](Driver::next_deadline_ms) has come, then [`poll_event`](Driver::poll_event) until there is none.
/// What the core wants watched because of an event has to be handed to [`watch`](Driver::watch) in the same turn.
pub enum Driver {
    /// Another process, over a socket.
    Bitcoind(Box<BitcoindDriver>),
    /// A chain in this process.
    Embedded(Box<EmbeddedDriver>),
}

impl Driver {
    /// A driver that connects as soon as it is [registered](Driver::register).
    pub fn bitcoind(config: Bitcoind, network: Network, start: Start) -> Driver {
        Driver::Bitcoind(Box::new(BitcoindDriver::new(config, network, start)))
    }

    /// A driver on a chain that this process hosts.
    pub fn embedded(chain: SharedChain, start: Start) -> Driver {
        Driver::Embedded(Box::new(EmbeddedDriver::new(chain, start)))
    }

    /// Names the loop's registry and the token that is the driver's.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Driver::Bitcoind(driver) => driver.register(registry, token),
            Driver::Embedded(driver) => driver.register(registry, token),
        }
    }

    /// The token has something to report.
    pub fn ready(&mut self, now_ms: u64) {
        match self {
            Driver::Bitcoind(driver) => driver.ready(now_ms),
            Driver::Embedded(driver) => driver.ready(now_ms),
        }
    }

    /// Time has passed. Too many calls do no harm.
    pub fn tick(&mut self, now_ms: u64) {
        match self {
            Driver::Bitcoind(driver) => driver.tick(now_ms),
            Driver::Embedded(driver) => driver.tick(now_ms),
        }
    }

    /// When [`tick`](Driver::tick) is due.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        match self {
            Driver::Bitcoind(driver) => driver.next_deadline_ms(),
            Driver::Embedded(driver) => driver.next_deadline_ms(),
        }
    }

    /// Broadcasts a transaction; the outcome comes as an event.
    pub fn submit(&mut self, tx: &Transaction) {
        match self {
            Driver::Bitcoind(driver) => driver.submit(tx),
            Driver::Embedded(driver) => driver.submit(tx),
        }
    }

    /// Watches, or stops to.
    pub fn watch(&mut self, watch: &Watch<'_>) {
        match self {
            Driver::Bitcoind(driver) => driver.watch(watch),
            Driver::Embedded(driver) => driver.watch(watch),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DriverEvent> {
        match self {
            Driver::Bitcoind(driver) => driver.poll_event(),
            Driver::Embedded(driver) => driver.poll_event(),
        }
    }

    /// The chain, if this process hosts it.
    pub fn hosted(&self) -> Option<&SharedChain> {
        match self {
            Driver::Bitcoind(_) => None,
            Driver::Embedded(driver) => Some(driver.chain()),
        }
    }
}
