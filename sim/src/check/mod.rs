//! The checkers: they watch a run from outside and do not trust the books of the nodes.
//!
//! `Checks` sees everything that nodes say while a world runs; `judge` looks at a story that has come to its end. Both
//! name the promise that is broken: `docs/simulation.md` lists them.

mod judge;
mod wire;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Transaction;
use leyden_core::command::Level;

pub(crate) use judge::{judge, judge_deadlines};

use self::wire::Talk;
pub(crate) use self::wire::is_commitment;
use self::words::Words;
use crate::net::NodeIndex;

/// More violations than anybody reads.
const VIOLATIONS_MAX: usize = 50;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in the world's time.
    pub at_ms: u64,
    /// Which promise is broken.
    pub oracle: &'static str,
    /// By whom.
    pub node: NodeIndex,
    /// What happened.
    pub text: String,
}

/// All checkers of a world.
pub struct Checks {
    violations: Vec<Violation>,
    /// Nodes that need not keep the rules.
    bad: BTreeSet<NodeIndex>,
    /// The story has begun: from now on channels stay open.
    has_begun: bool,
    closes_allowed: bool,
    somebody_closed: bool,
    warnings: BTreeMap<NodeIndex, String>,
    talk: Talk,
    words: Words,
}

impl Checks {
    pub(crate) fn new(_count: usize) -> Checks {
        Checks {
            violations: Vec::new(),
            bad: BTreeSet::new(),
            has_begun: false,
            closes_allowed: false,
            somebody_closed: false,
            warnings: BTreeMap::new(),
            talk: Talk::default(),
            words: Words::default(),
        }
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// This node does not keep the rules.
    pub fn expect_nothing_of(&mut self, node: NodeIndex) {
        self.bad.insert(node);
    }

    /// Does it not?
    pub fn is_bad(&self, node: NodeIndex) -> bool {
        self.bad.contains(&node)
    }

    /// Is somebody there who does not keep the rules?
    pub fn is_anyone_bad(&self) -> bool {
        !self.bad.is_empty()
    }

    /// From now on no channel is closed but by its owner's wish, unless that is allowed.
    pub fn begin(&mut self, closes_allowed: bool) {
        self.has_begun = true;
        self.closes_allowed = closes_allowed;
        self.words.begin();
    }

    /// Somebody wants a channel closed, alone if need be.
    pub fn close_is_wanted(&mut self) {
        self.closes_allowed = true;
    }

    /// Notes a violation.
    pub fn violate(&mut self, at_ms: u64, oracle: &'static str, node: NodeIndex, text: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { at_ms, oracle, node, text });
        }
    }

    /// Has a channel gone on chain by one side's wish?
    pub(crate) fn somebody_closed(&self) -> bool {
        self.somebody_closed
    }

    /// May channels go on chain?
    fn may_close(&self) -> bool {
        !self.has_begun || self.closes_allowed || self.is_anyone_bad()
    }

    pub(crate) fn on_message(&mut self, now_ms: u64, link: u32, from: NodeIndex, to: NodeIndex, message: &[u8]) {
        let is_bad = self.is_bad(from);
        self.words.see(link, (from, to), message, is_bad);
        if is_bad {
            return;
        }
        let may_close = self.may_close();
        if let Err((oracle, text)) = self.talk.see(link, from, to, message, may_close) {
            self.violate(now_ms, oracle, from, text);
        }
    }

    /// O2 and O4: what goes on chain was not revoked, and somebody wanted it there.
    pub(crate) fn on_broadcast(&mut self, now_ms: u64, node: NodeIndex, tx: &Transaction, purpose: &str) {
        self.somebody_closed |= wire::is_commitment(tx);
        if self.is_bad(node) {
            return;
        }
        if let Err(text) = self.talk.see_broadcast(node, tx) {
            self.violate(now_ms, "O2 revoked broadcast", node, text);
        }
        if wire::is_commitment(tx) && !self.may_close() {
            self.violate(
                now_ms,
                "O4 unwanted close",
                node,
                format!("it goes on chain: {purpose}; it last said: {}", self.last_warning(node)),
            );
        }
    }

    pub(crate) fn on_note(&mut self, now_ms: u64, node: NodeIndex, level: Level, note: &str) {
        if level >= Level::Warn {
            self.warnings.insert(node, note.to_owned());
        }
        // An error is a line that somebody must act on: with honest peers there is nothing to act on.
        if level == Level::Error && self.has_begun && !self.is_bad(node) && !self.may_close() {
            self.violate(now_ms, "O4 alarm", node, note.to_owned());
        }
    }

    /// The last thing a node said that was more than news: the reason for what it does next.
    fn last_warning(&self, node: NodeIndex) -> &str {
        self.warnings.get(&node).map_or("nothing", String::as_str)
    }

    pub(crate) fn on_heard(&mut self, link: u32, node: NodeIndex) {
        self.words.heard(link, node);
    }

    /// O5: nobody ends a connection with a peer that answers.
    pub(crate) fn on_cut(&mut self, now_ms: u64, link: u32, node: NodeIndex, other: NodeIndex, reason: &str) {
        if let Err(text) = self.words.cut(link, (node, other), reason)
            && !self.is_bad(node)
        {
            self.violate(now_ms, "O5 liveness", node, text);
        }
    }

    /// How often a node has said a message of this type to another since the story began.
    pub fn said(&self, from: NodeIndex, to: NodeIndex, message_type: u16) -> u64 {
        self.words.count((from, to), message_type)
    }

    /// How many connections a node has ended with another since the story began.
    pub fn cuts(&self, node: NodeIndex, other: NodeIndex) -> u64 {
        self.words.cuts((node, other))
    }

    /// The types of what a node has said to another since its last `init`, the first ones of them.
    pub fn order(&self, from: NodeIndex, to: NodeIndex) -> &[u16] {
        self.words.order((from, to))
    }

    /// What a bad node said last to another, of this type.
    pub(crate) fn last_said(&self, from: NodeIndex, to: NodeIndex, message_type: u16) -> Option<Vec<u8>> {
        self.words.last((from, to), message_type).cloned()
    }

    pub(crate) fn on_halt(&mut self, node: NodeIndex) {
        self.talk.forget_links_of(node);
    }
}
