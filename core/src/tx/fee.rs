//! What a commitment costs and which HTLCs it leaves out: pure arithmetic, so that limits can be checked without
//! building a transaction.

use bitcoin::Script;

use super::format::{CommitFormat, HtlcTxKind};
use crate::amount::{Msat, Sat};
use crate::mutation::{Mutation, is_active};
use crate::side::{PerSide, Side};

/// BOLT 3: feerate times weight over 1000, rounded down.
pub fn fee(feerate_per_kw: u32, weight: u64) -> Sat {
    Sat(u64::from(feerate_per_kw) * weight / 1000)
}

/// What decides whether an HTLC gets an output: the same for every HTLC of one commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimRule {
    /// Format of the commitment.
    pub format: CommitFormat,
    /// Whose commitment it is.
    pub owner: Side,
    /// `dust_limit_satoshis` of the owner.
    pub dust_limit: Sat,
    /// Feerate of the commitment.
    pub feerate_per_kw: u32,
}

impl TrimRule {
    /// The transaction by which the owner would take an HTLC of `offered_by`.
    pub fn htlc_tx_kind(&self, offered_by: Side) -> HtlcTxKind {
        if offered_by == self.owner { HtlcTxKind::Timeout } else { HtlcTxKind::Success }
    }

    /// The smallest amount of an HTLC of `offered_by` that gets an output.
    pub fn threshold(&self, offered_by: Side) -> Sat {
        let fee = self.format.htlc_tx_fee(self.htlc_tx_kind(offered_by), self.feerate_per_kw);
        // Saturates: a peer may ask for any dust limit before it is refused.
        let wrong = u64::from(is_active(Mutation::OffByOneDust) && self.owner == Side::Local);
        Sat(self.dust_limit.0.saturating_add(fee.0 + wrong))
    }

    /// BOLT 3, "Trimmed Outputs": below the owner's dust limit after the fee of its HTLC transaction.
    pub fn is_trimmed(&self, offered_by: Side, amount: Msat) -> bool {
        amount.sat_floor() < self.threshold(offered_by)
    }

    /// How many of these HTLCs get an output.
    pub fn untrimmed(&self, htlcs: impl Iterator<Item = (Side, Msat)>) -> usize {
        let thresholds = PerSide { local: self.threshold(Side::Local), remote: self.threshold(Side::Remote) };
        htlcs.filter(|&(offered_by, amount)| amount.sat_floor() >= thresholds[offered_by]).count()
    }
}

/// BOLT 3: the base fee of a commitment with `untrimmed` HTLC outputs.
pub fn commitment_fee(format: CommitFormat, feerate_per_kw: u32, untrimmed: usize) -> Sat {
    fee(feerate_per_kw, format.commitment_weight(untrimmed))
}

/// What comes off the opener's balance: the base fee and both anchors.
pub fn opener_cost(format: CommitFormat, feerate_per_kw: u32, untrimmed: usize) -> Sat {
    commitment_fee(format, feerate_per_kw, untrimmed) + format.anchors_cost()
}

/// What is left of the opener's balance after the commitment is paid for; `None` when it cannot pay.
pub fn opener_remainder(format: CommitFormat, feerate_per_kw: u32, untrimmed: usize, balance: Msat) -> Option<Msat> {
    balance.checked_sub(opener_cost(format, feerate_per_kw, untrimmed).to_msat())
}

/// BOLT 3, "Dust Limits": the value from which nodes relay an output with this script. `OP_RETURN` is never dust.
pub fn dust_threshold(script: &Script) -> Sat {
    if script.is_op_return() {
        Sat(0)
    } else if script.is_p2pkh() {
        Sat(546)
    } else if script.is_p2sh() {
        Sat(540)
    } else if script.is_p2wpkh() {
        Sat(294)
    } else if script.is_p2wsh() {
        Sat(330)
    } else if script.as_bytes() == P2A {
        Sat(240)
    } else if script.is_witness_program() {
        Sat(354)
    } else {
        // Not a form of that section: the largest threshold is safe for all.
        Sat(546)
    }
}

/// Pay-to-anchor: spendable by anyone, without a witness.
pub const P2A: &[u8] = &[0x51, 0x02, 0x4e, 0x73];
