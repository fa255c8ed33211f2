//! How much of everything the node holds: for checks that nothing piles up.

use super::Node;
use crate::amount::Sat;

/// What is in memory and should be gone when nothing is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Channels, whatever their state.
    pub channels: usize,
    /// HTLCs of all channels.
    pub htlcs: usize,
    /// Onions that are kept to be passed on or said again.
    pub onions: usize,
    /// Openings under way.
    pub openings: usize,
    /// Payments of ours that have not ended.
    pub payments: usize,
    /// Parts of them that are on their way.
    pub parts: usize,
    /// Payments to us that wait for more parts.
    pub incoming: usize,
    /// Forwards on their way.
    pub forwards: usize,
    /// Clients that wait for an answer of a peer or of the store.
    pub waiters: usize,
    /// Channels with something to sign or write.
    pub dirty: usize,
    /// Outputs on chain that are ours, may have to wait, and are not in the wallet yet.
    pub claims_sat: Sat,
}

impl Census {
    /// Of all that belongs to payments under way: nothing.
    pub fn is_idle(&self) -> bool {
        let Census { htlcs, onions, payments, parts, incoming, forwards, dirty, .. } = self;
        [htlcs, onions, payments, parts, incoming, forwards, dirty].into_iter().all(|count| *count == 0)
    }
}

impl Node {
    /// Counts all of it.
    pub fn census(&self) -> Census {
        let waiters = self.queries.len()
            + self.transaction_queries.len()
            + self.close_waiters.values().map(Vec::len).sum::<usize>()
            + self.ping_waiters.values().map(std::collections::VecDeque::len).sum::<usize>();
        let unspent = self.claims.values().filter(|claim| claim.spent.is_none());
        Census {
            channels: self.channels.len(),
            htlcs: self.channels.values().map(|channel| channel.ledger().htlcs().count()).sum(),
            onions: self.channels.values().map(|channel| channel.onions_kept()).sum(),
            openings: self.openings.len(),
            payments: self.outgoing.indices().count(),
            parts: self.outgoing.part_numbers().count(),
            incoming: self.incoming.len(),
            forwards: self.forwards.keys().count(),
            waiters,
            dirty: self.dirty.len(),
            claims_sat: Sat(unspent.map(|claim| claim.spendable.output.value.to_sat()).sum()),
        }
    }
}
