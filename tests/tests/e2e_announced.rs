//! A channel that the world may know of, between real daemons.

use bitcoin::Amount;
use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::{Daemon, wait_for};
use leyden_tests::line::{channels, fund, invoice, mine};
use serde_json::{Value, json};

fn halves(daemon: &Daemon) -> Vec<Value> {
    daemon.call("listchannels", json!({}))["channels"].as_array().expect("a list").clone()
}

#[test]
fn after_six_blocks_both_ends_list_the_channel_as_public() {
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let daemon = |name: &str| Daemon::start(name, &bitcoind.url(), &bitcoind.cookie_path(), &[]);
    let (a, mut b) = (daemon("a"), daemon("b"));
    fund(&bitcoind, &a, Amount::from_sat(2_000_000), 1);
    a.connect_to(&b);
    a.call("fundchannel", json!({"id": b.id, "amount": 1_000_000, "announce": true}));
    wait_for("the funding transaction in bitcoind's mempool", || (!bitcoind.mempool().is_empty()).then_some(()));
    mine(&bitcoind, &[&a, &b], 5);
    wait_for("the channel to be usable", || (channels(&a, &b)[0]["state"] == "CHANNELD_NORMAL").then_some(()));
    assert!(halves(&a).iter().all(|half| half["public"] == false), "not deep enough");
    mine(&bitcoind, &[&a, &b], 1);
    let both = |daemon: &Daemon| {
        let halves = halves(daemon);
        (halves.len() == 2 && halves.iter().all(|half| half["public"] == true)).then_some(halves)
    };
    for one in [&a, &b] {
        let halves = wait_for("both halves", || both(one));
        let sources: Vec<&str> = halves.iter().filter_map(|half| half["source"].as_str()).collect();
        assert!(sources.contains(&a.id.as_str()) && sources.contains(&b.id.as_str()), "{halves:?}");
    }
    assert_eq!(channels(&a, &b)[0]["private"], false);
    assert_eq!(channels(&b, &a)[0]["private"], false);
    let (bolt11, _) = invoice(&b, 1_000_000, "public");
    a.call("pay", json!({"bolt11": bolt11}));
    // Signatures are in the rows.
    b.restart();
    wait_for("both halves again", || both(&b));
}
