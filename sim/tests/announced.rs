//! Channels that the world may know of.

mod common;

use common::*;
use leyden_core::amount::{Msat, Sat};
use leyden_core::request::channel::FundChannel;
use leyden_core::request::graph::{GraphChannel, ListChannels};
use leyden_core::request::{AmountOrAll, Request, Response};
use leyden_sim::World;

/// Two nodes, and the funding of a channel that shall be announced, in no block.
fn funded(seed: u64) -> World {
    let mut world = World::new(seed, 2, |_, _| {});
    world.run_until_quiet();
    world.faucet(0, Sat(3_000_000));
    connect(&mut world, 0, 1);
    let fund = FundChannel {
        peer: world.id(1),
        amount: AmountOrAll::Amount(Sat(1_000_000)),
        feerate: None,
        announce: true,
        min_confirmations: 1,
        push_msat: Msat(300_000_000),
        close_to: None,
        utxos: None,
        mindepth: None,
        reserve_sat: None,
        channel_type: None,
    };
    world.call(0, Request::FundChannel(Box::new(fund))).expect("it is funded");
    world
}

fn listed(world: &mut World, node: usize) -> Vec<GraphChannel> {
    match world.call(node, Request::ListChannels(ListChannels::All)) {
        Ok(Response::Channels(channels)) => channels,
        other => panic!("{other:?}"),
    }
}

/// Both ends list both directions as public.
fn is_announced(world: &mut World) -> bool {
    let scid = channels(world, 0).first().and_then(|channel| channel.short_channel_id);
    (0..2).all(|node| {
        let listed = listed(world, node);
        let public = listed.iter().all(|half| half.public && Some(half.short_channel_id) == scid);
        let sources: Vec<_> = listed.iter().map(|half| half.source).collect();
        public && listed.len() == 2 && (0..2).all(|end| sources.contains(&world.id(end)))
    })
}

#[test]
fn after_six_blocks_both_ends_have_both_halves() {
    let mut world = funded(51);
    world.mine(5);
    world.run_until_quiet();
    assert!(channels(&mut world, 0).iter().all(|channel| !channel.private));
    assert!(listed(&mut world, 0).iter().all(|half| !half.public), "not deep enough");
    world.mine(1);
    world.run_until_quiet();
    assert!(is_announced(&mut world), "{}", world.story());
    let halves = [0, 1].map(|node| listed(&mut world, node));
    for half in halves.iter().flatten() {
        assert!(half.active && half.last_update_s > 0);
        assert_eq!((half.message_flags, half.channel_flags), (1, half.direction));
        assert_eq!(half.amount_msat, Msat(1_000_000_000));
    }
    pays(&mut world, 0, 1, Msat(1_000_000), "public");
    for node in 0..2 {
        world.crash(node);
        world.run_for_ms(60_000);
        world.run_until_quiet();
        assert!(is_announced(&mut world), "it is in the rows\n{}", world.story());
    }
}

#[test]
fn a_cut_or_a_crash_while_signatures_are_exchanged_delays_them_only() {
    for steps in 0..14 {
        for fault in 0..3 {
            let mut world = funded(52);
            world.mine(5);
            world.run_until_quiet();
            // The sixth block, and no more than a few turns of what follows from it.
            world.latency_ms = 0;
            world.mine(1);
            for _ in 0..steps {
                world.advance();
            }
            match fault {
                0 => world.cut(0, 1),
                node => world.crash(node - 1),
            }
            world.latency_ms = 10;
            world.run_for_ms(120_000);
            world.run_until_quiet();
            // Whoever was away at the depth signs at the next block.
            world.mine(1);
            world.run_until_quiet();
            assert!(is_announced(&mut world), "{steps} {fault}\n{}", world.story());
        }
    }
}
