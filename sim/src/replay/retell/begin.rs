//! How the nodes stand when a story begins: channels with their balances, what their nodes ask for, HTLCs under way.

use std::collections::{BTreeMap, BTreeSet};

use leyden_core::amount::{Msat, Sat};
use leyden_core::chain::FEERATE_FLOOR_PER_KW;
use leyden_core::clock::Clock;
use leyden_core::command::{Command, Sink};
use leyden_core::config::{ChannelConfig, Config, Network};
use leyden_core::event::Event;
use leyden_core::ids::{ChannelId, ConnId, NodeId, PaymentHash, RequestId};
use leyden_core::node::Node;
use leyden_core::recording::ReplaySigner;
use leyden_core::request::channel::{ChannelState, HtlcInfo, ListPeerChannels, PeerChannel};
use leyden_core::request::peer::Ping;
use leyden_core::request::{Request, Response};
use leyden_core::side::Side;
use leyden_core::wire::Feature;

use super::super::state::{Rows, respond};
use crate::net::NodeIndex;
use crate::story::{ChannelPlan, NodeOption};

/// What an opener keeps for itself at least, beside a hundredth: reserve and fees.
const OPENER_KEEPS: Sat = Sat(4_000);

/// What a node says of its channels.
pub(super) fn channels_of(node: &Node, clock: Clock) -> Vec<PeerChannel> {
    let request = Request::ListPeerChannels(ListPeerChannels::default());
    match respond(node, &Rows::default(), clock, request) {
        Ok(Some(Ok(Response::PeerChannels(channels)))) => channels,
        _ => Vec::new(),
    }
}

/// Keeps the connection over which something is sent.
#[derive(Default)]
struct Sent(Option<ConnId>);

impl Sink for Sent {
    fn emit(&mut self, command: Command<'_>) {
        if let Command::Send { conn, .. } = command {
            self.0.get_or_insert(conn);
        }
    }
}

/// The connections that a node has. It is not asked for them: a copy of it pings each peer, and shows over which one.
pub(super) fn connections_of(node: &Node, clock: Clock) -> Vec<(ConnId, NodeId)> {
    let Ok(Some(Ok(Response::Peers(peers)))) = respond(node, &Rows::default(), clock, Request::ListPeers { id: None })
    else {
        return Vec::new();
    };
    let mut bytes = Vec::new();
    node.snapshot(&mut bytes);
    let over = |peer: NodeId| {
        let mut copy = Node::thaw(&bytes).ok()?;
        let digest = Default::default();
        let mut signer = ReplaySigner::new(node.id(), &[], &digest);
        let mut sent = Sent::default();
        let request = Request::Ping(Ping { peer, len: 0, pong_bytes: 0 });
        copy.step(clock, Event::Request { id: RequestId(u64::MAX), request }, &mut signer, &mut sent);
        Some((sent.0?, peer))
    };
    peers.into_iter().filter(|peer| peer.link.is_some()).filter_map(|peer| over(peer.id)).collect()
}

/// What is there when the story begins.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    pub(super) channels: Vec<ChannelPlan>,
    /// Channels that no block has confirmed yet: the story opens them once more.
    pub(super) unconfirmed: Vec<ChannelPlan>,
    /// Channels whose closing has begun: by whom.
    pub(super) closing: Vec<(NodeIndex, NodeIndex)>,
    pub(super) options: BTreeMap<(NodeIndex, NodeOptionKey), u64>,
    /// Feerates of channels that are not the least there is, by opener.
    pub(super) feerates: BTreeMap<NodeIndex, u32>,
    /// Pairs with channels and without a connection.
    pub(super) apart: BTreeSet<(NodeIndex, NodeIndex)>,
    /// HTLCs under way: whose word, with whom, and what it is.
    pub(super) htlcs: Vec<(NodeIndex, NodeIndex, HtlcInfo)>,
}

/// The place of an option in [`NodeOption::ALL`].
pub(super) type NodeOptionKey = usize;

fn key(option: NodeOption) -> NodeOptionKey {
    NodeOption::ALL.iter().position(|(known, _)| *known == option).expect("the table holds all of them")
}

impl Beginning {
    fn option(&mut self, node: NodeIndex, option: NodeOption, value: u64) {
        let config = ChannelConfig::default_for(Network::Regtest);
        let usual = match option {
            NodeOption::FeeBaseMsat => u64::from(config.fee_base_msat),
            NodeOption::FeeMillionths => u64::from(config.fee_proportional_millionths),
            NodeOption::CltvExpiryDelta => u64::from(config.cltv_expiry_delta),
            NodeOption::HtlcMinimumMsat => config.htlc_minimum.0,
            NodeOption::DustLimitSat => config.dust_limit.0,
            NodeOption::MinimumDepth => u64::from(config.minimum_depth),
            NodeOption::ReserveMillionths => u64::from(config.reserve_millionths),
            NodeOption::DustExposureMsat => config.dust_exposure_max.0,
            NodeOption::MppTimeoutS => u64::from(Config::default_for(Network::Regtest).mpp_timeout_s),
            NodeOption::StaticRemotekey => 0,
        };
        if value != usual {
            self.options.entry((node, key(option))).or_insert(value);
        }
    }

    /// What the operator of a node that has recorded wants.
    pub(super) fn config(&mut self, node: NodeIndex, config: &Config) {
        let ChannelConfig { minimum_depth, dust_limit, reserve_millionths, htlc_minimum, .. } = config.channel;
        let ChannelConfig { dust_exposure_max, fee_base_msat, fee_proportional_millionths, .. } = config.channel;
        let all = [
            (NodeOption::FeeBaseMsat, u64::from(fee_base_msat)),
            (NodeOption::FeeMillionths, u64::from(fee_proportional_millionths)),
            (NodeOption::CltvExpiryDelta, u64::from(config.channel.cltv_expiry_delta)),
            (NodeOption::HtlcMinimumMsat, htlc_minimum.0),
            (NodeOption::DustLimitSat, dust_limit.0),
            (NodeOption::DustExposureMsat, dust_exposure_max.0),
            (NodeOption::MinimumDepth, u64::from(minimum_depth)),
            (NodeOption::MppTimeoutS, u64::from(config.mpp_timeout_s)),
            (NodeOption::ReserveMillionths, u64::from(reserve_millionths)),
        ];
        all.into_iter().for_each(|(option, value)| self.option(node, option, value));
    }

    /// Channels that this node opens have no anchors.
    pub(super) fn without_anchors(&mut self, node: NodeIndex) {
        self.option(node, NodeOption::StaticRemotekey, 1);
    }

    /// What a peer that has not recorded asks for, as a channel with it shows it.
    pub(super) fn wishes(&mut self, node: NodeIndex, channel: &PeerChannel) {
        if let Some(policy) = channel.policy_remote {
            self.option(node, NodeOption::FeeBaseMsat, policy.fee_base_msat.0);
            self.option(node, NodeOption::FeeMillionths, u64::from(policy.fee_proportional_millionths));
            self.option(node, NodeOption::CltvExpiryDelta, u64::from(policy.cltv_expiry_delta));
        }
        self.option(node, NodeOption::HtlcMinimumMsat, channel.htlc_minimum_msat.remote.0);
        self.option(node, NodeOption::DustLimitSat, channel.dust_limit_sat.remote.0);
        // What we must keep, the peer has asked for; a dust limit may have raised it.
        let (kept, total_sat) = (channel.reserve_sat.local.0, (channel.total_msat.0 / 1_000).max(1));
        let usual = u64::from(ChannelConfig::default_for(Network::Regtest).reserve_millionths);
        let is_usual = kept.abs_diff(total_sat * usual / 1_000_000) <= 1;
        if !is_usual && kept > channel.dust_limit_sat.local.0.max(channel.dust_limit_sat.remote.0) {
            self.option(node, NodeOption::ReserveMillionths, (kept * 1_000_000).div_ceil(total_sat));
        }
    }

    /// Takes in a channel by the word of one of its ends; each channel once.
    pub(super) fn channel(
        &mut self,
        of: NodeIndex,
        peer: NodeIndex,
        channel: &PeerChannel,
        seen: &mut BTreeSet<ChannelId>,
    ) {
        let first = seen.insert(channel.channel_id);
        let is_there = matches!(
            channel.state,
            ChannelState::Normal
                | ChannelState::ShuttingDown
                | ChannelState::SigExchange
                | ChannelState::AwaitingLockin
        );
        if !is_there {
            return;
        }
        self.htlcs.extend(channel.htlcs.iter().map(|htlc| (of, peer, *htlc)));
        if !channel.peer_connected {
            self.apart.insert((of.min(peer), of.max(peer)));
        }
        if !first {
            return;
        }
        let total = channel.total_msat;
        let (from, to, pushed) = match channel.opener {
            Side::Local => (of, peer, Msat(total.0.saturating_sub(channel.to_us_msat.0))),
            Side::Remote => (peer, of, channel.to_us_msat),
        };
        let amount = Sat(total.0 / 1_000);
        let push_most = Msat(total.0.saturating_sub(total.0 / 100 + OPENER_KEEPS.0 * 1_000));
        let plan = ChannelPlan { from, to, amount, push_msat: pushed.min(push_most) };
        if !channel.channel_type.iter().any(|bit| bit | 1 == Feature::Anchors.bit() as u16 | 1) {
            self.without_anchors(from);
        }
        if channel.feerate_per_kw > FEERATE_FLOOR_PER_KW {
            self.feerates.insert(from, channel.feerate_per_kw);
        }
        match channel.state {
            ChannelState::AwaitingLockin => self.unconfirmed.push(plan),
            ChannelState::Normal => self.channels.push(plan),
            _ => {
                self.channels.push(plan);
                let by = if channel.closer == Some(Side::Remote) { (peer, of) } else { (of, peer) };
                self.closing.push(by);
            }
        }
    }

    /// The HTLCs under way, by what they are for: who has them from whom, as far as anybody knows.
    pub(super) fn under_way(&self) -> BTreeMap<PaymentHash, Vec<(NodeIndex, NodeIndex, Msat)>> {
        let mut found: BTreeMap<PaymentHash, BTreeSet<(NodeIndex, NodeIndex, Msat)>> = BTreeMap::new();
        for (of, peer, htlc) in &self.htlcs {
            let (from, to) = if htlc.offered_by == Side::Local { (*of, *peer) } else { (*peer, *of) };
            found.entry(htlc.payment_hash).or_default().insert((from, to, htlc.amount_msat));
        }
        found.into_iter().map(|(hash, hops)| (hash, hops.into_iter().collect())).collect()
    }
}
