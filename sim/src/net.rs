//! Connections between simulated nodes: what is sent arrives in order, after a while, or not at all.

use leyden_core::event::Cut;
use leyden_core::ids::DialId;
use leyden_core::transport::Transport;

/// Who a node is in the world: its place in the list.
pub type NodeIndex = usize;

/// How nodes talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Plain messages, whole: fast.
    Messages,
    /// Bytes: handshakes, encryption, fixed buffers and reads that end in the middle of a frame.
    Bytes,
}

/// What the bytes of a connection may have under way in one direction: what operating systems keep.
pub const WINDOW_BYTES: usize = 64 * 1024;

/// How far one end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndState {
    /// The node has not heard of it yet.
    Opening,
    /// The node knows it.
    Open,
    /// It is over; the node has been told, or will be by what is queued already.
    Closed,
}

/// One end of a connection.
pub struct End {
    /// Whose.
    pub node: NodeIndex,
    /// Which life of the node the connection belongs to.
    pub life: u32,
    /// How far it is.
    pub state: EndState,
    /// When the last thing arrives that was sent from here: nothing overtakes.
    pub arrives_ms: u64,
    /// How many things were sent from here.
    pub sent: u64,
    /// How often this end has read.
    pub reads: u64,
    /// The stack below the messages, if there is one.
    pub transport: Option<Box<Transport>>,
    /// Bytes sent from here that have not arrived.
    pub under_way: usize,
    /// Bytes had to wait for the window.
    pub is_full: bool,
}

/// A connection.
pub struct Link {
    /// Both ends; the first dialled.
    pub ends: [End; 2],
    /// What the dialler calls it.
    pub dial: DialId,
    /// Milliseconds that a message takes.
    pub latency_ms: u64,
    /// Up to so many more, drawn for each.
    pub jitter_ms: u64,
    /// Bytes per millisecond; 0: no limit.
    pub bytes_per_ms: u64,
    /// Nothing arrives before this moment.
    pub stalled_until_ms: u64,
}

impl Link {
    /// The end at which this node sits.
    pub fn end_of(&self, node: NodeIndex) -> usize {
        usize::from(self.ends[0].node != node)
    }

    /// Does it join these two?
    pub fn joins(&self, a: NodeIndex, b: NodeIndex) -> bool {
        let ends = [self.ends[0].node, self.ends[1].node];
        ends == [a, b] || ends == [b, a]
    }
}

/// A message or a part of the byte stream.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A whole message.
    Message(Vec<u8>),
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The connection ends.
    End(Cut),
}
