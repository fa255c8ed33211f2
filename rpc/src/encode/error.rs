//! Errors with what programs can use of them.

use leyden_core::request::error::PaymentFailure;
use leyden_core::request::{ErrorData, RequestError};

use super::invoice::{info, status_name};
use super::payment::send_pay;
use super::writer::{Hex, Object};

/// Writes an answer's `error`.
pub(crate) fn request_error(out: &mut Vec<u8>, error: &RequestError) {
    let mut object = Object::open(out);
    // A negative number: written by its own digits.
    object.put("code", Code(error.code));
    object.put("message", &error.message);
    if let Some(data) = &error.data {
        object.object("data", |object| write_data(object, data));
    }
    object.close();
}

struct Code(i32);

impl super::writer::Json for Code {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.to_string().as_bytes());
    }
}

fn write_data(object: &mut Object<'_>, data: &ErrorData) {
    match data {
        ErrorData::Payment(failure) => payment(object, failure),
        ErrorData::OnionReply { reply, part } => {
            object.put("onionreply", Hex(reply));
            if let Some(part) = part {
                send_pay(part, object);
            }
        }
        ErrorData::Part(part) => send_pay(part, object),
        ErrorData::Invoice(invoice) => info(invoice, object),
        ErrorData::InvoiceStatus { current, expected } => {
            object.put("current_status", status_name(*current));
            object.put("expected_status", status_name(*expected));
        }
    }
}

fn payment(object: &mut Object<'_>, failure: &PaymentFailure) {
    if let Some(part) = &failure.part {
        send_pay(part, object);
    }
    object.put_some("erring_index", failure.erring_index);
    object.put_some("failcode", failure.failure_code);
    object.put_some("failcodename", failure.failure_code.map(failure_name));
    object.put_some("erring_node", failure.erring_node);
    object.put_some("erring_channel", failure.erring_channel);
    object.put_some("erring_direction", failure.erring_direction);
    object.put_some("raw_message", failure.raw_message.as_deref().map(Hex));
}

/// BOLT 4, failure messages, as Core Lightning prints them.
pub(super) fn failure_name(code: u16) -> &'static str {
    const BADONION: u16 = 0x8000;
    const PERM: u16 = 0x4000;
    const NODE: u16 = 0x2000;
    const UPDATE: u16 = 0x1000;
    const NODE_PERM: u16 = PERM | NODE;
    const BAD_PERM: u16 = BADONION | PERM;
    let flags = code & 0xf000;
    match (flags, code & 0x0fff) {
        (NODE, 2) => "WIRE_TEMPORARY_NODE_FAILURE",
        (NODE_PERM, 2) => "WIRE_PERMANENT_NODE_FAILURE",
        (NODE_PERM, 3) => "WIRE_REQUIRED_NODE_FEATURE_MISSING",
        (BAD_PERM, 4) => "WIRE_INVALID_ONION_VERSION",
        (BAD_PERM, 5) => "WIRE_INVALID_ONION_HMAC",
        (BAD_PERM, 6) => "WIRE_INVALID_ONION_KEY",
        (UPDATE, 7) => "WIRE_TEMPORARY_CHANNEL_FAILURE",
        (PERM, 8) => "WIRE_PERMANENT_CHANNEL_FAILURE",
        (PERM, 9) => "WIRE_REQUIRED_CHANNEL_FEATURE_MISSING",
        (PERM, 10) => "WIRE_UNKNOWN_NEXT_PEER",
        (UPDATE, 11) => "WIRE_AMOUNT_BELOW_MINIMUM",
        (UPDATE, 12) => "WIRE_FEE_INSUFFICIENT",
        (UPDATE, 13) => "WIRE_INCORRECT_CLTV_EXPIRY",
        (UPDATE, 14) => "WIRE_EXPIRY_TOO_SOON",
        (PERM, 15) => "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS",
        (0, 18) => "WIRE_FINAL_INCORRECT_CLTV_EXPIRY",
        (0, 19) => "WIRE_FINAL_INCORRECT_HTLC_AMOUNT",
        (UPDATE, 20) => "WIRE_CHANNEL_DISABLED",
        (0, 21) => "WIRE_EXPIRY_TOO_FAR",
        (PERM, 22) => "WIRE_INVALID_ONION_PAYLOAD",
        (0, 23) => "WIRE_MPP_TIMEOUT",
        (BAD_PERM, 24) => "WIRE_INVALID_ONION_BLINDING",
        _ => "UNKNOWN",
    }
}
