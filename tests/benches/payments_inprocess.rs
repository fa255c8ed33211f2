//! What a payment between two neighbours costs both nodes together, without sockets and without a disk: the channel's
//! messages encoded and decoded, rows encoded, and, where the name says so, its invoice made, signed, read and checked.
//! Two in-process signers; one thread.
//!
//! Arguments are names: only those figures are taken. Prints `name value unit`, one a line: the CPU time of this thread, the median over the rounds.

use std::cell::Cell;

use leyden_core::amount::{Msat, Sat};
use leyden_core::ids::ShortChannelId;
use leyden_core::request::channel::{FundChannel, ListPeerChannels};
use leyden_core::request::invoice::{CreateInvoice, InvoiceCreated};
use leyden_core::request::payment::{Pay, RouteHop, SendPay, WaitSendPay};
use leyden_core::request::peer::Connect;
use leyden_core::request::{Request, Response};
use leyden_sim::World;
use rustix::time::{ClockId, clock_gettime};

/// Rounds of each measurement.
const ROUNDS: usize = 9;
/// Payments of a round, one after the other.
const ONE_BY_ONE: u64 = 50;
/// Payments that are asked for at once: more than may be unacknowledged.
const IN_FLIGHT: u64 = 400;
/// As many as may be unacknowledged.
const AT_ONCE: usize = 100;

/// The CPU time of this thread.
fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The median of what `work` takes, for each of `count` parts of it. What `prepare` takes is not counted.
fn measure<T>(
    name: &str,
    world: &mut World,
    count: u64,
    mut prepare: impl FnMut(&mut World) -> T,
    work: impl Fn(&mut World, T),
) {
    // Cargo adds flags of its own.
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|wanted| wanted == name) {
        return;
    }
    let mut rounds: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let prepared = prepare(world);
            let start = cpu_ns();
            work(world, prepared);
            (cpu_ns() - start) / count
        })
        .collect();
    rounds.sort_unstable();
    let (least, median) = (rounds[0], rounds[ROUNDS / 2]);
    println!(
        "{name} {}.{:03} us min={}.{:03} rounds={ROUNDS}",
        median / 1000,
        median % 1000,
        least / 1000,
        least % 1000
    );
}

fn network() -> World {
    let mut world = World::new(1, 2, |_, _| {});
    world.run_until_quiet();
    world.faucet(0, Sat(200_000_000));
    let connect = Connect { peer: world.id(1), address: Some(World::address(1)) };
    world.call(0, Request::Connect(connect)).expect("they connect");
    let fund = FundChannel { announce: false, ..FundChannel::new(world.id(1), Sat(100_000_000)) };
    world.call(0, Request::FundChannel(Box::new(fund))).expect("it is funded");
    world.mine(6);
    world.run_until_quiet();
    world.stop_observing();
    world
}

fn invoice(world: &mut World, number: u64) -> InvoiceCreated {
    let create = CreateInvoice {
        description: "a measurement".to_owned(),
        expiry_s: 3600,
        ..CreateInvoice::new(format!("{number}"), Some(Msat(10_000_000)))
    };
    match world.call(1, Request::Invoice(Box::new(create))) {
        Ok(Response::InvoiceCreated(created)) => *created,
        other => panic!("{other:?}"),
    }
}

fn pay(invoice: String) -> Request {
    Request::Pay(Box::new(Pay::new(invoice)))
}

fn channel(world: &mut World) -> ShortChannelId {
    match world.call(0, Request::ListPeerChannels(ListPeerChannels::default())) {
        Ok(Response::PeerChannels(channels)) => channels[0].short_channel_id.expect("it is deep"),
        other => panic!("{other:?}"),
    }
}

/// A payment over the one channel there is: its route is given, and so are its hash and its secret.
fn sendpay(world: &World, channel: ShortChannelId, invoice: &InvoiceCreated) -> Request {
    Request::SendPay(Box::new(SendPay::new(
        vec![RouteHop { node: world.id(1), channel, amount_msat: Msat(10_000_000), delay: 100 }],
        invoice.payment_hash,
        Some(invoice.payment_secret),
    )))
}

fn wait_sendpay(invoice: &InvoiceCreated) -> Request {
    Request::WaitSendPay(WaitSendPay {
        payment_hash: invoice.payment_hash,
        timeout_s: None,
        part_id: None,
        group_id: None,
    })
}

/// Sends along the route and waits until it has arrived.
fn send_all(world: &mut World, channel: ShortChannelId, invoices: &[InvoiceCreated]) {
    let sends: Vec<_> = invoices
        .iter()
        .map(|invoice| {
            let send = sendpay(world, channel, invoice);
            world.request(0, send)
        })
        .collect();
    for send in sends {
        world.run_until_reply(send).expect("it leaves");
    }
    let waits: Vec<_> = invoices.iter().map(|invoice| world.request(0, wait_sendpay(invoice))).collect();
    for wait in waits {
        world.run_until_reply(wait).expect("it arrives");
    }
    world.run_until_quiet();
}

fn main() {
    let number = Cell::new(0);
    let invoices = |world: &mut World, count: u64| -> Vec<InvoiceCreated> {
        let invoices = (0..count).map(|_| {
            number.set(number.get() + 1);
            invoice(world, number.get())
        });
        invoices.collect()
    };
    let nothing = |_: &mut World| {};
    let pays = |world: &mut World, invoice: InvoiceCreated| {
        world.call(0, pay(invoice.bolt11)).expect("it arrives");
        world.run_until_quiet();
    };

    let mut world = network();
    measure("invoice", &mut world, ONE_BY_ONE, nothing, |world, ()| drop(invoices(world, ONE_BY_ONE)));

    let mut world = network();
    let channel = channel(&mut world);
    let some = |world: &mut World| invoices(world, ONE_BY_ONE);
    measure("payment_over_a_route_one_at_a_time", &mut world, ONE_BY_ONE, some, |world, invoices| {
        invoices.chunks(1).for_each(|one| send_all(world, channel, one));
    });

    let mut world = network();
    measure("payment_and_invoice_one_at_a_time", &mut world, ONE_BY_ONE, nothing, |world, ()| {
        for _ in 0..ONE_BY_ONE {
            let invoice = invoices(world, 1).remove(0);
            pays(world, invoice);
        }
    });

    // No more than may be unacknowledged at once: who names a route is told that there is no room, and waits.
    let mut world = network();
    let many = |world: &mut World| invoices(world, IN_FLIGHT);
    measure(&format!("payment_over_a_route_of_{AT_ONCE}_in_flight"), &mut world, IN_FLIGHT, many, |world, invoices| {
        invoices.chunks(AT_ONCE).for_each(|some| send_all(world, channel, some));
    });

    let mut world = network();
    measure(&format!("payment_and_invoice_of_{IN_FLIGHT}_in_flight"), &mut world, IN_FLIGHT, nothing, |world, ()| {
        let invoices = invoices(world, IN_FLIGHT);
        let requests: Vec<_> = invoices.into_iter().map(|invoice| world.request(0, pay(invoice.bolt11))).collect();
        for id in requests {
            world.run_until_reply(id).expect("it arrives");
        }
        world.run_until_quiet();
    });
}
