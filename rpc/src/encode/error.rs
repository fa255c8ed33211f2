//! Errors with what programs can use of them.

use leyden_core::onion::Failure;
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
    object.put_some("failcodename", failure.failure_code.map(Failure::name_of));
    object.put_some("erring_node", failure.erring_node);
    object.put_some("erring_channel", failure.erring_channel);
    object.put_some("erring_direction", failure.erring_direction);
    object.put_some("raw_message", failure.raw_message.as_deref().map(Hex));
}
