//! Nodes that are frozen and thawed: a snapshot holds all of a node, or its story changes.

use leyden_core::node::Node;

use super::World;
use crate::net::NodeIndex;

impl World {
    /// Before every so many turns, the node whose turn it is becomes what its snapshot says: nobody may notice.
    pub fn thaw_every(&mut self, turns: u64) {
        self.thaw_every = Some(turns);
    }

    /// The whole node in bytes.
    pub fn snapshot(&self, node: NodeIndex) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.nodes[node].node.snapshot(&mut bytes);
        bytes
    }

    /// Freezes and thaws the node, if its turn is one of those.
    pub(super) fn thaw(&mut self, node: NodeIndex) {
        if self.thaw_every.is_none_or(|turns| !self.counts.turns.is_multiple_of(turns)) {
            return;
        }
        let bytes = self.snapshot(node);
        self.nodes[node].node = Node::thaw(&bytes).expect("what the node froze, it can thaw");
        assert!(self.snapshot(node) == bytes, "a thawed node freezes into the same bytes");
    }
}
