//! Steps at their times, on the way to a story.

use std::collections::BTreeMap;

use crate::story::Step;

/// What comes first of the things that happen in the same millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Clocks, estimates and backends.
    Surroundings,
    /// Two can reach each other again.
    Meet,
    /// Something waits for a message or a turn.
    Arm,
    /// A connection is lost.
    Break,
    /// A process ends that did nothing more.
    Die,
    /// Two cannot reach each other any more.
    Part,
    /// A process begins.
    Start,
    /// Somebody asks for something.
    Ask,
    /// What comes behind what somebody was asked.
    After,
    /// Time may pass with a block, so it is the last.
    Block,
}

/// Steps at their times, and what could not become one.
#[derive(Debug, Default)]
pub(super) struct Plot {
    steps: Vec<(i64, Rank, Step)>,
    pub(super) notes: BTreeMap<String, u64>,
}

/// How long a step `mine 1` takes.
const BLOCK_MS: i64 = 200;

impl Plot {
    pub(super) fn step(&mut self, at_ms: i64, rank: Rank, step: Step) {
        self.steps.push((at_ms, rank, step));
    }

    /// Something that a story cannot tell.
    pub(super) fn note(&mut self, what: &str) {
        *self.notes.entry(what.to_owned()).or_default() += 1;
    }

    /// All steps from a time on, with waits between them: the time of each and the step. The last wait ends at `ends_ms`.
    pub(super) fn steps(mut self, begins_ms: i64, ends_ms: i64) -> Vec<(i64, Step)> {
        self.steps.sort_by_key(|(at_ms, rank, _)| (*at_ms, *rank));
        let mut told = Vec::new();
        let mut now_ms = begins_ms;
        let mut last: Option<(i64, Rank)> = None;
        let mut steps = self.steps.into_iter().peekable();
        while let Some((at_ms, rank, mut step)) = steps.next() {
            // What waits for something is set up just before it.
            let at_ms = if rank == Rank::Arm { at_ms.max(begins_ms.min(at_ms + 1)) } else { at_ms };
            if at_ms < begins_ms {
                continue;
            }
            if at_ms > now_ms {
                told.push((at_ms, Step::Wait((at_ms - now_ms) as u64)));
                now_ms = at_ms;
            } else if rank == Rank::After && last == Some((at_ms, Rank::Ask)) {
                // What was asked is still taken in.
                told.push((at_ms, Step::Wait(0)));
            }
            if step == Step::Block && steps.peek().map_or(ends_ms, |(next_ms, ..)| *next_ms) >= now_ms + BLOCK_MS {
                step = Step::Mine(1);
                now_ms += BLOCK_MS;
                if let Some((_, Step::Mine(count))) = told.last_mut() {
                    *count += 1;
                    continue;
                }
            }
            last = Some((at_ms, rank));
            told.push((at_ms, step));
        }
        if ends_ms > now_ms {
            told.push((ends_ms, Step::Wait((ends_ms - now_ms) as u64)));
        }
        told
    }
}
