//! What reading and writing an invoice (BOLT 11) share: sizes, the names of fields, what is signed.

use bitcoin::hashes::{Hash, HashEngine, sha256};

use super::symbols;

/// Symbols of the timestamp: 35 bits.
pub(super) const TIMESTAMP_SYMBOLS: usize = 7;
/// Symbols of signature and recovery id: 65 bytes.
pub(super) const SIGNATURE_SYMBOLS: usize = 104;
/// Bytes of a hop in an `r` field.
pub(super) const HOP_BYTES: usize = 51;

/// The symbols that name fields. Each is the letter with that value in bech32.
pub(super) mod tag {
    pub(in crate::invoice) const PAYMENT_HASH: u8 = 1;
    pub(in crate::invoice) const ROUTE_HINT: u8 = 3;
    pub(in crate::invoice) const FEATURES: u8 = 5;
    pub(in crate::invoice) const EXPIRY: u8 = 6;
    pub(in crate::invoice) const FALLBACK: u8 = 9;
    pub(in crate::invoice) const DESCRIPTION: u8 = 13;
    pub(in crate::invoice) const PAYMENT_SECRET: u8 = 16;
    pub(in crate::invoice) const PAYEE: u8 = 19;
    pub(in crate::invoice) const DESCRIPTION_HASH: u8 = 23;
    pub(in crate::invoice) const MIN_FINAL_CLTV_EXPIRY_DELTA: u8 = 24;
    pub(in crate::invoice) const METADATA: u8 = 27;

    /// As people call the field.
    pub(in crate::invoice) fn letter(tag: u8) -> char {
        bech32::Fe32::try_from(tag).expect("symbols have 5 bits").to_char()
    }
}

/// What is signed: prefix and data, zero bits up to a whole byte.
pub(super) fn digest(prefix: &str, signed: &[u8]) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(prefix.as_bytes());
    engine.input(&symbols::to_padded_bytes(signed));
    sha256::Hash::from_engine(engine).to_byte_array()
}
