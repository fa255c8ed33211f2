//! Spending the outputs of commitments that are on chain: one claim per output, one or more claims per transaction.

use std::fmt;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use secp256k1::{Message, PublicKey};

use super::commitment::bitcoin_sig;
use super::fee::{dust_threshold, fee};
use super::format::CommitFormat;
use super::keys::CommitmentKeys;
use super::script::{self, WitnessScript};
use super::sighash;
use crate::amount::Sat;
use crate::ids::{BlockHeight, CommitmentSecret, Preimage, Sig};

/// Which of our keys signs a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKey {
    /// Our delayed payment key for our own commitment with this point.
    Delayed(PublicKey),
    /// Our payment basepoint.
    Payment,
    /// Our HTLC key for the peer's commitment with this point.
    Htlc(PublicKey),
    /// The revocation key of the commitment whose secret the peer has given away.
    Revocation(CommitmentSecret),
    /// Our funding key: our anchor.
    Funding,
}

/// What unlocks the output, beside the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlock {
    /// P2WPKH: the key itself.
    Key(PublicKey),
    /// `<sig> <script>`
    Script(WitnessScript),
    /// `<sig> <nothing> <script>`: the branch of the delay, or of the expiry.
    Nothing(WitnessScript),
    /// `<sig> 1 <script>`: the branch of the revocation key.
    One(WitnessScript),
    /// `<sig> <revocation key> <script>`
    RevocationKey(PublicKey, WitnessScript),
    /// `<sig> <preimage> <script>`
    Preimage(Preimage, WitnessScript),
}

/// An output that we can spend now, or after a wait that the claim knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The output.
    pub outpoint: OutPoint,
    /// What it holds.
    pub amount: Sat,
    /// Sequence of the input: the relative wait of its script.
    pub sequence: Sequence,
    /// The absolute wait of its script.
    pub lock_time: BlockHeight,
    /// Who signs.
    pub key: ClaimKey,
    unlock: Unlock,
}

/// No relative wait, and open to replacement by a higher fee.
const REPLACEABLE: Sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;

impl Claim {
    fn new(outpoint: OutPoint, amount: Sat, sequence: Sequence, key: ClaimKey, unlock: Unlock) -> Claim {
        Claim { outpoint, amount, sequence, lock_time: BlockHeight(0), key, unlock }
    }

    /// `to_local` of our own commitment, or the output of one of its HTLC transactions, `to_self_delay` blocks after
    /// its transaction.
    pub fn delayed(outpoint: OutPoint, amount: Sat, keys: &CommitmentKeys, to_self_delay: u16) -> Claim {
        let script = script::delayed(&keys.revocation, &keys.delayed, to_self_delay);
        let sequence = Sequence::from_height(to_self_delay);
        Claim::new(outpoint, amount, sequence, ClaimKey::Delayed(keys.per_commitment_point), Unlock::Nothing(script))
    }

    /// `to_remote` of the peer's commitment: our payment basepoint, after one block with anchors.
    pub fn to_remote(outpoint: OutPoint, amount: Sat, format: CommitFormat, payment: &PublicKey) -> Claim {
        let (sequence, unlock) = match format {
            CommitFormat::StaticRemoteKey => (REPLACEABLE, Unlock::Key(*payment)),
            CommitFormat::AnchorsZeroFeeHtlc => {
                (format.spend_sequence(), Unlock::Script(script::to_remote_anchors(payment)))
            }
        };
        Claim::new(outpoint, amount, sequence, ClaimKey::Payment, unlock)
    }

    /// `to_local` of a revoked commitment of the peer, or the output of one of its HTLC transactions: at once.
    pub fn revoked_delayed(
        outpoint: OutPoint,
        amount: Sat,
        keys: &CommitmentKeys,
        to_self_delay: u16,
        secret: CommitmentSecret,
    ) -> Claim {
        let script = script::delayed(&keys.revocation, &keys.delayed, to_self_delay);
        Claim::new(outpoint, amount, REPLACEABLE, ClaimKey::Revocation(secret), Unlock::One(script))
    }

    /// An HTLC output of a revoked commitment of the peer: at once, whoever offered it.
    pub fn revoked_htlc(
        outpoint: OutPoint,
        amount: Sat,
        keys: &CommitmentKeys,
        script: WitnessScript,
        secret: CommitmentSecret,
    ) -> Claim {
        let unlock = Unlock::RevocationKey(keys.revocation, script);
        Claim::new(outpoint, amount, REPLACEABLE, ClaimKey::Revocation(secret), unlock)
    }

    /// An HTLC that the peer offered, on the peer's commitment, with the preimage.
    pub fn htlc_preimage(
        outpoint: OutPoint,
        amount: Sat,
        format: CommitFormat,
        keys: &CommitmentKeys,
        script: WitnessScript,
        preimage: Preimage,
    ) -> Claim {
        let key = ClaimKey::Htlc(keys.per_commitment_point);
        Claim::new(outpoint, amount, htlc_sequence(format), key, Unlock::Preimage(preimage, script))
    }

    /// An HTLC that we offered, on the peer's commitment, from its expiry on.
    pub fn htlc_timeout(
        outpoint: OutPoint,
        amount: Sat,
        format: CommitFormat,
        keys: &CommitmentKeys,
        script: WitnessScript,
        cltv_expiry: BlockHeight,
    ) -> Claim {
        let key = ClaimKey::Htlc(keys.per_commitment_point);
        let claim = Claim::new(outpoint, amount, htlc_sequence(format), key, Unlock::Nothing(script));
        Claim { lock_time: cltv_expiry, ..claim }
    }

    /// Our anchor on either commitment.
    pub fn anchor(outpoint: OutPoint, funding_pubkey: &PublicKey) -> Claim {
        let unlock = Unlock::Script(script::anchor(funding_pubkey));
        Claim::new(outpoint, super::format::ANCHOR, REPLACEABLE, ClaimKey::Funding, unlock)
    }

    /// What its input weighs in a segwit transaction.
    pub fn input_weight(&self) -> u64 {
        // Signature of 72 bytes with its sighash byte, each item with its length.
        let item = |len: usize| 1 + len as u64;
        let sig = item(72);
        let witness = match &self.unlock {
            Unlock::Key(_) => sig + item(33),
            Unlock::Script(script) => sig + item(script.as_bytes().len()),
            Unlock::Nothing(script) => sig + item(0) + item(script.as_bytes().len()),
            Unlock::One(script) => sig + item(1) + item(script.as_bytes().len()),
            Unlock::RevocationKey(_, script) => sig + item(33) + item(script.as_bytes().len()),
            Unlock::Preimage(_, script) => sig + item(32) + item(script.as_bytes().len()),
        };
        4 * 41 + 1 + witness
    }

    /// What its key signs, as input `index` of a transaction.
    pub fn sighash(&self, tx: &Transaction, index: usize) -> Message {
        match &self.unlock {
            Unlock::Key(key) => {
                let output = script::p2wpkh(key);
                sighash::all(tx, index, &sighash::p2wpkh_script_code(&output.as_bytes()[2..]), self.amount)
            }
            Unlock::Script(script)
            | Unlock::Nothing(script)
            | Unlock::One(script)
            | Unlock::RevocationKey(_, script)
            | Unlock::Preimage(_, script) => sighash::all(tx, index, script.as_bytes(), self.amount),
        }
    }

    /// The witness of its input.
    pub fn witness(&self, sig: &Sig) -> Witness {
        let mut witness = Witness::new();
        witness.push(bitcoin_sig(sig, EcdsaSighashType::All));
        match &self.unlock {
            Unlock::Key(key) => witness.push(key.serialize()),
            Unlock::Script(script) => witness.push(script.as_bytes()),
            Unlock::Nothing(script) => push_both(&mut witness, &[], script),
            Unlock::One(script) => push_both(&mut witness, &[1], script),
            Unlock::RevocationKey(key, script) => push_both(&mut witness, &key.serialize(), script),
            Unlock::Preimage(preimage, script) => push_both(&mut witness, &preimage.0, script),
        }
        witness
    }

    /// The scriptPubKey of the output.
    pub fn script_pubkey(&self) -> script::OutputScript {
        match &self.unlock {
            Unlock::Key(key) => script::p2wpkh(key),
            Unlock::Script(script)
            | Unlock::Nothing(script)
            | Unlock::One(script)
            | Unlock::RevocationKey(_, script)
            | Unlock::Preimage(_, script) => script.to_p2wsh(),
        }
    }
}

fn push_both(witness: &mut Witness, choice: &[u8], script: &WitnessScript) {
    witness.push(choice);
    witness.push(script.as_bytes());
}

/// The peer's HTLC outputs wait one block with anchors; without, the input is free to be replaced.
fn htlc_sequence(format: CommitFormat) -> Sequence {
    match format {
        CommitFormat::StaticRemoteKey => REPLACEABLE,
        CommitFormat::AnchorsZeroFeeHtlc => format.spend_sequence(),
    }
}

/// A transaction that takes one or more claims to one script.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What it takes, in the order of its inputs.
    pub claims: Vec<Claim>,
    /// Unsigned.
    pub tx: Transaction,
}

impl Sweep {
    /// Takes all claims to `script` at a feerate. Its lock time is that of the claim that waits longest.
    pub fn new(claims: &[Claim], script: ScriptBuf, feerate_per_kw: u32) -> Result<Sweep, SweepError> {
        let weight = Sweep::weight(claims, &script);
        let (fee, total) = (fee(feerate_per_kw, weight), claims.iter().map(|claim| claim.amount).sum::<Sat>());
        let dust = dust_threshold(&script);
        let value = total.saturating_sub(fee);
        if value < dust || claims.is_empty() {
            return Err(SweepError::Dust { total, fee, dust });
        }
        let input = |claim: &Claim| TxIn {
            previous_output: claim.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: claim.sequence,
            witness: Witness::new(),
        };
        let lock_time = claims.iter().map(|claim| claim.lock_time.0).max().unwrap_or(0);
        let tx = Transaction {
            version: Version(sighash::VERSION),
            lock_time: LockTime::from_consensus(lock_time),
            input: claims.iter().map(input).collect(),
            output: vec![TxOut { value: value.to_amount(), script_pubkey: script }],
        };
        Ok(Sweep { claims: claims.to_vec(), tx })
    }

    /// Weight of such a transaction, signed.
    pub fn weight(claims: &[Claim], script: &ScriptBuf) -> u64 {
        let counts = if claims.len() < 0xfd { 1 } else { 3 };
        let base = 4 + counts + 1 + 8 + 1 + script.len() as u64 + 4;
        4 * base + 2 + claims.iter().map(Claim::input_weight).sum::<u64>()
    }

    /// What the key of a claim signs.
    pub fn sighash(&self, index: usize) -> Message {
        self.claims[index].sighash(&self.tx, index)
    }

    /// The transaction, ready for the chain, with one signature per claim.
    pub fn signed(&self, sigs: &[Sig]) -> Transaction {
        assert_eq!(sigs.len(), self.claims.len(), "one signature for each claim");
        let mut tx = self.tx.clone();
        for (index, (claim, sig)) in self.claims.iter().zip(sigs).enumerate() {
            tx.input[index].witness = claim.witness(sig);
        }
        tx
    }
}

/// Why a sweep is not worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepError {
    /// What is left after the fee does not relay.
    Dust {
        /// What the claims hold.
        total: Sat,
        /// What the transaction would cost.
        fee: Sat,
        /// What its output must hold.
        dust: Sat,
    },
}

impl fmt::Display for SweepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SweepError::Dust { total, fee, dust } => write!(f, "{total} less a fee of {fee} is below {dust}"),
        }
    }
}

impl std::error::Error for SweepError {}
