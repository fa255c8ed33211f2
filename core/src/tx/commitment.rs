//! The commitment transaction: who gets what if the channel ends now.

use std::cmp::Ordering;
use std::fmt;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::transaction::Version;
use bitcoin::{EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use secp256k1::{Message, PublicKey, SECP256K1};

use super::fee::{TrimRule, opener_cost};
use super::format::{ANCHOR, CommitFormat};
use super::keys::CommitmentKeys;
use super::script::{self, HtlcScripts, OutputScript, WitnessScript};
use super::sighash;
use crate::amount::{Msat, Sat};
use crate::encoding::encode_fields;
use crate::ids::{BlockHeight, HtlcId, PaymentHash, Sig};
use crate::mutation::{Mutation, is_active};
use crate::side::{PerSide, Side};

/// A funding output and what every commitment that spends it has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funding {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it holds.
    pub amount: Sat,
    /// `funding_pubkey` of both sides.
    pub keys: PerSide<PublicKey>,
    /// The 2-of-2 behind the output.
    pub script: WitnessScript,
    /// Each side's anchor output.
    pub anchors: PerSide<OutputScript>,
}

encode_fields!(Funding { outpoint as foreign, amount, keys as foreign_pair, script, anchors });

impl Funding {
    /// Prepares the scripts once.
    pub fn new(outpoint: OutPoint, amount: Sat, keys: PerSide<PublicKey>) -> Funding {
        let anchors =
            PerSide { local: script::anchor(&keys.local).to_p2wsh(), remote: script::anchor(&keys.remote).to_p2wsh() };
        Funding { outpoint, amount, keys, script: script::funding(&keys.local, &keys.remote), anchors }
    }

    /// The scriptPubKey of a 2-of-2 funding output.
    pub fn script_pubkey(&self) -> OutputScript {
        self.script.to_p2wsh()
    }

    /// The digest of its only spender, with `SIGHASH_ALL`.
    pub(crate) fn sighash(&self, sequence: Sequence, outputs: &[u8], lock_time: u32) -> Message {
        let input = sighash::Input {
            outpoint: self.outpoint,
            sequence,
            script_code: self.script.as_bytes(),
            amount: self.amount,
        };
        sighash::single_input(&input, outputs, lock_time, EcdsaSighashType::All)
    }

    /// Both signatures in the order of the keys (BOLT 3: `0 <sig1> <sig2>` and the script).
    pub(crate) fn witness(&self, sigs: PerSide<Sig>) -> Witness {
        let local_first = self.keys.local.serialize() <= self.keys.remote.serialize();
        let (first, second) = if local_first { (sigs.local, sigs.remote) } else { (sigs.remote, sigs.local) };
        let mut witness = Witness::new();
        witness.push([]);
        witness.push(bitcoin_sig(&first, EcdsaSighashType::All));
        witness.push(bitcoin_sig(&second, EcdsaSighashType::All));
        witness.push(self.script.as_bytes());
        witness
    }
}

/// A signature as a witness carries it: DER and the sighash byte.
pub(crate) fn bitcoin_sig(sig: &Sig, sighash_type: EcdsaSighashType) -> Vec<u8> {
    let signature =
        secp256k1::ecdsa::Signature::from_compact(&sig.0).expect("we made it, or checked it when it arrived");
    bitcoin::ecdsa::Signature { signature, sighash_type }.to_vec()
}

/// What hides the number of a commitment from the chain: 48 bits that both sides know (BOLT 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ObscureFactor(pub u64);

/// The low half of an obscured number.
const LOW_BITS: u64 = 0xff_ffff;

impl ObscureFactor {
    /// SHA256(opener's payment basepoint || accepter's), its last six bytes.
    pub fn new(opener_payment: &PublicKey, accepter_payment: &PublicKey) -> ObscureFactor {
        let mut engine = sha256::Hash::engine();
        engine.input(&opener_payment.serialize());
        engine.input(&accepter_payment.serialize());
        let hash = sha256::Hash::from_engine(engine).to_byte_array();
        ObscureFactor(hash[26..].iter().fold(0, |factor, &byte| factor << 8 | u64::from(byte)))
    }

    /// Lock time and sequence of the commitment `number`.
    pub fn obscure(self, number: u64) -> (u32, Sequence) {
        let obscured = number ^ self.0;
        (0x2000_0000 | (obscured & LOW_BITS) as u32, Sequence(0x8000_0000 | (obscured >> 24 & LOW_BITS) as u32))
    }

    /// The number of the commitment that this transaction is, if it has the marks of one.
    pub fn number_of(self, tx: &Transaction) -> Option<u64> {
        let [input] = tx.input.as_slice() else { return None };
        let (lock_time, sequence) = (tx.lock_time.to_consensus_u32(), input.sequence.0);
        let marked = lock_time >> 24 == 0x20 && sequence >> 24 == 0x80;
        marked.then(|| ((u64::from(sequence) & LOW_BITS) << 24 | u64::from(lock_time) & LOW_BITS) ^ self.0)
    }
}

/// An HTLC as a commitment sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CommitmentHtlc {
    /// Who pays it.
    pub offered_by: Side,
    /// Its id among those of that side.
    pub id: HtlcId,
    /// What it moves.
    pub amount: Msat,
    /// What unlocks it.
    pub payment_hash: PaymentHash,
    /// From when its offerer may take it back.
    pub cltv_expiry: BlockHeight,
}

/// Everything that decides a commitment but its keys and HTLCs.
#[derive(Clone, Copy, Debug)]
pub struct CommitmentInput<'a> {
    /// How it is built.
    pub format: CommitFormat,
    /// Counts up from zero.
    pub number: u64,
    /// Hides the number.
    pub obscure: ObscureFactor,
    /// Whose commitment it is: who may broadcast it.
    pub owner: Side,
    /// Who pays for it.
    pub opener: Side,
    /// `dust_limit_satoshis` of the owner.
    pub dust_limit: Sat,
    /// How long the owner must wait: chosen by the other side.
    pub to_self_delay: u16,
    /// Of the commitment and, without anchors, its HTLC transactions.
    pub feerate_per_kw: u32,
    /// What belongs to each side, without the HTLCs, before fees and anchors.
    pub balance: PerSide<Msat>,
    /// What it spends.
    pub funding: &'a Funding,
}

impl CommitmentInput<'_> {
    /// Which HTLCs get an output.
    pub fn trim_rule(&self) -> TrimRule {
        TrimRule {
            format: self.format,
            owner: self.owner,
            dust_limit: self.dust_limit,
            feerate_per_kw: self.feerate_per_kw,
        }
    }
}

/// What an output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum OutputKind {
    /// The owner's balance, delayed.
    ToLocal,
    /// The other side's balance.
    ToRemote,
    /// This side's anchor.
    Anchor(Side),
    /// An HTLC: index in [`CommitmentTx::htlcs`].
    Htlc(u16),
}

/// One output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Output {
    /// Whole satoshis.
    pub value: Sat,
    /// Where they go.
    pub script: OutputScript,
    /// What for.
    pub kind: OutputKind,
}

/// An HTLC that has an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct HtlcOutput {
    /// Index of the output.
    pub vout: u32,
    /// The HTLC.
    pub htlc: CommitmentHtlc,
    /// What unlocks the output.
    pub script: WitnessScript,
}

/// A commitment transaction with all that is needed to sign it, check signatures on it, and spend it.
#[derive(Clone, Debug)]
pub struct CommitmentTx {
    /// How it was built.
    pub format: CommitFormat,
    /// Its number.
    pub number: u64,
    /// Whose it is.
    pub owner: Side,
    /// Feerate of the HTLC transactions, where they pay one.
    pub feerate_per_kw: u32,
    /// The owner's delay.
    pub to_self_delay: u16,
    /// What it spends.
    pub funding: Funding,
    /// Its keys.
    pub keys: CommitmentKeys,
    /// Obscured number, low half.
    pub lock_time: u32,
    /// Obscured number, high half.
    pub sequence: Sequence,
    /// In the order of the transaction.
    pub outputs: Vec<Output>,
    /// HTLCs with an output, in the order of the outputs: the order of `htlc_signature`s (BOLT 2).
    pub htlcs: Vec<HtlcOutput>,
    /// The script of `to_local` and of every HTLC transaction's output.
    pub delayed_script: WitnessScript,
    /// Its P2WSH.
    pub delayed_output: OutputScript,
    /// Id of the transaction.
    pub txid: Txid,
    /// What both funding keys sign.
    pub sighash: Message,
    serialized_outputs: Vec<u8>,
}

encode_fields!(CommitmentTx {
    format,
    number,
    owner,
    feerate_per_kw,
    to_self_delay,
    funding,
    keys,
    lock_time,
    sequence as foreign,
    outputs,
    htlcs,
    delayed_script,
    delayed_output,
    txid as foreign,
    sighash as sighash,
    serialized_outputs,
});

impl CommitmentTx {
    /// Builds a commitment. `keys` must hold HTLC keys if any HTLC has an output.
    pub fn new(
        input: &CommitmentInput<'_>,
        keys: &CommitmentKeys,
        htlcs: impl Iterator<Item = CommitmentHtlc>,
    ) -> CommitmentTx {
        CommitmentTx::build(input, keys, htlcs, Buffers::default())
    }

    /// Builds another commitment in the buffers of this one.
    pub fn rebuild(
        &mut self,
        input: &CommitmentInput<'_>,
        keys: &CommitmentKeys,
        htlcs: impl Iterator<Item = CommitmentHtlc>,
    ) {
        let buffers = Buffers {
            outputs: std::mem::take(&mut self.outputs),
            htlcs: std::mem::take(&mut self.htlcs),
            serialized_outputs: std::mem::take(&mut self.serialized_outputs),
        };
        *self = CommitmentTx::build(input, keys, htlcs, buffers);
    }

    fn build(
        input: &CommitmentInput<'_>,
        keys: &CommitmentKeys,
        htlcs: impl Iterator<Item = CommitmentHtlc>,
        mut buffers: Buffers,
    ) -> CommitmentTx {
        buffers.clear();
        let Buffers { outputs, htlcs: htlc_outputs, serialized_outputs: serialized } = &mut buffers;
        let delayed_script = script::delayed(&keys.revocation, &keys.delayed, input.to_self_delay);
        let delayed_output = delayed_script.to_p2wsh();
        push_htlcs(input, keys, htlcs, outputs, htlc_outputs);
        push_balances(input, keys, delayed_output, outputs);
        outputs.sort_unstable_by(|a, b| bolt3_order(a, b, htlc_outputs));
        if input.owner == Side::Local && htlc_outputs.len() > 1 && is_active(Mutation::OutputOrder) {
            outputs.sort_by_key(|output| (output.value, std::cmp::Reverse(output.script.as_bytes().to_vec())));
        }
        number_htlcs(outputs, htlc_outputs);

        sighash::push_compact_size(serialized, outputs.len());
        let counted = serialized.len();
        for output in outputs.iter() {
            sighash::push_output(serialized, output.value, output.script.as_bytes());
        }
        let (lock_time, sequence) = input.obscure.obscure(input.number);
        let txid = sighash::single_input_txid(&input.funding.outpoint, sequence, serialized, lock_time);
        let sighash = input.funding.sighash(sequence, &serialized[counted..], lock_time);
        CommitmentTx {
            format: input.format,
            number: input.number,
            owner: input.owner,
            feerate_per_kw: input.feerate_per_kw,
            to_self_delay: input.to_self_delay,
            funding: *input.funding,
            keys: *keys,
            lock_time,
            sequence,
            delayed_script,
            delayed_output,
            txid,
            sighash,
            outputs: buffers.outputs,
            htlcs: buffers.htlcs,
            serialized_outputs: buffers.serialized_outputs,
        }
    }

    /// The transaction, unsigned.
    pub fn transaction(&self) -> Transaction {
        let output =
            |output: &Output| TxOut { value: output.value.to_amount(), script_pubkey: output.script.to_script_buf() };
        Transaction {
            version: Version(sighash::VERSION),
            lock_time: LockTime::from_consensus(self.lock_time),
            input: vec![TxIn {
                previous_output: self.funding.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: self.sequence,
                witness: Witness::new(),
            }],
            output: self.outputs.iter().map(output).collect(),
        }
    }

    /// The transaction, ready for the chain.
    pub fn signed(&self, sigs: PerSide<Sig>) -> Transaction {
        let mut tx = self.transaction();
        tx.input[0].witness = self.funding.witness(sigs);
        tx
    }

    /// The index of the first output of a kind.
    pub fn find(&self, kind: OutputKind) -> Option<u32> {
        self.outputs.iter().position(|output| output.kind == kind).map(|vout| vout as u32)
    }

    /// An output of it.
    pub fn outpoint(&self, vout: u32) -> OutPoint {
        OutPoint { txid: self.txid, vout }
    }

    /// What the outputs leave to the miner: the base fee and everything trimmed.
    pub fn fee(&self) -> Sat {
        self.funding.amount - self.outputs.iter().map(|output| output.value).sum()
    }

    /// Checks what `commitment_signed` brings for it: the signature of the other side's funding key, then one for each
    /// HTLC in the order of the outputs.
    pub fn check_signatures(&self, sig: &Sig, htlc_sigs: &[Sig]) -> Result<(), SignatureError> {
        if htlc_sigs.len() != self.htlcs.len() {
            return Err(SignatureError::HtlcCount { expected: self.htlcs.len(), actual: htlc_sigs.len() });
        }
        if !is_signed(&self.sighash, sig, &self.funding.keys[!self.owner]) {
            return Err(SignatureError::Commitment { number: self.number });
        }
        let Some(keys) = &self.keys.htlc else { return Ok(()) };
        let sighash_type = self.format.counterparty_htlc_sighash();
        for (index, sig) in htlc_sigs.iter().enumerate() {
            if !is_signed(&self.htlc_sighash(index, sighash_type), sig, &keys.counterparty) {
                return Err(SignatureError::Htlc { index });
            }
        }
        Ok(())
    }
}

fn is_signed(digest: &Message, sig: &Sig, key: &PublicKey) -> bool {
    sig.parse().is_ok_and(|signature| SECP256K1.verify_ecdsa(digest, &signature, key).is_ok())
}

#[derive(Default)]
struct Buffers {
    outputs: Vec<Output>,
    htlcs: Vec<HtlcOutput>,
    serialized_outputs: Vec<u8>,
}

impl Buffers {
    fn clear(&mut self) {
        self.outputs.clear();
        self.htlcs.clear();
        self.serialized_outputs.clear();
    }
}

fn push_htlcs(
    input: &CommitmentInput<'_>,
    keys: &CommitmentKeys,
    htlcs: impl Iterator<Item = CommitmentHtlc>,
    outputs: &mut Vec<Output>,
    htlc_outputs: &mut Vec<HtlcOutput>,
) {
    let rule = input.trim_rule();
    let scripts = keys.htlc.as_ref().map(|htlc| HtlcScripts::new(input.format, &keys.revocation, htlc));
    for htlc in htlcs.filter(|htlc| !rule.is_trimmed(htlc.offered_by, htlc.amount)) {
        let scripts = scripts.as_ref().expect("the caller asked for HTLC keys because an HTLC has an output");
        let script = if htlc.offered_by == input.owner {
            scripts.offered(&htlc.payment_hash)
        } else {
            scripts.received(&htlc.payment_hash, htlc.cltv_expiry)
        };
        outputs.push(Output {
            value: htlc.amount.sat_floor(),
            script: script.to_p2wsh(),
            kind: OutputKind::Htlc(htlc_outputs.len() as u16),
        });
        // The output's index is known once all are sorted.
        htlc_outputs.push(HtlcOutput { vout: 0, htlc, script });
    }
}

/// Adds `to_local`, `to_remote` and the anchors (BOLT 3, "Commitment Transaction Construction").
fn push_balances(
    input: &CommitmentInput<'_>,
    keys: &CommitmentKeys,
    delayed_output: OutputScript,
    outputs: &mut Vec<Output>,
) {
    let has_htlcs = !outputs.is_empty();
    let mut balance = PerSide { local: input.balance.local.sat_floor(), remote: input.balance.remote.sat_floor() };
    // An opener who cannot pay in full gives what there is.
    let cost = opener_cost(input.format, input.feerate_per_kw, outputs.len());
    balance[input.opener] = balance[input.opener].saturating_sub(cost);

    let owner = input.owner;
    for (side, kind) in [(owner, OutputKind::ToLocal), (!owner, OutputKind::ToRemote)] {
        let value = balance[side];
        let exists = value >= input.dust_limit;
        if exists {
            let script = match kind {
                OutputKind::ToLocal => delayed_output,
                _ => script::to_remote(input.format, &keys.counterparty_payment),
            };
            outputs.push(Output { value, script, kind });
        }
        // BOLT 3: a side has an anchor if it has something at stake, an output of its own or any HTLC.
        if input.format.has_anchors() && (exists || has_htlcs) {
            let script = input.funding.anchors[side];
            outputs.push(Output { value: ANCHOR, script, kind: OutputKind::Anchor(side) });
        }
    }
}

/// BOLT 3, "Transaction Output Ordering": value, script, then the expiry of HTLCs that are otherwise alike. HTLCs that
/// are alike in all three are interchangeable on chain; their ids make our own order one.
fn bolt3_order(a: &Output, b: &Output, htlcs: &[HtlcOutput]) -> Ordering {
    let expiry = |output: &Output| match output.kind {
        OutputKind::Htlc(index) => {
            let htlc = &htlcs[usize::from(index)].htlc;
            Some((htlc.cltv_expiry, htlc.offered_by, htlc.id))
        }
        _ => None,
    };
    a.value.cmp(&b.value).then_with(|| a.script.cmp(&b.script)).then_with(|| expiry(a).cmp(&expiry(b)))
}

/// Brings the HTLCs into the order of their outputs and tells both where the other is.
fn number_htlcs(outputs: &mut [Output], htlcs: &mut [HtlcOutput]) {
    let mut rank = 0;
    for (vout, output) in outputs.iter_mut().enumerate() {
        if let OutputKind::Htlc(index) = &mut output.kind {
            htlcs[usize::from(*index)].vout = vout as u32;
            *index = rank;
            rank += 1;
        }
    }
    htlcs.sort_unstable_by_key(|htlc| htlc.vout);
}

/// Why a `commitment_signed` does not fit the commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum SignatureError {
    /// BOLT 2: one signature for each HTLC output.
    HtlcCount {
        /// HTLC outputs.
        expected: usize,
        /// Signatures.
        actual: usize,
    },
    /// The commitment's own signature is wrong, or its s is high.
    Commitment {
        /// Number of the commitment.
        number: u64,
    },
    /// The signature of an HTLC transaction is wrong, or its s is high.
    Htlc {
        /// Its place among the HTLC outputs.
        index: usize,
    },
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignatureError::HtlcCount { expected, actual } => {
                write!(f, "{actual} HTLC signatures for {expected} HTLC outputs")
            }
            SignatureError::Commitment { number } => write!(f, "bad signature on commitment {number}"),
            SignatureError::Htlc { index } => write!(f, "bad signature on HTLC transaction {index}"),
        }
    }
}

impl std::error::Error for SignatureError {}
