//! Drives a [`Follower`] over a chain in this process: each question is answered at once.

use std::io::{self, Read};

use bitcoin::Transaction;
use leyden_core::command::Watch;
use leyden_core::config::Network;
use mio::unix::pipe;
use mio::{Interest, Registry, Token};

use super::host::SharedChain;
use crate::chain::event::{DriverEvent, Start};
use crate::chain::follow::Follower;

/// How often to look although no bell rang: never needed, and cheap enough to be safe.
const POLL_MS: u64 = 60_000;

/// Questions per turn of the loop. A block's events are taken out before the next one is asked for, so that few are
/// needed.
const CALLS_PER_TURN: usize = 64;

/// One node's view of the chain.
pub struct EmbeddedDriver {
    chain: SharedChain,
    follower: Follower,
    /// Where the chain's bell is heard. It is a pipe, since a loop may have one waker only, and the look-ups of names
    /// have it.
    bell: Option<pipe::Receiver>,
}

impl EmbeddedDriver {
    /// A driver that looks at the chain as soon as it is [registered](EmbeddedDriver::register).
    pub fn new(chain: SharedChain, start: Start) -> EmbeddedDriver {
        EmbeddedDriver { chain, follower: Follower::new(Network::Regtest, POLL_MS, start), bell: None }
    }

    /// Names the loop's registry and the token that is the driver's.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let (sender, mut receiver) = pipe::new()?;
        registry.register(&mut receiver, token, Interest::READABLE)?;
        self.chain.add_bell(sender);
        self.bell = Some(receiver);
        Ok(())
    }

    /// The bell rang.
    pub fn ready(&mut self, now_ms: u64) {
        if let Some(bell) = &mut self.bell {
            // Whatever stops this, an empty pipe most likely: the chain is looked at.
            while matches!(bell.read(&mut [0; 64]), Ok(1..)) {}
        }
        self.follower.nudge();
        self.tick(now_ms);
    }

    /// Time has passed. Too many calls do no harm.
    pub fn tick(&mut self, now_ms: u64) {
        if self.bell.is_none() {
            return;
        }
        for _ in 0..CALLS_PER_TURN {
            let Some(call) = self.follower.next_call(now_ms) else { return };
            let answer = self.chain.answer(&call);
            self.follower.answered(&call, answer, now_ms);
        }
    }

    /// When [`tick`](EmbeddedDriver::tick) is due.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.bell.as_ref()?;
        self.follower.next_call_at_ms()
    }

    /// Broadcasts a transaction; the outcome comes as an event.
    pub fn submit(&mut self, tx: &Transaction) {
        self.follower.submit(tx);
    }

    /// Watches, or stops to.
    pub fn watch(&mut self, watch: &Watch<'_>) {
        self.follower.watch(watch);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DriverEvent> {
        self.follower.poll_event()
    }

    /// The chain.
    pub fn chain(&self) -> &SharedChain {
        &self.chain
    }
}
