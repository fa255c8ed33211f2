//! Payments that clients drive themselves, part by part: `sendpay`, `sendonion`, `waitsendpay`, `createonion`.

use super::in_progress;
use crate::amount::Msat;
use crate::ids::{ChannelKey, NodeId, PaymentHash, RequestId, ShortChannelId};
use crate::node::history::part_result;
use crate::node::payments::SendError;
use crate::node::{Io, Node};
use crate::payment::outgoing::Waiter;
use crate::payment::route::{FinalData, Hop};
use crate::payment::rows::{PartContent, PartRow, PaymentRow};
use crate::request::payment::{CreateOnion, OnionBuilt, SendOnion, SendPay, WaitSendPay};
use crate::request::{RequestError, Response};

/// `delay` of a client counts from the next block, as with Core Lightning.
const NEXT_BLOCK: u32 = 1;

impl Node {
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

    pub(super) fn begin_sendpay(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        send: SendPay,
    ) -> Result<(), RequestError> {
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

    pub(super) fn begin_sendonion(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        send: SendOnion,
    ) -> Result<(), RequestError> {
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

    pub(in crate::node) fn on_wait_sendpay(&mut self, io: &mut Io<'_>, request: RequestId, wait: WaitSendPay) {
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
    pub(in crate::node) fn answer_part(&mut self, io: &mut Io<'_>, number: u64, row: &PartRow) {
        let waiters = self.outgoing.take_waiters(row.payment_hash, row.group, row.part_id);
        if waiters.is_empty() {
            return;
        }
        let Some(payment) = self.outgoing.payment(row.payment).map(|payment| payment.row.clone()) else { return };
        for waiter in waiters {
            io.reply(waiter.request, part_result(number, row, &payment));
        }
    }

    pub(in crate::node) fn on_create_onion(&mut self, io: &mut Io<'_>, request: RequestId, create: CreateOnion) {
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
