//! What an onion says to one hop (BOLT 4, payload format).

use std::fmt;

use super::Failure;
use crate::amount::Msat;
use crate::ids::{BlockHeight, PaymentSecret, Point, Preimage, ShortChannelId};
use crate::wire::codec::{read_tu32, read_tu64, truncated};
use crate::wire::tlv::{Record, Stream, TlvError, push_record};

/// Types of the records. Keysend is not in the BOLTs, but common.
mod kind {
    pub(super) const AMT_TO_FORWARD: u64 = 2;
    pub(super) const OUTGOING_CLTV_VALUE: u64 = 4;
    pub(super) const SHORT_CHANNEL_ID: u64 = 6;
    pub(super) const PAYMENT_DATA: u64 = 8;
    pub(super) const ENCRYPTED_RECIPIENT_DATA: u64 = 10;
    pub(super) const CURRENT_PATH_KEY: u64 = 12;
    pub(super) const PAYMENT_METADATA: u64 = 16;
    pub(super) const TOTAL_AMOUNT_MSAT: u64 = 18;
    pub(super) const KEYSEND_PREIMAGE: u64 = 5_482_373_484;
}

/// The first type that applications may use for themselves (BOLT 1).
pub const CUSTOM_KIND_MIN: u64 = 65_536;

/// A payload, by what it asks of the hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Pass the payment on.
    Forward(Forward),
    /// The payment is for us.
    Final(Final<'a>),
    /// We are on a blinded path, and what we are to do stands in the encrypted data.
    Blinded(Blinded<'a>),
}

/// An instruction to forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Over which channel.
    pub short_channel_id: ShortChannelId,
    /// How much to offer there.
    pub amt_to_forward: Msat,
    /// The expiry to offer there.
    pub outgoing_cltv_value: BlockHeight,
}

/// The last hop's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final<'a> {
    /// What the HTLC must bring at least.
    pub amt_to_forward: Msat,
    /// What the HTLC's expiry must be at least.
    pub outgoing_cltv_value: BlockHeight,
    /// The invoice's secret and the amount of all parts. Only a keysend does without.
    pub payment_data: Option<PaymentData>,
    /// The invoice's `m` field.
    pub payment_metadata: Option<&'a [u8]>,
    /// A spontaneous payment brings its own preimage.
    pub keysend_preimage: Option<Preimage>,
}

/// BOLT 4, basic multi-part payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentData {
    /// From the invoice: without it a node on the path could probe for the receiver.
    pub payment_secret: PaymentSecret,
    /// What all parts together bring.
    pub total_msat: Msat,
}

/// The payload of a hop on a blinded path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blinded<'a> {
    /// Encrypted by the receiver, for us.
    pub encrypted_recipient_data: &'a [u8],
    /// Only at the introduction node; all others find it in `update_add_htlc`.
    pub current_path_key: Option<Point>,
    /// Only at the final hop.
    pub amounts: Option<BlindedFinal>,
    /// Where the encrypted data begins, for the refusal.
    offset: u16,
}

/// What only the final hop of a blinded path is told outside of the encrypted data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlindedFinal {
    /// What the HTLC must bring at least.
    pub amt_to_forward: Msat,
    /// What the HTLC's expiry must be at least.
    pub outgoing_cltv_value: BlockHeight,
    /// What all parts together bring.
    pub total_amount_msat: Msat,
}

impl Blinded<'_> {
    /// The answer of a node that does not offer `option_route_blinding`: to it, type 10 is an unknown even record.
    pub fn refusal(&self) -> InvalidPayload {
        InvalidPayload { kind: kind::ENCRYPTED_RECIPIENT_DATA, offset: self.offset, why: Why::BlindedPath }
    }
}

/// A payload that cannot be obeyed. Becomes `invalid_onion_payload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPayload {
    /// Type of the record at fault.
    pub kind: u64,
    /// Where it begins in the payload; where it is missing, 0.
    pub offset: u16,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a record of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The payload's length is below 2 or beyond the packet.
    Length,
    /// Not a TLV stream.
    Stream,
    /// An even type that we don't know.
    Unknown,
    /// The value has the wrong length or is not minimal.
    Value,
    /// It must be there and is not.
    Missing,
    /// It must not be there in a blinded payload.
    NotInBlinded,
    /// A blinded path, which this node does not forward on.
    BlindedPath,
}

impl InvalidPayload {
    /// The payload cannot even be cut out of the packet.
    pub(super) const LENGTH: InvalidPayload = InvalidPayload { kind: 0, offset: 0, why: Why::Length };

    fn missing(kind: u64) -> InvalidPayload {
        InvalidPayload { kind, offset: 0, why: Why::Missing }
    }

    fn at(record: &Record<'_>, why: Why) -> InvalidPayload {
        InvalidPayload { kind: record.kind, offset: offset_u16(record.offset), why }
    }

    /// What to tell the origin.
    pub fn failure(&self) -> Failure {
        Failure::InvalidOnionPayload { kind: self.kind, offset: self.offset }
    }
}

impl From<TlvError> for InvalidPayload {
    fn from(error: TlvError) -> InvalidPayload {
        let (kind, offset) = error.place();
        InvalidPayload { kind, offset: offset_u16(offset), why: Why::Stream }
    }
}

/// Payloads are shorter than 1300 bytes, so nothing is lost where it matters.
fn offset_u16(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InvalidPayload { kind, offset, why } = self;
        match why {
            Why::Length => f.write_str("the onion payload's length is out of range"),
            Why::Stream => write!(f, "onion payload: not a TLV stream at byte {offset} (type {kind})"),
            Why::Unknown => write!(f, "onion payload: unknown even type {kind} at byte {offset}"),
            Why::Value => write!(f, "onion payload: the value of type {kind} at byte {offset} is malformed"),
            Why::Missing => write!(f, "onion payload: type {kind} is missing"),
            Why::NotInBlinded => write!(f, "onion payload: type {kind} must not be in a blinded payload"),
            Why::BlindedPath => f.write_str("onion payload: forwarding on blinded paths is not offered"),
        }
    }
}

impl std::error::Error for InvalidPayload {}

/// The records as they came, each with the offset that a complaint about it needs.
#[derive(Default)]
struct Fields<'a> {
    amt_to_forward: Option<Msat>,
    outgoing_cltv_value: Option<BlockHeight>,
    short_channel_id: Option<ShortChannelId>,
    payment_data: Option<PaymentData>,
    encrypted_recipient_data: Option<(&'a [u8], usize)>,
    current_path_key: Option<Point>,
    payment_metadata: Option<&'a [u8]>,
    total_amount_msat: Option<Msat>,
    keysend_preimage: Option<Preimage>,
    /// The first record that may not stand in any blinded payload.
    never_blinded: Option<Record<'a>>,
    /// The first record that only the final hop of a blinded path may have.
    final_blinded: Option<Record<'a>>,
}

impl<'a> Fields<'a> {
    fn read(stream: &'a [u8]) -> Result<Fields<'a>, InvalidPayload> {
        let mut fields = Fields::default();
        for record in Stream::new(stream) {
            fields.set(record?)?;
        }
        Ok(fields)
    }

    fn set(&mut self, record: Record<'a>) -> Result<(), InvalidPayload> {
        let value = record.value;
        let bad = InvalidPayload::at(&record, Why::Value);
        match record.kind {
            kind::AMT_TO_FORWARD => self.amt_to_forward = Some(Msat(read_tu64(value).ok_or(bad)?)),
            kind::OUTGOING_CLTV_VALUE => self.outgoing_cltv_value = Some(BlockHeight(read_tu32(value).ok_or(bad)?)),
            kind::SHORT_CHANNEL_ID => {
                let bytes = value.try_into().map_err(|_| bad)?;
                self.short_channel_id = Some(ShortChannelId(u64::from_be_bytes(bytes)));
            }
            kind::PAYMENT_DATA => {
                let (secret, total) = value.split_first_chunk().ok_or(bad)?;
                let total_msat = Msat(read_tu64(total).ok_or(bad)?);
                self.payment_data = Some(PaymentData { payment_secret: PaymentSecret(*secret), total_msat });
            }
            kind::ENCRYPTED_RECIPIENT_DATA => self.encrypted_recipient_data = Some((value, record.offset)),
            kind::CURRENT_PATH_KEY => self.current_path_key = Some(Point(value.try_into().map_err(|_| bad)?)),
            kind::PAYMENT_METADATA => self.payment_metadata = Some(value),
            kind::TOTAL_AMOUNT_MSAT => self.total_amount_msat = Some(Msat(read_tu64(value).ok_or(bad)?)),
            kind::KEYSEND_PREIMAGE => self.keysend_preimage = Some(Preimage(value.try_into().map_err(|_| bad)?)),
            unknown if unknown % 2 == 0 => return Err(InvalidPayload::at(&record, Why::Unknown)),
            _ => {}
        }
        // BOLT 4, payload format: a blinded payload holds 10 and 12, at the final hop also 2, 4 and 18, and nothing else.
        match record.kind {
            kind::ENCRYPTED_RECIPIENT_DATA | kind::CURRENT_PATH_KEY => {}
            kind::AMT_TO_FORWARD | kind::OUTGOING_CLTV_VALUE | kind::TOTAL_AMOUNT_MSAT => {
                self.final_blinded.get_or_insert(record);
            }
            _ => {
                self.never_blinded.get_or_insert(record);
            }
        }
        Ok(())
    }

    fn blinded(&self, encrypted: &'a [u8], offset: usize, is_final: bool) -> Result<Blinded<'a>, InvalidPayload> {
        let forbidden = if is_final { self.never_blinded } else { self.never_blinded.or(self.final_blinded) };
        if let Some(record) = forbidden {
            return Err(InvalidPayload::at(&record, Why::NotInBlinded));
        }
        let amounts = if is_final {
            let total = self.total_amount_msat.ok_or(InvalidPayload::missing(kind::TOTAL_AMOUNT_MSAT))?;
            Some(BlindedFinal {
                amt_to_forward: self.amt_to_forward()?,
                outgoing_cltv_value: self.outgoing_cltv_value()?,
                total_amount_msat: total,
            })
        } else {
            None
        };
        Ok(Blinded {
            encrypted_recipient_data: encrypted,
            current_path_key: self.current_path_key,
            amounts,
            offset: offset_u16(offset),
        })
    }

    fn amt_to_forward(&self) -> Result<Msat, InvalidPayload> {
        self.amt_to_forward.ok_or(InvalidPayload::missing(kind::AMT_TO_FORWARD))
    }

    fn outgoing_cltv_value(&self) -> Result<BlockHeight, InvalidPayload> {
        self.outgoing_cltv_value.ok_or(InvalidPayload::missing(kind::OUTGOING_CLTV_VALUE))
    }
}

impl<'a> Payload<'a> {
    /// Reads a payload (without its length prefix). The onion itself says whether the hop is the final one.
    pub fn decode(stream: &'a [u8], is_final: bool) -> Result<Payload<'a>, InvalidPayload> {
        let fields = Fields::read(stream)?;
        if let Some((encrypted, offset)) = fields.encrypted_recipient_data {
            return fields.blinded(encrypted, offset, is_final).map(Payload::Blinded);
        }
        if fields.current_path_key.is_some() {
            return Err(InvalidPayload::missing(kind::ENCRYPTED_RECIPIENT_DATA));
        }
        let amt_to_forward = fields.amt_to_forward()?;
        let outgoing_cltv_value = fields.outgoing_cltv_value()?;
        if is_final {
            return Ok(Payload::Final(Final {
                amt_to_forward,
                outgoing_cltv_value,
                payment_data: fields.payment_data,
                payment_metadata: fields.payment_metadata,
                keysend_preimage: fields.keysend_preimage,
            }));
        }
        let short_channel_id = fields.short_channel_id.ok_or(InvalidPayload::missing(kind::SHORT_CHANNEL_ID))?;
        Ok(Payload::Forward(Forward { short_channel_id, amt_to_forward, outgoing_cltv_value }))
    }

    /// Appends the payload's records (without a length prefix: [`super::build`] adds it).
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_with(&[], out);
    }

    /// As [`Payload::encode`], with records of an application, whose types ascend and are at least [`CUSTOM_KIND_MIN`].
    pub fn encode_with(&self, custom: &[(u64, &[u8])], out: &mut Vec<u8>) {
        assert!(custom.is_sorted_by(|a, b| a.0 < b.0), "custom records come in ascending order");
        assert!(custom.iter().all(|(kind, _)| *kind >= CUSTOM_KIND_MIN), "custom types leave the BOLTs' range alone");
        match self {
            Payload::Forward(forward) => {
                push_amounts(forward.amt_to_forward, forward.outgoing_cltv_value, out);
                push_record(kind::SHORT_CHANNEL_ID, &forward.short_channel_id.0.to_be_bytes(), out);
            }
            Payload::Final(last) => {
                push_amounts(last.amt_to_forward, last.outgoing_cltv_value, out);
                if let Some(data) = &last.payment_data {
                    let mut value = data.payment_secret.0.to_vec();
                    value.extend_from_slice(truncated(&data.total_msat.0.to_be_bytes()));
                    push_record(kind::PAYMENT_DATA, &value, out);
                }
                if let Some(metadata) = last.payment_metadata {
                    push_record(kind::PAYMENT_METADATA, metadata, out);
                }
            }
            Payload::Blinded(blinded) => {
                if let Some(amounts) = &blinded.amounts {
                    push_amounts(amounts.amt_to_forward, amounts.outgoing_cltv_value, out);
                }
                push_record(kind::ENCRYPTED_RECIPIENT_DATA, blinded.encrypted_recipient_data, out);
                if let Some(path_key) = &blinded.current_path_key {
                    push_record(kind::CURRENT_PATH_KEY, &path_key.0, out);
                }
                if let Some(amounts) = &blinded.amounts {
                    push_record(kind::TOTAL_AMOUNT_MSAT, truncated(&amounts.total_amount_msat.0.to_be_bytes()), out);
                }
            }
        }
        // The keysend preimage has its place among the custom records.
        let keysend = match self {
            Payload::Final(last) => last.keysend_preimage.as_ref(),
            _ => None,
        };
        let before = custom.partition_point(|(kind, _)| *kind < kind::KEYSEND_PREIMAGE);
        custom[..before].iter().for_each(|(kind, value)| push_record(*kind, value, out));
        if let Some(preimage) = keysend {
            push_record(kind::KEYSEND_PREIMAGE, &preimage.0, out);
        }
        custom[before..].iter().for_each(|(kind, value)| push_record(*kind, value, out));
    }
}

fn push_amounts(amt_to_forward: Msat, outgoing_cltv_value: BlockHeight, out: &mut Vec<u8>) {
    push_record(kind::AMT_TO_FORWARD, truncated(&amt_to_forward.0.to_be_bytes()), out);
    push_record(kind::OUTGOING_CLTV_VALUE, truncated(&u64::from(outgoing_cltv_value.0).to_be_bytes()), out);
}

/// The records that applications put into a payload, such as the message of a keysend.
pub fn custom_records(stream: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    Stream::new(stream)
        .map_while(Result::ok)
        .filter(|record| record.kind >= CUSTOM_KIND_MIN && record.kind != kind::KEYSEND_PREIMAGE)
        .map(|record| (record.kind, record.value))
}
