//! Payments as they meet the channels: HTLCs that come in, go out, go on and come back.

use secp256k1::PublicKey;

use super::{Io, Node};
use crate::amount::Msat;
use crate::channel::{Detail, Failure as HtlcFailure, INVALID_ONION_BLINDING, Offer, Origin, Peeled, Refusal};
use crate::command::Level;
use crate::ids::{BlockHeight, ChannelKey, HtlcId, PaymentHash, Preimage, ShortChannelId};
use crate::mutation::{Mutation, is_active};
use crate::onion::failure::Undecodable;
use crate::onion::payload::{Final, Forward, Payload, PaymentData};
use crate::onion::{self, Failure, PAYLOADS_BYTES};
use crate::payment::forward::{IncomingKey, Open, Veto, Wish};
use crate::payment::incoming::{HeldPart, InvoiceTerms, PartTerms, Refused, Verdict};
use crate::payment::outgoing::Standing;
use crate::payment::route::{FinalData, Hop};
use crate::payment::rows::{
    ChangeRow, Changes, ForwardRow, ForwardState, PartContent, PartFailure, PartRow, PartState, PaymentEndRow,
    index_key, part_key,
};

/// Everything about an HTLC that came in and waits for a decision.
struct Arrival {
    channel: ChannelKey,
    id: HtlcId,
    amount: Msat,
    payment_hash: PaymentHash,
    cltv_expiry: u32,
    shared_secret: [u8; 32],
}

/// The onion of a route of ours, and the secrets that open its failures.
pub(crate) fn build_onion(
    hops: &[Hop],
    last: &FinalData,
    session_key: &[u8; 32],
    payment_hash: PaymentHash,
    session: impl FnOnce(&[u8; 32], &[PublicKey]) -> Option<onion::Session>,
) -> Result<onion::Built, String> {
    let mut payloads: Vec<(PublicKey, Vec<u8>)> = Vec::with_capacity(hops.len());
    for (index, hop) in hops.iter().enumerate() {
        let node = hop.node_id.parse().map_err(|_| format!("{} is no node id", hop.node_id))?;
        let mut bytes = Vec::with_capacity(128);
        match hops.get(index + 1) {
            Some(next) => Payload::Forward(Forward {
                short_channel_id: next.short_channel_id,
                amt_to_forward: next.amount,
                outgoing_cltv_value: next.cltv_expiry,
            })
            .encode(&mut bytes),
            None => Payload::Final(Final {
                amt_to_forward: hop.amount,
                outgoing_cltv_value: hop.cltv_expiry,
                payment_data: last
                    .payment_secret
                    .map(|payment_secret| PaymentData { payment_secret, total_msat: last.total }),
                payment_metadata: last.metadata.as_deref(),
                keysend_preimage: None,
            })
            .encode(&mut bytes),
        }
        payloads.push((node, bytes));
    }
    onion::build_with(session_key, payloads.into_iter(), &payment_hash.0, session).map_err(|error| error.to_string())
}

fn copy<'r>(bytes: &[u8], room: &'r mut [u8; PAYLOADS_BYTES]) -> &'r [u8] {
    let copy = &mut room[..bytes.len()];
    copy.copy_from_slice(bytes);
    copy
}

impl Node {
    // --- In ---------------------------------------------------------------------------------------------------------

    /// An HTLC of a peer is irrevocable. Handed in again after a restart, so everything here can happen twice.
    pub(super) fn on_incoming(&mut self, io: &mut Io<'_>, channel: ChannelKey, id: HtlcId, dust_excess: bool) {
        if self.forwards.get((channel, id)).is_some() {
            return;
        }
        let Some(htlc) = self.channels.get(&channel).and_then(|c| c.received(id)) else { return };
        let (amount, payment_hash, cltv_expiry) = (htlc.amount_msat, htlc.payment_hash, htlc.cltv_expiry);
        let Detail::Received { onion, .. } = &htlc.detail else { return };
        match *onion {
            Peeled::Malformed { code, sha256_of_onion } => {
                self.with_channel(io, channel, |c, cx| c.fail_malformed_htlc(cx, id, sha256_of_onion, code));
            }
            // We offer no `option_route_blinding`: nobody made a path through us. BOLT 2, removing an HTLC: behind a path
            // key there is one answer.
            Peeled::Blinded { sha256_of_onion, .. } => {
                let code = INVALID_ONION_BLINDING;
                self.with_channel(io, channel, |c, cx| c.fail_malformed_htlc(cx, id, sha256_of_onion, code));
            }
            Peeled::Payload { shared_secret, ref payload, forward } => {
                // The channel may forget the HTLC before we are done with what its onion said.
                let mut room = [0; PAYLOADS_BYTES];
                let payload = copy(payload, &mut room);
                let arrival = Arrival { channel, id, amount, payment_hash, cltv_expiry, shared_secret };
                if !self.replays.is_new(io.out, &shared_secret, (channel, id), cltv_expiry) {
                    io.note(Level::Warn, "payment", format_args!("HTLC {channel}/{id} brings an onion seen before"));
                    return self.refuse(io, &arrival, &Failure::TemporaryNodeFailure);
                }
                if dust_excess {
                    return self.refuse(io, &arrival, &Failure::TemporaryChannelFailure);
                }
                match Payload::decode(payload, !forward) {
                    Ok(Payload::Final(last)) => self.on_final(io, &arrival, &last),
                    Ok(Payload::Forward(next)) => self.on_forward(io, &arrival, &next),
                    Ok(Payload::Blinded(blinded)) => self.refuse(io, &arrival, &blinded.refusal().failure()),
                    Err(invalid) => self.refuse(io, &arrival, &invalid.failure()),
                }
            }
        }
    }

    fn refuse(&mut self, io: &mut Io<'_>, arrival: &Arrival, failure: &Failure) {
        io.note(
            Level::Debug,
            "payment",
            format_args!(
                "HTLC {}/{} of {} refused: {}",
                arrival.channel,
                arrival.id,
                arrival.payment_hash,
                failure.name()
            ),
        );
        let reason = onion::failure::wrap(failure, &arrival.shared_secret);
        self.with_channel(io, arrival.channel, |channel, cx| channel.fail_htlc(cx, arrival.id, &reason));
    }

    fn details(&self, amount: Msat) -> Failure {
        Failure::IncorrectOrUnknownPaymentDetails { htlc_msat: amount, height: self.chain.height() }
    }

    /// BOLT 4, failure messages: whatever is wrong with the secret, the hash or the amount, the answer is the same.
    fn on_final(&mut self, io: &mut Io<'_>, arrival: &Arrival, last: &Final<'_>) {
        let details = self.details(arrival.amount);
        let (Some(invoice), Some(data)) = (self.invoices.open(arrival.payment_hash), last.payment_data) else {
            return self.refuse(io, arrival, &details);
        };
        // What waits for a client's word does not expire with its invoice.
        let may_come =
            invoice.expires_at_s > io.clock.wall.unix_s() || self.incoming.accepted(arrival.payment_hash).is_some();
        if invoice.payment_secret != data.payment_secret || !may_come {
            return self.refuse(io, arrival, &details);
        }
        let is_hold = invoice.proof.is_hold();
        // Nor may it begin to wait there, after a restart.
        if self.channels.get(&arrival.channel).is_none_or(|channel| channel.is_on_chain()) {
            return;
        }
        let terms = InvoiceTerms { amount: invoice.amount, final_cltv_delta: invoice.min_final_cltv_expiry_delta };
        let part = HeldPart {
            channel: arrival.channel,
            id: arrival.id,
            amount: arrival.amount,
            cltv_expiry: arrival.cltv_expiry,
        };
        let said = PartTerms {
            amt_to_forward: last.amt_to_forward,
            outgoing_cltv_value: last.outgoing_cltv_value.0,
            total: data.total_msat,
        };
        let deadline = io.clock.mono.plus_ms(u64::from(self.config.mpp_timeout_s) * 1000);
        match self.incoming.part(arrival.payment_hash, part, said, terms, self.chain.height(), deadline) {
            Verdict::Hold => {}
            Verdict::Whole if is_hold => self.accept(io, arrival.payment_hash, vec![part], part.amount),
            Verdict::Whole => self.claim(io, arrival.payment_hash, &[part], part.amount),
            Verdict::Claim { parts, received } if is_hold => self.accept(io, arrival.payment_hash, parts, received),
            Verdict::Claim { parts, received } => self.claim(io, arrival.payment_hash, &parts, received),
            Verdict::Refuse(refused) => {
                let failure = match refused {
                    Refused::Amount => Failure::FinalIncorrectHtlcAmount { incoming_htlc_amt: arrival.amount },
                    Refused::Expiry => {
                        Failure::FinalIncorrectCltvExpiry { cltv_expiry: BlockHeight(arrival.cltv_expiry) }
                    }
                    Refused::Details => details,
                };
                self.refuse(io, arrival, &failure);
            }
        }
    }

    /// The invoice and the removal of every part are written in one turn: claimed are all parts or none.
    fn claim(&mut self, io: &mut Io<'_>, payment_hash: PaymentHash, parts: &[HeldPart], received: Msat) {
        let (paid, replies) = self.invoices.paid(io.out, io.clock, payment_hash, received);
        let preimage = paid.row.proof.preimage().expect("only hold invoices have one that we do not know");
        self.fulfil_parts(io, parts, preimage);
        io.note(
            Level::Info,
            "payment",
            format_args!("received {received} in {} parts for {payment_hash}", parts.len()),
        );
        for (request, result) in replies {
            io.reply(request, result);
        }
    }

    /// Hands the preimage to every part of a payment.
    pub(super) fn fulfil_parts(&mut self, io: &mut Io<'_>, parts: &[HeldPart], preimage: Preimage) {
        let claimed = if is_active(Mutation::OnePartClaimed) { &parts[..1] } else { parts };
        for part in claimed {
            let done = self.with_channel(io, part.channel, |channel, cx| channel.fulfill_htlc(cx, part.id, preimage));
            assert_eq!(done, Some(Ok(())), "a part that is held is live on its channel");
        }
    }

    /// BOLT 4 `mpp_timeout`.
    pub(super) fn fail_late_parts(&mut self, io: &mut Io<'_>, parts: &[HeldPart]) {
        self.fail_parts(io, parts, |_, _| Failure::MppTimeout);
    }

    pub(super) fn fail_parts(
        &mut self,
        io: &mut Io<'_>,
        parts: &[HeldPart],
        failure: impl Fn(&Node, &HeldPart) -> Failure,
    ) {
        for part in parts {
            let failure = failure(self, part);
            self.fail_incoming(io, (part.channel, part.id), &failure);
        }
    }

    /// Fails an incoming HTLC of which we are the erring node.
    fn fail_incoming(&mut self, io: &mut Io<'_>, (channel, id): IncomingKey, failure: &Failure) {
        let Some(shared_secret) = self.shared_secret((channel, id)) else { return };
        let reason = onion::failure::wrap(failure, &shared_secret);
        self.with_channel(io, channel, |channel, cx| channel.fail_htlc(cx, id, &reason));
    }

    fn shared_secret(&self, (channel, id): IncomingKey) -> Option<[u8; 32]> {
        let htlc = self.channels.get(&channel)?.received(id)?;
        match &htlc.detail {
            Detail::Received { onion: Peeled::Payload { shared_secret, .. }, .. } => Some(*shared_secret),
            _ => None,
        }
    }

    // --- On ---------------------------------------------------------------------------------------------------------

    fn on_forward(&mut self, io: &mut Io<'_>, arrival: &Arrival, next: &Forward) {
        match self.try_forward(io, arrival, next) {
            Ok(()) => {}
            Err(failure) => {
                self.refuse(io, arrival, &failure);
                let state = ForwardState::Refused { code: failure.code(), at_ms: io.clock.wall.0 };
                let index = self.forwards.draw_index();
                let mut row = self.forward_row(io, arrival, next, state);
                self.put_ended_forward(io, index, &mut row);
            }
        }
    }

    /// Writes a forward that has ended, with the number that its end has.
    fn put_ended_forward(&mut self, io: &mut Io<'_>, index: u64, row: &mut ForwardRow) {
        let number = self.forwards.draw_update();
        row.updated = Some(number);
        io.put(index_key(index), row);
        io.put(Changes::ForwardUpdated.key(number), &ChangeRow { head: index, part: 0 });
    }

    fn forward_row(&self, io: &Io<'_>, arrival: &Arrival, next: &Forward, state: ForwardState) -> ForwardRow {
        ForwardRow {
            in_channel: arrival.channel,
            in_scid: self.shown_scid(arrival.channel),
            in_htlc: arrival.id,
            in_amount: arrival.amount,
            out_scid: next.short_channel_id,
            out_amount: next.amt_to_forward,
            payment_hash: arrival.payment_hash,
            received_ms: io.clock.wall.0,
            state,
            updated: None,
        }
    }

    /// The name by which clients know a channel.
    pub(super) fn shown_scid(&self, key: ChannelKey) -> ShortChannelId {
        let channel = self.channels.get(&key);
        channel.and_then(|c| c.scid().or(c.row().alias.local)).unwrap_or_default()
    }

    fn try_forward(&mut self, io: &mut Io<'_>, arrival: &Arrival, next: &Forward) -> Result<(), Failure> {
        let asked = self.index.by_scid.get(&next.short_channel_id).copied().ok_or(Failure::UnknownNextPeer)?;
        let asked_channel = self.channels.get(&asked).ok_or(Failure::UnknownNextPeer)?;
        if !asked_channel.scids_in_onions().any(|scid| scid == next.short_channel_id) {
            return Err(Failure::UnknownNextPeer);
        }
        let wish = Wish {
            in_amount: arrival.amount,
            in_cltv_expiry: arrival.cltv_expiry,
            out_amount: next.amt_to_forward,
            out_cltv_expiry: next.outgoing_cltv_value.0,
        };
        wish.judge(&asked_channel.row().policy, self.old_policies.get(&asked), self.chain.height()).map_err(
            |veto| match veto {
                Veto::BelowMinimum => Failure::AmountBelowMinimum { htlc_msat: next.amt_to_forward },
                Veto::AboveMaximum => Failure::TemporaryChannelFailure,
                Veto::Fee => Failure::FeeInsufficient { htlc_msat: arrival.amount },
                Veto::CltvDelta => Failure::IncorrectCltvExpiry { cltv_expiry: BlockHeight(arrival.cltv_expiry) },
                Veto::TooSoon => Failure::ExpiryTooSoon,
                Veto::TooFar => Failure::ExpiryTooFar,
            },
        )?;
        let onion = *self.channels[&arrival.channel].next_onion(arrival.id).ok_or(Failure::TemporaryNodeFailure)?;
        // BOLT 4 lets us take any channel to the same peer; the one that was asked for comes first.
        let peer = asked_channel.peer();
        let others: Vec<ChannelKey> = self.index.of_peer(peer).filter(|key| *key != asked).collect();
        for key in std::iter::once(asked).chain(others) {
            let given_away = arrival.amount.saturating_sub(next.amt_to_forward);
            let given_away = if is_active(Mutation::WrongFeeDirection) { given_away } else { Msat::ZERO };
            let offer = Offer {
                amount_msat: next.amt_to_forward + given_away,
                payment_hash: arrival.payment_hash,
                cltv_expiry: next.outgoing_cltv_value.0,
                onion: &onion,
                path_key: None,
                origin: Origin::Forward { channel: arrival.channel, id: arrival.id },
                store_onion: false,
            };
            if let Some(Ok(htlc)) = self.with_channel(io, key, |channel, cx| channel.offer_htlc(cx, &offer)) {
                let index = self.forwards.draw_index();
                let state = ForwardState::Offered { channel: key, htlc };
                let row = self.forward_row(io, arrival, next, state);
                io.put(index_key(index), &row);
                self.forwards.begin((arrival.channel, arrival.id), Open { index, row: Box::new(row) });
                return Ok(());
            }
        }
        Err(Failure::TemporaryChannelFailure)
    }

    /// The preimage came back. It is used upstream at once, in the same turn, so that no crash lies between.
    pub(super) fn on_forward_fulfilled(&mut self, io: &mut Io<'_>, incoming: IncomingKey, preimage: Preimage) {
        let (channel, id) = incoming;
        let used = self.with_channel(io, channel, |channel, cx| channel.fulfill_htlc(cx, id, preimage));
        if used.is_none() {
            io.note(Level::Error, "payment", format_args!("the incoming side of HTLC {channel}/{id} is gone"));
        }
        let Some(Open { index, mut row }) = self.forwards.end(incoming) else { return };
        if let ForwardState::Offered { channel, htlc } = row.state {
            row.state = ForwardState::Settled { channel, htlc, at_ms: io.clock.wall.0 };
            self.fees_collected += row.in_amount.saturating_sub(row.out_amount);
            self.put_ended_forward(io, index, &mut row);
            self.put_facts(io);
        }
    }

    pub(super) fn on_forward_failed(&mut self, io: &mut Io<'_>, incoming: IncomingKey, failure: &HtlcFailure) {
        let (channel, id) = incoming;
        match failure {
            HtlcFailure::Reason(reason) => {
                if let Some(shared_secret) = self.shared_secret(incoming) {
                    let mut reason = reason.to_vec();
                    onion::failure::rewrap(&mut reason, &shared_secret);
                    self.with_channel(io, channel, |channel, cx| channel.fail_htlc(cx, id, &reason));
                }
            }
            // BOLT 2, removing an HTLC: a malformed failure goes on upstream as an ordinary one.
            HtlcFailure::Malformed { failure_code, sha256_of_onion } => {
                let failure = Failure::from_malformed(*failure_code, *sha256_of_onion);
                self.fail_incoming(io, incoming, &failure.unwrap_or(Failure::TemporaryChannelFailure));
            }
            HtlcFailure::OnChain => self.fail_incoming(io, incoming, &Failure::PermanentChannelFailure),
        }
        self.end_forward(io, incoming);
    }

    pub(super) fn on_forward_dropped(&mut self, io: &mut Io<'_>, incoming: IncomingKey) {
        self.fail_incoming(io, incoming, &Failure::TemporaryChannelFailure);
        self.end_forward(io, incoming);
    }

    fn end_forward(&mut self, io: &mut Io<'_>, incoming: IncomingKey) {
        let Some(Open { index, mut row }) = self.forwards.end(incoming) else { return };
        if let ForwardState::Offered { channel, htlc } = row.state {
            row.state = ForwardState::Failed { channel, htlc, at_ms: io.clock.wall.0 };
            self.put_ended_forward(io, index, &mut row);
        }
    }

    // --- Out --------------------------------------------------------------------------------------------------------

    /// Offers one part. On success it is in rows and on its way; on failure nothing is left of it.
    pub(super) fn send_part(
        &mut self,
        io: &mut Io<'_>,
        payment: u64,
        part_id: u64,
        channel: ChannelKey,
        content: PartContent,
        raw_onion: Option<&[u8; onion::ONION_SIZE]>,
    ) -> Result<u64, SendError> {
        let row = &self.outgoing.payment(payment).expect("the caller has begun it").row;
        let (payment_hash, group) = (row.payment_hash, row.group);
        let packet = match (&content, raw_onion) {
            (_, Some(onion)) => *onion,
            (PartContent::Route { hops, last, session_key }, None) => {
                let session = |key: &[u8; 32], nodes: &[PublicKey]| io.signer.onion_session(key, nodes);
                build_onion(hops, last, session_key, payment_hash, session).map_err(SendError::Onion)?.packet
            }
            (PartContent::Onion { .. }, None) => unreachable!("an onion of a client comes with the content"),
        };
        let number = self.outgoing.draw_part_number(payment);
        let first = content.first();
        let offer = Offer {
            amount_msat: first.amount,
            payment_hash,
            cltv_expiry: first.cltv_expiry.0,
            onion: &packet,
            path_key: None,
            origin: Origin::Payment { part: number },
            store_onion: raw_onion.is_some(),
        };
        match self.with_channel(io, channel, |channel, cx| channel.offer_htlc(cx, &offer)) {
            Some(Ok(_)) => {}
            Some(Err(refusal)) => return Err(SendError::Refused(refusal)),
            None => return Err(SendError::NoChannel),
        }
        let row = PartRow {
            payment,
            payment_hash,
            group,
            part_id,
            created_at_s: io.clock.wall.unix_s(),
            content,
            state: PartState::Pending { channel },
            updated: None,
        };
        io.put(part_key(payment, number), &row);
        if number != payment {
            io.put(Changes::PartCreated.key(number), &ChangeRow { head: payment, part: number });
        }
        self.outgoing.begin_part(number, row);
        Ok(number)
    }

    /// Brings the onions of adds that may have to be sent again after a restart: rebuilt from what the rows say.
    pub(super) fn supply_onions(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        let Some(channel) = self.channels.get(&key) else { return };
        for (id, origin) in channel.missing_onions() {
            let onion = match origin {
                Origin::Payment { part } => self.outgoing.part(part).and_then(|part| match &part.row.content {
                    PartContent::Route { hops, last, session_key } => {
                        build_onion(hops, last, session_key, part.row.payment_hash, onion::Session::new)
                            .ok()
                            .map(|built| built.packet)
                    }
                    PartContent::Onion { .. } => None,
                }),
                Origin::Forward { channel, id } => {
                    self.channels.get(&channel).and_then(|channel| channel.next_onion(id)).copied()
                }
            };
            match onion {
                Some(onion) => {
                    if let Some(channel) = self.channels.get_mut(&key) {
                        channel.supply_onion(id, &onion);
                    }
                }
                None => io.note(Level::Error, "payment", format_args!("no onion for our HTLC {id} of channel {key}")),
            }
        }
    }

    /// The proof came. It may come again after a reconnection.
    pub(super) fn on_part_fulfilled(&mut self, io: &mut Io<'_>, number: u64, preimage: Preimage) {
        let Some(row) = self.outgoing.end_part(number) else { return };
        let state = PartState::Complete { preimage: preimage.0, at_s: io.clock.wall.unix_s() };
        self.end_part(io, number, PartRow { state, ..row });
    }

    pub(super) fn on_part_failed(&mut self, io: &mut Io<'_>, number: u64, failure: &HtlcFailure) {
        let Some(row) = self.outgoing.end_part(number) else { return };
        let failure = self.read_failure(&row, failure);
        let state = PartState::Failed { failure, at_s: io.clock.wall.unix_s() };
        self.end_part(io, number, PartRow { state, ..row });
    }

    pub(super) fn on_part_dropped(&mut self, io: &mut Io<'_>, number: u64) {
        let Some(row) = self.outgoing.end_part(number) else { return };
        let failure = local_failure(Failure::TemporaryChannelFailure.code(), "the connection went before it was sent");
        let state = PartState::Failed { failure, at_s: io.clock.wall.unix_s() };
        let mut row = PartRow { state, ..row };
        self.store_part(io, number, &mut row);
        self.advance_payment(io, row.payment, Cue::Dropped);
    }

    fn read_failure(&self, row: &PartRow, failure: &HtlcFailure) -> PartFailure {
        match failure {
            HtlcFailure::OnChain => local_failure(
                Failure::PermanentChannelFailure.code(),
                "the channel went on chain and the HTLC timed out",
            ),
            HtlcFailure::Malformed { failure_code, .. } => PartFailure {
                erring_index: Some(1),
                code: *failure_code,
                raw: failure_code.to_be_bytes().to_vec(),
                by_destination: false,
                message: "the first hop could not read the onion".to_owned(),
            },
            HtlcFailure::Reason(reason) => {
                let secrets = match &row.content {
                    PartContent::Onion { shared_secrets, .. } => shared_secrets.clone(),
                    PartContent::Route { hops, last, session_key } => {
                        build_onion(hops, last, session_key, row.payment_hash, onion::Session::new)
                            .map(|built| built.shared_secrets)
                            .unwrap_or_default()
                    }
                };
                match onion::failure::unwrap(&secrets, reason, None) {
                    Ok(attributed) => {
                        let mut raw = Vec::new();
                        attributed.failure.encode(&mut raw);
                        PartFailure {
                            erring_index: Some(attributed.hop as u32 + 1),
                            code: attributed.failure.code(),
                            raw,
                            by_destination: attributed.hop + 1 == secrets.len(),
                            message: attributed.failure.name().to_owned(),
                        }
                    }
                    // Where the damage comes from is known at times: that part of the route is not tried again.
                    Err(undecodable) => PartFailure {
                        erring_index: undecodable.hop().map(|hop| hop as u32 + 1),
                        code: 0,
                        raw: reason.to_vec(),
                        by_destination: undecodable == Undecodable::Empty { hop: secrets.len().saturating_sub(1) },
                        message: undecodable.to_string(),
                    },
                }
            }
        }
    }

    fn end_part(&mut self, io: &mut Io<'_>, number: u64, mut row: PartRow) {
        self.store_part(io, number, &mut row);
        self.advance_payment(io, row.payment, Cue::Ended(&row));
    }

    fn store_part(&mut self, io: &mut Io<'_>, number: u64, row: &mut PartRow) {
        let update = self.outgoing.draw_update();
        row.updated = Some(update);
        io.put(part_key(row.payment, number), row);
        io.put(Changes::PartUpdated.key(update), &ChangeRow { head: row.payment, part: number });
        self.answer_part(io, number, row);
    }

    /// Writes how a payment ended and forgets it.
    pub(super) fn end_payment(
        &mut self,
        io: &mut Io<'_>,
        index: u64,
        preimage: Option<Preimage>,
    ) -> Option<crate::payment::outgoing::Payment> {
        assert_eq!(self.outgoing.standing(index), Standing::Idle, "a payment ends when none of its parts is under way");
        let payment = self.outgoing.end(index)?;
        let end = PaymentEndRow {
            ended_at_s: io.clock.wall.unix_s(),
            preimage: preimage.map(|preimage| preimage.0),
            amount_sent: payment.sent,
            amount_received: payment.received,
            parts: payment.succeeded,
        };
        io.put(index_key(index), &end);
        Some(payment)
    }
}

/// A failure that no peer told.
pub(super) fn local_failure(code: u16, message: &str) -> PartFailure {
    PartFailure {
        erring_index: Some(0),
        code,
        raw: code.to_be_bytes().to_vec(),
        by_destination: false,
        message: message.to_owned(),
    }
}

/// Why a payment is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cue<'a> {
    /// It begins, or there is room, or its time is up.
    Again,
    /// A part has ended.
    Ended(&'a PartRow),
    /// A part never left: nobody is to blame.
    Dropped,
}

/// Why a part did not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// The channel takes it not.
    Refused(Refusal),
    /// There is none.
    NoChannel,
    /// The route does not fit.
    Onion(String),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SendError::Refused(refusal) => refusal.fmt(f),
            SendError::NoChannel => f.write_str("no such channel"),
            SendError::Onion(text) => f.write_str(text),
        }
    }
}
