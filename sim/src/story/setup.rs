//! What is there when a story begins: nodes as it wants them, coins, connections, channels.

use std::collections::BTreeSet;

use leyden_core::amount::{Msat, Sat};
use leyden_core::chain::Feerates;
use leyden_core::config::Config;
use leyden_core::ids::{ChannelId, ShortChannelId};
use leyden_core::request::channel::{FundChannel, ListPeerChannels, PeerChannel};
use leyden_core::request::peer::Connect;
use leyden_core::request::{AmountOrAll, Request, RequestError, Response};
use leyden_core::wire::Feature;

use super::{ChannelPlan, NodeOption, Story};
use crate::net::NodeIndex;
use crate::world::{Reply, World};

/// Coins beside what the channels take, for fees and for channels that are opened later.
const SPARE: Sat = Sat(2_000_000);

/// What a story may take beside its steps: opening its channels, and coming to rest.
const TURNS_MAX: u64 = 20_000;
/// What each step may take.
const TURNS_PER_STEP: u64 = 100;

pub(super) fn configure(story: &Story, node: NodeIndex, config: &mut Config) {
    config.alias = story.names[node].clone();
    for (_, option, value) in story.options.iter().filter(|(of, ..)| *of == node) {
        let small = u32::try_from(*value).unwrap_or(u32::MAX);
        let channel = &mut config.channel;
        match option {
            NodeOption::FeeBaseMsat => channel.fee_base_msat = small,
            NodeOption::FeeMillionths => channel.fee_proportional_millionths = small,
            NodeOption::CltvExpiryDelta => channel.cltv_expiry_delta = u16::try_from(*value).unwrap_or(u16::MAX),
            NodeOption::HtlcMinimumMsat => channel.htlc_minimum = Msat(*value),
            NodeOption::DustLimitSat => channel.dust_limit = Sat(*value),
            NodeOption::DustExposureMsat => channel.dust_exposure_max = Msat(*value),
            NodeOption::MinimumDepth => channel.minimum_depth = small,
            NodeOption::MppTimeoutS => config.mpp_timeout_s = small,
            NodeOption::ReserveMillionths => channel.reserve_millionths = small,
            // A wish for the opening, see `fund`.
            NodeOption::StaticRemotekey => {}
        }
    }
}

/// The request that opens a channel.
pub(super) fn fund(story: &Story, world: &World, plan: &ChannelPlan) -> Request {
    let wish = (plan.from, NodeOption::StaticRemotekey);
    let is_plain = story.options.iter().any(|(node, option, value)| (*node, *option) == wish && *value != 0);
    Request::FundChannel(Box::new(FundChannel {
        peer: world.id(plan.to),
        amount: AmountOrAll::Amount(plan.amount),
        feerate: None,
        announce: false,
        min_confirmations: 1,
        push_msat: plan.push_msat,
        close_to: None,
        utxos: None,
        mindepth: None,
        reserve_sat: None,
        channel_type: is_plain.then(|| vec![Feature::StaticRemotekey.bit() as u16]),
    }))
}

/// The request that connects two nodes.
pub(super) fn connect(world: &World, to: NodeIndex) -> Request {
    Request::Connect(Connect { peer: world.id(to), address: Some(world.address_of(to)) })
}

/// A world as the story finds it.
pub(super) fn world(story: &Story) -> Result<World, String> {
    let count = story.names.len();
    let mut world = World::on(story.wire, story.seed, count, |node, config| configure(story, node, config));
    world.turns_max = TURNS_MAX + TURNS_PER_STEP * story.steps.len() as u64;
    world.latency_ms = story.latency_ms;
    world.jitter_ms = story.jitter_ms;
    for node in &story.bad {
        world.checks().expect_nothing_of(*node);
    }
    world.run_until_quiet();
    for node in 0..count {
        world.gift(node, SPARE);
    }
    for (node, amount) in &story.coins {
        world.gift(*node, *amount);
    }
    for channel in &story.channels {
        world.gift(channel.from, Sat(channel.amount.0 + 100_000));
    }
    world.mine(1);
    let mut openers = BTreeSet::new();
    for channel in &story.channels {
        // What an opener has left over from the last opening can be used once it is in a block.
        if !openers.insert(channel.from) {
            world.mine(1);
            openers = BTreeSet::from([channel.from]);
        }
        let request = connect(&world, channel.to);
        world.call(channel.from, request).map_err(|error| format!("{channel:?} is not connected: {error:?}"))?;
        let request = fund(story, &world, channel);
        world.call(channel.from, request).map_err(|error| format!("{channel:?} is not opened: {error:?}"))?;
    }
    let depth = story.options.iter().filter(|(_, option, _)| *option == NodeOption::MinimumDepth);
    let depth = depth.map(|(.., value)| *value as u32).max().unwrap_or(1);
    world.mine(depth.max(6));
    world.run_until_quiet();
    Ok(world)
}

/// Asks a node that is on, once more if it crashes over the answer.
fn ask_again(world: &mut World, node: NodeIndex, request: &Request) -> Reply {
    loop {
        let life = world.life(node);
        let id = world.request(node, request.clone());
        while world.life(node) == life {
            if let Some(reply) = world.reply(id) {
                return reply;
            }
            if !world.advance() {
                assert!(world.is_in_circles(), "a node that is on answers");
                return Err(RequestError::generic("the world stands still"));
            }
        }
    }
}

/// What a node says of its channels.
pub(crate) fn channels_of(world: &mut World, node: NodeIndex) -> Vec<PeerChannel> {
    match ask_again(world, node, &Request::ListPeerChannels(ListPeerChannels::default())) {
        Ok(Response::PeerChannels(channels)) => channels,
        Err(_) if world.is_in_circles() => Vec::new(),
        other => panic!("node {node} does not list its channels: {other:?}"),
    }
}

/// What a node has in channels.
pub(crate) fn in_channels(world: &mut World, node: NodeIndex) -> u64 {
    channels_of(world, node).iter().map(|channel| channel.to_us_msat.0).sum()
}

/// What a node has in its wallet, in millisatoshi.
pub(super) fn in_wallet(world: &mut World, node: NodeIndex) -> u64 {
    match world.call(node, Request::ListFunds { spent: false }) {
        Ok(Response::Funds(funds)) => funds.outputs.iter().map(|output| output.amount_sat.0 * 1_000).sum(),
        other => panic!("node {node} does not list its funds: {other:?}"),
    }
}

/// All estimates the same.
pub(super) fn feerates(feerate_per_kw: u32) -> Feerates {
    Feerates {
        blocks_2: feerate_per_kw,
        blocks_6: feerate_per_kw,
        blocks_12: feerate_per_kw,
        blocks_100: feerate_per_kw,
        mempool_minimum: leyden_core::chain::FEERATE_FLOOR_PER_KW,
    }
}

/// A channel as routes name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: NodeIndex,
    pub(super) to: NodeIndex,
    pub(super) channel: ChannelId,
    pub(super) scid: ShortChannelId,
}
