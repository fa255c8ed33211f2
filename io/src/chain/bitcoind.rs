//! Drives a [`Follower`] over a socket on the reactor's loop.

use std::io;

use bitcoin::Transaction;
use leyden_core::command::Watch;
use leyden_core::config::Network;
use mio::{Registry, Token};

use super::connection::{Broken, Connection, Progress};
use super::event::{DriverEvent, Start, Trouble};
use super::follow::Follower;
use super::resolve::{self, Addresses, Lookup};
use super::rpc::{self, Call, ResponseError};
use crate::config::Bitcoind;

/// The first pause between attempts to connect; it doubles up to [`RETRY_MS_MAX`].
const RETRY_MS_MIN: u64 = 100;

/// The longest pause between attempts to connect.
const RETRY_MS_MAX: u64 = 5_000;

/// How long connecting may take.
const CONNECT_TIMEOUT_MS: u64 = 10_000;

/// How long the resolver may take to find a host.
const RESOLVE_TIMEOUT_MS: u64 = 30_000;

/// When to ask again after the backend's queue was full.
const BUSY_RETRY_MS: u64 = 250;

/// A backend whose queue was full for so long, without one answer meanwhile, is of no use.
const BUSY_PATIENCE_MS: u64 = 30_000;

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
    /// Since when the backend's queue is full and nothing was answered.
    busy_since_ms: Option<u64>,
}

enum Link {
    /// No connection; try at this time.
    Closed {
        retry_at_ms: u64,
    },
    /// The host's name is being looked up.
    Resolving {
        lookup: Lookup,
        by_ms: u64,
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
            busy_since_ms: None,
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
            Link::Resolving { by_ms, .. } if now_ms >= *by_ms => {
                self.unreachable(format!("its name was not resolved within {RESOLVE_TIMEOUT_MS} ms"), now_ms);
            }
            Link::Resolving { .. } => self.advance(now_ms),
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
            Link::Resolving { by_ms, .. } => Some(*by_ms),
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
        // Names are resolved anew each time: what runs in a container may come back elsewhere.
        if let Some(addresses) = resolve::at_once(&self.config.address) {
            return self.open(addresses, now_ms);
        }
        match Lookup::begin(&self.config.address, registry, *token) {
            Ok(lookup) => self.link = Link::Resolving { lookup, by_ms: now_ms + RESOLVE_TIMEOUT_MS },
            Err(error) => self.unreachable(error.to_string(), now_ms),
        }
    }

    fn open(&mut self, addresses: Addresses, now_ms: u64) {
        let Some((registry, token)) = &self.poll else { return };
        let authorization = match rpc::authorization(&self.config.auth) {
            Ok(authorization) => authorization,
            // A bitcoind that does not run has no cookie.
            Err(reason) => return self.unreachable(reason, now_ms),
        };
        match addresses.and_then(|addresses| Connection::open(&addresses, registry, *token)) {
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
        if let Link::Resolving { lookup, .. } = &self.link {
            let Some(addresses) = lookup.found() else { return };
            self.drop_link(now_ms);
            self.open(addresses, now_ms);
        }
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
                self.busy_since_ms = None;
                self.follower.answered(&asked.call, answer, now_ms);
                if response.is_last {
                    self.reconnect(now_ms);
                }
            }
            Err(ResponseError::Busy) => {
                let since_ms = *self.busy_since_ms.get_or_insert(now_ms);
                if now_ms.saturating_sub(since_ms) >= BUSY_PATIENCE_MS {
                    return self.fail(Trouble::Busy { for_ms: now_ms - since_ms }, now_ms);
                }
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
        self.drop_link(retry_at_ms);
        self.follower.lost();
    }

    fn drop_link(&mut self, retry_at_ms: u64) {
        let link = std::mem::replace(&mut self.link, Link::Closed { retry_at_ms });
        let Some((registry, _)) = &self.poll else { return };
        match link {
            Link::Closed { .. } => {}
            Link::Resolving { lookup, .. } => lookup.end(registry),
            Link::Open(open) => open.connection.close(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;
    use crate::config::Auth;

    fn config(address: String) -> Bitcoind {
        let auth = Auth::Password { user: "leyden".to_owned(), password: "leyden".to_owned() };
        Bitcoind { address, auth, poll_ms: 1_000 }
    }

    /// Turns of a loop whose clock goes by steps of its own, until something is told.
    fn until_told(driver: &mut BitcoindDriver, poll: &mut Poll, now_ms: &mut u64) -> DriverEvent {
        let mut events = Events::with_capacity(4);
        loop {
            if let Some(event) = driver.poll_event() {
                return event;
            }
            poll.poll(&mut events, Some(Duration::from_millis(20))).unwrap();
            if !events.is_empty() {
                driver.ready(*now_ms);
            }
            *now_ms += 100;
            driver.tick(*now_ms);
        }
    }

    #[test]
    fn a_backend_that_is_busy_for_ever_is_down() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // Nobody ends this thread: it goes with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|read| read > 0) {
                    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
                    if stream.write_all(busy.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        let mut poll = Poll::new().unwrap();
        let mut driver = BitcoindDriver::new(config(address), Network::Regtest, Start::Fresh);
        driver.register(poll.registry(), Token(1)).unwrap();
        let mut now_ms = 0;
        let told = until_told(&mut driver, &mut poll, &mut now_ms);
        assert!(matches!(told, DriverEvent::Down(Trouble::Busy { for_ms }) if for_ms >= BUSY_PATIENCE_MS), "{told:?}");
        // It is tried again from time to time, and nobody is told twice.
        for _ in 0..50 {
            now_ms += 1_000;
            driver.tick(now_ms);
            poll.poll(&mut Events::with_capacity(4), Some(Duration::from_millis(1))).unwrap();
            driver.ready(now_ms);
            assert_eq!(driver.poll_event(), None);
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_trouble_and_does_not_hold_up_the_loop() {
        let mut poll = Poll::new().unwrap();
        let address = "no host has this name:8332".to_owned();
        let mut driver = BitcoindDriver::new(config(address), Network::Regtest, Start::Fresh);
        driver.register(poll.registry(), Token(1)).unwrap();
        driver.tick(0);
        assert!(matches!(driver.link, Link::Resolving { .. }), "the resolver has a thread of its own");
        let told = until_told(&mut driver, &mut poll, &mut 0);
        assert!(matches!(told, DriverEvent::Down(Trouble::Unreachable { .. })), "{told:?}");
    }
}
