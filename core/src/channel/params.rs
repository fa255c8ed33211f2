//! What the two ends of a channel agreed on, and what we want of any channel.

use crate::amount::{Msat, Sat};
use crate::ids::{ChainHash, NodeId};

/// What one side demanded at the opening. Each is a promise that the other side keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Params {
    /// Outputs below this are left out of this side's own commitments.
    pub dust_limit: Sat,
    /// The most that the other side may have in flight towards this side.
    pub max_htlc_value_in_flight_msat: Msat,
    /// What the other side must keep for itself, so that it has something to lose.
    pub channel_reserve: Sat,
    /// The least that the other side may offer.
    pub htlc_minimum_msat: Msat,
    /// How long the other side must wait for its balance after it broadcast its own commitment.
    pub to_self_delay: u16,
    /// The most HTLCs that the other side may have offered.
    pub max_accepted_htlcs: u16,
}

/// What we ask of others for carrying their HTLCs out through a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Policy {
    /// Fixed part of the fee.
    pub fee_base_msat: u32,
    /// Proportional part of the fee.
    pub fee_proportional_millionths: u32,
    /// How many blocks an HTLC must end before the one that came in.
    pub cltv_expiry_delta: u16,
    /// The least we carry.
    pub htlc_minimum_msat: Msat,
    /// The most we carry.
    pub htlc_maximum_msat: Msat,
}

/// The peer's side of the same, from its `channel_update`: what a route hint to us names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PeerPolicy {
    /// What it asks.
    pub policy: Policy,
    /// When it said so, Unix seconds.
    pub timestamp: u32,
    /// Does it refuse HTLCs at present?
    pub disabled: bool,
}

/// What we want of channels.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub struct ChannelConfig {
    /// Who we are.
    pub node_id: NodeId,
    /// Which chain.
    pub chain_hash: ChainHash,
    /// Our `dust_limit_satoshis`.
    pub dust_limit: Sat,
    /// Our `htlc_minimum_msat`.
    pub htlc_minimum_msat: Msat,
    /// Our `max_accepted_htlcs`.
    pub max_accepted_htlcs: u16,
    /// Our `max_htlc_value_in_flight_msat`, in thousandths of the capacity.
    pub max_in_flight_permille: u64,
    /// The reserve we demand, in thousandths of the capacity.
    pub reserve_permille: u64,
    /// The delay that we demand of the peer.
    pub to_self_delay: u16,
    /// The longest delay that we accept.
    pub to_self_delay_max: u16,
    /// Confirmations that we want before we use a channel that a peer funded.
    pub minimum_depth: u32,
    /// The most confirmations that we accept to wait for.
    pub minimum_depth_max: u32,
    /// The smallest channel that we let a peer open.
    pub funding_min: Sat,
    /// The largest channel that we let a peer open.
    pub funding_max: Sat,
    /// Do both ends allow channels of 2^24 satoshi and more? (Our own wish; the peer's features decide as well.)
    pub large_channels: bool,
    /// The most that may be lost to fees in HTLCs too small for an output, on either commitment.
    pub max_dust_exposure_msat: Msat,
    /// The policy of new channels.
    pub policy: Policy,
    /// The highest feerate that we offer for a commitment with anchors: its fee need only get it into the mempool.
    pub anchor_feerate_max_per_kw: u32,
    /// Blocks before the expiry of a fulfilled HTLC at which we go on chain (BOLT 2: 18).
    pub fulfilled_deadline_blocks: u32,
    /// Blocks after the expiry of an offered HTLC at which we go on chain (BOLT 2: 1 or 2).
    pub offered_deadline_blocks: u32,
}

impl ChannelConfig {
    /// The defaults, for this node and chain.
    pub fn new(node_id: NodeId, chain_hash: ChainHash) -> ChannelConfig {
        ChannelConfig {
            node_id,
            chain_hash,
            dust_limit: crate::limits::DUST_LIMIT_MIN,
            htlc_minimum_msat: Msat(1),
            max_accepted_htlcs: crate::limits::HTLCS_ACCEPTED_MAX,
            max_in_flight_permille: 1000,
            reserve_permille: 10,
            to_self_delay: 144,
            to_self_delay_max: 2016,
            minimum_depth: 3,
            minimum_depth_max: 144,
            funding_min: Sat(20_000),
            funding_max: Sat(1_000_000_000),
            large_channels: true,
            max_dust_exposure_msat: Msat(50_000_000),
            policy: Policy {
                fee_base_msat: 1_000,
                fee_proportional_millionths: 10,
                cltv_expiry_delta: 34,
                htlc_minimum_msat: Msat(1),
                htlc_maximum_msat: Msat(u64::MAX),
            },
            anchor_feerate_max_per_kw: 2_500,
            fulfilled_deadline_blocks: crate::limits::FULFILLED_DEADLINE_BLOCKS,
            offered_deadline_blocks: 2,
        }
    }
}
