//! What a channel tells the node: facts that concern more than this channel.

use bitcoin::{OutPoint, ScriptBuf, TxOut, Txid};

use crate::amount::{Msat, Sat};
use crate::ids::{BlockHeight, ChannelKey, HtlcId, PaymentHash, Preimage, ShortChannelId, Sig};

use super::ledger::Origin;

/// Why an HTLC that we offered failed.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Failure {
    /// The peer returned an encrypted reason.
    Reason(Box<[u8]>),
    /// The peer could not read the onion.
    Malformed {
        /// BOLT 4's code, with the BADONION bit.
        failure_code: u16,
        /// SHA-256 of the onion as the peer saw it.
        sha256_of_onion: [u8; 32],
    },
    /// It timed out, or was never there, on chain.
    OnChain,
}

/// Why a channel goes on chain by our commitment.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum CloseReason {
    /// The operator asked for it.
    Operator,
    /// The peer broke the protocol; what it did.
    Violation(String),
    /// The peer sent an `error`; its words.
    PeerError(String),
    /// An HTLC that we offered is past its deadline.
    OfferedDeadline {
        /// Which.
        id: HtlcId,
        /// When it timed out.
        cltv_expiry: u32,
    },
    /// An HTLC that we fulfilled is near its expiry and the peer does not let it go.
    FulfilledDeadline {
        /// Which.
        id: HtlcId,
        /// When it times out.
        cltv_expiry: u32,
    },
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CloseReason::Operator => f.write_str("requested"),
            CloseReason::Violation(what) => write!(f, "protocol violation by the peer: {what}"),
            CloseReason::PeerError(text) => write!(f, "the peer sent an error: {text}"),
            CloseReason::OfferedDeadline { id, cltv_expiry } => {
                write!(f, "offered HTLC {id} timed out at block {cltv_expiry} and the peer still holds it")
            }
            CloseReason::FulfilledDeadline { id, cltv_expiry } => {
                write!(f, "fulfilled HTLC {id} times out at block {cltv_expiry} and the peer has not let it go")
            }
        }
    }
}

/// How the funding output was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Spender {
    /// By a transaction that both signed to close.
    Mutual,
    /// By our latest commitment.
    OurCommitment,
    /// By a commitment of ours that we have revoked: somebody runs a copy of this node.
    OurRevoked {
        /// Its number.
        number: u64,
    },
    /// By the peer's commitment of this number, which it has not revoked.
    TheirCommitment {
        /// Its number.
        number: u64,
    },
    /// By a commitment that the peer has revoked: theft, if we let it.
    TheirRevoked {
        /// Its number.
        number: u64,
    },
    /// By a commitment of the peer that we do not know: our data is older than the channel.
    TheirFuture {
        /// Its number.
        number: u64,
    },
    /// By something else.
    Unknown,
}

/// How to spend an output of a closed channel that is ours.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum SpendBy {
    /// Our balance on our own commitment, after `to_self_delay` blocks.
    ToLocal {
        /// The commitment's number.
        number: u64,
        /// The delay.
        to_self_delay: u16,
    },
    /// Our balance on the peer's commitment; `csv` is 1 with anchors and else 0.
    ToRemote {
        /// The relative delay in blocks.
        csv: u16,
    },
    /// Everything in the `to_local` of a commitment that the peer has revoked.
    Revoked {
        /// The commitment's number; the secret store has its secret.
        number: u64,
        /// The peer's delay, within which we must act.
        to_self_delay: u16,
    },
}

/// An output on chain that is ours to spend.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Spendable {
    /// Which.
    #[bincode(with_serde)]
    pub outpoint: OutPoint,
    /// Its value and script.
    #[bincode(with_serde)]
    pub output: TxOut,
    /// How.
    pub by: SpendBy,
    /// The first block that may hold a spend.
    pub from_height: BlockHeight,
}

/// One thing that the node must know.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Effect {
    /// The opener's wallet must build (not broadcast) a transaction that pays this; the answer is
    /// `Opening::funding_built`.
    FundingNeeded {
        /// Whose.
        channel: ChannelKey,
        /// The 2-of-2 script.
        #[bincode(with_serde)]
        script: ScriptBuf,
        /// The amount.
        amount: Sat,
    },
    /// The peer's signature on our first commitment is stored: the funding transaction may be broadcast.
    FundingSafe {
        /// Whose.
        channel: ChannelKey,
        /// Which output funds the channel.
        #[bincode(with_serde)]
        outpoint: OutPoint,
    },
    /// A peer's HTLC is irrevocably committed. `Channel::htlc` has its onion.
    Incoming {
        /// On which channel.
        channel: ChannelKey,
        /// Which.
        id: HtlcId,
        /// What it carries.
        amount_msat: Msat,
        /// Its hash.
        payment_hash: PaymentHash,
        /// When it times out.
        cltv_expiry: u32,
        /// There is more dust than we bear: it must be failed, and its preimage must not be told.
        dust_excess: bool,
    },
    /// The peer told the preimage of an HTLC that we offered. At once, before any commitment: it can be used upstream.
    Fulfilled {
        /// On which channel.
        channel: ChannelKey,
        /// Which.
        id: HtlcId,
        /// Whom it concerns.
        origin: Origin,
        /// The proof.
        preimage: Preimage,
    },
    /// An HTLC that we offered has failed for good.
    Failed {
        /// On which channel.
        channel: ChannelKey,
        /// Which.
        id: HtlcId,
        /// Whom it concerns.
        origin: Origin,
        /// Why.
        failure: Failure,
    },
    /// An add of ours never was: nobody signed it before the connection went.
    Dropped {
        /// On which channel.
        channel: ChannelKey,
        /// The id it had; the next add gets it again.
        id: HtlcId,
        /// Whom it concerns.
        origin: Origin,
    },
    /// An add of ours is in the peer's only commitment: its onion is needed no more.
    Delivered {
        /// On which channel.
        channel: ChannelKey,
        /// Which.
        id: HtlcId,
        /// Whom it concerns.
        origin: Origin,
    },
    /// An HTLC that we offered and that was fulfilled has left both commitments.
    Cleared {
        /// On which channel.
        channel: ChannelKey,
        /// Which.
        id: HtlcId,
        /// Whom it concerned.
        origin: Origin,
    },
    /// Our removal of a peer's HTLC is irrevocable.
    Settled {
        /// On which channel.
        channel: ChannelKey,
        /// Which.
        id: HtlcId,
        /// Was it fulfilled?
        fulfilled: bool,
    },
    /// Something left the commitments, or a revocation came: adds that were refused may be tried again.
    Room {
        /// On which channel.
        channel: ChannelKey,
    },
    /// The channel may carry HTLCs.
    Up {
        /// Which.
        channel: ChannelKey,
    },
    /// It may not.
    Down {
        /// Which.
        channel: ChannelKey,
    },
    /// The channel may be used for the first time: `channel_ready` went both ways.
    Ready {
        /// Which.
        channel: ChannelKey,
    },
    /// The funding transaction's place in the chain is known (again, after a reorganisation).
    ScidKnown {
        /// Which channel.
        channel: ChannelKey,
        /// Its place.
        scid: ShortChannelId,
    },
    /// The peer gave its alias for the channel, for the incoming side of route hints.
    AliasKnown {
        /// Which channel.
        channel: ChannelKey,
        /// The alias.
        alias: ShortChannelId,
    },
    /// Both ends have signed the announcement.
    Announced {
        /// Which channel.
        channel: ChannelKey,
        /// Its place.
        scid: ShortChannelId,
        /// Signatures of the node keys.
        node_signatures: crate::side::PerSide<Sig>,
        /// Signatures of the funding keys.
        bitcoin_signatures: crate::side::PerSide<Sig>,
    },
    /// Our policy for the channel changed or must be told again: `Channel::send_update`, and to everybody if the channel
    /// is announced.
    UpdateDue {
        /// Which channel.
        channel: ChannelKey,
    },
    /// No new HTLCs: the channel is closing by agreement.
    Closing {
        /// Which.
        channel: ChannelKey,
    },
    /// Both signed a closing transaction, which has been broadcast.
    MutualClose {
        /// Which channel.
        channel: ChannelKey,
        /// The transaction.
        #[bincode(with_serde)]
        txid: Txid,
        /// Our output there, if it is not dust.
        #[bincode(with_serde)]
        output: Option<(OutPoint, TxOut)>,
    },
    /// Our commitment has been broadcast.
    ForceClose {
        /// Which channel.
        channel: ChannelKey,
        /// Why.
        reason: CloseReason,
        /// The commitment.
        #[bincode(with_serde)]
        txid: Txid,
    },
    /// The funding output is spent.
    Spent {
        /// Which channel.
        channel: ChannelKey,
        /// By which transaction.
        #[bincode(with_serde)]
        txid: Txid,
        /// What that is.
        by: Spender,
        /// In which block.
        height: BlockHeight,
    },
    /// An output on chain is ours to claim.
    SpendableOutput {
        /// Of which channel.
        channel: ChannelKey,
        /// Which, and how.
        spendable: Spendable,
    },
    /// The channel was given up before it was funded, or everything of it is resolved. Its rows are gone.
    Closed {
        /// Which.
        channel: ChannelKey,
        /// For people.
        reason: String,
    },
}
