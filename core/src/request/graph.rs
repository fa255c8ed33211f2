//! About the network's map.

use super::ForwardPolicy;
use crate::address::NetAddr;
use crate::amount::Msat;
use crate::ids::{NodeId, ShortChannelId};

/// A node as its announcement shows it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct GraphNode {
    /// Its id.
    pub id: NodeId,
    /// Its announcement, if we hold one: a node is known by its channels alone, too.
    pub announcement: Option<GraphNodeAnnouncement>,
}

/// What a node says of itself (BOLT 7, `node_announcement`).
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct GraphNodeAnnouncement {
    /// Its name: 32 bytes of anything, usually UTF-8 with zeros behind.
    pub alias: [u8; 32],
    /// Its colour: red, green, blue.
    pub color: [u8; 3],
    /// The announcement's time, Unix seconds.
    pub timestamp_s: u32,
    /// Feature bits, big-endian.
    pub features: Vec<u8>,
    /// Where it can be reached.
    pub addresses: Vec<NetAddr>,
}

/// Asks for channels of the network. At most one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ListChannels {
    /// All.
    All,
    /// This one.
    Channel(ShortChannelId),
    /// Those that lead away from this node.
    Source(NodeId),
    /// Those that lead to this node.
    Destination(NodeId),
}

/// One direction of a channel.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct GraphChannel {
    /// Where it begins.
    pub source: NodeId,
    /// Where it ends.
    pub destination: NodeId,
    /// Its place in the chain.
    pub short_channel_id: ShortChannelId,
    /// 0 leads from the lesser node id (BOLT 7).
    pub direction: u8,
    /// Is it announced?
    pub public: bool,
    /// What it holds.
    pub amount_msat: Msat,
    /// The update's flags.
    pub message_flags: u8,
    /// The update's flags for the channel.
    pub channel_flags: u8,
    /// Can it be used?
    pub active: bool,
    /// The update's time, Unix seconds.
    pub last_update_s: u32,
    /// What its source asks.
    pub policy: ForwardPolicy,
    /// Feature bits of the channel, big-endian.
    pub features: Vec<u8>,
}
