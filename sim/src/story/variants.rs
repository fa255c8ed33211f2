//! Ways to tell a story otherwise than as it is written: none of them may break a promise.

use super::Story;
use crate::world::CrashPoint;

/// How a story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As it stands there.
    AsWritten,
    /// The node under test crashes at the end of the so-manieth turn that writes.
    Crash {
        /// Which turn, counted from 0.
        turn: u64,
        /// Where in it.
        point: CrashPoint,
    },
    /// Each commit of the node under test takes so long.
    SlowStore {
        /// Milliseconds.
        commit_ms: u64,
    },
    /// Whenever blocks are mined, so many more or fewer.
    Blocks {
        /// Never below none at all.
        shift: i32,
    },
}

impl Variant {
    /// How many blocks come where the story has `count`.
    pub(super) fn blocks(self, count: u32) -> u32 {
        match self {
            Variant::Blocks { shift } => count.saturating_add_signed(shift),
            _ => count,
        }
    }
}

/// All variants of a story but its crashes, which end where the story has no more turns.
pub fn variants(story: &Story) -> Vec<Variant> {
    let mut all = vec![Variant::AsWritten];
    if story.under_test.is_some() {
        all.extend([5, 60, 1_500].map(|commit_ms| Variant::SlowStore { commit_ms }));
    }
    if story.heights_matter {
        all.extend([-3, -2, -1, 1, 2, 3].map(|shift| Variant::Blocks { shift }));
    }
    all
}
