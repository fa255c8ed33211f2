//! Which transactions of a block a node is told of.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{OutPoint, Script, ScriptBuf, Transaction};

use super::block::Block;

/// What a block spends and pays, in order: whoever watches for less than the block holds need not look at all of it.
#[derive(Clone, Debug)]
pub struct BlockIndex {
    block: Arc<Block>,
    /// What is spent, and by which transaction of the block.
    spends: Vec<(OutPoint, u32)>,
    /// Outputs by transaction and place, ordered by their scripts.
    pays: Vec<(u32, u32)>,
}

fn script_of(block: &Block, (index, vout): (u32, u32)) -> &Script {
    &block.txs[index as usize].output[vout as usize].script_pubkey
}

impl BlockIndex {
    /// Reads a block.
    pub fn new(block: Arc<Block>) -> BlockIndex {
        let txs = || (0..).zip(&block.txs);
        let spends = txs().flat_map(|(index, tx)| tx.input.iter().map(move |input| (input.previous_output, index)));
        let pays = txs().flat_map(|(index, tx)| (0..).zip(&tx.output).map(move |(vout, _)| (index, vout)));
        let (mut spends, mut pays): (Vec<_>, Vec<_>) = (spends.collect(), pays.collect());
        spends.sort_unstable();
        pays.sort_unstable_by(|a, b| script_of(&block, *a).cmp(script_of(&block, *b)).then(a.cmp(b)));
        BlockIndex { block, spends, pays }
    }

    /// The block.
    pub fn block(&self) -> &Arc<Block> {
        &self.block
    }
}

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

    /// The transactions of a block that are of interest, by their places in it.
    pub fn wanted(&self, block: &BlockIndex) -> BTreeSet<u32> {
        let mut wanted = BTreeSet::new();
        if self.spends.len() + self.scripts.len() > block.spends.len() + block.pays.len() {
            let txs = (0..).zip(&block.block.txs);
            wanted.extend(txs.filter(|(_, tx)| self.matches(tx)).map(|(index, _)| index));
            return wanted;
        }
        for outpoint in &self.spends {
            let from = block.spends.partition_point(|(spent, _)| spent < outpoint);
            let found = block.spends[from..].iter().take_while(|(spent, _)| spent == outpoint);
            wanted.extend(found.map(|(_, index)| *index));
        }
        for script in &self.scripts {
            let from = block.pays.partition_point(|at| script_of(&block.block, *at) < script.as_script());
            let found = block.pays[from..].iter().take_while(|at| script_of(&block.block, **at) == script.as_script());
            wanted.extend(found.map(|(index, _)| *index));
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use leyden_core::amount::Sat;
    use leyden_core::command::Watch;

    use super::*;
    use crate::chain::Chain;

    #[test]
    fn few_watches_and_many_find_the_same() {
        let mut chain = Chain::default();
        let script = |number: u8| ScriptBuf::from_bytes(vec![0x51, 1, number]);
        let outpoints: Vec<OutPoint> = (0..40).map(|number| chain.gift(script(number % 20), Sat(10_000))).collect();
        let hash = chain.mine().tip.hash;
        let block = BlockIndex::new(Arc::clone(chain.block_by_hash(&hash).expect("it was just mined")));
        let source = block.block.txs[1].input[0].previous_output;
        for scripts in [0..1, 3..7, 0..20, 5..200] {
            let mut filter = Filter::default();
            scripts.for_each(|number| filter.take(Watch::Script(&script(number))));
            filter.take(Watch::Spend(outpoints[0]));
            filter.take(Watch::Spend(source));
            let txs = (0..).zip(&block.block.txs);
            let expected: BTreeSet<u32> = txs.filter(|(_, tx)| filter.matches(tx)).map(|(index, _)| index).collect();
            assert_eq!(filter.wanted(&block), expected);
            assert!(expected.contains(&1));
        }
    }
}
