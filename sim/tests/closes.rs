//! Channels that end together: what each side had is on chain, to the satoshi.

mod common;

use common::*;
use leyden_core::amount::Msat;
use leyden_core::request::channel::{ChannelClosed, ChannelName, Close};
use leyden_core::request::{Request, Response};
use leyden_sim::World;

/// Closes the channel between the first two nodes; what came out on chain for each, and the fee.
fn close(world: &mut World, by: usize, before_reply: impl FnOnce(&mut World)) -> (u64, u64, u64) {
    let close = Close {
        channel: ChannelName::Peer(world.id(1 - by)),
        unilateral_timeout_s: None,
        destination: None,
        fee_range: None,
    };
    let own = channels(world, by)[0].clone();
    let id = world.request(by, Request::Close(Box::new(close)));
    before_reply(world);
    let Ok(Response::ChannelClosed(ChannelClosed::Mutual(tx))) = world.run_until_reply(id) else {
        panic!("a mutual close\n{}", world.story());
    };
    assert_eq!(tx.input[0].previous_output, own.funding.expect("it is funded"));
    world.run_until_quiet();
    assert_eq!(world.chain.spender(tx.input[0].previous_output), Some(tx.compute_txid()));
    world.mine(1);
    assert_eq!(world.refused, []);
    let mut amounts: Vec<u64> = tx.output.iter().map(|output| output.value.to_sat()).collect();
    assert_eq!(amounts.len(), 2);
    let paid: u64 = amounts.iter().sum();
    for output in &tx.output {
        assert_eq!(world.chain.balance(&output.script_pubkey).0, output.value.to_sat());
    }
    amounts.sort_unstable();
    (amounts[1], amounts[0], 1_000_000 - paid)
}

#[test]
fn either_side_closes() {
    for by in 0..2 {
        let mut world = line(11, 2);
        pays(&mut world, 0, 1, Msat(10_000_500), "part of a satoshi");
        let (large, small, fee) = close(&mut world, by, |_| {});
        // The opener pays the fee; parts of a satoshi go to it as well (BOLT 3).
        assert_eq!(small, 310_000);
        assert!((1..1_000).contains(&fee), "{fee}");
        assert_eq!(large, 690_000 - fee);
    }
}

#[test]
fn a_close_waits_for_payments_under_way() {
    let mut world = line(12, 2);
    let invoice = invoice_for(&mut world, 1, Some(Msat(20_000_000)), "late", 3600);
    let payment = world.request(0, pay(&invoice.bolt11));
    // Up to the moment when the HTLC is offered, and no further.
    while channels(&mut world, 0)[0].htlcs.is_empty() {
        world.advance();
    }
    let (_, small, _) = close(&mut world, 0, |_| {});
    assert_eq!(small, 320_000);
    world.run_until_reply(payment).expect("the payment ends before the channel");
}

#[test]
fn a_close_survives_a_cut_and_a_crash_at_any_moment() {
    for steps in 0..24 {
        let mut world = line(13, 2);
        let (large, small, fee) = close(&mut world, 0, |world| {
            for _ in 0..steps {
                world.advance();
            }
            match steps % 2 {
                0 => world.cut(0, 1),
                _ => world.crash(1),
            }
        });
        assert_eq!((large, small), (700_000 - fee, 300_000), "after {steps} steps");
    }
}
