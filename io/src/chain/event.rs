//! What the driver tells, in the shape of the core's chain events.

use std::fmt;

use bitcoin::{BlockHash, Transaction, Txid};
use leyden_core::chain::{Feerates, Tip};
use leyden_core::event::BroadcastOutcome;
use leyden_core::ids::BlockHeight;

/// Where to take the chain up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this block, which was the last one taken in.
    At {
        /// The block.
        tip: Tip,
        /// Blocks before it, as far as they are known, in any order. Only needed if the backend does not know the
        /// block itself any more, because then it cannot name the one before.
        recent: Vec<Tip>,
    },
    /// At the backend's tip, whatever that is.
    Fresh,
}

/// Something about the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverEvent {
    /// A fresh start takes the chain up here; this block is not looked into.
    Begin {
        /// The backend's tip.
        tip: Tip,
    },
    /// The next block.
    BlockConnected {
        /// Height and hash.
        tip: Tip,
        /// The block before it, which was the tip.
        previous: BlockHash,
        /// Its header's time, Unix seconds.
        time_s: u32,
        /// Transactions that spend or pay something watched, with their index, in block order.
        matches: Vec<(u32, Transaction)>,
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
    /// The backend answers, and it is one we can use.
    Up {
        /// What it calls itself.
        version: String,
    },
    /// It does not, or it is not.
    Down(Trouble),
}

/// Why the backend is of no use at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection, or it broke.
    Unreachable {
        /// Where it should be.
        address: String,
        /// What happened.
        reason: String,
    },
    /// It did not answer in time.
    Slow {
        /// Which call.
        method: &'static str,
        /// How long we waited.
        waited_ms: u64,
    },
    /// Its work queue is full, and stays so.
    Busy {
        /// Since when nothing was answered.
        for_ms: u64,
    },
    /// The credentials are missing or not accepted.
    Unauthorized {
        /// What is wrong with them.
        reason: String,
    },
    /// It is still starting.
    Starting {
        /// What it is doing.
        reason: String,
    },
    /// It follows another network than this node.
    WrongChain {
        /// Ours.
        expected: String,
        /// Its.
        actual: String,
    },
    /// It has not got as far as this node yet, or is in its first download.
    Behind {
        /// Blocks that it has verified.
        blocks: u32,
        /// Blocks that it knows of.
        headers: u32,
        /// Where this node is, unless it is a fresh one.
        ours: Option<u32>,
    },
    /// It has deleted a block that this node still needs.
    Pruned {
        /// The block's height.
        height: u32,
    },
    /// It knows neither our tip nor any block before it that we know of.
    UnknownTip {
        /// Our tip.
        height: u32,
        /// Our tip.
        hash: BlockHash,
    },
    /// It answers something that is no answer.
    Nonsense {
        /// To which call.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable { address, reason } => write!(f, "bitcoind at {address} cannot be reached: {reason}"),
            Trouble::Slow { method, waited_ms } => {
                write!(f, "bitcoind did not answer {method} within {} seconds", waited_ms / 1000)
            }
            Trouble::Busy { for_ms } => write!(
                f,
                "bitcoind has been too busy to answer for {} seconds: who else asks it? (its rpcworkqueue may be too short)",
                for_ms / 1000
            ),
            Trouble::Unauthorized { reason } => write!(f, "bitcoind does not let us in: {reason}"),
            Trouble::Starting { reason } => write!(f, "bitcoind is starting: {reason}"),
            Trouble::WrongChain { expected, actual } => write!(
                f,
                "bitcoind is on the network '{actual}' but this node is on '{expected}': point it at another bitcoind"
            ),
            Trouble::Behind { blocks, headers, ours: Some(ours) } => write!(
                f,
                "bitcoind is at block {blocks} of {headers}, this node already at {ours}: waiting for it to catch up"
            ),
            Trouble::Behind { blocks, headers, ours: None } => {
                write!(f, "bitcoind is at block {blocks} of {headers}: waiting for its first download to end")
            }
            Trouble::Pruned { height } => write!(
                f,
                "bitcoind has pruned block {height}, which this node has not seen yet: let it fetch the block again \
                 (getblockfrompeer), or use a bitcoind that still has it"
            ),
            Trouble::UnknownTip { height, hash } => write!(
                f,
                "bitcoind does not know block {hash} at height {height}, nor any block before it that this node \
                 remembers: is it the right one?"
            ),
            Trouble::Nonsense { method, reason } => write!(f, "bitcoind's answer to {method} is no use: {reason}"),
        }
    }
}
