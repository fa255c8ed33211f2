//! How a failure travels back (BOLT 4, returning errors): authenticated by the node that failed, and hidden once more
//! by each node on the way, so that only the sender can tell what happened and where.

use bitcoin::hashes::Hash;
use bitcoin::hashes::cmp::fixed_time_eq;

use crate::wire::Reader;

use super::crypto::{Purpose, mac};
use super::failure::{Failure, Undecoded};

/// BOLT 4: `failuremsg` and `pad` together, so that the size tells nothing.
const MESSAGE_AND_PAD_SIZE: usize = 256;

/// The authentication code in front.
const HMAC_SIZE: usize = 32;

/// BOLT 4, origin node: so many decryptions whatever the length of the route, so that time does not tell it.
const TRIES: usize = 27;

/// The failing node's `reason` for `update_fail_htlc`.
pub fn wrap(shared_secret: &[u8; 32], failure: &Failure) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HMAC_SIZE + 4 + MESSAGE_AND_PAD_SIZE);
    packet.extend_from_slice(&[0; HMAC_SIZE + 2]);
    failure.encode(&mut packet);
    let len = packet.len() - HMAC_SIZE - 2;
    let pad = MESSAGE_AND_PAD_SIZE.checked_sub(len).expect("no failure is longer than 45 bytes");
    packet[HMAC_SIZE..HMAC_SIZE + 2].copy_from_slice(&(len as u16).to_be_bytes());
    packet.extend_from_slice(&(pad as u16).to_be_bytes());
    packet.resize(HMAC_SIZE + 4 + MESSAGE_AND_PAD_SIZE, 0);
    let (code, rest) = packet.split_at_mut(HMAC_SIZE);
    code.copy_from_slice(mac(&Purpose::Um.key(shared_secret), &[rest]).as_byte_array());
    Purpose::Ammag.apply(shared_secret, &mut packet);
    packet
}

/// What a node on the way passes on for the `reason` that came from the node behind it.
pub fn rewrap(shared_secret: &[u8; 32], reason: &[u8]) -> Vec<u8> {
    let mut packet = reason.to_vec();
    Purpose::Ammag.apply(shared_secret, &mut packet);
    packet
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Which hop failed: 0 is the first.
    pub hop: usize,
    /// What it says, if that is known here.
    pub failure: Result<Failure, Undecoded>,
    /// Its `failuremsg` as it came.
    pub message: Box<[u8]>,
}

impl Returned {
    /// The code, known or not. Without one, the node sent less than two bytes.
    pub fn code(&self) -> Option<u16> {
        match &self.failure {
            Ok(failure) => Some(failure.code()),
            Err(undecoded) => undecoded.code,
        }
    }
}

/// The sender reads a `reason`; `None` says that some node on the way spoilt it, and nobody can tell which.
pub fn unwrap(shared_secrets: &[[u8; 32]], reason: &[u8]) -> Option<Returned> {
    let mut packet = reason.to_vec();
    let mut found = None;
    let mut clear = Vec::new();
    for hop in 0..TRIES.max(shared_secrets.len()) {
        // Behind the route's end the work is done with its last secret, for the time that it takes.
        let secret = shared_secrets.get(hop).or(shared_secrets.last())?;
        Purpose::Ammag.apply(secret, &mut packet);
        let (code, rest) = packet.split_first_chunk::<HMAC_SIZE>()?;
        let authentic = fixed_time_eq(mac(&Purpose::Um.key(secret), &[rest]).as_byte_array(), code);
        if authentic && found.is_none() && hop < shared_secrets.len() {
            found = Some(hop);
            clear = rest.to_vec();
        }
    }
    let hop = found?;
    // Authentic, but with a length that is none: it comes from this hop, and says nothing.
    let message = Reader::new(&clear).read::<&[u8]>().unwrap_or_default();
    Some(Returned { hop, failure: Failure::decode(message), message: message.into() })
}
