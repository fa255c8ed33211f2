//! How commitments of a format are paid for.

use crate::amount::Sat;

/// How the commitment transactions of a funding look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum CommitFormat {
    /// `option_static_remotekey` alone.
    StaticRemoteKey,
    /// `option_anchors`.
    AnchorsZeroFeeHtlc,
}

impl CommitFormat {
    /// BOLT 3, fees.
    pub fn commitment_fee(self, feerate_per_kw: u32, outputs: usize) -> Sat {
        let base = if self == CommitFormat::StaticRemoteKey { 724 } else { 1124 };
        Sat(u64::from(feerate_per_kw) * (base + 172 * outputs as u64) / 1000)
    }
    /// BOLT 3, fees.
    pub fn htlc_timeout_fee(self, feerate_per_kw: u32) -> Sat {
        if self == CommitFormat::StaticRemoteKey { Sat(u64::from(feerate_per_kw) * 663 / 1000) } else { Sat(0) }
    }
    /// BOLT 3, fees.
    pub fn htlc_success_fee(self, feerate_per_kw: u32) -> Sat {
        if self == CommitFormat::StaticRemoteKey { Sat(u64::from(feerate_per_kw) * 703 / 1000) } else { Sat(0) }
    }
    /// Both anchors.
    pub fn anchors_value(self) -> Sat {
        if self == CommitFormat::StaticRemoteKey { Sat(0) } else { Sat(660) }
    }
}
