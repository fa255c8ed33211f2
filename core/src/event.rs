//! What enters the core.

use crate::address::NetAddr;
use bitcoin::{Transaction, Txid};

use crate::chain::{Feerates, Tip};
use crate::ids::{BlockHeight, ConnId, DialId, NodeId, QueryId, RequestId};
use crate::request::Request;
use crate::store::Row;

/// One thing that happened. Everything the core decides follows from these and from the signer's answers.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// `next_deadline()` has come.
    Deadline,
    /// Spare time: one bounded slice of background work may be done.
    Idle,
    /// The handshake with a peer is complete.
    Connected {
        /// Its name from now on.
        conn: ConnId,
        /// Who it is.
        peer: NodeId,
        /// Who dialled.
        direction: Direction,
        /// Where the peer is.
        address: NetAddr,
    },
    /// A dial ended without a connection.
    DialFailed {
        /// The one that `Command::Dial` named.
        dial: DialId,
        /// For people.
        reason: String,
    },
    /// A message, decrypted and not decoded: decoding is a decision.
    Received {
        /// From whom.
        conn: ConnId,
        /// Type and body.
        message: &'a [u8],
    },
    /// A peer's write buffer has drained.
    WriteSpace {
        /// Whose.
        conn: ConnId,
        /// Bytes free.
        free: u32,
    },
    /// A connection is gone, whoever ended it.
    Disconnected {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: Cut,
    },
    /// Something about the chain.
    Chain(ChainEvent<'a>),
    /// A control client asks.
    Request {
        /// For the reply.
        id: RequestId,
        /// What it asks.
        request: Request,
    },
    /// A control client has gone; nobody waits for this reply any more.
    RequestGone {
        /// Which.
        id: RequestId,
    },
    /// History read back from the store, for `Command::Load`.
    Loaded {
        /// Which query.
        query: QueryId,
        /// In the order of their keys; at most `HISTORY_PAGE_ROWS`.
        rows: &'a [Row<'a>],
    },
}

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Direction {
    /// The peer came to us.
    Inbound {
        /// Nothing to match: we did not ask for it.
        listener: u16,
    },
    /// We dialled.
    Outbound {
        /// The one that `Command::Dial` named.
        dial: DialId,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Cut {
    /// The peer closed it.
    Peer,
    /// We asked for it.
    Ours,
    /// The socket failed.
    Socket(String),
    /// A frame did not authenticate, or the handshake failed.
    Crypto(String),
    /// The peer did not take what we had to send.
    Overflow,
    /// A newer connection of the same peer took its place.
    Replaced,
}

/// What happened on the chain.
#[derive(Clone, Debug)]
pub enum ChainEvent<'a> {
    /// A fresh node starts here: blocks up to and including this one are of no interest to it.
    Begin {
        /// The backend's tip at that moment.
        tip: Tip,
    },
    /// The next block.
    BlockConnected {
        /// Height and hash.
        tip: Tip,
        /// Its header's time, Unix seconds.
        time_s: u32,
        /// Transactions that spend or pay something watched, in block order.
        matches: &'a [Match<'a>],
    },
    /// The tip is no longer part of the best chain.
    BlockDisconnected {
        /// The block that goes.
        tip: Tip,
    },
    /// All blocks that the backend has are taken in.
    Synced {
        /// Its height.
        height: BlockHeight,
    },
    /// New estimates.
    Feerates(Feerates),
    /// How a broadcast went.
    Broadcast {
        /// Which transaction.
        txid: Txid,
        /// How.
        outcome: BroadcastOutcome,
    },
    /// The backend answers again.
    Up,
    /// The backend does not answer, or answers what we cannot use.
    Down {
        /// For people.
        reason: String,
    },
}

/// A transaction in a block.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// Its index in the block.
    pub index: u32,
    /// The transaction.
    pub tx: &'a Transaction,
}

/// How a broadcast went.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum BroadcastOutcome {
    /// It is in the backend's mempool, or in a block already.
    Accepted,
    /// The backend refused it.
    Rejected {
        /// The backend's code.
        code: i64,
        /// The backend's words.
        reason: String,
    },
    /// The backend could not be asked.
    Unreachable,
}
