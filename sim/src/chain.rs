//! A chain in memory: a mempool, blocks, and the outputs that are not spent.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::transaction::Version;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use leyden_core::amount::Sat;
use leyden_core::chain::Tip;
use leyden_core::ids::BlockHeight;

/// Where the chain begins: high enough that heights do not look like other small numbers.
const HEIGHT_START: u32 = 100;

/// Why the mempool refuses a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An input does not exist, or is spent.
    MissingInput(OutPoint),
    /// An input is spent by another transaction of the mempool.
    Conflict(OutPoint),
    /// Its lock time, or that of an input, has not come.
    Locked,
    /// It pays out more than its inputs are worth.
    Inflation,
    /// An input's script does not allow it.
    Script {
        /// Which input.
        input: usize,
        /// What the interpreter says.
        detail: String,
    },
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where it stands.
    pub tip: Tip,
    /// What it holds.
    pub txs: Vec<Transaction>,
}

/// The chain.
#[derive(Debug)]
pub struct Chain {
    blocks: Vec<Block>,
    unspent: BTreeMap<OutPoint, (TxOut, u32)>,
    spent_by: BTreeMap<OutPoint, Txid>,
    mempool: Vec<Transaction>,
    gifts: u32,
}

impl Default for Chain {
    fn default() -> Chain {
        let tip = Tip { height: BlockHeight(HEIGHT_START), hash: block_hash(HEIGHT_START) };
        Chain {
            blocks: vec![Block { tip, txs: Vec::new() }],
            unspent: BTreeMap::new(),
            spent_by: BTreeMap::new(),
            mempool: Vec::new(),
            gifts: 0,
        }
    }
}

fn block_hash(height: u32) -> BlockHash {
    BlockHash::from_raw_hash(sha256d::Hash::hash(&height.to_be_bytes()))
}

impl Chain {
    /// The last block's place.
    pub fn tip(&self) -> Tip {
        self.blocks.last().expect("there is a first block").tip
    }

    /// The block at this height.
    pub fn block(&self, height: BlockHeight) -> Option<&Block> {
        self.blocks.get(height.0.checked_sub(HEIGHT_START)? as usize)
    }

    /// The block of this name.
    pub fn block_by_hash(&self, hash: BlockHash) -> Option<&Block> {
        self.blocks.iter().rev().find(|block| block.tip.hash == hash)
    }

    /// The block before this one.
    pub fn parent(&self, tip: Tip) -> Option<Tip> {
        Some(self.block(BlockHeight(tip.height.0 - 1))?.tip)
    }

    /// Transactions that wait for a block.
    pub fn mempool(&self) -> &[Transaction] {
        &self.mempool
    }

    /// The transaction that spends an output, in a block or in the mempool.
    pub fn spender(&self, outpoint: OutPoint) -> Option<Txid> {
        self.spent_by.get(&outpoint).copied()
    }

    /// What lies on a script, in blocks.
    pub fn balance(&self, script: &bitcoin::Script) -> Sat {
        let outputs = self.unspent.values().filter(|(output, _)| output.script_pubkey.as_script() == script);
        Sat(outputs.map(|(output, _)| output.value.to_sat()).sum())
    }

    /// A transaction from nowhere that pays this script, in the mempool.
    pub fn gift(&mut self, script: ScriptBuf, amount: Sat) -> OutPoint {
        self.gifts += 1;
        let source = Txid::from_raw_hash(sha256d::Hash::hash(format!("gift {}", self.gifts).as_bytes()));
        let tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::new(source, 0),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: vec![TxOut { value: Amount::from_sat(amount.0), script_pubkey: script }],
        };
        let outpoint = OutPoint::new(tx.compute_txid(), 0);
        self.mempool.push(tx);
        outpoint
    }

    /// Takes a transaction into the mempool. One that is there or in a block already is fine.
    pub fn broadcast(&mut self, tx: &Transaction) -> Result<(), Refused> {
        let txid = tx.compute_txid();
        if tx.input.iter().all(|input| self.spent_by.get(&input.previous_output) == Some(&txid)) {
            return Ok(());
        }
        let next = self.tip().height.0 + 1;
        if matches!(tx.lock_time, LockTime::Blocks(height) if height.to_consensus_u32() >= next) {
            return Err(Refused::Locked);
        }
        let mut spent = Vec::with_capacity(tx.input.len());
        for input in &tx.input {
            let outpoint = input.previous_output;
            if self.spent_by.contains_key(&outpoint) {
                return Err(Refused::Conflict(outpoint));
            }
            let (output, height) = self.output(outpoint).ok_or(Refused::MissingInput(outpoint))?;
            // BIP 68: a relative lock time counts from the block of the output.
            if let Some(bitcoin::relative::LockTime::Blocks(blocks)) = input.sequence.to_relative_lock_time()
                && height.unwrap_or(next) + u32::from(blocks.value()) > next
            {
                return Err(Refused::Locked);
            }
            spent.push(output);
        }
        let value_in: u64 = spent.iter().map(|output| output.value.to_sat()).sum();
        let value_out: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
        if value_out > value_in {
            return Err(Refused::Inflation);
        }
        verify(tx, &spent)?;
        for input in &tx.input {
            self.spent_by.insert(input.previous_output, txid);
        }
        self.mempool.push(tx.clone());
        Ok(())
    }

    fn output(&self, outpoint: OutPoint) -> Option<(TxOut, Option<u32>)> {
        if let Some((output, height)) = self.unspent.get(&outpoint) {
            return Some((output.clone(), Some(*height)));
        }
        let parent = self.mempool.iter().find(|tx| tx.compute_txid() == outpoint.txid)?;
        Some((parent.output.get(outpoint.vout as usize)?.clone(), None))
    }

    /// Puts the whole mempool into a block.
    pub fn mine(&mut self) -> &Block {
        let height = self.tip().height.0 + 1;
        let txs = std::mem::take(&mut self.mempool);
        for tx in &txs {
            let txid = tx.compute_txid();
            for input in &tx.input {
                self.unspent.remove(&input.previous_output);
            }
            for (vout, output) in (0..).zip(&tx.output) {
                self.unspent.insert(OutPoint::new(txid, vout), (output.clone(), height));
            }
        }
        self.blocks.push(Block { tip: Tip { height: BlockHeight(height), hash: block_hash(height) }, txs });
        self.blocks.last().expect("just pushed")
    }
}

/// Runs the scripts of all inputs, as the network would.
fn verify(tx: &Transaction, spent: &[TxOut]) -> Result<(), Refused> {
    use bitcoinconsensus::{Utxo, VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT};
    let bytes = bitcoin::consensus::serialize(tx);
    let utxos: Vec<Utxo> = spent
        .iter()
        .map(|output| Utxo {
            script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: output.script_pubkey.len() as u32,
            value: output.value.to_sat() as i64,
        })
        .collect();
    for (input, output) in spent.iter().enumerate() {
        let script = output.script_pubkey.as_bytes();
        let flags = VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT;
        bitcoinconsensus::verify_with_flags(script, output.value.to_sat(), &bytes, Some(&utxos), input, flags)
            .map_err(|error| Refused::Script { input, detail: format!("{error:?}") })?;
    }
    Ok(())
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
}
