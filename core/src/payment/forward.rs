//! Forwards: may this HTLC go on, and which one came from which.
//!
//! An incoming HTLC that is irrevocable and has no removal is either offered onwards, or to be decided now. Which of the
//! two is a fact of the channels themselves (the outgoing HTLC names its origin), so no restart can forward twice.

use std::collections::BTreeMap;

use super::route::forwarding_fee;
use super::rows::ForwardRow;
use crate::amount::Msat;
use crate::channel::Policy;
use crate::ids::{BlockHeight, ChannelKey, HtlcId};
use crate::limits::HTLC_CLTV_MAX;
use crate::mutation::{Mutation, is_active};

/// An HTLC that wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What came in.
    pub in_amount: Msat,
    /// When the incoming HTLC times out.
    pub in_cltv_expiry: u32,
    /// What shall go out.
    pub out_amount: Msat,
    /// When the outgoing one shall time out.
    pub out_cltv_expiry: u32,
}

/// Why it may not; each is a failure of BOLT 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veto {
    /// `amount_below_minimum`.
    BelowMinimum,
    /// `temporary_channel_failure`: more than the channel's `htlc_maximum_msat`.
    AboveMaximum,
    /// `fee_insufficient`.
    Fee,
    /// `incorrect_cltv_expiry`.
    CltvDelta,
    /// `expiry_too_soon`.
    TooSoon,
    /// `expiry_too_far`.
    TooFar,
}

/// Blocks that an outgoing HTLC must still have: fewer, and we could not resolve it on chain in time.
const OUT_CLTV_MARGIN: u32 = 3;

impl Wish {
    /// BOLT 4, payload format; BOLT 7, HTLC fees. `previous` is the policy before its last change: senders may not have
    /// heard of the new one, so for ten minutes either will do.
    pub fn judge(&self, policy: &Policy, previous: Option<&Policy>, height: BlockHeight) -> Result<(), Veto> {
        let verdict = self.judge_one(policy, height);
        match (verdict, previous) {
            (Err(_), Some(previous)) if self.judge_one(previous, height).is_ok() => Ok(()),
            _ => verdict,
        }
    }

    fn judge_one(&self, policy: &Policy, height: BlockHeight) -> Result<(), Veto> {
        if self.out_amount < policy.htlc_minimum_msat {
            return Err(Veto::BelowMinimum);
        }
        if self.out_amount > policy.htlc_maximum_msat {
            return Err(Veto::AboveMaximum);
        }
        let fee = forwarding_fee(self.out_amount, policy.fee_base_msat, policy.fee_proportional_millionths);
        if self.out_amount.checked_add(fee).is_none_or(|needed| self.in_amount < needed) {
            return Err(Veto::Fee);
        }
        let delta = u32::from(policy.cltv_expiry_delta);
        if self.out_cltv_expiry.checked_add(delta).is_none_or(|needed| self.in_cltv_expiry < needed) {
            return Err(Veto::CltvDelta);
        }
        if self.out_cltv_expiry <= height.0.saturating_add(OUT_CLTV_MARGIN) {
            return Err(Veto::TooSoon);
        }
        if self.out_cltv_expiry > height.0.saturating_add(HTLC_CLTV_MAX) {
            return Err(Veto::TooFar);
        }
        Ok(())
    }
}

/// One incoming HTLC: the channel and the id there.
pub type IncomingKey = (ChannelKey, HtlcId);

/// A forward that is offered onwards.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Open {
    /// Number of its row.
    pub index: u64,
    /// The row.
    pub row: Box<ForwardRow>,
}

/// Forwards on their way, by the HTLC that came in.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Forwards {
    next_index: u64,
    next_update: u64,
    open: BTreeMap<IncomingKey, Open>,
}

impl Forwards {
    /// Numbers go on after the stored ones.
    pub fn restore(next_index: u64, next_update: u64) -> Forwards {
        Forwards { next_index, next_update, open: BTreeMap::new() }
    }

    /// A number for the next change of a forward.
    pub fn draw_update(&mut self) -> u64 {
        let number = self.next_update;
        self.next_update += 1;
        number
    }

    /// The last numbers of forwards, by creation and by change, as clients count them.
    pub fn last_numbers(&self) -> (u64, u64) {
        (self.next_index, self.next_update)
    }

    /// A number for a new row.
    pub fn draw_index(&mut self) -> u64 {
        let index = self.next_index;
        self.next_index += 1;
        index
    }

    /// An HTLC has been offered onwards.
    pub fn begin(&mut self, incoming: IncomingKey, open: Open) {
        let before = self.open.insert(incoming, open);
        assert!(before.is_none() || is_active(Mutation::DoubleForward), "an HTLC goes on once");
    }

    /// The forward that this HTLC is part of.
    pub fn get(&self, incoming: IncomingKey) -> Option<&Open> {
        self.open.get(&incoming).filter(|_| !is_active(Mutation::DoubleForward))
    }

    /// All incoming HTLCs that are on their way.
    pub fn keys(&self) -> impl Iterator<Item = IncomingKey> + '_ {
        self.open.keys().copied()
    }

    /// It has ended.
    pub fn end(&mut self, incoming: IncomingKey) -> Option<Open> {
        self.open.remove(&incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        fee_base_msat: 1_000,
        fee_proportional_millionths: 100,
        cltv_expiry_delta: 40,
        htlc_minimum_msat: Msat(10),
        htlc_maximum_msat: Msat(5_000_000),
    };
    const GOOD: Wish =
        Wish { in_amount: Msat(1_001_100), in_cltv_expiry: 190, out_amount: Msat(1_000_000), out_cltv_expiry: 150 };
    const HEIGHT: BlockHeight = BlockHeight(100);

    #[test]
    fn exactly_enough_is_enough() {
        assert_eq!(GOOD.judge(&POLICY, None, HEIGHT), Ok(()));
        let judge = |wish: Wish| wish.judge(&POLICY, None, HEIGHT);
        assert_eq!(judge(Wish { in_amount: Msat(1_001_099), ..GOOD }), Err(Veto::Fee));
        assert_eq!(judge(Wish { in_cltv_expiry: 189, ..GOOD }), Err(Veto::CltvDelta));
        assert_eq!(judge(Wish { out_amount: Msat(9), ..GOOD }), Err(Veto::BelowMinimum));
        assert_eq!(judge(Wish { out_amount: Msat(5_000_001), ..GOOD }), Err(Veto::AboveMaximum));
        assert_eq!(judge(Wish { out_cltv_expiry: 103, ..GOOD }), Err(Veto::TooSoon));
        assert_eq!(judge(Wish { out_cltv_expiry: 2_117, in_cltv_expiry: 3_000, ..GOOD }), Err(Veto::TooFar));
        assert_eq!(judge(Wish { out_amount: Msat(u64::MAX), ..GOOD }), Err(Veto::AboveMaximum));
    }

    #[test]
    fn the_policy_before_the_last_change_still_counts() {
        let dearer = Policy { fee_base_msat: 2_000, ..POLICY };
        assert_eq!(GOOD.judge(&dearer, None, HEIGHT), Err(Veto::Fee));
        assert_eq!(GOOD.judge(&dearer, Some(&POLICY), HEIGHT), Ok(()));
    }
}
