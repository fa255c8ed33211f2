//! The loop: one thread, one transaction per turn, and nothing leaves before it is written.
//!
//! A turn: poll; take in what is ready, bounded; let the machine do what is due; commit; then release the write buffers,
//! answer, broadcast, dial. All events of a turn share one reading of the clock.

mod receive;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::Level;
use leyden_core::event::{ChainEvent, Cut, Event, Match};
use leyden_core::ids::RequestId;
use leyden_core::node::Node;
use leyden_core::request::{Request, RequestError};
use leyden_core::signer::{KeysSigner, Signer};
use leyden_persist::{Committed, Fatal, ReadError, Store};
use leyden_rpc::daemon::{DaemonRequest, DaemonResponse};
use leyden_rpc::view::View;
use mio::{Events, Interest, Poll, Token};
use secp256k1::PublicKey;
use signal_hook_mio::v1_0::Signals;

use self::receive::{Budget, Reading};
use crate::chain::{Driver, DriverEvent};
use crate::config::Proxy;
use crate::control::{Control, SESSIONS};
use crate::dev::Dev;
use crate::dial::{self, Dials};
use crate::linger::LINGERS;
use crate::listen::{LISTENERS, Listeners};
use crate::log::Log;
use crate::machine::Machine;
use crate::notice::Notice;
use crate::outputs::{Outputs, Staged};
use crate::peers::{PEERS, Peers, said};
use crate::recorder::{Recorder, Taped};
use crate::room::Room;

const SIGNALS: Token = Token(0);
const CHAIN: Token = Token(1);
const CONTROL: Token = Token(2);
const LOOKUPS: Token = Token(3);

/// Reports of the system per turn.
const REPORTS_PER_TURN: usize = 1024;
/// Events of the chain per turn: a block with all that it moves may be one of them.
const CHAIN_EVENTS_PER_TURN: usize = 32;
/// Times that the machine may ask for a deadline that is there already.
const DEADLINES_PER_TURN: usize = 8;
/// How long the last answers to control clients may take.
const FAREWELL_MS: u64 = 1_000;

pub(crate) const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
pub(crate) const SIGTERM: i32 = 15;

/// Why the loop ends.
#[derive(Debug)]
pub enum End {
    /// It was asked to.
    Asked,
    /// The store cannot write: nothing of the last turn has left.
    Store(Fatal),
    /// The store cannot be read.
    Rows(ReadError),
    /// The operating system failed us.
    System(std::io::Error),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> End {
        End::System(error)
    }
}

/// Everything the loop needs to begin.
pub struct Parts<M = Node> {
    /// The machine, restored and not started.
    pub node: M,
    /// Its keys.
    pub signer: KeysSigner,
    /// Its rows.
    pub store: Store,
    /// Its chain.
    pub driver: Driver,
    /// Sockets that listen for other nodes, at most [`crate::listen::LISTENERS_MAX`].
    pub listeners: Vec<std::net::TcpListener>,
    /// Through which proxy other nodes are dialled.
    pub proxy: Option<Proxy>,
    /// What the clients of the control socket see of the process.
    pub view: View,
    /// Where lines for people go.
    pub log: Log,
    /// Its witness, not begun.
    pub recorder: Recorder,
}

/// The loop.
pub struct Reactor<M = Node> {
    poll: Poll,
    started: Instant,
    machine: M,
    signer: KeysSigner,
    public: PublicKey,
    store: Store,
    room: Room,
    driver: Driver,
    signals: Signals,
    listeners: Listeners,
    peers: Peers,
    dials: Dials,
    control: Control,
    dev: Dev,
    staged: Staged,
    notices: VecDeque<Notice>,
    requests: Vec<(RequestId, Request)>,
    /// The chain has more events than the last turn took.
    chain_has_more: bool,
    value: Vec<u8>,
    log: Log,
    recorder: Recorder,
    stop: bool,
}

impl<M: Machine> Reactor<M> {
    /// Registers everything with the system.
    pub fn new(parts: Parts<M>, control_path: &Path) -> std::io::Result<Reactor<M>> {
        let Parts { node, signer, store, mut driver, listeners, proxy, view, log, recorder } = parts;
        let poll = Poll::new()?;
        let registry = poll.registry();
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT])?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        driver.register(registry, CHAIN)?;
        let dials = Dials::new(registry, LOOKUPS, proxy)?;
        let listeners = Listeners::new(listeners, registry)?;
        let control = Control::open(control_path, CONTROL, registry, view)?;
        let peers = Peers::new(registry.try_clone()?);
        let public = signer.node_id().parse().expect("our own id is a point");
        Ok(Reactor {
            poll,
            started: Instant::now(),
            machine: node,
            signer,
            public,
            store,
            room: Room::default(),
            driver,
            signals,
            listeners,
            peers,
            dials,
            control,
            dev: Dev::default(),
            staged: Staged::default(),
            notices: VecDeque::new(),
            requests: Vec::new(),
            chain_has_more: false,
            value: Vec::new(),
            log,
            recorder,
            stop: false,
        })
    }

    fn clock(&self) -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Clock { mono: Mono(self.started.elapsed().as_millis() as u64), wall: Wall(wall) }
    }

    /// Runs until it is asked to stop, or must.
    pub fn run(mut self) -> End {
        let end = self.run_until_end();
        self.recorder.close();
        self.control.unlink();
        match end {
            // What was said stands behind a commit. The answer to `stop` comes when all else is closed, so that whoever
            // hears it may start the next daemon.
            Ok(()) => {
                let Reactor { poll, mut control, listeners, peers, store, .. } = self;
                drop((listeners, peers, store));
                farewell(poll, &mut control);
                End::Asked
            }
            Err(end) => end,
        }
    }

    fn run_until_end(&mut self) -> Result<(), End> {
        let mut events = Events::with_capacity(REPORTS_PER_TURN);
        let clock = self.clock();
        self.room.look(&mut self.store, clock.mono).map_err(End::Store)?;
        self.recorder.begin(&self.machine, clock, &mut self.log);
        self.in_turn(clock, |machine, signer, _, out| machine.start(clock, signer, out))?;
        while !self.stop {
            // While the world leaves us time the signer works ahead, one small piece after each look.
            let timeout = self.timeout();
            let has_time = self.signer.can_work_ahead() && timeout != Some(Duration::ZERO);
            match self.poll.poll(&mut events, if has_time { Some(Duration::ZERO) } else { timeout }) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            if has_time && events.is_empty() {
                self.signer.work_ahead();
            } else {
                self.turn(&events)?;
            }
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        let is_busy = !self.notices.is_empty()
            || self.peers.ready_len() > 0
            || self.control.is_ready()
            || !self.staged.loads.is_empty()
            || self.recorder.is_dumping()
            || self.chain_has_more;
        if is_busy {
            return Some(Duration::ZERO);
        }
        let next = [
            self.machine.next_deadline().map(|at| at.0),
            self.driver.next_deadline_ms(),
            self.peers.next_deadline_ms(),
            self.listeners.next_deadline_ms(),
        ];
        let now_ms = self.started.elapsed().as_millis() as u64;
        next.into_iter().flatten().min().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)))
    }

    fn turn(&mut self, events: &Events) -> Result<(), End> {
        let clock = self.clock();
        let now_ms = clock.mono.0;
        for event in events {
            self.report(clock, event);
        }
        self.listeners.accept(&mut self.peers, now_ms, &mut self.notices);
        self.tick_driver(now_ms);
        self.peers.tick(now_ms, &mut self.notices);
        self.control.take_requests(&mut self.requests, &mut self.notices);
        self.serve_recorder(clock);
        // Room is looked at before the turn: a full disk must not be found out at the commit.
        self.room.look(&mut self.store, clock.mono).map_err(End::Store)?;
        let is_short = self.room.is_short();

        let mut requests = std::mem::take(&mut self.requests);
        let mut notices = std::mem::take(&mut self.notices);
        let public = self.public;
        let result = self.in_turn(clock, |machine, signer, chain_has_more, out| {
            // Requests first: a client that has gone may have asked something before.
            for (id, request) in requests.drain(..) {
                match Room::refuses(&request).filter(|_| is_short) {
                    Some(text) => out.control.reply(id, &Err(RequestError::generic(text))),
                    None => {
                        if let Some(request) = out.dev.take(id, request, out.driver.hosted().is_some()) {
                            machine.step(clock, Event::Request { id, request }, signer, out);
                        }
                    }
                }
            }
            for notice in notices.drain(..) {
                if let Notice::RequestGone { id } = notice {
                    out.dev.gone(id);
                }
                notice.step(machine, clock, signer, out);
            }
            *chain_has_more = true;
            for _ in 0..CHAIN_EVENTS_PER_TURN {
                let Some(event) = out.driver.poll_event() else {
                    *chain_has_more = false;
                    break;
                };
                step_chain(machine, clock, signer, out, event);
            }
            let mut budget = Budget::new();
            for _ in 0..out.peers.ready_len() {
                if budget.is_spent() {
                    break;
                }
                let Some(conn) = out.peers.next_ready() else { break };
                Reading { machine: &mut *machine, clock, signer: &mut *signer, public, out: &mut *out }
                    .read(conn, &mut budget);
            }
            for _ in 0..DEADLINES_PER_TURN {
                if machine.next_deadline().is_none_or(|at| at > clock.mono) {
                    break;
                }
                machine.step(clock, Event::Deadline, signer, out);
            }
        });
        // Both lists keep their memory; what came up behind the commit goes into the next turn.
        self.requests = requests;
        notices.append(&mut self.notices);
        self.notices = notices;
        result
    }

    /// Takes note of what the system reports.
    fn report(&mut self, clock: Clock, event: &mio::event::Event) {
        let now_ms = clock.mono.0;
        match event.token() {
            SIGNALS => {
                for signal in self.signals.pending() {
                    if signal == SIGQUIT {
                        self.recorder.flush(clock, &mut self.log);
                        self.log.say(clock.wall, Level::Info, "recorder", format_args!("the recording is written"));
                        continue;
                    }
                    self.log.say(clock.wall, Level::Info, "node", format_args!("signal {signal}: stopping"));
                    self.stop = true;
                }
            }
            CHAIN => self.driver.ready(now_ms),
            CONTROL => self.control.listener_ready(),
            LOOKUPS => self.dials.ready(&mut self.peers, now_ms, &mut self.notices),
            Token(number) if number >= SESSIONS => self.control.client_ready(event),
            Token(number) if number >= LINGERS => self.peers.linger_ready(number - LINGERS),
            Token(number) if number >= PEERS => self.report_peer(now_ms, event),
            Token(number) if number >= LISTENERS => self.listeners.ready(event.token(), now_ms),
            // No other tokens are given away.
            _ => {}
        }
    }

    fn report_peer(&mut self, now_ms: u64, event: &mio::event::Event) {
        let Some(conn) = self.peers.conn_of(event.token()) else { return };
        match self.peers.check_connected(conn) {
            Ok(true) => {}
            Ok(false) => return,
            Err(reason) => {
                return dial::connect_failed(conn, reason, &mut self.peers, now_ms, &mut self.notices);
            }
        }
        match self.peers.advance_proxy(conn) {
            Ok(true) => {}
            Ok(false) => return,
            Err(reason) => return self.peers.end(conn, Cut::Socket(reason), now_ms, &mut self.notices),
        }
        if event.is_writable() || event.is_error() {
            self.peers.flush(conn, now_ms, &mut self.notices);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.peers.queue(conn);
        }
    }

    /// What clients ask the recorder, and the copies that it makes for them. Nothing of it touches the machine, so it
    /// needs no commit: answers leave with those of the turn.
    fn serve_recorder(&mut self, clock: Clock) {
        let Reactor { control, recorder, log, .. } = self;
        while let Some((id, request)) = control.next_daemon_request() {
            match request {
                DaemonRequest::Recorder => {
                    recorder.flush(clock, log);
                    control.reply_daemon(id, &Ok(DaemonResponse::Recorder(recorder.info())));
                }
                DaemonRequest::DumpRecording { minutes, path } => {
                    if let Err(error) = recorder.begin_dump(id, minutes, &path, clock, log) {
                        control.reply_daemon(id, &Err(error));
                    }
                }
            }
        }
        if let Some((id, end)) = recorder.step_dump() {
            control.reply_daemon(id, &end.map(DaemonResponse::RecordingDumped));
        }
    }

    /// Lets the machine work and makes it durable; then the world may see it.
    fn in_turn(
        &mut self,
        clock: Clock,
        work: impl FnOnce(&mut Taped<'_, M>, &mut KeysSigner, &mut bool, &mut Outputs<'_, '_>),
    ) -> Result<(), End> {
        let mut turn = self.store.begin();
        let mut out = Outputs {
            turn: &mut turn,
            peers: &mut self.peers,
            control: &mut self.control,
            dev: &mut self.dev,
            driver: &mut self.driver,
            staged: &mut self.staged,
            log: &mut self.log,
            value: &mut self.value,
            wall: clock.wall,
        };
        let mut taped = Taped::new(&mut self.machine, &mut self.recorder, clock);
        work(&mut taped, &mut self.signer, &mut self.chain_has_more, &mut out);
        let Committed { rows, .. } = turn.commit().map_err(End::Store)?;
        self.recorder.end_turn(&self.machine, clock, &mut self.log);
        self.room.committed(rows);
        self.after_commit(clock)
    }

    /// The turn is durable: now it may be seen.
    fn after_commit(&mut self, clock: Clock) -> Result<(), End> {
        let now_ms = clock.mono.0;
        let Reactor { staged, peers, notices, driver, control, dev, dials, store, log, .. } = self;
        for conn in staged.touched.drain(..) {
            if let Some(peer) = peers.get_mut(conn) {
                peer.touched = false;
                peer.transport.release();
                peers.flush(conn, now_ms, notices);
            }
        }
        for (conn, reason) in staged.cuts.drain(..) {
            if let Some(peer) = peers.get_mut(conn).filter(|peer| !peer.known) {
                // The machine never hears of callers that fail the handshake.
                let (from, why) = (&peer.address, said(&reason));
                log.say(clock.wall, Level::Debug, "peer", format_args!("no handshake with {from:?}: {why}"));
            }
            peers.end(conn, reason, now_ms, notices);
        }
        let has_broadcasts = !staged.broadcasts.is_empty();
        for tx in staged.broadcasts.drain(..) {
            driver.submit(&tx);
        }
        if let Some(chain) = driver.hosted().cloned()
            && (has_broadcasts || dev.has_orders())
        {
            // What was broadcast is in the mempool before its answer leaves, and before this node's own orders mine:
            // whoever mines next, through any node of the process, has it in the block.
            driver.tick(now_ms);
            self.chain_has_more = true;
            dev.act(&chain, clock.wall, control, notices);
        }
        control.flush(notices);
        for dial in staged.dials.drain(..) {
            dials.begin(dial, peers, now_ms, notices);
        }
        staged.loads.read(store, notices).map_err(End::Rows)?;
        self.stop |= self.staged.stop;
        self.tick_driver(now_ms);
        Ok(())
    }

    fn tick_driver(&mut self, now_ms: u64) {
        if self.driver.next_deadline_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.driver.tick(now_ms);
            // What came of it waits for a turn.
            self.chain_has_more = true;
        }
    }
}

/// The last answers leave, if their clients take them soon.
fn farewell(mut poll: Poll, control: &mut Control) {
    let mut events = Events::with_capacity(REPORTS_PER_TURN);
    let by = Instant::now() + Duration::from_millis(FAREWELL_MS);
    loop {
        control.farewell();
        let left = by.saturating_duration_since(Instant::now());
        if !control.has_output() || left.is_zero() || poll.poll(&mut events, Some(left)).is_err() {
            return;
        }
    }
}

fn step_chain<M: Machine>(
    machine: &mut M,
    clock: Clock,
    signer: &mut dyn Signer,
    out: &mut Outputs<'_, '_>,
    event: DriverEvent,
) {
    let event = match event {
        DriverEvent::Begin { tip } => ChainEvent::Begin { tip },
        DriverEvent::BlockConnected { tip, time_s, ref matches, .. } => {
            let matches: Vec<Match<'_>> = matches.iter().map(|(index, tx)| Match { index: *index, tx }).collect();
            let event = ChainEvent::BlockConnected { tip, time_s, matches: &matches };
            return machine.step(clock, Event::Chain(event), signer, out);
        }
        DriverEvent::BlockDisconnected { tip } => ChainEvent::BlockDisconnected { tip },
        DriverEvent::Synced { height } => ChainEvent::Synced { height },
        DriverEvent::Feerates(feerates) => ChainEvent::Feerates(feerates),
        DriverEvent::Broadcast { txid, outcome } => ChainEvent::Broadcast { txid, outcome },
        DriverEvent::Up { .. } => ChainEvent::Up,
        DriverEvent::Down(trouble) => ChainEvent::Down { reason: trouble.to_string() },
    };
    machine.step(clock, Event::Chain(event), signer, out);
}
