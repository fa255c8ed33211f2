//! What every part of BOLT 4 is made of: keys of a shared secret, their keystreams and authentication codes.

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// What a key derived from a shared secret is for (BOLT 4, key generation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Encrypts the payloads of a packet.
    Rho,
    /// Authenticates a packet.
    Mu,
    /// Authenticates a failure.
    Um,
    /// Hides a failure on its way back.
    Ammag,
    /// Hides attribution data on their way back.
    AmmagExt,
    /// Fills the packet behind its last payload.
    Pad,
    /// Turns a node's key into the one a blinded path shows.
    BlindedNodeId,
}

impl Purpose {
    fn tag(self) -> &'static [u8] {
        match self {
            Purpose::Rho => b"rho",
            Purpose::Mu => b"mu",
            Purpose::Um => b"um",
            Purpose::Ammag => b"ammag",
            Purpose::AmmagExt => b"ammagext",
            Purpose::Pad => b"pad",
            Purpose::BlindedNodeId => b"blinded_node_id",
        }
    }

    /// The key for this purpose: HMAC-SHA256 of the secret, keyed by the purpose's name.
    pub(super) fn key(self, secret: &[u8; 32]) -> [u8; 32] {
        mac(self.tag(), &[secret]).to_byte_array()
    }

    /// The keystream of the key for this purpose. Each key is used once, so the nonce is zero.
    pub(super) fn stream(self, secret: &[u8; 32]) -> ChaCha20 {
        ChaCha20::new(&self.key(secret).into(), &[0; 12].into())
    }

    /// XORs the keystream of this purpose onto all of `bytes`.
    pub(super) fn apply(self, secret: &[u8; 32], bytes: &mut [u8]) {
        self.stream(secret).apply_keystream(bytes);
    }
}

/// HMAC-SHA256 over the concatenation of `parts`.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<sha256::Hash> {
    let mut engine = HmacEngine::new(key);
    parts.iter().for_each(|part| engine.input(part));
    Hmac::from_engine(engine)
}

/// SHA-256 over the concatenation of two byte strings.
pub(super) fn sha256_of(first: &[u8], second: &[u8]) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(first);
    engine.input(second);
    sha256::Hash::from_engine(engine).to_byte_array()
}
