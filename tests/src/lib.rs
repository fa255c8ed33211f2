//! What tests of the whole share.

pub mod alloc;
pub mod bitcoind;
pub mod browser;
pub mod curve;
pub mod daemon;
pub mod line;
pub mod load;
pub mod pair;
pub mod transport;
