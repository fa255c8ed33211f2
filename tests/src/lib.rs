//! What tests of the whole share.

pub mod bitcoind;
pub mod daemon;
pub mod line;
