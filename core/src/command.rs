//! What leaves the core. Commands borrow: building one costs nothing. They take effect after the turn's commit.

use bitcoin::{OutPoint, Script, Transaction};

use crate::address::NetAddr;
use crate::ids::{ConnId, DialId, NodeId, QueryId, RequestId};
use crate::request::{RequestError, Response};
use crate::store::{StoreValue, Table};
use crate::wire::Message;

/// One thing to do.
pub enum Command<'a> {
    /// Send a message. Encoded straight into the peer's write buffer.
    Send {
        /// To whom.
        conn: ConnId,
        /// What.
        message: &'a Message<'a>,
    },
    /// End a connection, after what was sent before has been flushed as far as the socket takes it at once.
    Disconnect {
        /// Which.
        conn: ConnId,
        /// For the log.
        reason: &'a str,
    },
    /// Connect to a node.
    Dial {
        /// For the answer.
        dial: DialId,
        /// Whom the handshake must prove.
        peer: NodeId,
        /// Where.
        address: &'a NetAddr,
    },
    /// Write a row.
    Put {
        /// Where.
        table: Table,
        /// Key.
        key: &'a [u8],
        /// Value.
        value: &'a dyn StoreValue,
    },
    /// Remove a row.
    Delete {
        /// Where.
        table: Table,
        /// Key.
        key: &'a [u8],
    },
    /// Read a page of rows back; the answer is `Event::Loaded`.
    Load {
        /// For the answer.
        query: QueryId,
        /// Where.
        table: Table,
        /// Which keys.
        range: LoadRange<'a>,
        /// At most so many rows (and never more than `HISTORY_PAGE_ROWS`).
        limit: u32,
    },
    /// Give a transaction to the backend; the answer is `ChainEvent::Broadcast`.
    Broadcast {
        /// The transaction, complete.
        tx: &'a Transaction,
        /// For the log.
        purpose: &'a str,
    },
    /// Match this in blocks from now on.
    Watch(Watch<'a>),
    /// Answer a control client.
    Reply {
        /// Which request.
        id: RequestId,
        /// How it went.
        result: &'a Result<Response, RequestError>,
    },
    /// Tell people.
    Note(Note<'a>),
    /// Stop the process once this turn's commands have taken effect.
    Stop,
}

/// Which rows to read.
#[derive(Clone, Copy, Debug)]
pub enum LoadRange<'a> {
    /// Keys at or after this one, ascending.
    From(&'a [u8]),
    /// Keys strictly before this one, descending. An empty key means: from the end.
    Before(&'a [u8]),
    /// Exactly this key.
    Exactly(&'a [u8]),
}

/// What to match in blocks.
#[derive(Clone, Copy, Debug)]
pub enum Watch<'a> {
    /// Transactions that spend this output.
    Spend(OutPoint),
    /// Transactions that pay this script.
    Script(&'a Script),
    /// No longer of interest.
    Unspend(OutPoint),
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever develops.
    Debug,
    /// What an operator wants to see.
    Info,
    /// Something is wrong, somewhere.
    Warn,
    /// Something is wrong here; money may wait for a person.
    Error,
}

/// One line for people. Rendered outside, so that a replay can render it again at another level.
#[derive(Clone, Copy)]
pub struct Note<'a> {
    /// How much it matters.
    pub level: Level,
    /// Which part speaks: `channel`, `payment`, `peer`, `wallet`, `chain`, `node`.
    pub part: &'static str,
    /// The peer concerned.
    pub peer: Option<NodeId>,
    /// The text.
    pub text: std::fmt::Arguments<'a>,
}

/// Takes commands. Never calls back and never fails.
pub trait Sink {
    /// Takes one command.
    fn emit(&mut self, command: Command<'_>);
}
