//! Messages of BOLT 1, 2 and 7.

use crate::amount::{Msat, Sat};
use crate::ids::{
    ChainHash, ChannelId, CommitmentSecret, HtlcId, NodeId, PaymentHash, Point, Preimage, ShortChannelId, Sig,
};

/// What a side accepts as closing fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRange {
    /// The least.
    pub min_fee_satoshis: Sat,
    /// The most.
    pub max_fee_satoshis: Sat,
}

/// BOLT 7 `channel_announcement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelAnnouncement<'a> {
    /// BOLT 7 `node_signature_1`.
    pub node_signature_1: Sig,
    /// BOLT 7 `node_signature_2`.
    pub node_signature_2: Sig,
    /// BOLT 7 `bitcoin_signature_1`.
    pub bitcoin_signature_1: Sig,
    /// BOLT 7 `bitcoin_signature_2`.
    pub bitcoin_signature_2: Sig,
    /// BOLT 7 `features`.
    pub features: &'a [u8],
    /// BOLT 7 `chain_hash`.
    pub chain_hash: ChainHash,
    /// BOLT 7 `short_channel_id`.
    pub short_channel_id: ShortChannelId,
    /// BOLT 7 `node_id_1`.
    pub node_id_1: NodeId,
    /// BOLT 7 `node_id_2`.
    pub node_id_2: NodeId,
    /// BOLT 7 `bitcoin_key_1`.
    pub bitcoin_key_1: Point,
    /// BOLT 7 `bitcoin_key_2`.
    pub bitcoin_key_2: Point,
}

impl ChannelAnnouncement<'_> {
    /// What the four signatures sign.
    pub fn signature_hash(&self) -> [u8; 32] {
        use bitcoin::hashes::{Hash, sha256d};
        let mut bytes = (self.features.len() as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(self.features);
        bytes.extend_from_slice(&self.chain_hash.0);
        bytes.extend_from_slice(&self.short_channel_id.0.to_be_bytes());
        for key in [&self.node_id_1.0, &self.node_id_2.0, &self.bitcoin_key_1.0, &self.bitcoin_key_2.0] {
            bytes.extend_from_slice(key);
        }
        sha256d::Hash::hash(&bytes).to_byte_array()
    }
}

/// BOLT 2 `open_channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenChannel<'a> {
    /// BOLT 2 `chain_hash`.
    pub chain_hash: ChainHash,
    /// BOLT 2 `temporary_channel_id`.
    pub temporary_channel_id: ChannelId,
    /// BOLT 2 `funding_satoshis`.
    pub funding_satoshis: Sat,
    /// BOLT 2 `push_msat`.
    pub push_msat: Msat,
    /// BOLT 2 `dust_limit_satoshis`.
    pub dust_limit_satoshis: Sat,
    /// BOLT 2 `max_htlc_value_in_flight_msat`.
    pub max_htlc_value_in_flight_msat: Msat,
    /// BOLT 2 `channel_reserve_satoshis`.
    pub channel_reserve_satoshis: Sat,
    /// BOLT 2 `htlc_minimum_msat`.
    pub htlc_minimum_msat: Msat,
    /// BOLT 2 `feerate_per_kw`.
    pub feerate_per_kw: u32,
    /// BOLT 2 `to_self_delay`.
    pub to_self_delay: u16,
    /// BOLT 2 `max_accepted_htlcs`.
    pub max_accepted_htlcs: u16,
    /// BOLT 2 `funding_pubkey`.
    pub funding_pubkey: Point,
    /// BOLT 2 `revocation_basepoint`.
    pub revocation_basepoint: Point,
    /// BOLT 2 `payment_basepoint`.
    pub payment_basepoint: Point,
    /// BOLT 2 `delayed_payment_basepoint`.
    pub delayed_payment_basepoint: Point,
    /// BOLT 2 `htlc_basepoint`.
    pub htlc_basepoint: Point,
    /// BOLT 2 `first_per_commitment_point`.
    pub first_per_commitment_point: Point,
    /// BOLT 2 `channel_flags`.
    pub channel_flags: u8,
    /// BOLT 2 `upfront_shutdown_script`.
    pub upfront_shutdown_script: Option<&'a [u8]>,
    /// BOLT 2 `channel_type`.
    pub channel_type: Option<&'a [u8]>,
}

/// BOLT 2 `accept_channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptChannel<'a> {
    /// BOLT 2 `temporary_channel_id`.
    pub temporary_channel_id: ChannelId,
    /// BOLT 2 `dust_limit_satoshis`.
    pub dust_limit_satoshis: Sat,
    /// BOLT 2 `max_htlc_value_in_flight_msat`.
    pub max_htlc_value_in_flight_msat: Msat,
    /// BOLT 2 `channel_reserve_satoshis`.
    pub channel_reserve_satoshis: Sat,
    /// BOLT 2 `htlc_minimum_msat`.
    pub htlc_minimum_msat: Msat,
    /// BOLT 2 `minimum_depth`.
    pub minimum_depth: u32,
    /// BOLT 2 `to_self_delay`.
    pub to_self_delay: u16,
    /// BOLT 2 `max_accepted_htlcs`.
    pub max_accepted_htlcs: u16,
    /// BOLT 2 `funding_pubkey`.
    pub funding_pubkey: Point,
    /// BOLT 2 `revocation_basepoint`.
    pub revocation_basepoint: Point,
    /// BOLT 2 `payment_basepoint`.
    pub payment_basepoint: Point,
    /// BOLT 2 `delayed_payment_basepoint`.
    pub delayed_payment_basepoint: Point,
    /// BOLT 2 `htlc_basepoint`.
    pub htlc_basepoint: Point,
    /// BOLT 2 `first_per_commitment_point`.
    pub first_per_commitment_point: Point,
    /// BOLT 2 `upfront_shutdown_script`.
    pub upfront_shutdown_script: Option<&'a [u8]>,
    /// BOLT 2 `channel_type`.
    pub channel_type: Option<&'a [u8]>,
}

/// BOLT 2 `funding_created`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingCreated {
    /// BOLT 2 `temporary_channel_id`.
    pub temporary_channel_id: ChannelId,
    /// BOLT 2 `funding_txid`.
    pub funding_txid: [u8; 32],
    /// BOLT 2 `funding_output_index`.
    pub funding_output_index: u16,
    /// BOLT 2 `signature`.
    pub signature: Sig,
}

/// BOLT 2 `funding_signed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingSigned {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `signature`.
    pub signature: Sig,
}

/// BOLT 2 `channel_ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelReady {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `second_per_commitment_point`.
    pub second_per_commitment_point: Point,
    /// BOLT 2 `short_channel_id`.
    pub short_channel_id: Option<ShortChannelId>,
}

/// BOLT 2 `shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown<'a> {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `scriptpubkey`.
    pub scriptpubkey: &'a [u8],
}

/// BOLT 2 `closing_signed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosingSigned {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `fee_satoshis`.
    pub fee_satoshis: Sat,
    /// BOLT 2 `signature`.
    pub signature: Sig,
    /// BOLT 2 `fee_range`.
    pub fee_range: Option<FeeRange>,
}

/// BOLT 2 `update_add_htlc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateAddHtlc<'a> {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `id`.
    pub id: HtlcId,
    /// BOLT 2 `amount_msat`.
    pub amount_msat: Msat,
    /// BOLT 2 `payment_hash`.
    pub payment_hash: PaymentHash,
    /// BOLT 2 `cltv_expiry`.
    pub cltv_expiry: u32,
    /// BOLT 2 `onion_routing_packet`.
    pub onion_routing_packet: &'a [u8; 1366],
    /// BOLT 2 `path_key`.
    pub path_key: Option<Point>,
}

/// BOLT 2 `update_fulfill_htlc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateFulfillHtlc {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `id`.
    pub id: HtlcId,
    /// BOLT 2 `payment_preimage`.
    pub payment_preimage: Preimage,
}

/// BOLT 2 `update_fail_htlc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateFailHtlc<'a> {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `id`.
    pub id: HtlcId,
    /// BOLT 2 `reason`.
    pub reason: &'a [u8],
}

/// BOLT 2 `update_fail_malformed_htlc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateFailMalformedHtlc {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `id`.
    pub id: HtlcId,
    /// BOLT 2 `sha256_of_onion`.
    pub sha256_of_onion: [u8; 32],
    /// BOLT 2 `failure_code`.
    pub failure_code: u16,
}

/// BOLT 2 `update_fee`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateFee {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `feerate_per_kw`.
    pub feerate_per_kw: u32,
}

/// BOLT 2 `commitment_signed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitmentSigned<'a> {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `signature`.
    pub signature: Sig,
    /// BOLT 2 `htlc_signatures`.
    pub htlc_signatures: &'a [Sig],
    /// BOLT 2 `funding_txid`.
    pub funding_txid: Option<[u8; 32]>,
}

/// BOLT 2 `revoke_and_ack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokeAndAck {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `per_commitment_secret`.
    pub per_commitment_secret: CommitmentSecret,
    /// BOLT 2 `next_per_commitment_point`.
    pub next_per_commitment_point: Point,
}

/// BOLT 2 `channel_reestablish`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelReestablish {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `next_commitment_number`.
    pub next_commitment_number: u64,
    /// BOLT 2 `next_revocation_number`.
    pub next_revocation_number: u64,
    /// BOLT 2 `your_last_per_commitment_secret`.
    pub your_last_per_commitment_secret: CommitmentSecret,
    /// BOLT 2 `my_current_per_commitment_point`.
    pub my_current_per_commitment_point: Point,
}

/// BOLT 2 `announcement_signatures`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncementSignatures {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `short_channel_id`.
    pub short_channel_id: ShortChannelId,
    /// BOLT 2 `node_signature`.
    pub node_signature: Sig,
    /// BOLT 2 `bitcoin_signature`.
    pub bitcoin_signature: Sig,
}

/// BOLT 2 `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error<'a> {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `data`.
    pub data: &'a [u8],
}

/// BOLT 2 `warning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// BOLT 2 `channel_id`.
    pub channel_id: ChannelId,
    /// BOLT 2 `data`.
    pub data: &'a [u8],
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// BOLT 2 `open_channel`.
    OpenChannel(OpenChannel<'a>),
    /// BOLT 2 `accept_channel`.
    AcceptChannel(AcceptChannel<'a>),
    /// BOLT 2 `funding_created`.
    FundingCreated(FundingCreated),
    /// BOLT 2 `funding_signed`.
    FundingSigned(FundingSigned),
    /// BOLT 2 `channel_ready`.
    ChannelReady(ChannelReady),
    /// BOLT 2 `shutdown`.
    Shutdown(Shutdown<'a>),
    /// BOLT 2 `closing_signed`.
    ClosingSigned(ClosingSigned),
    /// BOLT 2 `update_add_htlc`.
    UpdateAddHtlc(UpdateAddHtlc<'a>),
    /// BOLT 2 `update_fulfill_htlc`.
    UpdateFulfillHtlc(UpdateFulfillHtlc),
    /// BOLT 2 `update_fail_htlc`.
    UpdateFailHtlc(UpdateFailHtlc<'a>),
    /// BOLT 2 `update_fail_malformed_htlc`.
    UpdateFailMalformedHtlc(UpdateFailMalformedHtlc),
    /// BOLT 2 `update_fee`.
    UpdateFee(UpdateFee),
    /// BOLT 2 `commitment_signed`.
    CommitmentSigned(CommitmentSigned<'a>),
    /// BOLT 2 `revoke_and_ack`.
    RevokeAndAck(RevokeAndAck),
    /// BOLT 2 `channel_reestablish`.
    ChannelReestablish(ChannelReestablish),
    /// BOLT 2 `announcement_signatures`.
    AnnouncementSignatures(AnnouncementSignatures),
    /// BOLT 2 `error`.
    Error(Error<'a>),
    /// BOLT 2 `warning`.
    Warning(Warning<'a>),
    /// One that is not known here.
    Unknown(&'a [u8]),
}

impl Message<'_> {
    /// Its name in the BOLTs.
    pub fn name(&self) -> &'static str {
        match self {
            Message::OpenChannel(_) => "open_channel",
            Message::AcceptChannel(_) => "accept_channel",
            Message::FundingCreated(_) => "funding_created",
            Message::FundingSigned(_) => "funding_signed",
            Message::ChannelReady(_) => "channel_ready",
            Message::Shutdown(_) => "shutdown",
            Message::ClosingSigned(_) => "closing_signed",
            Message::UpdateAddHtlc(_) => "update_add_htlc",
            Message::UpdateFulfillHtlc(_) => "update_fulfill_htlc",
            Message::UpdateFailHtlc(_) => "update_fail_htlc",
            Message::UpdateFailMalformedHtlc(_) => "update_fail_malformed_htlc",
            Message::UpdateFee(_) => "update_fee",
            Message::CommitmentSigned(_) => "commitment_signed",
            Message::RevokeAndAck(_) => "revoke_and_ack",
            Message::ChannelReestablish(_) => "channel_reestablish",
            Message::AnnouncementSignatures(_) => "announcement_signatures",
            Message::Error(_) => "error",
            Message::Warning(_) => "warning",
            Message::Unknown(_) => "unknown",
        }
    }
}
