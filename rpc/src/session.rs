//! A control client's connection: requests in, answers out, in any order.
//!
//! `jsonrpc-core` lends its error objects. Its `IoHandler` is not used: it waits on a future until a request is
//! answered, while here an answer may only be given after the turn's commit, by the very thread that would wait.

use std::collections::{BTreeMap, VecDeque};

use jsonrpc_core::{Error, ErrorCode, Value, Version};
use leyden_core::command::Level;
use leyden_core::ids::NodeId;
use leyden_core::request::{Request, RequestError, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::daemon::{DaemonRequest, DaemonResponse};
use crate::encode;
use crate::encode::writer::{Json, Object};
use crate::filter::Filter;
use crate::frame::{Frame, Splitter};
use crate::methods::{self, Action};
use crate::view::View;

/// Requests of one connection that may wait for the core. More are left unread.
pub const IN_FLIGHT_MAX: usize = 1_024;
/// Bytes of answers that may wait for the client. While there are more, no request is read.
pub const OUTPUT_SIZE_MAX: usize = 1024 * 1024;
/// Longest id: it is kept until the answer comes.
const ID_SIZE_MAX: usize = 1_024;

/// Names a request of one connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What to make of the core's answer.
#[derive(Debug)]
enum Shape {
    /// Write it.
    Plain,
    /// It says whether the network knows a node: `checkmessage` wants to know.
    Signer(NodeId),
}

/// A request that waits for the core.
#[derive(Debug)]
struct Pending {
    /// As the client wrote it.
    id: Box<RawValue>,
    filter: Option<Filter>,
    shape: Shape,
}

/// A connection.
#[derive(Debug, Default)]
pub struct Session {
    input: Splitter,
    output: Vec<u8>,
    /// How much of the output is on its way.
    sent: usize,
    pending: BTreeMap<Token, Pending>,
    /// Requests for the daemon itself, to be taken.
    daemon: VecDeque<(Token, DaemonRequest)>,
    last_token: u64,
    notifications: bool,
}

/// A request's members, unread. `id` may be null, which is not the same as absent.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    filter: Option<&'a RawValue>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn refused(message: &str) -> Error {
    Error { code: ErrorCode::InvalidRequest, message: message.to_owned(), data: None }
}

impl Session {
    /// Takes bytes from the socket. Then call [`Session::next_request`] until it gives none.
    pub fn received(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// The next request for the core. Requests that need no core are answered on the way, or wait for
    /// [`Session::next_daemon_request`].
    ///
    /// Call it again after a reply or after output was written, too: it stops while too much waits.
    pub fn next_request(&mut self, view: &View) -> Option<(Token, Request)> {
        while self.has_room() {
            let Session { input, output, pending, daemon, last_token, notifications, .. } = self;
            let mut answer = |id: Option<&RawValue>, error: &Error| {
                write_answer(output, id.map_or("null", RawValue::get), "error", |out| {
                    serde_json::to_writer(out, error).expect("an error object is always JSON");
                });
            };
            let text = match input.next_frame()? {
                Frame::Object(text) => text,
                Frame::Array => {
                    answer(None, &refused("Expected {} for json command"));
                    continue;
                }
                Frame::Garbage => {
                    answer(None, &refused("Invalid token in json input"));
                    continue;
                }
                Frame::TooLong => {
                    answer(None, &refused("The request is too long"));
                    continue;
                }
            };
            let envelope = match serde_json::from_slice::<Envelope<'_>>(text) {
                Ok(envelope) => envelope,
                Err(error) => {
                    answer(None, &refused(&format!("Invalid token in json input: {error}")));
                    continue;
                }
            };
            let id = match checked_id(&envelope) {
                Ok(id) => id,
                Err(error) => {
                    answer(None, &error);
                    continue;
                }
            };
            let (action, filter) = match decode(&envelope, view) {
                Ok(decoded) => decoded,
                Err(error) => {
                    answer(Some(id), &error);
                    continue;
                }
            };
            let (request, shape) = match action {
                Action::Ask(request) => (request, Shape::Plain),
                Action::AskSigner(signer) => (Request::ListNodes { id: Some(signer) }, Shape::Signer(signer)),
                Action::Answer(result) => {
                    write_result(output, id.get(), filter.as_ref(), |out| out.extend_from_slice(&result));
                    continue;
                }
                Action::Daemon(request) => {
                    *last_token += 1;
                    let token = Token(*last_token);
                    pending.insert(token, Pending { id: id.to_owned(), filter, shape: Shape::Plain });
                    daemon.push_back((token, request));
                    continue;
                }
                Action::Notifications(enable) => {
                    *notifications = enable;
                    write_result(output, id.get(), filter.as_ref(), |out| out.extend_from_slice(b"{}"));
                    continue;
                }
            };
            *last_token += 1;
            let token = Token(*last_token);
            pending.insert(token, Pending { id: id.to_owned(), filter, shape });
            return Some((token, request));
        }
        None
    }

    /// Writes the core's answer to a request into the output.
    pub fn reply(&mut self, token: Token, result: &Result<Response, RequestError>, view: &View) {
        let Some(Pending { id, filter, shape }) = self.pending.remove(&token) else {
            // Answered already: the core answers once, and a second answer would confuse the client.
            return;
        };
        let id = id.get();
        match (result, shape) {
            (Err(error), _) => {
                write_answer(&mut self.output, id, "error", |out| encode::request_error(out, error));
            }
            (Ok(response), Shape::Plain) => {
                write_result(&mut self.output, id, filter.as_ref(), |out| encode::response(out, response, view));
            }
            (Ok(Response::Nodes(nodes)), Shape::Signer(signer)) if nodes.is_empty() => {
                // Core Lightning's SIGNMESSAGE_PUBKEY_NOT_FOUND.
                let error =
                    RequestError::new(1301, format!("pubkey {signer} not found in the graph: give it to compare"));
                write_answer(&mut self.output, id, "error", |out| encode::request_error(out, &error));
            }
            (Ok(_), Shape::Signer(signer)) => write_result(&mut self.output, id, filter.as_ref(), |out| {
                let mut object = Object::open(out);
                object.put("verified", true);
                object.put("pubkey", signer);
                object.close();
            }),
        }
    }

    /// The next request for the daemon itself. To be called behind [`Session::next_request`], until it gives none.
    pub fn next_daemon_request(&mut self) -> Option<(Token, DaemonRequest)> {
        self.daemon.pop_front()
    }

    /// Writes the daemon's own answer to a request into the output.
    pub fn reply_daemon(&mut self, token: Token, result: &Result<DaemonResponse, RequestError>) {
        let Some(Pending { id, filter, .. }) = self.pending.remove(&token) else { return };
        match result {
            Err(error) => {
                write_answer(&mut self.output, id.get(), "error", |out| encode::request_error(out, error));
            }
            Ok(response) => write_result(&mut self.output, id.get(), filter.as_ref(), |out| {
                encode::daemon_response(out, response);
            }),
        }
    }

    /// Tells the client how a request goes, if it wants to know.
    pub fn progress(&mut self, token: Token, level: Level, text: &str) {
        let Some(pending) = self.pending.get(&token).filter(|_| self.notifications) else { return };
        let level = match level {
            Level::Trace | Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "unusual",
            Level::Error => "broken",
        };
        let mut object = Object::open(&mut self.output);
        object.put("jsonrpc", "2.0");
        object.put("method", "message");
        object.object("params", |params| {
            params.put("id", Verbatim(pending.id.get()));
            params.put("level", level);
            params.put("message", text);
        });
        object.close();
        self.output.extend_from_slice(b"\n\n");
    }

    /// What the socket shall get next.
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So much of the output has been written.
    pub fn written(&mut self, bytes: usize) {
        self.sent += bytes;
        assert!(self.sent <= self.output.len(), "only what is there can be written");
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
            // One long answer shall not hold its memory for the life of the connection.
            self.output.shrink_to(OUTPUT_SIZE_MAX);
        } else if self.sent > OUTPUT_SIZE_MAX {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Shall the socket be read? Not while the client does not take its answers, or has asked too much at once.
    pub fn wants_read(&self) -> bool {
        self.has_room() && !self.input.is_over()
    }

    /// Is there nothing more to do: the client sent what cannot be understood, and has got all its answers?
    pub fn is_finished(&self) -> bool {
        self.input.is_over() && self.pending.is_empty() && self.output().is_empty()
    }

    /// Requests that wait for the core: when the connection is lost, the core must hear that nobody waits any more.
    pub fn in_flight(&self) -> impl Iterator<Item = Token> {
        self.pending.keys().copied()
    }

    fn has_room(&self) -> bool {
        self.pending.len() < IN_FLIGHT_MAX && self.output().len() < OUTPUT_SIZE_MAX
    }
}

/// Text that is JSON already.
struct Verbatim<'a>(&'a str);

impl Json for Verbatim<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

/// What is wrong before there is an id to answer to. Core Lightning's order and words.
fn checked_id<'a>(envelope: &Envelope<'a>) -> Result<&'a RawValue, Error> {
    let id = envelope.id.ok_or_else(|| refused("No id"))?;
    if id.get().starts_with(['{', '[']) {
        return Err(refused("Expected string/primitive for id"));
    }
    if id.get().len() > ID_SIZE_MAX {
        return Err(refused(&format!("The id is longer than {ID_SIZE_MAX} bytes")));
    }
    let version = envelope.jsonrpc.map(|raw| serde_json::from_str::<Version>(raw.get()));
    if !matches!(version, Some(Ok(Version::V2))) {
        return Err(refused("jsonrpc: \"2.0\" must be specified in the request"));
    }
    Ok(id)
}

fn decode(envelope: &Envelope<'_>, view: &View) -> Result<(Action, Option<Filter>), Error> {
    let method = envelope.method.ok_or_else(|| refused("No method"))?;
    let params = envelope.params.ok_or_else(|| refused("No params"))?;
    let method: String = serde_json::from_str(method.get()).map_err(|_| refused("Expected string for method"))?;
    let filter = envelope.filter.map(Filter::new).transpose()?;
    Ok((methods::decode(&method, params, view)?, filter))
}

/// One answer, in one piece: `key` is `result` or `error`. Clients read up to the two newlines.
fn write_answer(out: &mut Vec<u8>, id: &str, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    value(out);
    out.extend_from_slice(b"}\n\n");
}

fn write_result(out: &mut Vec<u8>, id: &str, filter: Option<&Filter>, value: impl FnOnce(&mut Vec<u8>)) {
    write_answer(out, id, "result", |out| {
        let begin = out.len();
        value(out);
        if let Some(filter) = filter {
            let whole: Value = serde_json::from_slice(&out[begin..]).expect("what we wrote is JSON");
            out.truncate(begin);
            serde_json::to_writer(out, &filter.apply(whole)).expect("a value is always JSON");
        }
    });
}

#[cfg(test)]
mod tests;
