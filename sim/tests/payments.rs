//! Stories of payments between whole nodes.

mod common;

use common::*;
use leyden_core::amount::{Msat, Sat};
use leyden_core::request::RequestError;
use leyden_sim::World;

#[test]
fn neighbours_pay_each_other() {
    let mut world = line(1, 2);
    assert_eq!(in_channels(&mut world, 0), 700_000_000);
    pays(&mut world, 0, 1, Msat(10_000_000), "there");
    pays(&mut world, 1, 0, Msat(4_000_001), "back");
    assert_eq!(in_channels(&mut world, 0), 693_000_000 + 1_000_001);
    assert_eq!(in_channels(&mut world, 1), 306_000_000 - 1);
    assert_eq!(world.refused, []);
}

#[test]
fn a_payment_passes_through_and_the_fee_stays_in_the_middle() {
    let mut world = line(2, 3);
    let middle = in_channels(&mut world, 1);
    pays(&mut world, 0, 2, Msat(10_000_000), "far");
    assert_eq!(in_channels(&mut world, 2), 310_000_000);
    assert_eq!(in_channels(&mut world, 1), middle + 1_000 + 100);
    assert_eq!(in_channels(&mut world, 0), 690_000_000 - 1_100);
}

#[test]
fn an_expired_invoice_is_not_paid() {
    let mut world = line(3, 2);
    let invoice = invoice_for(&mut world, 1, Some(Msat(1_000)), "old", 10);
    world.run_for_ms(11_000);
    let error = world.call(0, pay(&invoice.bolt11)).expect_err("too late");
    assert_eq!(error.code, RequestError::PAY_INVOICE_EXPIRED);
}

#[test]
fn a_large_payment_comes_in_parts_over_two_channels() {
    let mut world = World::new(4, 2, |_, _| {});
    world.faucet(0, Sat(3_000_000));
    connect(&mut world, 0, 1);
    open(&mut world, 0, 1, Sat(100_000), Msat(0));
    open(&mut world, 0, 1, Sat(100_000), Msat(0));
    assert_eq!(channels(&mut world, 0).len(), 2);
    pays(&mut world, 0, 1, Msat(130_000_000), "large");
    assert_eq!(in_channels(&mut world, 1), 130_000_000);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let digests = [0, 1].map(|_| {
        let mut world = line(5, 3);
        pays(&mut world, 0, 2, Msat(10_000_000), "far");
        world.digest()
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_channel_tells_what_has_passed_through_it() {
    let mut world = line(6, 2);
    let opened = channels(&mut world, 0)[0].clone();
    assert_eq!((opened.min_to_us_msat, opened.max_to_us_msat), (Msat(700_000_000), Msat(700_000_000)));
    assert!(opened.last_commitment_txid.is_some() && opened.last_commitment_fee_msat > Msat(0));
    pays(&mut world, 0, 1, Msat(10_000_000), "there");
    pays(&mut world, 0, 1, Msat(5_000_000), "there again");
    pays(&mut world, 1, 0, Msat(4_000_000), "back");
    pays(&mut world, 0, 1, Msat(1_000_000), "and again");
    let before = channels(&mut world, 0)[0].clone();
    assert_eq!(before.outgoing.fulfilled_count, 3);
    world.crash(0);
    world.run_for_ms(60_000);
    world.run_until_quiet();
    let after = channels(&mut world, 0)[0].clone();
    assert_eq!(after.outgoing.offered_count, 3);
    assert_eq!(after.outgoing.fulfilled_count, 3);
    assert_eq!(after.outgoing.offered_msat, Msat(16_000_000));
    assert_eq!(after.outgoing.fulfilled_msat, Msat(16_000_000));
    assert_eq!((after.incoming.offered_count, after.incoming.fulfilled_msat), (1, Msat(4_000_000)));
    assert_eq!(after.max_to_us_msat, Msat(700_000_000));
    assert_eq!(after.min_to_us_msat, Msat(685_000_000));
    assert_ne!(after.last_commitment_txid, opened.last_commitment_txid);
    assert_eq!(after.last_commitment_txid, before.last_commitment_txid);
    let other = channels(&mut world, 1)[0].clone();
    assert_eq!(other.incoming, after.outgoing);
    assert_eq!(other.outgoing, after.incoming);
}

#[test]
fn a_channel_tells_what_was_pushed_and_what_has_passed_since() {
    let mut world = line(46, 2);
    let pushed = |world: &mut World| [0, 1].map(|node| channels(world, node)[0].pushed_msat);
    assert_eq!(pushed(&mut world), [Msat(300_000_000); 2]);
    pays(&mut world, 0, 1, Msat(50_000_000), "there");
    pays(&mut world, 1, 0, Msat(320_000_000), "and back");
    assert_eq!(pushed(&mut world), [Msat(300_000_000); 2]);
    let channel = &channels(&mut world, 0)[0];
    assert_eq!(channel.to_us_msat, Msat(970_000_000));
    assert_eq!((channel.min_to_us_msat, channel.max_to_us_msat), (Msat(650_000_000), Msat(970_000_000)));
    assert_eq!(
        (channel.incoming.fulfilled_msat, channel.outgoing.fulfilled_msat),
        (Msat(320_000_000), Msat(50_000_000))
    );
}
