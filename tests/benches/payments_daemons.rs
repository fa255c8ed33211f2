//! Two real daemons with fsync on and a real bitcoind: payments each second one at a time and with many in flight, what
//! a payment writes, and what the daemons hold in memory.
//!
//! `LEYDEN_LEYDEND` names the daemon, which should be a release build; `LEYDEN_BITCOIND` the bitcoind. The disk is that
//! of the temporary folder (`TMPDIR`); `LEYDEN_TEST_LOG=info` keeps the log short.
//!
//! `LEYDEN_RECORDER=off` switches the flight recorder off, to see what it costs; `LEYDEN_KEEP_RECORDING` names a folder
//! for the daemons' recordings, to see how fast they replay.
//!
//! Each line of the output is `name value unit`.

use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::Daemon;
use leyden_tests::load::{IN_FLIGHT, Run, Usage, field, invoices, open_channel, pay, proc_file};
use serde_json::json;

fn main() {
    // `cargo bench` gives flags of its own; the first number, if any, is the count of payments.
    let count = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1_000usize);
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let recorder = std::env::var("LEYDEN_RECORDER").unwrap_or_else(|_| "on".to_owned());
    let flags = ["--recorder", &recorder];
    let start = |name| Daemon::start(name, &bitcoind.url(), &bitcoind.cookie_path(), &flags);
    let (a, b) = (start("bench-a"), start("bench-b"));
    print_rss("rss_idle", &a);
    open_channel(&bitcoind, &a, &b);
    print_rss("rss_channel", &a);

    measure("alone", &a, &b, count, 1);
    measure("together", &a, &b, count * 3, IN_FLIGHT);
    for daemon in [&a, &b] {
        print_rss("rss_after", daemon);
    }
    if let Some(folder) = std::env::var_os("LEYDEN_KEEP_RECORDING").filter(|_| recorder == "on") {
        let folder = std::path::absolute(folder).expect("a path");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        for daemon in [&a, &b] {
            let path = folder.join(format!("{}-{}.rec", daemon.name, std::process::id()));
            let dumped = daemon.call("dumprecording", json!([1_000_000, path]));
            println!("recording_{} {} bytes", daemon.name, dumped["bytes"]);
        }
    }
}

fn measure(name: &str, a: &Daemon, b: &Daemon, count: usize, in_flight: usize) {
    let invoices = invoices(b, name, count);
    let before = [Usage::of(a), Usage::of(b)];
    let Run { elapsed, latencies, failures } = pay(a, &invoices, in_flight);
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
    println!("{name}_rate {} payments/s", (count - failures) as u128 * 1_000_000 / elapsed.as_micros());
    println!("{name}_p50 {} us", at(50));
    println!("{name}_p99 {} us", at(99));
    println!("{name}_failures {failures} payments");
    let count = count as u64;
    for (role, (before, daemon)) in ["payer", "payee"].into_iter().zip(before.iter().zip([a, b])) {
        let after = Usage::of(daemon);
        println!("{name}_{role}_written {} bytes/payment (write_bytes)", (after.written - before.written) / count);
        println!("{name}_{role}_grown {} bytes/payment (files)", after.size.saturating_sub(before.size) / count);
        println!("{name}_{role}_commits {} permille of a payment", (after.txn - before.txn) * 1000 / count);
        println!("{name}_{role}_recorded {} bytes/payment", (after.recorded - before.recorded) / count);
        let ticks = after.ticks - before.ticks;
        println!("{name}_{role}_cpu {} us/payment", ticks * 10_000 / count);
        println!("{name}_{role}_cpu_share {} percent", u128::from(ticks) * 1000 / elapsed.as_millis().max(1));
    }
}

fn print_rss(name: &str, daemon: &Daemon) {
    let status = proc_file(daemon, "status");
    println!("{name}_{} {} KiB", &daemon.name, field(&status, "VmRSS:"));
    println!("{name}_{}_anon {} KiB", &daemon.name, field(&status, "RssAnon:"));
}
