//! The cryptography of blinded paths (BOLT 4, route blinding): what a receiver encrypts for the hops that lead to it.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey, ecdh};

use super::SharedSecret;
use super::keys::{blinding_factor, derive};

/// Bytes that authenticate the encrypted data.
const TAG_BYTES: usize = 16;

/// One hop of a blinded path, as a payer receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindedHop {
    /// The hop's key, disguised.
    pub blinded_node_id: PublicKey,
    /// For the hop alone.
    pub encrypted_recipient_data: Vec<u8>,
}

/// A blinded path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindedPath {
    /// The path key that the first hop must be given.
    pub first_path_key: PublicKey,
    /// Its hops.
    pub hops: Vec<BlindedHop>,
}

/// Blinds a path: for every hop, its node id and its encoded `encrypted_data_tlv`. `None` for a key that is zero or not
/// below the group's order.
pub fn blind<T: AsRef<[u8]>>(
    session_key: &[u8; 32],
    hops: impl Iterator<Item = (PublicKey, T)>,
) -> Option<BlindedPath> {
    let mut path_secret = SecretKey::from_slice(session_key).ok()?;
    let first_path_key = PublicKey::from_secret_key(SECP256K1, &path_secret);
    let mut path_key = first_path_key;
    let mut blinded = Vec::new();
    for (node, tlvs) in hops {
        if !blinded.is_empty() {
            path_key = PublicKey::from_secret_key(SECP256K1, &path_secret);
        }
        let shared_secret = ecdh::SharedSecret::new(&node, &path_secret).secret_bytes();
        let blinded_node_id = node.mul_tweak(SECP256K1, &node_tweak(&shared_secret)?).ok()?;
        blinded.push(BlindedHop { blinded_node_id, encrypted_recipient_data: seal(&shared_secret, tlvs.as_ref()) });
        path_secret = path_secret.mul_tweak(&blinding_factor(&path_key, &shared_secret)?).ok()?;
    }
    Some(BlindedPath { first_path_key, hops: blinded })
}

/// The factor between a node's key and its blinded key.
pub fn node_tweak(shared_secret: &SharedSecret) -> Option<Scalar> {
    Scalar::from_be_bytes(derive("blinded_node_id", shared_secret)).ok()
}

/// The point for the signer's ECDH with an onion that came with a path key; `shared_secret` is that of the path key.
///
/// The onion was made for the blinded key, the node's key times the factor. Key times factor times ephemeral key is the
/// same point whichever two are multiplied first, so the factor goes onto the public one: the node's key never leaves the
/// signer, which needs to know nothing of blinding.
pub fn blinded_ephemeral(ephemeral: &PublicKey, shared_secret: &SharedSecret) -> Option<PublicKey> {
    ephemeral.mul_tweak(SECP256K1, &node_tweak(shared_secret)?).ok()
}

/// The path key for the next hop, unless the data of this hop overrides it.
pub fn next_path_key(path_key: &PublicKey, shared_secret: &SharedSecret) -> Option<PublicKey> {
    path_key.mul_tweak(SECP256K1, &blinding_factor(path_key, shared_secret)?).ok()
}

fn cipher(shared_secret: &SharedSecret) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&derive("rho", shared_secret).into())
}

fn seal(shared_secret: &SharedSecret, tlvs: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(tlvs.len() + TAG_BYTES);
    data.extend_from_slice(tlvs);
    // A zero nonce is safe: the key is used once.
    cipher(shared_secret)
        .encrypt_in_place(&[0; 12].into(), b"", &mut data)
        .expect("a payload is far below the cipher's limit");
    data
}

/// Decrypts the data meant for this hop in the caller's buffer; `None` if it was not made for it.
pub fn open<'a>(shared_secret: &SharedSecret, data: &'a mut [u8]) -> Option<&'a [u8]> {
    let (tlvs, tag) = data.split_at_mut_checked(data.len().checked_sub(TAG_BYTES)?)?;
    let tag: [u8; TAG_BYTES] = (&*tag).try_into().ok()?;
    cipher(shared_secret).decrypt_in_place_detached(&[0; 12].into(), b"", tlvs, &tag.into()).ok()?;
    Some(tlvs)
}
