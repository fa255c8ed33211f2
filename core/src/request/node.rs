//! About the node itself.

use crate::address::NetAddr;
use crate::amount::{Msat, Sat};
use crate::ids::{BlockHeight, NodeId};

/// Answers [`super::Request::Getinfo`]. What the process knows and the core does not (version, directory, network, the
/// sockets it listens on) is added outside.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct NodeInfo {
    /// Our id.
    pub id: NodeId,
    /// The name we announce.
    pub alias: String,
    /// The colour we announce: red, green, blue.
    pub color: [u8; 3],
    /// Peers with a connection or a channel.
    pub num_peers: u32,
    /// Channels whose funding is not confirmed deep enough.
    pub num_pending_channels: u32,
    /// Channels that can carry payments.
    pub num_active_channels: u32,
    /// Channels that are closing.
    pub num_inactive_channels: u32,
    /// The chain as far as we took it in.
    pub blockheight: BlockHeight,
    /// What forwarding has earned.
    pub fees_collected_msat: Msat,
    /// Where we tell others that we can be reached.
    pub addresses: Vec<NetAddr>,
    /// Features that we set, in BOLT 9's contexts.
    pub features: OurFeatures,
    /// Is the chain backend itself still catching up, or not answering? For people.
    pub warning_backend_sync: Option<String>,
    /// Are we still taking in blocks that the backend has? For people.
    pub warning_node_sync: Option<String>,
}

/// Feature bits as they stand in messages: big-endian, without leading zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct OurFeatures {
    /// In `init`.
    pub init: Vec<u8>,
    /// In `node_announcement`.
    pub node: Vec<u8>,
    /// In `channel_announcement`.
    pub channel: Vec<u8>,
    /// In invoices.
    pub invoice: Vec<u8>,
}

/// The unit in which a client wants to see feerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum FeerateStyle {
    /// Satoshi per 1,000 virtual bytes.
    PerKb,
    /// Satoshi per 1,000 weight units.
    PerKw,
}

/// Answers [`super::Request::Feerates`]. All feerates are per 1,000 weight units, whatever the style.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FeeratesInfo {
    /// The unit that was asked for.
    pub style: FeerateStyle,
    /// The least we accept of a peer.
    pub min_acceptable: u32,
    /// The most we accept of a peer.
    pub max_acceptable: u32,
    /// The least that the backend relays.
    pub floor: u32,
    /// To open a channel, and the other purposes; `None` until the backend has named feerates.
    pub by_purpose: Option<FeeratesByPurpose>,
    /// What the backend estimates.
    pub estimates: Vec<FeerateEstimate>,
}

/// What we would use now, in satoshi per 1,000 weight units, and what typical transactions would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FeeratesByPurpose {
    /// To open a channel.
    pub opening: u32,
    /// To close one together.
    pub mutual_close: u32,
    /// For a commitment transaction without anchors.
    pub unilateral_close: u32,
    /// For a commitment transaction with anchors.
    pub unilateral_anchor_close: u32,
    /// To punish.
    pub penalty: u32,
    /// Cost of a typical opening.
    pub opening_channel_sat: Sat,
    /// Cost of a typical mutual close.
    pub mutual_close_sat: Sat,
    /// Cost of a typical unilateral close.
    pub unilateral_close_sat: Sat,
    /// Cost of a typical HTLC-timeout transaction.
    pub htlc_timeout_sat: Sat,
    /// Cost of a typical HTLC-success transaction.
    pub htlc_success_sat: Sat,
}

/// One estimate of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FeerateEstimate {
    /// To confirm within so many blocks.
    pub blocks: u32,
    /// Satoshi per 1,000 weight units.
    pub feerate_per_kw: u32,
    /// The same, smoothed over recent estimates.
    pub smoothed_feerate_per_kw: u32,
}

/// A list that grows, and whose entries change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Subsystem {
    /// Our invoices; they change when they are paid.
    Invoices,
    /// Parts of payments; they change when they end.
    SendPays,
    /// Forwards; they change when they end.
    Forwards,
}

/// Asks to be told when a list has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Wait {
    /// Which list.
    pub subsystem: Subsystem,
    /// By which of its numberings.
    pub index: super::ListIndex,
    /// The number that is waited for; with zero the answer comes at once.
    pub next: u64,
}

/// Answers [`super::Request::Wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Grown {
    /// Which list.
    pub subsystem: Subsystem,
    /// By which of its numberings.
    pub index: super::ListIndex,
    /// Its last number now; zero if there is none yet.
    pub last: u64,
}

/// Asks to be told when the chain has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct WaitBlockHeight {
    /// How high.
    pub height: BlockHeight,
    /// For how long.
    pub timeout_s: u64,
}

/// Answers [`super::Request::SignMessage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MessageSignature {
    /// The compact signature.
    pub signature: [u8; 64],
    /// Which of the keys that the signature allows is ours: 0 to 3.
    pub recovery_id: u8,
}
