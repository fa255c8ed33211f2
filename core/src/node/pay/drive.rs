//! Driving a payment: what to try next, over which channels, until it has ended.
//!
//! Parts are in rows before they leave. A payment that finds no room, because channels are full for a moment or the peer
//! is away, waits for it as long as its caller lets it.

use std::fmt::Write;

use super::plan::{FINAL_CLTV_SPARE, Plan};
use super::success;
use crate::channel::{Excess, Refusal};
use crate::ids::{BlockHeight, ChannelKey, NodeId, ShortChannelId};
use crate::limits::{PASSED_OVER_MAX, PEERS_WAITED_FOR_MAX};
use crate::node::history::failure_error;
use crate::node::payments::{Cue, SendError, local_failure};
use crate::node::{Io, Node, NodeTimer};
use crate::payment::TooMany;
use crate::payment::outgoing::{Drive, Standing};
use crate::payment::route::Hop;
use crate::payment::rows::{PartContent, PartFailure, PartRow, PartState};
use crate::request::RequestError;

/// Attempts of one `pay`.
const ATTEMPTS_MAX: u32 = 30;
/// Clients are told of so many channels in vain, and no more.
const LACKING_TEXT_MAX: usize = 1_000;

impl Node {
    /// Something has happened to a payment: what now?
    pub(in crate::node) fn advance_payment(&mut self, io: &mut Io<'_>, index: u64, cue: Cue<'_>) {
        let waited = self.outgoing.waiting.contains(index);
        self.outgoing.waiting.leave(index);
        let Some(payment) = self.outgoing.payment_mut(index) else { return };
        if let Cue::Ended(row) = cue {
            payment.count(row);
            if let (Some(drive), PartState::Failed { failure, .. }) = (&mut payment.drive, &row.state) {
                learn(drive, failure, row);
            }
        }
        let mut reason = None;
        if let Some(drive) = &payment.drive
            && payment.preimage.is_none()
            && !refused_by_destination(drive)
        {
            let in_time = io.clock.mono < drive.retry_until;
            // Whoever allows no time at all is still owed one attempt.
            let first = drive.attempts == 0 && !waited;
            if drive.attempts < ATTEMPTS_MAX && (in_time || first) {
                match self.attempt(io, index) {
                    Ok(Round::Sent) => return,
                    Ok(Round::Wait(peers)) if in_time => match self.wait_for_room(io, index, &peers) {
                        Ok(()) => return,
                        Err(error) => reason = Some(error),
                    },
                    Ok(Round::Wait(peers)) => reason = Some(self.lacking(io, index, &peers)),
                    Err(error) => reason = Some(error),
                }
            } else if waited {
                let peers = self.peers_to_wait_for(index);
                reason = Some(self.lacking(io, index, &peers));
            }
        }
        if self.outgoing.standing(index) == Standing::Idle {
            self.finish_payment(io, index, reason);
        }
    }

    /// No new attempts; what is in flight decides.
    pub(in crate::node) fn on_retry_over(&mut self, io: &mut Io<'_>, index: u64) {
        self.advance_payment(io, index, Cue::Again);
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
    fn attempt(&mut self, io: &mut Io<'_>, index: u64) -> Result<Round, RequestError> {
        let candidates = self.peers_to_wait_for(index);
        // Others wait for all of them, and nothing has changed: no need to look.
        if !candidates.is_empty() && candidates.iter().all(|peer| self.outgoing.waiting.is_shut(*peer)) {
            return Ok(Round::Wait(candidates));
        }
        let mut full = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let plan = match self.plan(index, &full)? {
                Plan::Send(plan) => plan,
                Plan::Wait(peers) => return Ok(Round::Wait(peers)),
            };
            let Some(drive) = self.outgoing.payment_mut(index).and_then(|payment| payment.drive.as_mut()) else {
                return Ok(Round::Sent);
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
            let Some((channel, error)) = refused else { return Ok(Round::Sent) };
            if matches!(error, SendError::Refused(refusal) if passes(refusal)) {
                full.push(channel);
                continue;
            }
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

    // --- Waiting for room -------------------------------------------------------------------------------------------

    /// The peers by which the payment could leave, if their channels had room.
    fn peers_to_wait_for(&self, index: u64) -> Vec<NodeId> {
        let Some(drive) = self.outgoing.payment(index).and_then(|payment| payment.drive.as_ref()) else {
            return Vec::new();
        };
        let entries = drive.hints.iter().filter_map(|hint| hint.first()).map(|hop| hop.node_id);
        let mut peers = Vec::new();
        for peer in std::iter::once(drive.destination).chain(entries) {
            if !peers.contains(&peer) && self.index.of_peer(peer).next().is_some() {
                peers.push(peer);
            }
        }
        peers.truncate(PEERS_WAITED_FOR_MAX);
        peers
    }

    fn wait_for_room(&mut self, io: &mut Io<'_>, index: u64, peers: &[NodeId]) -> Result<(), RequestError> {
        let shut: Vec<NodeId> = peers.iter().copied().filter(|peer| self.takes_nothing(io, index, *peer)).collect();
        let Err(TooMany) = self.outgoing.waiting.wait(index, peers, &shut) else { return Ok(()) };
        let error = self.lacking(io, index, peers);
        let text = format!("{}; and too many payments wait already", error.message);
        Err(RequestError::new(RequestError::PAY_ROUTE_NOT_FOUND, text))
    }

    /// What each channel with a peer says to what is missing of a payment.
    fn refusals(&mut self, io: &mut Io<'_>, index: u64, peer: NodeId) -> Vec<(ChannelKey, Option<Refusal>)> {
        let missing = self.missing(index);
        let expiry = self.chain.height().plus(FINAL_CLTV_SPARE).0;
        let keys: Vec<ChannelKey> = self.index.of_peer(peer).collect();
        let ask = |key| {
            let said = self.with_channel(io, key, |channel, cx| channel.may_offer(cx, missing, expiry).err());
            (key, said.flatten())
        };
        keys.into_iter().map(ask).collect()
    }

    /// Would no amount whatever find its way to this peer now?
    fn takes_nothing(&mut self, io: &mut Io<'_>, index: u64, peer: NodeId) -> bool {
        if self.outgoing.waiting.is_shut(peer) {
            return true;
        }
        let all = |refusal: Option<Refusal>| {
            matches!(
                refusal,
                Some(
                    Refusal::Offline
                        | Refusal::NotOpen
                        | Refusal::Excess(Excess::Unacked { .. } | Excess::Count { .. })
                )
            )
        };
        self.refusals(io, index, peer).into_iter().all(|(_, refusal)| all(refusal))
    }

    /// What a client is told whose payment found no room in time.
    fn lacking(&mut self, io: &mut Io<'_>, index: u64, peers: &[NodeId]) -> RequestError {
        let payment = self.outgoing.payment(index);
        let expires_at_s = payment.and_then(|payment| Some(payment.drive.as_ref()?.expires_at_s));
        if expires_at_s.is_some_and(|at_s| at_s <= io.clock.wall.unix_s()) {
            return RequestError::new(RequestError::PAY_INVOICE_EXPIRED, "Invoice expired while there was no room");
        }
        let mut text = format!("Timed out: no room to send {}", self.missing(index));
        for peer in peers {
            for (key, refusal) in self.refusals(io, index, *peer) {
                let scid = self.shown_scid(key);
                let _ = match refusal {
                    Some(refusal) => write!(text, "; channel {scid}: {refusal}"),
                    None => write!(text, "; channel {scid}: other payments wait for it and come first"),
                };
                if text.len() > LACKING_TEXT_MAX {
                    return RequestError::new(RequestError::PAY_STOPPED_RETRYING, text);
                }
            }
        }
        RequestError::new(RequestError::PAY_STOPPED_RETRYING, text)
    }

    /// There is room in a channel with this peer, or it is back: those who wait try again, the oldest first.
    pub(in crate::node) fn try_waiting(&mut self, io: &mut Io<'_>, peer: NodeId) {
        let (mut last, mut passed_over) = (None, 0);
        while let Some(index) = self.outgoing.waiting.next_of(peer, last) {
            last = Some(index);
            self.advance_payment(io, index, Cue::Again);
            // A large one must not keep back small ones, nor may all be looked at in vain.
            passed_over += usize::from(self.outgoing.waiting.contains(index));
            if self.outgoing.waiting.is_shut(peer) || passed_over >= PASSED_OVER_MAX {
                return;
            }
        }
    }
}

/// What has become of an attempt.
enum Round {
    /// All that was missing is on its way.
    Sent,
    /// It would fit if one of these peers had room.
    Wait(Vec<NodeId>),
}

/// Will the channel think otherwise when what is in flight has ended, or the peer is back?
fn passes(refusal: Refusal) -> bool {
    match refusal {
        Refusal::Offline => true,
        Refusal::Excess(excess) => match excess {
            Excess::Count { .. }
            | Excess::InFlight { .. }
            | Excess::Balance { .. }
            | Excess::OpenerFee { .. }
            | Excess::Dust { .. }
            | Excess::Unacked { .. } => true,
            Excess::ZeroAmount | Excess::BelowMinimum { .. } | Excess::Expiry { .. } | Excess::Feerate { .. } => false,
        },
        Refusal::NotOpen | Refusal::NoSuchHtlc | Refusal::WrongPreimage | Refusal::NotOpener => false,
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
