//! Messages signed with a node's key, in the form that Core Lightning and lnd share: `signmessage`, `checkmessage`.

use std::fmt;

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

use crate::ids::NodeId;

/// What is signed in front of the message, so that no signature of something else can pass for one.
const PREFIX: &[u8] = b"Lightning Signed Message:";
/// The first byte of a signature with recovery id 0, for a compressed key.
const FIRST_BYTE: u8 = 31;
/// Digits of zbase32, by value.
const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
/// Digits of a signature: 65 bytes.
const DIGITS: usize = 65 * 8 / 5;

/// Why a signature cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// Not 104 digits.
    Length {
        /// How many there are.
        actual: usize,
    },
    /// A character that zbase32 does not have.
    Character {
        /// The character.
        character: char,
        /// Its index among the characters.
        position: usize,
    },
    /// No key signed this.
    Signature,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::Length { actual } => {
                write!(f, "a signature has {DIGITS} characters, this one {actual}: copy the whole text")
            }
            MessageError::Character { character, position } => {
                write!(f, "character {} of the signature is {character:?}, which zbase32 does not have", position + 1)
            }
            MessageError::Signature => f.write_str("the signature belongs to no key"),
        }
    }
}

impl std::error::Error for MessageError {}

/// What the node's key must sign.
pub fn digest(message: &[u8]) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    engine.input(PREFIX);
    engine.input(message);
    sha256d::Hash::from_engine(engine).to_byte_array()
}

/// The signature as people pass it around.
pub fn encode(compact: &[u8; 64], recovery_id: u8) -> String {
    assert!(recovery_id < 4, "a signature fits at most four keys");
    let mut bytes = [0; 65];
    bytes[0] = FIRST_BYTE + recovery_id;
    bytes[1..].copy_from_slice(compact);
    // 65 bytes are 13 groups of 5, each 8 digits.
    let groups = bytes.chunks_exact(5).map(|group| group.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
    groups
        .flat_map(|group| (0..8).rev().map(move |digit| char::from(ALPHABET[(group >> (5 * digit) & 31) as usize])))
        .collect()
}

/// The node that signed the message. Whoever asks must compare it with the node he expects: some key fits nearly every
/// signature.
pub fn recover(message: &[u8], signature: &str) -> Result<NodeId, MessageError> {
    let actual = signature.chars().count();
    if actual != DIGITS {
        return Err(MessageError::Length { actual });
    }
    let mut values = [0; DIGITS];
    for (position, (value, character)) in values.iter_mut().zip(signature.chars()).enumerate() {
        let found = ALPHABET.iter().position(|digit| char::from(*digit) == character);
        *value = found.ok_or(MessageError::Character { character, position })? as u64;
    }
    let mut bytes = [0; 65];
    for (group, values) in bytes.chunks_exact_mut(5).zip(values.chunks_exact(8)) {
        let number = values.iter().fold(0, |sum, value| sum << 5 | value);
        group.copy_from_slice(&number.to_be_bytes()[3..]);
    }
    let recover = || {
        let id = RecoveryId::from_i32(i32::from(bytes[0]) - i32::from(FIRST_BYTE))?;
        let signature = RecoverableSignature::from_compact(&bytes[1..], id)?;
        SECP256K1.recover_ecdsa(&Message::from_digest(digest(message)), &signature)
    };
    recover().map(NodeId::from).map_err(|_: secp256k1::Error| MessageError::Signature)
}
