//! Paying for transactions that do not pay for themselves: the wallet adds inputs and change behind what is there.
//!
//! BOLT 3: with anchors, HTLC transactions have no fee of their own and are signed so that inputs and outputs can be
//! added; a commitment is bumped by a child that spends our anchor.

use bitcoin::{Psbt, Transaction, TxIn, TxOut, VarInt};

use super::fund::{Funded, TX_BASE_WEIGHT, candidate, change_terms};
use super::select::{Candidate, fee_ceil, usable};
use super::{Coin, InputChoice, Wallet, WalletError};
use crate::amount::Sat;
use crate::chain::FEERATE_FLOOR_PER_KW;
use crate::command::Sink;

/// An unconfirmed transaction that is to be mined together with its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// What it weighs.
    pub weight: u64,
    /// What it pays itself.
    pub fee: Sat,
}

/// A transaction that the wallet is to pay for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carry<'a> {
    /// The transaction, unsigned. Its inputs and outputs keep their places; it may have no outputs.
    pub tx: &'a Transaction,
    /// What its inputs spend, in their order.
    pub spent: &'a [TxOut],
    /// What its inputs weigh, witnesses included.
    pub inputs_weight: u64,
    /// The unconfirmed transaction that it spends from, if it is there to bump it.
    pub parent: Option<Parent>,
    /// What it, together with its parent, shall pay.
    pub feerate_per_kw: u32,
}

impl Carry<'_> {
    /// The fee at a weight of the transaction: never so low that it would not be relayed, whatever the parent pays.
    fn fee(&self, weight: u64) -> Sat {
        let parent = self.parent.unwrap_or(Parent { weight: 0, fee: Sat::ZERO });
        let together = fee_ceil(self.feerate_per_kw, weight + parent.weight).saturating_sub(parent.fee);
        together.max(fee_ceil(FEERATE_FLOOR_PER_KW, weight))
    }
}

impl Wallet {
    /// Adds confirmed coins, the largest first, and change, until the fee is right. The caller puts the witnesses of its
    /// own inputs in place, has the wallet sign the rest, and broadcasts. To replace an earlier one, [`Wallet::abandon`]
    /// that first: then its coins can be used again.
    pub fn carry(&mut self, carry: &Carry<'_>, out: &mut dyn Sink) -> Result<Funded, WalletError> {
        assert_eq!(carry.spent.len(), carry.tx.input.len(), "every input spends something");
        let coins = self.candidates(InputChoice::Any { min_confirmations: 1 })?;
        let candidates: Vec<Candidate> = coins.iter().map(|(_, coin): &(_, Coin)| candidate(coin, 0)).collect();
        let sum = |outputs: &[TxOut]| outputs.iter().map(|output| Sat::from(output.value)).sum::<Sat>();
        let outputs = sum(&carry.tx.output);
        let outputs_weight = carry.tx.output.iter().map(|output| output.weight().to_wu()).sum::<u64>();
        let terms = change_terms(carry.feerate_per_kw, carry.tx.output.len());
        let weigh = |inputs: usize, coins_weight: u64| {
            let longer_count = VarInt((carry.tx.input.len() + inputs) as u64).size() as u64 - 1;
            let count = VarInt(carry.tx.output.len() as u64).size() as u64;
            TX_BASE_WEIGHT + 4 * (longer_count + count) + carry.inputs_weight + outputs_weight + coins_weight
        };
        let order = usable(&candidates, carry.feerate_per_kw);
        let (mut held, mut coins_weight, mut added) = (sum(carry.spent), 0, Vec::new());
        let mut next = order.iter();
        let (change, fee, weight) = loop {
            let bare = weigh(added.len(), coins_weight);
            let with_change = bare + terms.weight;
            let fee = carry.fee(with_change);
            let change = held.saturating_sub(outputs + fee);
            if change >= terms.minimum {
                break (Some(change), fee, with_change);
            }
            let needed = outputs + carry.fee(bare);
            if held >= needed && !carry.tx.output.is_empty() {
                break (None, held - outputs, bare);
            }
            let Some(&index) = next.next() else {
                return Err(WalletError::CannotAfford { needed: needed.max(outputs + fee), available: held });
            };
            held += candidates[index].amount;
            coins_weight += candidates[index].weight;
            added.push(coins[index].0);
        };
        let mut tx = carry.tx.clone();
        tx.input.extend(added.iter().map(|outpoint| TxIn {
            previous_output: *outpoint,
            sequence: bitcoin::Sequence::ENABLE_RBF_NO_LOCKTIME,
            ..TxIn::default()
        }));
        let outputs_at = (0..tx.output.len() as u32).collect();
        let change_at = change.map(|_| tx.output.len() as u32);
        tx.output.extend(change.map(|amount| self.change_output(amount, out)));
        let mut psbt = Psbt::from_unsigned_tx(tx).expect("a transaction to be carried is unsigned");
        for (input, spent) in psbt.inputs.iter_mut().zip(carry.spent) {
            input.witness_utxo = Some(spent.clone());
        }
        self.describe(&mut psbt);
        Ok(Funded { psbt, outputs_at, change_at, fee, weight })
    }
}
