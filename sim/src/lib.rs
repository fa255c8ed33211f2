//! Many real nodes on a simulated network, chain, disk and clock.

pub mod chain;
pub mod check;
pub mod disk;
pub mod draw;
pub mod net;
pub mod replay;
pub mod soak;
pub mod story;
mod world;

pub use net::Wire;
pub use world::{Act, Counts, CrashPlan, CrashPoint, Habit, Place, Refill, Reply, Trigger, World};
