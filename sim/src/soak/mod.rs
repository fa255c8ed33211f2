//! Soaking: stories drawn from seeds, told, judged, and shrunk when they fail.

mod draw;
mod shrink;
mod swarm;
mod traffic;
mod trouble;

#[cfg(test)]
mod tests;

pub use draw::{Plan, draw, with_bad_peer};
pub use shrink::{Shrunk, fails_alike, shrink};
pub use swarm::{Faults, Swarm};
