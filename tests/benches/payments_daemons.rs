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

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::{Client, Daemon, wait_for};
use leyden_tests::line::invoice;
use serde_json::json;

const CHANNEL_SAT: u64 = 10_000_000;
const AMOUNT_MSAT: u64 = 1_000_000;
const IN_FLIGHT: usize = 100;

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

    alone(&a, &b, count);
    together(&a, &b, count * 3);
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

fn open_channel(bitcoind: &Bitcoind, a: &Daemon, b: &Daemon) {
    let address = a.call("newaddr", json!({}))["p2tr"].as_str().expect("an address").to_owned();
    bitcoind.call("sendtoaddress", json!([address, 1]));
    bitcoind.mine(1);
    wait_for("coins", || {
        let funds = a.call("listfunds", json!({}));
        funds["outputs"].as_array().is_some_and(|outputs| !outputs.is_empty()).then_some(())
    });
    a.connect_to(b);
    a.call("fundchannel", json!({"id": b.id, "amount": CHANNEL_SAT}));
    bitcoind.mine(6);
    wait_for("a channel that can be used", || {
        let listed = a.call("listpeerchannels", json!({}));
        let channel = &listed["channels"][0];
        (channel["state"] == "CHANNELD_NORMAL" && channel["updates"]["remote"].is_object()).then_some(())
    });
}

/// One payment after the other on one control connection.
fn alone(a: &Daemon, b: &Daemon, count: usize) {
    let invoices = invoices(b, "alone", count);
    let mut client = Client::connect(&a.socket_path()).expect("the daemon is up");
    let before = [Usage::of(a), Usage::of(b)];
    let start = Instant::now();
    let mut latencies: Vec<Duration> = Vec::with_capacity(count);
    for bolt11 in &invoices {
        let sent = Instant::now();
        client.send("pay", &json!({"bolt11": bolt11})).expect("the daemon is up");
        client.receive().expect("an answer").1.expect("paid");
        latencies.push(sent.elapsed());
    }
    let elapsed = start.elapsed();
    report("alone", count, elapsed, &mut latencies);
    report_usage("alone", count, elapsed, [(&before[0], a), (&before[1], b)]);
}

/// Always so many at once, on one control connection.
fn together(a: &Daemon, b: &Daemon, count: usize) {
    let invoices = invoices(b, "together", count);
    let mut client = Client::connect(&a.socket_path()).expect("the daemon is up");
    let before = [Usage::of(a), Usage::of(b)];
    let start = Instant::now();
    let mut sent: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut latencies: Vec<Duration> = Vec::with_capacity(count);
    let mut failures = 0usize;
    let mut left = invoices.iter();
    loop {
        while sent.len() < IN_FLIGHT
            && let Some(bolt11) = left.next()
        {
            let id = client.send("pay", &json!({"bolt11": bolt11})).expect("the daemon is up");
            sent.insert(id, Instant::now());
        }
        if sent.is_empty() {
            break;
        }
        let (id, answer) = client.receive().expect("an answer");
        latencies.push(sent.remove(&id).expect("we asked").elapsed());
        if let Err(error) = answer {
            if failures == 0 {
                eprintln!("a payment failed: {error:?}");
            }
            failures += 1;
        }
    }
    let elapsed = start.elapsed();
    report("together", count - failures, elapsed, &mut latencies);
    println!("together_failures {failures} payments");
    report_usage("together", count, elapsed, [(&before[0], a), (&before[1], b)]);
}

fn invoices(b: &Daemon, label: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| invoice(b, AMOUNT_MSAT, &format!("{label}-{number}")).0).collect()
}

fn report(name: &str, count: usize, elapsed: Duration, latencies: &mut [Duration]) {
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_micros();
    println!("{name}_rate {} payments/s", count as u128 * 1_000_000 / elapsed.as_micros());
    println!("{name}_p50 {} us", at(50));
    println!("{name}_p99 {} us", at(99));
}

fn report_usage(name: &str, count: usize, elapsed: Duration, daemons: [(&Usage, &Daemon); 2]) {
    let count = count as u64;
    for (role, (before, daemon)) in ["payer", "payee"].into_iter().zip(daemons) {
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

/// What the system has counted for a daemon so far.
struct Usage {
    written: u64,
    size: u64,
    txn: u64,
    /// By the flight recorder; the ring is larger than what a benchmark records.
    recorded: u64,
    ticks: u64,
}

impl Usage {
    fn of(daemon: &Daemon) -> Usage {
        let stat = proc_file(daemon, "stat");
        // User and system time are fields 14 and 15; the name before may hold spaces, so count behind it.
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = fields[11..13].iter().map(|text| text.parse::<u64>().expect("a number")).sum();
        Usage {
            written: field(&proc_file(daemon, "io"), "write_bytes:"),
            size: folder_size(&daemon.node_dir()),
            txn: last_commit(daemon),
            recorded: daemon.call("recorder", json!({}))["bytes"].as_u64().expect("a number"),
            ticks,
        }
    }
}

/// LMDB numbers its write transactions: the greater number of the two meta pages is how many were committed.
fn last_commit(daemon: &Daemon) -> u64 {
    let entries = std::fs::read_dir(daemon.node_dir()).expect("the node's folder");
    let mut best = 0;
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        let data = if path.is_dir() { path.join("data.mdb") } else { path };
        let Ok(file) = std::fs::File::open(&data) else { continue };
        let mut bytes = Vec::new();
        use std::io::Read;
        file.take(2 * 4096).read_to_end(&mut bytes).expect("a file can be read");
        for page in bytes.chunks_exact(4096) {
            // A page's header is 16 bytes; then the magic number, the version, the map's address and size, two
            // databases of 48 bytes, the last page, and the transaction's number.
            if page[16..20] == 0xBEEF_C0DE_u32.to_le_bytes() {
                let number = page[144..152].try_into().expect("eight bytes");
                best = best.max(u64::from_le_bytes(number));
            }
        }
    }
    best
}

fn proc_file(daemon: &Daemon, name: &str) -> String {
    let pid = daemon.pid().expect("it runs");
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("a running process has its files")
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field is there");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// What a folder takes on the disk, however large its files claim to be.
fn folder_size(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(path).expect("the node's folder");
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_size(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        // A file that went meanwhile takes nothing.
        Err(_) => 0,
    };
    entries.map(|entry| of(entry.expect("an entry"))).sum()
}
