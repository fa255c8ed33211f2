//! Driving a payment: what to try next, over which channels, until it has ended.
//!
//! Parts are in rows before they leave. `pay` tries what it knows: our channels with the destination, and the hints of
//! the invoice.

use super::{failure_error, success};
use crate::amount::Msat;
use crate::ids::{BlockHeight, ChannelKey, NodeId, ShortChannelId};
use crate::limits::PAYMENT_PARTS_MAX;
use crate::node::payments::local_failure;
use crate::node::{Io, Node, NodeTimer};
use crate::payment::outgoing::{Drive, Standing};
use crate::payment::route::{Hop, along_hint, split};
use crate::payment::rows::{PartContent, PartFailure, PartRow, PartState};
use crate::request::RequestError;

/// Attempts of one `pay`.
const ATTEMPTS_MAX: u32 = 30;
/// Blocks may come while the payment is under way, and the payee may know of some before we do.
const FINAL_CLTV_SPARE: u32 = 3;

impl Node {
    /// A part has ended, or the payment begins: what now?
    pub(in crate::node) fn advance_payment(&mut self, io: &mut Io<'_>, index: u64, ended: Option<(u64, &PartRow)>) {
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
    pub(in crate::node) fn on_retry_over(&mut self, io: &mut Io<'_>, index: u64) {
        self.advance_payment(io, index, None);
    }

    pub(super) fn finish_payment(&mut self, io: &mut Io<'_>, index: u64, reason: Option<RequestError>) {
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
    pub(super) fn attempt(&mut self, io: &mut Io<'_>, index: u64) -> Result<(), RequestError> {
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
