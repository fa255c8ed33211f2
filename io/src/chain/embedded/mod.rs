//! A regtest chain inside the process: for trying things out, without a bitcoind.
//!
//! - [`SharedChain`] is the simulator's chain with a lock, a [file](file) and bells: several nodes of one process may
//!   live on it, and each one's loop is woken when it grows.
//! - [`EmbeddedDriver`] lets the same [`Follower`](super::follow::Follower) that asks a bitcoind ask this chain. What it
//!   tells is therefore told in the same order and with the same guarantees.

mod driver;
mod file;
mod host;

#[cfg(test)]
mod tests;

pub use driver::EmbeddedDriver;
pub use file::OpenError;
pub use host::{MakeError, SharedChain};
