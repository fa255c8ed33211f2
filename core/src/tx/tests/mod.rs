//! The specification's vectors, and properties of keys and secrets.

mod closing;
mod commitment;
mod derivation;
mod vectors;

use secp256k1::{PublicKey, SecretKey};
use serde_json::Value;

use crate::ids::hex_array;

/// The cases of a file.
pub(crate) fn cases(file: &Value) -> &[Value] {
    file["cases"].as_array().expect("a file has cases")
}

/// The text of a field.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is text"))
}

/// The number in a field.
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} is a number"))
}

/// The bytes of a field.
pub(crate) fn bytes(value: &Value, field: &str) -> Vec<u8> {
    let text = text(value, field);
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// The 32 bytes of a field.
pub(crate) fn bytes32(value: &Value, field: &str) -> [u8; 32] {
    hex_array(text(value, field)).expect("32 bytes of hex")
}

/// The point in a field.
pub(crate) fn point(value: &Value, field: &str) -> PublicKey {
    text(value, field).parse().expect("a point")
}

/// The secret key in a field.
pub(crate) fn secret(value: &Value, field: &str) -> SecretKey {
    SecretKey::from_slice(&bytes32(value, field)).expect("a secret key")
}
