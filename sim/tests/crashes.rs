//! A node may end at the end of any turn: money is neither lost nor made, and every payment ends once.

mod common;

use common::*;
use leyden_core::amount::Msat;
use leyden_core::request::payment::{ForwardStatus, ListForwards, ListPays, PayStatus};
use leyden_core::request::{Request, Response};
use leyden_sim::{CrashPlan, CrashPoint, World};

const TOTAL_MSAT: u64 = 2_000_000_000;

fn pay_status(world: &mut World, node: usize) -> Vec<PayStatus> {
    match world.call(node, Request::ListPays(ListPays::default())) {
        Ok(Response::Pays(pays)) => pays.iter().map(|pay| pay.status).collect(),
        other => panic!("{other:?}"),
    }
}

fn forwards(world: &mut World) -> Vec<ForwardStatus> {
    let all = ListForwards { status: None, in_channel: None, out_channel: None, page: Default::default() };
    match world.call(1, Request::ListForwards(all)) {
        Ok(Response::Forwards(forwards)) => forwards.iter().map(|forward| forward.status).collect(),
        other => panic!("{other:?}"),
    }
}

fn paid(world: &mut World) -> bool {
    use leyden_core::request::invoice::{InvoiceFilter, InvoiceStatus, ListInvoices};
    let list = ListInvoices { filter: InvoiceFilter::Label("far".to_owned()), page: Default::default() };
    match world.call(2, Request::ListInvoices(list)) {
        Ok(Response::Invoices(invoices)) => invoices[0].status == InvoiceStatus::Paid,
        other => panic!("{other:?}"),
    }
}

/// One payment A→B→C with one crash; false if the crash never came.
fn one_crash(node: usize, turn: u64, point: CrashPoint) -> bool {
    let mut world = line(7, 3);
    let invoice = invoice_for(&mut world, 2, Some(Msat(10_000_000)), "far", 3600);
    let before: Vec<u64> = (0..3).map(|node| in_channels(&mut world, node)).collect();
    assert_eq!(before.iter().sum::<u64>(), TOTAL_MSAT);
    world.plan_crash(node, CrashPlan { turn, point });
    world.request(0, pay(&invoice.bolt11));
    world.run_until_quiet();
    if world.crash_is_due(node) {
        return false;
    }
    // Peers find each other again, however long they wait between attempts.
    world.run_for_ms(120_000);
    world.run_until_quiet();
    let at = format!("node {node}, turn {turn}, {point:?}");
    let after: Vec<u64> = (0..3).map(|node| in_channels(&mut world, node)).collect();
    let story = world.story();
    assert_eq!(after.iter().sum::<u64>(), TOTAL_MSAT, "{at}\n{story}");
    for node in 0..3 {
        for channel in channels(&mut world, node) {
            assert!(channel.htlcs.is_empty(), "{at}: node {node} has {:?}\n{story}", channel.htlcs);
            assert!(channel.reestablished, "{at}: node {node}\n{story}");
        }
    }
    let statuses = pay_status(&mut world, 0);
    let moved = after[2] - before[2];
    assert_eq!(paid(&mut world), moved > 0, "{at}\n{story}");
    match statuses.as_slice() {
        // The request itself was lost with the turn that took it in.
        [] => assert_eq!(moved, 0, "{at}\n{story}"),
        [PayStatus::Complete] => {
            assert_eq!(moved, 10_000_000, "{at}\n{story}");
            assert_eq!(before[0] - after[0], 10_001_100, "{at}\n{story}");
            let settled = forwards(&mut world).iter().filter(|status| **status == ForwardStatus::Settled).count();
            assert_eq!(settled, 1, "{at}\n{story}");
        }
        [PayStatus::Failed] => assert_eq!(after, before, "{at}\n{story}"),
        other => panic!("{at}: {other:?}\n{story}"),
    }
    // The network is as good as before.
    pays(&mut world, 0, 2, Msat(1_000_000), "after");
    true
}

fn every_turn(node: usize) {
    for point in [CrashPoint::BeforeCommit, CrashPoint::AfterCommit, CrashPoint::AfterEffects] {
        let crashes = (0..).take_while(|turn| one_crash(node, *turn, point)).count();
        assert!(crashes >= 4, "a payment takes a few turns: {crashes}");
    }
}

#[test]
fn the_payer_crashes_after_every_turn() {
    every_turn(0);
}

#[test]
fn the_forwarder_crashes_after_every_turn() {
    every_turn(1);
}

#[test]
fn the_payee_crashes_after_every_turn() {
    every_turn(2);
}
