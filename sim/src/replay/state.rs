//! The node's state at a point of a replay, as its control clients would see it.

use leyden_core::clock::Clock;
use leyden_core::command::{Command, LoadRange, Sink};
use leyden_core::config::Network;
use leyden_core::event::Event;
use leyden_core::ids::{QueryId, RequestId};
use leyden_core::limits::HISTORY_PAGE_ROWS;
use leyden_core::node::Node;
use leyden_core::recording::ReplaySigner;
use leyden_core::request::{Request, RequestError, Response};
use leyden_core::store::{Row, Table};
use leyden_rpc::session::Session;
use leyden_rpc::view::View;

use super::engine::{At, Watcher};
use crate::disk::{Disk, Range, Write};

/// The rows that a replay wrote: what history there is to ask about. What was written before the recording began is not
/// among them.
#[derive(Debug, Default)]
pub struct Rows {
    disk: Disk,
}

impl Watcher for Rows {
    fn command(&mut self, _: At, command: &Command<'_>) {
        let write = match command {
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                Write::Put(*table, key.to_vec(), bytes)
            }
            Command::Delete { table, key } => Write::Delete(*table, key.to_vec()),
            _ => return,
        };
        self.disk.commit(vec![write]);
    }
}

impl Rows {
    /// All that a node has written.
    pub(crate) fn of(disk: Disk) -> Rows {
        Rows { disk }
    }
}

/// Names for people, beside those of the methods themselves.
pub fn method_of(topic: &str) -> &str {
    match topic {
        "" | "node" => "getinfo",
        "channel" | "channels" => "listpeerchannels",
        "closed" => "listclosedchannels",
        "payment" | "payments" => "listpays",
        "part" | "parts" => "listsendpays",
        "invoice" | "invoices" => "listinvoices",
        "forward" | "forwards" => "listforwards",
        "peer" | "peers" => "listpeers",
        "wallet" | "funds" => "listfunds",
        method => method,
    }
}

/// What a question comes to.
#[derive(Default)]
struct Asked {
    answer: Option<Result<Response, RequestError>>,
    loads: Vec<(QueryId, Table, Range, usize)>,
}

impl Sink for Asked {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Reply { id, result } if id == ASKING => self.answer = Some(result.clone()),
            Command::Load { query, table, range, limit } => {
                let range = match range {
                    LoadRange::From(key) => Range::From(key.to_vec()),
                    LoadRange::Before(key) => Range::Before(key.to_vec()),
                    LoadRange::Exactly(key) => Range::Exactly(key.to_vec()),
                };
                self.loads.push((query, table, range, limit as usize));
            }
            _ => {}
        }
    }
}

/// No daemon counts so far.
const ASKING: RequestId = RequestId(u64::MAX);

/// Asks a copy of the node; the node itself goes on as if nothing had been asked. `params` is JSON.
pub fn ask(
    node: &Node,
    rows: &Rows,
    network: Network,
    clock: Clock,
    method: &str,
    params: &str,
) -> Result<String, String> {
    let view =
        View { version: String::new(), data_dir: String::new(), network, binding: Vec::new(), settings: Vec::new() };
    let mut session = Session::default();
    session.received(format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}","params":{params}}}"#).as_bytes());
    let Some((token, request)) = session.next_request(&view) else { return Err(said(&session)) };
    let answer = respond(node, rows, clock, request)?.ok_or_else(|| format!("{method} has no answer at this point"))?;
    session.reply(token, &answer, &view);
    Ok(said(&session))
}

/// The same for a request. `None`: it has no answer yet.
pub(super) fn respond(
    node: &Node,
    rows: &Rows,
    clock: Clock,
    request: Request,
) -> Result<Option<Result<Response, RequestError>>, String> {
    let mut bytes = Vec::new();
    node.snapshot(&mut bytes);
    let mut copy = Node::thaw(&bytes).map_err(|error| error.to_string())?;
    let digest = Default::default();
    // No answer is there, so nothing that needs the signer can be asked.
    let mut signer = ReplaySigner::new(node.id(), &[], &digest);
    let mut asked = Asked::default();
    copy.step(clock, Event::Request { id: ASKING, request }, &mut signer, &mut asked);
    loop {
        if let Some(answer) = asked.answer.take() {
            return Ok(Some(answer));
        }
        if asked.loads.is_empty() {
            return Ok(None);
        }
        for (query, table, range, limit) in std::mem::take(&mut asked.loads) {
            let found = rows.disk.load(table, &range, limit.min(HISTORY_PAGE_ROWS));
            let rows: Vec<Row<'_>> = found.iter().map(|(key, value)| Row { table, key, value }).collect();
            copy.step(clock, Event::Loaded { query, rows: &rows }, &mut signer, &mut asked);
        }
    }
}

/// What the session has to say: the answer's `result`, or the error.
fn said(session: &Session) -> String {
    let text = String::from_utf8_lossy(session.output());
    let text = text.trim();
    let inner = text.find(r#","result":"#).map(|at| at + 10).or(text.find(r#","error":"#).map(|at| at + 9));
    inner.map_or(text, |at| &text[at..text.len() - 1]).to_owned()
}
