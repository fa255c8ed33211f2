//! Channels are opened while nodes crash, connections break and other openings are under way: afterwards both ends have
//! the channel, or neither has, and then nothing is lost and nothing is kept back.

mod common;

use common::*;
use leyden_core::amount::{Msat, Sat};
use leyden_core::ids::RequestId;
use leyden_core::request::channel::{ChannelState, FundChannel};
use leyden_core::request::{AmountOrAll, Request, RequestError, Response};
use leyden_sim::{CrashPlan, CrashPoint, World};

const COINS: Sat = Sat(3_000_000);
const FUNDING: Sat = Sat(1_000_000);

fn fund(world: &World, amount: Sat) -> Request {
    Request::FundChannel(Box::new(FundChannel {
        peer: world.id(1),
        amount: AmountOrAll::Amount(amount),
        feerate: None,
        announce: false,
        min_confirmations: 1,
        push_msat: Msat(300_000_000),
        close_to: None,
        utxos: None,
        mindepth: None,
        reserve_sat: None,
        channel_type: None,
    }))
}

/// Two nodes that are connected; the first has coins in three outputs.
fn pair(seed: u64) -> World {
    let mut world = World::new(seed, 2, |_, _| {});
    world.run_until_quiet();
    for _ in 0..3 {
        world.faucet(0, Sat(COINS.0 / 3 + 500_000));
    }
    connect(&mut world, 0, 1);
    world.run_until_quiet();
    world
}

/// What is in the wallet, and whether all of it is free.
fn wallet(world: &mut World, node: usize) -> (u64, bool) {
    match world.call(node, Request::ListFunds { spent: false }) {
        Ok(Response::Funds(funds)) => (
            funds.outputs.iter().map(|output| output.amount_sat.0).sum(),
            funds.outputs.iter().all(|output| output.reserved_to.is_none()),
        ),
        other => panic!("{other:?}"),
    }
}

fn usable(world: &mut World, node: usize) -> Vec<leyden_core::ids::ChannelId> {
    let usable = channels(world, node);
    let usable = usable.iter().filter(|channel| channel.state == ChannelState::Normal && channel.reestablished);
    let mut ids: Vec<_> = usable.map(|channel| channel.channel_id).collect();
    ids.sort();
    ids
}

/// Peace returns; then both ends agree about everything. Gives the number of channels.
fn settles(world: &mut World, before: u64, at: &str) -> usize {
    world.run_for_ms(120_000);
    world.run_until_quiet();
    // Channels keep nodes together; without one somebody has to ask.
    connect(world, 0, 1);
    world.run_until_quiet();
    world.mine(6);
    world.run_for_ms(120_000);
    world.run_until_quiet();
    let ids = usable(world, 0);
    let story = world.story();
    assert_eq!(ids, usable(world, 1), "{at}\n{story}");
    for node in 0..2 {
        let all = channels(world, node);
        assert_eq!(all.len(), ids.len(), "{at}: node {node} has {all:?}\n{story}");
    }
    let (left, free) = wallet(world, 0);
    assert!(free, "{at}: something is still reserved\n{story}");
    let spent = before - left;
    let funded = ids.len() as u64 * FUNDING.0;
    assert!(spent >= funded && spent <= funded + ids.len() as u64 * 2_000, "{at}: {spent} spent\n{story}");
    for (number, _) in ids.iter().enumerate() {
        pays(world, 0, 1, Msat(1_000_000), &format!("after {number}"));
    }
    ids.len()
}

/// One opening with one crash; `None` if the crash never came, else whether there was a channel.
fn one_crash(node: usize, turn: u64, point: CrashPoint) -> Option<bool> {
    let mut world = pair(41);
    let (before, _) = wallet(&mut world, 0);
    world.plan_crash(node, CrashPlan { turn, point });
    let request = fund(&world, FUNDING);
    world.request(0, request);
    world.run_until_quiet();
    world.mine(6);
    world.run_until_quiet();
    if world.crash_is_due(node) {
        return None;
    }
    let at = format!("node {node}, turn {turn}, {point:?}");
    let opened = settles(&mut world, before, &at);
    // The network is as good as before.
    let (before, _) = wallet(&mut world, 0);
    connect(&mut world, 0, 1);
    open(&mut world, 0, 1, FUNDING, Msat(300_000_000));
    assert_eq!(usable(&mut world, 1).len(), opened + 1, "{at}\n{}", world.story());
    assert!(wallet(&mut world, 0).0 < before);
    Some(opened > 0)
}

fn every_turn(node: usize) {
    for point in [CrashPoint::BeforeCommit, CrashPoint::AfterCommit, CrashPoint::AfterEffects] {
        let ends: Vec<bool> = (0..).map_while(|turn| one_crash(node, turn, point)).collect();
        assert!(ends.len() >= 4, "an opening takes a few turns: {ends:?}");
        assert!(ends.contains(&true) && ends.contains(&false), "{point:?}: {ends:?}");
    }
}

#[test]
fn the_opener_crashes_after_every_turn() {
    every_turn(0);
}

#[test]
fn the_other_side_crashes_after_every_turn() {
    every_turn(1);
}

/// What may happen to an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Open,
    Cut,
    Connect,
}

#[test]
fn openings_and_reconnections_in_all_orders() {
    use Event::{Connect, Cut, Open};
    let orders = [
        [Open, Cut, Connect, Open],
        [Open, Cut, Open, Connect],
        [Open, Open, Cut, Connect],
        [Cut, Open, Connect, Open],
        [Cut, Connect, Open, Open],
        [Open, Connect, Cut, Open],
        [Open, Connect, Open, Cut],
    ];
    for order in orders {
        for steps in 0..14 {
            let mut world = pair(42);
            let (before, _) = wallet(&mut world, 0);
            let mut requests: Vec<RequestId> = Vec::new();
            for event in order {
                match event {
                    Open => {
                        let request = fund(&world, FUNDING);
                        requests.push(world.request(0, request));
                    }
                    Cut => world.cut(0, 1),
                    Connect => {
                        let peer = world.id(1);
                        let address = Some(World::address(1));
                        let connect = leyden_core::request::peer::Connect { peer, address };
                        world.request(0, Request::Connect(connect));
                    }
                }
                for _ in 0..steps {
                    world.advance();
                }
            }
            let at = format!("{order:?} with {steps} steps");
            let answered = requests.into_iter().filter(|id| world.run_until_reply(*id).is_ok()).count();
            let opened = settles(&mut world, before, &at);
            assert_eq!(opened, answered, "{at}\n{}", world.story());
        }
    }
}

#[test]
fn a_refused_funding_costs_nothing_and_is_forgotten_by_both() {
    let mut world = pair(43);
    let before = wallet(&mut world, 0);
    world.set_min_relay(1_000_000);
    let request = fund(&world, FUNDING);
    let error = world.call(0, request).expect_err("no mempool takes it");
    assert_eq!(error.code, RequestError::FUNDING_BROADCAST_FAIL, "{error:?}");
    for told in ["MinRelayFee", "the channel is forgotten", "the coins are free again"] {
        assert!(error.message.contains(told), "{}", error.message);
    }
    world.run_until_quiet();
    assert_eq!(wallet(&mut world, 0), before);
    assert!(channels(&mut world, 0).is_empty());
    assert!(world.node(0).census().is_idle());
    // The very same coins serve when the mempool is empty again.
    world.set_min_relay(1_000);
    open(&mut world, 0, 1, FUNDING, Msat(300_000_000));
    assert_eq!(usable(&mut world, 1).len(), 1, "{}", world.story());
}

#[test]
fn an_opening_while_the_backend_goes_away_is_given_up_before_anything_is_sent() {
    let mut world = pair(44);
    let before = wallet(&mut world, 0);
    let request = fund(&world, FUNDING);
    let id = world.request(0, request);
    world.advance();
    world.chain_is_up(0, false);
    let error = world.run_until_reply(id).expect_err("nobody could broadcast it");
    assert!(error.message.contains("Nothing was sent"), "{}", error.message);
    world.chain_is_up(0, true);
    world.run_until_quiet();
    world.mine(6);
    world.run_until_quiet();
    assert_eq!(wallet(&mut world, 0), before);
    assert!(channels(&mut world, 0).is_empty());
}

#[test]
fn a_funding_that_may_have_gone_well_is_not_forgotten() {
    let mut world = pair(45);
    let request = fund(&world, FUNDING);
    let id = world.request(0, request);
    // The first attempt went out and nothing was heard of it; the next one is refused.
    while world.node(0).census().channels == 0 {
        assert!(world.advance());
    }
    world.crash(0);
    world.set_min_relay(1_000_000);
    let _ = world.reply(id);
    world.run_for_ms(120_000);
    world.run_until_quiet();
    assert_eq!(channels(&mut world, 0).len(), 1, "{}", world.story());
}
