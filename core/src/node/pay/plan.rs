//! Planning one round of a payment: which channels carry what, now or as soon as they have room.
//!
//! `pay` tries what it knows: our channels with the destination, and the hints of the invoice.

use crate::amount::{Msat, Sat};
use crate::channel::{Channel, HtlcState, Phase, Removal};
use crate::ids::{ChannelKey, NodeId};
use crate::invoice::RouteHintHop;
use crate::limits::{PAYMENT_PARTS_MAX, PEERS_WAITED_FOR_MAX};
use crate::node::Node;
use crate::payment::outgoing::Drive;
use crate::payment::route::{Hop, along_hint, split};
use crate::request::RequestError;
use crate::side::Side;
use crate::tx::opener_cost;

/// Blocks may come while the payment is under way, and the payee may know of some before we do.
pub(super) const FINAL_CLTV_SPARE: u32 = 3;

impl Node {
    /// What neither is on its way to the destination nor has arrived.
    pub(super) fn missing(&self, index: u64) -> Msat {
        let Some(payment) = self.outgoing.payment(index) else { return Msat::ZERO };
        let (in_flight, _) = self.outgoing.in_flight(index);
        let amount = payment.drive.as_ref().map_or(Msat::ZERO, |drive| drive.amount);
        amount.saturating_sub(in_flight).saturating_sub(payment.received)
    }

    /// Which channels carry what. Those in `full` have just refused.
    pub(super) fn plan(&self, index: u64, full: &[ChannelKey]) -> Result<Plan, RequestError> {
        let no_route = |text: String| Err(RequestError::new(RequestError::PAY_ROUTE_NOT_FOUND, text));
        let Some(payment) = self.outgoing.payment(index) else { return Ok(Plan::Send(Vec::new())) };
        let drive = payment.drive.as_ref().expect("only a driven payment is planned");
        let (in_flight, sent) = self.outgoing.in_flight(index);
        let missing = self.missing(index);
        if missing == Msat::ZERO {
            return Ok(Plan::Send(Vec::new()));
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
        let direct = self.usable_channels(drive.destination, drive, full);
        if let Some(parts) = self.divide(&direct, missing, drive.multi_part) {
            let hop = |amount, channel: ChannelKey| Hop {
                node_id: drive.destination,
                short_channel_id: self.shown_scid(channel),
                amount,
                cltv_expiry: expiry,
            };
            let parts = parts.into_iter().map(|(channel, amount)| (channel, vec![hop(amount, channel)]));
            return Ok(Plan::Send(parts.collect()));
        }
        let mut later = Vec::new();
        if self.divide(&self.channels_at_best(drive.destination, drive), missing, drive.multi_part).is_some() {
            later.push(drive.destination);
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
            let Some(whole) = along_hint(hint, drive.destination, missing, expiry) else { continue };
            if whole[0].amount.saturating_sub(missing) > fee_left {
                too_expensive = true;
                continue;
            }
            if whole[0].cltv_expiry.since(height) > drive.delay_max {
                continue;
            }
            let channels = self.usable_channels(entry.node_id, drive, full);
            match self.along(drive, hint, &whole, missing, &channels) {
                Along::Fits(plan) if fees(&plan) <= fee_left => return Ok(Plan::Send(plan)),
                Along::Fits(_) => too_expensive = true,
                Along::TooSmall => {
                    let best = self.channels_at_best(entry.node_id, drive);
                    let fits = matches!(self.along(drive, hint, &whole, missing, &best), Along::Fits(_));
                    if fits && !later.contains(&entry.node_id) && later.len() < PEERS_WAITED_FOR_MAX {
                        later.push(entry.node_id);
                    }
                }
            }
        }
        if !later.is_empty() {
            return Ok(Plan::Wait(later));
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

    /// The way of a hint for `missing`, of which `whole` is the undivided one, over channels that can carry so much.
    fn along(
        &self,
        drive: &Drive,
        hint: &[RouteHintHop],
        whole: &[Hop],
        missing: Msat,
        channels: &[(ChannelKey, Msat)],
    ) -> Along {
        if let Some((key, _)) = channels.iter().find(|(_, capacity)| *capacity >= whole[0].amount) {
            let mut hops = whole.to_vec();
            hops[0].short_channel_id = self.shown_scid(*key);
            return Along::Fits(vec![(*key, hops)]);
        }
        if !drive.multi_part {
            return Along::TooSmall;
        }
        // What the parts cost together may be a little more than the whole: each pays the base fees.
        let margin = whole[0].amount.saturating_sub(missing);
        let shrunk: Vec<(ChannelKey, Msat)> = channels
            .iter()
            .map(|(key, capacity)| (*key, capacity.saturating_sub(margin).saturating_sub(Msat(1_000))))
            .collect();
        let Some(parts) = self.divide(&shrunk, missing, true) else { return Along::TooSmall };
        let expiry = whole.last().expect("a way has a hop").cltv_expiry;
        let mut plan = Vec::with_capacity(parts.len());
        for (key, amount) in parts {
            let Some(mut hops) = along_hint(hint, drive.destination, amount, expiry) else { return Along::TooSmall };
            hops[0].short_channel_id = self.shown_scid(key);
            plan.push((key, hops));
        }
        Along::Fits(plan)
    }

    /// Our channels with a node that have not failed this payment and that nobody excludes.
    fn allowed_channels(&self, node: NodeId, drive: &Drive) -> impl Iterator<Item = (ChannelKey, &Channel)> {
        let excluded = drive.avoid_nodes.contains(&node) && node != drive.destination;
        let keys = (!excluded).then(|| self.index.of_peer(node)).into_iter().flatten();
        let channels = keys.filter_map(|key| Some((key, &**self.channels.get(&key)?)));
        channels.filter(|(key, channel)| {
            let named = channel.scid().is_some_and(|scid| drive.avoid_hints.contains(&scid));
            !named && !drive.avoid.contains(key)
        })
    }

    /// Those that may carry HTLCs now, with what each can send.
    fn usable_channels(&self, node: NodeId, drive: &Drive, full: &[ChannelKey]) -> Vec<(ChannelKey, Msat)> {
        let usable = self.allowed_channels(node, drive).filter(|(key, channel)| channel.is_up() && !full.contains(key));
        let usable = usable.map(|(key, channel)| (key, channel.spendable_msat(&self.channel_config)));
        usable.filter(|(_, capacity)| *capacity > Msat::ZERO).collect()
    }

    /// Those that may carry more as soon as what is in flight has ended or the peer is here, with what each could send.
    fn channels_at_best(&self, node: NodeId, drive: &Drive) -> Vec<(ChannelKey, Msat)> {
        let open = self.allowed_channels(node, drive).filter(|(_, channel)| *channel.phase() == Phase::Open);
        let at_best = open.map(|(key, channel)| {
            let ledger = channel.ledger();
            let quiet = channel.is_up() && ledger.is_quiet() && !ledger.awaiting_revoke();
            (key, if quiet { channel.spendable_msat(&self.channel_config) } else { most_when_quiet(channel) })
        });
        at_best.filter(|(_, capacity)| *capacity > Msat::ZERO).collect()
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

/// What a round of a payment comes to.
pub(super) enum Plan {
    /// These channels carry it now.
    Send(Vec<(ChannelKey, Vec<Hop>)>),
    /// None does, but those with one of these peers would if they had room.
    Wait(Vec<NodeId>),
}

/// What a hint comes to.
enum Along {
    Fits(Vec<(ChannelKey, Vec<Hop>)>),
    TooSmall,
}

/// What a plan leaves with forwarding nodes.
fn fees(plan: &[(ChannelKey, Vec<Hop>)]) -> Msat {
    let of = |hops: &Vec<Hop>| match (hops.first(), hops.last()) {
        (Some(first), Some(last)) => first.amount.saturating_sub(last.amount),
        _ => Msat::ZERO,
    };
    plan.iter().fold(Msat::ZERO, |sum, (_, hops)| sum.saturating_add(of(hops)))
}

/// What we could send in one HTLC if none were in flight and all that we have offered came back. Never less than what
/// will be possible, so that nobody gives up too early.
fn most_when_quiet(channel: &Channel) -> Msat {
    let (ledger, theirs) = (channel.ledger(), &channel.row().params.remote);
    let spent = ledger.of_side(Side::Local).filter_map(|(_, htlc)| match htlc.state {
        HtlcState::Removing(_, Removal::Fulfilled(_)) => Some(htlc.amount_msat),
        _ => None,
    });
    let earned = ledger.of_side(Side::Remote).filter_map(|(_, htlc)| match htlc.state {
        HtlcState::Decided(Removal::Fulfilled(_)) | HtlcState::Removing(_, Removal::Fulfilled(_)) => {
            Some(htlc.amount_msat)
        }
        _ => None,
    });
    let (spent, earned): (Msat, Msat) = (spent.sum(), earned.sum());
    let fee = match ledger.opener() {
        Side::Local => opener_cost(channel.funding().format, ledger.newest_feerate(), 1),
        Side::Remote => Sat::ZERO,
    };
    let kept = fee.to_msat().saturating_add(theirs.channel_reserve.to_msat());
    let balance = ledger.base().local.saturating_add(earned).saturating_sub(spent).saturating_sub(kept);
    balance.min(theirs.max_htlc_value_in_flight_msat)
}
