//! The specification's vectors, and properties of what travels.

mod failure;
mod packet;

use serde_json::Value;

/// Files of BOLT 4's vectors that are not read here, and why.
#[allow(dead_code)] // A list for the reader of these tests.
const NOT_READ: [(&str, &str); 4] = [
    ("attributable-errors.json", "attribution data is neither written nor asked for"),
    ("blinded-onion-message.json", "onion messages are not spoken"),
    ("blinded-payment-onion.json", "payments through blinded paths are refused"),
    ("route-blinding.json", "blinded paths are neither made nor followed"),
];

/// A file of vectors of BOLT 4.
fn vectors(name: &str) -> Value {
    let path = format!("{}/../tests/vectors/bolt04/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect("the vectors are JSON")
}

/// Bytes of a vector.
fn hex(value: &Value) -> Vec<u8> {
    hex_conservative::FromHex::from_hex(value.as_str().expect("a string")).expect("hex")
}

/// Exactly so many bytes of a vector.
fn hex_array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().expect("the vector has this many bytes")
}
