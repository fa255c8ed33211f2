//! The scripts of BOLT 3, built on the stack.

use std::fmt;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use bitcoin::hashes::{Hash, hash160, ripemd160, sha256};
use bitcoin::opcodes::all::*;
use bitcoin::opcodes::{OP_FALSE, Opcode};
use bitcoin::{Script, ScriptBuf};
use secp256k1::PublicKey;

use super::format::CommitFormat;
use crate::ids::{BlockHeight, PaymentHash};

/// A script of at most `MAX` bytes that needs no heap: a commitment has hundreds of them.
#[derive(Clone, Copy)]
pub struct InlineScript<const MAX: usize> {
    len: u8,
    bytes: [u8; MAX],
}

/// The script behind a P2WSH output. The longest of BOLT 3 is a received HTLC's with anchors and a five-byte expiry.
pub type WitnessScript = InlineScript<144>;

/// A segwit v0 scriptPubKey: P2WPKH or P2WSH.
pub type OutputScript = InlineScript<34>;

impl<const MAX: usize> Encode for InlineScript<MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_bytes().encode(encoder)
    }
}

impl<const MAX: usize, Context> Decode<Context> for InlineScript<MAX> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<InlineScript<MAX>, DecodeError> {
        let bytes = Vec::<u8>::decode(decoder)?;
        if bytes.len() > MAX {
            return Err(DecodeError::Other("a script that is longer than any of its kind"));
        }
        Ok(InlineScript::EMPTY.raw(&bytes))
    }
}

bincode::impl_borrow_decode!(WitnessScript);
bincode::impl_borrow_decode!(OutputScript);

impl<const MAX: usize> InlineScript<MAX> {
    const EMPTY: Self = InlineScript { len: 0, bytes: [0; MAX] };

    fn raw(mut self, bytes: &[u8]) -> Self {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
        self
    }

    fn op(self, opcode: Opcode) -> Self {
        self.raw(&[opcode.to_u8()])
    }

    fn push(self, data: &[u8]) -> Self {
        self.raw(&[data.len() as u8]).raw(data)
    }

    /// Pushes a number minimally, as the MINIMALDATA rule demands.
    fn number(self, number: u32) -> Self {
        match number {
            0 => self.op(OP_FALSE),
            1..=16 => self.raw(&[OP_PUSHNUM_1.to_u8() + number as u8 - 1]),
            _ => {
                let bytes = u64::from(number).to_le_bytes();
                // One bit more than the number has, for the sign.
                let len = (number.ilog2() as usize + 1) / 8 + 1;
                self.push(&bytes[..len])
            }
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// As the `bitcoin` crate reads it.
    pub fn as_script(&self) -> &Script {
        Script::from_bytes(self.as_bytes())
    }

    /// As the `bitcoin` crate owns it.
    pub fn to_script_buf(&self) -> ScriptBuf {
        self.as_script().to_owned()
    }
}

impl WitnessScript {
    /// The P2WSH output that this script unlocks.
    pub fn to_p2wsh(&self) -> OutputScript {
        OutputScript::EMPTY.op(OP_FALSE).push(&sha256::Hash::hash(self.as_bytes()).to_byte_array())
    }
}

impl<const MAX: usize> PartialEq for InlineScript<MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const MAX: usize> Eq for InlineScript<MAX> {}

impl<const MAX: usize> PartialOrd for InlineScript<MAX> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<const MAX: usize> Ord for InlineScript<MAX> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl<const MAX: usize> fmt::Debug for InlineScript<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_script(), f)
    }
}

/// The 2-of-2 of the funding output, keys in ascending order (BOLT 3, "Funding Transaction Output").
pub fn funding(a: &PublicKey, b: &PublicKey) -> WitnessScript {
    let (a, b) = (a.serialize(), b.serialize());
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    WitnessScript::EMPTY.number(2).push(&first).push(&second).number(2).op(OP_CHECKMULTISIG)
}

/// `to_local`, and the output of an HTLC transaction: the owner after the delay, or whoever holds the revocation key.
pub fn delayed(revocation: &PublicKey, delayed: &PublicKey, to_self_delay: u16) -> WitnessScript {
    WitnessScript::EMPTY
        .op(OP_IF)
        .push(&revocation.serialize())
        .op(OP_ELSE)
        .number(u32::from(to_self_delay))
        .op(OP_CSV)
        .op(OP_DROP)
        .push(&delayed.serialize())
        .op(OP_ENDIF)
        .op(OP_CHECKSIG)
}

/// P2WPKH of a key.
pub fn p2wpkh(key: &PublicKey) -> OutputScript {
    let hash = hash160::Hash::hash(&key.serialize());
    OutputScript::EMPTY.op(OP_FALSE).push(&hash.to_byte_array())
}

/// What `to_remote` demands with anchors: the key, and one confirmation.
pub fn to_remote_anchors(payment: &PublicKey) -> WitnessScript {
    WitnessScript::EMPTY.push(&payment.serialize()).op(OP_CHECKSIGVERIFY).number(1).op(OP_CSV)
}

/// The `to_remote` output in either form.
pub fn to_remote(format: CommitFormat, payment: &PublicKey) -> OutputScript {
    match format {
        CommitFormat::StaticRemoteKey => p2wpkh(payment),
        CommitFormat::AnchorsZeroFeeHtlc => to_remote_anchors(payment).to_p2wsh(),
    }
}

/// An anchor: its side's funding key at once, anyone after 16 blocks.
pub fn anchor(funding_pubkey: &PublicKey) -> WitnessScript {
    WitnessScript::EMPTY
        .push(&funding_pubkey.serialize())
        .op(OP_CHECKSIG)
        .op(OP_IFDUP)
        .op(OP_NOTIF)
        .number(16)
        .op(OP_CSV)
        .op(OP_ENDIF)
}

/// What all HTLC scripts of one commitment share, serialised once.
#[derive(Clone, Copy, Debug)]
pub struct HtlcScripts {
    format: CommitFormat,
    revocation_hash: [u8; 20],
    owner: [u8; 33],
    counterparty: [u8; 33],
}

impl HtlcScripts {
    /// For a commitment with these keys.
    pub fn new(format: CommitFormat, revocation: &PublicKey, keys: &super::keys::HtlcKeys) -> HtlcScripts {
        HtlcScripts {
            format,
            revocation_hash: hash160::Hash::hash(&revocation.serialize()).to_byte_array(),
            owner: keys.owner.serialize(),
            counterparty: keys.counterparty.serialize(),
        }
    }

    fn head(&self) -> WitnessScript {
        WitnessScript::EMPTY
            .op(OP_DUP)
            .op(OP_HASH160)
            .push(&self.revocation_hash)
            .op(OP_EQUAL)
            .op(OP_IF)
            .op(OP_CHECKSIG)
            .op(OP_ELSE)
            .push(&self.counterparty)
            .op(OP_SWAP)
            .op(OP_SIZE)
            .number(32)
            .op(OP_EQUAL)
    }

    fn tail(&self, script: WitnessScript) -> WitnessScript {
        match self.format {
            CommitFormat::StaticRemoteKey => script.op(OP_ENDIF),
            CommitFormat::AnchorsZeroFeeHtlc => script.number(1).op(OP_CSV).op(OP_DROP).op(OP_ENDIF),
        }
    }

    /// An HTLC that the commitment's owner offered (BOLT 3, "Offered HTLC Outputs").
    pub fn offered(&self, payment_hash: &PaymentHash) -> WitnessScript {
        let script = self
            .head()
            .op(OP_NOTIF)
            .op(OP_DROP)
            .number(2)
            .op(OP_SWAP)
            .push(&self.owner)
            .number(2)
            .op(OP_CHECKMULTISIG)
            .op(OP_ELSE)
            .op(OP_HASH160)
            .push(&ripemd160::Hash::hash(&payment_hash.0).to_byte_array())
            .op(OP_EQUALVERIFY)
            .op(OP_CHECKSIG)
            .op(OP_ENDIF);
        self.tail(script)
    }

    /// An HTLC that the commitment's owner received (BOLT 3, "Received HTLC Outputs").
    pub fn received(&self, payment_hash: &PaymentHash, cltv_expiry: BlockHeight) -> WitnessScript {
        let script = self
            .head()
            .op(OP_IF)
            .op(OP_HASH160)
            .push(&ripemd160::Hash::hash(&payment_hash.0).to_byte_array())
            .op(OP_EQUALVERIFY)
            .number(2)
            .op(OP_SWAP)
            .push(&self.owner)
            .number(2)
            .op(OP_CHECKMULTISIG)
            .op(OP_ELSE)
            .op(OP_DROP)
            .number(cltv_expiry.0)
            .op(OP_CLTV)
            .op(OP_DROP)
            .op(OP_CHECKSIG)
            .op(OP_ENDIF);
        self.tail(script)
    }
}
