//! The chain of recordings: blocks are found when the first node hears of them.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::BlockHash;
use leyden_core::chain::FEERATE_FLOOR_PER_KW;

use super::life::{Deed, Life};
use super::plot::{Plot, Rank};
use crate::net::NodeIndex;
use crate::story::Step;
use crate::world::Refill;

/// A node that hears of blocks so much later than others lags.
const LAG_MS: i64 = 1_000;

/// Blocks, estimates, backends and clocks.
pub(super) fn tell(
    lives: &[Life],
    begins_ms: i64,
    height: u32,
    mut feerates: BTreeMap<NodeIndex, u32>,
    plot: &mut Plot,
) {
    let mut first_seen: BTreeMap<BlockHash, i64> = BTreeMap::new();
    for life in lives {
        for (at_ms, deed) in &life.deeds {
            if let Deed::Block(hash, _) = deed {
                let known = first_seen.entry(*hash).or_insert(*at_ms);
                *known = (*known).min(*at_ms);
            }
        }
    }
    let replaced = reorgs(lives, plot);
    let mut mined: BTreeSet<BlockHash> = BTreeSet::new();
    for life in lives {
        for (_, deed) in &life.deeds {
            let Deed::Block(hash, of) = deed else { continue };
            let at_ms = first_seen[hash];
            let is_new = *of > height && at_ms >= begins_ms && !replaced.contains(hash);
            if is_new && mined.insert(*hash) {
                plot.step(at_ms, Rank::Block, Step::Block);
            }
        }
    }
    for node in lives.iter().map(|life| life.node).collect::<BTreeSet<_>>() {
        let (mut lag_ms, mut is_up, mut skew_ms) = (0, true, 0);
        for life in lives.iter().filter(|life| life.node == node) {
            let mut asked_ms = i64::MIN;
            for (at_ms, deed) in life.deeds.iter().filter(|(at_ms, _)| *at_ms >= begins_ms) {
                if matches!(deed, Deed::Request(..)) {
                    asked_ms = *at_ms;
                }
                let rank = if asked_ms == *at_ms { Rank::After } else { Rank::Surroundings };
                match deed {
                    Deed::Block(hash, _) if mined.contains(hash) && first_seen[hash] >= life.started_ms => {
                        let found_ms = at_ms - first_seen[hash];
                        if (found_ms - lag_ms).abs() > LAG_MS {
                            lag_ms = found_ms;
                            let step = Step::LagChain(node, lag_ms as u64);
                            plot.step(first_seen[hash], Rank::Surroundings, step);
                        }
                    }
                    Deed::Feerates(now) => {
                        let known = feerates.entry(node).or_insert(FEERATE_FLOOR_PER_KW);
                        if *known != now.blocks_6 {
                            *known = now.blocks_6;
                            plot.step(*at_ms, Rank::Surroundings, Step::Feerate(node, now.blocks_6));
                        }
                    }
                    Deed::ChainDown if is_up => {
                        is_up = false;
                        plot.step(*at_ms, rank, Step::ChainUp(node, false));
                    }
                    Deed::ChainUp if !is_up => {
                        is_up = true;
                        plot.step(*at_ms, rank, Step::ChainUp(node, true));
                    }
                    Deed::Clock(ahead_ms) if *ahead_ms != skew_ms => {
                        skew_ms = *ahead_ms;
                        plot.step(*at_ms, Rank::Surroundings, Step::SkewClock(node, skew_ms));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Blocks that were taken back. Returns those that the steps bring by themselves.
fn reorgs(lives: &[Life], plot: &mut Plot) -> BTreeSet<BlockHash> {
    let mut brought = BTreeSet::new();
    let mut told = BTreeSet::new();
    for life in lives {
        let mut taken_back: Vec<(BlockHash, u32)> = Vec::new();
        let mut since_ms = 0;
        let mut deeds = life.deeds.iter().peekable();
        while let Some((at_ms, deed)) = deeds.next() {
            match deed {
                Deed::Unblock(hash, of) => {
                    if taken_back.is_empty() {
                        since_ms = *at_ms;
                    }
                    taken_back.push((*hash, *of));
                }
                Deed::Block(hash, of) if !taken_back.is_empty() => {
                    let depth = taken_back.len() as u32;
                    let is_same = taken_back.contains(&(*hash, *of));
                    let tip = taken_back[0].0;
                    taken_back.clear();
                    if is_same {
                        plot.step(since_ms, Rank::Surroundings, Step::Reindex(life.node, depth));
                    } else if told.insert(tip) {
                        plot.step(since_ms, Rank::Surroundings, Step::Reorg(depth, Refill::Full));
                        brought.insert(*hash);
                        // One more than they were.
                        let mut left = depth;
                        while let Some((_, Deed::Block(hash, _))) =
                            deeds.next_if(|(_, deed)| left > 0 && matches!(deed, Deed::Block(..)))
                        {
                            brought.insert(*hash);
                            left -= 1;
                        }
                    }
                }
                _ => {}
            }
        }
    }
    brought
}
