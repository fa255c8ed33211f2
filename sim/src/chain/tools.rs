//! Money for tests, and tricks for adversaries.

use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use leyden_core::amount::Sat;

use super::Chain;
use super::block::{Block, Fill};
use super::policy::{anyone_can_spend, anyones_witness};
use super::refused::Refused;
use super::reorg::gift_entry;
use super::verify::COINBASE_MATURITY;

/// What the faucet pays, in satoshi per vbyte.
const FAUCET_SAT_PER_VB: u64 = 2;
/// How many coins the faucet takes at once, so that its transactions stay small.
const FAUCET_COINS: usize = 100;

impl Chain {
    /// A transaction from nowhere that pays this script, in the mempool. It costs no more than its place in a block,
    /// but no other node of the network would take a block with it.
    pub fn gift(&mut self, script: ScriptBuf, amount: Sat) -> OutPoint {
        let source = format!("gift {}", self.gifts.len() + 1);
        let source = Txid::from_raw_hash(sha256d::Hash::hash(source.as_bytes()));
        let tx = transaction(
            vec![(OutPoint::new(source, 0), Witness::new())],
            vec![TxOut { value: Amount::from_sat(amount.0), script_pubkey: script }],
        );
        let txid = tx.compute_txid();
        self.gifts.insert(txid);
        self.pool.insert(gift_entry(Arc::new(tx), self.time_s));
        OutPoint::new(txid, 0)
    }

    /// A real transaction that pays this script out of coinbases that anyone can spend, in the mempool. The first
    /// output is what was asked for.
    pub fn faucet(&mut self, script: ScriptBuf, amount: Sat) -> Result<OutPoint, Refused> {
        let source = anyone_can_spend();
        let next_height = self.next().height;
        let mut inputs = Vec::new();
        let mut in_sat = 0;
        let mut tx = transaction(Vec::new(), vec![TxOut { value: Amount::from_sat(amount.0), script_pubkey: script }]);
        let mut fee_sat = 0;
        for (outpoint, coin) in self.ledger.coins_of(&source) {
            let is_ripe = !coin.is_coinbase || next_height - coin.height >= COINBASE_MATURITY;
            if in_sat >= amount.0 + fee_sat && in_sat > 0 || inputs.len() == FAUCET_COINS {
                break;
            }
            if is_ripe && self.pool.spender(&outpoint).is_none() {
                in_sat += coin.output.value.to_sat();
                inputs.push((outpoint, anyones_witness()));
                // An input of this kind and, once, the rest of the transaction.
                fee_sat = FAUCET_SAT_PER_VB * (43 * inputs.len() as u64 + 200);
            }
        }
        let change_sat = in_sat.checked_sub(amount.0 + fee_sat).ok_or(Refused::FaucetDry { wanted_sat: amount.0 })?;
        tx.input = transaction(inputs, Vec::new()).input;
        let change = TxOut { value: Amount::from_sat(change_sat), script_pubkey: source };
        if !super::standard::is_dust(&change, &self.policy) {
            tx.output.push(change);
        }
        self.broadcast(&tx)?;
        Ok(OutPoint::new(tx.compute_txid(), 0))
    }

    /// Mines just these transactions, whatever waits: who has hash power can spend twice. What they conflict with
    /// leaves the mempool; what a block holds already cannot be spent again without [`Chain::reorg`].
    pub fn mine_exactly(&mut self, txs: &[Transaction]) -> Result<&Block, Refused> {
        self.mine_block(&Fill::Exactly(txs.to_vec()))
    }

    /// Mines a block that is as heavy as blocks may be, most of it one item of a witness: nobody relays such a
    /// transaction, and consensus forbids it not (an output of a version that nobody knows can be spent by anything).
    pub fn mine_giant(&mut self) {
        const WITNESS_BYTES: usize = 3_900_000;
        const UNKNOWN_VERSION: [u8; 4] = [0x60, 0x02, 0x4e, 0x73];
        let source = self.gift(ScriptBuf::from_bytes(UNKNOWN_VERSION.to_vec()), Sat(100_000));
        self.mine();
        let witness = Witness::from_slice(&[vec![0x5a; WITNESS_BYTES]]);
        let output = TxOut { value: Amount::from_sat(10_000), script_pubkey: anyone_can_spend() };
        let giant = transaction(vec![(source, witness)], vec![output]);
        self.mine_exactly(&[giant]).expect("whoever mines may put it into a block");
    }

    /// Takes so many blocks back as a transaction is deep and mines another one in its place, in a branch that is one
    /// block longer.
    pub fn double_spend(&mut self, victim: &Txid, instead: &Transaction) -> Result<super::Reorg, Refused> {
        let depth = self.confirmations(victim);
        let mut branch = vec![Fill::Exactly(vec![instead.clone()])];
        branch.resize(depth as usize + 1, Fill::Best);
        self.reorg(depth, &branch)
    }

    /// Whom the coinbases pay from now on.
    pub fn set_miner(&mut self, script: ScriptBuf) {
        self.miner = script;
    }

    /// Takes a transaction out of the mempool with all that depends on it, as if this node had never heard of it.
    pub fn forget(&mut self, txid: &Txid) {
        self.pool.remove_with_descendants(txid);
    }
}

fn transaction(inputs: Vec<(OutPoint, Witness)>, output: Vec<TxOut>) -> Transaction {
    let input = inputs.into_iter().map(|(previous_output, witness)| TxIn {
        previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness,
    });
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: input.collect(), output }
}
