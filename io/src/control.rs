//! Control clients: a Unix socket that the node's owner alone may use, a JSON-RPC session per connection.
//!
//! The machine's answers are written into a session's output when they are made, and the output goes to the socket
//! only behind the turn's commit: [`Control::flush`] and [`Control::serve`] are called then, never within a turn.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use leyden_core::ids::RequestId;
use leyden_core::request::{Request, RequestError, Response};
use leyden_rpc::daemon::{DaemonRequest, DaemonResponse};
use leyden_rpc::session::{Session, Token as SessionToken};
use leyden_rpc::view::View;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use slab::Slab;

use crate::notice::Notice;

/// First token of the sessions.
pub(crate) const SESSIONS: usize = 1 << 40;
/// Connections of clients.
pub const SESSIONS_MAX: usize = 512;
/// Connections to take in per turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Bytes to read at once, and how often per turn and client.
const READ_BYTES: usize = 64 * 1024;
const READS_PER_TURN: usize = 4;
/// Requests of all clients per turn.
const REQUESTS_PER_TURN: usize = 256;

/// A client's connection.
struct Client {
    stream: UnixStream,
    session: Session,
    /// The socket may hold something.
    readable: bool,
    /// The client sends nothing more.
    ended: bool,
    /// The client takes nothing more either.
    gone: bool,
    /// Requests were left in the session, for lack of room or time.
    stalled: bool,
    queued: bool,
    touched: bool,
}

/// All clients.
pub(crate) struct Control {
    path: PathBuf,
    listener: UnixListener,
    accepting: bool,
    registry: Registry,
    clients: Slab<Client>,
    requests: BTreeMap<RequestId, (usize, SessionToken)>,
    next_request: u64,
    /// Requests for the daemon itself, to be answered in this turn or later.
    daemon_requests: VecDeque<(RequestId, DaemonRequest)>,
    /// Clients to serve in this turn, each at most once.
    ready: VecDeque<usize>,
    /// Clients with an answer of this turn.
    touched: Vec<usize>,
    /// Clients that asked the process to stop: their answer leaves last.
    stoppers: Vec<usize>,
    view: View,
    scratch: Box<[u8]>,
}

impl Control {
    /// Opens the socket in the place of a stale one: that no other daemon lives is what the store's lock says.
    pub(crate) fn open(path: &Path, token: Token, registry: &Registry, view: View) -> std::io::Result<Control> {
        remove_if_there(path)?;
        // The folder is the owner's alone, so nobody comes in between these two lines.
        let mut listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Control {
            path: path.to_path_buf(),
            listener,
            accepting: false,
            registry: registry.try_clone()?,
            clients: Slab::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            daemon_requests: VecDeque::new(),
            ready: VecDeque::new(),
            touched: Vec::new(),
            stoppers: Vec::new(),
            view,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
        })
    }

    /// The listening socket has reported.
    pub(crate) fn listener_ready(&mut self) {
        self.accepting = true;
    }

    /// A client's socket has reported.
    pub(crate) fn client_ready(&mut self, event: &mio::event::Event) {
        let slot = event.token().0 - SESSIONS;
        let Some(client) = self.clients.get_mut(slot) else { return };
        client.readable |= event.is_readable() || event.is_read_closed();
        client.gone |= event.is_write_closed() || event.is_error();
        self.queue(slot);
    }

    /// Is there more to do, whatever the sockets report?
    pub(crate) fn is_ready(&self) -> bool {
        self.accepting || !self.ready.is_empty()
    }

    fn queue(&mut self, slot: usize) {
        if let Some(client) = self.clients.get_mut(slot)
            && !client.queued
        {
            client.queued = true;
            self.ready.push_back(slot);
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let token = Token(SESSIONS + self.clients.vacant_key());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    // Whoever finds no room is closed.
                    if self.clients.len() < SESSIONS_MAX && self.registry.register(&mut stream, token, interest).is_ok()
                    {
                        self.clients.insert(Client {
                            stream,
                            session: Session::default(),
                            readable: false,
                            ended: false,
                            gone: false,
                            stalled: false,
                            queued: false,
                            touched: false,
                        });
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                // Without descriptors, too: the next client makes the socket report again.
                Err(_) => {
                    self.accepting = false;
                    return;
                }
            }
        }
    }

    /// Takes clients and their requests in.
    pub(crate) fn take_requests(&mut self, requests: &mut Vec<(RequestId, Request)>, notices: &mut VecDeque<Notice>) {
        if self.accepting {
            self.accept();
        }
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else { break };
            if let Some(client) = self.clients.get_mut(slot) {
                client.queued = false;
                self.serve(slot, requests, notices);
            }
        }
    }

    /// Moves a client's bytes both ways, as far as that goes now.
    fn serve(&mut self, slot: usize, requests: &mut Vec<(RequestId, Request)>, notices: &mut VecDeque<Notice>) {
        for _ in 0..READS_PER_TURN {
            if !self.write(slot) {
                return self.end(slot, notices);
            }
            if !self.take(slot, requests) {
                return self.queue(slot);
            }
            if !self.write(slot) {
                return self.end(slot, notices);
            }
            let Some(client) = self.clients.get_mut(slot) else { return };
            if client.stalled && client.session.wants_read() {
                // What was written has made room.
                continue;
            }
            if !client.readable || client.ended || !client.session.wants_read() {
                let waits = client.session.in_flight().next().is_some() || !client.session.output().is_empty();
                // A client that only sends nothing more still gets its answers.
                let over = client.ended && (client.gone || !waits);
                if over || client.session.is_finished() {
                    self.end(slot, notices);
                }
                return;
            }
            match client.stream.read(&mut self.scratch) {
                Ok(0) => client.ended = true,
                Ok(count) => client.session.received(&self.scratch[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    client.readable = false;
                    client.ended |= client.gone;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    client.ended = true;
                    client.gone = true;
                }
            }
        }
        self.queue(slot);
    }

    /// Takes a client's requests over: false if the turn has enough.
    fn take(&mut self, slot: usize, requests: &mut Vec<(RequestId, Request)>) -> bool {
        let Some(client) = self.clients.get_mut(slot) else { return true };
        while requests.len() < REQUESTS_PER_TURN {
            let next = client.session.next_request(&self.view);
            while let Some((token, request)) = client.session.next_daemon_request() {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                self.requests.insert(id, (slot, token));
                self.daemon_requests.push_back((id, request));
            }
            let Some((token, request)) = next else {
                client.stalled = !client.session.wants_read();
                return true;
            };
            let id = RequestId(self.next_request);
            self.next_request += 1;
            self.requests.insert(id, (slot, token));
            requests.push((id, request));
        }
        false
    }

    /// The machine's answer. It waits in the session for the commit.
    pub(crate) fn reply(&mut self, id: RequestId, result: &Result<Response, RequestError>) {
        let Some((slot, token)) = self.requests.remove(&id) else { return };
        let Some(client) = self.clients.get_mut(slot) else { return };
        client.session.reply(token, result, &self.view);
        if matches!(result, Ok(Response::Stopping)) {
            self.stoppers.push(slot);
        } else {
            self.touch(slot);
        }
    }

    /// The next request that the machine does not answer.
    pub(crate) fn next_daemon_request(&mut self) -> Option<(RequestId, DaemonRequest)> {
        self.daemon_requests.pop_front()
    }

    /// The daemon's own answer.
    pub(crate) fn reply_daemon(&mut self, id: RequestId, result: &Result<DaemonResponse, RequestError>) {
        let Some((slot, token)) = self.requests.remove(&id) else { return };
        let Some(client) = self.clients.get_mut(slot) else { return };
        client.session.reply_daemon(token, result);
        self.touch(slot);
    }

    fn touch(&mut self, slot: usize) {
        if let Some(client) = self.clients.get_mut(slot).filter(|client| !client.touched) {
            client.touched = true;
            self.touched.push(slot);
        }
    }

    /// The turn is written: its answers leave.
    pub(crate) fn flush(&mut self, notices: &mut VecDeque<Notice>) {
        while let Some(slot) = self.touched.pop() {
            let Some(client) = self.clients.get_mut(slot) else { continue };
            client.touched = false;
            if self.stoppers.contains(&slot) {
                continue;
            }
            if !self.write(slot) {
                self.end(slot, notices);
                continue;
            }
            let Some(client) = self.clients.get_mut(slot) else { continue };
            // An answer makes room for requests, and may be the last that the client waits for.
            if client.stalled || client.readable || client.ended {
                self.queue(slot);
            }
        }
    }

    /// Writes what there is, as far as the socket takes it: false if the client is gone.
    fn write(&mut self, slot: usize) -> bool {
        let Some(client) = self.clients.get_mut(slot) else { return true };
        loop {
            let output = client.session.output();
            if output.is_empty() {
                return true;
            }
            match client.stream.write(output) {
                Ok(count) => client.session.written(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn end(&mut self, slot: usize, notices: &mut VecDeque<Notice>) {
        let Some(mut client) = self.clients.try_remove(slot) else { return };
        let _ = self.registry.deregister(&mut client.stream);
        self.requests.retain(|id, (of, _)| {
            if *of == slot {
                notices.push_back(Notice::RequestGone { id: *id });
            }
            *of != slot
        });
    }

    /// Is there anything that clients have not taken yet?
    pub(crate) fn has_output(&self) -> bool {
        self.clients.iter().any(|(_, client)| !client.session.output().is_empty())
    }

    /// The process ends: what was said leaves, the answers to `stop` behind all others. Called until nothing is left.
    pub(crate) fn farewell(&mut self) {
        let mut slots: Vec<usize> = self.clients.iter().map(|(slot, _)| slot).collect();
        slots.sort_by_key(|slot| self.stoppers.contains(slot));
        for slot in slots {
            if !self.write(slot) {
                self.clients.remove(slot);
            }
        }
    }

    /// Nobody finds the socket any more.
    pub(crate) fn unlink(&self) {
        // One that stays is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
