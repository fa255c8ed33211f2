//! The blocks taken in last, as far back as a reorganisation may reasonably go.

use std::collections::VecDeque;

use bitcoin::BlockHash;
use leyden_core::chain::Tip;
use leyden_core::ids::BlockHeight;

/// How many blocks are remembered: two days' worth. Beyond, the backend is asked for the block before.
const TIPS_MAX: usize = 288;

/// A run of blocks, each the one before the next; the last is our tip.
#[derive(Clone, Debug)]
pub(super) struct Tips(VecDeque<Tip>);

impl Tips {
    /// Keeps of `recent` what leads up to `tip` without a gap.
    pub(super) fn new(tip: Tip, recent: &[Tip]) -> Tips {
        let mut tips = VecDeque::from([tip]);
        let mut recent = recent.to_vec();
        recent.sort_by_key(|block| std::cmp::Reverse(block.height));
        for block in recent {
            let lowest = tips.front().expect("the tip is there").height.0;
            if tips.len() < TIPS_MAX && lowest.checked_sub(1) == Some(block.height.0) {
                tips.push_front(block);
            }
        }
        Tips(tips)
    }

    pub(super) fn tip(&self) -> Tip {
        *self.0.back().expect("there is always a tip")
    }

    pub(super) fn push(&mut self, hash: BlockHash) -> Tip {
        let tip = Tip { height: self.tip().height.plus(1), hash };
        if self.0.len() == TIPS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(tip);
        tip
    }

    /// The block before the tip, if it is remembered.
    pub(super) fn before(&self) -> Option<BlockHash> {
        self.0.iter().rev().nth(1).map(|block| block.hash)
    }

    /// Takes the tip off; `before` is the block that becomes the tip.
    pub(super) fn pop(&mut self, before: BlockHash) -> Tip {
        let gone = self.0.pop_back().expect("there is always a tip");
        if self.0.is_empty() {
            let height = gone.height.0.checked_sub(1).expect("the first block of a chain is never replaced");
            self.0.push_back(Tip { height: BlockHeight(height), hash: before });
        }
        assert_eq!(self.tip().hash, before, "the blocks that are remembered follow on one another");
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash;

    fn block(height: u32) -> Tip {
        Tip { height: BlockHeight(height), hash: BlockHash::from_byte_array([height as u8; 32]) }
    }

    #[test]
    fn what_is_remembered_has_no_gap() {
        let mut tips = Tips::new(block(10), &[block(5), block(9), block(7), block(8), block(9)]);
        assert_eq!(tips.0.iter().map(|block| block.height.0).collect::<Vec<_>>(), [7, 8, 9, 10]);
        for height in [10, 9, 8] {
            let before = tips.before().expect("remembered");
            assert_eq!(tips.pop(before), block(height));
        }
        assert_eq!(tips.before(), None);
        assert_eq!(tips.pop(block(6).hash), block(7));
        assert_eq!(tips.tip(), block(6));
        for height in 7..1000 {
            tips.push(block(height).hash);
        }
        assert_eq!((tips.0.len(), tips.tip().height.0), (TIPS_MAX, 999));
    }
}
