//! Keys of commitments to come, derived while the node has nothing else to do.
//!
//! A commitment's keys follow from its per-commitment point, which is known one commitment before it is needed. Whoever
//! drives the node may let the signer use the time in which it waits: what it made is then only looked up. That changes
//! no answer, so nothing of it is recorded, and a node that nobody gives time derives each key when it is asked.

use std::collections::VecDeque;

use super::CommitmentOf;
use crate::ids::KeysIndex;
use crate::limits::KEYS_AHEAD_MAX;
use crate::tx::{Basepoints, CommitmentKeys};

/// Keys that will be asked for.
pub(super) struct Wanted {
    pub(super) keys: KeysIndex,
    pub(super) of: CommitmentOf,
    pub(super) peer: Basepoints,
}

/// What is to be derived, and what has been. Old entries make way for new ones.
#[derive(Default)]
pub(super) struct Ahead {
    wanted: VecDeque<Wanted>,
    /// Without the keys of HTLC outputs.
    made: VecDeque<(KeysIndex, CommitmentOf, CommitmentKeys)>,
}

/// Adds an entry; the oldest goes where there are too many.
fn push<T>(queue: &mut VecDeque<T>, entry: T) {
    if queue.len() == KEYS_AHEAD_MAX {
        queue.pop_front();
    }
    queue.push_back(entry);
}

impl Ahead {
    /// These keys will be asked for soon.
    pub(super) fn want(&mut self, keys: KeysIndex, of: CommitmentOf, peer: &Basepoints) {
        let known = self.wanted.iter().any(|wanted| (wanted.keys, wanted.of) == (keys, of))
            || self.made.iter().any(|made| (made.0, made.1) == (keys, of));
        if !known {
            push(&mut self.wanted, Wanted { keys, of, peer: *peer });
        }
    }

    /// Is there anything to derive?
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// What to derive next.
    pub(super) fn next(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// Keeps what was derived.
    pub(super) fn keep(&mut self, keys: KeysIndex, of: CommitmentOf, made: CommitmentKeys) {
        push(&mut self.made, (keys, of, made));
    }

    /// What was derived, if there was time for it. Either way it is wanted no more.
    pub(super) fn take(&mut self, keys: KeysIndex, of: CommitmentOf) -> Option<CommitmentKeys> {
        self.wanted.retain(|wanted| (wanted.keys, wanted.of) != (keys, of));
        let place = self.made.iter().position(|made| (made.0, made.1) == (keys, of))?;
        self.made.remove(place).map(|made| made.2)
    }

    /// A channel is over.
    pub(super) fn forget(&mut self, keys: KeysIndex) {
        self.wanted.retain(|wanted| wanted.keys != keys);
        self.made.retain(|made| made.0 != keys);
    }
}
