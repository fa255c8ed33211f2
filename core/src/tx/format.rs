//! The formats of a commitment transaction, and what differs between them.

use bitcoin::{EcdsaSighashType, Sequence};

use crate::amount::Sat;

/// What an anchor output holds (BOLT 3: 330 satoshi, the dust threshold of P2WSH).
pub const ANCHOR: Sat = Sat(330);

/// How a channel's commitment transactions are built. Fixed for a funding, agreed on by `channel_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum CommitFormat {
    /// `option_static_remotekey` alone: all fees are fixed when the commitment is signed.
    StaticRemoteKey,
    /// `option_anchors`: two anchors to bump the commitment by, HTLC transactions without a fee of their own.
    AnchorsZeroFeeHtlc,
}

/// The second-stage transaction that takes an HTLC output out of its owner's commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum HtlcTxKind {
    /// The owner offered the HTLC and takes it back after its expiry.
    Timeout,
    /// The owner received the HTLC and takes it with the preimage.
    Success,
}

impl CommitFormat {
    /// Weight of a signed commitment with `htlcs` untrimmed HTLCs (BOLT 3, appendix A).
    pub fn commitment_weight(self, htlcs: usize) -> u64 {
        let base = match self {
            CommitFormat::StaticRemoteKey => 724,
            CommitFormat::AnchorsZeroFeeHtlc => 1124,
        };
        base + 172 * htlcs as u64
    }

    /// Weight of a signed HTLC transaction (BOLT 3, appendix A).
    pub fn htlc_tx_weight(self, kind: HtlcTxKind) -> u64 {
        match (self, kind) {
            (CommitFormat::StaticRemoteKey, HtlcTxKind::Timeout) => 663,
            (CommitFormat::StaticRemoteKey, HtlcTxKind::Success) => 703,
            (CommitFormat::AnchorsZeroFeeHtlc, HtlcTxKind::Timeout) => 666,
            (CommitFormat::AnchorsZeroFeeHtlc, HtlcTxKind::Success) => 706,
        }
    }

    /// What the HTLC transaction itself pays to the miner: nothing with anchors, where it brings inputs for that.
    pub fn htlc_tx_fee(self, kind: HtlcTxKind, feerate_per_kw: u32) -> Sat {
        match self {
            CommitFormat::StaticRemoteKey => super::fee::fee(feerate_per_kw, self.htlc_tx_weight(kind)),
            CommitFormat::AnchorsZeroFeeHtlc => Sat::ZERO,
        }
    }

    /// What the opener sets aside for both anchors, whether or not both are there (BOLT 3, "Fee Payment").
    pub fn anchors_cost(self) -> Sat {
        match self {
            CommitFormat::StaticRemoteKey => Sat::ZERO,
            CommitFormat::AnchorsZeroFeeHtlc => ANCHOR * 2,
        }
    }

    /// Whether commitments of this format carry anchors, and every spend but a revoking one waits for a block.
    pub fn has_anchors(self) -> bool {
        match self {
            CommitFormat::StaticRemoteKey => false,
            CommitFormat::AnchorsZeroFeeHtlc => true,
        }
    }

    /// The sequence of whoever spends `to_remote` or an HTLC output: with anchors their scripts demand one block.
    pub fn spend_sequence(self) -> Sequence {
        match self {
            CommitFormat::StaticRemoteKey => Sequence::ZERO,
            CommitFormat::AnchorsZeroFeeHtlc => Sequence(1),
        }
    }

    /// How the counterparty signs an HTLC transaction: with anchors the owner may add inputs and change.
    pub fn counterparty_htlc_sighash(self) -> EcdsaSighashType {
        match self {
            CommitFormat::StaticRemoteKey => EcdsaSighashType::All,
            CommitFormat::AnchorsZeroFeeHtlc => EcdsaSighashType::SinglePlusAnyoneCanPay,
        }
    }
}
