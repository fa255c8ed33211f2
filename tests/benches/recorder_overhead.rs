//! What the flight recorder costs: two pairs of real daemons, one that records and one that does not, pay in turns, so
//! that whatever else the machine does falls on both alike.
//!
//! `LEYDEN_LEYDEND` and `LEYDEN_BITCOIND` as for `payments_daemons`. Each line of the output is `name value unit`.

use std::time::Duration;

use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::Daemon;
use leyden_tests::load::{IN_FLIGHT, Usage, invoices, open_channel, pay};

/// Each pair's turn is so short that both see the same machine.
const ALONE_PER_TURN: usize = 100;
const TOGETHER_PER_TURN: usize = 1_000;

/// Both ends together.
#[derive(Default)]
struct Cost {
    ticks: u64,
    elapsed: Duration,
    payments: u64,
}

fn main() {
    // `cargo bench` gives flags of its own; the first number, if any, is how often each pair has its turn.
    let turns = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(30usize);
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let pairs = ["off", "on"].map(|recorder| {
        let start =
            |name: String| Daemon::start(&name, &bitcoind.url(), &bitcoind.cookie_path(), &["--recorder", recorder]);
        let (a, b) = (start(format!("payer-{recorder}")), start(format!("payee-{recorder}")));
        open_channel(&bitcoind, &a, &b);
        // The first payments warm up what later ones find warm.
        pay(&a, &invoices(&b, "warm", 500), IN_FLIGHT);
        (recorder, a, b)
    });
    for (name, per_turn, in_flight) in [("alone", ALONE_PER_TURN, 1), ("together", TOGETHER_PER_TURN, IN_FLIGHT)] {
        let mut costs = [Cost::default(), Cost::default()];
        for turn in 0..turns {
            // Each goes first as often as the other.
            for place in [turn % 2, 1 - turn % 2] {
                let (_, a, b) = &pairs[place];
                // There and back again: no channel runs dry.
                let (payer, payee) = if turn % 2 == 0 { (a, b) } else { (b, a) };
                run(payer, payee, &format!("{name}-{turn}"), per_turn, in_flight, &mut costs[place]);
            }
        }
        let cpu = costs.each_ref().map(|cost| cost.ticks * 10_000_000 / cost.payments);
        let wall = costs.each_ref().map(|cost| cost.elapsed.as_nanos() as u64 / cost.payments);
        for (place, (recorder, ..)) in pairs.iter().enumerate() {
            println!("{name}_{recorder}_cpu {} us/payment", cpu[place] / 1000);
            println!("{name}_{recorder}_wall {} us/payment", wall[place] / 1000);
        }
        let overhead = |[off, on]: [u64; 2]| (on as i64 - off as i64) * 1000 / off as i64;
        println!("{name}_recorder_cpu {} permille", overhead(cpu));
        println!("{name}_recorder_wall {} permille", overhead(wall));
    }
}

fn run(payer: &Daemon, payee: &Daemon, label: &str, count: usize, in_flight: usize, cost: &mut Cost) {
    let invoices = invoices(payee, label, count);
    let ticks = || [payer, payee].map(|daemon| Usage::of(daemon).ticks);
    let before = ticks();
    let run = pay(payer, &invoices, in_flight);
    let after = ticks();
    assert_eq!(run.failures, 0, "what fails costs less");
    cost.elapsed += run.elapsed;
    cost.ticks += after.iter().sum::<u64>() - before.iter().sum::<u64>();
    cost.payments += count as u64;
}
