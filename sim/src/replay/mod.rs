//! Flight recordings, run again: the same core takes in the same events, gets the same answers of a signer that has no
//! keys, and must command the same.

mod engine;
mod explain;
mod file;
pub mod html;
pub mod retell;
mod state;
#[cfg(test)]
mod tests;
pub mod text;
pub mod timeline;

pub use engine::{At, Divergence, Nobody, Obstacle, Reason, Replay, Step, Watcher, place};
pub use explain::{Explained, Subject, explain};
pub use file::{Run, Segment, Source, runs};
pub use state::{Rows, ask, method_of};
