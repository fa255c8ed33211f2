//! The packet itself (BOLT 4, packet structure, construction and decryption).
//!
//! A packet is `version(1) ephemeral_key(33) payloads(1300) hmac(32)`. Each hop finds its own payload in front, and
//! what it passes on has the same size, so that nobody learns where on the route it is.

use bitcoin::hashes::cmp::fixed_time_eq;
use bitcoin::hashes::{Hash, sha256};
use chacha20::cipher::{StreamCipher, StreamCipherSeek};
use secp256k1::ecdh::SharedSecret;
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};

use crate::ids::Point;
use crate::wire::{BigSize, Cursor, Reader};

use super::crypto::{Purpose, mac, sha256_of};

/// A payment's onion.
pub const ONION_SIZE: usize = 1366;

/// The part of it that holds payloads.
const PAYLOADS_SIZE: usize = 1300;

/// The authentication code behind each payload, and at the end of the packet.
const HMAC_SIZE: usize = 32;

/// Where in the packet the payloads begin.
const PAYLOADS_AT: usize = 34;

/// Where in the packet the authentication code begins.
const HMAC_AT: usize = PAYLOADS_AT + PAYLOADS_SIZE;

/// The only version there is.
const VERSION: u8 = 0;

/// One layer, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeled {
    /// Encrypts what is returned.
    pub shared_secret: [u8; 32],
    /// Our TLV stream. Empty when its length was malformed: no payload can be read from that, so that the sender is
    /// told `invalid_onion_payload` with the shared secret, as for any other payload that says nothing.
    pub payload: Box<[u8]>,
    /// The onion to pass on.
    pub next: Option<Box<[u8; ONION_SIZE]>>,
}

/// Why an onion does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeelError {
    /// Its version is not 0.
    Version(u8),
    /// Its ephemeral key is not on the curve.
    Key,
    /// Its authentication code is wrong.
    Hmac,
    /// It came through a blinded route, whose nodes say nothing more precise (BOLT 4, `invalid_onion_blinding`).
    Blinded,
}

impl PeelError {
    /// BOLT 4's code, with the BADONION bit.
    pub fn failure_code(&self) -> u16 {
        match self {
            PeelError::Version(_) => 0xc004,
            PeelError::Hmac => 0xc005,
            PeelError::Key => 0xc006,
            PeelError::Blinded => 0xc018,
        }
    }
}

/// BOLT 4: what `update_fail_malformed_htlc` names.
pub fn sha256_of_onion(onion: &[u8; ONION_SIZE]) -> [u8; 32] {
    sha256::Hash::hash(onion).to_byte_array()
}

/// Opens a layer. `ecdh` multiplies with our node's private key and hashes (BOLT 4, shared secret); it is asked once,
/// or twice when the onion came with a `path_key`.
pub fn peel(
    onion: &[u8; ONION_SIZE],
    associated_data: &[u8; 32],
    path_key: Option<Point>,
    ecdh: impl FnMut(&PublicKey) -> [u8; 32],
) -> Result<Peeled, PeelError> {
    let blinded = path_key.is_some();
    open(onion, associated_data, path_key, ecdh).map_err(|error| if blinded { PeelError::Blinded } else { error })
}

fn open(
    onion: &[u8; ONION_SIZE],
    associated_data: &[u8],
    path_key: Option<Point>,
    mut ecdh: impl FnMut(&PublicKey) -> [u8; 32],
) -> Result<Peeled, PeelError> {
    // BOLT 4, onion decryption: version, key and code are checked in this order.
    if onion[0] != VERSION {
        return Err(PeelError::Version(onion[0]));
    }
    let ephemeral = PublicKey::from_slice(&onion[1..PAYLOADS_AT]).map_err(|_| PeelError::Key)?;
    let shared_secret = match path_key {
        None => ecdh(&ephemeral),
        Some(path_key) => {
            // The sender used our blinded key, which is ours times a factor; the factor may as well go to the point.
            let path_secret = ecdh(&path_key.parse().map_err(|_| PeelError::Blinded)?);
            ecdh(&times(&ephemeral, Purpose::BlindedNodeId.key(&path_secret))?)
        }
    };
    let (payloads, hmac) = (&onion[PAYLOADS_AT..HMAC_AT], &onion[HMAC_AT..]);
    let expected = mac(&Purpose::Mu.key(&shared_secret), &[payloads, associated_data]);
    if !fixed_time_eq(expected.as_byte_array(), hmac) {
        return Err(PeelError::Hmac);
    }

    let mut clear: [u8; PAYLOADS_SIZE] = payloads.try_into().expect("the payloads have their size");
    let mut rho = Purpose::Rho.stream(&shared_secret);
    rho.apply_keystream(&mut clear);
    let Some((payload, next_hmac, rest)) = split(&clear) else {
        return Ok(Peeled { shared_secret, payload: Box::default(), next: None });
    };
    // BOLT 4: a code of zeros says that the packet is for us.
    let next = if *next_hmac == [0; HMAC_SIZE] {
        None
    } else {
        let ephemeral_next = times(&ephemeral, sha256_of(&onion[1..PAYLOADS_AT], &shared_secret))?;
        let mut next = Box::new([0; ONION_SIZE]);
        next[0] = VERSION;
        next[1..PAYLOADS_AT].copy_from_slice(&ephemeral_next.serialize());
        let tail = PAYLOADS_AT + rest.len();
        next[PAYLOADS_AT..tail].copy_from_slice(rest);
        rho.apply_keystream(&mut next[tail..HMAC_AT]);
        next[HMAC_AT..].copy_from_slice(next_hmac);
        Some(next)
    };
    Ok(Peeled { shared_secret, payload: payload.into(), next })
}

/// Payload, code of the next packet, and what follows. A length of 0 or 1 is none: older packets began so (BOLT 4).
fn split(clear: &[u8; PAYLOADS_SIZE]) -> Option<(&[u8], &[u8; HMAC_SIZE], &[u8])> {
    let mut reader = Reader::new(clear);
    let BigSize(len) = BigSize::read(&mut reader).ok()?;
    let len = usize::try_from(len).ok().filter(|len| *len >= 2)?;
    let payload = reader.take(len).ok()?;
    let next_hmac = reader.array().ok()?;
    Some((payload, next_hmac, reader.rest()))
}

/// The point times a factor that came out of a hash: it is no number of the curve only by a chance of 2^-127.
fn times(point: &PublicKey, factor: [u8; 32]) -> Result<PublicKey, PeelError> {
    let factor = Scalar::from_be_bytes(factor).map_err(|_| PeelError::Key)?;
    point.mul_tweak(SECP256K1, &factor).map_err(|_| PeelError::Key)
}

/// A packet and what its failures will be read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The packet for the first hop.
    pub onion: [u8; ONION_SIZE],
    /// The secrets shared with the hops, first hop first.
    pub shared_secrets: Vec<[u8; 32]>,
}

/// The payloads do not fit into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// How many bytes they would take, of 1300.
    pub bytes: usize,
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the payloads of the route take {} bytes, more than the {PAYLOADS_SIZE} of an onion", self.bytes)
    }
}

impl std::error::Error for TooLong {}

/// Makes a packet for a route: the nodes' keys, each with its payload (without the length that goes in front).
/// The same arguments make the same packet. Panics without hops, or if the session key is none.
pub fn build<P: AsRef<[u8]>>(
    session_key: &[u8; 32],
    hops: &[(PublicKey, P)],
    associated_data: &[u8],
) -> Result<Built, TooLong> {
    assert!(!hops.is_empty(), "a route has at least one hop");
    let bytes = hops.iter().map(|(_, payload)| hop_size(payload.as_ref())).sum();
    if bytes > PAYLOADS_SIZE {
        return Err(TooLong { bytes });
    }
    let (first, shared_secrets) = exchange(session_key, hops.iter().map(|(node, _)| node));

    let mut onion = [0; ONION_SIZE];
    onion[0] = VERSION;
    onion[1..PAYLOADS_AT].copy_from_slice(&first);
    // BOLT 4: the room behind the last payload looks like the rest, or the last hop could tell how long the route is.
    Purpose::Pad.apply(session_key, &mut onion[PAYLOADS_AT..HMAC_AT]);
    let mut filler = [0; PAYLOADS_SIZE];
    let filler = filler_of(&shared_secrets, hops, &mut filler);
    for (at, ((_, payload), secret)) in hops.iter().zip(&shared_secrets).enumerate().rev() {
        let (packet, hmac) = onion.split_at_mut(HMAC_AT);
        let payloads = &mut packet[PAYLOADS_AT..];
        let payload = payload.as_ref();
        let size = hop_size(payload);
        payloads.copy_within(..PAYLOADS_SIZE - size, size);
        let mut out = Cursor::new(&mut payloads[..size]);
        BigSize(payload.len() as u64)
            .write(&mut out)
            .and_then(|()| out.put(payload))
            .and_then(|()| out.put(hmac))
            .expect("a hop's part has this size");
        Purpose::Rho.apply(secret, payloads);
        if at == hops.len() - 1 {
            payloads[PAYLOADS_SIZE - filler.len()..].copy_from_slice(filler);
        }
        let code = mac(&Purpose::Mu.key(secret), &[payloads, associated_data]);
        hmac.copy_from_slice(code.as_byte_array());
    }
    Ok(Built { onion, shared_secrets })
}

/// Only the secrets of the packet that [`build`] makes: a failure is read with them after a restart.
pub fn shared_secrets<'a>(
    session_key: &[u8; 32],
    nodes: impl ExactSizeIterator<Item = &'a PublicKey>,
) -> Vec<[u8; 32]> {
    exchange(session_key, nodes).1
}

/// How much of the packet a hop takes.
fn hop_size(payload: &[u8]) -> usize {
    BigSize(payload.len() as u64).size() + payload.len() + HMAC_SIZE
}

/// The first ephemeral key, and the secrets. The private ephemeral keys are multiplied, which costs next to nothing,
/// and not the points; the public key of the last hop is never needed.
fn exchange<'a>(
    session_key: &[u8; 32],
    nodes: impl ExactSizeIterator<Item = &'a PublicKey>,
) -> ([u8; 33], Vec<[u8; 32]>) {
    let mut secret_key = SecretKey::from_slice(session_key).expect("a session key is a number of the curve");
    let first = secret_key.public_key(SECP256K1).serialize();
    let mut ephemeral = first;
    let mut secrets = Vec::with_capacity(nodes.len());
    let last = nodes.len().saturating_sub(1);
    for (at, node) in nodes.enumerate() {
        let secret = SharedSecret::new(node, &secret_key).secret_bytes();
        secrets.push(secret);
        if at < last {
            let factor = Scalar::from_be_bytes(sha256_of(&ephemeral, &secret)).expect("a hash is below the order");
            secret_key = secret_key.mul_tweak(&factor).expect("a hash is not zero");
            if at + 1 < last {
                ephemeral = secret_key.public_key(SECP256K1).serialize();
            }
        }
    }
    (first, secrets)
}

/// What the hops before the last will have appended when the packet reaches the last: the codes must cover it.
fn filler_of<'a, P: AsRef<[u8]>>(
    secrets: &[[u8; 32]],
    hops: &[(PublicKey, P)],
    filler: &'a mut [u8; PAYLOADS_SIZE],
) -> &'a [u8] {
    let mut len = 0;
    for (secret, (_, payload)) in secrets.iter().zip(hops).take(hops.len() - 1) {
        let mut rho = Purpose::Rho.stream(secret);
        rho.seek(PAYLOADS_SIZE - len);
        len += hop_size(payload.as_ref());
        rho.apply_keystream(&mut filler[..len]);
    }
    &filler[..len]
}
