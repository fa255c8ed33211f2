//! Three daemons in a line, A–B–C, with open channels and money on both ends of each.

use bitcoin::Amount;
use serde_json::{Value, json};

use crate::bitcoind::Bitcoind;
use crate::daemon::{Daemon, wait_for};

/// What each channel holds.
pub const CAPACITY_SAT: u64 = 1_000_000;
/// What its opener gives to the other side.
pub const PUSH_MSAT: u64 = 400_000_000;

/// Makes a daemon's wallet own `count` confirmed outputs of `amount` each.
pub fn fund(bitcoind: &Bitcoind, daemon: &Daemon, amount: Amount, count: usize) {
    let mut txids = Vec::new();
    for _ in 0..count {
        let answer = daemon.call("newaddr", json!(["bech32"]));
        let address: bitcoin::Address<_> =
            answer["bech32"].as_str().expect("an address").parse().expect("an address that reads");
        txids.push(bitcoind.send(&address.assume_checked(), amount));
    }
    bitcoind.mine(1);
    assert!(bitcoind.mempool().is_empty(), "the block took all of {txids:?}");
    wait_for("the wallet to see its money", || {
        let funds = daemon.call("listfunds", json!({}));
        let outputs = funds["outputs"].as_array().expect("a list");
        let confirmed = outputs.iter().filter(|output| output["status"] == "confirmed").count();
        (confirmed >= count).then_some(())
    });
}

/// The channels of a daemon with another one, in whatever state.
pub fn channels(daemon: &Daemon, peer: &Daemon) -> Vec<Value> {
    let answer = daemon.call("listpeerchannels", json!({"id": peer.id}));
    answer["channels"].as_array().expect("a list").clone()
}

/// Those that are ready for payments on a live connection.
pub fn live_channels(daemon: &Daemon, peer: &Daemon) -> Vec<Value> {
    let is_live = |channel: &Value| channel["state"] == "CHANNELD_NORMAL" && channel["reestablished"] == true;
    // Without the peer's `channel_update` an invoice cannot say how to come here.
    let is_live = |channel: &Value| is_live(channel) && channel["updates"]["remote"].is_object();
    channels(daemon, peer).into_iter().filter(is_live).collect()
}

/// Opens a channel and waits until both ends can use it. Returns its funding outpoint.
pub fn open(bitcoind: &Bitcoind, from: &Daemon, to: &Daemon, amount_sat: u64, push_msat: u64) -> (String, u64) {
    let before = live_channels(from, to).len();
    let funded =
        from.call("fundchannel", json!({"id": to.id, "amount": amount_sat, "push_msat": push_msat, "announce": false}));
    let txid = funded["txid"].as_str().expect("a txid").to_owned();
    wait_for("the funding transaction in bitcoind's mempool", || {
        bitcoind.mempool().iter().any(|known| known.to_string() == txid).then_some(())
    });
    mine(bitcoind, &[from, to], 3);
    for (one, other) in [(from, to), (to, from)] {
        wait_for(&format!("{}'s channel with {}", one.name, other.name), || {
            (live_channels(one, other).len() > before).then_some(())
        });
    }
    (txid, funded["outnum"].as_u64().expect("an index"))
}

/// Mines, and waits until all daemons have taken it in: one that is behind would offer HTLCs that end too early.
pub fn mine(bitcoind: &Bitcoind, daemons: &[&Daemon], blocks: u32) {
    bitcoind.mine(blocks);
    let height = u64::from(bitcoind.height());
    for daemon in daemons {
        wait_for(&format!("{} to come to block {height}", daemon.name), || {
            (daemon.call("getinfo", json!({}))["blockheight"] == height).then_some(())
        });
    }
}

/// Waits until no channel of a daemon carries an HTLC.
pub fn wait_until_quiet(daemons: &[&Daemon]) {
    for daemon in daemons {
        wait_for(&format!("{}'s channels to carry no HTLC", daemon.name), || {
            let answer = daemon.call("listpeerchannels", json!({}));
            let channels = answer["channels"].as_array().expect("a list");
            let is_quiet = |channel: &Value| channel["htlcs"].as_array().is_none_or(Vec::is_empty);
            channels.iter().all(is_quiet).then_some(())
        });
    }
}

/// A number of an answer.
pub fn msat(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Our balance in the channels with a peer.
pub fn balance_msat(daemon: &Daemon, peer: &Daemon) -> u64 {
    channels(daemon, peer).iter().map(|channel| msat(channel, "to_us_msat")).sum()
}

/// The line.
#[derive(Debug)]
pub struct Line {
    /// The chain.
    pub bitcoind: Bitcoind,
    /// The first one, which opened its channel to B.
    pub a: Daemon,
    /// The middle one, which opened its channel to C.
    pub b: Daemon,
    /// The last one.
    pub c: Daemon,
    /// Where A–B was funded.
    pub funding_ab: (String, u64),
    /// Where B–C was funded.
    pub funding_bc: (String, u64),
}

impl Line {
    /// Starts all, funds wallets, connects, opens.
    pub fn start(extra: &[&str]) -> Line {
        let bitcoind = Bitcoind::start();
        bitcoind.mine_funds();
        let daemon = |name: &str| Daemon::start(name, &bitcoind.url(), &bitcoind.cookie_path(), extra);
        let (a, b, c) = (daemon("a"), daemon("b"), daemon("c"));
        fund(&bitcoind, &a, Amount::from_sat(3_000_000), 2);
        fund(&bitcoind, &b, Amount::from_sat(3_000_000), 2);
        a.connect_to(&b);
        b.connect_to(&c);
        let funding_ab = open(&bitcoind, &a, &b, CAPACITY_SAT, PUSH_MSAT);
        let funding_bc = open(&bitcoind, &b, &c, CAPACITY_SAT, PUSH_MSAT);
        mine(&bitcoind, &[&a, &b, &c], 1);
        Line { bitcoind, a, b, c, funding_ab, funding_bc }
    }
}

/// A new invoice's text and hash.
pub fn invoice(daemon: &Daemon, amount_msat: u64, label: &str) -> (String, String) {
    let made = daemon.call("invoice", json!({"amount_msat": amount_msat, "label": label, "description": label}));
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    (text("bolt11"), text("payment_hash"))
}

/// The state of an invoice.
pub fn invoice_of(daemon: &Daemon, label: &str) -> Value {
    daemon.call("listinvoices", json!({"label": label}))["invoices"][0].clone()
}
