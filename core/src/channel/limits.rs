//! The one decision whether an update may be added, for what we send, accept and forward.
//!
//! The same numbers answer how much may be sent, so that the two cannot disagree. Everything is decided on totals of a
//! commitment as the ledger derives it; see [`Age`] for which commitments count when.

use crate::amount::{Msat, Sat};
use crate::limits::ADDS_UNACKED_MAX;
use crate::mutation::{Mutation, is_active};
use crate::side::{PerSide, Side};
use crate::tx::{CommitFormat, TrimRule, opener_cost};

use super::ledger::{Age, HtlcState, Ledger, Stage};
use super::params::Params;

/// BOLT 2: a `cltv_expiry` from here on would be a time and not a block height.
const CLTV_EXPIRY_END: u32 = 500_000_000;
/// BOLT 2: the opener keeps fees for this multiple of the feerate when it offers.
const FEE_SPIKE_FACTOR: u32 = 2;

/// Which limit an update would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// No HTLC carries nothing.
    ZeroAmount,
    /// Less than the receiver takes.
    BelowMinimum {
        /// The receiver's `htlc_minimum_msat`.
        minimum: Msat,
        /// What was to be added.
        actual: Msat,
    },
    /// An expiry that is no block height.
    Expiry {
        /// What was to be added.
        actual: u32,
    },
    /// As many HTLCs as the receiver takes.
    Count {
        /// The receiver's `max_accepted_htlcs`.
        maximum: u16,
    },
    /// More in flight than the receiver takes.
    InFlight {
        /// The receiver's `max_htlc_value_in_flight_msat`.
        maximum: Msat,
        /// What would be in flight.
        actual: Msat,
    },
    /// The sender would not keep its reserve (and its fees, if it is the opener).
    Balance {
        /// What the sender has to spend.
        available: Msat,
        /// What was to be added.
        actual: Msat,
    },
    /// The opener could not pay for one more HTLC.
    OpenerFee {
        /// What the fee would be, anchors included.
        fee: Sat,
        /// What the opener has above its reserve.
        available: Msat,
    },
    /// Too much in HTLCs that have no output.
    Dust {
        /// Whose commitment.
        whose: Side,
        /// The most we bear.
        maximum: Msat,
        /// What there would be.
        actual: Msat,
    },
    /// So many of our adds wait for the peer that no more would fit into one retransmission.
    Unacked {
        /// How many may.
        maximum: usize,
    },
    /// A feerate out of bounds.
    Feerate {
        /// The least we accept.
        minimum: u32,
        /// The most we accept.
        maximum: u32,
        /// What was to be set.
        actual: u32,
    },
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Excess::ZeroAmount => f.write_str("an HTLC of nothing"),
            Excess::BelowMinimum { minimum, actual } => write!(f, "{actual} is below the minimum of {minimum}"),
            Excess::Expiry { actual } => write!(f, "cltv_expiry {actual} is no block height"),
            Excess::Count { maximum } => write!(f, "there are {maximum} HTLCs already"),
            Excess::InFlight { maximum, actual } => write!(f, "{actual} would be in flight, at most {maximum} may"),
            Excess::Balance { available, actual } => write!(f, "{actual}, but only {available} can be spent"),
            Excess::OpenerFee { fee, available } => {
                write!(f, "the opener could not pay {fee} of fees from {available}")
            }
            Excess::Dust { whose, maximum, actual } => {
                write!(f, "{actual} of dust on the {whose:?} commitment, at most {maximum} may be")
            }
            Excess::Unacked { maximum } => write!(f, "{maximum} adds wait for the peer's revocation"),
            Excess::Feerate { minimum, maximum, actual } => {
                write!(f, "feerate {actual} per kw is outside of {minimum} to {maximum}")
            }
        }
    }
}

/// Why an add, removal or fee of ours was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The peer is not here, or not yet in step with us.
    Offline,
    /// The channel is not ready yet, or closing, or on chain.
    NotOpen,
    /// A limit.
    Excess(Excess),
    /// No such HTLC, or it is not irrevocably committed, or already removed.
    NoSuchHtlc,
    /// The preimage does not match.
    WrongPreimage,
    /// Only the opener sets fees.
    NotOpener,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Offline => f.write_str("the peer is not connected"),
            Refusal::NotOpen => f.write_str("the channel takes no HTLCs now"),
            Refusal::Excess(excess) => excess.fmt(f),
            Refusal::NoSuchHtlc => f.write_str("no such HTLC"),
            Refusal::WrongPreimage => f.write_str("the preimage does not match"),
            Refusal::NotOpener => f.write_str("only the opener may update the fee"),
        }
    }
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Refusal {
        Refusal::Excess(excess)
    }
}

/// What the limits look at.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The updates.
    pub ledger: &'a Ledger,
    /// What each side demands.
    pub params: &'a PerSide<Params>,
    /// How commitments look.
    pub format: CommitFormat,
    /// The most dust that we bear on either commitment.
    pub max_dust_exposure_msat: Msat,
}

/// Totals of one commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Totals {
    whose: Side,
    balance_msat: PerSide<i64>,
    feerate_per_kw: u32,
    /// HTLCs offered by each side.
    count: PerSide<u64>,
    in_flight_msat: PerSide<Msat>,
    /// HTLCs with an output.
    outputs: u64,
    /// HTLCs without an output, at a feerate somewhat above the commitment's.
    dust_msat: Msat,
    /// The dust feerate's thresholds by offering side.
    dust_below: PerSide<Sat>,
    /// The real thresholds.
    trim_below: PerSide<Sat>,
}

/// Dust is counted at a feerate a quarter above the present one, so that a fee update does not make much more of it.
fn dust_feerate(feerate_per_kw: u32) -> u32 {
    feerate_per_kw.saturating_add(feerate_per_kw / 4)
}

impl<'a> Terms<'a> {
    fn totals(&self, whose: Side, age: Age, feerate: Option<u32>) -> Totals {
        let feerate_per_kw = feerate.unwrap_or_else(|| self.ledger.feerate(whose, age));
        let dust_limit = self.params[whose].dust_limit;
        let below = |feerate_per_kw: u32| {
            let rule = TrimRule { format: self.format, owner: whose, dust_limit, feerate_per_kw };
            PerSide { local: rule.threshold(Side::Local), remote: rule.threshold(Side::Remote) }
        };
        let (trim_below, dust_below) = (below(feerate_per_kw), below(dust_feerate(feerate_per_kw)));
        let mut totals = Totals {
            whose,
            balance_msat: PerSide::default(),
            feerate_per_kw,
            count: PerSide::default(),
            in_flight_msat: PerSide::default(),
            outputs: 0,
            dust_msat: Msat::ZERO,
            dust_below,
            trim_below,
        };
        totals.balance_msat = self.ledger.visit(whose, age, |key, htlc| {
            let by = key.offered_by;
            let amount = htlc.amount_msat.sat_floor();
            totals.count[by] += 1;
            totals.in_flight_msat[by] += htlc.amount_msat;
            totals.outputs += u64::from(amount >= trim_below[by]);
            if amount < dust_below[by] {
                totals.dust_msat += htlc.amount_msat;
            }
        });
        totals
    }

    /// May `by` offer this now?
    pub fn may_add(&self, by: Side, amount_msat: Msat, cltv_expiry: u32) -> Result<(), Excess> {
        if cltv_expiry >= CLTV_EXPIRY_END {
            return Err(Excess::Expiry { actual: cltv_expiry });
        }
        self.standing(by).may_add(amount_msat)
    }

    /// Everything that decides about adds of `by`, so that many amounts can be tried.
    pub fn standing(&self, by: Side) -> Standing<'a> {
        // A peer may rely on what it can see; of our own adds we demand more, so that no race hurts.
        let (theirs, ours) = match by {
            Side::Local => {
                (self.totals(Side::Remote, Age::Worst, None), Some(self.totals(Side::Local, Age::Worst, None)))
            }
            Side::Remote => (self.totals(Side::Local, Age::Next, None), None),
        };
        let unacked = match by {
            Side::Local => self.ledger.unacked_adds(),
            Side::Remote => 0,
        };
        Standing { by, terms: *self, receiver: theirs, own: ours, unacked }
    }

    /// The most that `by` may offer in one HTLC now; zero if nothing.
    pub fn spendable_msat(&self, by: Side) -> Msat {
        let standing = self.standing(by);
        let fits = |amount: u64| standing.may_add(Msat(amount)).is_ok();
        // Among amounts that make outputs, and among those that do not, less is always easier than more.
        let edge = standing.largest_dust_msat();
        let most = |low: u64, high: u64| {
            let (mut good, mut bad) = (low, high.saturating_add(1));
            if bad <= good || !fits(good) {
                return None;
            }
            while bad - good > 1 {
                let middle = good + (bad - good) / 2;
                if fits(middle) { good = middle } else { bad = middle }
            }
            Some(good)
        };
        let minimum = self.params[!by].htlc_minimum_msat.0.max(1);
        let capacity = self.ledger.capacity().0;
        // Thresholds differ between the two commitments, so there are up to two edges; try from the top.
        let starts = [edge[1].0.max(minimum), edge[0].0.max(minimum), minimum];
        let mut end = capacity;
        for start in starts {
            if start <= end {
                if let Some(found) = most(start, end) {
                    return Msat(found);
                }
                end = start.saturating_sub(1);
            }
        }
        Msat::ZERO
    }

    /// Is there more dust than we bear, now that the peer's add is in? It cannot be refused any more, only failed.
    pub fn dust_exceeded(&self) -> bool {
        [Side::Local, Side::Remote]
            .into_iter()
            .any(|whose| self.totals(whose, Age::Worst, None).dust_msat > self.max_dust_exposure_msat)
    }

    /// May the opener set this feerate? `bounds` are those of our own judgement (least, most).
    pub fn may_update_fee(&self, by: Side, feerate: u32, bounds: (u32, u32)) -> Result<(), Excess> {
        if feerate < bounds.0 || feerate > bounds.1 {
            return Err(Excess::Feerate { minimum: bounds.0, maximum: bounds.1, actual: feerate });
        }
        let ages: &[(Side, Age)] = match by {
            Side::Local => &[(Side::Remote, Age::Worst), (Side::Local, Age::Worst)],
            Side::Remote => &[(Side::Local, Age::Next)],
        };
        for &(whose, age) in ages {
            let totals = self.totals(whose, age, Some(feerate));
            let fee = self.cost(feerate, totals.outputs);
            // A peer may have promised its reserve to fees in a race with our own adds: see `affordable`.
            let reserve = if by == Side::Local { self.params[!by].channel_reserve } else { Sat::ZERO };
            let available = above(totals.balance_msat[by], reserve);
            if available < fee.to_msat() {
                return Err(Excess::OpenerFee { fee, available });
            }
            // A feerate turns HTLCs into dust. As the opener we can wait; as the other side we bear what comes and
            // fail new dust, because refusing would only lead to the same message again.
            if (by == Side::Local || is_active(Mutation::CutOnDust)) && totals.dust_msat > self.max_dust_exposure_msat {
                let maximum = self.max_dust_exposure_msat;
                return Err(Excess::Dust { whose, maximum, actual: totals.dust_msat });
            }
        }
        Ok(())
    }

    /// What a commitment costs its opener.
    fn cost(&self, feerate_per_kw: u32, outputs: u64) -> Sat {
        opener_cost(self.format, feerate_per_kw, outputs as usize)
    }
}

/// What is left of a balance above the reserve.
fn above(balance_msat: i64, reserve: Sat) -> Msat {
    Msat(u64::try_from(balance_msat).unwrap_or(0)).saturating_sub(reserve.to_msat())
}

/// All that decides about adds of one side at one moment.
pub struct Standing<'a> {
    by: Side,
    terms: Terms<'a>,
    /// The receiver's commitment, whose limits count.
    receiver: Totals,
    /// Our own commitment, when we are the sender.
    own: Option<Totals>,
    unacked: usize,
}

impl Standing<'_> {
    /// May this be added?
    pub fn may_add(&self, amount_msat: Msat) -> Result<(), Excess> {
        let (by, params) = (self.by, self.terms.params);
        let theirs = &params[!by];
        if amount_msat == Msat::ZERO {
            return Err(Excess::ZeroAmount);
        }
        if amount_msat < theirs.htlc_minimum_msat {
            return Err(Excess::BelowMinimum { minimum: theirs.htlc_minimum_msat, actual: amount_msat });
        }
        if self.unacked >= ADDS_UNACKED_MAX {
            return Err(Excess::Unacked { maximum: ADDS_UNACKED_MAX });
        }
        if self.receiver.count[by] >= u64::from(theirs.max_accepted_htlcs) {
            return Err(Excess::Count { maximum: theirs.max_accepted_htlcs });
        }
        let in_flight = self.receiver.in_flight_msat[by].saturating_add(amount_msat);
        if in_flight > theirs.max_htlc_value_in_flight_msat {
            return Err(Excess::InFlight { maximum: theirs.max_htlc_value_in_flight_msat, actual: in_flight });
        }
        self.affordable(&self.receiver, amount_msat)?;
        if let Some(own) = &self.own {
            self.affordable(own, amount_msat)?;
        }
        Ok(())
    }

    fn affordable(&self, totals: &Totals, amount_msat: Msat) -> Result<(), Excess> {
        let (by, terms, opener) = (self.by, &self.terms, self.terms.ledger.opener());
        let has_output = amount_msat.sat_floor() >= totals.trim_below[by];
        let outputs = totals.outputs + u64::from(has_output);
        let is_wrong = by == Side::Local && is_active(Mutation::WrongReserve);
        let reserve = if is_wrong { Sat::ZERO } else { terms.params[!by].channel_reserve };
        let spendable = above(totals.balance_msat[by], reserve);
        let fee = if by == Side::Local {
            // One more HTLC of the peer, and a higher feerate, must stay possible (BOLT 2, fee spike buffer).
            let factor = if opener == Side::Local { FEE_SPIKE_FACTOR } else { 1 };
            terms.cost(totals.feerate_per_kw.saturating_mul(factor), outputs + u64::from(opener == Side::Local))
        } else {
            terms.cost(totals.feerate_per_kw, outputs)
        };
        if by == opener {
            // Ours keeps both reserve and fees. A peer keeps both as far as it can see; adds of ours that it had not
            // seen may have made its commitment dearer since, and then the reserve pays: after a reconnection both
            // would else refuse each other's retransmissions for ever.
            let free = above(totals.balance_msat[by], if by == Side::Local { reserve } else { Sat::ZERO });
            let available = free.saturating_sub(fee.to_msat()).min(spendable);
            if available < amount_msat {
                return Err(Excess::Balance { available, actual: amount_msat });
            }
        } else {
            if spendable < amount_msat {
                return Err(Excess::Balance { available: spendable, actual: amount_msat });
            }
            // BOLT 2: the other side should not push the opener below its reserve. A peer may have done so in a race
            // with our own adds, which is no reason to refuse while we can pay for the commitment at all.
            let reserve = if by == Side::Local { terms.params[!opener].channel_reserve } else { Sat::ZERO };
            let available = above(totals.balance_msat[opener], reserve);
            if has_output && available < fee.to_msat() {
                return Err(Excess::OpenerFee { fee, available });
            }
        }
        // Only what we send is refused for dust; see `dust_exceeded` for what comes.
        if by == Side::Local && amount_msat.sat_floor() < totals.dust_below[by] {
            let (maximum, actual) = (terms.max_dust_exposure_msat, totals.dust_msat.saturating_add(amount_msat));
            if actual > maximum {
                return Err(Excess::Dust { whose: totals.whose, maximum, actual });
            }
        }
        Ok(())
    }

    /// The smallest amounts that have an output on one, and on both commitments.
    fn largest_dust_msat(&self) -> [Msat; 2] {
        let edge = |totals: &Totals| totals.trim_below[self.by].max(totals.dust_below[self.by]).to_msat();
        let first = edge(&self.receiver);
        let second = self.own.as_ref().map_or(first, edge);
        [first.min(second), first.max(second)]
    }
}

impl Ledger {
    /// Our adds that the peer has not acknowledged by a revocation: they are sent again after a reconnection.
    pub fn unacked_adds(&self) -> usize {
        let unacked =
            |htlc: &&super::ledger::Htlc| matches!(htlc.state, HtlcState::Adding(Stage::Proposed | Stage::PeerSigned));
        self.of_side(Side::Local).rev().map(|(_, htlc)| htlc).take_while(unacked).count()
    }
}
