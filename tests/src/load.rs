//! Two daemons under load, and what it costs them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bitcoind::Bitcoind;
use crate::daemon::{Client, Daemon, wait_for};
use crate::line::invoice;

/// What the channel holds.
pub const CHANNEL_SAT: u64 = 10_000_000;
/// What each payment moves.
pub const AMOUNT_MSAT: u64 = 1_000_000;
/// How many payments are under way at once, where not one at a time.
pub const IN_FLIGHT: usize = 100;

/// How a number of payments went.
#[derive(Debug)]
pub struct Run {
    /// All of them together.
    pub elapsed: Duration,
    /// From request to answer, each.
    pub latencies: Vec<Duration>,
    /// Payments that failed.
    pub failures: usize,
}

/// A channel from the first to the second, ready.
pub fn open_channel(bitcoind: &Bitcoind, a: &Daemon, b: &Daemon) {
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

/// Invoices to be paid.
pub fn invoices(payee: &Daemon, label: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| invoice(payee, AMOUNT_MSAT, &format!("{label}-{number}")).0).collect()
}

/// Pays so many at once, always, on one control connection.
pub fn pay(payer: &Daemon, invoices: &[String], in_flight: usize) -> Run {
    let mut client = Client::connect(&payer.socket_path()).expect("the daemon is up");
    let start = Instant::now();
    let mut sent: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut latencies: Vec<Duration> = Vec::with_capacity(invoices.len());
    let mut failures = 0usize;
    let mut left = invoices.iter();
    loop {
        while sent.len() < in_flight
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
    latencies.sort_unstable();
    Run { elapsed: start.elapsed(), latencies, failures }
}

/// What the system has counted for a daemon so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes that it gave to block devices.
    pub written: u64,
    /// Bytes that its folder takes.
    pub size: u64,
    /// Transactions that it committed.
    pub txn: u64,
    /// By the flight recorder; the ring is larger than what a benchmark records.
    pub recorded: u64,
    /// Hundredths of a second of a core.
    pub ticks: u64,
}

impl Usage {
    /// What it is now.
    pub fn of(daemon: &Daemon) -> Usage {
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

/// A file of the system about a daemon.
pub fn proc_file(daemon: &Daemon, name: &str) -> String {
    let pid = daemon.pid().expect("it runs");
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("a running process has its files")
}

/// A number in such a file.
pub fn field(text: &str, name: &str) -> u64 {
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
