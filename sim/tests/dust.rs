//! Dust beyond what a node bears is failed and never passed on, also by a node that was restarted meanwhile.

mod common;

use common::*;
use leyden_core::amount::{Msat, Sat};
use leyden_core::request::Request;
use leyden_core::request::payment::{RouteHop, SendPay};
use leyden_sim::{CrashPlan, CrashPoint, World};

/// Below what becomes an output of its own, with the fee for passing it on.
const DUST: Msat = Msat(340_000);

/// Three nodes in a row; the one in the middle bears a thousand satoshi of dust.
fn network() -> World {
    let mut world = World::new(3, 3, |node, config| {
        if node == 1 {
            config.channel.dust_exposure_max = Msat(1_000_000);
        }
    });
    world.run_until_quiet();
    for node in 0..2 {
        world.faucet(node, Sat(3_000_000));
        connect(&mut world, node, node + 1);
        open(&mut world, node, node + 1, Sat(1_000_000), Msat(300_000_000));
    }
    world
}

/// Three dust payments leave in one commitment, and together they are too much. Gives what the last node got, or
/// nothing if the crash never came.
fn three_at_once(crash: Option<CrashPlan>) -> Option<u64> {
    let mut world = network();
    let before = in_channels(&mut world, 2);
    let first = channels(&mut world, 0)[0].short_channel_id.expect("it is deep");
    let second = channels(&mut world, 2)[0].short_channel_id.expect("it is deep");
    let requests: Vec<Request> = (0..3)
        .map(|number| {
            let invoice = invoice_for(&mut world, 2, Some(DUST), &format!("dust {number}"), 3_600);
            let route = vec![
                RouteHop { node: world.id(1), channel: first, amount_msat: Msat(DUST.0 + 5_000), delay: 140 },
                RouteHop { node: world.id(2), channel: second, amount_msat: DUST, delay: 100 },
            ];
            Request::SendPay(Box::new(SendPay {
                route,
                payment_hash: invoice.payment_hash,
                label: None,
                total_msat: None,
                bolt11: None,
                payment_secret: Some(invoice.payment_secret),
                part_id: 0,
                group_id: None,
                payment_metadata: None,
                description: None,
            }))
        })
        .collect();
    if let Some(plan) = crash {
        world.plan_crash(1, plan);
    }
    for request in requests {
        world.request(0, request);
    }
    world.run_for_ms(600_000);
    world.run_until_quiet();
    let got = in_channels(&mut world, 2) - before;
    (crash.is_none() || !world.crash_is_due(1)).then_some(got)
}

#[test]
fn a_restart_does_not_forget_how_much_dust_there_is() {
    assert_eq!(three_at_once(None), Some(0));
    for point in CrashPoint::ALL {
        let mut turns = 0;
        while let Some(got) = three_at_once(Some(CrashPlan { turn: turns, point })) {
            assert_eq!(got, 0, "turn {turns}, {point:?}");
            turns += 1;
        }
        assert!(turns >= 3, "to fail them takes more turns than {turns}");
    }
}
