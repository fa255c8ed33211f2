//! What a simulated world costs, for 10, 100 and 1,000 real nodes with five channels each: all digests and checks are
//! on, signatures are real, and rows are kept. One thread.
//!
//! Prints `name value unit`, one a line; times are CPU time of this thread. Numbers of nodes may be given as arguments.

use std::hint::black_box;

use bitcoin::ScriptBuf;
use leyden_core::amount::{Msat, Sat};
use leyden_core::ids::RequestId;
use leyden_core::request::channel::FundChannel;
use leyden_core::request::invoice::CreateInvoice;
use leyden_core::request::payment::Pay;
use leyden_core::request::peer::Connect;
use leyden_core::request::wallet::AddressKind;
use leyden_core::request::{Request, Response};
use leyden_sim::World;
use leyden_tests::alloc::{Counting, held};
use leyden_tests::curve;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Channels that each node opens. On average it has twice as many.
const CHANNELS: usize = 5;
/// Neighbours that are paid. Among ten nodes, those behind the fifth channel share two: they would share commitments.
const PAID: usize = CHANNELS - 1;
/// Payments that are measured, about.
const PAYMENTS: usize = 6_000;
/// Each node pays once in so much of the world's time.
const ROUND_MS: u64 = 1_000;

/// The CPU time of this thread.
fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What this process has in memory, in kB.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is among them");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number of kB")
}

fn run_until_replies(world: &mut World, requests: Vec<RequestId>) -> Vec<Response> {
    requests.into_iter().map(|id| world.run_until_reply(id).expect("nothing goes wrong here")).collect()
}

/// Gives every node coins for its channels, one for each, in one block.
fn give_coins(world: &mut World) {
    let count = world.len();
    let ask = |node| world.request(node, Request::NewAddr(AddressKind::P2wpkh));
    let requests = (0..count).map(ask).collect();
    for response in run_until_replies(world, requests) {
        let Response::Addresses(addresses) = response else { panic!("{response:?}") };
        let script: ScriptBuf = addresses.p2wpkh.expect("that kind was asked for");
        for _ in 0..CHANNELS {
            world.chain.gift(script.clone(), Sat(1_100_000));
        }
    }
    world.mine(1);
}

fn fund(world: &World, peer: usize) -> Request {
    Request::FundChannel(Box::new(FundChannel {
        announce: false,
        push_msat: Msat(500_000_000),
        ..FundChannel::new(world.id(peer), Sat(1_000_000))
    }))
}

/// Nodes in a ring, each with a channel to the next five.
fn network(count: usize) -> World {
    let mut world = World::new(1, count, |_, _| {});
    world.turns_max = u64::MAX;
    world.run_for_ms(1_000);
    give_coins(&mut world);
    for distance in 1..=CHANNELS {
        let connect = |node| {
            let peer = (node + distance) % count;
            let connect = Connect { peer: world.id(peer), address: Some(World::address(peer)) };
            world.request(node, Request::Connect(connect))
        };
        let requests = (0..count).map(connect).collect();
        run_until_replies(&mut world, requests);
        let open = |node| {
            let fund = fund(&world, (node + distance) % count);
            world.request(node, fund)
        };
        let requests = (0..count).map(open).collect();
        run_until_replies(&mut world, requests);
    }
    world.mine(6);
    world.run_for_ms(10_000);
    world
}

/// Each node pays one neighbour: those ahead and those behind by turns, near and far.
fn round(world: &mut World, number: usize) {
    let count = world.len();
    let ends_ms = world.now_ms() + ROUND_MS;
    let distance = 1 + number / 2 % PAID;
    let payee = |node: usize| {
        if number.is_multiple_of(2) { (node + distance) % count } else { (node + count - distance) % count }
    };
    let ask = |node| {
        let create = CreateInvoice {
            description: "a measurement".to_owned(),
            expiry_s: 3600,
            ..CreateInvoice::new(format!("{number}"), Some(Msat(10_000_000)))
        };
        world.request(payee(node), Request::Invoice(Box::new(create)))
    };
    let requests = (0..count).map(ask).collect();
    let invoices = run_until_replies(world, requests);
    let pay = |(node, response)| {
        let Response::InvoiceCreated(created) = response else { panic!("{response:?}") };
        let pay = Pay::new(created.bolt11);
        world.request(node, Request::Pay(Box::new(pay)))
    };
    let requests = (0..count).zip(invoices).map(pay).collect();
    run_until_replies(world, requests);
    world.run_for_ms(ends_ms - world.now_ms());
}

/// The measurements of one world; gives the nanoseconds for each event.
fn measure(count: usize, curve_ns: u64) -> u64 {
    let (held_before, resident_before, start) = (held(), resident_kb(), cpu_ns());
    let mut world = network(count);
    let set_up_ns = cpu_ns() - start;
    let channels = (count * CHANNELS) as u64;
    println!("set_up_{count} {} ms for {channels} channels", set_up_ns / 1_000_000);
    let bytes = (held() - held_before) as u64;
    let resident = resident_kb().saturating_sub(resident_before);
    println!("memory_{count} {} kB allocated, {resident} kB more resident", bytes / 1_024);
    println!("memory_per_node_{count} {} bytes with its channels", bytes / count as u64);
    // Whatever is bought once is bought now.
    let warm = 2 * PAID;
    (0..warm).for_each(|number| round(&mut world, number));

    let rounds = (PAYMENTS / count).max(1);
    let (before, from_ms, start) = (world.counts(), world.now_ms(), cpu_ns());
    (warm..warm + rounds).for_each(|number| round(&mut world, number));
    let ns = cpu_ns() - start;
    let (after, virtual_ms) = (world.counts(), world.now_ms() - from_ms);
    let (events, messages) = (after.events - before.events, after.messages - before.messages);
    let payments = (rounds * count) as u64;
    let per_s = |what: u64| (u128::from(what) * 1_000_000_000 / u128::from(ns)) as u64;
    println!("events_{count} {} per s", per_s(events));
    println!("messages_{count} {} per s", per_s(messages));
    println!("payments_{count} {} per s", per_s(payments));
    println!("event_cost_{count} {} ns", ns / events);
    println!("payment_cost_{count} {} us", ns / payments / 1_000);
    let permille = u128::from(virtual_ms) * 1_000_000_000 / u128::from(ns);
    println!("virtual_time_{count} {}.{:03} s per s at one payment per node and s", permille / 1000, permille % 1000);
    println!("curve_share_{count} {} % of {} us for each payment", payments * curve_ns * 100 / ns, curve_ns / 1_000);
    assert_eq!(world.violations(), []);
    let grown = (held() - held_before) as u64 - bytes;
    println!(
        "memory_of_a_payment_{count} {} bytes of history at both ends",
        grown / (payments + (warm * count) as u64)
    );
    println!("resident_{count} {} kB in all", resident_kb());
    ns / events
}

/// What one node without channels holds, and what each channel adds at both of its ends.
fn price_memory() {
    const COUNT: usize = 20;
    let before = held();
    let mut empty = World::new(1, COUNT, |_, _| {});
    empty.run_for_ms(1_000);
    let node = (held() - before) / COUNT as i64;
    drop(empty);
    let before = held();
    let world = network(COUNT);
    let all = (held() - before) / COUNT as i64;
    drop(world);
    println!("memory_of_a_node {node} bytes without channels");
    println!(
        "memory_of_a_channel {} bytes for both ends, their connection and their coins",
        (all - node) / CHANNELS as i64
    );
}

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let counts = if asked.is_empty() { vec![10, 100, 1_000] } else { asked };
    let curve_ns = curve::price_ns(&curve::DIRECT_PAYMENT, cpu_ns);
    price_memory();
    let costs: Vec<u64> = counts.iter().map(|count| black_box(measure(*count, curve_ns))).collect();
    if let [first, .., last] = costs[..] {
        println!(
            "event_cost_growth {}.{:02} from {} to {} nodes",
            last / first,
            last % first * 100 / first,
            counts[0],
            counts[counts.len() - 1]
        );
    }
}
