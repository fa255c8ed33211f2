//! About connections.

use crate::address::NetAddr;
use crate::ids::NodeId;

/// Asks for a connection.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Connect {
    /// To whom.
    pub peer: NodeId,
    /// Where; `None` means wherever we know it to be.
    pub address: Option<NetAddr>,
}

/// Answers [`super::Request::Connect`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ConnectedPeer {
    /// Who.
    pub peer: NodeId,
    /// The features of its `init`, big-endian.
    pub features: Vec<u8>,
    /// Did the peer come to us?
    pub inbound: bool,
    /// Where it is.
    pub address: NetAddr,
}

/// Asks to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Disconnect {
    /// With whom.
    pub peer: NodeId,
    /// Even if there are channels with it.
    pub force: bool,
}

/// One entry of the answer to [`super::Request::ListPeers`].
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PeerInfo {
    /// Who.
    pub id: NodeId,
    /// How many channels we have with it.
    pub num_channels: u32,
    /// The connection, if there is one.
    pub link: Option<PeerLink>,
    /// The features of its last `init`, if we ever saw one, big-endian.
    pub features: Option<Vec<u8>>,
}

/// A live connection.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PeerLink {
    /// Where the peer is.
    pub address: NetAddr,
    /// Where the peer sees us (BOLT 1, `remote_addr`).
    pub remote_addr: Option<NetAddr>,
}

/// Asks a peer for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Ping {
    /// Whom.
    pub peer: NodeId,
    /// How many bytes of padding to send.
    pub len: u16,
    /// How many bytes to ask for; from 65,532 on the peer must not answer (BOLT 1).
    pub pong_bytes: u16,
}
