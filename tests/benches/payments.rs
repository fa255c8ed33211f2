//! Payments between two daemons with a real bitcoind and a durable store: `name value unit`.
//!
//! `cargo build --release --bins && LEYDEN_LEYDEND=target/release/leydend cargo bench -p leyden-tests --bench payments`

use std::time::Instant;

use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::{Client, Daemon, wait_for};
use leyden_tests::network::invoice;
use serde_json::json;

const ALONE: usize = 500;
const CROWD: usize = 4_000;
const IN_FLIGHT: usize = 100;
const AMOUNT_MSAT: u64 = 1_000_000;

fn main() {
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let quiet = ["--log-level", "warn"];
    let start = |name: &str| Daemon::start(name, &bitcoind.url(), &bitcoind.cookie_path(), &quiet);
    let (alice, bob) = (start("alice"), start("bob"));
    println!("resident_memory_idle {} KiB", status_kib(&alice, "VmRSS"));
    let address = alice.call("newaddr", json!({}))["p2tr"].as_str().expect("an address").to_owned();
    bitcoind.call("sendtoaddress", json!([address, 1]));
    bitcoind.mine(1);
    wait_for("coins", || {
        let funds = alice.call("listfunds", json!({}));
        funds["outputs"].as_array().is_some_and(|outputs| !outputs.is_empty()).then_some(())
    });
    alice.connect_to(&bob);
    let capacity_sat = 16_000_000;
    alice.call("fundchannel", json!({"id": bob.id, "amount": capacity_sat}));
    bitcoind.mine(6);
    wait_for("the channel", || {
        let listed = alice.call("listpeerchannels", json!({}));
        (listed["channels"][0]["state"] == "CHANNELD_NORMAL" && listed["channels"][0]["peer_connected"] == true)
            .then_some(())
    });

    let invoices: Vec<String> =
        (0..ALONE + CROWD).map(|number| invoice(&bob, AMOUNT_MSAT, &number.to_string())).collect();
    let mut client = Client::connect(&alice.socket_path()).expect("alice is up");
    let (alone, crowd) = invoices.split_at(ALONE);

    let written = written_bytes(&alice);
    let begin = Instant::now();
    let mut latencies_us = Vec::new();
    for bolt11 in alone {
        let sent = Instant::now();
        client.send("xpay", &json!([bolt11])).expect("alice is up");
        client.receive().expect("an answer").1.expect("it is paid");
        latencies_us.push(sent.elapsed().as_micros() as u64);
    }
    let elapsed_ms = begin.elapsed().as_millis().max(1) as u64;
    latencies_us.sort_unstable();
    println!("payments_alone {} payments/s", ALONE as u64 * 1000 / elapsed_ms);
    println!("payments_alone_p50 {} us", latencies_us[ALONE / 2]);
    println!("payments_alone_p99 {} us", latencies_us[ALONE * 99 / 100]);
    println!("disk_written_alone {} bytes/payment", (written_bytes(&alice) - written) / ALONE as u64);

    let written = written_bytes(&alice);
    let cpu = (cpu_ms(&alice), cpu_ms(&bob));
    let begin = Instant::now();
    let mut waiting = crowd.iter();
    for bolt11 in waiting.by_ref().take(IN_FLIGHT) {
        client.send("xpay", &json!([bolt11])).expect("alice is up");
    }
    for _ in 0..CROWD {
        client.receive().expect("an answer").1.expect("it is paid");
        if let Some(bolt11) = waiting.next() {
            client.send("xpay", &json!([bolt11])).expect("alice is up");
        }
    }
    let elapsed_ms = begin.elapsed().as_millis().max(1) as u64;
    println!("payments_crowd {} payments/s", CROWD as u64 * 1000 / elapsed_ms);
    println!("disk_written_crowd {} bytes/payment", (written_bytes(&alice) - written) / CROWD as u64);
    println!("cpu_crowd_payer {} us/payment", (cpu_ms(&alice) - cpu.0) * 1000 / CROWD as u64);
    println!("cpu_crowd_payee {} us/payment", (cpu_ms(&bob) - cpu.1) * 1000 / CROWD as u64);
    println!("resident_memory_after {} KiB", status_kib(&alice, "VmRSS"));
}

fn proc_file(daemon: &Daemon, name: &str) -> String {
    let pid = daemon.pid().expect("it runs");
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("our own process can be looked at")
}

fn status_kib(daemon: &Daemon, field: &str) -> u64 {
    let status = proc_file(daemon, "status");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field is there");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Bytes that the process has sent to the disk, whole pages of the store included.
fn written_bytes(daemon: &Daemon) -> u64 {
    let io = proc_file(daemon, "io");
    let line = io.lines().find(|line| line.starts_with("write_bytes")).expect("the field is there");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// CPU time of the process: its ticks are 10 ms.
fn cpu_ms(daemon: &Daemon) -> u64 {
    let stat = proc_file(daemon, "stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    (ticks(11) + ticks(12)) * 10
}
