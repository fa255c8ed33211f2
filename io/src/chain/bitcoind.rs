//! Drives a [`Follower`] over a socket on the reactor's loop.

use std::io;

use bitcoin::Transaction;
use leyden_core::command::Watch;
use leyden_core::config::Network;
use mio::{Registry, Token};

use super::connection::{Broken, Connection, Progress};
use super::event::{DriverEvent, Start, Trouble};
use super::follow::Follower;
use super::rpc::{self, Call, ResponseError};
use crate::config::Bitcoind;

/// The first pause between attempts to connect; it doubles up to [`RETRY_MS_MAX`].
const RETRY_MS_MIN: u64 = 100;

/// The longest pause between attempts to connect.
const RETRY_MS_MAX: u64 = 5_000;

/// How long connecting may take.
const CONNECT_TIMEOUT_MS: u64 = 10_000;

/// When to ask again after the backend's queue was full.
const BUSY_RETRY_MS: u64 = 250;

/// How many responses are taken in per turn of the loop.
const RESPONSES_PER_TURN: usize = 16;

/// A bitcoind, behind one connection.
pub struct BitcoindDriver {
    config: Bitcoind,
    follower: Follower,
    poll: Option<(Registry, Token)>,
    link: Link,
    next_id: u64,
    retry_ms: u64,
    /// Whether the credentials were refused and nothing has gone well since.
    was_unauthorized: bool,
}

enum Link {
    /// No connection; try at this time.
    Closed {
        retry_at_ms: u64,
    },
    Open(Box<Open>),
}

struct Open {
    connection: Connection,
    authorization: String,
    asked: Option<Asked>,
    /// Give up connecting at this time.
    connect_by_ms: u64,
    /// Ask nothing before this time.
    quiet_until_ms: u64,
    /// There may be bytes that the socket will not report again.
    has_more: bool,
}

struct Asked {
    call: Call,
    id: u64,
    by_ms: u64,
}

impl BitcoindDriver {
    /// A driver that connects as soon as it is [registered](BitcoindDriver::register).
    pub fn new(config: Bitcoind, network: Network, start: Start) -> BitcoindDriver {
        let follower = Follower::new(network, config.poll_ms, start);
        BitcoindDriver {
            config,
            follower,
            poll: None,
            link: Link::Closed { retry_at_ms: 0 },
            next_id: 1,
            retry_ms: RETRY_MS_MIN,
            was_unauthorized: false,
        }
    }

    /// Names the loop's registry and the token that is the driver's.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.poll = Some((registry.try_clone()?, token));
        Ok(())
    }

    /// The socket has something to report.
    pub fn ready(&mut self, now_ms: u64) {
        self.advance(now_ms);
    }

    /// Time has passed. Too many calls do no harm.
    pub fn tick(&mut self, now_ms: u64) {
        match &self.link {
            Link::Closed { retry_at_ms } if now_ms >= *retry_at_ms => self.connect(now_ms),
            Link::Closed { .. } => {}
            Link::Open(open) => match &open.asked {
                Some(asked) if now_ms >= asked.by_ms => {
                    let (method, waited_ms) = (asked.call.method(), asked.call.timeout_ms());
                    self.fail(Trouble::Slow { method, waited_ms }, now_ms);
                }
                _ if !open.connection.is_connected() && now_ms >= open.connect_by_ms => {
                    self.unreachable(format!("no connection within {CONNECT_TIMEOUT_MS} ms"), now_ms);
                }
                _ => self.advance(now_ms),
            },
        }
    }

    /// When [`tick`](BitcoindDriver::tick) is due.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        match &self.link {
            Link::Closed { retry_at_ms } => Some(*retry_at_ms),
            Link::Open(open) if open.has_more => Some(0),
            Link::Open(open) => match &open.asked {
                Some(asked) => Some(asked.by_ms),
                None if !open.connection.is_connected() => Some(open.connect_by_ms),
                None => self.follower.next_call_at_ms().map(|at_ms| at_ms.max(open.quiet_until_ms)),
            },
        }
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

    fn connect(&mut self, now_ms: u64) {
        let Some((registry, token)) = &self.poll else { return };
        let authorization = match rpc::authorization(&self.config.auth) {
            Ok(authorization) => authorization,
            // A bitcoind that does not run has no cookie.
            Err(reason) => return self.unreachable(reason, now_ms),
        };
        match Connection::open(&self.config.address, registry, *token) {
            Ok(connection) => {
                self.link = Link::Open(Box::new(Open {
                    connection,
                    authorization,
                    asked: None,
                    connect_by_ms: now_ms + CONNECT_TIMEOUT_MS,
                    quiet_until_ms: 0,
                    has_more: false,
                }));
            }
            Err(error) => self.unreachable(error.to_string(), now_ms),
        }
    }

    /// Moves bytes, takes responses in, asks the next thing.
    fn advance(&mut self, now_ms: u64) {
        for _ in 0..RESPONSES_PER_TURN {
            let Link::Open(open) = &mut self.link else { return };
            open.has_more = false;
            let may_ask = open.connection.is_connected() && open.asked.is_none() && now_ms >= open.quiet_until_ms;
            if may_ask && let Some(call) = self.follower.next_call(now_ms) {
                let id = self.next_id;
                self.next_id += 1;
                open.connection.send(&self.config.address, &open.authorization, &call.body(id));
                let by_ms = now_ms + call.timeout_ms();
                open.asked = Some(Asked { call, id, by_ms });
            }
            let was_connected = open.connection.is_connected();
            match open.connection.advance() {
                Ok(Progress::Waiting) if was_connected == open.connection.is_connected() => return,
                // Connected just now: ask the first thing.
                Ok(Progress::Waiting) => {}
                Ok(Progress::More) => break,
                Ok(Progress::Response(response)) => self.respond(&response, now_ms),
                Err(broken) => return self.broken(&broken, now_ms),
            }
        }
        if let Link::Open(open) = &mut self.link {
            open.has_more = true;
        }
    }

    fn respond(&mut self, response: &super::http::Response, now_ms: u64) {
        let Link::Open(open) = &mut self.link else { return };
        let Some(asked) = open.asked.take() else {
            let reason = "it came without a request".to_owned();
            return self.fail(Trouble::Nonsense { method: "nothing", reason }, now_ms);
        };
        match rpc::read(&asked.call, asked.id, response) {
            Ok(answer) => {
                self.retry_ms = RETRY_MS_MIN;
                self.was_unauthorized = false;
                self.follower.answered(&asked.call, answer, now_ms);
                if response.is_last {
                    self.reconnect(now_ms);
                }
            }
            Err(ResponseError::Busy) => {
                open.quiet_until_ms = now_ms + BUSY_RETRY_MS;
                if response.is_last {
                    self.close(now_ms + BUSY_RETRY_MS);
                }
            }
            // The cookie may have changed with a restart that we did not notice: read it again before complaining.
            Err(ResponseError::Unauthorized) if !self.was_unauthorized => {
                self.was_unauthorized = true;
                self.reconnect(now_ms);
            }
            Err(error @ (ResponseError::Unauthorized | ResponseError::Forbidden)) => {
                self.fail(Trouble::Unauthorized { reason: error.to_string() }, now_ms);
            }
            Err(ResponseError::Nonsense(reason)) => {
                self.fail(Trouble::Nonsense { method: asked.call.method(), reason }, now_ms);
            }
        }
    }

    /// A connection that had worked is tried anew at once and without a word: bitcoind closes connections that were
    /// quiet for long. One that never came to be is trouble.
    fn broken(&mut self, broken: &Broken, now_ms: u64) {
        let Link::Open(open) = &self.link else { return };
        match open.connection.is_connected() && self.retry_ms == RETRY_MS_MIN {
            true => {
                // If the next one breaks before it has answered anything, it counts as an attempt.
                self.retry_ms = RETRY_MS_MIN * 2;
                self.reconnect(now_ms);
            }
            false => self.unreachable(broken.to_string(), now_ms),
        }
    }

    fn unreachable(&mut self, reason: String, now_ms: u64) {
        self.fail(Trouble::Unreachable { address: self.config.address.clone(), reason }, now_ms);
    }

    fn fail(&mut self, trouble: Trouble, now_ms: u64) {
        self.close(now_ms + self.retry_ms);
        self.retry_ms = (self.retry_ms * 2).min(RETRY_MS_MAX);
        self.follower.down(trouble);
    }

    fn reconnect(&mut self, now_ms: u64) {
        self.close(now_ms);
        self.connect(now_ms);
    }

    fn close(&mut self, retry_at_ms: u64) {
        let link = std::mem::replace(&mut self.link, Link::Closed { retry_at_ms });
        if let (Link::Open(open), Some((registry, _))) = (link, &self.poll) {
            open.connection.close(registry);
        }
        self.follower.lost();
    }
}
