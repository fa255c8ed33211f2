//! Which transactions of a block a node is told of.

use std::collections::BTreeSet;

use bitcoin::{OutPoint, ScriptBuf, Transaction};

/// What a node wants to see in blocks.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    spends: BTreeSet<OutPoint>,
    scripts: BTreeSet<ScriptBuf>,
}

impl Filter {
    /// Takes in one `Watch`.
    pub fn take(&mut self, watch: leyden_core::command::Watch<'_>) {
        use leyden_core::command::Watch;
        match watch {
            Watch::Spend(outpoint) => drop(self.spends.insert(outpoint)),
            Watch::Unspend(outpoint) => drop(self.spends.remove(&outpoint)),
            Watch::Script(script) => drop(self.scripts.insert(script.to_owned())),
        }
    }

    /// Is it of interest?
    pub fn matches(&self, tx: &Transaction) -> bool {
        tx.input.iter().any(|input| self.spends.contains(&input.previous_output))
            || tx.output.iter().any(|output| self.scripts.contains(&output.script_pubkey))
    }
}
