//! Paying: from a client's call to the end of its payment.
//!
//! A hash that is paid is never paid again; while a payment of it is in flight no second one begins. Parts are in rows
//! before they leave. `pay` tries what it knows: our channels with the destination, and the hints of the invoice.

use super::history::part_info;
use super::payments::{SendError, local_failure};
use super::{Io, Node, NodeTimer};
use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{BlockHeight, ChannelKey, NodeId, PaymentHash, Preimage, RequestId, ShortChannelId};
use crate::invoice::Invoice;
use crate::limits::{HTLC_CLTV_MAX, PAYMENT_PARTS_MAX};
use crate::onion::failure::{PERM, UPDATE};
use crate::payment::outgoing::{Drive, Payment, Standing, Style, TooMany, Waiter};
use crate::payment::route::{FinalData, Hop, along_hint, split};
use crate::payment::rows::{
    PartContent, PartFailure, PartRow, PartState, PaymentEndRow, PaymentHashRow, PaymentRow, hash_key, index_key,
};
use crate::request::error::PaymentFailure;
use crate::request::payment::{
    CreateOnion, Exclusion, FeeLimit, OnionBuilt, Paid, Pay, SendOnion, SendPay, WaitSendPay, XPaid, XPay,
};
use crate::request::{ErrorData, Request, RequestError, Response};

/// `pay` gives forwarding nodes at most this share of the amount, in millionths, if the caller says nothing.
const FEE_SHARE_MILLIONTHS: u64 = 5_000;
/// … and in any case so much.
const FEE_EXEMPT: Msat = Msat(5_000);
/// `delay` of a client counts from the next block, as with Core Lightning.
const NEXT_BLOCK: u32 = 1;
/// Attempts of one `pay`.
const ATTEMPTS_MAX: u32 = 30;
/// Blocks may come while the payment is under way, and the payee may know of some before we do.
const FINAL_CLTV_SPARE: u32 = 3;

/// What `pay` and `xpay` ask alike.
struct Wish {
    style: Style,
    invoice: String,
    amount: Option<Msat>,
    label: Option<String>,
    fee: FeeLimit,
    retry_for_s: u64,
    delay_max: Option<u32>,
    exclude: Vec<Exclusion>,
    description: Option<String>,
    partial: Option<Msat>,
}

impl From<Pay> for Wish {
    fn from(pay: Pay) -> Wish {
        Wish {
            style: Style::Pay,
            invoice: pay.invoice,
            amount: pay.amount_msat,
            label: pay.label,
            fee: pay.fee_limit,
            retry_for_s: pay.retry_for_s,
            delay_max: pay.max_delay_blocks,
            exclude: pay.exclude,
            description: pay.description,
            partial: pay.partial_msat,
        }
    }
}

impl From<XPay> for Wish {
    fn from(pay: XPay) -> Wish {
        Wish {
            style: Style::Xpay,
            invoice: pay.invoice,
            amount: pay.amount_msat,
            label: pay.label,
            fee: pay.max_fee_msat.map_or(FeeLimit::Default, FeeLimit::Absolute),
            retry_for_s: pay.retry_for_s,
            delay_max: pay.max_delay_blocks,
            exclude: Vec::new(),
            description: None,
            partial: pay.partial_msat,
        }
    }
}

fn fee_max(limit: FeeLimit, amount: Msat) -> Msat {
    let share = |millionths: u64| Msat((u128::from(amount.0) * u128::from(millionths) / 1_000_000) as u64);
    match limit {
        FeeLimit::Default => share(FEE_SHARE_MILLIONTHS).max(FEE_EXEMPT),
        FeeLimit::Absolute(fee) => fee,
        FeeLimit::Proportional { millionths, exempt_msat } => share(millionths.min(1_000_000)).max(exempt_msat),
    }
}

fn in_progress() -> RequestError {
    RequestError::new(RequestError::PAY_IN_PROGRESS, "Payment is in progress: wait for it with listpays or waitsendpay")
}

/// What a client is told of a part that has ended, or is under way.
pub(super) fn part_result(number: u64, part: &PartRow, payment: &PaymentRow) -> Result<Response, RequestError> {
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

fn failure_error(failure: &PartFailure, content: &PartContent) -> RequestError {
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

impl Node {
    /// `pay`, `xpay`, `sendpay`, `sendonion`: what comes before anything is sent.
    pub(super) fn on_pay(&mut self, io: &mut Io<'_>, request: RequestId, asked: Request) {
        let hash = match &asked {
            Request::Pay(pay) => self.invoice_hash(&pay.invoice),
            Request::XPay(pay) => self.invoice_hash(&pay.invoice),
            Request::SendPay(send) => Ok(send.payment_hash),
            Request::SendOnion(send) => Ok(send.payment_hash),
            _ => unreachable!("on_pay is for requests that pay"),
        };
        let hash = match hash {
            Ok(hash) => hash,
            Err(error) => return io.reply(request, Err(error)),
        };
        let driven = matches!(asked, Request::Pay(_) | Request::XPay(_));
        if driven && self.outgoing.by_hash(hash).next().is_some() {
            return io.reply(request, Err(in_progress()));
        }
        self.unless_paid(io, request, hash, asked);
    }

    fn invoice_hash(&self, text: &str) -> Result<PaymentHash, RequestError> {
        self.parse_invoice(text).map(|invoice| invoice.payment_hash)
    }

    fn parse_invoice(&self, text: &str) -> Result<Invoice, RequestError> {
        let invoice =
            Invoice::parse(text).map_err(|error| RequestError::invalid_params(format!("Invalid invoice: {error}")))?;
        if invoice.currency != self.config.network {
            let text = format!(
                "Invalid invoice: it is for the network {}, this node is on {}",
                invoice.currency.name(),
                self.config.network.name()
            );
            return Err(RequestError::invalid_params(text));
        }
        Ok(invoice)
    }

    /// The hash was paid before: tell how, and pay nothing.
    #[expect(clippy::too_many_arguments, reason = "the parts of one stored payment")]
    pub(super) fn answer_paid_before(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        asked: &Request,
        _index: u64,
        payment: &PaymentRow,
        end: &PaymentEndRow,
        parts: std::collections::BTreeMap<u64, PartRow>,
    ) {
        let Some(preimage) = end.preimage.map(Preimage) else { return };
        let result = match asked {
            Request::Pay(_) => Ok(Response::Paid(Box::new(Paid {
                preimage,
                payment_hash: payment.payment_hash,
                destination: payment.destination,
                created_at: Wall(payment.created_at_s * 1000),
                parts: end.parts,
                amount_msat: end.amount_received,
                amount_sent_msat: end.amount_sent,
                partial_completion: false,
            }))),
            Request::XPay(_) => Ok(Response::XPaid(XPaid {
                preimage,
                failed_parts: 0,
                successful_parts: end.parts,
                amount_msat: end.amount_received,
                amount_sent_msat: end.amount_sent,
            })),
            _ => {
                let complete = |part: &&PartRow| matches!(part.state, PartState::Complete { .. });
                match parts.iter().find(|(_, part)| complete(part)) {
                    Some((number, part)) => part_result(*number, part, payment),
                    None => Err(RequestError::new(RequestError::PAY_RHASH_ALREADY_USED, "This hash was paid already")),
                }
            }
        };
        io.reply(request, result);
    }

    /// The hash was not paid before.
    pub(super) fn pay_unpaid(&mut self, io: &mut Io<'_>, request: RequestId, hash: PaymentHash, asked: Request) {
        let result = match asked {
            Request::Pay(pay) => self.begin_pay(io, request, hash, (*pay).into()),
            Request::XPay(pay) => self.begin_pay(io, request, hash, (*pay).into()),
            Request::SendPay(send) => self.begin_sendpay(io, request, *send),
            Request::SendOnion(send) => self.begin_sendonion(io, request, *send),
            _ => unreachable!("on_pay is for requests that pay"),
        };
        if let Err(error) = result {
            io.reply(request, Err(error));
        }
    }

    fn begin_payment(
        &mut self,
        io: &mut Io<'_>,
        row: PaymentRow,
        drive: Option<Box<Drive>>,
    ) -> Result<u64, RequestError> {
        let hash = row.payment_hash;
        let stored = row.clone();
        let group = row.group;
        let index = self
            .outgoing
            .begin(row, drive)
            .map_err(|TooMany| RequestError::generic("too many payments are in flight: wait until some have ended"))?;
        io.put(index_key(index), &stored);
        io.put(hash_key(hash, index), &PaymentHashRow(group));
        Ok(index)
    }

    // --- pay and xpay -----------------------------------------------------------------------------------------------

    fn begin_pay(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        hash: PaymentHash,
        wish: Wish,
    ) -> Result<(), RequestError> {
        if self.outgoing.by_hash(hash).next().is_some() {
            return Err(in_progress());
        }
        let invoice = self.parse_invoice(&wish.invoice)?;
        if invoice.payee == self.id {
            return Err(RequestError::new(RequestError::PAY_ROUTE_NOT_FOUND, "The invoice is our own"));
        }
        if invoice.timestamp_s.saturating_add(invoice.expiry_s) <= io.clock.wall.unix_s() {
            return Err(RequestError::new(RequestError::PAY_INVOICE_EXPIRED, "Invoice expired"));
        }
        let total = match (invoice.amount, wish.amount) {
            (Some(amount), None) => amount,
            (None, Some(amount)) if amount > Msat::ZERO => amount,
            (None, _) => {
                return Err(RequestError::invalid_params("amount_msat is needed: the invoice leaves it open"));
            }
            (Some(amount), Some(given)) if given == amount => amount,
            (Some(_), Some(_)) => {
                return Err(RequestError::invalid_params("amount_msat is not needed: the invoice names its amount"));
            }
        };
        let amount = wish.partial.unwrap_or(total);
        if amount == Msat::ZERO || amount > total {
            return Err(RequestError::invalid_params("partial_msat must be above zero and at most the amount"));
        }
        let drive = Drive {
            reply: request,
            style: wish.style,
            destination: invoice.payee,
            amount,
            total,
            fee_max: fee_max(wish.fee, amount),
            delay_max: wish.delay_max.unwrap_or(HTLC_CLTV_MAX).min(HTLC_CLTV_MAX),
            final_cltv_delta: invoice.min_final_cltv_expiry_delta,
            payment_secret: invoice.payment_secret,
            metadata: invoice.metadata.clone(),
            hints: invoice.route_hints.clone(),
            multi_part: invoice.features.says(crate::wire::Feature::BasicMpp),
            retry_until: io.clock.mono.plus_ms(wish.retry_for_s.saturating_mul(1000)),
            avoid: Vec::new(),
            avoid_hints: wish
                .exclude
                .iter()
                .filter_map(|exclusion| match exclusion {
                    Exclusion::Channel(channel) => Some(channel.short_channel_id),
                    Exclusion::Node(_) => None,
                })
                .collect(),
            avoid_nodes: wish
                .exclude
                .iter()
                .filter_map(|exclusion| match exclusion {
                    Exclusion::Node(node) => Some(*node),
                    Exclusion::Channel(_) => None,
                })
                .collect(),
            attempts: 0,
            last_hops: Vec::new(),
            failed_parts: 0,
            last_failure: None,
        };
        let retry_until = drive.retry_until;
        let row = PaymentRow {
            payment_hash: hash,
            group: self.next_group(),
            destination: Some(invoice.payee),
            amount: Some(amount),
            created_at_s: io.clock.wall.unix_s(),
            label: wish.label,
            bolt11: Some(wish.invoice),
            description: wish.description,
        };
        let index = self.begin_payment(io, row, Some(Box::new(drive)))?;
        self.timers.set(NodeTimer::Retry { payment: index }, retry_until);
        self.advance_payment(io, index, None);
        Ok(())
    }

    fn next_group(&self) -> u64 {
        self.outgoing.next_index() + 1
    }

    /// A part has ended, or the payment begins: what now?
    pub(super) fn advance_payment(&mut self, io: &mut Io<'_>, index: u64, ended: Option<(u64, &PartRow)>) {
        let Some(payment) = self.outgoing.payment_mut(index) else { return };
        if let Some((_, row)) = ended {
            payment.count(row);
            if let (Some(drive), PartState::Failed { failure, .. }) = (&mut payment.drive, &row.state) {
                learn(drive, failure, row);
            }
        }
        let over = match &payment.drive {
            Some(drive) => payment.preimage.is_some() || refused_by_destination(drive),
            None => true,
        };
        let in_time = payment.drive.as_ref().is_some_and(|drive| {
            (drive.attempts == 0 || io.clock.mono < drive.retry_until) && drive.attempts < ATTEMPTS_MAX
        });
        let mut reason = None;
        if !over && in_time {
            match self.attempt(io, index) {
                Ok(()) => return,
                Err(error) => reason = Some(error),
            }
        }
        if self.outgoing.standing(index) == Standing::Idle {
            self.finish_payment(io, index, reason);
        }
    }

    /// No new attempts; what is in flight decides.
    pub(super) fn on_retry_over(&mut self, io: &mut Io<'_>, index: u64) {
        self.advance_payment(io, index, None);
    }

    fn finish_payment(&mut self, io: &mut Io<'_>, index: u64, reason: Option<RequestError>) {
        let Some(preimage) = self.outgoing.payment(index).map(|payment| payment.preimage) else { return };
        let Some(payment) = self.end_payment(io, index, preimage) else { return };
        self.timers.clear(NodeTimer::Retry { payment: index });
        let Some(drive) = &payment.drive else { return };
        let result = match preimage {
            Some(preimage) => Ok(success(&payment, drive, preimage)),
            None => Err(match (&drive.last_failure, reason) {
                (Some(failure), _) if failure.by_destination => failure_error(failure, &drive.last_content()),
                (_, Some(reason)) => reason,
                (Some(failure), None) => failure_error(failure, &drive.last_content()),
                (None, None) => {
                    RequestError::new(RequestError::PAY_STOPPED_RETRYING, "Timed out before anything worked")
                }
            }),
        };
        io.reply(drive.reply, result);
    }

    /// One round: sends what is missing, over as few channels as will do.
    fn attempt(&mut self, io: &mut Io<'_>, index: u64) -> Result<(), RequestError> {
        for _ in 0..ATTEMPTS_MAX {
            let plan = self.plan(index)?;
            let Some(drive) = self.outgoing.payment_mut(index).and_then(|payment| payment.drive.as_mut()) else {
                return Ok(());
            };
            drive.attempts += 1;
            let last = drive.final_data();
            let single = plan.len() == 1 && self.outgoing.payment(index).is_some_and(|p| p.parts.is_empty());
            let mut refused = None;
            for (channel, hops) in plan {
                let session_key = io.signer.draw();
                let next = self.outgoing.payment(index).map_or(0, |payment| payment.parts.len() as u64);
                let part_id = if single { 0 } else { next + 1 };
                let content = PartContent::Route { hops, last: last.clone(), session_key };
                if let Err(error) = self.send_part(io, index, part_id, channel, content, None) {
                    refused = Some((channel, error));
                    break;
                }
            }
            let Some((channel, error)) = refused else { return Ok(()) };
            if let Some(drive) = self.outgoing.payment_mut(index).and_then(|payment| payment.drive.as_mut()) {
                if !drive.avoid.contains(&channel) {
                    drive.avoid.push(channel);
                }
                if drive.last_failure.is_none() {
                    drive.last_failure = Some(local_failure(0x1007, &error.to_string()));
                }
            }
        }
        Err(RequestError::new(RequestError::PAY_ROUTE_NOT_FOUND, "No channel takes the payment"))
    }

    /// Which channels carry what.
    fn plan(&self, index: u64) -> Result<Vec<(ChannelKey, Vec<Hop>)>, RequestError> {
        let no_route = |text: String| Err(RequestError::new(RequestError::PAY_ROUTE_NOT_FOUND, text));
        let Some(payment) = self.outgoing.payment(index) else { return Ok(Vec::new()) };
        let drive = payment.drive.as_ref().expect("only a driven payment is planned");
        let (in_flight, sent) = self.outgoing.in_flight(index);
        let missing = drive.amount.saturating_sub(in_flight).saturating_sub(payment.received);
        if missing == Msat::ZERO {
            return Ok(Vec::new());
        }
        let fees_spent = (sent + payment.sent).saturating_sub(in_flight + payment.received);
        let fee_left = drive.fee_max.saturating_sub(fees_spent);
        let height = self.chain.height();
        let expiry = height.plus(drive.final_cltv_delta + FINAL_CLTV_SPARE);
        if drive.final_cltv_delta + FINAL_CLTV_SPARE > drive.delay_max {
            let text =
                format!("the invoice wants {} blocks, at most {} are allowed", drive.final_cltv_delta, drive.delay_max);
            return no_route(text);
        }

        // Straight to the destination.
        let direct = self.usable_channels(drive.destination, drive);
        if let Some(parts) = self.divide(&direct, missing, drive.multi_part) {
            let hop = |amount, channel: ChannelKey| Hop {
                node_id: drive.destination,
                short_channel_id: self.shown_scid(channel),
                amount,
                cltv_expiry: expiry,
            };
            return Ok(parts.into_iter().map(|(channel, amount)| (channel, vec![hop(amount, channel)])).collect());
        }

        // Along the invoice's hints.
        let mut too_expensive = false;
        for hint in &drive.hints {
            let Some(entry) = hint.first() else { continue };
            let shunned = hint.iter().any(|hop| {
                drive.avoid_hints.contains(&hop.short_channel_id) || drive.avoid_nodes.contains(&hop.node_id)
            });
            if shunned || entry.node_id == self.id {
                continue;
            }
            let channels = self.usable_channels(entry.node_id, drive);
            let Some(whole) = along_hint(hint, drive.destination, missing, expiry) else { continue };
            if whole[0].amount.saturating_sub(missing) > fee_left {
                too_expensive = true;
                continue;
            }
            if whole[0].cltv_expiry.since(height) > drive.delay_max {
                continue;
            }
            // What the parts cost together may be a little more than the whole: each pays the base fees.
            let fee = |amount: Msat| along_hint(hint, drive.destination, amount, expiry);
            if let Some((key, _)) = channels.iter().find(|(_, capacity)| *capacity >= whole[0].amount) {
                let mut hops = whole;
                hops[0].short_channel_id = self.shown_scid(*key);
                return Ok(vec![(*key, hops)]);
            }
            if !drive.multi_part {
                continue;
            }
            let margin = whole[0].amount - missing;
            let shrunk: Vec<(ChannelKey, Msat)> = channels
                .iter()
                .map(|(key, capacity)| (*key, capacity.saturating_sub(margin).saturating_sub(Msat(1_000))))
                .collect();
            let Some(parts) = self.divide(&shrunk, missing, true) else { continue };
            let mut plan = Vec::new();
            let mut fees = Msat::ZERO;
            for (key, amount) in parts {
                let Some(mut hops) = fee(amount) else { break };
                fees = fees.saturating_add(hops[0].amount.saturating_sub(amount));
                hops[0].short_channel_id = self.shown_scid(key);
                plan.push((key, hops));
            }
            if fees <= fee_left {
                return Ok(plan);
            }
            too_expensive = true;
        }
        if too_expensive {
            let text = format!("every route costs more than {}", drive.fee_max);
            return Err(RequestError::new(RequestError::PAY_ROUTE_TOO_EXPENSIVE, text));
        }
        no_route(format!(
            "no route to {}: no channel with it or with a hint of the invoice can send {missing}",
            drive.destination
        ))
    }

    /// Our channels with a node that may carry HTLCs now, with what each can send.
    fn usable_channels(&self, node: NodeId, drive: &Drive) -> Vec<(ChannelKey, Msat)> {
        if drive.avoid_nodes.contains(&node) && node != drive.destination {
            return Vec::new();
        }
        let usable = self.index.of_peer(node).filter(|key| !drive.avoid.contains(key)).filter_map(|key| {
            let channel = self.channels.get(&key)?;
            let named = drive.avoid_hints.iter().any(|scid| channel.scid() == Some(*scid));
            (channel.is_up() && !named).then(|| (key, channel.spendable_msat(&self.channel_config)))
        });
        usable.filter(|(_, capacity)| *capacity > Msat::ZERO).collect()
    }

    fn divide(
        &self,
        channels: &[(ChannelKey, Msat)],
        amount: Msat,
        multi_part: bool,
    ) -> Option<Vec<(ChannelKey, Msat)>> {
        // The smallest that takes it all keeps the large ones free.
        let whole = channels.iter().filter(|(_, capacity)| *capacity >= amount).min_by_key(|(_, capacity)| *capacity);
        if let Some((key, _)) = whole {
            return Some(vec![(*key, amount)]);
        }
        if !multi_part {
            return None;
        }
        let capacities: Vec<Msat> = channels.iter().map(|(_, capacity)| *capacity).collect();
        let parts = split(amount, &capacities, Msat(1))?;
        let used = channels.iter().zip(parts).filter(|(_, part)| *part > Msat::ZERO);
        let plan: Vec<(ChannelKey, Msat)> = used.map(|((key, _), part)| (*key, part)).collect();
        (plan.len() <= PAYMENT_PARTS_MAX).then_some(plan)
    }

    // --- sendpay, sendonion, waitsendpay, createonion ----------------------------------------------------------------

    /// The payment in flight of a hash: that of the group, or the latest.
    fn in_flight(&self, payment_hash: PaymentHash, group: Option<u64>) -> Option<(u64, u64)> {
        let mut in_flight = self.outgoing.by_hash(payment_hash);
        match group {
            Some(group) => in_flight.find(|(known, _)| *known == group),
            None => in_flight.last(),
        }
    }

    /// The payment that a part joins, begun if there is none.
    fn payment_for_part(
        &mut self,
        io: &mut Io<'_>,
        row: PaymentRow,
        group: Option<u64>,
        part_id: u64,
    ) -> Result<PartPlace, RequestError> {
        let found = self.in_flight(row.payment_hash, group);
        if let Some((_, index)) = found {
            let payment = self.outgoing.payment(index).expect("it is in flight");
            let before = payment.parts.get(&part_id);
            if let Some(part) = before.and_then(|number| self.outgoing.part(*number).map(|part| (*number, part))) {
                return Ok(PartPlace::There(part_result(part.0, &part.1.row, &payment.row)));
            }
            if part_id == 0 || before.is_some() {
                return Err(in_progress());
            }
            return Ok(PartPlace::Joins(index));
        }
        let group = group.unwrap_or_else(|| self.next_group());
        self.begin_payment(io, PaymentRow { group, ..row }, None).map(PartPlace::Begins)
    }

    fn begin_sendpay(&mut self, io: &mut Io<'_>, request: RequestId, send: SendPay) -> Result<(), RequestError> {
        let (Some(first), Some(last)) = (send.route.first().copied(), send.route.last().copied()) else {
            return Err(RequestError::invalid_params("route must not be empty"));
        };
        let height = self.chain.height();
        let hops: Vec<Hop> = send
            .route
            .iter()
            .map(|hop| Hop {
                node_id: hop.node,
                short_channel_id: hop.channel,
                amount: hop.amount_msat,
                cltv_expiry: height.plus(NEXT_BLOCK + hop.delay),
            })
            .collect();
        let total = send.total_msat.unwrap_or(last.amount_msat);
        let channel = self.first_channel(Some(first.node), Some(first.channel), first.amount_msat)?;
        let row = PaymentRow {
            payment_hash: send.payment_hash,
            group: 0,
            destination: Some(last.node),
            amount: Some(total),
            created_at_s: io.clock.wall.unix_s(),
            label: send.label,
            bolt11: send.bolt11,
            description: send.description,
        };
        let place = self.payment_for_part(io, row, send.group_id, send.part_id)?;
        let last = FinalData { payment_secret: send.payment_secret, total, metadata: send.payment_metadata };
        let session_key = io.signer.draw();
        let content = PartContent::Route { hops, last, session_key };
        self.send_placed(io, request, place, send.part_id, channel, content, None)
    }

    fn begin_sendonion(&mut self, io: &mut Io<'_>, request: RequestId, send: SendOnion) -> Result<(), RequestError> {
        let onion: [u8; crate::onion::ONION_SIZE] = send.onion.as_slice().try_into().map_err(|_| {
            let text = format!("onion has {} bytes, a payment's has {}", send.onion.len(), crate::onion::ONION_SIZE);
            RequestError::invalid_params(text)
        })?;
        let hop = send.first_hop;
        let channel = self.first_channel(hop.node, hop.channel, hop.amount_msat)?;
        let node_id = self.channels.get(&channel).map(|channel| channel.peer()).expect("it was just found");
        let first = Hop {
            node_id,
            short_channel_id: self.shown_scid(channel),
            amount: hop.amount_msat,
            cltv_expiry: self.chain.height().plus(NEXT_BLOCK + hop.delay),
        };
        let row = PaymentRow {
            payment_hash: send.payment_hash,
            group: 0,
            destination: send.destination,
            amount: send.amount_msat,
            created_at_s: io.clock.wall.unix_s(),
            label: send.label,
            bolt11: send.bolt11,
            description: send.description,
        };
        let place = self.payment_for_part(io, row, send.group_id, send.part_id)?;
        let content = PartContent::Onion {
            first,
            amount: send.amount_msat,
            destination: send.destination,
            shared_secrets: send.shared_secrets.unwrap_or_default(),
        };
        self.send_placed(io, request, place, send.part_id, channel, content, Some(&onion))
    }

    #[expect(clippy::too_many_arguments, reason = "what a part is, and who asked")]
    fn send_placed(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        place: PartPlace,
        part_id: u64,
        channel: ChannelKey,
        content: PartContent,
        onion: Option<&[u8; crate::onion::ONION_SIZE]>,
    ) -> Result<(), RequestError> {
        let (index, begun) = match place {
            PartPlace::There(result) => {
                io.reply(request, result);
                return Ok(());
            }
            PartPlace::Joins(index) => (index, false),
            PartPlace::Begins(index) => (index, true),
        };
        match self.send_part(io, index, part_id, channel, content, onion) {
            Ok(number) => {
                let part = &self.outgoing.part(number).expect("it was just sent").row;
                let payment = &self.outgoing.payment(index).expect("it has a part").row;
                io.reply(request, part_result(number, part, payment));
                Ok(())
            }
            Err(error) => {
                if begun {
                    self.finish_payment(io, index, None);
                }
                Err(match error {
                    SendError::Onion(text) => RequestError::invalid_params(text),
                    error => {
                        RequestError::new(RequestError::PAY_TRY_OTHER_ROUTE, format!("First peer not ready: {error}"))
                    }
                })
            }
        }
    }

    /// The channel that a route begins with: the one that is named, or any with that peer that can carry it.
    fn first_channel(
        &self,
        node: Option<NodeId>,
        scid: Option<ShortChannelId>,
        amount: Msat,
    ) -> Result<ChannelKey, RequestError> {
        let unknown = || RequestError::new(RequestError::PAY_TRY_OTHER_ROUTE, "No channel of ours begins this route");
        let named = scid.and_then(|scid| self.index.by_scid.get(&scid).copied());
        let named = named
            .filter(|key| node.is_none_or(|node| self.channels.get(key).is_some_and(|channel| channel.peer() == node)));
        if let Some(key) = named {
            return Ok(key);
        }
        let node = node.ok_or_else(unknown)?;
        let of_peer: Vec<ChannelKey> = self.index.of_peer(node).collect();
        let able = of_peer.iter().copied().find(|key| {
            self.channels
                .get(key)
                .is_some_and(|channel| channel.is_up() && channel.spendable_msat(&self.channel_config) >= amount)
        });
        able.or(of_peer.first().copied()).ok_or_else(unknown)
    }

    pub(super) fn on_wait_sendpay(&mut self, io: &mut Io<'_>, request: RequestId, wait: WaitSendPay) {
        let part_id = wait.part_id.unwrap_or(0);
        let found = self.in_flight(wait.payment_hash, wait.group_id);
        let under_way = found.and_then(|(group, index)| {
            let number = *self.outgoing.payment(index)?.parts.get(&part_id)?;
            self.outgoing.part(number).map(|_| group)
        });
        let Some(group) = under_way else { return self.ask_ended_part(io, request, wait) };
        let until = wait.timeout_s.map(|timeout_s| io.clock.mono.plus_ms(timeout_s.saturating_mul(1000)));
        let waiter = Waiter { request, payment_hash: wait.payment_hash, group: Some(group), part_id, until };
        if self.outgoing.wait(waiter).is_err() {
            io.reply(request, Err(RequestError::generic("too many clients are waiting")));
        }
    }

    /// Tells those who wait for a part how it ended.
    pub(super) fn answer_part(&mut self, io: &mut Io<'_>, number: u64, row: &PartRow) {
        let waiters = self.outgoing.take_waiters(row.payment_hash, row.group, row.part_id);
        if waiters.is_empty() {
            return;
        }
        let Some(payment) = self.outgoing.payment(row.payment).map(|payment| payment.row.clone()) else { return };
        for waiter in waiters {
            io.reply(waiter.request, part_result(number, row, &payment));
        }
    }

    pub(super) fn on_create_onion(&mut self, io: &mut Io<'_>, request: RequestId, create: CreateOnion) {
        let session_key = create.session_key.unwrap_or_else(|| io.signer.draw());
        io.reply(request, create_onion(&create, &session_key).map(|onion| Response::Onion(Box::new(onion))));
    }
}

/// Where a part of a client belongs.
enum PartPlace {
    /// It is under way already.
    There(Result<Response, RequestError>),
    /// To a payment in flight.
    Joins(u64),
    /// To a payment that begins with it.
    Begins(u64),
}

fn create_onion(create: &CreateOnion, session_key: &[u8; 32]) -> Result<OnionBuilt, RequestError> {
    if usize::from(create.onion_size) != crate::onion::PAYLOADS_BYTES {
        let text = format!("onion_size must be {}, the size of a payment's", crate::onion::PAYLOADS_BYTES);
        return Err(RequestError::invalid_params(text));
    }
    let mut hops = Vec::with_capacity(create.hops.len());
    for (index, hop) in create.hops.iter().enumerate() {
        let node = hop
            .node
            .parse()
            .map_err(|_| RequestError::invalid_params(format!("hops[{index}].pubkey is no node id")))?;
        let Ok((len, payload)) = crate::wire::BigSize::split(&hop.payload) else {
            return Err(RequestError::invalid_params(format!("hops[{index}].payload does not begin with its length")));
        };
        if payload.len() as u64 != len {
            let text = format!("hops[{index}].payload says {len} bytes and has {}", payload.len());
            return Err(RequestError::invalid_params(text));
        }
        hops.push((node, payload));
    }
    let built = crate::onion::build(session_key, hops.into_iter(), &create.associated_data)
        .map_err(|error| RequestError::invalid_params(error.to_string()))?;
    Ok(OnionBuilt { onion: built.packet.to_vec(), shared_secrets: built.shared_secrets })
}

fn success(payment: &Payment, drive: &Drive, preimage: Preimage) -> Response {
    match drive.style {
        Style::Pay => Response::Paid(Box::new(Paid {
            preimage,
            payment_hash: payment.row.payment_hash,
            destination: payment.row.destination,
            created_at: Wall(payment.row.created_at_s * 1000),
            parts: payment.parts.len() as u32,
            amount_msat: payment.received,
            amount_sent_msat: payment.sent,
            partial_completion: false,
        })),
        Style::Xpay => Response::XPaid(XPaid {
            preimage,
            failed_parts: drive.failed_parts,
            successful_parts: payment.succeeded,
            amount_msat: payment.received,
            amount_sent_msat: payment.sent,
        }),
    }
}

/// The destination does not want it: no other route will help.
fn refused_by_destination(drive: &Drive) -> bool {
    drive.last_failure.as_ref().is_some_and(|failure| failure.by_destination)
}

/// Avoids what has failed.
fn learn(drive: &mut Drive, failure: &PartFailure, row: &PartRow) {
    drive.failed_parts += 1;
    drive.last_failure = Some(failure.clone());
    let PartContent::Route { hops, .. } = &row.content else { return };
    drive.last_hops = hops.clone();
    if let PartState::Failed { .. } = row.state {
        // Node `i` failed: it did not want to use the channel after it, so no hint with that one is tried again.
        let next = failure.erring_index.and_then(|index| hops.get(index as usize));
        match (failure.erring_index, next) {
            (Some(0), _) | (None, _) => drive.avoid_first_hop(row),
            (Some(_), Some(hop)) => drive.avoid_hints.push(hop.short_channel_id),
            (Some(_), None) => {}
        }
    }
}

impl Drive {
    fn avoid_first_hop(&mut self, row: &PartRow) {
        if let PartContent::Route { hops, .. } = &row.content {
            self.avoid_hints.extend(hops.first().map(|hop| hop.short_channel_id));
        }
    }

    /// The route of the last failure, for telling whose fault it was.
    fn last_content(&self) -> PartContent {
        let hops = match self.last_hops.as_slice() {
            [] => vec![Hop {
                node_id: self.destination,
                short_channel_id: ShortChannelId(0),
                amount: self.amount,
                cltv_expiry: BlockHeight(0),
            }],
            hops => hops.to_vec(),
        };
        PartContent::Route { hops, last: self.final_data(), session_key: [0; 32] }
    }
}
