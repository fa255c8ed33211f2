//! Rows as clients see them.

use super::Stored;
use crate::clock::Wall;
use crate::ids::Preimage;
use crate::onion::failure::{PERM, UPDATE};
use crate::payment::route::Hop;
use crate::payment::rows::{
    ForwardRow, ForwardState, PartContent, PartFailure, PartRow, PartState, PaymentEndRow, PaymentRow,
};
use crate::request::error::PaymentFailure;
use crate::request::payment::{ForwardInfo, ForwardStatus, PayInfo, PayStatus, SendPayInfo};
use crate::request::{ErrorData, RequestError, Response};

/// A part as clients see it.
pub(in crate::node) fn part_info(number: u64, part: &PartRow, payment: &PaymentRow) -> SendPayInfo {
    let (status, preimage, completed, failure) = match &part.state {
        PartState::Pending { .. } => (PayStatus::Pending, None, None, None),
        PartState::Complete { preimage, at_s } => (PayStatus::Complete, Some(Preimage(*preimage)), Some(*at_s), None),
        PartState::Failed { failure, at_s } => (PayStatus::Failed, None, Some(*at_s), Some(failure)),
    };
    SendPayInfo {
        created_index: number + 1,
        updated_index: part.updated.map(|number| number + 1),
        group_id: part.group,
        part_id: part.part_id,
        payment_hash: part.payment_hash,
        status,
        amount_msat: part.content.amount().or(payment.amount),
        amount_sent_msat: part.content.first().amount,
        destination: part.content.destination().or(payment.destination),
        created_at_s: part.created_at_s,
        completed_at: completed.map(|at_s| Wall(at_s * 1000)),
        label: payment.label.clone(),
        bolt11: payment.bolt11.clone(),
        description: payment.description.clone(),
        preimage,
        error_onion: failure.filter(|failure| failure.erring_index.is_none()).map(|failure| failure.raw.clone()),
        message: (status == PayStatus::Pending).then(|| "Monitor status with listpays or waitsendpay".to_owned()),
    }
}

pub(super) fn pay_info(index: u64, stored: &Stored) -> Option<PayInfo> {
    let payment = stored.payment.as_ref()?;
    let status = match &stored.end {
        None => PayStatus::Pending,
        Some(PaymentEndRow { preimage: Some(_), .. }) => PayStatus::Complete,
        Some(_) => PayStatus::Failed,
    };
    let alive = |part: &&PartRow| !matches!(part.state, PartState::Failed { .. });
    let under_way = || stored.parts.values().filter(alive);
    let amount = under_way()
        .map(|part| part.content.amount())
        .try_fold(crate::amount::Msat::ZERO, |sum, amount| amount.map(|amount| sum.saturating_add(amount)));
    let sent = under_way().fold(crate::amount::Msat::ZERO, |sum, part| sum.saturating_add(part.content.first().amount));
    Some(PayInfo {
        payment_hash: payment.payment_hash,
        status,
        destination: payment.destination.or_else(|| stored.parts.values().find_map(|part| part.content.destination())),
        created_at_s: payment.created_at_s,
        completed_at_s: stored.end.as_ref().filter(|end| end.preimage.is_some()).map(|end| end.ended_at_s),
        label: payment.label.clone(),
        bolt11: payment.bolt11.clone(),
        description: payment.description.clone(),
        amount_msat: payment.amount.or(amount),
        amount_sent_msat: sent,
        preimage: stored.end.as_ref().and_then(|end| end.preimage).map(Preimage),
        number_of_parts: (status == PayStatus::Complete).then(|| under_way().count() as u32),
        created_index: index + 1,
        updated_index: stored.parts.values().filter_map(|part| part.updated).max().map(|number| number + 1),
    })
}

/// A forward as clients see it. What an unfinished one has no number of is its last change.
pub(super) fn forward_info(index: u64, forward: &ForwardRow) -> ForwardInfo {
    let (status, out_htlc, resolved, failure_code) = match forward.state {
        ForwardState::Offered { htlc, .. } => (ForwardStatus::Offered, Some(htlc), None, None),
        ForwardState::Settled { htlc, at_ms, .. } => (ForwardStatus::Settled, Some(htlc), Some(at_ms), None),
        ForwardState::Failed { htlc, at_ms, .. } => (ForwardStatus::Failed, Some(htlc), Some(at_ms), None),
        ForwardState::Refused { code, at_ms } => (ForwardStatus::LocalFailed, None, Some(at_ms), Some(code)),
    };
    ForwardInfo {
        created_index: index + 1,
        updated_index: forward.updated.map(|number| number + 1),
        in_channel: forward.in_scid,
        in_htlc: Some(forward.in_htlc),
        in_msat: forward.in_amount,
        out_channel: Some(forward.out_scid),
        out_htlc,
        out_msat: Some(forward.out_amount),
        fee_msat: Some(forward.in_amount.saturating_sub(forward.out_amount)),
        status,
        failure_code,
        received_at: Wall(forward.received_ms),
        resolved_at: resolved.map(Wall),
    }
}

/// What a client is told of a part that has ended, or is under way.
pub(in crate::node) fn part_result(
    number: u64,
    part: &PartRow,
    payment: &PaymentRow,
) -> Result<Response, RequestError> {
    let info = Box::new(part_info(number, part, payment));
    match &part.state {
        PartState::Pending { .. } | PartState::Complete { .. } => Ok(Response::SendPay(info)),
        PartState::Failed { failure, .. } => {
            let mut error = failure_error(failure, &part.content);
            if let Some(ErrorData::Payment(data)) = &mut error.data {
                data.part = Some(info);
            }
            Err(error)
        }
    }
}

/// Why a part, or a payment for want of it, has failed.
pub(in crate::node) fn failure_error(failure: &PartFailure, content: &PartContent) -> RequestError {
    let Some(erring_index) = failure.erring_index else {
        let data = ErrorData::OnionReply { reply: failure.raw.clone(), part: None };
        let text = "Malformed error reply: it cannot be decrypted";
        return RequestError::new(RequestError::PAY_UNPARSEABLE_ONION, text).with_data(data);
    };
    let permanent = failure.by_destination && failure.code & PERM != 0;
    let code = if failure.by_destination && (permanent || failure.code & UPDATE == 0) {
        RequestError::PAY_DESTINATION_PERM_FAIL
    } else {
        RequestError::PAY_TRY_OTHER_ROUTE
    };
    let hops: &[Hop] = match content {
        PartContent::Route { hops, .. } => hops,
        PartContent::Onion { first, .. } => std::slice::from_ref(first),
    };
    let index = erring_index as usize;
    let data = PaymentFailure {
        failure_code: Some(failure.code),
        erring_index: Some(erring_index),
        erring_node: index.checked_sub(1).and_then(|index| hops.get(index)).map(|hop| hop.node_id),
        // A node that forwards fails because of the channel it should have used; the last one names the one it came by.
        erring_channel: hops.get(index).or(hops.last()).map(|hop| hop.short_channel_id),
        erring_direction: None,
        raw_message: Some(failure.raw.clone()),
        part: None,
    };
    RequestError::new(code, failure.message.clone()).with_data(ErrorData::Payment(Box::new(data)))
}
