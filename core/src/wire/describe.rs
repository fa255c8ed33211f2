//! Messages for people: each field by the specification's name, with its value as text.

use std::fmt::{self, Display, Formatter};

use bitcoin::Txid;

use super::codec::BigSize;
use super::message::{FeeRange, FundingLocked, Present, Rest, Sigs, Trailing, Witnesses};
use crate::amount::{Msat, Sat};
use crate::ids::{ChainHash, ChannelId, CommitmentSecret, NodeId, PaymentHash, Point, Preimage, ShortChannelId, Sig};

/// The value of a field, for people: numbers as numbers, bytes as hexadecimal digits.
pub trait Describe {
    /// Writes it. Nothing is left out, and what it writes drives no terminal.
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result;
}

/// Lends a field's value to whatever prints.
#[derive(Clone, Copy)]
pub struct Described<'a>(pub(super) &'a dyn Describe);

impl Display for Described<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

macro_rules! as_displayed {
    ($($name:ty)*) => {$(
        impl Describe for $name {
            fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
        }
    )*};
}
as_displayed!(u8 u16 u32 u64 i64 Msat Sat Txid ShortChannelId ChannelId PaymentHash ChainHash NodeId Point Sig);
as_displayed!(CommitmentSecret);

impl Describe for [u8] {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Describe for &[u8] {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).describe(f)
    }
}

impl<const N: usize> Describe for [u8; N] {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self[..].describe(f)
    }
}

impl<const N: usize> Describe for &[u8; N] {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self[..].describe(f)
    }
}

/// It was in a message, so it is told.
impl Describe for Preimage {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

impl Describe for BigSize {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl Describe for Rest<'_> {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

impl Describe for Trailing<'_> {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

impl Describe for Present {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("present")
    }
}

impl Describe for FeeRange {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min_fee_satoshis, self.max_fee_satoshis)
    }
}

impl Describe for FundingLocked {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, retransmit_flags {}", self.txid, self.retransmit_flags)
    }
}

fn list<T>(f: &mut Formatter<'_>, items: impl Iterator<Item = T>, describe: impl Fn(&T) -> String) -> fmt::Result {
    for (number, item) in items.enumerate() {
        write!(f, "{}{}", if number == 0 { "" } else { ", " }, describe(&item))?;
    }
    Ok(())
}

impl Describe for Sigs<'_> {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        list(f, self.iter(), |sig| sig.to_string())
    }
}

impl Describe for Witnesses<'_> {
    fn describe(&self, f: &mut Formatter<'_>) -> fmt::Result {
        list(f, self.iter(), |witness| Described(witness).to_string())
    }
}
