//! The specification's vectors, and properties of what travels.

mod attribution;
mod failure;
mod packet;
mod payload;

use serde_json::Value;

/// Files of BOLT 4's vectors that are not read here, and why.
const NOT_READ: [(&str, &str); 2] = [
    ("blinded-onion-message.json", "onion messages are not spoken"),
    ("route-blinding.json", "blinded paths are neither made nor followed"),
];

fn path(file: &str) -> String {
    format!("{}/../tests/vectors/bolt04/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_file_that_is_kept_is_read() {
    for (file, why) in NOT_READ {
        assert!(!std::path::Path::new(&path(file)).exists(), "{file}: {why}");
    }
}

/// A file of vectors of BOLT 4.
fn vectors(name: &str) -> Value {
    let path = path(&format!("{name}.json"));
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
