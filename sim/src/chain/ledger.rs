//! The blocks of the chain and what they leave unspent, with an index for each question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bitcoin::{BlockHash, OutPoint, Script, ScriptBuf, Transaction, TxOut, Txid};

use super::block::{Block, Place, genesis};

/// How many blocks the median time is taken of (BIP 113).
const MEDIAN_BLOCKS: usize = 11;

/// An output that is not spent by a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// The output.
    pub output: TxOut,
    /// The height of its block.
    pub height: u32,
    /// Does it come from a coinbase?
    pub is_coinbase: bool,
}

#[derive(Clone, Debug, Default)]
struct Holding {
    coins: BTreeSet<OutPoint>,
    sat: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Ledger {
    blocks: Vec<Arc<Block>>,
    /// What each block spent, so that it can be taken back.
    undo: Vec<Vec<(OutPoint, Coin)>>,
    /// Median time past at each height.
    mtp_s: Vec<u32>,
    /// All blocks that ever were, those of lost branches too: whoever followed one still asks for it.
    known: BTreeMap<BlockHash, Arc<Block>>,
    coins: BTreeMap<OutPoint, Coin>,
    holdings: BTreeMap<ScriptBuf, Holding>,
    places: BTreeMap<Txid, Place>,
    spent_by: BTreeMap<OutPoint, Txid>,
}

impl Ledger {
    pub(super) fn new() -> Ledger {
        let genesis = genesis();
        let mut ledger = Ledger {
            blocks: Vec::new(),
            undo: Vec::new(),
            mtp_s: vec![genesis.header.time],
            known: BTreeMap::from([(genesis.tip.hash, Arc::clone(&genesis))]),
            coins: BTreeMap::new(),
            holdings: BTreeMap::new(),
            places: BTreeMap::new(),
            spent_by: BTreeMap::new(),
        };
        // The output of the genesis block is not among those that can be spent.
        ledger.blocks.push(genesis);
        ledger.undo.push(Vec::new());
        ledger
    }

    pub(super) fn last(&self) -> &Arc<Block> {
        self.blocks.last().expect("there is a first block")
    }

    pub(super) fn height(&self) -> u32 {
        self.last().tip.height.0
    }

    pub(super) fn block(&self, height: u32) -> Option<&Arc<Block>> {
        self.blocks.get(height as usize)
    }

    pub(super) fn known(&self, hash: &BlockHash) -> Option<&Arc<Block>> {
        self.known.get(hash)
    }

    /// The median time of the eleven blocks up to this height.
    pub(super) fn mtp_s(&self, height: u32) -> u32 {
        self.mtp_s[height as usize]
    }

    pub(super) fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    pub(super) fn place(&self, txid: &Txid) -> Option<Place> {
        self.places.get(txid).copied()
    }

    pub(super) fn tx(&self, txid: &Txid) -> Option<&Arc<Transaction>> {
        let place = self.place(txid)?;
        Some(&self.blocks[place.height.0 as usize].txs[place.index as usize])
    }

    pub(super) fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spent_by.get(outpoint).copied()
    }

    pub(super) fn balance_sat(&self, script: &Script) -> u64 {
        self.holdings.get(script).map_or(0, |holding| holding.sat)
    }

    pub(super) fn coins_of(&self, script: &Script) -> impl Iterator<Item = (OutPoint, &Coin)> {
        let holding = self.holdings.get(script);
        holding.into_iter().flat_map(|holding| &holding.coins).map(|outpoint| (*outpoint, &self.coins[outpoint]))
    }

    pub(super) fn unspent(&self) -> &BTreeMap<OutPoint, Coin> {
        &self.coins
    }

    /// Appends a block that was checked.
    pub(super) fn connect(&mut self, block: Arc<Block>) {
        let height = block.tip.height;
        assert_eq!(block.header.prev_blockhash, self.last().tip.hash, "a block is built on the last one");
        let mut undo = Vec::new();
        for (index, tx) in (0..).zip(&block.txs) {
            let txid = tx.compute_txid();
            for input in &tx.input {
                // A coinbase and a gift spend nothing that is.
                if let Some(coin) = self.remove_coin(&input.previous_output) {
                    undo.push((input.previous_output, coin));
                }
                if index > 0 {
                    self.spent_by.insert(input.previous_output, txid);
                }
            }
            for (vout, output) in (0..).zip(&tx.output) {
                if !output.script_pubkey.is_op_return() {
                    let coin = Coin { output: output.clone(), height: height.0, is_coinbase: index == 0 };
                    self.insert_coin(OutPoint::new(txid, vout), coin);
                }
            }
            self.places.insert(txid, Place { height, index });
        }
        self.undo.push(undo);
        self.known.insert(block.tip.hash, Arc::clone(&block));
        self.blocks.push(block);
        let mut times: Vec<u32> = self.blocks.iter().rev().take(MEDIAN_BLOCKS).map(|block| block.header.time).collect();
        times.sort_unstable();
        self.mtp_s.push(times[times.len() / 2]);
    }

    /// Takes the last block back; never the genesis block.
    pub(super) fn disconnect(&mut self) -> Option<Arc<Block>> {
        if self.blocks.len() == 1 {
            return None;
        }
        let block = self.blocks.pop().expect("there is more than one");
        self.mtp_s.pop();
        for tx in &block.txs {
            let txid = tx.compute_txid();
            for (vout, _) in (0..).zip(&tx.output) {
                self.remove_coin(&OutPoint::new(txid, vout));
            }
            for input in &tx.input {
                self.spent_by.remove(&input.previous_output);
            }
            self.places.remove(&txid);
        }
        for (outpoint, coin) in self.undo.pop().expect("there is one for each block") {
            // What was created in this very block does not come back.
            if coin.height < block.tip.height.0 {
                self.insert_coin(outpoint, coin);
            }
        }
        Some(block)
    }

    fn insert_coin(&mut self, outpoint: OutPoint, coin: Coin) {
        let holding = self.holdings.entry(coin.output.script_pubkey.clone()).or_default();
        holding.sat += coin.output.value.to_sat();
        holding.coins.insert(outpoint);
        self.coins.insert(outpoint, coin);
    }

    fn remove_coin(&mut self, outpoint: &OutPoint) -> Option<Coin> {
        let coin = self.coins.remove(outpoint)?;
        let script = coin.output.script_pubkey.as_script();
        let holding = self.holdings.get_mut(script).expect("each coin is in its holding");
        holding.sat -= coin.output.value.to_sat();
        holding.coins.remove(outpoint);
        if holding.coins.is_empty() {
            self.holdings.remove(script);
        }
        Some(coin)
    }
}
