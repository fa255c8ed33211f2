//! Many real nodes on a simulated network, chain, disk and clock.

pub mod chain;
pub mod disk;
pub mod net;
pub mod replay;
mod world;

pub use world::{CrashPlan, CrashPoint, Reply, World};
