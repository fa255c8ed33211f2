//! What two ends may agree on when a channel opens: its type, and each side's demands.

use bitcoin::Script;
use secp256k1::PublicKey;

use crate::amount::Sat;
use crate::ids::Point;
use crate::limits::{DUST_LIMIT_MAX, DUST_LIMIT_MIN, HTLCS_OFFERED_MAX};
use crate::tx::{CommitFormat, ShutdownRules};

use super::{ChannelConfig, ChannelError, Params};

/// What both ends' features allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct OpenFeatures {
    /// `option_anchors`.
    pub anchors: bool,
    /// `option_scid_alias`.
    pub scid_alias: bool,
    /// `option_support_large_channel`.
    pub large: bool,
    /// `option_upfront_shutdown_script`.
    pub upfront_shutdown: bool,
    /// `option_shutdown_anysegwit`.
    pub any_segwit: bool,
}

impl OpenFeatures {
    pub(super) fn shutdown_rules(&self) -> ShutdownRules {
        ShutdownRules { anysegwit: self.any_segwit, simple_close: false }
    }
}

/// BOLT 9 bits that make a channel type.
const BIT_STATIC_REMOTEKEY: usize = 12;
const BIT_ANCHORS: usize = 22;
const BIT_SCID_ALIAS: usize = 46;

/// A channel type (BOLT 2: even bits, smallest bitmap).
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChannelType {
    /// How commitments look.
    pub format: CommitFormat,
    /// Only aliases are told to others.
    pub scid_alias: bool,
}

impl ChannelType {
    /// As it travels.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bits = vec![BIT_STATIC_REMOTEKEY];
        if self.format == CommitFormat::AnchorsZeroFeeHtlc {
            bits.push(BIT_ANCHORS);
        }
        if self.scid_alias {
            bits.push(BIT_SCID_ALIAS);
        }
        let highest = bits.iter().copied().max().expect("there is one at least");
        let mut bytes = vec![0; highest / 8 + 1];
        for bit in bits {
            let last = bytes.len() - 1;
            bytes[last - bit / 8] |= 1 << (bit % 8);
        }
        bytes
    }

    /// The one that these bytes mean, if we speak it. Zero-confirmation channels and all that we do not know are
    /// refused here.
    pub fn parse(bytes: &[u8]) -> Option<ChannelType> {
        [CommitFormat::AnchorsZeroFeeHtlc, CommitFormat::StaticRemoteKey].into_iter().find_map(|format| {
            [false, true]
                .into_iter()
                .map(|scid_alias| ChannelType { format, scid_alias })
                .find(|of| of.to_bytes() == bytes)
        })
    }
}

/// What we demand in a channel of this size. `dust_limit_remote` is what the peer has demanded, if it spoke first.
pub(super) fn our_params(config: &ChannelConfig, funding: Sat, dust_limit_remote: Sat) -> Params {
    let permille =
        |of: u64| Sat(u64::try_from(u128::from(funding.0) * u128::from(of) / 1000).expect("below all money"));
    // BOLT 2: a reserve below a dust limit would let a side have nothing at stake.
    let reserve = permille(config.reserve_permille).max(config.dust_limit).max(dust_limit_remote);
    Params {
        dust_limit: config.dust_limit,
        max_htlc_value_in_flight_msat: permille(config.max_in_flight_permille).to_msat(),
        channel_reserve: reserve,
        htlc_minimum_msat: config.htlc_minimum_msat,
        to_self_delay: config.to_self_delay,
        max_accepted_htlcs: config.max_accepted_htlcs,
    }
}

/// `Err` unless `ok`.
pub(super) fn demand(ok: bool, field: &'static str, actual: u64, bound: u64) -> Result<(), ChannelError> {
    if ok { Ok(()) } else { Err(ChannelError::Parameter { field, actual, bound }) }
}

/// Checks the demands of the other side that both messages have (BOLT 2, open_channel and accept_channel).
pub(super) fn check_params(
    config: &ChannelConfig,
    theirs: &Params,
    ours: &Params,
    funding: Sat,
) -> Result<(), ChannelError> {
    let dust = theirs.dust_limit.0;
    demand(dust >= DUST_LIMIT_MIN.0, "dust_limit_satoshis", dust, DUST_LIMIT_MIN.0)?;
    demand(dust <= DUST_LIMIT_MAX.0, "dust_limit_satoshis", dust, DUST_LIMIT_MAX.0)?;
    let reserve = theirs.channel_reserve.0;
    demand(reserve >= dust, "channel_reserve_satoshis", reserve, dust)?;
    demand(reserve >= ours.dust_limit.0, "channel_reserve_satoshis", reserve, ours.dust_limit.0)?;
    demand(ours.channel_reserve.0 >= dust, "dust_limit_satoshis", dust, ours.channel_reserve.0)?;
    // A fifth of the channel locked away for ever is not what anybody wants.
    demand(reserve <= (funding.0 / 5).max(DUST_LIMIT_MAX.0), "channel_reserve_satoshis", reserve, funding.0 / 5)?;
    let delay = u64::from(theirs.to_self_delay);
    demand(delay <= config.to_self_delay_max.into(), "to_self_delay", delay, config.to_self_delay_max.into())?;
    let accepted = u64::from(theirs.max_accepted_htlcs);
    demand(accepted <= HTLCS_OFFERED_MAX.into(), "max_accepted_htlcs", accepted, HTLCS_OFFERED_MAX.into())?;
    demand(accepted >= 1, "max_accepted_htlcs", accepted, 1)?;
    let minimum = theirs.htlc_minimum_msat.0;
    demand(minimum <= funding.to_msat().0 / 100, "htlc_minimum_msat", minimum, funding.to_msat().0 / 100)?;
    let in_flight = theirs.max_htlc_value_in_flight_msat.0;
    demand(in_flight >= minimum.max(1), "max_htlc_value_in_flight_msat", in_flight, minimum.max(1))
}

pub(super) fn parse(point: Point, field: &'static str) -> Result<PublicKey, ChannelError> {
    point.parse().map_err(|_| ChannelError::BadPoint { field })
}

/// `upfront_shutdown_script`: nothing, or empty, means that none is fixed.
pub(super) fn upfront(script: Option<&[u8]>, features: &OpenFeatures) -> Result<Option<Vec<u8>>, ChannelError> {
    match script {
        None | Some([]) => Ok(None),
        Some(script) if features.shutdown_rules().allow(Script::from_bytes(script)) => Ok(Some(script.to_vec())),
        Some(_) => Err(ChannelError::BadShutdownScript),
    }
}
