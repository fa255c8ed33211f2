//! The pure state machine of a Lightning node.

#![forbid(unsafe_code)]

pub mod amount;
pub mod clock;
pub mod ids;
pub mod invoice;
pub mod onion;
pub mod side;
