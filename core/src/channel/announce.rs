//! `channel_update` in both directions: what each end asks for carrying HTLCs.

use secp256k1::SECP256K1;

use crate::ids::Sig;
use crate::side::{PerSide, Side};
use crate::wire::{self, Message};

use super::params::{PeerPolicy, Policy};
use super::{Channel, ChannelError, Cx, Phase};

/// `message_flags`: always set.
const MUST_BE_ONE: u8 = 1;
/// `message_flags`: for the channel's ends alone.
const DONT_FORWARD: u8 = 2;
/// `channel_flags`: from the end with the greater node id.
const DIRECTION: u8 = 1;
/// `channel_flags`: takes no HTLCs now.
const DISABLE: u8 = 2;

impl Channel {
    /// Are both halves of the announcement there?
    pub fn is_announced(&self) -> bool {
        matches!(self.row.announcement, PerSide { local: Some(_), remote: Some(_) })
    }

    /// Our `channel_update`, signed; `None` while the channel has no name to give. `timestamp` is later than that of
    /// any update of this channel before: the node sees to it.
    pub fn channel_update(&self, cx: &mut Cx<'_>, timestamp: u32) -> Option<wire::ChannelUpdate<'static>> {
        let Policy { fee_base_msat, fee_proportional_millionths, cltv_expiry_delta, .. } = self.row.policy;
        // BOLT 7: not more than the capacity, nor than the peer takes at once.
        let theirs = self.row.params.remote.max_htlc_value_in_flight_msat.min(self.capacity().to_msat());
        let direction = if cx.config.node_id < self.row.peer { 0 } else { DIRECTION };
        let mut update = wire::ChannelUpdate {
            signature: Sig([0; 64]),
            chain_hash: cx.config.chain_hash,
            short_channel_id: self.scid_in_update()?,
            timestamp,
            message_flags: if self.is_announced() { MUST_BE_ONE } else { MUST_BE_ONE | DONT_FORWARD },
            channel_flags: if self.row.phase == Phase::Open { direction } else { direction | DISABLE },
            cltv_expiry_delta,
            htlc_minimum_msat: self.row.policy.htlc_minimum_msat,
            fee_base_msat,
            fee_proportional_millionths,
            htlc_maximum_msat: self.row.policy.htlc_maximum_msat.min(theirs),
            trailing: wire::Trailing(&[]),
        };
        update.signature = cx.signer.sign_node(&update.digest());
        Some(update)
    }

    /// Sends our `channel_update` to the peer, which needs it for its invoices, announced or not.
    pub fn send_update(&self, cx: &mut Cx<'_>, timestamp: u32) {
        if let Some(update) = self.channel_update(cx, timestamp) {
            self.send(cx, &Message::ChannelUpdate(update));
        }
    }

    /// Is this the peer's update for this channel, by whichever of its names?
    pub fn names_update(&self, update: &wire::ChannelUpdate<'_>) -> bool {
        let scid = Some(update.short_channel_id);
        scid == self.scid() || scid == self.row.alias.local || scid == self.row.alias.remote
    }

    /// Takes in the peer's `channel_update` for this channel.
    pub fn receive_update(&mut self, cx: &mut Cx<'_>, update: &wire::ChannelUpdate<'_>) -> Result<(), ChannelError> {
        let from_greater = update.channel_flags & DIRECTION != 0;
        let peer_is_greater = self.row.peer > cx.config.node_id;
        if !self.names_update(update) || from_greater != peer_is_greater || update.chain_hash != cx.config.chain_hash {
            // Another channel's, or our own come back.
            return Ok(());
        }
        let key = self.row.peer.parse().map_err(|_| ChannelError::BadAnnouncement)?;
        let signature = update.signature.parse().map_err(|_| ChannelError::BadAnnouncement)?;
        SECP256K1.verify_ecdsa(&update.digest(), &signature, &key).map_err(|_| ChannelError::BadAnnouncement)?;
        let policy = Policy {
            fee_base_msat: update.fee_base_msat,
            fee_proportional_millionths: update.fee_proportional_millionths,
            cltv_expiry_delta: update.cltv_expiry_delta,
            htlc_minimum_msat: update.htlc_minimum_msat,
            htlc_maximum_msat: update.htlc_maximum_msat,
        };
        let disabled = update.channel_flags & DISABLE != 0;
        self.set_peer_policy(cx, PeerPolicy { policy, timestamp: update.timestamp, disabled });
        Ok(())
    }

    /// What the peer asks for carrying HTLCs to us, for route hints.
    pub fn peer_policy(&self) -> Option<&PeerPolicy> {
        self.row.peer_policy.as_ref()
    }

    /// The name for the channel in a route hint to us: the peer's own for it (BOLT 2, `channel_ready`).
    pub fn scid_in_hints(&self) -> Option<crate::ids::ShortChannelId> {
        self.row.alias.remote.or_else(|| self.scid().filter(|_| !self.row.scid_alias))
    }

    /// Which end of the channel we are in gossip: 0 for the lesser node id.
    pub fn direction(&self, node_id: crate::ids::NodeId) -> u8 {
        u8::from(node_id > self.row.peer)
    }

    /// Who opened the channel.
    pub fn opener(&self) -> Side {
        self.row.opener
    }
}
