//! The two ends of a channel.

use std::ops::{Index, IndexMut, Not};

/// One end of a channel, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum Side {
    /// This node.
    Local,
    /// The peer.
    Remote,
}

impl Not for Side {
    type Output = Side;
    fn not(self) -> Side {
        match self {
            Side::Local => Side::Remote,
            Side::Remote => Side::Local,
        }
    }
}

/// One value for each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, bincode::Encode, bincode::Decode)]
pub struct PerSide<T> {
    /// Ours.
    pub local: T,
    /// The peer's.
    pub remote: T,
}

impl<T> PerSide<T> {
    /// The same two values as the peer names them.
    pub fn flip(self) -> PerSide<T> {
        PerSide { local: self.remote, remote: self.local }
    }
}

impl<T> Index<Side> for PerSide<T> {
    type Output = T;
    fn index(&self, side: Side) -> &T {
        match side {
            Side::Local => &self.local,
            Side::Remote => &self.remote,
        }
    }
}

impl<T> IndexMut<Side> for PerSide<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }
}
