//! The pure state machine of a Lightning node.

#![forbid(unsafe_code)]

pub mod amount;
pub mod clock;
pub mod ids;
pub mod side;
pub mod signer;
pub mod tx;
