//! Payments that wait for room in a channel, or for a peer to come back.
//!
//! They stand in one queue per peer, in the order in which they were asked for. A queue that is known to be shut costs
//! nothing: those who come join it untried, and it is tried again only when something about the peer's channels has
//! changed, from its head and no further than there is room. Nothing of this is in rows: a payment that waits has sent
//! nothing, and a restart ends it.

use std::collections::{BTreeMap, BTreeSet};

use super::TooMany;
use crate::ids::NodeId;
use crate::limits::PAYMENTS_WAITING_MAX;

/// All payments that wait. A payment is named by its index, so that older ones come first.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Waiting {
    queues: BTreeMap<NodeId, Queue>,
    /// The other way round.
    peers: BTreeMap<u64, Vec<NodeId>>,
    /// Queues to be tried before the step ends.
    stirred: BTreeSet<NodeId>,
}

#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
struct Queue {
    payments: BTreeSet<u64>,
    /// No channel with this peer takes anything, however small.
    shut: bool,
}

impl Waiting {
    /// The payment waits for whichever of these peers has room first. `shut` are those that take nothing at all now.
    pub fn wait(&mut self, payment: u64, peers: &[NodeId], shut: &[NodeId]) -> Result<(), TooMany> {
        if self.peers.len() >= PAYMENTS_WAITING_MAX && !self.peers.contains_key(&payment) {
            return Err(TooMany);
        }
        for peer in peers {
            self.queues.entry(*peer).or_default().payments.insert(payment);
        }
        for peer in shut {
            if let Some(queue) = self.queues.get_mut(peer) {
                queue.shut = true;
            }
        }
        self.peers.insert(payment, peers.to_vec());
        Ok(())
    }

    /// The payment waits no longer.
    pub fn leave(&mut self, payment: u64) {
        for peer in self.peers.remove(&payment).unwrap_or_default() {
            if let Some(queue) = self.queues.get_mut(&peer) {
                queue.payments.remove(&payment);
                if queue.payments.is_empty() {
                    self.queues.remove(&peer);
                }
            }
        }
    }

    /// Does this payment wait?
    pub fn contains(&self, payment: u64) -> bool {
        self.peers.contains_key(&payment)
    }

    /// Is it known that this peer takes nothing now, and do others wait for it?
    pub fn is_shut(&self, peer: NodeId) -> bool {
        self.queues.get(&peer).is_some_and(|queue| queue.shut)
    }

    /// Something about the channels with this peer has changed: those who wait for it may try again.
    pub fn stir(&mut self, peer: NodeId) {
        if let Some(queue) = self.queues.get_mut(&peer) {
            queue.shut = false;
            self.stirred.insert(peer);
        }
    }

    /// Takes a peer whose queue is to be tried.
    pub fn pop_stirred(&mut self) -> Option<NodeId> {
        self.stirred.pop_first()
    }

    /// Is there a queue to be tried?
    pub fn is_stirred(&self) -> bool {
        !self.stirred.is_empty()
    }

    /// The first that waits for this peer and was asked for after `last`.
    pub fn next_of(&self, peer: NodeId, last: Option<u64>) -> Option<u64> {
        let payments = &self.queues.get(&peer)?.payments;
        match last {
            None => payments.first().copied(),
            Some(last) => payments.range(last + 1..).next().copied(),
        }
    }

    /// How many payments wait.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Does none wait?
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: NodeId = NodeId([2; 33]);
    const BOB: NodeId = NodeId([3; 33]);

    #[test]
    fn those_who_asked_first_are_first_wherever_they_wait() {
        let mut waiting = Waiting::default();
        waiting.wait(7, &[ALICE, BOB], &[]).expect("room");
        waiting.wait(3, &[ALICE], &[]).expect("room");
        assert_eq!(waiting.next_of(ALICE, None), Some(3));
        assert_eq!(waiting.next_of(ALICE, Some(3)), Some(7));
        assert_eq!(waiting.next_of(ALICE, Some(7)), None);
        assert_eq!(waiting.next_of(BOB, None), Some(7));
        waiting.leave(7);
        assert_eq!(waiting.next_of(BOB, None), None);
        assert_eq!(waiting.next_of(ALICE, None), Some(3));
        assert_eq!(waiting.len(), 1);
    }

    #[test]
    fn a_queue_is_shut_until_something_changes() {
        let mut waiting = Waiting::default();
        waiting.stir(ALICE);
        assert_eq!(waiting.pop_stirred(), None, "nobody waits there");
        waiting.wait(1, &[ALICE, BOB], &[ALICE]).expect("room");
        assert!(waiting.is_shut(ALICE) && !waiting.is_shut(BOB));
        waiting.stir(ALICE);
        assert!(!waiting.is_shut(ALICE));
        assert_eq!(waiting.pop_stirred(), Some(ALICE));
        waiting.leave(1);
        assert!(waiting.is_empty() && !waiting.is_shut(ALICE));
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut waiting = Waiting::default();
        for payment in 0..PAYMENTS_WAITING_MAX as u64 {
            waiting.wait(payment, &[ALICE], &[]).expect("room");
        }
        assert_eq!(waiting.wait(u64::MAX, &[ALICE], &[]), Err(TooMany));
        waiting.wait(0, &[BOB], &[]).expect("it waits already");
        waiting.leave(0);
        waiting.wait(u64::MAX, &[ALICE], &[]).expect("one has gone");
    }
}
