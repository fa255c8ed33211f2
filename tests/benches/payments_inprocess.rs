//! What a payment between two neighbours costs both nodes together, without sockets and without a disk: invoice, `pay`,
//! the channel's messages encoded and decoded, rows encoded. Two in-process signers; one thread.
//!
//! Prints `name value unit`, one a line: the CPU time of this thread, the median over the rounds.

use leyden_core::amount::{Msat, Sat};
use leyden_core::request::channel::FundChannel;
use leyden_core::request::invoice::{CreateInvoice, ExposePrivate, WantedProof};
use leyden_core::request::payment::{FeeLimit, Pay};
use leyden_core::request::peer::Connect;
use leyden_core::request::{AmountOrAll, Request, Response};
use leyden_sim::World;
use rustix::time::{ClockId, clock_gettime};

/// Rounds of each measurement.
const ROUNDS: usize = 9;
/// Payments of a round, one after the other.
const ONE_BY_ONE: u64 = 50;
/// Payments that are asked for at once: more than may be unacknowledged.
const IN_FLIGHT: u64 = 400;

/// The CPU time of this thread.
fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The median of what `work` takes, for each of `count` parts of it.
fn measure(name: &str, count: u64, mut work: impl FnMut()) {
    let mut rounds: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let start = cpu_ns();
            work();
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
    let fund = FundChannel {
        peer: world.id(1),
        amount: AmountOrAll::Amount(Sat(100_000_000)),
        feerate: None,
        announce: false,
        min_confirmations: 1,
        push_msat: Msat(0),
        close_to: None,
        utxos: None,
        mindepth: None,
        reserve_sat: None,
        channel_type: None,
    };
    world.call(0, Request::FundChannel(Box::new(fund))).expect("it is funded");
    world.mine(6);
    world.run_until_quiet();
    world.stop_observing();
    world
}

fn invoice(world: &mut World, number: &mut u64) -> String {
    *number += 1;
    let create = CreateInvoice {
        amount_msat: Some(Msat(10_000_000)),
        label: format!("{number}"),
        description: "a measurement".to_owned(),
        expiry_s: 3600,
        fallbacks: Vec::new(),
        proof: WantedProof::Fresh,
        expose: ExposePrivate::Auto,
        cltv: None,
        description_hash_only: false,
    };
    match world.call(1, Request::Invoice(Box::new(create))) {
        Ok(Response::InvoiceCreated(created)) => created.bolt11,
        other => panic!("{other:?}"),
    }
}

fn pay(invoice: String) -> Request {
    Request::Pay(Box::new(Pay {
        invoice,
        amount_msat: None,
        label: None,
        fee_limit: FeeLimit::Default,
        retry_for_s: 60,
        max_delay_blocks: None,
        exclude: Vec::new(),
        description: None,
        partial_msat: None,
    }))
}

fn main() {
    let mut world = network();
    let mut number = 0;
    measure("invoice", ONE_BY_ONE, || {
        for _ in 0..ONE_BY_ONE {
            invoice(&mut world, &mut number);
        }
    });

    let mut world = network();
    measure("payment_and_invoice_one_at_a_time", ONE_BY_ONE, || {
        for _ in 0..ONE_BY_ONE {
            let invoice = invoice(&mut world, &mut number);
            world.call(0, pay(invoice)).expect("it arrives");
            world.run_until_quiet();
        }
    });

    let mut world = network();
    measure(&format!("payment_and_invoice_of_{IN_FLIGHT}_in_flight"), IN_FLIGHT, || {
        let invoices: Vec<String> = (0..IN_FLIGHT).map(|_| invoice(&mut world, &mut number)).collect();
        let requests: Vec<_> = invoices.into_iter().map(|invoice| world.request(0, pay(invoice))).collect();
        for id in requests {
            world.run_until_reply(id).expect("it arrives");
        }
        world.run_until_quiet();
    });
}
