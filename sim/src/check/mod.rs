//! The checkers: they watch a run from outside and do not trust the books of the nodes.

use bitcoin::Transaction;
use leyden_core::command::Level;

use crate::net::NodeIndex;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in the world's time.
    pub at_ms: u64,
    /// Which promise is broken.
    pub oracle: &'static str,
    /// By whom.
    pub node: NodeIndex,
    /// What happened.
    pub text: String,
}

/// All checkers of a world.
pub struct Checks {
    violations: Vec<Violation>,
}

impl Checks {
    pub(crate) fn new(_count: usize) -> Checks {
        Checks { violations: Vec::new() }
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn on_message(&mut self, _now_ms: u64, _link: u32, _from: NodeIndex, _to: NodeIndex, _message: &[u8]) {}

    pub(crate) fn on_broadcast(&mut self, _now_ms: u64, _node: NodeIndex, _tx: &Transaction, _purpose: &str) {}

    pub(crate) fn on_note(&mut self, _now_ms: u64, _node: NodeIndex, _level: Level, _note: &str) {}

    pub(crate) fn on_halt(&mut self, _node: NodeIndex) {}
}
