//! Addresses of nodes.

/// Where a node can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum NetAddr {
    /// An IPv4 address and port.
    Ip4([u8; 4], u16),
    /// An IPv6 address and port.
    Ip6([u8; 16], u16),
    /// A Tor v3 address (public key, checksum, version) and port.
    Tor3([u8; 35], u16),
    /// A host name and port.
    Dns(String, u16),
}
