//! Three daemons in a line on one bitcoind: A–B–C.

use serde_json::{Value, json};

use crate::bitcoind::Bitcoind;
use crate::daemon::{Daemon, wait_for};

/// Three daemons and their chain. Channels A–B and B–C, each with money on both sides.
pub struct Line {
    /// The chain; it goes last, so that daemons end before it.
    pub daemons: [Daemon; 3],
    /// The backend of all three.
    pub bitcoind: Bitcoind,
}

/// Size of each channel.
pub const CHANNEL_SAT: u64 = 2_000_000;
/// What the opener gives away at the start.
pub const PUSH_MSAT: u64 = 800_000_000;

impl Line {
    /// Starts everything, opens both channels, and waits until they can be used and each end knows the other's policy.
    pub fn start(name: &str) -> Line {
        let bitcoind = Bitcoind::start();
        bitcoind.mine_funds();
        let daemons = ["a", "b", "c"]
            .map(|daemon| Daemon::start(&format!("{name}-{daemon}"), &bitcoind.url(), &bitcoind.cookie_path(), &[]));
        let line = Line { daemons, bitcoind };
        let [a, b, c] = &line.daemons;
        for daemon in [a, b] {
            let address = daemon.call("newaddr", json!({}))["p2tr"].as_str().expect("an address").to_owned();
            line.bitcoind.call("sendtoaddress", json!([address, 1]));
        }
        line.mine(1);
        for daemon in [a, b] {
            wait_for("coins", || {
                let funds = daemon.call("listfunds", json!({}));
                funds["outputs"].as_array().is_some_and(|outputs| !outputs.is_empty()).then_some(())
            });
        }
        a.connect_to(b);
        b.connect_to(c);
        for (from, to) in [(a, b), (b, c)] {
            from.call("fundchannel", json!({"id": to.id, "amount": CHANNEL_SAT, "push_msat": PUSH_MSAT}));
        }
        line.mine(6);
        for (daemon, channels) in [(a, 1), (b, 2), (c, 1)] {
            wait_for("channels that can be used", || line.usable(daemon, channels).then_some(()));
        }
        line
    }

    /// Mines blocks and waits until every daemon that runs has taken them in.
    pub fn mine(&self, blocks: u32) {
        self.bitcoind.mine(blocks);
        let height = self.bitcoind.height();
        for daemon in &self.daemons {
            if daemon.pid().is_some() {
                daemon.call("waitblockheight", json!({"blockheight": height, "timeout": 60}));
            }
        }
    }

    /// Has the daemon so many channels in normal state, connected, with the peer's policy known?
    pub fn usable(&self, daemon: &Daemon, channels: usize) -> bool {
        let listed = daemon.call("listpeerchannels", json!({}));
        let ready = |channel: &&Value| {
            channel["state"] == "CHANNELD_NORMAL"
                && channel["peer_connected"] == true
                && channel["updates"]["remote"].is_object()
                && channel["reestablished"] != false
        };
        listed["channels"].as_array().is_some_and(|all| all.iter().filter(ready).count() >= channels)
    }

    /// All HTLCs of all channels.
    pub fn htlcs(&self) -> usize {
        let of = |daemon: &Daemon| {
            let listed = daemon.call("listpeerchannels", json!({}));
            let channels = listed["channels"].as_array().cloned().unwrap_or_default();
            channels.iter().map(|channel| channel["htlcs"].as_array().map_or(0, Vec::len)).sum::<usize>()
        };
        self.daemons.iter().map(of).sum()
    }
}

/// A fresh invoice.
pub fn invoice(daemon: &Daemon, amount_msat: u64, label: &str) -> String {
    let created = daemon.call("invoice", json!({"amount_msat": amount_msat, "label": label, "description": "test"}));
    created["bolt11"].as_str().expect("an invoice").to_owned()
}

/// What a daemon owns in its channels.
pub fn in_channels_msat(daemon: &Daemon) -> u64 {
    let listed = daemon.call("listpeerchannels", json!({}));
    let channels = listed["channels"].as_array().cloned().unwrap_or_default();
    channels.iter().map(|channel| channel["to_us_msat"].as_u64().expect("an amount")).sum()
}
