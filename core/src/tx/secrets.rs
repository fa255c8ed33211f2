//! Per-commitment secrets: all of ours from one seed, all of the peer's in 49 slots.
//!
//! BOLT 3 counts the index of a secret down from 2^48 - 1. That index lives in this file only; everywhere else
//! commitments are numbered upwards from zero.

use std::fmt;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bitcoin::hashes::{Hash, sha256};
use secp256k1::{PublicKey, SECP256K1, SecretKey};

use crate::ids::CommitmentSecret;

impl CommitmentSecret {
    /// Does it belong to this point?
    pub fn is_of(&self, point: &PublicKey) -> bool {
        SecretKey::from_slice(&self.0).is_ok_and(|secret| secret.public_key(SECP256K1) == *point)
    }
}

/// The largest number of a commitment.
pub const NUMBER_MAX: u64 = (1 << 48) - 1;

/// How many secrets it takes to know all earlier ones.
pub const SLOTS: usize = 49;

/// The descending index of BOLT 3.
fn index_of(number: u64) -> u64 {
    NUMBER_MAX.checked_sub(number).expect("no channel lives for 2^48 commitments")
}

/// The secret of a commitment, from the seed of its channel (BOLT 3, `generate_from_seed`).
pub fn commitment_secret(seed: &[u8; 32], number: u64) -> CommitmentSecret {
    CommitmentSecret(descend(*seed, 48, index_of(number)))
}

/// Walks down the tree: flips and hashes for each of the low `bits` that is set in `index`.
fn descend(mut secret: [u8; 32], bits: u32, index: u64) -> [u8; 32] {
    for bit in (0..bits).rev() {
        if index >> bit & 1 == 1 {
            secret[bit as usize / 8] ^= 1 << (bit % 8);
            secret = sha256::Hash::hash(&secret).to_byte_array();
        }
    }
    secret
}

/// One stored secret: those whose indices share its leading bits follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SecretSlot {
    /// Number of the commitment.
    pub number: u64,
    /// Its secret.
    pub secret: CommitmentSecret,
}

/// All secrets that a peer has given away, in at most 49 slots (BOLT 3, "Efficient Per-commitment Secret Storage").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretStore {
    slots: Vec<SecretSlot>,
}

/// The slot of an index: how many of its low bits are zero.
fn slot_of(index: u64) -> usize {
    index.trailing_zeros().min(48) as usize
}

impl SecretStore {
    /// No secret yet.
    pub fn new() -> SecretStore {
        SecretStore::default()
    }

    /// The number of the secret that must come next: secrets come in order, without gaps.
    pub fn next_number(&self) -> u64 {
        self.slots.iter().map(|slot| slot.number + 1).max().unwrap_or(0)
    }

    /// Takes the next secret and tells which slot it went to: the only row that changed. Refuses a secret that does
    /// not derive those it must.
    pub fn insert(&mut self, number: u64, secret: CommitmentSecret) -> Result<usize, SecretError> {
        let expected = self.next_number();
        if number != expected || number > NUMBER_MAX {
            return Err(SecretError::OutOfOrder { expected, actual: number });
        }
        let index = index_of(number);
        let slot = slot_of(index);
        for (below, known) in self.slots[..slot.min(self.slots.len())].iter().enumerate() {
            // The known secret's index differs from this one in the low `slot` bits alone.
            debug_assert_eq!(slot_of(index_of(known.number)), below, "secrets stand in the slot of their index");
            if descend(secret.0, slot as u32, index_of(known.number)) != known.secret.0 {
                return Err(SecretError::DoesNotDerive { number, known: known.number });
            }
        }
        let entry = SecretSlot { number, secret };
        match self.slots.get_mut(slot) {
            Some(place) => *place = entry,
            None => {
                assert_eq!(slot, self.slots.len(), "without gaps a new slot is the next one");
                self.slots.push(entry);
            }
        }
        Ok(slot)
    }

    /// The secret of a commitment, if the peer has given it.
    pub fn get(&self, number: u64) -> Option<CommitmentSecret> {
        if number >= self.next_number() {
            return None;
        }
        let index = index_of(number);
        self.slots.iter().enumerate().find_map(|(slot, known)| {
            let same_prefix = index >> slot == index_of(known.number) >> slot;
            same_prefix.then(|| CommitmentSecret(descend(known.secret.0, slot as u32, index)))
        })
    }

    /// What stands in a slot.
    pub fn slot(&self, slot: usize) -> Option<&SecretSlot> {
        self.slots.get(slot)
    }

    /// All slots in use, from the first.
    pub fn slots(&self) -> &[SecretSlot] {
        &self.slots
    }

    /// Rebuilds the store from its rows, in the order of their slots.
    pub fn restore(slots: impl Iterator<Item = SecretSlot>) -> Result<SecretStore, SecretError> {
        let slots: Vec<SecretSlot> = slots.take(SLOTS + 1).collect();
        for (place, slot) in slots.iter().enumerate() {
            if slot.number > NUMBER_MAX || slot_of(index_of(slot.number)) != place {
                return Err(SecretError::WrongSlot { slot: place, number: slot.number });
            }
        }
        Ok(SecretStore { slots })
    }
}

impl bincode::Encode for SecretStore {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.slots.len() as u8).encode(encoder)?;
        self.slots.iter().try_for_each(|slot| slot.encode(encoder))
    }
}

impl<C> bincode::Decode<C> for SecretStore {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<SecretStore, DecodeError> {
        let count = u8::decode(decoder)?;
        let slots: Result<Vec<SecretSlot>, DecodeError> = (0..count).map(|_| SecretSlot::decode(decoder)).collect();
        SecretStore::restore(slots?.into_iter()).map_err(|_| DecodeError::Other("secrets in the wrong slots"))
    }
}
bincode::impl_borrow_decode!(SecretStore);

/// Why a secret is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// Secrets are given in order.
    OutOfOrder {
        /// The next one's number.
        expected: u64,
        /// This one's.
        actual: u64,
    },
    /// The peer's secrets are not all from one seed: some could not be found again after a cheat.
    DoesNotDerive {
        /// Number of the new secret.
        number: u64,
        /// Number of the stored one that it does not lead to.
        known: u64,
    },
    /// A stored row stands where its number does not belong.
    WrongSlot {
        /// Where it stands.
        slot: usize,
        /// Its number.
        number: u64,
    },
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretError::OutOfOrder { expected, actual } => {
                write!(f, "per-commitment secret {actual} where {expected} was next")
            }
            SecretError::DoesNotDerive { number, known } => {
                write!(f, "per-commitment secret {number} does not derive secret {known}")
            }
            SecretError::WrongSlot { slot, number } => {
                write!(f, "per-commitment secret {number} does not belong in slot {slot}")
            }
        }
    }
}

impl std::error::Error for SecretError {}
