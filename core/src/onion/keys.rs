//! Keys, key streams and HMACs that all parts of the onion derive from a shared secret.

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, cmp, sha256};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use secp256k1::{PublicKey, Scalar};

use super::SharedSecret;

/// HMAC-SHA256 over several pieces in a row.
pub(super) fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    pieces.iter().for_each(|piece| engine.input(piece));
    Hmac::from_engine(engine).to_byte_array()
}

/// BOLT 4, key generation: `key_type` is one of "rho", "mu", "um", "pad", "ammag", "ammagext" …
pub(super) fn derive(key_type: &str, secret: &[u8; 32]) -> [u8; 32] {
    hmac(key_type.as_bytes(), &[secret])
}

/// XORs `bytes` with the key stream of `key` (ChaCha20, zero nonce), beginning at byte `from` of the stream.
pub(super) fn xor_stream(key: &[u8; 32], from: usize, bytes: &mut [u8]) {
    let mut cipher = ChaCha20::new(key.into(), &[0; 12].into());
    cipher.seek(from);
    cipher.apply_keystream(bytes);
}

/// Compares without telling by its duration where two values differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && cmp::fixed_time_eq(a, b)
}

/// BOLT 4: SHA-256 of the ephemeral point and the shared secret; it blinds the ephemeral key for the next hop.
/// `None` when the hash is zero or not below the group's order, which nobody can bring about.
pub(super) fn blinding_factor(ephemeral: &PublicKey, shared_secret: &SharedSecret) -> Option<Scalar> {
    let mut engine = sha256::Hash::engine();
    engine.input(&ephemeral.serialize());
    engine.input(shared_secret);
    Scalar::from_be_bytes(sha256::Hash::from_engine(engine).to_byte_array())
        .ok()
        .filter(|scalar| *scalar != Scalar::ZERO)
}
