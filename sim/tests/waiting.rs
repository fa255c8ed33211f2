//! Payments that find no room at once: they wait for it, in order, as long as their callers let them.

mod common;

use common::*;
use leyden_core::amount::{Msat, Sat};
use leyden_core::ids::RequestId;
use leyden_core::request::invoice::InvoiceCreated;
use leyden_core::request::payment::{ListPays, PayStatus, RouteHop, SendPay};
use leyden_core::request::{Request, RequestError, Response};
use leyden_sim::{CrashPlan, CrashPoint, World};

/// Two nodes and one channel of so much, all of it with the first.
fn pair(seed: u64, amount: Sat) -> World {
    let mut world = World::new(seed, 2, |_, _| {});
    world.run_until_quiet();
    world.faucet(0, Sat(amount.0 * 2));
    connect(&mut world, 0, 1);
    open(&mut world, 0, 1, amount, Msat(0));
    world
}

fn pay_within(invoice: &InvoiceCreated, retry_for_s: u64) -> Request {
    match pay(&invoice.bolt11) {
        Request::Pay(pay) => Request::Pay(Box::new(leyden_core::request::payment::Pay { retry_for_s, ..*pay })),
        _ => unreachable!("it is a payment"),
    }
}

/// So many payments in one turn.
fn burst(world: &mut World, count: u64, amount: Msat) -> Vec<RequestId> {
    let invoice = |number| invoice_for(world, 1, Some(amount), &format!("{number}"), 3600);
    let invoices: Vec<InvoiceCreated> = (0..count).map(invoice).collect();
    invoices.iter().map(|invoice| world.request(0, pay_within(invoice, 60))).collect()
}

/// Keeps money in flight: part of a payment whose rest never comes, so that the payee holds it for a minute.
fn hold(world: &mut World, amount: Msat) -> InvoiceCreated {
    let invoice = invoice_for(world, 1, Some(Msat(amount.0 * 2)), "held", 3600);
    let channel = channels(world, 0)[0].short_channel_id.expect("it is deep");
    let send = SendPay {
        route: vec![RouteHop { node: world.id(1), channel, amount_msat: amount, delay: 100 }],
        payment_hash: invoice.payment_hash,
        label: None,
        total_msat: Some(Msat(amount.0 * 2)),
        bolt11: None,
        payment_secret: Some(invoice.payment_secret),
        part_id: 1,
        group_id: None,
        payment_metadata: None,
        description: None,
    };
    world.call(0, Request::SendPay(Box::new(send))).expect("it leaves");
    world.run_for_ms(1_000);
    invoice
}

fn statuses(world: &mut World) -> Vec<PayStatus> {
    match world.call(0, Request::ListPays(ListPays::default())) {
        Ok(Response::Pays(pays)) => pays.iter().map(|pay| pay.status).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_payments_in_one_turn_than_a_channel_takes_all_arrive() {
    // Four hundred are more than may be unacknowledged, seven hundred more than may be in flight.
    for count in [400, 700] {
        let mut world = pair(31, Sat(10_000_000));
        let requests = burst(&mut world, count, Msat(1_000_000));
        let begun = world.now_ms();
        for id in requests {
            world.run_until_reply(id).unwrap_or_else(|error| panic!("{error:?}\n{}", world.story()));
        }
        assert!(world.now_ms() - begun < 2_000, "{} ms", world.now_ms() - begun);
        world.run_until_quiet();
        assert_eq!(in_channels(&mut world, 1), count * 1_000_000);
    }
}

#[test]
fn a_burst_survives_cuts_of_the_connection() {
    for steps in [5, 10, 14, 15, 16, 20] {
        let mut world = pair(32, Sat(10_000_000));
        let requests = burst(&mut world, 400, Msat(1_000_000));
        for _ in 0..steps {
            world.advance();
        }
        world.cut(0, 1);
        for id in requests {
            world.run_until_reply(id).unwrap_or_else(|error| panic!("{error:?}\n{}", world.story()));
        }
        world.run_until_quiet();
        assert_eq!(in_channels(&mut world, 1), 400_000_000);
    }
}

#[test]
fn a_payment_waits_for_its_peer() {
    let mut world = pair(33, Sat(1_000_000));
    let invoice = invoice_for(&mut world, 1, Some(Msat(5_000_000)), "soon", 3600);
    world.cut(0, 1);
    world.call(0, pay_within(&invoice, 60)).expect("the peer comes back");
    world.run_until_quiet();
    assert_eq!(in_channels(&mut world, 1), 5_000_000);
}

#[test]
fn whoever_grants_no_time_is_told_what_is_lacking() {
    let mut world = pair(34, Sat(1_000_000));
    let invoice = invoice_for(&mut world, 1, Some(Msat(5_000_000)), "now", 3600);
    world.cut(0, 1);
    let error = world.call(0, pay_within(&invoice, 0)).expect_err("nobody is there");
    assert_eq!(error.code, RequestError::PAY_STOPPED_RETRYING);
    assert!(error.message.contains("not connected"), "{}", error.message);
    assert_eq!(statuses(&mut world), [PayStatus::Failed]);
    world.run_for_ms(60_000);
    world.call(0, pay_within(&invoice, 0)).expect("it was not paid, and may be");
}

#[test]
fn money_in_flight_comes_back_in_time_or_not() {
    let mut world = pair(35, Sat(1_000_000));
    let held = hold(&mut world, Msat(600_000_000));
    let large = invoice_for(&mut world, 1, Some(Msat(700_000_000)), "large", 3600);
    let larger = invoice_for(&mut world, 1, Some(Msat(750_000_000)), "larger", 3600);
    let small = invoice_for(&mut world, 1, Some(Msat(10_000_000)), "small", 3600);
    let absurd = invoice_for(&mut world, 1, Some(Msat(2_000_000_000)), "absurd", 3600);
    let patient = world.request(0, pay_within(&large, 120));
    let hasty = world.request(0, pay_within(&larger, 10));
    // Those who wait do not keep back what fits.
    world.call(0, pay_within(&small, 60)).expect("there is room for it");
    let error = world.call(0, pay_within(&absurd, 60)).expect_err("the channel is smaller than that");
    assert_eq!(error.code, RequestError::PAY_ROUTE_NOT_FOUND);
    let begun = world.now_ms();
    let error = world.run_until_reply(hasty).expect_err("it had no time");
    assert_eq!(error.code, RequestError::PAY_STOPPED_RETRYING);
    assert!(error.message.contains("would be in flight"), "{}", error.message);
    assert!((9_000..11_000).contains(&(world.now_ms() - begun)));
    world.run_until_reply(patient).unwrap_or_else(|error| panic!("{error:?}\n{}", world.story()));
    world.run_until_quiet();
    assert_eq!(in_channels(&mut world, 1), 710_000_000);
    assert_ne!(held.payment_hash, large.payment_hash);
}

#[test]
fn nobody_waits_longer_than_the_invoice_is_good() {
    let mut world = pair(36, Sat(1_000_000));
    hold(&mut world, Msat(600_000_000));
    let invoice = invoice_for(&mut world, 1, Some(Msat(700_000_000)), "short", 20);
    let error = world.call(0, pay_within(&invoice, 600)).expect_err("it expires");
    assert_eq!(error.code, RequestError::PAY_INVOICE_EXPIRED);
}

#[test]
fn a_crash_ends_those_who_wait_and_costs_nothing() {
    for point in [CrashPoint::BeforeCommit, CrashPoint::AfterCommit, CrashPoint::AfterEffects] {
        for turn in 0..8 {
            let mut world = pair(37, Sat(10_000_000));
            world.plan_crash(0, CrashPlan { turn, point });
            burst(&mut world, 300, Msat(1_000_000));
            world.run_for_ms(120_000);
            world.run_until_quiet();
            let at = format!("{point:?} {turn}");
            let statuses = statuses(&mut world);
            assert!(statuses.iter().all(|status| *status != PayStatus::Pending), "{at}\n{}", world.story());
            let complete = statuses.iter().filter(|status| **status == PayStatus::Complete).count() as u64;
            assert_eq!(in_channels(&mut world, 1), complete * 1_000_000, "{at}");
            assert_eq!(in_channels(&mut world, 0), 10_000_000_000 - complete * 1_000_000, "{at}");
            assert!(channels(&mut world, 0)[0].htlcs.is_empty(), "{at}");
        }
    }
}
