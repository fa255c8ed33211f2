//! All methods: their names, their parameters in Core Lightning's order, and what they ask the core.

mod channel;
mod decode;
mod dev;
mod graph;
mod invoice;
pub(crate) mod local;
mod node;
mod payment;
mod peer;
mod recorder;
mod wallet;

use jsonrpc_core::{Error, ErrorCode};
use leyden_core::ids::NodeId;
use leyden_core::request::Request;
use serde_json::value::RawValue;

use crate::args::Args;
use crate::daemon::DaemonRequest;
use crate::view::View;

/// What a request comes to.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Ask the core, and show its answer.
    Ask(Request),
    /// Ask the core whether this node, which a signature names, is known to the network.
    AskSigner(NodeId),
    /// The answer's `result`, as JSON.
    Answer(Vec<u8>),
    /// Ask the daemon itself.
    Daemon(DaemonRequest),
    /// Switch this connection's notifications.
    Notifications(bool),
}

impl From<Request> for Action {
    fn from(request: Request) -> Action {
        Action::Ask(request)
    }
}

pub(crate) type Outcome = Result<Action, Error>;

/// A method.
pub(crate) struct Method {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its parameters, those in brackets may be left out.
    pub(crate) usage: &'static str,
    /// For people, one line.
    pub(crate) summary: &'static str,
    /// Reads the parameters.
    pub(crate) run: fn(&Args<'_>, &View) -> Outcome,
}

/// All methods, a topic at a time.
pub(crate) fn all() -> impl Iterator<Item = &'static Method> {
    [
        local::METHODS,
        decode::METHODS,
        node::METHODS,
        peer::METHODS,
        channel::METHODS,
        wallet::METHODS,
        invoice::METHODS,
        payment::METHODS,
        graph::METHODS,
        dev::METHODS,
        recorder::METHODS,
    ]
    .into_iter()
    .flatten()
}

/// The names of all methods, sorted, each with a line for people: for the command line's completion.
pub fn summaries() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut summaries: Vec<_> = all().map(|method| (method.name, method.summary)).collect();
    summaries.sort_unstable();
    summaries.into_iter()
}

/// The method of this name.
pub(crate) fn find(name: &str) -> Result<&'static Method, Error> {
    all().find(|method| method.name == name).ok_or_else(|| Error {
        code: ErrorCode::MethodNotFound,
        message: format!("Unknown command '{}'", name.chars().take(80).collect::<String>()),
        data: None,
    })
}

/// Reads a request as far as it can be read without the core.
pub(crate) fn decode(name: &str, params: &RawValue, view: &View) -> Outcome {
    let method = find(name)?;
    (method.run)(&Args::new(method.usage, params)?, view)
}

#[cfg(test)]
mod tests;
