//! What the core watches.

use std::collections::HashSet;

use bitcoin::{OutPoint, Script, ScriptBuf, Transaction, Txid};
use leyden_core::command::Watch;

/// Outputs and scripts to find in blocks.
///
/// Hash sets with random state are fine here: nothing depends on their order.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    outpoints: HashSet<OutPoint>,
    scripts: HashSet<ScriptBuf>,
}

impl Filter {
    /// Does what the core says.
    pub fn apply(&mut self, watch: &Watch<'_>) {
        match watch {
            Watch::Spend(outpoint) => _ = self.outpoints.insert(*outpoint),
            Watch::Script(script) => self.watch_script(script),
            Watch::Unspend(outpoint) => _ = self.outpoints.remove(outpoint),
        }
    }

    fn watch_script(&mut self, script: &Script) {
        if !self.scripts.contains(script) {
            self.scripts.insert(script.to_owned());
        }
    }

    /// How many outputs and scripts there are.
    pub fn len(&self) -> usize {
        self.outpoints.len() + self.scripts.len()
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a block.
    pub(crate) fn block(&self) -> BlockFilter<'_> {
        BlockFilter { filter: self, matched: HashSet::new() }
    }
}

/// The filter over one block.
///
/// What spends a transaction that matched in the same block matches as well: the core could not ask for that in time,
/// and a commitment and what claims it may well come in one block.
pub(crate) struct BlockFilter<'f> {
    filter: &'f Filter,
    matched: HashSet<Txid>,
}

impl BlockFilter<'_> {
    pub(crate) fn takes(&mut self, tx: &Transaction) -> bool {
        let spends = |outpoint: &OutPoint| {
            self.filter.outpoints.contains(outpoint)
                || (!self.matched.is_empty() && self.matched.contains(&outpoint.txid))
        };
        let is_match = tx.input.iter().any(|input| spends(&input.previous_output))
            || tx.output.iter().any(|output| self.filter.scripts.contains(output.script_pubkey.as_script()));
        if is_match {
            self.matched.insert(tx.compute_txid());
        }
        is_match
    }
}
