//! HTLC-timeout and HTLC-success: how the owner of a commitment takes HTLC outputs out of it.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{EcdsaSighashType, ScriptBuf, Transaction, TxIn, TxOut, Witness};
use secp256k1::Message;

use super::commitment::{CommitmentTx, HtlcOutput, bitcoin_sig};
use super::format::HtlcTxKind;
use super::sighash;
use crate::amount::Sat;
use crate::ids::{Preimage, Sig};

/// An HTLC transaction's only output: value, length, P2WSH.
const OUTPUT_BYTES: usize = 8 + 1 + 34;

impl CommitmentTx {
    /// Which transaction takes the HTLC with this index out of its owner's commitment.
    pub fn htlc_tx_kind(&self, index: usize) -> HtlcTxKind {
        if self.htlcs[index].htlc.offered_by == self.owner { HtlcTxKind::Timeout } else { HtlcTxKind::Success }
    }

    fn htlc_tx_value(&self, index: usize) -> Sat {
        let value = self.htlcs[index].htlc.amount.sat_floor();
        // Untrimmed means that the dust limit is left after this fee.
        value - self.format.htlc_tx_fee(self.htlc_tx_kind(index), self.feerate_per_kw)
    }

    fn htlc_tx_lock_time(&self, index: usize) -> u32 {
        match self.htlc_tx_kind(index) {
            HtlcTxKind::Timeout => self.htlcs[index].htlc.cltv_expiry.0,
            HtlcTxKind::Success => 0,
        }
    }

    /// The HTLC transaction, unsigned, without any input of the owner's own.
    pub fn htlc_tx(&self, index: usize) -> Transaction {
        Transaction {
            version: Version(sighash::VERSION),
            lock_time: LockTime::from_consensus(self.htlc_tx_lock_time(index)),
            input: vec![TxIn {
                previous_output: self.outpoint(self.htlcs[index].vout),
                script_sig: ScriptBuf::new(),
                sequence: self.format.spend_sequence(),
                witness: Witness::new(),
            }],
            output: vec![TxOut {
                value: self.htlc_tx_value(index).to_amount(),
                script_pubkey: self.delayed_output.to_script_buf(),
            }],
        }
    }

    /// What a signature on that transaction commits to. Nothing is allocated: a commitment may need 966 of these.
    pub fn htlc_sighash(&self, index: usize, sighash_type: EcdsaSighashType) -> Message {
        let HtlcOutput { vout, htlc, script } = &self.htlcs[index];
        let mut output = [0; OUTPUT_BYTES];
        output[..8].copy_from_slice(&self.htlc_tx_value(index).0.to_le_bytes());
        output[8] = 34;
        output[9..].copy_from_slice(self.delayed_output.as_bytes());
        let input = sighash::Input {
            outpoint: self.outpoint(*vout),
            sequence: self.format.spend_sequence(),
            script_code: script.as_bytes(),
            amount: htlc.amount.sat_floor(),
        };
        sighash::single_input(&input, &output, self.htlc_tx_lock_time(index), sighash_type)
    }

    /// The digest for the owner's signature on an HTLC transaction that may have got more inputs and outputs. Always
    /// `SIGHASH_ALL`: BOLT 5 forbids to leave one's own side open to changes.
    pub fn htlc_owner_sighash(&self, index: usize, tx: &Transaction, input: usize) -> Message {
        let HtlcOutput { htlc, script, .. } = &self.htlcs[index];
        sighash::all(tx, input, script.as_bytes(), htlc.amount.sat_floor())
    }

    /// The witness of the owner: `0 <remote sig> <local sig> <preimage or nothing> <script>` (BOLT 3).
    pub fn htlc_witness(&self, index: usize, owner: &Sig, counterparty: &Sig, preimage: Option<&Preimage>) -> Witness {
        assert_eq!(
            preimage.is_some(),
            self.htlc_tx_kind(index) == HtlcTxKind::Success,
            "only success takes a preimage"
        );
        let mut witness = Witness::new();
        witness.push([]);
        witness.push(bitcoin_sig(counterparty, self.format.counterparty_htlc_sighash()));
        witness.push(bitcoin_sig(owner, EcdsaSighashType::All));
        witness.push(preimage.map_or(&[][..], |preimage| &preimage.0));
        witness.push(self.htlcs[index].script.as_bytes());
        witness
    }
}
