//! Makes a failing story short: what is taken out and does not matter stays out.
//!
//! Choices are keyed, so the rest of the story goes on as before when a step is gone.

use crate::net::NodeIndex;
use crate::story::{Outcome, Step, Story, Variant, run};

/// A story that still fails.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left.
    pub story: Story,
    /// How it fails.
    pub outcome: Outcome,
    /// How many stories were told to find it.
    pub runs: u32,
}

/// Does it fail by the same promise?
pub fn fails_alike(outcome: &Outcome, oracle: &str) -> bool {
    outcome.violations.iter().any(|violation| violation.oracle == oracle)
}

struct Shrinker<'a> {
    variant: Variant,
    oracle: &'static str,
    runs: u32,
    runs_max: u32,
    progress: &'a mut dyn FnMut(u32, usize),
    best: (Story, Outcome),
}

/// Shrinks a story that fails by `oracle` in a variant, in at most `runs_max` runs. `progress` hears of each run and
/// of how many steps are left.
pub fn shrink(
    story: &Story,
    variant: Variant,
    failed: &Outcome,
    oracle: &'static str,
    runs_max: u32,
    progress: &mut dyn FnMut(u32, usize),
) -> Shrunk {
    let best = (story.clone(), failed.clone());
    let mut shrinker = Shrinker { variant, oracle, runs: 0, runs_max, progress, best };
    loop {
        let before = (shrinker.best.0.steps.len(), shrinker.best.0.channels.len(), shrinker.best.0.names.len());
        shrinker.drop_steps();
        shrinker.drop_channels();
        shrinker.drop_nodes();
        shrinker.simplify();
        let after = (shrinker.best.0.steps.len(), shrinker.best.0.channels.len(), shrinker.best.0.names.len());
        if before == after || shrinker.is_spent() {
            break;
        }
    }
    let (story, outcome) = shrinker.best;
    Shrunk { story, outcome, runs: shrinker.runs }
}

impl Shrinker<'_> {
    fn is_spent(&self) -> bool {
        self.runs >= self.runs_max
    }

    /// Keeps the candidate if it still fails.
    fn attempt(&mut self, candidate: Story) -> bool {
        if self.is_spent() {
            return false;
        }
        self.runs += 1;
        let outcome = run(&candidate, self.variant);
        let fails = fails_alike(&outcome, self.oracle);
        if fails {
            self.best = (candidate, outcome);
        }
        (self.progress)(self.runs, self.best.0.steps.len());
        fails
    }

    /// Takes out ever smaller pieces, the last ones first: what comes behind the failure goes at once.
    fn drop_steps(&mut self) {
        let mut size = self.best.0.steps.len().div_ceil(2);
        while size > 0 && !self.is_spent() {
            let mut end = self.best.0.steps.len();
            while end > 0 && !self.is_spent() {
                let begin = end.saturating_sub(size);
                let mut candidate = self.best.0.clone();
                candidate.steps.drain(begin..end);
                self.attempt(candidate);
                end = begin;
            }
            size = if size == 1 { 0 } else { size / 2 };
        }
    }

    fn drop_channels(&mut self) {
        for at in (0..self.best.0.channels.len()).rev() {
            let mut candidate = self.best.0.clone();
            candidate.channels.remove(at);
            self.attempt(candidate);
        }
    }

    /// Nodes that nothing names go, the last ones first: the others keep their numbers and with them their choices.
    fn drop_nodes(&mut self) {
        loop {
            let story = &self.best.0;
            let last = story.names.len() - 1;
            if last == 0 || is_named(story, last) {
                return;
            }
            let mut candidate = story.clone();
            candidate.names.pop();
            candidate.options.retain(|(node, ..)| *node != last);
            if !self.attempt(candidate) {
                return;
            }
        }
    }

    fn simplify(&mut self) {
        for at in (0..self.best.0.options.len()).rev() {
            let mut candidate = self.best.0.clone();
            candidate.options.remove(at);
            self.attempt(candidate);
        }
        if self.best.0.jitter_ms > 0 {
            let mut candidate = self.best.0.clone();
            candidate.jitter_ms = 0;
            self.attempt(candidate);
        }
        // Two waits in a row are one, and so are blocks.
        let mut at = 0;
        while at + 1 < self.best.0.steps.len() {
            if let Some(step) = joined(&self.best.0.steps[at], &self.best.0.steps[at + 1]) {
                let mut candidate = self.best.0.clone();
                candidate.steps.splice(at..at + 2, [step]);
                if self.attempt(candidate) {
                    continue;
                }
            }
            at += 1;
        }
    }
}

/// One step for two that are of one kind.
fn joined(first: &Step, second: &Step) -> Option<Step> {
    match (first, second) {
        (Step::Wait(a), Step::Wait(b)) => Some(Step::Wait(a + b)),
        (Step::Mine(a), Step::Mine(b)) => Some(Step::Mine(a + b)),
        _ => None,
    }
}

/// Does anything but the list of nodes and their options name this node?
fn is_named(story: &Story, node: NodeIndex) -> bool {
    let text = story.to_string();
    let mut lines = text.lines().map(|line| line.split_whitespace());
    lines.any(|mut words| {
        let keyword = words.next();
        !matches!(keyword, Some("nodes" | "option" | "title")) && words.any(|word| word == story.names[node])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_one_kind_are_joined() {
        assert_eq!(joined(&Step::Mine(1), &Step::Mine(2)), Some(Step::Mine(3)));
        assert_eq!(joined(&Step::Wait(100), &Step::Wait(1)), Some(Step::Wait(101)));
        assert_eq!(joined(&Step::Mine(1), &Step::Wait(1)), None);
    }
}
