//! Building a packet (BOLT 4, packet construction).

use std::fmt;

use secp256k1::ecdh;
use secp256k1::{PublicKey, SECP256K1, SecretKey};

use super::keys::{blinding_factor, derive, hmac, xor_stream};
use super::{HMAC_BYTES, PAYLOADS, PAYLOADS_BYTES, Packet, SharedSecret};
use crate::wire::{BigSize, Cursor};

/// A packet and what its sender must keep.
pub struct Built {
    /// For the first hop's `update_add_htlc`.
    pub packet: Packet,
    /// One for each hop, nearest first: they open the failure that may come back.
    pub shared_secrets: Vec<SharedSecret>,
}

/// Why a route does not fit into an onion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A route needs a hop.
    NoHops,
    /// All payloads with their lengths and HMACs need more than a packet holds.
    TooLong {
        /// Bytes needed.
        bytes: usize,
        /// Bytes there are.
        maximum: usize,
    },
    /// A payload of 0 or 1 bytes cannot be told from the long gone fixed-size format.
    PayloadTooShort {
        /// Index of the hop.
        hop: usize,
        /// Its payload's length.
        bytes: usize,
    },
    /// The session key is zero or not below the group's order.
    SessionKey,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::NoHops => f.write_str("the route has no hops"),
            BuildError::TooLong { bytes, maximum } => {
                write!(
                    f,
                    "the payloads of the route take {bytes} bytes, an onion holds {maximum}: choose a shorter route"
                )
            }
            BuildError::PayloadTooShort { hop, bytes } => write!(f, "the payload of hop {hop} has only {bytes} bytes"),
            BuildError::SessionKey => f.write_str("the session key is not a valid secret key"),
        }
    }
}

impl std::error::Error for BuildError {}

/// What a session key makes of a route: all of an onion that needs curve operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Of the session key: the first hop finds it in the packet.
    pub point: PublicKey,
    /// One for each hop, nearest first.
    pub shared_secrets: Vec<SharedSecret>,
}

impl Session {
    /// Costs one ECDH for each node and one base-point multiplication for each but the last (one for a single node).
    /// `None`: the key is zero or not below the group's order.
    pub fn new(session_key: &[u8; 32], nodes: &[PublicKey]) -> Option<Session> {
        let mut ephemeral = SecretKey::from_slice(session_key).ok()?;
        let mut shared_secrets = Vec::with_capacity(nodes.len());
        let mut first_point = None;
        for node in nodes {
            // Each hop blinds the key for the one after it; what the last would make of it nobody needs.
            if let Some(previous) = shared_secrets.last() {
                let point = PublicKey::from_secret_key(SECP256K1, &ephemeral);
                ephemeral = ephemeral.mul_tweak(&blinding_factor(&point, previous)?).ok()?;
                first_point.get_or_insert(point);
            }
            shared_secrets.push(ecdh::SharedSecret::new(node, &ephemeral).secret_bytes());
        }
        let point = first_point.unwrap_or_else(|| PublicKey::from_secret_key(SECP256K1, &ephemeral));
        Some(Session { point, shared_secrets })
    }
}

/// Builds the onion for a route. Each payload is a TLV stream; its length prefix is added here.
///
/// The result is a function of the arguments alone, so a retransmission builds the same packet again from the session
/// key and the route.
pub fn build<P: AsRef<[u8]>>(
    session_key: &[u8; 32],
    hops: impl Iterator<Item = (PublicKey, P)>,
    associated_data: &[u8],
) -> Result<Built, BuildError> {
    build_with(session_key, hops, associated_data, Session::new)
}

/// The same, with a session that may come from elsewhere.
pub fn build_with<P: AsRef<[u8]>>(
    session_key: &[u8; 32],
    hops: impl Iterator<Item = (PublicKey, P)>,
    associated_data: &[u8],
    session: impl FnOnce(&[u8; 32], &[PublicKey]) -> Option<Session>,
) -> Result<Built, BuildError> {
    let (nodes, payloads): (Vec<PublicKey>, Vec<P>) = hops.unzip();
    let mut total = 0;
    for (hop, payload) in payloads.iter().enumerate() {
        let bytes = payload.as_ref().len();
        if bytes < 2 {
            return Err(BuildError::PayloadTooShort { hop, bytes });
        }
        total += shift(bytes);
    }
    if total > PAYLOADS_BYTES {
        return Err(BuildError::TooLong { bytes: total, maximum: PAYLOADS_BYTES });
    }
    if payloads.is_empty() {
        return Err(BuildError::NoHops);
    }
    // A point costs more than all the rest, so none is computed for a route that is too long.
    let Session { point, shared_secrets } = session(session_key, &nodes).ok_or(BuildError::SessionKey)?;

    let mut packet: Packet = [0; _];
    packet[1..34].copy_from_slice(&point.serialize());
    let mix = &mut packet[PAYLOADS];
    // BOLT 4: the unused tail starts as a key stream of the session key, so that the last hop cannot see its length.
    xor_stream(&derive("pad", session_key), 0, mix);
    let next_hmac = wrap_layers(mix, &payloads, &shared_secrets, associated_data);
    packet[PAYLOADS.end..].copy_from_slice(&next_hmac);
    Ok(Built { packet, shared_secrets })
}

/// How far a hop shifts the payloads: length, payload, HMAC.
fn shift(payload_bytes: usize) -> usize {
    BigSize(payload_bytes as u64).size() + payload_bytes + HMAC_BYTES
}

/// Encrypts the layers, last hop first, and returns the HMAC for the first hop.
fn wrap_layers<P: AsRef<[u8]>>(
    mix: &mut [u8],
    payloads: &[P],
    shared_secrets: &[SharedSecret],
    associated_data: &[u8],
) -> [u8; 32] {
    let mut filler_buffer = [0; PAYLOADS_BYTES];
    let filler = filler(&mut filler_buffer, payloads, shared_secrets);
    let mut next_hmac = [0; 32];
    for (index, (payload, shared_secret)) in payloads.iter().zip(shared_secrets).enumerate().rev() {
        let payload = payload.as_ref();
        let shift = shift(payload.len());
        mix.copy_within(..PAYLOADS_BYTES - shift, shift);
        let mut front = Cursor::new(&mut mix[..shift]);
        let length = BigSize(payload.len() as u64);
        length
            .write(&mut front)
            .and_then(|()| front.put(payload))
            .and_then(|()| front.put(&next_hmac))
            .expect("the shift has room for length, payload and HMAC");
        xor_stream(&derive("rho", shared_secret), 0, mix);
        if index == payloads.len() - 1 {
            mix[PAYLOADS_BYTES - filler.len()..].copy_from_slice(filler);
        }
        next_hmac = hmac(&derive("mu", shared_secret), &[mix, associated_data]);
    }
    next_hmac
}

/// What the zeros that each hop appends have become when the last hop receives the packet (BOLT 4, filler generation).
fn filler<'a, P: AsRef<[u8]>>(
    buffer: &'a mut [u8; PAYLOADS_BYTES],
    payloads: &[P],
    shared_secrets: &[SharedSecret],
) -> &'a [u8] {
    let forwarding = payloads.len() - 1;
    let mut len = 0;
    for (payload, shared_secret) in payloads.iter().zip(shared_secrets).take(forwarding) {
        let from = PAYLOADS_BYTES - len;
        len += shift(payload.as_ref().len());
        xor_stream(&derive("rho", shared_secret), from, &mut buffer[..len]);
    }
    &buffer[..len]
}
