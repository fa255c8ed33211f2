//! Connections between simulated nodes: messages arrive whole, in order, after a while.

/// Who a node is in the world: its place in the list.
pub type NodeIndex = usize;

/// A connection.
#[derive(Clone, Debug)]
pub struct Link {
    /// Both ends; the first dialled.
    pub ends: [NodeIndex; 2],
    /// Which life of each end the connection belongs to.
    pub lives: [u32; 2],
    /// Milliseconds that a message takes.
    pub latency_ms: u64,
    /// Does this end still know of it?
    pub open: [bool; 2],
}

impl Link {
    /// The end at which this node sits.
    pub fn end_of(&self, node: NodeIndex) -> usize {
        usize::from(self.ends[0] != node)
    }
}
