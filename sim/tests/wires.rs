//! Whole messages or bytes through the full stack: the same story has the same end.

mod common;

use common::*;
use leyden_core::amount::{Msat, Sat};
use leyden_sim::{Act, Place, Trigger, Wire, World};

/// `commitment_signed`.
const COMMITMENT_SIGNED: u16 = 132;

fn line_on(wire: Wire, seed: u64) -> World {
    let mut world = World::on(wire, seed, 3, |_, _| {});
    world.jitter_ms = 5;
    world.run_until_quiet();
    for node in 0..2 {
        world.faucet(node, Sat(3_000_000));
        connect(&mut world, node, node + 1);
        open(&mut world, node, node + 1, Sat(1_000_000), Msat(300_000_000));
    }
    world
}

/// Payments in both directions, with cuts at every place of a message or without; gives what each node has at the end.
fn story(wire: Wire, seed: u64, cuts: bool) -> Vec<u64> {
    let mut world = line_on(wire, seed);
    for (round, place) in [Place::Before, Place::Inside, Place::After].into_iter().enumerate() {
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1)].into_iter().filter(|_| cuts) {
            let act = Act::Cut;
            world.arm(Trigger { from, to, message_type: Some(COMMITMENT_SIGNED), skip: 1, place, act });
        }
        for (index, (from, to)) in [(0, 2), (2, 0), (1, 0), (0, 2)].into_iter().enumerate() {
            let amount = Msat(5_000_000 + 1_000_000 * index as u64);
            let invoice = invoice_for(&mut world, to, Some(amount), &format!("{round} {index}"), 3_600);
            world.request(from, pay(&invoice.bolt11));
        }
        world.run_for_ms(120_000);
        world.run_until_quiet();
        assert!(world.armed().is_empty(), "every cut came: {:?}", world.armed());
    }
    assert_eq!(world.violations(), []);
    (0..3).map(|node| in_channels(&mut world, node)).collect()
}

#[test]
fn bytes_and_messages_tell_the_same_story() {
    for seed in 1..4 {
        let by_messages = story(Wire::Messages, seed, false);
        let by_bytes = story(Wire::Bytes, seed, false);
        assert_eq!(by_messages, by_bytes, "seed {seed}");
    }
}

#[test]
fn a_message_cut_at_any_place_makes_and_loses_nothing() {
    for seed in 1..4 {
        for wire in [Wire::Messages, Wire::Bytes] {
            assert_eq!(story(wire, seed, true).iter().sum::<u64>(), 2_000_000_000, "seed {seed}, {wire:?}");
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_bytes() {
    let run = || {
        let mut world = line_on(Wire::Bytes, 9);
        pays(&mut world, 0, 2, Msat(7_000_000), "one");
        (world.digest(), world.counts())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_slow_reader_gets_everything_in_the_end() {
    let mut world = line_on(Wire::Bytes, 4);
    world.stall(0, 1, 3_000);
    let invoices: Vec<_> = (0..80)
        .map(|index| invoice_for(&mut world, 2, Some(Msat(1_000_000)), &format!("slow {index}"), 3_600))
        .collect();
    for invoice in &invoices {
        world.request(0, pay(&invoice.bolt11));
    }
    world.run_until_quiet();
    assert_eq!(in_channels(&mut world, 2), 300_000_000 + 80_000_000, "{}", world.story());
}
