//! What can be wrong with a peer's message, and what follows from it.

use crate::amount::{Msat, Sat};
use crate::ids::HtlcId;

use super::limits::Excess;

/// What happens after a peer's mistake. A warning with a new start of the connection beats an error, because an error
/// ends the channel on chain (DESIGN: errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consequence {
    /// Nothing.
    Ignore,
    /// Send a `warning`.
    Warn,
    /// Send a `warning` and close the connection: what was not signed is forgotten by both.
    WarnDisconnect,
    /// Send an `error`, so that the peer closes on chain, and do not do so ourselves.
    AskToClose,
    /// Send an `error` and close on chain.
    Fail,
}

/// A message of the peer that cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// It does not fit the channel's state.
    Unexpected {
        /// The message's name.
        message: &'static str,
        /// The state.
        state: &'static str,
    },
    /// A message type that this channel does not speak.
    Unsupported {
        /// The message's name.
        message: &'static str,
    },
    /// An add whose id is not the next.
    WrongId {
        /// The next.
        expected: HtlcId,
        /// What came.
        actual: HtlcId,
    },
    /// An add or fee beyond a limit.
    Excess(Excess),
    /// A removal of an HTLC that is not there or not irrevocable.
    NoSuchHtlc {
        /// Which.
        id: HtlcId,
    },
    /// A preimage that does not hash to the HTLC's payment hash.
    WrongPreimage {
        /// Which HTLC.
        id: HtlcId,
    },
    /// `update_fail_malformed_htlc` without the BADONION bit.
    NotBadOnion {
        /// What came.
        failure_code: u16,
    },
    /// A fee update of a side that does not pay the fees.
    NotOpener,
    /// A signature on our commitment that does not verify, or that has a high S.
    BadSignature,
    /// A signature on one of our HTLC transactions that does not verify.
    BadHtlcSignature {
        /// Index in the message.
        index: usize,
    },
    /// Another number of HTLC signatures than our commitment has HTLC outputs.
    HtlcSignatureCount {
        /// Outputs.
        expected: usize,
        /// Signatures.
        actual: usize,
    },
    /// A `revoke_and_ack` that is not due.
    RevokeNotDue,
    /// A revealed secret that does not make the point it should, or does not fit the earlier ones.
    BadSecret {
        /// The number of the commitment it should revoke.
        number: u64,
    },
    /// Signatures on the channel's announcement that do not verify.
    BadAnnouncement,
    /// Bytes that are no point on the curve.
    BadPoint {
        /// The field.
        field: &'static str,
    },
    /// Numbers in `channel_reestablish` that cannot come from an honest peer whose data is whole.
    BadReestablish {
        /// What the peer wants next.
        next_commitment: u64,
        /// What the peer wants revoked next.
        next_revocation: u64,
    },
    /// The peer has lost data, without proof that we have: it must close, or bring its data back.
    PeerBehind {
        /// What the peer wants next.
        next_commitment: u64,
        /// Our number.
        ours: u64,
    },
    /// The peer proved that our data is old. Nothing of ours may be broadcast.
    WeAreBehind {
        /// Commitments that the peer knows of.
        theirs: u64,
        /// What we know of.
        ours: u64,
    },
    /// A shutdown script of no allowed form, or another than the one given at opening.
    BadShutdownScript,
    /// A closing fee outside of what can be.
    BadClosingFee {
        /// What came.
        fee: Sat,
        /// The most there can be.
        maximum: Sat,
    },
    /// An offer to open with a parameter that we do not accept.
    Parameter {
        /// The field.
        field: &'static str,
        /// What came.
        actual: u64,
        /// The bound it breaks.
        bound: u64,
    },
    /// A channel type that we do not accept.
    ChannelType,
    /// Another chain than ours.
    ChainHash,
    /// The channel ended while the peer was away.
    Gone,
    /// An onion that we must send again is not there.
    OnionLost {
        /// Of which HTLC.
        id: HtlcId,
    },
    /// More than the peer's balance, or than the channel.
    TooMuch {
        /// The field.
        field: &'static str,
        /// What came.
        actual: Msat,
        /// What there is.
        maximum: Msat,
    },
}

impl ChannelError {
    /// What follows.
    pub fn consequence(&self) -> Consequence {
        use ChannelError::*;
        match self {
            Unexpected { .. } | Unsupported { .. } => Consequence::WarnDisconnect,
            // Nothing of these is signed yet, so a new start of the connection undoes them.
            WrongId { .. } | Excess(_) | NotOpener | BadShutdownScript | BadClosingFee { .. } => {
                Consequence::WarnDisconnect
            }
            OnionLost { .. } | BadPoint { .. } | BadAnnouncement => Consequence::WarnDisconnect,
            // An `error` lets the peer close; we lose nothing by waiting for it, and might by going first.
            PeerBehind { .. } | WeAreBehind { .. } | Gone => Consequence::AskToClose,
            // BOLT 2: the sender of one of these cannot be reasoned with, and money may depend on it.
            NoSuchHtlc { .. } | WrongPreimage { .. } | NotBadOnion { .. } => Consequence::Fail,
            BadSignature | BadHtlcSignature { .. } | HtlcSignatureCount { .. } => Consequence::Fail,
            RevokeNotDue | BadSecret { .. } | BadReestablish { .. } => Consequence::Fail,
            // Openings have nothing to lose yet: failing one is an `error` and nothing on chain.
            Parameter { .. } | ChannelType | ChainHash | TooMuch { .. } => Consequence::Fail,
        }
    }
}

impl std::fmt::Display for ChannelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use ChannelError::*;
        match self {
            Unexpected { message, state } => write!(f, "{message} is not expected while {state}"),
            Unsupported { message } => write!(f, "{message} is not supported on this channel"),
            WrongId { expected, actual } => write!(f, "HTLC id {actual}, expected {expected}"),
            Excess(excess) => write!(f, "{excess}"),
            NoSuchHtlc { id } => write!(f, "HTLC {id} is not irrevocably committed, or already removed"),
            WrongPreimage { id } => write!(f, "the preimage for HTLC {id} does not match its hash"),
            NotBadOnion { failure_code } => write!(f, "failure code {failure_code:#06x} lacks the BADONION bit"),
            NotOpener => f.write_str("only the opener may update the fee"),
            BadSignature => f.write_str("the commitment signature is not valid"),
            BadHtlcSignature { index } => write!(f, "HTLC signature {index} is not valid"),
            HtlcSignatureCount { expected, actual } => write!(f, "{actual} HTLC signatures, expected {expected}"),
            RevokeNotDue => f.write_str("revoke_and_ack without a commitment_signed to answer"),
            BadSecret { number } => write!(f, "the secret for commitment {number} is not right"),
            BadAnnouncement => f.write_str("the signatures on the announcement are not valid"),
            BadPoint { field } => write!(f, "{field} is no point of the curve"),
            BadReestablish { next_commitment, next_revocation } => {
                write!(f, "channel_reestablish asks for commitment {next_commitment}, revocation {next_revocation}")
            }
            PeerBehind { next_commitment, ours } => {
                write!(f, "you ask for commitment {next_commitment}, we are at {ours}: restore your data or close")
            }
            WeAreBehind { theirs, ours } => {
                write!(f, "our data is old ({ours}, you have {theirs}): please close the channel")
            }
            BadShutdownScript => f.write_str("the shutdown script is not acceptable"),
            BadClosingFee { fee, maximum } => write!(f, "closing fee of {fee}, at most {maximum} is there"),
            Parameter { field, actual, bound } => write!(f, "{field} of {actual}, our bound is {bound}"),
            ChannelType => f.write_str("the channel type is not acceptable"),
            ChainHash => f.write_str("another chain"),
            Gone => f.write_str("the channel is closed"),
            OnionLost { id } => write!(f, "the onion of HTLC {id} is not at hand"),
            TooMuch { field, actual, maximum } => write!(f, "{field} of {actual}, at most {maximum} is there"),
        }
    }
}

impl std::error::Error for ChannelError {}
