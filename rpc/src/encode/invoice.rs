//! About money that others owe us.

use leyden_core::request::invoice::{InvoiceCreated, InvoiceInfo, InvoiceStatus, InvoiceWarning};

use super::writer::Object;

pub(super) fn status_name(status: InvoiceStatus) -> &'static str {
    match status {
        InvoiceStatus::Unpaid => "unpaid",
        InvoiceStatus::Paid => "paid",
        InvoiceStatus::Expired => "expired",
        InvoiceStatus::Accepted => "accepted",
        InvoiceStatus::Cancelled => "cancelled",
    }
}

pub(super) fn created(object: &mut Object<'_>, created: &InvoiceCreated) {
    object.put("payment_hash", created.payment_hash);
    object.put("expires_at", created.expires_at_s);
    object.put("bolt11", &created.bolt11);
    object.put("payment_secret", created.payment_secret);
    object.put("created_index", created.created_index);
    for warning in &created.warnings {
        let (name, text) = match warning {
            InvoiceWarning::Capacity => ("warning_capacity", "Insufficient incoming channel capacity to pay invoice"),
            InvoiceWarning::Offline => {
                ("warning_offline", "Insufficient incoming capacity, once offline peers were excluded")
            }
            InvoiceWarning::DeadEnds => {
                ("warning_deadends", "Insufficient incoming capacity, once dead-end peers were excluded")
            }
            InvoiceWarning::PrivateUnused => {
                ("warning_private_unused", "Insufficient incoming capacity, once private channels were excluded")
            }
            InvoiceWarning::MultiPart => {
                ("warning_mpp", "The invoice is only payable in parts: no single channel can receive it")
            }
        };
        object.put(name, text);
    }
}

pub(super) fn info(invoice: &InvoiceInfo, object: &mut Object<'_>) {
    object.put("label", &invoice.label);
    object.put_some("bolt11", invoice.bolt11.as_ref());
    object.put("payment_hash", invoice.payment_hash);
    object.put_some("amount_msat", invoice.amount_msat);
    object.put("status", status_name(invoice.status));
    if let Some(held) = &invoice.held {
        object.put("amount_received_msat", held.amount_received_msat);
        object.put("accepted_at", held.accepted_at.unix_s());
        object.put("settle_before_height", held.settle_before);
    }
    if let Some(paid) = &invoice.paid {
        object.put("pay_index", paid.pay_index);
        object.put("amount_received_msat", paid.amount_received_msat);
        object.put("paid_at", paid.paid_at.unix_s());
        if let Some(outpoint) = paid.outpoint {
            object.object("paid_outpoint", |entry| {
                entry.put("txid", outpoint.txid);
                entry.put("outnum", outpoint.vout);
            });
        }
        object.put("payment_preimage", paid.preimage);
    }
    object.put_some("description", invoice.description.as_ref());
    object.put("expires_at", invoice.expires_at_s);
    object.put("created_index", invoice.created_index);
    object.put_some("updated_index", invoice.updated_index);
}
