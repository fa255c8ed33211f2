//! One payment channel: the heart of the node.

pub mod effect;
pub mod error;
pub mod format;
pub mod ledger;
pub mod limits;
pub mod params;

pub use effect::{CloseReason, Effect, Failure, SpendBy, Spendable, Spender};
pub use error::{ChannelError, Consequence};
pub use ledger::{Detail, Htlc, HtlcKey, HtlcState, Origin, Peeled, Removal};
pub use limits::{Excess, Refusal};
#[cfg(test)]
mod tests;

pub use params::{Basepoints, ChannelConfig, Params, PeerPolicy, Policy};
