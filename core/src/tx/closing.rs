//! Closing transactions: the channel ends by agreement.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use secp256k1::{Message, SECP256K1};

use super::commitment::Funding;
use super::sighash;
use crate::amount::{Msat, Sat};
use crate::ids::Sig;
use crate::side::{PerSide, Side};

/// What two signatures of 72 bytes with their sighash, the 2-of-2 script and the counts weigh (BOLT 3, appendix A).
const WITNESS_WEIGHT: u64 = 2 + 1 + 1 + 2 * (1 + 72) + 1 + 71;

/// Everything but inputs' witness and outputs: version, counts, the input, lock time.
const BASE_BYTES: u64 = 4 + 1 + 41 + 1 + 4;

/// Who gets what, before the fee.
#[derive(Clone, Copy, Debug)]
pub struct ClosingInput<'a> {
    /// What is closed.
    pub funding: &'a Funding,
    /// All that belongs to each side: no HTLC is left.
    pub balance: PerSide<Msat>,
    /// Where each side wants it.
    pub scripts: PerSide<&'a Script>,
    /// Who pays the fee: the opener in the legacy protocol, the closer in the simple one.
    pub payer: Side,
    /// What the payer pays.
    pub fee: Sat,
}

/// Which outputs a simple close keeps: one TLV of `closing_complete` each (BOLT 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClosingOutputs {
    /// `closer_output_only`
    CloserOnly,
    /// `closee_output_only`
    CloseeOnly,
    /// `closer_and_closee_outputs`
    Both,
}

/// A closing transaction and what both sides sign of it.
#[derive(Clone, Debug)]
pub struct ClosingTx {
    /// Unsigned.
    pub tx: Transaction,
    /// What both funding keys sign.
    pub sighash: Message,
    /// What it spends.
    pub funding: Funding,
    /// What each side gets; zero where it has no output.
    pub outputs: PerSide<Sat>,
}

impl<'a> ClosingInput<'a> {
    /// What each side gets after the fee; `None` if the payer cannot pay it.
    fn shares(&self) -> Option<PerSide<Sat>> {
        let mut shares = PerSide { local: self.balance.local.sat_floor(), remote: self.balance.remote.sat_floor() };
        shares[self.payer] = shares[self.payer].checked_sub(self.fee)?;
        Some(shares)
    }

    /// BOLT 3, "Legacy Closing Transaction": outputs below `dust_limit` (that of the side that signs) are dropped.
    /// `None` if the payer cannot pay the fee or nothing is left.
    pub fn legacy(&self, dust_limit: Sat) -> Option<ClosingTx> {
        let mut shares = self.shares()?;
        for side in [Side::Local, Side::Remote] {
            if shares[side] < dust_limit {
                shares[side] = Sat::ZERO;
            }
        }
        let kept = |side: Side| (shares[side] > Sat::ZERO).then_some((shares[side], self.scripts[side]));
        self.build([kept(Side::Local), kept(Side::Remote)], shares, Sequence::MAX, 0)
    }

    /// BOLT 3, "Closing Transaction": replaceable, with the lock time that the closer chose. The payer is the closer.
    pub fn simple(&self, kept: ClosingOutputs, lock_time: u32) -> Option<ClosingTx> {
        let mut shares = self.shares()?;
        let closer = self.payer;
        let keeps = |side: Side| match kept {
            ClosingOutputs::Both => true,
            ClosingOutputs::CloserOnly => side == closer,
            ClosingOutputs::CloseeOnly => side != closer,
        };
        for side in [Side::Local, Side::Remote] {
            // BOLT 2: an OP_RETURN output exists, but holds nothing.
            if !keeps(side) || self.scripts[side].is_op_return() {
                shares[side] = Sat::ZERO;
            }
        }
        let output = |side: Side| keeps(side).then_some((shares[side], self.scripts[side]));
        let outputs = [output(Side::Local), output(Side::Remote)];
        self.build(outputs, shares, Sequence::ENABLE_RBF_NO_LOCKTIME, lock_time)
    }

    fn build(
        &self,
        outputs: [Option<(Sat, &Script)>; 2],
        shares: PerSide<Sat>,
        sequence: Sequence,
        lock_time: u32,
    ) -> Option<ClosingTx> {
        let mut outputs: Vec<(Sat, &Script)> = outputs.into_iter().flatten().collect();
        if outputs.is_empty() {
            return None;
        }
        outputs.sort_unstable();
        let mut serialized = Vec::with_capacity(outputs.len() * 64);
        for (value, script) in &outputs {
            sighash::push_output(&mut serialized, *value, script.as_bytes());
        }
        let sighash = self.funding.sighash(sequence, &serialized, lock_time);
        let tx = Transaction {
            version: Version(sighash::VERSION),
            lock_time: LockTime::from_consensus(lock_time),
            input: vec![TxIn {
                previous_output: self.funding.outpoint,
                script_sig: ScriptBuf::new(),
                sequence,
                witness: Witness::new(),
            }],
            output: outputs
                .into_iter()
                .map(|(value, script)| TxOut { value: value.to_amount(), script_pubkey: script.to_owned() })
                .collect(),
        };
        Some(ClosingTx { tx, sighash, funding: *self.funding, outputs: shares })
    }
}

impl ClosingTx {
    /// Its id.
    pub fn txid(&self) -> Txid {
        self.tx.compute_txid()
    }

    /// Whether `signer`'s funding key signed this very transaction.
    pub fn is_signed_by(&self, signer: Side, sig: &Sig) -> bool {
        let key = &self.funding.keys[signer];
        sig.parse().is_ok_and(|signature| SECP256K1.verify_ecdsa(&self.sighash, &signature, key).is_ok())
    }

    /// The transaction, ready for the chain.
    pub fn signed(&self, sigs: PerSide<Sig>) -> Transaction {
        let mut tx = self.tx.clone();
        tx.input[0].witness = self.funding.witness(sigs);
        tx
    }
}

/// Weight of a signed closing transaction with outputs to these scripts.
pub fn closing_weight<'a>(scripts: impl Iterator<Item = &'a Script>) -> u64 {
    // The count of outputs and the length of each script take one byte: there are two outputs of at most 83 bytes.
    let outputs: u64 = scripts.map(|script| 8 + 1 + script.len() as u64).sum();
    4 * (BASE_BYTES + outputs) + WITNESS_WEIGHT
}
