//! The onion (BOLT 4): what a payment says to each hop, and how its failure comes back.
//!
//! A packet is built by [`build`], opened in two steps by [`Onion::parse`] and [`Onion::peel`] (the signer computes the
//! shared secret between them), and a failure travels back through [`failure::wrap`], [`failure::rewrap`] and
//! [`failure::unwrap`].

pub mod attribution;
pub mod blinding;
mod build;
pub mod failure;
mod keys;
pub mod payload;
mod peel;
pub mod recipient;

#[cfg(test)]
mod tests;

pub use build::{BuildError, Built, Session, build, build_with};
pub use failure::Failure;
pub use payload::{InvalidPayload, Payload};
pub use peel::{BadOnion, Next, Onion, PeelError, Peeled, Scratch, hash};

/// Bytes of a payment onion: version, ephemeral point, payloads, HMAC.
pub const PACKET_BYTES: usize = 1 + 33 + PAYLOADS_BYTES + HMAC_BYTES;
/// Bytes of the part that holds the payloads.
pub const PAYLOADS_BYTES: usize = 1300;
/// Bytes of an HMAC.
pub const HMAC_BYTES: usize = 32;
/// The most hops that fit: 1300 bytes hold 27 hops of the smallest forwarding payload with its HMAC, and readers of
/// failures always try that many (BOLT 4, returning errors, origin node).
pub const HOPS_MAX: usize = 27;

/// The same, as `update_add_htlc` names it.
pub const ONION_SIZE: usize = PACKET_BYTES;

/// A payment onion as it travels.
pub type Packet = [u8; PACKET_BYTES];
/// What ECDH between an ephemeral key and a node key gives: SHA-256 of the compressed point.
pub type SharedSecret = [u8; 32];

/// Where the payloads stand in a packet.
const PAYLOADS: std::ops::Range<usize> = 34..34 + PAYLOADS_BYTES;
/// Where the HMAC stands in a packet.
const HMAC: std::ops::Range<usize> = PAYLOADS.end..PACKET_BYTES;
