//! Coins of all kinds, and transactions that spend them.

use std::sync::LazyLock;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::TapTweak;
use bitcoin::opcodes::all::{OP_CLTV, OP_CSV};
use bitcoin::script::Builder;
use bitcoin::secp256k1::{Keypair, Message, SECP256K1, Secp256k1};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, PublicKey, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, ecdsa};
use leyden_sim::chain::{anyone_can_spend, anyones_witness};

/// How a coin is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Anyone,
    WitnessKey,
    Taproot,
    KeyHash,
    NestedKey,
    Anchor,
    Csv(u16),
    Cltv(u32),
    FutureWitness,
}

pub(crate) const PLAIN: [Lock; 5] = [Lock::Anyone, Lock::WitnessKey, Lock::Taproot, Lock::KeyHash, Lock::NestedKey];

/// A coin that we can spend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coin {
    pub(crate) outpoint: OutPoint,
    pub(crate) value_sat: u64,
    pub(crate) lock: Lock,
}

static KEY: LazyLock<Keypair> = LazyLock::new(|| Keypair::from_seckey_slice(SECP256K1, &[7; 32]).expect("a valid key"));

fn public_key() -> PublicKey {
    PublicKey::new(KEY.public_key())
}

impl Lock {
    pub(crate) fn script(self) -> ScriptBuf {
        let hash = public_key().wpubkey_hash().expect("a compressed key");
        match self {
            Lock::Anyone => anyone_can_spend(),
            Lock::WitnessKey => ScriptBuf::new_p2wpkh(&hash),
            Lock::Taproot => ScriptBuf::new_p2tr(SECP256K1, KEY.x_only_public_key().0, None),
            Lock::KeyHash => ScriptBuf::new_p2pkh(&public_key().pubkey_hash()),
            Lock::NestedKey => ScriptBuf::new_p2wpkh(&hash).to_p2sh(),
            Lock::Anchor => ScriptBuf::from_bytes(vec![0x51, 0x02, 0x4e, 0x73]),
            Lock::FutureWitness => ScriptBuf::from_bytes([&[0x52, 0x20], [9; 32].as_slice()].concat()),
            Lock::Csv(_) | Lock::Cltv(_) => self.witness_script().to_p2wsh(),
        }
    }

    fn witness_script(self) -> ScriptBuf {
        match self {
            Lock::Csv(blocks) => Builder::new().push_int(i64::from(blocks)).push_opcode(OP_CSV).into_script(),
            Lock::Cltv(height) => Builder::new().push_int(i64::from(height)).push_opcode(OP_CLTV).into_script(),
            _ => unreachable!("the others have none"),
        }
    }

    pub(crate) fn output(self, value_sat: u64) -> TxOut {
        TxOut { value: Amount::from_sat(value_sat), script_pubkey: self.script() }
    }
}

/// A transaction that is not signed yet; the last of the outputs takes what is left.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) coins: Vec<Coin>,
    pub(crate) outputs: Vec<TxOut>,
    pub(crate) version: i32,
    pub(crate) lock_time: u32,
    pub(crate) sequence: u32,
}

impl Draft {
    pub(crate) fn new(coins: Vec<Coin>) -> Draft {
        Draft { coins, outputs: Vec::new(), version: 2, lock_time: 0, sequence: 0xffff_fffd }
    }

    pub(crate) fn in_sat(&self) -> u64 {
        self.coins.iter().map(|coin| coin.value_sat).sum()
    }

    /// Gives what the outputs and a fee leave to the first output, and signs.
    pub(crate) fn with_fee(mut self, fee_sat: u64) -> Transaction {
        let others: u64 = self.outputs[1..].iter().map(|output| output.value.to_sat()).sum();
        let rest = self.in_sat().saturating_sub(others).saturating_sub(fee_sat);
        self.outputs[0].value = Amount::from_sat(rest);
        self.sign()
    }

    /// The same with so many thousandths of a satoshi per vbyte.
    pub(crate) fn with_rate(self, per_kvb: u64) -> Transaction {
        let vsize = self.clone().with_fee(0).vsize() as u64;
        self.with_fee((vsize * per_kvb).div_ceil(1_000))
    }

    pub(crate) fn sign(&self) -> Transaction {
        let input = self.coins.iter().map(|coin| TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence(match coin.lock {
                Lock::Csv(blocks) if self.sequence == 0xffff_fffd => u32::from(blocks),
                _ => self.sequence,
            }),
            witness: Witness::new(),
        });
        let mut tx = Transaction {
            version: Version(self.version),
            lock_time: LockTime::from_consensus(self.lock_time),
            input: input.collect(),
            output: self.outputs.clone(),
        };
        let spent: Vec<TxOut> = self.coins.iter().map(|coin| coin.lock.output(coin.value_sat)).collect();
        for index in 0..self.coins.len() {
            let (script_sig, witness) = unlock(&tx, index, &self.coins, &spent);
            tx.input[index].script_sig = script_sig;
            tx.input[index].witness = witness;
        }
        tx
    }
}

fn unlock(tx: &Transaction, index: usize, coins: &[Coin], spent: &[TxOut]) -> (ScriptBuf, Witness) {
    let coin = &coins[index];
    let value = Amount::from_sat(coin.value_sat);
    let mut cache = SighashCache::new(tx);
    let secret = KEY.secret_key();
    let sign = |digest: [u8; 32]| ecdsa::Signature {
        signature: SECP256K1.sign_ecdsa(&Message::from_digest(digest), &secret),
        sighash_type: EcdsaSighashType::All,
    };
    let program = ScriptBuf::new_p2wpkh(&public_key().wpubkey_hash().expect("a compressed key"));
    match coin.lock {
        Lock::Anyone => (ScriptBuf::new(), anyones_witness()),
        Lock::Anchor | Lock::FutureWitness => (ScriptBuf::new(), Witness::new()),
        Lock::Csv(_) | Lock::Cltv(_) => {
            (ScriptBuf::new(), Witness::from_slice(&[coin.lock.witness_script().as_bytes()]))
        }
        Lock::WitnessKey | Lock::NestedKey => {
            let hash = cache.p2wpkh_signature_hash(index, &program, value, EcdsaSighashType::All);
            let signature = sign(hash.expect("a valid index").to_byte_array());
            let witness = Witness::p2wpkh(&signature, &public_key().inner);
            let redeem: &bitcoin::script::PushBytes = program.as_bytes().try_into().expect("it is short");
            let is_nested = coin.lock == Lock::NestedKey;
            let script_sig = if is_nested { Builder::new().push_slice(redeem).into_script() } else { ScriptBuf::new() };
            (script_sig, witness)
        }
        Lock::KeyHash => {
            let hash = cache.legacy_signature_hash(index, &coin.lock.script(), EcdsaSighashType::All.to_u32());
            let signature = sign(hash.expect("a valid index").to_byte_array());
            let builder = Builder::new().push_slice(signature.serialize()).push_key(&public_key());
            (builder.into_script(), Witness::new())
        }
        Lock::Taproot => {
            let hash = cache.taproot_key_spend_signature_hash(index, &Prevouts::All(spent), TapSighashType::Default);
            let message = Message::from_digest(hash.expect("a valid index").to_byte_array());
            let tweaked = KEY.tap_tweak(SECP256K1, None).to_keypair();
            let signature = Secp256k1::sign_schnorr_no_aux_rand(SECP256K1, &message, &tweaked);
            (ScriptBuf::new(), Witness::from_slice(&[signature.as_ref()]))
        }
    }
}
