//! About money that we owe others, and that passes through.

use leyden_core::onion::Failure;
use leyden_core::request::payment::{ForwardInfo, ForwardStatus, Paid, PayInfo, PayStatus, SendPayInfo, XPaid};

use super::writer::{Hex, Object, Seconds};

fn status_name(status: PayStatus) -> &'static str {
    match status {
        PayStatus::Pending => "pending",
        PayStatus::Failed => "failed",
        PayStatus::Complete => "complete",
    }
}

pub(super) fn paid(object: &mut Object<'_>, paid: &Paid) {
    object.put_some("destination", paid.destination);
    object.put("payment_hash", paid.payment_hash);
    object.put("created_at", Seconds(paid.created_at));
    object.put("parts", paid.parts);
    object.put("amount_msat", paid.amount_msat);
    object.put("amount_sent_msat", paid.amount_sent_msat);
    object.put("payment_preimage", paid.preimage);
    object.put("status", "complete");
    if paid.partial_completion {
        object.put("warning_partial_completion", "Some parts of the payment are not yet completed");
    }
}

pub(super) fn xpaid(object: &mut Object<'_>, paid: &XPaid) {
    object.put("payment_preimage", paid.preimage);
    object.put("amount_msat", paid.amount_msat);
    object.put("amount_sent_msat", paid.amount_sent_msat);
    object.put("failed_parts", paid.failed_parts);
    object.put("successful_parts", paid.successful_parts);
}

pub(super) fn pay(pay: &PayInfo, object: &mut Object<'_>) {
    object.put_some("bolt11", pay.bolt11.as_ref());
    object.put_some("description", pay.description.as_ref());
    object.put_some("destination", pay.destination);
    object.put("payment_hash", pay.payment_hash);
    object.put("status", status_name(pay.status));
    object.put("created_at", pay.created_at_s);
    object.put_some("completed_at", pay.completed_at_s);
    object.put_some("label", pay.label.as_ref());
    object.put_some("preimage", pay.preimage);
    object.put_some("amount_msat", pay.amount_msat);
    object.put("amount_sent_msat", pay.amount_sent_msat);
    object.put_some("number_of_parts", pay.number_of_parts);
    object.put("created_index", pay.created_index);
    object.put_some("updated_index", pay.updated_index);
}

pub(super) fn send_pay(part: &SendPayInfo, object: &mut Object<'_>) {
    object.put_some("message", part.message.as_ref());
    object.put("created_index", part.created_index);
    object.put("id", part.created_index);
    object.put("payment_hash", part.payment_hash);
    object.put("groupid", part.group_id);
    object.put_some("partid", Some(part.part_id).filter(|id| *id > 0));
    object.put_some("updated_index", part.updated_index);
    object.put_some("destination", part.destination);
    object.put_some("amount_msat", part.amount_msat);
    object.put("amount_sent_msat", part.amount_sent_msat);
    object.put("created_at", part.created_at_s);
    object.put_some("completed_at", part.completed_at.map(Seconds));
    object.put("status", status_name(part.status));
    object.put_some("payment_preimage", part.preimage);
    object.put_some("label", part.label.as_ref());
    object.put_some("bolt11", part.bolt11.as_ref());
    object.put_some("description", part.description.as_ref());
    object.put_some("erroronion", part.error_onion.as_deref().map(Hex));
}

pub(super) fn forward(forward: &ForwardInfo, object: &mut Object<'_>) {
    let status = match forward.status {
        ForwardStatus::Offered => "offered",
        ForwardStatus::Settled => "settled",
        ForwardStatus::Failed => "failed",
        ForwardStatus::LocalFailed => "local_failed",
    };
    object.put("created_index", forward.created_index);
    object.put_some("updated_index", forward.updated_index);
    object.put("in_channel", forward.in_channel);
    object.put_some("in_htlc_id", forward.in_htlc);
    object.put_some("out_channel", forward.out_channel);
    object.put_some("out_htlc_id", forward.out_htlc);
    object.put("in_msat", forward.in_msat);
    object.put_some("out_msat", forward.out_msat);
    object.put_some("fee_msat", forward.fee_msat);
    object.put("status", status);
    object.put("style", "tlv");
    object.put_some("failcode", forward.failure_code);
    object.put_some("failreason", forward.failure_code.map(Failure::name_of));
    object.put("received_time", Seconds(forward.received_at));
    object.put_some("resolved_time", forward.resolved_at.map(Seconds));
}
