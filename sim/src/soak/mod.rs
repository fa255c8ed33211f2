//! Soaking: stories drawn from seeds, told, judged, and shrunk when they fail.

mod draw;
mod shrink;

#[cfg(test)]
mod tests;

pub use draw::{Faults, Plan, Swarm, draw, with_bad_peer};
pub use shrink::{Shrunk, fails_alike, shrink};
