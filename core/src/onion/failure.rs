//! Failure codes, and the packet that carries one back to the origin (BOLT 4, failure messages and returning errors).

use std::fmt;

use super::attribution::{ATTRIBUTED_HOPS_MAX, Attribution};
use super::keys::{derive, hmac, same, xor_stream};
use super::{HMAC_BYTES, HOPS_MAX, SharedSecret};
use crate::amount::Msat;
use crate::ids::BlockHeight;
use crate::wire::BigSize;

/// Set when the failing hop could not read the onion, so that its upstream peer had to report.
pub const BADONION: u16 = 0x8000;
/// Set when trying again is useless.
pub const PERM: u16 = 0x4000;
/// Set when the whole node failed, not one of its channels.
pub const NODE: u16 = 0x2000;
/// Set when the sender's idea of the channel's policy was wrong.
pub const UPDATE: u16 = 0x1000;

/// BOLT 4: failure and padding together take at least so much, so that the length does not tell which failure it is.
const PADDED_BYTES: usize = 256;

/// One row per failure: the variant with its fields in wire order, its code, its name.
macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),* })? = $code:literal $name:literal $($update:ident)?;)*) => {
        /// A failure, as a hop reports it to the origin.
        ///
        /// The `channel_update` that some failures may carry is written empty and skipped on reading: BOLT 4 forbids to
        /// apply it to the public graph, because it would tell the network who paid.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure {
            $($(#[$doc])* $variant $({ $($(#[$field_doc])* $field: $type),* })?,)*
            /// A code that is not known, or whose data is cut short. Its flags still say what to do.
            Other {
                /// The code.
                code: u16,
            },
        }

        impl Failure {
            /// The failure code: flags and number.
            pub fn code(&self) -> u16 {
                match self {
                    $(Failure::$variant { .. } => $code,)*
                    Failure::Other { code } => *code,
                }
            }

            /// Appends code and data (`failuremsg`).
            pub fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.code().to_be_bytes());
                match self {
                    $(Failure::$variant $({ $($field),* })? => {
                        $($(Field::write($field, out);)*)?
                        $(failures!(@$update); out.extend_from_slice(&[0, 0]);)?
                    })*
                    Failure::Other { .. } => {}
                }
            }

            /// Reads the data of a code; `None` when it is not known or cut short.
            fn decode_data(code: u16, data: &mut &[u8]) -> Option<Failure> {
                match code {
                    $($code => Some(Failure::$variant $({ $($field: Field::read(data)?),* })?),)*
                    _ => None,
                }
            }

            /// The name of a code, as lightning tools print it.
            pub fn name_of(code: u16) -> &'static str {
                match code {
                    $($code => $name,)*
                    _ => "WIRE_UNKNOWN_FAILURE",
                }
            }

            /// Every code there is.
            #[cfg(test)]
            pub(super) const CODES: &[u16] = &[$($code),*];
        }
    };
    (@update) => {};
}

failures! {
    /// The node cannot do it now.
    TemporaryNodeFailure = 0x2002 "WIRE_TEMPORARY_NODE_FAILURE";
    /// The node cannot do it.
    PermanentNodeFailure = 0x6002 "WIRE_PERMANENT_NODE_FAILURE";
    /// The node requires a feature that the onion lacks.
    RequiredNodeFeatureMissing = 0x6003 "WIRE_REQUIRED_NODE_FEATURE_MISSING";
    /// The onion's version is not known.
    InvalidOnionVersion {
        /// Of the onion that was received.
        sha256_of_onion: [u8; 32]
    } = 0xc004 "WIRE_INVALID_ONION_VERSION";
    /// The onion's HMAC is wrong.
    InvalidOnionHmac {
        /// Of the onion that was received.
        sha256_of_onion: [u8; 32]
    } = 0xc005 "WIRE_INVALID_ONION_HMAC";
    /// The onion's ephemeral key is not a point.
    InvalidOnionKey {
        /// Of the onion that was received.
        sha256_of_onion: [u8; 32]
    } = 0xc006 "WIRE_INVALID_ONION_KEY";
    /// The channel cannot take the HTLC now: capacity, count, feerate, a peer that is offline.
    TemporaryChannelFailure = 0x1007 "WIRE_TEMPORARY_CHANNEL_FAILURE" update;
    /// The channel cannot take any HTLC again.
    PermanentChannelFailure = 0x4008 "WIRE_PERMANENT_CHANNEL_FAILURE";
    /// The channel requires a feature that the onion lacks.
    RequiredChannelFeatureMissing = 0x4009 "WIRE_REQUIRED_CHANNEL_FEATURE_MISSING";
    /// There is no such channel here.
    UnknownNextPeer = 0x400a "WIRE_UNKNOWN_NEXT_PEER";
    /// Below the channel's `htlc_minimum_msat`.
    AmountBelowMinimum {
        /// What was to be forwarded.
        htlc_msat: Msat
    } = 0x100b "WIRE_AMOUNT_BELOW_MINIMUM" update;
    /// Less than the channel's fee.
    FeeInsufficient {
        /// What came in.
        htlc_msat: Msat
    } = 0x100c "WIRE_FEE_INSUFFICIENT" update;
    /// Less than the channel's `cltv_expiry_delta` between incoming and outgoing expiry.
    IncorrectCltvExpiry {
        /// The incoming expiry.
        cltv_expiry: BlockHeight
    } = 0x100d "WIRE_INCORRECT_CLTV_EXPIRY" update;
    /// The expiry is too near.
    ExpiryTooSoon = 0x100e "WIRE_EXPIRY_TOO_SOON" update;
    /// The final hop does not want it: unknown hash, wrong secret, too little, too near. One answer for all, so that a
    /// prober learns nothing.
    IncorrectOrUnknownPaymentDetails {
        /// What came in.
        htlc_msat: Msat,
        /// Where the final hop's chain was.
        height: BlockHeight
    } = 0x400f "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS";
    /// The final HTLC's expiry is below what the payload says.
    FinalIncorrectCltvExpiry {
        /// The incoming expiry.
        cltv_expiry: BlockHeight
    } = 0x0012 "WIRE_FINAL_INCORRECT_CLTV_EXPIRY";
    /// The final HTLC brings less than the payload says.
    FinalIncorrectHtlcAmount {
        /// What came in.
        incoming_htlc_amt: Msat
    } = 0x0013 "WIRE_FINAL_INCORRECT_HTLC_AMOUNT";
    /// The channel is disabled.
    ChannelDisabled {
        /// No flags are defined.
        disabled_flags: u16
    } = 0x1014 "WIRE_CHANNEL_DISABLED" update;
    /// The expiry is too far in the future.
    ExpiryTooFar = 0x0015 "WIRE_EXPIRY_TOO_FAR";
    /// The payload could not be obeyed.
    InvalidOnionPayload {
        /// Type of the record at fault.
        kind: u64,
        /// Where it begins.
        offset: u16
    } = 0x4016 "WIRE_INVALID_ONION_PAYLOAD";
    /// Not all parts came in time.
    MppTimeout = 0x0017 "WIRE_MPP_TIMEOUT";
    /// Anything that goes wrong inside a blinded path.
    InvalidOnionBlinding {
        /// Of the onion that was received; zeros when reported from inside the path.
        sha256_of_onion: [u8; 32]
    } = 0xc018 "WIRE_INVALID_ONION_BLINDING";
}

impl Failure {
    /// Its name, as lightning tools print it.
    pub fn name(&self) -> &'static str {
        Failure::name_of(self.code())
    }

    /// Whether all of these flags are set.
    pub fn has(&self, flags: u16) -> bool {
        self.code() & flags == flags
    }

    /// Reads code and data. Bytes that follow are ignored, data that is missing leaves [`Failure::Other`]; `None` only
    /// where there is not even a code.
    pub fn decode(message: &[u8]) -> Option<Failure> {
        let (code, mut data) = message.split_first_chunk()?;
        let code = u16::from_be_bytes(*code);
        Some(Failure::decode_data(code, &mut data).unwrap_or(Failure::Other { code }))
    }

    /// What to report upstream when the downstream peer answered `update_fail_malformed_htlc`. `None` when its code lacks
    /// BADONION, which BOLT 2 (removing an HTLC) forbids.
    pub fn from_malformed(code: u16, sha256_of_onion: [u8; 32]) -> Option<Failure> {
        let known = Failure::decode_data(code, &mut &sha256_of_onion[..]);
        (code & BADONION != 0).then_some(known.unwrap_or(Failure::Other { code }))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#06x})", self.name(), self.code())
    }
}

/// In rows it stands as it travels.
impl bincode::Encode for Failure {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        let mut message = Vec::new();
        self.encode(&mut message);
        bincode::Encode::encode(&message, encoder)
    }
}

impl<C> bincode::Decode<C> for Failure {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Failure, bincode::error::DecodeError> {
        let message = <Vec<u8> as bincode::Decode<C>>::decode(decoder)?;
        Failure::decode(&message).ok_or(bincode::error::DecodeError::Other("a failure without a code"))
    }
}

bincode::impl_borrow_decode!(Failure);

/// A field of a failure.
trait Field: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(data: &mut &[u8]) -> Option<Self>;
}

impl<const N: usize> Field for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(data: &mut &[u8]) -> Option<[u8; N]> {
        let (bytes, rest) = data.split_first_chunk()?;
        *data = rest;
        Some(*bytes)
    }
}

impl Field for u16 {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_be_bytes().write(out);
    }
    fn read(data: &mut &[u8]) -> Option<u16> {
        Field::read(data).map(u16::from_be_bytes)
    }
}

impl Field for BlockHeight {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.to_be_bytes().write(out);
    }
    fn read(data: &mut &[u8]) -> Option<BlockHeight> {
        Field::read(data).map(u32::from_be_bytes).map(BlockHeight)
    }
}

impl Field for Msat {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.to_be_bytes().write(out);
    }
    fn read(data: &mut &[u8]) -> Option<Msat> {
        Field::read(data).map(u64::from_be_bytes).map(Msat)
    }
}

/// The only bare number of 64 bits is a record's type, which is a bigsize.
impl Field for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        BigSize(*self).push(out);
    }
    fn read(data: &mut &[u8]) -> Option<u64> {
        let (value, rest) = BigSize::split(data).ok()?;
        *data = rest;
        Some(value)
    }
}

/// The packet before the first encryption: HMAC, failure, padding.
pub(super) fn seal(failure: &Failure, shared_secret: &SharedSecret) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    failure.encode(&mut message);
    seal_message(&message, PADDED_BYTES, shared_secret)
}

/// As [`seal`], for any message and length of padding.
pub(super) fn seal_message(message: &[u8], padded_bytes: usize, shared_secret: &SharedSecret) -> Vec<u8> {
    let pad = padded_bytes.saturating_sub(message.len());
    let mut packet = Vec::with_capacity(HMAC_BYTES + 2 + message.len() + 2 + pad);
    packet.resize(HMAC_BYTES, 0);
    packet.extend_from_slice(&(message.len() as u16).to_be_bytes());
    packet.extend_from_slice(message);
    packet.extend_from_slice(&(pad as u16).to_be_bytes());
    packet.resize(packet.len() + pad, 0);
    let hmac = hmac(&derive("um", shared_secret), &[&packet[HMAC_BYTES..]]);
    packet[..HMAC_BYTES].copy_from_slice(&hmac);
    packet
}

/// The `reason` with which the hop that fails a payment answers its upstream peer.
pub fn wrap(failure: &Failure, shared_secret: &SharedSecret) -> Vec<u8> {
    let mut packet = seal(failure, shared_secret);
    rewrap(&mut packet, shared_secret);
    packet
}

/// Adds this hop's layer to a `reason` that came from downstream.
pub fn rewrap(reason: &mut [u8], shared_secret: &SharedSecret) {
    xor_stream(&derive("ammag", shared_secret), 0, reason);
}

/// A failure and who reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributed {
    /// Index of the hop, 0 is the first after the origin.
    pub hop: usize,
    /// What it reports.
    pub failure: Failure,
}

/// A failure without a code: some hop on the path damages failures. Hops are counted as in [`Attributed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// The hop's own HMAC fits, so the message is its own, but there is no failure inside.
    Empty {
        /// The hop.
        hop: usize,
    },
    /// No hop's HMAC fits. By the attribution data, this hop or the one behind it did the damage.
    Damaged {
        /// The last hop that is consistent with what it sent.
        hop: usize,
    },
    /// No hop's HMAC fits, and nothing tells where that comes from.
    Unknown,
}

impl Undecodable {
    /// Where the damage was done, as far as it is known: the channel behind this hop is to be avoided.
    pub fn hop(&self) -> Option<usize> {
        match self {
            Undecodable::Empty { hop } | Undecodable::Damaged { hop } => Some(*hop),
            Undecodable::Unknown => None,
        }
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undecodable::Empty { hop } => write!(f, "hop {} sent a failure without a code", hop + 1),
            Undecodable::Damaged { hop } => {
                write!(f, "the failure cannot be decrypted: hop {} or the one behind it damaged it", hop + 1)
            }
            Undecodable::Unknown => f.write_str("the failure cannot be decrypted: a node on the path damaged it"),
        }
    }
}

impl std::error::Error for Undecodable {}

/// Finds out, at the origin, who failed the payment and why. `shared_secrets` are those of the route, nearest hop first;
/// `attribution` is what came with the `reason`, if anything did.
pub fn unwrap(
    shared_secrets: &[SharedSecret],
    reason: &[u8],
    attribution: Option<&Attribution>,
) -> Result<Attributed, Undecodable> {
    let mut packet = reason.to_vec();
    let mut found = None;
    // BOLT 4, origin node: the number of tries is constant, so that the time until the origin tries again does not tell
    // the nodes on the path how long the route is or who failed it.
    for hop in 0..HOPS_MAX.max(shared_secrets.len()) {
        let shared_secret = shared_secrets.get(hop).unwrap_or(&[0; 32]);
        rewrap(&mut packet, shared_secret);
        let failure = open(&packet, shared_secret);
        if found.is_none() && hop < shared_secrets.len() {
            found = failure.map(|failure| (hop, failure));
        }
    }
    match found {
        Some((hop, Some(failure))) => Ok(Attributed { hop, failure }),
        Some((hop, None)) => Err(Undecodable::Empty { hop }),
        None => Err(attribution
            .and_then(|attribution| damaged_at(shared_secrets, reason, attribution))
            .map_or(Undecodable::Unknown, |hop| Undecodable::Damaged { hop })),
    }
}

/// The last hop whose HMAC in the attribution data fits what it sent: what came to it no longer fits, so either it
/// damaged that before it added its own HMAC, or the hop behind it did after. The first hop where not even its own fits.
fn damaged_at(shared_secrets: &[SharedSecret], reason: &[u8], attribution: &Attribution) -> Option<usize> {
    let last = shared_secrets.len().checked_sub(1).filter(|last| *last < ATTRIBUTED_HOPS_MAX)?;
    let (mut packet, mut attribution) = (reason.to_vec(), attribution.clone());
    for (hop, shared_secret) in shared_secrets.iter().enumerate() {
        rewrap(&mut packet, shared_secret);
        if attribution.take_hop(shared_secret, last - hop, &packet).is_none() {
            return Some(hop.saturating_sub(1));
        }
    }
    Some(last)
}

/// Outer `None`: the HMAC is not this hop's. Inner `None`: it is, but there is no failure inside.
fn open(packet: &[u8], shared_secret: &SharedSecret) -> Option<Option<Failure>> {
    let (expected, body) = packet.split_at_checked(HMAC_BYTES)?;
    if !same(&hmac(&derive("um", shared_secret), &[body]), expected) {
        return None;
    }
    Some(body.split_first_chunk().and_then(|(len, rest)| {
        let len = usize::from(u16::from_be_bytes(*len));
        Failure::decode(rest.get(..len)?)
    }))
}
