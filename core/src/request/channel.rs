//! About our channels.

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};

use super::{AmountOrAll, FeerateChoice, ForwardPolicy};
use crate::amount::{Msat, Sat};
use crate::clock::Wall;
use crate::ids::{BlockHeight, ChannelId, HtlcId, NodeId, PaymentHash, ShortChannelId};
use crate::side::{PerSide, Side};

/// Names a channel the way a client may: by any of its ids, or by its peer if that has only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ChannelName {
    /// The only channel with this peer.
    Peer(NodeId),
    /// By its id.
    Id(ChannelId),
    /// By its place in the chain, or by one of its aliases.
    Scid(ShortChannelId),
}

/// Asks for channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ListPeerChannels {
    /// Only those with this peer.
    pub peer: Option<NodeId>,
    /// Only this one.
    pub channel: Option<ChannelName>,
}

/// Where a channel stands, in the steps that clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ChannelState {
    /// Being negotiated.
    Opening,
    /// Waiting for the funding to confirm, or for the peer to say so.
    AwaitingLockin,
    /// Carries payments.
    Normal,
    /// Takes no new payments; the old ones go.
    ShuttingDown,
    /// Agreeing on the closing fee.
    SigExchange,
    /// Closed together; not confirmed.
    ClosingComplete,
    /// We or the peer failed it; no commitment is confirmed.
    AwaitingUnilateral,
    /// The funding is spent, and we are finding out by what.
    FundingSpendSeen,
    /// Being resolved on chain.
    Onchain,
    /// Over.
    Closed,
}

/// One entry of the answer to [`super::Request::ListPeerChannels`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PeerChannel {
    /// With whom.
    pub peer_id: NodeId,
    /// Is there a connection?
    pub peer_connected: bool,
    /// Has `channel_reestablish` gone both ways on it?
    pub reestablished: bool,
    /// Where it stands.
    pub state: ChannelState,
    /// Its id.
    pub channel_id: ChannelId,
    /// Its place in the chain, once known.
    pub short_channel_id: Option<ShortChannelId>,
    /// 0 if our id is the lesser, else 1 (BOLT 7).
    pub direction: u8,
    /// The names that each side gave to it; `remote` is the one that the peer invented.
    pub alias: PerSide<Option<ShortChannelId>>,
    /// The feature bits of its type.
    pub channel_type: Vec<u16>,
    /// Is it kept out of the network's map?
    pub private: bool,
    /// Who opened it.
    pub opener: Side,
    /// Who asked to close it.
    pub closer: Option<Side>,
    /// Its funding, once known.
    #[bincode(with_serde)]
    pub funding: Option<OutPoint>,
    /// What each side put in.
    pub funded_sat: PerSide<Sat>,
    /// What the opener gave away at the start.
    pub pushed_msat: Msat,
    /// Where our side of a mutual close goes, if promised beforehand.
    #[bincode(with_serde)]
    pub close_to: Option<ScriptBuf>,
    /// Our balance.
    pub to_us_msat: Msat,
    /// The least it has ever been.
    pub min_to_us_msat: Msat,
    /// The most it has ever been.
    pub max_to_us_msat: Msat,
    /// All there is.
    pub total_msat: Msat,
    /// What we could send in one payment.
    pub spendable_msat: Msat,
    /// What we could receive in one payment.
    pub receivable_msat: Msat,
    /// The feerate of the commitments.
    pub feerate_per_kw: u32,
    /// Our last commitment.
    #[bincode(with_serde)]
    pub last_commitment_txid: Option<Txid>,
    /// Its fee.
    pub last_commitment_fee_msat: Msat,
    /// The least that each side must keep.
    pub reserve_sat: PerSide<Sat>,
    /// Outputs below this do not appear in that side's commitment.
    pub dust_limit_sat: PerSide<Sat>,
    /// For how many blocks each side must wait for its own money after closing alone.
    pub to_self_delay: PerSide<u16>,
    /// How many HTLCs each side accepts.
    pub max_accepted_htlcs: PerSide<u16>,
    /// How much in HTLCs each side accepts.
    pub max_htlc_in_flight_msat: PerSide<Msat>,
    /// The smallest HTLC that each side accepts.
    pub htlc_minimum_msat: PerSide<Msat>,
    /// What we ask for forwarding over it.
    pub policy_local: ForwardPolicy,
    /// What the peer asks, if it said so.
    pub policy_remote: Option<ForwardPolicy>,
    /// HTLCs that are not gone.
    pub htlcs: Vec<HtlcInfo>,
    /// Payments that came in over it: offered, and of these fulfilled.
    pub incoming: Traffic,
    /// Payments that went out over it.
    pub outgoing: Traffic,
    /// Lines for people.
    pub status: Vec<String>,
    /// Did we lose state, so that we must wait for the peer to close?
    pub lost_state: bool,
    /// When the connection last held for a while.
    pub last_stable_connection: Option<Wall>,
}

/// Counts of payments in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Traffic {
    /// How many were offered.
    pub offered_count: u64,
    /// How much was offered.
    pub offered_msat: Msat,
    /// How many were fulfilled.
    pub fulfilled_count: u64,
    /// How much was fulfilled.
    pub fulfilled_msat: Msat,
}

/// An HTLC that is not gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct HtlcInfo {
    /// Who offered it.
    pub offered_by: Side,
    /// Its id among those.
    pub id: HtlcId,
    /// How much.
    pub amount_msat: Msat,
    /// Until when.
    pub expiry: BlockHeight,
    /// For what.
    pub payment_hash: PaymentHash,
    /// How far it has come.
    pub progress: HtlcProgress,
    /// Is it too small to appear in our commitment?
    pub local_trimmed: bool,
}

/// How far an HTLC has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum HtlcProgress {
    /// On its way into both commitments.
    Adding(HtlcStage),
    /// In both.
    Live,
    /// On its way out of both.
    Removing(HtlcStage),
}

/// How far an update has come, seen from the side that proposed it (BOLT 2, normal operation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum HtlcStage {
    /// Said.
    Proposed,
    /// Signed into the other side's commitment.
    PeerSigned,
    /// The other side revoked the one before.
    PeerRevoked,
    /// Signed into the proposer's commitment.
    OwnSigned,
}

/// One entry of the answer to [`super::Request::ListClosedChannels`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ClosedChannel {
    /// With whom.
    pub peer_id: NodeId,
    /// Its id.
    pub channel_id: ChannelId,
    /// Its place in the chain, if it had one.
    pub short_channel_id: Option<ShortChannelId>,
    /// The names that each side gave to it.
    pub alias: PerSide<Option<ShortChannelId>>,
    /// The feature bits of its type.
    pub channel_type: Vec<u16>,
    /// Who opened it.
    pub opener: Side,
    /// Who closed it.
    pub closer: Option<Side>,
    /// Was it kept out of the network's map?
    pub private: bool,
    /// Its funding.
    #[bincode(with_serde)]
    pub funding: OutPoint,
    /// How many commitments each side had.
    pub commitments: PerSide<u64>,
    /// How many HTLCs we offered.
    pub htlcs_sent: u64,
    /// All there was.
    pub total_msat: Msat,
    /// Our balance at the end.
    pub final_to_us_msat: Msat,
    /// The least it ever was.
    pub min_to_us_msat: Msat,
    /// The most it ever was.
    pub max_to_us_msat: Msat,
    /// The last commitment that we held.
    #[bincode(with_serde)]
    pub last_commitment_txid: Option<Txid>,
    /// Its fee.
    pub last_commitment_fee_msat: Option<Msat>,
    /// Why it ended.
    pub cause: CloseCause,
}

/// Why a channel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum CloseCause {
    /// Nobody wrote it down.
    Unknown,
    /// The node decided by itself.
    Local,
    /// A client asked for it.
    User,
    /// The peer decided.
    Remote,
    /// The peer broke the protocol.
    Protocol,
    /// Seen on chain.
    Onchain,
}

/// Asks for a new channel.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FundChannel {
    /// With whom.
    pub peer: NodeId,
    /// How much we put in.
    pub amount: AmountOrAll,
    /// What the funding transaction may cost.
    pub feerate: Option<FeerateChoice>,
    /// Shall it be in the network's map?
    pub announce: bool,
    /// How deep the inputs must be.
    pub min_confirmations: u32,
    /// What we give away at the start.
    pub push_msat: Msat,
    /// Where our side of a mutual close shall go.
    #[bincode(with_serde)]
    pub close_to: Option<ScriptBuf>,
    /// The inputs; `None` means that the wallet chooses.
    #[bincode(with_serde)]
    pub utxos: Option<Vec<OutPoint>>,
    /// How deep the funding must be before we use the channel.
    pub mindepth: Option<u32>,
    /// What the peer must keep.
    pub reserve_sat: Option<Sat>,
    /// The feature bits of its type; `None` means the best that both know.
    pub channel_type: Option<Vec<u16>>,
}

impl FundChannel {
    /// A channel as most people want it: whoever wants something else says what.
    pub fn new(peer: NodeId, amount: Sat) -> FundChannel {
        FundChannel {
            peer,
            amount: AmountOrAll::Amount(amount),
            feerate: None,
            announce: true,
            min_confirmations: 1,
            push_msat: Msat::ZERO,
            close_to: None,
            utxos: None,
            mindepth: None,
            reserve_sat: None,
            channel_type: None,
        }
    }
}

/// Answers [`super::Request::FundChannel`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChannelFunded {
    /// The funding transaction.
    #[bincode(with_serde)]
    pub tx: Transaction,
    /// Which of its outputs.
    pub output: u32,
    /// The channel's id.
    pub channel_id: ChannelId,
    /// The feature bits of its type.
    pub channel_type: Vec<u16>,
    /// Where our side of a mutual close goes, if the peer took the promise.
    #[bincode(with_serde)]
    pub close_to: Option<ScriptBuf>,
    /// How deep the funding must be before we use the channel.
    pub mindepth: Option<u32>,
}

/// Asks to close a channel.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Close {
    /// Which.
    pub channel: ChannelName,
    /// After so long without the peer's consent, close it alone; `None`: never.
    pub unilateral_timeout_s: Option<u64>,
    /// Where our side shall go; `None`: into the wallet.
    #[bincode(with_serde)]
    pub destination: Option<ScriptBuf>,
    /// The lowest and the highest feerate.
    pub fee_range: Option<(FeerateChoice, FeerateChoice)>,
}

/// Answers [`super::Request::Close`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ChannelClosed {
    /// Together.
    Mutual(#[bincode(with_serde)] Box<Transaction>),
    /// Alone, by the last commitment.
    Unilateral(#[bincode(with_serde)] Box<Transaction>),
    /// It was not funded: nothing has to happen on chain.
    Unopened,
}

/// Asks to change what channels charge and take.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SetChannel {
    /// Which; `None`: all of them, and those to come.
    pub channel: Option<ChannelName>,
    /// New base fee.
    pub fee_base_msat: Option<Msat>,
    /// New proportional fee.
    pub fee_proportional_millionths: Option<u32>,
    /// New smallest HTLC.
    pub htlc_minimum_msat: Option<Msat>,
    /// New largest HTLC.
    pub htlc_maximum_msat: Option<Msat>,
    /// For how long the old policy is still accepted.
    pub enforce_delay_s: u32,
    /// Shall the peer be free to choose any commitment feerate?
    pub ignore_fee_limits: Option<bool>,
}

/// One entry of the answer to [`super::Request::SetChannel`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChannelPolicy {
    /// With whom.
    pub peer_id: NodeId,
    /// Which channel.
    pub channel_id: ChannelId,
    /// Its place in the chain.
    pub short_channel_id: Option<ShortChannelId>,
    /// The policy from now on.
    pub policy: ForwardPolicy,
    /// May the peer choose any commitment feerate?
    pub ignore_fee_limits: bool,
    /// The minimum was raised to what the peer demands.
    pub warning_htlc_minimum_too_low: bool,
    /// The maximum was lowered to what the channel holds.
    pub warning_htlc_maximum_too_high: bool,
}
