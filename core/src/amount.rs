//! Amounts: millisatoshi on the ledger, satoshi on the chain, and never one for the other.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};

/// All the bitcoin there can ever be.
pub const MONEY_MAX: Sat = Sat(21_000_000 * 100_000_000);

/// An amount in thousandths of a satoshi, as BOLT 2 moves it between two balances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Msat(pub u64);

/// An amount in satoshi, as an output of a transaction carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Sat(pub u64);

impl Msat {
    /// No money.
    pub const ZERO: Msat = Msat(0);

    /// The whole satoshis in it (BOLT 3 rounds every output down).
    pub fn sat_floor(self) -> Sat {
        Sat(self.0 / 1000)
    }

    /// The satoshis needed to hold it.
    pub fn sat_ceil(self) -> Sat {
        Sat(self.0.div_ceil(1000))
    }

    /// Sum, or `None` past `u64`: amounts from peers are added this way.
    pub fn checked_add(self, other: Msat) -> Option<Msat> {
        self.0.checked_add(other.0).map(Msat)
    }

    /// Difference, or `None` below zero.
    pub fn checked_sub(self, other: Msat) -> Option<Msat> {
        self.0.checked_sub(other.0).map(Msat)
    }

    /// Difference, or zero.
    pub fn saturating_sub(self, other: Msat) -> Msat {
        Msat(self.0.saturating_sub(other.0))
    }

    /// Sum, or the largest amount.
    pub fn saturating_add(self, other: Msat) -> Msat {
        Msat(self.0.saturating_add(other.0))
    }
}

impl Sat {
    /// No money.
    pub const ZERO: Sat = Sat(0);

    /// The same amount in millisatoshi. Saturates, so that an absurd amount from a peer stays absurd.
    pub fn to_msat(self) -> Msat {
        Msat(self.0.saturating_mul(1000))
    }

    /// Sum, or `None` past `u64`.
    pub fn checked_add(self, other: Sat) -> Option<Sat> {
        self.0.checked_add(other.0).map(Sat)
    }

    /// Difference, or `None` below zero.
    pub fn checked_sub(self, other: Sat) -> Option<Sat> {
        self.0.checked_sub(other.0).map(Sat)
    }

    /// Difference, or zero.
    pub fn saturating_sub(self, other: Sat) -> Sat {
        Sat(self.0.saturating_sub(other.0))
    }

    /// The `bitcoin` crate's type for it.
    pub fn to_amount(self) -> bitcoin::Amount {
        bitcoin::Amount::from_sat(self.0)
    }
}

impl From<bitcoin::Amount> for Sat {
    fn from(amount: bitcoin::Amount) -> Sat {
        Sat(amount.to_sat())
    }
}

/// Arithmetic on our own amounts: overflow is a broken invariant, so it panics, in release builds too.
macro_rules! arithmetic {
    ($($name:ident)*) => {$(
        impl Add for $name {
            type Output = $name;
            fn add(self, other: $name) -> $name {
                $name(self.0.checked_add(other.0).expect("a sum of our own amounts is below all money"))
            }
        }
        impl Sub for $name {
            type Output = $name;
            fn sub(self, other: $name) -> $name {
                $name(self.0.checked_sub(other.0).expect("we subtract only what is there"))
            }
        }
        impl Mul<u64> for $name {
            type Output = $name;
            fn mul(self, factor: u64) -> $name {
                $name(self.0.checked_mul(factor).expect("a multiple of our own amounts is below all money"))
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                *self = *self + other;
            }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, other: $name) {
                *self = *self - other;
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = $name>>(amounts: I) -> $name {
                amounts.fold($name(0), |sum, amount| sum + amount)
            }
        }
    )*};
}
arithmetic!(Msat Sat);

impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} msat", self.0)
    }
}

impl fmt::Display for Sat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sat", self.0)
    }
}
