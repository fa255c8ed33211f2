//! Failures of payments (BOLT 4, failure messages): what each says, and its form.

use crate::amount::Msat;
use crate::ids::BlockHeight;
use crate::wire::{BigSize, Reader};

/// The sender's own onion could not be read: the failure returns unencrypted, made into one by the node before.
pub const BADONION: u16 = 0x8000;
/// Trying again is of no use.
pub const PERM: u16 = 0x4000;
/// It concerns the node; otherwise one channel.
pub const NODE: u16 = 0x2000;
/// A `channel_update` may tell more.
pub const UPDATE: u16 = 0x1000;

/// Defines the failures: name, code, name of Core Lightning, and fields in the order of the wire.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident ($code:expr, $text:literal)
        $({ $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })?)*
    ) => {
        /// A failure, with its data. The `channel_update` of those that have the UPDATE bit is neither written nor
        /// kept: BOLT 4 wants it empty, because it would tell who the payer is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure {
            $($(#[$doc])* $name $({ $($(#[$field_doc])* $field: $kind,)* })?,)*
        }

        impl Failure {
            /// BOLT 4's code: flags and number.
            pub fn code(&self) -> u16 {
                match self {
                    $(Failure::$name { .. } => $code,)*
                }
            }

            /// The data that stands between code and `channel_update`.
            fn put_fields(&self, out: &mut Vec<u8>) {
                match self {
                    $(Failure::$name $({ $($field,)* })? => { $($($field.put(out);)*)? })*
                }
            }

            fn take_fields(code: u16, reader: &mut Reader<'_>) -> Result<Failure, Undecoded> {
                let cut = |_| Undecoded { code: Some(code) };
                // Guards, since flags and number are joined by expressions.
                match code {
                    $(code if code == $code => Ok(Failure::$name $({ $($field: Datum::take(reader).map_err(cut)?,)* })?),)*
                    _ => Err(Undecoded { code: Some(code) }),
                }
            }
        }

        /// The failure's name as Core Lightning's `failcodename` gives it, for any code.
        pub fn name_of(code: u16) -> &'static str {
            match code {
                $(code if code == $code => $text,)*
                _ => "UNKNOWN",
            }
        }
    };
}

failures! {
    /// The node is out of order for now.
    TemporaryNodeFailure(NODE | 2, "WIRE_TEMPORARY_NODE_FAILURE")
    /// The node is out of order for good.
    PermanentNodeFailure(PERM | NODE | 2, "WIRE_PERMANENT_NODE_FAILURE")
    /// The node wants a feature that the onion does not have.
    RequiredNodeFeatureMissing(PERM | NODE | 3, "WIRE_REQUIRED_NODE_FEATURE_MISSING")
    /// The version of the onion is not known.
    InvalidOnionVersion(BADONION | PERM | 4, "WIRE_INVALID_ONION_VERSION") {
        /// SHA-256 of the onion as it came.
        sha256_of_onion: [u8; 32],
    }
    /// The onion's authentication code is wrong.
    InvalidOnionHmac(BADONION | PERM | 5, "WIRE_INVALID_ONION_HMAC") {
        /// SHA-256 of the onion as it came.
        sha256_of_onion: [u8; 32],
    }
    /// The onion's ephemeral key is no key.
    InvalidOnionKey(BADONION | PERM | 6, "WIRE_INVALID_ONION_KEY") {
        /// SHA-256 of the onion as it came.
        sha256_of_onion: [u8; 32],
    }
    /// The channel to the next node cannot take the payment now.
    TemporaryChannelFailure(UPDATE | 7, "WIRE_TEMPORARY_CHANNEL_FAILURE")
    /// The channel to the next node is gone.
    PermanentChannelFailure(PERM | 8, "WIRE_PERMANENT_CHANNEL_FAILURE")
    /// The channel wants a feature that the onion does not have.
    RequiredChannelFeatureMissing(PERM | 9, "WIRE_REQUIRED_CHANNEL_FEATURE_MISSING")
    /// There is no such channel.
    UnknownNextPeer(PERM | 10, "WIRE_UNKNOWN_NEXT_PEER")
    /// The amount is below the channel's `htlc_minimum_msat`.
    AmountBelowMinimum(UPDATE | 11, "WIRE_AMOUNT_BELOW_MINIMUM") {
        /// The amount of the incoming HTLC.
        htlc_msat: Msat,
    }
    /// The fee is below what the channel asks.
    FeeInsufficient(UPDATE | 12, "WIRE_FEE_INSUFFICIENT") {
        /// The amount of the incoming HTLC.
        htlc_msat: Msat,
    }
    /// The difference of the expiries is below the channel's `cltv_expiry_delta`.
    IncorrectCltvExpiry(UPDATE | 13, "WIRE_INCORRECT_CLTV_EXPIRY") {
        /// The expiry of the incoming HTLC.
        cltv_expiry: BlockHeight,
    }
    /// The HTLC would expire too soon to be passed on.
    ExpiryTooSoon(UPDATE | 14, "WIRE_EXPIRY_TOO_SOON")
    /// The last node does not know the hash, or does not take this much, this late, with this secret.
    IncorrectOrUnknownPaymentDetails(PERM | 15, "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS") {
        /// The amount of the incoming HTLC.
        htlc_msat: Msat,
        /// The last node's block height.
        height: BlockHeight,
    }
    /// The HTLC at the last node expires before what the onion says.
    FinalIncorrectCltvExpiry(18, "WIRE_FINAL_INCORRECT_CLTV_EXPIRY") {
        /// The expiry of the incoming HTLC.
        cltv_expiry: BlockHeight,
    }
    /// The HTLC at the last node has less than what the onion says.
    FinalIncorrectHtlcAmount(19, "WIRE_FINAL_INCORRECT_HTLC_AMOUNT") {
        /// The amount of the incoming HTLC.
        incoming_htlc_amt: Msat,
    }
    /// The channel to the next node is switched off.
    ChannelDisabled(UPDATE | 20, "WIRE_CHANNEL_DISABLED") {
        /// Reserved; zero.
        disabled_flags: u16,
    }
    /// The HTLC expires too far in the future.
    ExpiryTooFar(21, "WIRE_EXPIRY_TOO_FAR")
    /// The node could not read its payload.
    InvalidOnionPayload(PERM | 22, "WIRE_INVALID_ONION_PAYLOAD") {
        /// The type of the record at fault.
        tlv_type: BigSize,
        /// Where in the decrypted bytes.
        offset: u16,
    }
    /// The other parts of the payment did not arrive in time.
    MppTimeout(23, "WIRE_MPP_TIMEOUT")
    /// Anything that went wrong within a blinded route.
    InvalidOnionBlinding(BADONION | PERM | 24, "WIRE_INVALID_ONION_BLINDING") {
        /// SHA-256 of the onion as it came.
        sha256_of_onion: [u8; 32],
    }
}

/// Bytes that are no failure known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecoded {
    /// The code they begin with, if they are long enough.
    pub code: Option<u16>,
}

impl Failure {
    /// Its name as Core Lightning's `failcodename` gives it.
    pub fn name(&self) -> &'static str {
        name_of(self.code())
    }

    /// Is trying again of no use?
    pub fn is_permanent(&self) -> bool {
        self.code() & PERM != 0
    }

    /// Does it concern the whole node?
    pub fn is_node(&self) -> bool {
        self.code() & NODE != 0
    }

    /// The failure of a node that could not open the onion, as `update_fail_malformed_htlc` tells it.
    /// A code with the BADONION bit that is not known here says no more than that the onion was bad.
    pub fn of_malformed(failure_code: u16, sha256_of_onion: [u8; 32]) -> Failure {
        match failure_code {
            0xc004 => Failure::InvalidOnionVersion { sha256_of_onion },
            0xc006 => Failure::InvalidOnionKey { sha256_of_onion },
            0xc018 => Failure::InvalidOnionBlinding { sha256_of_onion },
            _ => Failure::InvalidOnionHmac { sha256_of_onion },
        }
    }

    /// Appends the `failuremsg`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.code().put(out);
        self.put_fields(out);
        if self.code() & UPDATE != 0 {
            0u16.put(out);
        }
    }

    /// Reads a `failuremsg`. BOLT 4: bytes behind what is known are ignored, and so is a `channel_update`, whole or
    /// not.
    pub fn decode(bytes: &[u8]) -> Result<Failure, Undecoded> {
        let mut reader = Reader::new(bytes);
        let code = reader.read().map_err(|_| Undecoded { code: None })?;
        Failure::take_fields(code, &mut reader)
    }
}

/// A field of a failure.
pub(super) trait Datum: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it.
    fn take(reader: &mut Reader<'_>) -> Result<Self, Cut>;
}

/// The bytes end within a field, or are none.
pub(super) struct Cut;

macro_rules! plain {
    ($($kind:ty, $inner:ty, |$value:ident| $bytes:expr, $wrap:expr;)*) => {$(
        impl Datum for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                let $value = self;
                out.extend_from_slice(&$bytes);
            }
            fn take(reader: &mut Reader<'_>) -> Result<Self, Cut> {
                reader.read::<$inner>().map($wrap).map_err(|_| Cut)
            }
        }
    )*};
}
plain! {
    u16, u16, |value| value.to_be_bytes(), |value| value;
    [u8; 32], [u8; 32], |value| *value, |value| value;
    Msat, u64, |value| value.0.to_be_bytes(), Msat;
    BlockHeight, u32, |value| value.0.to_be_bytes(), BlockHeight;
}

impl Datum for BigSize {
    fn put(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; 9];
        self.write(&mut crate::wire::Cursor::new(&mut bytes)).expect("a BigSize has at most 9 bytes");
        out.extend_from_slice(&bytes[..self.size()]);
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        BigSize::read(reader).map_err(|_| Cut)
    }
}
