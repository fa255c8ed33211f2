//! What operators asked for, but for payments.

use std::collections::{BTreeMap, BTreeSet};

use leyden_core::amount::{Msat, Sat};
use leyden_core::ids::NodeId;
use leyden_core::request::channel::{ChannelName, PeerChannel};
use leyden_core::request::{AmountOrAll, Request};
use leyden_core::wire::Feature;

use super::begin::Beginning;
use super::life::{Deed, Life};
use super::plot::{Plot, Rank};
use crate::net::NodeIndex;
use crate::story::{ChannelPlan, Step};

/// What an opening takes beside the channel's amount.
const FUNDING_COSTS: Sat = Sat(100_000);

/// So many messages a connection takes at most until it can be used.
const CONNECTING: i64 = 4;

/// What follows from requests beside steps.
#[derive(Default)]
pub(super) struct Asked {
    /// Who opens channels with whom.
    pub(super) opened: BTreeSet<(NodeIndex, NodeIndex)>,
    /// What wallets must hold for it.
    pub(super) coins: BTreeMap<NodeIndex, Sat>,
}

/// Connections, openings, closes.
pub(super) fn tell(
    lives: &[Life],
    index: &BTreeMap<NodeId, NodeIndex>,
    channels: &[(NodeIndex, &PeerChannel)],
    latency_ms: i64,
    start: &mut Beginning,
    plot: &mut Plot,
) -> Asked {
    let mut asked = Asked::default();
    let mut closes: BTreeSet<(i64, NodeIndex, NodeIndex)> = BTreeSet::new();
    // Openings that a peer saw and nobody is known to have asked for.
    let mut wanted: BTreeMap<(NodeIndex, NodeIndex, u64), usize> = BTreeMap::new();
    for life in lives {
        for (_, deed) in &life.deeds {
            let Deed::Request(_, request) = deed else { continue };
            if let Request::FundChannel(fund) = &**request
                && let (Some(to), AmountOrAll::Amount(amount)) = (index.get(&fund.peer), fund.amount)
            {
                *wanted.entry((life.node, *to, amount.0)).or_default() += 1;
            }
        }
    }
    for life in lives {
        let of = life.node;
        // Where messages take less than a story can say, a connection was there sooner than the story's, which is waited
        // for.
        let settled = |at_ms: i64| {
            if latency_ms > 1 {
                return at_ms;
            }
            let news = life.links.iter().map(|link| link.opened_ms + CONNECTING * latency_ms);
            news.filter(|ready_ms| (at_ms..=at_ms + CONNECTING * latency_ms).contains(ready_ms)).max().unwrap_or(at_ms)
        };
        for (at_ms, deed) in &life.deeds {
            let at_ms = *at_ms;
            let request = match deed {
                Deed::Request(_, request) => &**request,
                Deed::Opening(peer, amount_sat, push_msat) => {
                    let Some(from) = index.get(peer).copied() else { continue };
                    let asked_for = wanted.entry((from, of, *amount_sat)).or_default();
                    if *asked_for > 0 {
                        *asked_for -= 1;
                    } else {
                        let plan = ChannelPlan { from, to: of, amount: Sat(*amount_sat), push_msat: Msat(*push_msat) };
                        // Whoever asked for the opening has asked for the connection.
                        let links = life.links.iter().filter(|link| link.peer == *peer && link.opened_ms <= at_ms);
                        let opened_ms = links.map(|link| link.opened_ms).max().unwrap_or(at_ms);
                        let connects_ms = (opened_ms - latency_ms).max(at_ms - (CONNECTING + 1) * latency_ms);
                        plot.step(connects_ms, Rank::Ask, Step::Connect(from, of));
                        open(plan, settled(at_ms), &mut asked, plot);
                    }
                    continue;
                }
                _ => continue,
            };
            match request {
                Request::Connect(connect) => match index.get(&connect.peer) {
                    Some(peer) => plot.step(at_ms, Rank::Ask, Step::Connect(of, *peer)),
                    None => plot.note("connections to nodes that are not in the story"),
                },
                Request::Disconnect(disconnect) => {
                    if let Some(peer) = index.get(&disconnect.peer) {
                        plot.step(at_ms, Rank::Ask, Step::Disconnect(of, *peer));
                    }
                }
                Request::FundChannel(fund) => match (index.get(&fund.peer), fund.amount) {
                    (Some(to), AmountOrAll::Amount(amount)) => {
                        let is_plain = fund.channel_type.as_ref();
                        let has_anchors =
                            |bits: &Vec<u16>| bits.iter().any(|bit| bit | 1 == Feature::Anchors.bit() as u16 | 1);
                        if is_plain.is_some_and(|bits| !has_anchors(bits)) {
                            start.without_anchors(of);
                        }
                        let plan = ChannelPlan { from: of, to: *to, amount, push_msat: fund.push_msat };
                        open(plan, settled(at_ms), &mut asked, plot);
                    }
                    (Some(_), AmountOrAll::All) => plot.note("openings with all that a wallet has"),
                    (None, _) => plot.note("openings with nodes that are not in the story"),
                },
                Request::Close(close) => match peer_of(&close.channel, of, channels, index) {
                    Some(peer) => {
                        if close.fee_range.is_some() {
                            plot.note("feerates that closes name");
                        }
                        if closes.insert((at_ms, of, peer)) {
                            plot.step(at_ms, Rank::Ask, Step::Close(of, peer, close.unilateral_timeout_s));
                        }
                    }
                    None => plot.note("closes of channels that are not in the story"),
                },
                Request::SetChannel(_) => plot.note("changes of what channels charge"),
                Request::Withdraw(_) | Request::SendPsbt(_) => plot.note("payments from the wallet on chain"),
                Request::SendOnion(_) => plot.note("onions that clients built"),
                _ => {}
            }
        }
    }
    asked
}

fn open(plan: ChannelPlan, at_ms: i64, asked: &mut Asked, plot: &mut Plot) {
    asked.opened.insert((plan.from, plan.to));
    let coins = asked.coins.entry(plan.from).or_insert(Sat(0));
    *coins = Sat(coins.0 + plan.amount.0 + FUNDING_COSTS.0);
    plot.step(at_ms, Rank::Ask, Step::Open(plan));
}

/// With whom is this channel?
fn peer_of(
    name: &ChannelName,
    of: NodeIndex,
    channels: &[(NodeIndex, &PeerChannel)],
    index: &BTreeMap<NodeId, NodeIndex>,
) -> Option<NodeIndex> {
    let mut own = channels.iter().filter(|(node, _)| *node == of).map(|(_, channel)| *channel);
    let found = match name {
        ChannelName::Peer(peer) => return index.get(peer).copied(),
        ChannelName::Id(id) => own.find(|channel| channel.channel_id == *id),
        ChannelName::Scid(scid) => own.find(|channel| {
            let names = [channel.short_channel_id, channel.alias.local, channel.alias.remote];
            names.contains(&Some(*scid))
        }),
    };
    index.get(&found?.peer_id).copied()
}
