//! What clients ask about channels, and about the map as far as we are part of it.

use crate::amount::{Msat, Sat};
use crate::channel::ledger::Stage;
use crate::channel::{
    Channel, CloseReason, CloseTerms, Flow, HtlcState as ChannelHtlcState, Link, PeerPolicy, Phase, Policy,
};
use crate::ids::{ChannelKey, NodeId, RequestId};
use crate::node::{Io, Node, NodeTimer};
use crate::request::channel::{
    ChannelName, ChannelPolicy, ChannelState, Close, HtlcInfo, HtlcProgress, HtlcStage, ListPeerChannels, PeerChannel,
    SetChannel, Traffic,
};
use crate::request::graph::{GraphChannel, GraphNode, ListChannels};
use crate::request::wallet::{Funds, FundsChannel};
use crate::request::{ForwardPolicy, RequestError, Response};
use crate::side::{PerSide, Side};

impl Node {
    fn named(&self, name: &ChannelName) -> Result<ChannelKey, RequestError> {
        match name {
            ChannelName::Id(id) => self.index.by_id.get(id).copied(),
            ChannelName::Scid(scid) => self.index.by_scid.get(scid).copied(),
            ChannelName::Peer(peer) => {
                let mut of_peer = self.index.of_peer(*peer).filter(|key| {
                    self.channels.get(key).is_some_and(|channel| !matches!(channel.phase(), Phase::OnChain { .. }))
                });
                let first = of_peer.next();
                if of_peer.next().is_some() {
                    let text = "Peer has multiple channels: use channel_id or short_channel_id";
                    return Err(RequestError::invalid_params(text));
                }
                first
            }
        }
        .ok_or_else(|| RequestError::invalid_params("Unknown channel: see listpeerchannels"))
    }

    fn state_of(channel: &Channel) -> ChannelState {
        match channel.phase() {
            Phase::AwaitingFunding => ChannelState::AwaitingLockin,
            Phase::Open => ChannelState::Normal,
            Phase::ShuttingDown => ChannelState::ShuttingDown,
            Phase::Negotiating => ChannelState::SigExchange,
            Phase::OnChain { spent: Some(_), .. } => ChannelState::Onchain,
            Phase::OnChain { reason: Some(_), .. } => ChannelState::AwaitingUnilateral,
            Phase::OnChain { .. } => ChannelState::ClosingComplete,
            Phase::Closed => ChannelState::Closed,
        }
    }

    pub(super) fn peer_channels(&self, filter: &ListPeerChannels) -> Vec<PeerChannel> {
        let wanted = filter.channel.as_ref().map(|name| self.named(name).ok());
        let channels = self.channels.iter().filter(|(key, channel)| {
            filter.peer.is_none_or(|peer| peer == channel.peer()) && wanted.is_none_or(|wanted| wanted == Some(**key))
        });
        channels.map(|(key, channel)| self.peer_channel(*key, channel)).collect()
    }

    fn peer_channel(&self, key: ChannelKey, channel: &Channel) -> PeerChannel {
        let row = channel.row();
        let to_us = channel.ledger().base().local;
        let opener_put = channel.capacity();
        let funded_sat = match row.opener {
            Side::Local => PerSide { local: opener_put, remote: Sat::ZERO },
            Side::Remote => PerSide { local: Sat::ZERO, remote: opener_put },
        };
        let closer = match (&row.shutdown.local, &row.shutdown.remote) {
            (Some(_), None) => Some(Side::Local),
            (None, Some(_)) => Some(Side::Remote),
            (Some(_), Some(_)) => Some(Side::Local),
            (None, None) => None,
        };
        PeerChannel {
            peer_id: channel.peer(),
            peer_connected: self.peers.ready(channel.peer()).is_some(),
            reestablished: matches!(channel.link(), Link::Live { .. }),
            state: Node::state_of(channel),
            channel_id: channel.id(),
            short_channel_id: channel.scid(),
            direction: channel.direction(self.id),
            alias: row.alias,
            channel_type: self.channel_type_bits(key),
            private: !row.announce,
            opener: row.opener,
            closer,
            funding: Some(channel.funding().outpoint),
            funded_sat,
            pushed_msat: pushed(channel),
            close_to: row.upfront_shutdown.local.as_ref().map(|script| script.clone().into()),
            to_us_msat: to_us,
            min_to_us_msat: channel.totals().min_to_us_msat,
            max_to_us_msat: channel.totals().max_to_us_msat,
            total_msat: channel.capacity().to_msat(),
            spendable_msat: channel.spendable_msat(&self.channel_config),
            receivable_msat: channel.receivable_msat(&self.channel_config),
            feerate_per_kw: channel.ledger().newest_feerate(),
            last_commitment_txid: channel.last_commitment().map(|last| last.txid),
            last_commitment_fee_msat: channel.last_commitment().map_or(Msat::ZERO, |last| last.fee.to_msat()),
            reserve_sat: PerSide { local: row.params.remote.channel_reserve, remote: row.params.local.channel_reserve },
            dust_limit_sat: PerSide { local: row.params.local.dust_limit, remote: row.params.remote.dust_limit },
            to_self_delay: PerSide { local: row.params.remote.to_self_delay, remote: row.params.local.to_self_delay },
            max_accepted_htlcs: PerSide {
                local: row.params.local.max_accepted_htlcs,
                remote: row.params.remote.max_accepted_htlcs,
            },
            max_htlc_in_flight_msat: PerSide {
                local: row.params.local.max_htlc_value_in_flight_msat,
                remote: row.params.remote.max_htlc_value_in_flight_msat,
            },
            htlc_minimum_msat: PerSide {
                local: row.params.local.htlc_minimum_msat,
                remote: row.params.remote.htlc_minimum_msat,
            },
            policy_local: policy_info(&row.policy),
            policy_remote: row.peer_policy.map(|peer| policy_info(&peer.policy)),
            htlcs: channel.ledger().htlcs().map(|(key, htlc)| htlc_info(key.offered_by, key.id, htlc)).collect(),
            incoming: traffic(&channel.totals().flows.remote),
            outgoing: traffic(&channel.totals().flows.local),
            status: vec![format!("{}: {}", channel_link(channel), channel.phase().name())],
            lost_state: row.behind,
            last_stable_connection: None,
        }
    }

    pub(super) fn on_close(&mut self, io: &mut Io<'_>, request: RequestId, close: Close) {
        let key = match self.named(&close.channel) {
            Ok(key) => key,
            Err(error) => return io.reply(request, Err(error)),
        };
        let range = close.fee_range.map(|(low, high)| (self.feerate(Some(low)), self.feerate(Some(high))));
        if range.is_some_and(|(low, high)| low > high) {
            let text = "feerange: the lowest feerate is above the highest";
            return io.reply(request, Err(RequestError::invalid_params(text)));
        }
        let terms = CloseTerms { feerate_range_per_kw: range };
        let script = close.destination;
        let begun = self.with_channel(io, key, |channel, cx| channel.shutdown(cx, script.as_deref(), terms));
        match begun {
            Some(Ok(())) => {}
            Some(Err(refusal)) => {
                if let Some(Phase::OnChain { .. }) = self.channels.get(&key).map(|channel| channel.phase()) {
                    let text = "Channel is on chain already";
                    return io.reply(request, Err(RequestError::generic(text)));
                }
                return io.reply(request, Err(RequestError::generic(refusal.to_string())));
            }
            None => return io.reply(request, Err(RequestError::generic("the channel is gone"))),
        }
        self.close_waiters.entry(key).or_default().push(request);
        let connected = self.channels.get(&key).is_some_and(|channel| matches!(channel.link(), Link::Live { .. }));
        // As Core Lightning: two days for a peer that is here, at once for one that is not, unless the caller says.
        let patience_s = close.unilateral_timeout_s.unwrap_or(if connected { 48 * 3600 } else { 1 });
        // Zero: the caller waits for ever.
        if patience_s > 0 {
            let until = io.clock.mono.plus_ms(patience_s.saturating_mul(1000));
            self.timers.set(NodeTimer::Patience { request }, until);
        }
    }

    /// The peer did not agree in time: close alone.
    pub(in crate::node) fn on_patience_over(&mut self, io: &mut Io<'_>, request: RequestId) {
        let waiting = self.close_waiters.iter().find(|(_, requests)| requests.contains(&request));
        let Some(key) = waiting.map(|(key, _)| *key) else { return };
        self.with_channel(io, key, |channel, cx| channel.force_close(cx, CloseReason::Operator));
    }

    pub(super) fn on_set_channel(&mut self, io: &mut Io<'_>, set: &SetChannel) -> Result<Response, RequestError> {
        let keys = match &set.channel {
            Some(name) => vec![self.named(name)?],
            None => self.channels.keys().copied().collect(),
        };
        if set.channel.is_none() {
            // New channels follow.
            let policy = &mut self.channel_config.policy;
            policy.fee_base_msat = set.fee_base_msat.map_or(policy.fee_base_msat, small);
            policy.fee_proportional_millionths =
                set.fee_proportional_millionths.unwrap_or(policy.fee_proportional_millionths);
            policy.htlc_minimum_msat = set.htlc_minimum_msat.unwrap_or(policy.htlc_minimum_msat);
            policy.htlc_maximum_msat = set.htlc_maximum_msat.unwrap_or(policy.htlc_maximum_msat);
        }
        let mut changed = Vec::new();
        for key in keys {
            let Some(channel) = self.channels.get(&key) else { continue };
            let mut policy = channel.row().policy;
            policy.fee_base_msat = set.fee_base_msat.map_or(policy.fee_base_msat, small);
            policy.fee_proportional_millionths =
                set.fee_proportional_millionths.unwrap_or(policy.fee_proportional_millionths);
            let least = channel.row().params.remote.htlc_minimum_msat;
            let most = channel.capacity().to_msat();
            let minimum = set.htlc_minimum_msat.unwrap_or(policy.htlc_minimum_msat);
            let maximum = set.htlc_maximum_msat.unwrap_or(policy.htlc_maximum_msat);
            policy.htlc_minimum_msat = minimum.max(least);
            policy.htlc_maximum_msat = maximum.min(most);
            changed.push(ChannelPolicy {
                peer_id: channel.peer(),
                channel_id: channel.id(),
                short_channel_id: channel.scid(),
                policy: policy_info(&policy),
                ignore_fee_limits: false,
                warning_htlc_minimum_too_low: set.htlc_minimum_msat.is_some_and(|asked| asked < least),
                warning_htlc_maximum_too_high: set.htlc_maximum_msat.is_some_and(|asked| asked > most),
            });
            self.set_policy(io, key, policy, set.enforce_delay_s);
        }
        Ok(Response::ChannelPolicies(changed))
    }

    pub(super) fn funds(&self, spent: bool) -> Funds {
        let channels = self.channels.values().map(|channel| FundsChannel {
            peer_id: channel.peer(),
            connected: self.peers.ready(channel.peer()).is_some(),
            state: Node::state_of(channel),
            channel_id: channel.id(),
            short_channel_id: channel.scid(),
            our_amount_msat: channel.ledger().base().local,
            amount_msat: channel.capacity().to_msat(),
            funding: channel.funding().outpoint,
        });
        Funds { outputs: self.wallet.list_funds(spent), channels: channels.collect() }
    }

    pub(super) fn graph_nodes(&self, wanted: Option<NodeId>) -> Vec<GraphNode> {
        let mut ids: Vec<NodeId> = self.channels.values().map(|channel| channel.peer()).collect();
        ids.push(self.id);
        ids.sort();
        ids.dedup();
        let wanted = |id: &NodeId| wanted.is_none_or(|wanted| wanted == *id);
        ids.into_iter().filter(wanted).map(|id| GraphNode { id, announcement: None }).collect()
    }

    pub(super) fn graph_channels(&self, filter: &ListChannels) -> Vec<GraphChannel> {
        let mut found = Vec::new();
        for (key, channel) in self.channels.iter().filter(|(_, channel)| *channel.phase() == Phase::Open) {
            let Some(scid) = channel.scid().or(channel.row().alias.local) else { continue };
            let ours = channel.direction(self.id);
            let public = channel.is_announced();
            let told = PeerPolicy {
                policy: channel.row().policy,
                timestamp: self.update_timestamps.get(key).copied().unwrap_or(0),
                disabled: false,
            };
            let ends = [
                (self.id, channel.peer(), ours, Some(&told)),
                (channel.peer(), self.id, 1 - ours, channel.peer_policy()),
            ];
            for (source, destination, direction, told) in ends {
                let Some(PeerPolicy { policy, timestamp, disabled }) = told else { continue };
                let wanted = match filter {
                    ListChannels::All => true,
                    ListChannels::Channel(wanted) => *wanted == scid,
                    ListChannels::Source(wanted) => *wanted == source,
                    ListChannels::Destination(wanted) => *wanted == destination,
                };
                if wanted {
                    found.push(GraphChannel {
                        source,
                        destination,
                        short_channel_id: scid,
                        direction,
                        public,
                        amount_msat: channel.capacity().to_msat(),
                        // BOLT 7, the `channel_update` message: 1 is always set, 2 says that it is for the ends alone.
                        message_flags: if public { 1 } else { 3 },
                        channel_flags: direction | u8::from(*disabled) << 1,
                        active: channel.is_up() && !disabled,
                        last_update_s: *timestamp,
                        policy: policy_info(policy),
                        features: Vec::new(),
                    });
                }
            }
        }
        found
    }
}

fn small(amount: Msat) -> u32 {
    u32::try_from(amount.0).unwrap_or(u32::MAX)
}

fn policy_info(policy: &Policy) -> ForwardPolicy {
    ForwardPolicy {
        htlc_minimum_msat: policy.htlc_minimum_msat,
        htlc_maximum_msat: policy.htlc_maximum_msat,
        cltv_expiry_delta: policy.cltv_expiry_delta,
        fee_base_msat: Msat(u64::from(policy.fee_base_msat)),
        fee_proportional_millionths: policy.fee_proportional_millionths,
    }
}

/// What the opener gave to the other side at the beginning: what that side has, without what it was paid, and with what
/// it paid. Nothing else moves a balance, so the amount needs no row of its own.
fn pushed(channel: &Channel) -> Msat {
    let (opener, flows) = (channel.opener(), &channel.totals().flows);
    channel.ledger().base()[!opener]
        .saturating_add(flows[!opener].fulfilled_msat)
        .saturating_sub(flows[opener].fulfilled_msat)
}

fn traffic(flow: &Flow) -> Traffic {
    let Flow { offered_count, offered_msat, fulfilled_count, fulfilled_msat } = *flow;
    Traffic { offered_count, offered_msat, fulfilled_count, fulfilled_msat }
}

fn channel_link(channel: &Channel) -> &'static str {
    match channel.link() {
        Link::Offline => "offline",
        Link::Reestablishing { .. } => "reestablishing",
        Link::Live { .. } => "connected",
    }
}

fn htlc_info(offered_by: Side, id: crate::ids::HtlcId, htlc: &crate::channel::Htlc) -> HtlcInfo {
    let stage = |stage: &Stage| match stage {
        Stage::Proposed => HtlcStage::Proposed,
        Stage::PeerSigned => HtlcStage::PeerSigned,
        Stage::PeerRevoked => HtlcStage::PeerRevoked,
        Stage::OwnSigned => HtlcStage::OwnSigned,
    };
    HtlcInfo {
        offered_by,
        id,
        amount_msat: htlc.amount_msat,
        expiry: crate::ids::BlockHeight(htlc.cltv_expiry),
        payment_hash: htlc.payment_hash,
        progress: match &htlc.state {
            ChannelHtlcState::Adding(at) => HtlcProgress::Adding(stage(at)),
            ChannelHtlcState::Live | ChannelHtlcState::Decided(_) => HtlcProgress::Live,
            ChannelHtlcState::Removing(at, _) => HtlcProgress::Removing(stage(at)),
        },
        local_trimmed: false,
    }
}
