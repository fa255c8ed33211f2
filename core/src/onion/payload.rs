//! What an onion says to one hop (BOLT 4, payload format): a TLV stream.

use crate::amount::Msat;
use crate::ids::{PaymentSecret, Point, Preimage, ShortChannelId};
use crate::wire::codec::truncated_size;
use crate::wire::tlv::{Record, Stream, TlvError};
use crate::wire::{BigSize, Field, Reader, codec};

use super::failure::{Datum, Failure};

const AMT_TO_FORWARD: u64 = 2;
const OUTGOING_CLTV_VALUE: u64 = 4;
const SHORT_CHANNEL_ID: u64 = 6;
const PAYMENT_DATA: u64 = 8;
const ENCRYPTED_RECIPIENT_DATA: u64 = 10;
const CURRENT_PATH_KEY: u64 = 12;
const PAYMENT_METADATA: u64 = 16;
const TOTAL_AMOUNT_MSAT: u64 = 18;
/// Not of the BOLTs, but common: the payer chose the preimage, and gives it away here.
const KEYSEND: u64 = 5_482_373_484;

/// All that a payload may say, as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload<'a> {
    /// What to pass on, or what must have arrived.
    pub amt_to_forward: Option<Msat>,
    /// The expiry to pass on, or that which must have arrived.
    pub outgoing_cltv_value: Option<u32>,
    /// The channel to pass it on through.
    pub short_channel_id: Option<ShortChannelId>,
    /// For the last hop: the invoice's secret and the amount of all parts.
    pub payment_data: Option<PaymentData>,
    /// Of a blinded route: what the recipient says to this hop.
    pub encrypted_recipient_data: Option<&'a [u8]>,
    /// Of a blinded route: for its first hop, the key to read that with. Not yet known to be a point.
    pub current_path_key: Option<Point>,
    /// For the last hop: bytes that the invoice asked to be returned.
    pub payment_metadata: Option<&'a [u8]>,
    /// For the last hop of a blinded route: the amount of all parts.
    pub total_amount_msat: Option<Msat>,
    /// For the last hop of a spontaneous payment: its preimage.
    pub keysend: Option<Preimage>,
}

/// What proves that the payer saw the invoice, and how much all parts bring together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentData {
    /// The invoice's secret.
    pub payment_secret: PaymentSecret,
    /// The amount of all parts.
    pub total_msat: Msat,
}

/// What a hop must know that passes a payment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Through which channel.
    pub short_channel_id: ShortChannelId,
    /// How much.
    pub amt_to_forward: Msat,
    /// Until when.
    pub outgoing_cltv_value: u32,
}

/// What the last hop must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final<'a> {
    /// How much this part must bring.
    pub amt_to_forward: Msat,
    /// How late it may expire at the soonest.
    pub outgoing_cltv_value: u32,
    /// Secret and whole amount. Without them it is no payment of an invoice, which is for the receiver to refuse:
    /// BOLT 4 wants the same failure as for a wrong secret.
    pub payment_data: Option<PaymentData>,
    /// The invoice's own bytes.
    pub payment_metadata: Option<&'a [u8]>,
    /// The preimage of a spontaneous payment.
    pub keysend: Option<Preimage>,
}

/// A payload that cannot be obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPayload {
    /// The type of the record at fault, or of the one that is missing; 0 if none can be named.
    pub tlv_type: u64,
    /// Where in the payload it begins; 0 if it does not.
    pub offset: u16,
}

impl From<InvalidPayload> for Failure {
    fn from(invalid: InvalidPayload) -> Failure {
        Failure::InvalidOnionPayload { tlv_type: BigSize(invalid.tlv_type), offset: invalid.offset }
    }
}

impl std::fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the onion's payload has no valid record {} (at byte {})", self.tlv_type, self.offset)
    }
}

impl std::error::Error for InvalidPayload {}

impl From<TlvError> for InvalidPayload {
    fn from(error: TlvError) -> InvalidPayload {
        match error {
            TlvError::BigSize(_) => InvalidPayload { tlv_type: 0, offset: 0 },
            TlvError::Truncated { kind } | TlvError::Order { kind } => InvalidPayload { tlv_type: kind, offset: 0 },
            TlvError::UnknownEven { kind, offset } | TlvError::BadValue { kind, offset } => at(kind, offset),
        }
    }
}

fn at(tlv_type: u64, offset: usize) -> InvalidPayload {
    // Within an onion, every offset fits.
    InvalidPayload { tlv_type, offset: u16::try_from(offset).unwrap_or(u16::MAX) }
}

fn missing(tlv_type: u64) -> InvalidPayload {
    InvalidPayload { tlv_type, offset: 0 }
}

/// A record that is all of one field.
fn whole<'a, T: Field<'a>>(value: &'a [u8]) -> Option<T> {
    let mut reader = Reader::new(value);
    let field = reader.read().ok()?;
    reader.is_empty().then_some(field)
}

fn tu64(value: &[u8]) -> Option<u64> {
    codec::read_truncated(value, 8)
}

fn payment_data(value: &[u8]) -> Option<PaymentData> {
    let (secret, total) = value.split_first_chunk()?;
    Some(PaymentData { payment_secret: PaymentSecret(*secret), total_msat: Msat(tu64(total)?) })
}

impl<'a> Payload<'a> {
    /// Reads a payload, without the length in front. BOLT 4: unknown even records make it invalid, unknown odd ones
    /// are passed over.
    pub fn decode(bytes: &'a [u8]) -> Result<Payload<'a>, InvalidPayload> {
        let mut payload = Payload::default();
        for record in Stream::new(bytes) {
            let Record { kind, value, offset } = record?;
            payload.take(kind, value).ok_or(at(kind, offset))?;
        }
        Ok(payload)
    }

    /// `None` says that the value is not of the record's form, or that the record is even and not known.
    fn take(&mut self, kind: u64, value: &'a [u8]) -> Option<()> {
        match kind {
            AMT_TO_FORWARD => self.amt_to_forward = Some(Msat(tu64(value)?)),
            OUTGOING_CLTV_VALUE => self.outgoing_cltv_value = Some(codec::read_truncated(value, 4)? as u32),
            SHORT_CHANNEL_ID => self.short_channel_id = Some(whole(value)?),
            PAYMENT_DATA => self.payment_data = Some(payment_data(value)?),
            ENCRYPTED_RECIPIENT_DATA => self.encrypted_recipient_data = Some(value),
            CURRENT_PATH_KEY => self.current_path_key = Some(whole(value)?),
            PAYMENT_METADATA => self.payment_metadata = Some(value),
            TOTAL_AMOUNT_MSAT => self.total_amount_msat = Some(Msat(tu64(value)?)),
            KEYSEND => self.keysend = Some(whole(value)?),
            unknown if unknown % 2 == 0 => return None,
            _ => {}
        }
        Some(())
    }

    /// Appends the stream, without the length in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let number = |kind, value: Option<u64>, out: &mut Vec<u8>| {
            if let Some(value) = value {
                put(kind, &[truncated(&value.to_be_bytes(), value)], out);
            }
        };
        number(AMT_TO_FORWARD, self.amt_to_forward.map(|amount| amount.0), out);
        number(OUTGOING_CLTV_VALUE, self.outgoing_cltv_value.map(u64::from), out);
        if let Some(scid) = self.short_channel_id {
            put(SHORT_CHANNEL_ID, &[&scid.0.to_be_bytes()], out);
        }
        if let Some(PaymentData { payment_secret, total_msat }) = self.payment_data {
            put(PAYMENT_DATA, &[&payment_secret.0, truncated(&total_msat.0.to_be_bytes(), total_msat.0)], out);
        }
        if let Some(data) = self.encrypted_recipient_data {
            put(ENCRYPTED_RECIPIENT_DATA, &[data], out);
        }
        if let Some(path_key) = self.current_path_key {
            put(CURRENT_PATH_KEY, &[&path_key.0], out);
        }
        if let Some(metadata) = self.payment_metadata {
            put(PAYMENT_METADATA, &[metadata], out);
        }
        number(TOTAL_AMOUNT_MSAT, self.total_amount_msat.map(|amount| amount.0), out);
        if let Some(preimage) = self.keysend {
            put(KEYSEND, &[&preimage.0], out);
        }
    }

    /// The payload as that of a hop that passes the payment on.
    pub fn forward(&self) -> Result<Forward, InvalidPayload> {
        let (amt_to_forward, outgoing_cltv_value) = self.amount_and_expiry()?;
        let short_channel_id = self.short_channel_id.ok_or(missing(SHORT_CHANNEL_ID))?;
        Ok(Forward { short_channel_id, amt_to_forward, outgoing_cltv_value })
    }

    /// The payload as that of the last hop.
    pub fn final_(&self) -> Result<Final<'a>, InvalidPayload> {
        let (amt_to_forward, outgoing_cltv_value) = self.amount_and_expiry()?;
        let Payload { payment_data, payment_metadata, keysend, .. } = *self;
        Ok(Final { amt_to_forward, outgoing_cltv_value, payment_data, payment_metadata, keysend })
    }

    /// BOLT 4: outside of a blinded route both must be there, and nothing of a blinded route may be.
    fn amount_and_expiry(&self) -> Result<(Msat, u32), InvalidPayload> {
        let blinded = [
            (self.encrypted_recipient_data.is_some(), ENCRYPTED_RECIPIENT_DATA),
            (self.current_path_key.is_some(), CURRENT_PATH_KEY),
            (self.total_amount_msat.is_some(), TOTAL_AMOUNT_MSAT),
        ];
        if let Some((_, kind)) = blinded.iter().find(|(there, _)| *there) {
            return Err(missing(*kind));
        }
        let amount = self.amt_to_forward.ok_or(missing(AMT_TO_FORWARD))?;
        Ok((amount, self.outgoing_cltv_value.ok_or(missing(OUTGOING_CLTV_VALUE))?))
    }
}

/// The bytes of a number without the leading zeros.
fn truncated(bytes: &[u8; 8], value: u64) -> &[u8] {
    &bytes[8 - truncated_size(value)..]
}

fn put(kind: u64, value: &[&[u8]], out: &mut Vec<u8>) {
    let len = value.iter().map(|part| part.len()).sum::<usize>() as u64;
    for number in [kind, len] {
        BigSize(number).put(out);
    }
    value.iter().for_each(|part| out.extend_from_slice(part));
}
