//! Payments that come back, with the right reason; and connections that break while payments are under way.

mod common;

use common::*;
use leyden_core::amount::Msat;
use leyden_core::ids::{PaymentHash, PaymentSecret};
use leyden_core::request::error::{ErrorData, PaymentFailure};
use leyden_core::request::payment::{ForwardStatus, ListForwards, ListPays, PayStatus, RouteHop, SendPay, WaitSendPay};
use leyden_core::request::{Request, RequestError, Response};
use leyden_sim::World;

/// BOLT 4: incorrect_or_unknown_payment_details.
const UNKNOWN_PAYMENT: u16 = 0x4000 | 15;

/// A route of the first three nodes that brings so much to the last.
fn route(world: &mut World, amount: Msat) -> Vec<RouteHop> {
    let first = channels(world, 0)[0].short_channel_id.expect("it is deep");
    let own = world.id(1);
    let second = channels(world, 2).iter().find(|channel| channel.peer_id == own).expect("opened").clone();
    vec![
        RouteHop { node: own, channel: first, amount_msat: Msat(amount.0 + 5_000), delay: 140 },
        RouteHop {
            node: world.id(2),
            channel: second.short_channel_id.expect("it is deep"),
            amount_msat: amount,
            delay: 100,
        },
    ]
}

fn sendpay(
    world: &mut World,
    amount: Msat,
    hash: PaymentHash,
    secret: PaymentSecret,
) -> Result<Response, RequestError> {
    let send = SendPay {
        route: route(world, amount),
        payment_hash: hash,
        label: None,
        total_msat: None,
        bolt11: None,
        payment_secret: Some(secret),
        part_id: 0,
        group_id: None,
        payment_metadata: None,
        description: None,
    };
    match world.call(0, Request::SendPay(Box::new(send))) {
        Ok(Response::SendPay(info)) => assert_eq!(info.status, PayStatus::Pending),
        other => panic!("{other:?}\n{}", world.story()),
    }
    let wait = WaitSendPay { payment_hash: hash, timeout_s: Some(60), part_id: None, group_id: None };
    world.call(0, Request::WaitSendPay(wait))
}

fn failure(reply: Result<Response, RequestError>) -> (i32, PaymentFailure) {
    let error = reply.expect_err("this payment fails");
    match error.data {
        Some(ErrorData::Payment(failure)) => (error.code, *failure),
        other => panic!("{} {}: {other:?}", error.code, error.message),
    }
}

#[test]
fn sendpay_arrives_and_is_told_of() {
    let mut world = line(21, 3);
    let invoice = invoice_for(&mut world, 2, Some(Msat(7_000_000)), "by hand", 3600);
    match sendpay(&mut world, Msat(7_000_000), invoice.payment_hash, invoice.payment_secret) {
        Ok(Response::SendPay(info)) => {
            assert_eq!(info.status, PayStatus::Complete);
            assert_eq!(info.amount_sent_msat, Msat(7_005_000));
            assert!(info.preimage.is_some());
        }
        other => panic!("{other:?}\n{}", world.story()),
    }
    world.run_until_quiet();
    assert_eq!(in_channels(&mut world, 2), 307_000_000);
    let all = ListForwards { status: None, in_channel: None, out_channel: None, page: Default::default() };
    match world.call(1, Request::ListForwards(all)) {
        Ok(Response::Forwards(forwards)) => {
            assert_eq!(forwards.len(), 1);
            assert_eq!(forwards[0].status, ForwardStatus::Settled);
            assert_eq!(forwards[0].fee_msat, Some(Msat(5_000)));
            assert_eq!(forwards[0].in_msat, Msat(7_005_000));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_destination_refuses_what_it_did_not_ask_for() {
    let mut world = line(22, 3);
    let before = in_channels(&mut world, 0);
    let invoice = invoice_for(&mut world, 2, Some(Msat(7_000_000)), "asked", 3600);
    let unknown = PaymentHash([9; 32]);
    let short = sendpay(&mut world, Msat(6_999_999), invoice.payment_hash, invoice.payment_secret);
    let other_hash = sendpay(&mut world, Msat(7_000_000), unknown, invoice.payment_secret);
    for reply in [short, other_hash] {
        let (code, failure) = failure(reply);
        assert_eq!(code, RequestError::PAY_DESTINATION_PERM_FAIL);
        assert_eq!(failure.failure_code, Some(UNKNOWN_PAYMENT));
        assert_eq!(failure.erring_index, Some(2));
        assert_eq!(failure.erring_node, Some(world.id(2)));
    }
    world.run_until_quiet();
    assert_eq!(in_channels(&mut world, 0), before);
}

#[test]
fn a_wrong_secret_is_refused_and_the_right_one_still_pays() {
    let mut world = line(23, 3);
    let invoice = invoice_for(&mut world, 2, Some(Msat(7_000_000)), "asked", 3600);
    let (_, failure) = failure(sendpay(&mut world, Msat(7_000_000), invoice.payment_hash, PaymentSecret([1; 32])));
    assert_eq!(failure.failure_code, Some(UNKNOWN_PAYMENT));
    world.call(0, pay(&invoice.bolt11)).expect("nothing was used up");
}

#[test]
fn connections_break_at_any_moment_of_a_payment() {
    for (a, b) in [(0, 1), (1, 2)] {
        for steps in 0..30 {
            let mut world = line(24, 3);
            let invoice = invoice_for(&mut world, 2, Some(Msat(10_000_000)), "far", 3600);
            let id = world.request(0, pay(&invoice.bolt11));
            for _ in 0..steps {
                world.advance();
            }
            world.cut(a, b);
            let reply = world.run_until_reply(id);
            world.run_for_ms(60_000);
            world.run_until_quiet();
            let sums: Vec<u64> = (0..3).map(|node| in_channels(&mut world, node)).collect();
            assert_eq!(sums.iter().sum::<u64>(), 2_000_000_000);
            let arrived = if reply.is_ok() { 10_000_000 } else { 0 };
            assert_eq!(sums[2], 300_000_000 + arrived, "cut {a}-{b} after {steps}: {reply:?}\n{}", world.story());
        }
    }
}

#[test]
fn many_payments_at_once_with_crashes_between() {
    let mut world = line(25, 3);
    let mut payments = Vec::new();
    for number in 0..60 {
        let invoice = invoice_for(&mut world, 2, Some(Msat(1_000_000 + number)), &format!("{number}"), 3600);
        payments.push(world.request(0, pay(&invoice.bolt11)));
    }
    for node in [1, 0, 2, 1, 0, 1, 2] {
        for _ in 0..5 {
            world.advance();
        }
        world.crash(node);
        world.run_for_ms(3_000);
    }
    world.run_for_ms(120_000);
    world.run_until_quiet();
    let Ok(Response::Pays(pays)) = world.call(0, Request::ListPays(ListPays::default())) else {
        panic!("a list");
    };
    assert!(pays.iter().all(|pay| pay.status != PayStatus::Pending), "{}", world.story());
    let complete = pays.iter().filter(|pay| pay.status == PayStatus::Complete);
    let arrived: u64 = complete.map(|pay| pay.amount_msat.expect("the invoice says it").0).sum();
    let sums: Vec<u64> = (0..3).map(|node| in_channels(&mut world, node)).collect();
    assert_eq!(sums[2], 300_000_000 + arrived);
    assert_eq!(sums.iter().sum::<u64>(), 2_000_000_000);
    for node in 0..3 {
        assert!(channels(&mut world, node).iter().all(|channel| channel.htlcs.is_empty()), "{}", world.story());
    }
}
