//! Writing an invoice (BOLT 11, tagged fields: requirements for writers).

use super::format::{HOP_BYTES, TIMESTAMP_SYMBOLS, digest, tag};
use super::*;
use super::{amount, symbols};

/// The most symbols that a field can have: its length has ten bits.
const FIELD_SYMBOLS_MAX: usize = 1023;
/// The most bytes that a field can have.
const FIELD_BYTES_MAX: usize = FIELD_SYMBOLS_MAX * 5 / 8;

/// The order in which this node writes fields: what a payer needs first, long things last.
const ORDER: [u8; 11] = [
    tag::PAYMENT_SECRET,
    tag::PAYMENT_HASH,
    tag::DESCRIPTION,
    tag::DESCRIPTION_HASH,
    tag::METADATA,
    tag::EXPIRY,
    tag::MIN_FINAL_CLTV_EXPIRY_DELTA,
    tag::PAYEE,
    tag::FALLBACK,
    tag::ROUTE_HINT,
    tag::FEATURES,
];

/// An invoice that lacks only its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSign {
    prefix: String,
    symbols: Vec<u8>,
}

impl ToSign {
    /// What the payee's key must sign.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.prefix, &self.symbols)
    }

    /// The invoice as a string, with the signature's compact form and its recovery id.
    pub fn finish(mut self, compact: &[u8; 64], recovery_id: u8) -> String {
        let mut bytes = [recovery_id; 65];
        bytes[..64].copy_from_slice(compact);
        symbols::push_bytes(&mut self.symbols, &bytes);
        symbols::to_string(&self.prefix, &self.symbols)
    }
}

impl<S> Invoice<S> {
    /// Lays the invoice out for signing.
    pub fn prepare(&self) -> Result<ToSign, InvoiceError> {
        self.prepare_in(&ORDER)
    }

    /// With the fields in this order. Fields that are not there, or say what their absence says, are left out.
    pub(super) fn prepare_in(&self, order: &[u8]) -> Result<ToSign, InvoiceError> {
        let mut prefix = format!("ln{}", currency_prefix(self.currency));
        match self.amount {
            None => {}
            Some(Msat::ZERO) => return Err(InvoiceError::ZeroAmount),
            Some(amount) => {
                amount::check(amount)?;
                amount::write(amount, &mut prefix);
            }
        }
        let timestamp_max = (1 << (5 * TIMESTAMP_SYMBOLS)) - 1;
        check('t', self.timestamp_s, timestamp_max)?;
        let mut symbols = Vec::with_capacity(512);
        symbols::push_number(&mut symbols, self.timestamp_s, TIMESTAMP_SYMBOLS);
        for tag in order {
            self.push_fields(*tag, &mut symbols)?;
        }
        Ok(ToSign { prefix, symbols })
    }

    /// Appends the field of a tag, or all of them.
    fn push_fields(&self, tag: u8, out: &mut Vec<u8>) -> Result<(), InvoiceError> {
        match tag {
            tag::PAYMENT_HASH => push_bytes_field(out, tag, &self.payment_hash.0),
            tag::PAYMENT_SECRET => push_bytes_field(out, tag, &self.payment_secret.0),
            tag::DESCRIPTION => match &self.description {
                Description::Text(text) => push_bytes_field(out, tag, text.as_bytes()),
                Description::Hash(_) => Ok(()),
            },
            tag::DESCRIPTION_HASH => match &self.description {
                Description::Text(_) => Ok(()),
                Description::Hash(hash) => push_bytes_field(out, tag, hash),
            },
            tag::METADATA => self.metadata.iter().try_for_each(|metadata| push_bytes_field(out, tag, metadata)),
            tag::PAYEE if self.names_payee => push_bytes_field(out, tag, &self.payee.0),
            tag::EXPIRY if self.expiry_s != DEFAULT_EXPIRY_S => push_number_field(out, tag, self.expiry_s),
            tag::MIN_FINAL_CLTV_EXPIRY_DELTA
                if self.min_final_cltv_expiry_delta != DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA =>
            {
                push_number_field(out, tag, self.min_final_cltv_expiry_delta.into())
            }
            tag::FALLBACK => self.fallbacks.iter().try_for_each(|fallback| push_fallback(out, fallback)),
            tag::ROUTE_HINT => self.route_hints.iter().try_for_each(|hint| push_route_hint(out, hint)),
            tag::FEATURES => push_features(out, &self.features),
            _ => Ok(()),
        }
    }
}

fn check(tag: char, actual: u64, maximum: u64) -> Result<(), InvoiceError> {
    if actual > maximum { Err(InvoiceError::TooLarge { tag, actual, maximum }) } else { Ok(()) }
}

/// Tag and length.
fn push_header(out: &mut Vec<u8>, tag: u8, len: usize) -> Result<(), InvoiceError> {
    check(tag::letter(tag), len as u64, FIELD_SYMBOLS_MAX as u64)?;
    out.push(tag);
    symbols::push_number(out, len as u64, 2);
    Ok(())
}

fn push_bytes_field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) -> Result<(), InvoiceError> {
    check(tag::letter(tag), bytes.len() as u64, FIELD_BYTES_MAX as u64)?;
    push_header(out, tag, (bytes.len() * 8).div_ceil(5))?;
    symbols::push_bytes(out, bytes);
    Ok(())
}

fn push_number_field(out: &mut Vec<u8>, tag: u8, value: u64) -> Result<(), InvoiceError> {
    let len = symbols::number_len(value);
    push_header(out, tag, len)?;
    symbols::push_number(out, value, len);
    Ok(())
}

fn push_fallback(out: &mut Vec<u8>, fallback: &Fallback) -> Result<(), InvoiceError> {
    let (version, program) = fallback.parts();
    push_header(out, tag::FALLBACK, 1 + (program.len() * 8).div_ceil(5))?;
    out.push(version);
    symbols::push_bytes(out, program);
    Ok(())
}

fn push_route_hint(out: &mut Vec<u8>, hint: &[RouteHintHop]) -> Result<(), InvoiceError> {
    if hint.is_empty() {
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(hint.len() * HOP_BYTES);
    for hop in hint {
        bytes.extend_from_slice(&hop.node_id.0);
        bytes.extend_from_slice(&hop.short_channel_id.0.to_be_bytes());
        bytes.extend_from_slice(&hop.fee_base_msat.to_be_bytes());
        bytes.extend_from_slice(&hop.fee_proportional_millionths.to_be_bytes());
        bytes.extend_from_slice(&hop.cltv_expiry_delta.to_be_bytes());
    }
    push_bytes_field(out, tag::ROUTE_HINT, &bytes)
}

/// BOLT 11: as few symbols as hold the highest bit, none at all without features.
fn push_features(out: &mut Vec<u8>, features: &Features) -> Result<(), InvoiceError> {
    let Some(highest) = features.bits().last() else {
        return Ok(());
    };
    let len = highest / 5 + 1;
    push_header(out, tag::FEATURES, len)?;
    let bit = |bit: usize| u8::from(features.bit(bit)) << (bit % 5);
    out.extend((0..len).rev().map(|index| (index * 5..index * 5 + 5).map(bit).sum::<u8>()));
    Ok(())
}
