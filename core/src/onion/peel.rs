//! Opening a packet (BOLT 4, onion decryption).

use std::fmt;

use bitcoin::hashes::{Hash, sha256};
use secp256k1::{PublicKey, SECP256K1};

use super::keys::{blinding_factor, derive, hmac, same, xor_stream};
use super::payload::InvalidPayload;
use super::{Failure, HMAC, HMAC_BYTES, PAYLOADS, PAYLOADS_BYTES, Packet, SharedSecret};
use crate::wire::BigSize;

/// An onion that this hop cannot open: it goes back by `update_fail_malformed_htlc`, never encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum BadOnion {
    /// The version is not 0.
    Version {
        /// The one it carries.
        version: u8,
    },
    /// The ephemeral key is not a point.
    Key,
    /// The HMAC is not that of payloads and associated data: changed on the way, or meant for another payment.
    Hmac,
}

impl BadOnion {
    /// The failure for `update_fail_malformed_htlc`, which also carries [`hash`] of the packet.
    pub fn failure(self, sha256_of_onion: [u8; 32]) -> Failure {
        match self {
            BadOnion::Version { .. } => Failure::InvalidOnionVersion { sha256_of_onion },
            BadOnion::Key => Failure::InvalidOnionKey { sha256_of_onion },
            BadOnion::Hmac => Failure::InvalidOnionHmac { sha256_of_onion },
        }
    }

    /// Its failure code.
    pub fn code(self) -> u16 {
        self.failure([0; 32]).code()
    }
}

impl fmt::Display for BadOnion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadOnion::Version { version } => write!(f, "onion version {version}, only 0 is known"),
            BadOnion::Key => f.write_str("the onion's ephemeral key is not a point"),
            BadOnion::Hmac => f.write_str("the onion's HMAC does not match"),
        }
    }
}

impl std::error::Error for BadOnion {}

/// Why a packet could not be peeled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeelError {
    /// Not authentic: answer with `update_fail_malformed_htlc`.
    Bad(BadOnion),
    /// Authentic, but what it holds for us is cut wrongly: answer with an encrypted `invalid_onion_payload`.
    Payload(InvalidPayload),
}

impl fmt::Display for PeelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeelError::Bad(bad) => bad.fmt(f),
            PeelError::Payload(payload) => payload.fmt(f),
        }
    }
}

impl std::error::Error for PeelError {}

/// `sha256_of_onion` in the failures for malformed onions.
pub fn hash(packet: &Packet) -> [u8; 32] {
    sha256::Hash::hash(packet).to_byte_array()
}

/// Room to decrypt a packet in; the peeled payload borrows from it.
pub struct Scratch([u8; 2 * PAYLOADS_BYTES]);

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch([0; _])
    }
}

/// A packet whose version and ephemeral key are good.
#[derive(Clone, Copy, Debug)]
pub struct Onion<'a> {
    packet: &'a Packet,
    ephemeral: PublicKey,
}

/// What a packet says to this hop.
#[derive(Clone, Copy, Debug)]
pub struct Peeled<'s> {
    /// The payload, a TLV stream without its length prefix.
    pub payload: &'s [u8],
    /// What to pass on; `None` at the final hop.
    pub next: Option<Next<'s>>,
}

/// The rest of the packet, for the next hop.
#[derive(Clone, Copy)]
pub struct Next<'s> {
    payloads: &'s [u8],
    hmac: &'s [u8],
    ephemeral: PublicKey,
    shared_secret: SharedSecret,
}

impl<'a> Onion<'a> {
    /// Checks version and ephemeral key, in this order. Costs one parse of a point.
    pub fn parse(packet: &'a Packet) -> Result<Onion<'a>, BadOnion> {
        match packet[0] {
            0 => {}
            version => return Err(BadOnion::Version { version }),
        }
        let ephemeral = PublicKey::from_slice(&packet[1..PAYLOADS.start]).map_err(|_| BadOnion::Key)?;
        Ok(Onion { packet, ephemeral })
    }

    /// The key that the signer computes the shared secret with.
    pub fn ephemeral(&self) -> PublicKey {
        self.ephemeral
    }

    /// What the replay filter remembers: a packet with the same HMAC is the same packet (BOLT 4, onion decryption:
    /// processing it a second time would let a prober correlate). Only meaningful once [`Onion::peel`] has verified it.
    pub fn replay_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(&self.packet[HMAC]);
        key
    }

    /// Verifies the HMAC, decrypts, and cuts off our payload. The associated data of a payment is its hash.
    pub fn peel<'s>(
        &self,
        shared_secret: &SharedSecret,
        associated_data: &[u8],
        scratch: &'s mut Scratch,
    ) -> Result<Peeled<'s>, PeelError> {
        let expected = hmac(&derive("mu", shared_secret), &[&self.packet[PAYLOADS], associated_data]);
        if !same(&expected, &self.packet[HMAC]) {
            return Err(PeelError::Bad(BadOnion::Hmac));
        }
        // As many zeros as there are payloads follow, so that whatever we cut off, a whole packet remains.
        let (payloads, zeros) = scratch.0.split_at_mut(PAYLOADS_BYTES);
        payloads.copy_from_slice(&self.packet[PAYLOADS]);
        zeros.fill(0);
        xor_stream(&derive("rho", shared_secret), 0, &mut scratch.0);
        let stream: &'s [u8] = &scratch.0;

        // No type and offset describe a wrong length, so both are 0, as other nodes answer.
        let cut_wrongly = PeelError::Payload(InvalidPayload::LENGTH);
        let (len, rest) = BigSize::split(&stream[..PAYLOADS_BYTES]).map_err(|_| cut_wrongly)?;
        let at = PAYLOADS_BYTES - rest.len();
        let room = PAYLOADS_BYTES - HMAC_BYTES - at;
        let len = usize::try_from(len).ok().filter(|len| (2..=room).contains(len)).ok_or(cut_wrongly)?;
        let end = at + len + HMAC_BYTES;
        let hmac = &stream[at + len..end];
        let next = (hmac != [0; HMAC_BYTES]).then_some(Next {
            payloads: &stream[end..end + PAYLOADS_BYTES],
            hmac,
            ephemeral: self.ephemeral,
            shared_secret: *shared_secret,
        });
        Ok(Peeled { payload: &stream[at..at + len], next })
    }
}

impl fmt::Debug for Next<'_> {
    /// Without the shared secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("ephemeral", &self.ephemeral).finish_non_exhaustive()
    }
}

impl Next<'_> {
    /// The packet for the next hop. This is where its ephemeral key is computed: a payload that is refused costs nothing.
    pub fn packet(&self) -> Result<Packet, BadOnion> {
        let factor = blinding_factor(&self.ephemeral, &self.shared_secret).ok_or(BadOnion::Key)?;
        let ephemeral = self.ephemeral.mul_tweak(SECP256K1, &factor).map_err(|_| BadOnion::Key)?;
        let mut packet: Packet = [0; _];
        packet[1..PAYLOADS.start].copy_from_slice(&ephemeral.serialize());
        packet[PAYLOADS].copy_from_slice(self.payloads);
        packet[HMAC].copy_from_slice(self.hmac);
        Ok(packet)
    }
}
