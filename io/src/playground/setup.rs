//! From nodes that run to nodes that pay: coins, connections, channels. All of it is asked as a user would ask it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client;
use super::fleet::Member;

/// What each channel holds.
pub(super) const CAPACITY_SAT: u64 = 1_000_000;
/// What its opener gives away, so that payments go both ways from the start.
const PUSH_MSAT: u64 = CAPACITY_SAT / 2 * 1_000;
/// What each wallet gets.
const COINS_SAT: u64 = 5_000_000;
/// A channel is used after one block; six are what people wait for.
const BLOCKS: u32 = 6;

/// Channels have no call that waits for them, so they are looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long what should take a moment may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects the nodes to a line and waits until all its channels can be used; `is_set_up` tells that an earlier start has
/// opened them.
pub(super) fn run(members: &[Member], is_set_up: bool) -> Result<(), String> {
    if !is_set_up {
        for member in members {
            ask(member, "dev-faucet", json!({"satoshi": COINS_SAT}))?;
        }
    }
    for pair in members.windows(2) {
        let [from, to] = pair else { unreachable!("windows of two are pairs") };
        ask(from, "connect", json!({"id": to.id.to_string(), "host": "127.0.0.1", "port": to.port}))?;
        // A start that was cut short may have opened some of them.
        if !is_set_up && channels(from, to)?.is_empty() {
            let id = to.id.to_string();
            let open = json!({"id": id, "amount": CAPACITY_SAT, "push_msat": PUSH_MSAT, "announce": false});
            ask(from, "fundchannel", open)?;
        }
    }
    if !is_set_up && let Some(first) = members.first() {
        let height = ask(first, "dev-generate", json!({"blocks": BLOCKS}))?["blockheight"].take();
        for member in members {
            ask(member, "waitblockheight", json!({"blockheight": height}))?;
        }
    }
    for pair in members.windows(2) {
        let [from, to] = pair else { unreachable!("windows of two are pairs") };
        wait_for_channels(from, to)?;
        wait_for_channels(to, from)?;
    }
    Ok(())
}

fn ask(member: &Member, method: &str, params: Value) -> Result<Value, String> {
    client::call(&member.control, method, &params.to_string()).map_err(|error| format!("node {}: {error}", member.name))
}

/// A node's channels with another one that are not at their end.
fn channels(member: &Member, peer: &Member) -> Result<Vec<Value>, String> {
    let mut answer = ask(member, "listpeerchannels", json!({"id": peer.id.to_string()}))?;
    let Value::Array(channels) = answer["channels"].take() else { return Ok(Vec::new()) };
    let is_open = |channel: &Value| {
        matches!(channel["state"].as_str(), Some("OPENINGD" | "CHANNELD_AWAITING_LOCKIN" | "CHANNELD_NORMAL"))
    };
    Ok(channels.into_iter().filter(is_open).collect())
}

/// Waits until payments can go through all channels with a peer, and invoices can name them.
fn wait_for_channels(member: &Member, peer: &Member) -> Result<(), String> {
    let since = Instant::now();
    loop {
        let channels = channels(member, peer)?;
        let is_usable = |channel: &Value| {
            channel["state"] == "CHANNELD_NORMAL"
                && channel["reestablished"] == true
                && channel["updates"]["remote"].is_object()
        };
        if channels.iter().all(is_usable) {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            return Err(format!(
                "the channel of {} and {} cannot be used yet after {} seconds; see the log files of both",
                member.name,
                peer.name,
                PATIENCE.as_secs()
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
